package persist

// Proving a root and building a store on it: steps 3 and 5 of recover.go. What
// is read is the chain of commit records and the newest group, whatever the
// size of the arena.

import (
	"errors"
	"fmt"
	"slices"
)

// shell builds an empty store for the root after a look at its geometry.
func (l *loader) shell(st *slotState) (*Store, error) {
	s := newStore(l.dev, l.super)
	r := &st.root
	if r.segments > uint32(s.space.total) {
		return nil, &CorruptError{NoPage, l.dev.Size(), fmt.Sprintf("the image is truncated: %d segments were in use, %d fit on the device", r.segments, s.space.total)}
	}
	s.space.segs = make([]segment, r.segments)
	s.space.known = false
	for h, tail := range r.tails {
		if tail == 0 {
			continue
		}
		if !s.space.inLog(tail) {
			return nil, &CorruptError{NoPage, blockOffset(rootSlots[st.slot]), "root names a tail outside the log"}
		}
		si, next := s.space.segmentOf(tail)
		if s.space.segs[si].state == segActive {
			return nil, &CorruptError{NoPage, blockOffset(rootSlots[st.slot]), "root names two tails in one segment"}
		}
		s.space.open(h, si, ^uint64(0))
		hd := &s.space.heads[h]
		hd.next = next
		for range next {
			hd.tags = append(hd.tags, tagNone)
		}
	}
	s.adopt(*r, st.slot)
	return s, nil
}

// load proves the root's group and builds a store on it.
func (l *loader) load(st *slotState) (*Store, error) {
	s, err := l.shell(st)
	if err != nil {
		return nil, err
	}
	c := &chainReader{s: s}
	if err := c.read(); err != nil {
		// A read error can't come from a write that never reached the device,
		// nor can damage to what lies outside the group.
		st.torn = c.own && errors.Is(err, ErrCorrupt)
		return nil, err
	}
	if err := s.verifyEntries(c.group, nil); err != nil {
		st.torn = errors.Is(err, ErrCorrupt)
		return nil, err
	}
	s.replay(c.chain, c.refs)
	s.settleHeads()
	return s, nil
}

// traceBlocks is how far behind the tail traces of later commits are looked for.
const traceBlocks = 32

// trace finds the highest epoch of which the log shows a trace where the
// commits after the root would have been written: in records just behind the
// first tail, and in summaries of the segments that the root left unfinished.
func (s *Store) trace() (Epoch, int64, error) {
	var most Epoch
	var at int64
	see := func(e Epoch, block uint32) {
		if e > most && e <= maxEpoch {
			most, at = e, blockOffset(block)
		}
	}
	b := make([]byte, traceBlocks*BlockSize)
	for h, tail := range s.root.tails {
		if tail == 0 {
			continue
		}
		si, next := s.space.segmentOf(tail)
		last := s.space.perSegment - 1
		if h == headNew {
			n := min(traceBlocks, last-next)
			if err := readFull(s.dev, b[:n*BlockSize], blockOffset(tail)); err != nil {
				return 0, 0, err
			}
			for i := range n {
				block := tail + uint32(i)
				if rec, err := decodeRecord(b[i*BlockSize:][:BlockSize], block); err == nil && rec.instance == s.super.instance {
					see(rec.epoch, block)
				}
			}
		}
		if err := readFull(s.dev, b[:BlockSize], blockOffset(s.space.block(si, last))); err != nil {
			return 0, 0, err
		}
		want := summary{instance: s.super.instance, segment: si, tags: make([]tag, last)}
		if sum, err := decodeSummary(b, 0, want); err == nil {
			see(sum.epoch, s.space.block(si, last))
		}
	}
	return most, at, nil
}

// settleHeads ends the search for the beginnings of the segments being filled.
func (s *Store) settleHeads() {
	for h := range s.space.heads {
		s.space.heads[h].start = min(s.space.heads[h].start, s.journal.pos)
	}
}

// chainReader reads the chain of a root's commit records.
type chainReader struct {
	s     *Store
	chain []record // oldest first
	refs  []ref
	group []recordEntry // of the root's own commit
	own   bool          // the error is about a record of the root's own commit

	window []byte
	from   uint32 // block at the beginning of the window
}

