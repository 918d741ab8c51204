package persist

// Proving a root and building a store on its page map: steps 3 and 5 of
// recover.go.

import (
	"errors"
	"fmt"
)

// shell builds an empty store for the root after a look at its geometry.
func (l *loader) shell(st *slotState) (*Store, error) {
	s := newStore(l.dev, l.super)
	s.adopt(st.root, st.slot)
	r := &s.root
	if r.segments > uint32(s.space.total) {
		return nil, &CorruptError{NoPage, l.dev.Size(), fmt.Sprintf("the image is truncated: %d segments were in use, %d fit on the device", r.segments, s.space.total)}
	}
	if r.tail != 0 && !s.space.inLog(r.tail, int(r.segments)) {
		return nil, &CorruptError{NoPage, blockOffset(rootSlots[st.slot]), "root names a tail outside the log"}
	}
	s.space.segs = make([]segment, r.segments)
	return s, nil
}

// load proves the root's group and builds a store on its page map.
func (l *loader) load(st *slotState) (*Store, error) {
	s, err := l.shell(st)
	if err != nil {
		return nil, err
	}
	if err := s.verifyGroup(nil); err != nil {
		// A read error can't come from a write that never reached the device,
		// nor can damage to what lies outside the group.
		st.torn = errors.Is(err, ErrCorrupt)
		return nil, err
	}
	if err := s.loadMap(nil); err != nil {
		return nil, err
	}
	s.keepGroup()
	if !s.space.rebuilt(s.root.tail) {
		return nil, &CorruptError{NoPage, blockOffset(s.root.tail), "the tail of the log is in use"}
	}
	return s, nil
}

// verifyGroup reads the commit records of the root and every block they list.
// With bad == nil it stops at the first damage, else it reports each and goes
// on as far as it can. The blocks of the records get their owner.
func (s *Store) verifyGroup(bad func(error)) error {
	b := make([]byte, BlockSize)
	at, entries := s.root.record, uint64(0)
	fail := func(off int64, reason string) error { return &CorruptError{NoPage, off, reason} }
	for left := s.root.records; left > 0; left-- {
		off := blockOffset(at.block)
		if !s.space.inLog(at.block, len(s.space.segs)) || !s.space.own(at.block, tagRecord) {
			return fail(off, "commit record lies at an impossible place")
		}
		if err := s.readBlock(at, b, NoPage, "commit record checksum differs"); err != nil {
			return err
		}
		rec, err := decodeRecord(b, at.block)
		if err != nil {
			return err
		}
		if rec.epoch != s.root.epoch || rec.index != left-1 {
			return fail(off, "commit record of another commit")
		}
		s.records = append(s.records, at.block)
		s.entries = append(s.entries, rec.entries...)
		entries += uint64(len(rec.entries))
		if err := s.verifyEntries(rec.entries, bad); err != nil {
			return err
		}
		at = rec.prev
	}
	if at.block != 0 || entries != uint64(s.root.entries) {
		return fail(blockOffset(rootSlots[s.slot]), "root and commit records disagree about the group's length")
	}
	return nil
}

// verifyEntries proves the blocks of one record, neighbours with one read.
func (s *Store) verifyEntries(list []recordEntry, bad func(error)) error {
	for _, e := range list {
		if !s.space.inLog(e.ref.block, len(s.space.segs)) {
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

// keepGroup gives blocks of the root's group that its map does not use (a page
// written twice in one commit) the same owner as the commit records: the root
// is valid only with all of its group, so none may be overwritten before the
// next root is durable.
func (s *Store) keepGroup() {
	for _, e := range s.entries {
		if s.space.own(e.ref.block, tagRecord) {
			s.records = append(s.records, e.ref.block)
		}
	}
	s.entries = s.entries[:0]
}

// loadMap reads all nodes below the root's top. bad is as in verifyGroup.
func (s *Store) loadMap(bad func(error)) error {
	s.pages.top.self = s.root.top
	if s.root.top.block != 0 {
		if err := s.loadNode(s.pages.top, bad); err != nil {
			return err
		}
	}
	if s.pages.pages != s.root.pages && bad == nil {
		return &CorruptError{NoPage, blockOffset(rootSlots[s.slot]), fmt.Sprintf("root counts %d pages, the page map has %d", s.root.pages, s.pages.pages)}
	}
	return nil
}

// loadNode reads n.self and everything below.
func (s *Store) loadNode(n *node, bad func(error)) error {
	if err := s.claim(n.self.block, n.tag()); err != nil {
		return err
	}
	b := make([]byte, BlockSize)
	if err := s.readBlock(n.self, b, n.tag().page(), "map node checksum differs"); err != nil {
		return err
	}
	for i := range n.refs {
		r := getRef(b[i*8:])
		if r.block == 0 {
			if r.crc != 0 {
				return &CorruptError{n.tag().page(), blockOffset(n.self.block), "map node has an absent entry that is not zero"}
			}
			continue
		}
		if err := s.loadRef(n, i, r, bad); err != nil {
			if bad == nil {
				return err
			}
			bad(err)
		}
	}
	if n.used == 0 && bad == nil {
		return &CorruptError{n.tag().page(), blockOffset(n.self.block), "map node is empty"}
	}
	return nil
}

func (s *Store) loadRef(n *node, i int, r ref, bad func(error)) error {
	t := makeTag(n.level-1, n.id<<nodeShift|uint64(i))
	if !t.valid() {
		return &CorruptError{n.tag().page(), blockOffset(n.self.block), "map node refers to an impossible page"}
	}
	n.refs[i] = r
	n.used++
	if n.level == 1 {
		s.pages.pages++
		return s.claim(r.block, t)
	}
	k := newNode(n.level-1, t.id(), n)
	k.self = r
	n.kids[i] = k
	return s.loadNode(k, bad)
}

// claim gives a block its owner (I4).
func (s *Store) claim(block uint32, t tag) error {
	if !s.space.inLog(block, len(s.space.segs)) {
		return &CorruptError{t.page(), blockOffset(block), "reference to a block outside the log"}
	}
	if !s.space.own(block, t) {
		return &CorruptError{t.page(), blockOffset(block), "block is referenced twice"}
	}
	return nil
}