// chainWindow is how many blocks are read at once when records are neighbours,
// as those of a large commit are, the newest last.
const chainWindow = 16

// block gives a record's block.
func (c *chainReader) block(b uint32) ([]byte, error) {
	n := uint32(len(c.window) / BlockSize)
	if b < c.from || b >= c.from+n {
		before := uint32(0)
		if b+1 == c.from {
			before = min(chainWindow-1, b-logStart)
		}
		c.from = b - before
		c.window = append(c.window[:0], make([]byte, (b-c.from+1)*BlockSize)...)
		if err := readFull(c.s.dev, c.window, blockOffset(c.from)); err != nil {
			c.window = c.window[:0]
			return nil, err
		}
	}
	return c.window[(b-c.from)*BlockSize:][:BlockSize], nil
}

func (c *chainReader) read() error {
	r := &c.s.root
	at, index := r.record, r.own
	var lens []uint32
	for left := r.records; left > 0; left-- {
		c.own = index > 0
		rec, err := c.record(at)
		if err != nil {
			return err
		}
		bad := func(reason string) error { return &CorruptError{NoPage, blockOffset(at.block), reason} }
		switch {
		case !c.own && (rec.epoch >= r.epoch || rec.epoch > c.chain[len(c.chain)-1].epoch):
			return bad("commit record is newer than the one after it")
		case rec.instance != r.instance:
			return bad("commit record of another instance")
		case c.own && (rec.epoch != r.epoch || rec.index != index-1 || rec.carried > 0 && index > 1):
			return bad("commit record of another commit")
		case len(c.chain) > len(c.s.space.segs)*c.s.space.perSegment:
			return bad("the chain of commit records has no end")
		}
		if c.own {
			index--
			lens = append(lens, rec.carried)
		}
		c.chain, c.refs = append(c.chain, rec), append(c.refs, at)
		at = rec.prev
	}
	c.own = false
	for i := len(lens) - 1; i >= 0; i-- {
		c.group = append(c.group, c.chain[i].entries[lens[i]:]...)
	}
	if index != 0 || len(c.group) != int(r.entries) {
		return &CorruptError{NoPage, blockOffset(rootSlots[c.s.slot]), "root and commit records disagree about the group's length"}
	}
	slices.Reverse(c.chain)
	slices.Reverse(c.refs)
	for _, x := range c.refs {
		c.s.space.hold(x.block, 1)
	}
	return nil
}

func (c *chainReader) record(at ref) (record, error) {
	if !c.s.space.inLog(at.block) {
		return record{}, &CorruptError{NoPage, blockOffset(at.block), "commit record lies at an impossible place"}
	}
	b, err := c.block(at.block)
	if err != nil {
		return record{}, err
	}
	if checksum(b) != at.crc {
		return record{}, &CorruptError{NoPage, blockOffset(at.block), "commit record checksum differs"}
	}
	return decodeRecord(b, at.block)
}

// verifyEntries proves the blocks of a group, neighbours with one read. With
// bad == nil it stops at the first damage, else it reports each.
func (s *Store) verifyEntries(list []recordEntry, bad func(error)) error {
	list = slices.DeleteFunc(slices.Clone(list), func(e recordEntry) bool { return e.ref.block == 0 })
	for _, e := range list {
		if !s.space.inLog(e.ref.block) {
			return &CorruptError{e.tag.page(), blockOffset(e.ref.block), "commit record names a block outside the log"}
		}
	}
	buf := make([]byte, min(len(list), maxRead)*BlockSize)
	for len(list) > 0 {
		n := 1
		for n < len(list) && n < maxRead && list[n].ref.block == list[0].ref.block+uint32(n) {
			n++
		}
		if err := readFull(s.dev, buf[:n*BlockSize], blockOffset(list[0].ref.block)); err != nil {
			return err
		}
		for i, e := range list[:n] {
			if checksum(buf[i*BlockSize:(i+1)*BlockSize]) == e.ref.crc {
				continue
			}
			what := "page checksum differs (newest group)"
			if e.tag.level() > 0 {
				what = "map node checksum differs (newest group)"
			}
			err := &CorruptError{e.tag.page(), blockOffset(e.ref.block), what}
			if bad == nil {
				return err
			}
			bad(err)
		}
		list = list[n:]
	}
	return nil
}
