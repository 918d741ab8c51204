package persist

// One commit: a write group, a root, one flush.
//
//  1. Records of the last group and the segments whose rest is over are given
//     up (segment.go).
//  2. Every page of the source is staged, checksummed and given a block at the
//     tail of the log; pages of zeros are dropped from the map instead.
//  3. A bounded number of live blocks is copied forward out of nearly empty
//     segments, if the log is long. Their checksums are proven on the way.
//  4. Changed nodes of the page map are written, leaves first.
//  5. The chain of commit records lists every block of steps 2 to 4 with its
//     checksum. Each record vouches for the one before, the root for the last:
//     a root whose group is incomplete is recognised (I1).
//  6. The root goes to the slot that does not hold the acknowledged root (I3).
//  7. Flush. Only now the new root counts.
//
// A failure at any step leaves the last root as it was; the in-memory state is
// then ahead of the device, so the store refuses further commits (I6).

import (
	"errors"
	"fmt"
	"runtime"
)

// pageSource gives a commit its pages.
type pageSource interface {
	Len() int
	// At names the i-th page; discard drops it from the map.
	At(i int) (id PageID, discard bool)
	// Stage returns the page's contents: copied into the buffer, or another
	// buffer that stays unchanged until the commit ends.
	Stage(i int, into []byte) []byte
	// Staged is called when the last page was staged.
	Staged()
}

// yieldPages is how many pages are staged before other goroutines get a turn:
// with one processor the program waits meanwhile.
const yieldPages = 32

// commit writes one group with the pages of src and makes it durable.
// Preconditions: meta is at most MaxMeta bytes; no other commit runs.
func (s *Store) commit(epoch Epoch, meta []byte, src pageSource) error {
	if s.closed {
		return ErrClosed
	}
	if s.failed != nil {
		return s.failed
	}
	r, err := s.writeGroup(epoch, meta, src)
	if err != nil {
		if !errors.Is(err, ErrFailed) {
			err = fmt.Errorf("%w: epoch %d: %w", ErrFailed, epoch, err)
		}
		s.failed = err
		return err
	}
	s.slot = 1 - s.slot
	s.root = r
	s.nextEpoch = epoch + 1
	s.publish()
	s.stats.Commits++
	s.checkOwners()
	return nil
}

func (s *Store) writeGroup(epoch Epoch, meta []byte, src pageSource) (root, error) {
	s.space.begin()
	s.entries = s.entries[:0]
	for _, b := range s.records {
		s.space.release(b)
	}
	s.records = s.records[:0]
	if err := s.putPages(src); err != nil {
		return root{}, err
	}
	if err := s.clean(); err != nil {
		return root{}, err
	}
	if err := s.putNodes(); err != nil {
		return root{}, err
	}
	r := root{
		epoch: epoch, acked: s.root.epoch, instance: s.super.instance, versions: s.versions,
		entries: uint32(len(s.entries)), top: s.pages.top.self, pages: s.pages.pages, meta: meta,
	}
	if err := s.putRecords(&r); err != nil {
		return root{}, err
	}
	r.tail, r.segments = s.space.tail(), uint32(len(s.space.segs))
	// Steps 6 and 7.
	return r, s.w.finish(r.encode(), blockOffset(rootSlots[1-s.slot]))
}

func (s *Store) putPages(src pageSource) error {
	for i := range src.Len() {
		if i%yieldPages == yieldPages-1 {
			runtime.Gosched()
		}
		id, discard := src.At(i)
		if discard {
			s.space.release(s.pages.set(id, ref{}).block)
			continue
		}
		slot, err := s.w.reserve()
		if err != nil {
			return err
		}
		into := s.w.at(slot)
		got := src.Stage(i, into)
		if allZero(got) {
			s.space.release(s.pages.set(id, ref{}).block)
			continue
		}
		e, err := s.place(makeTag(0, uint64(id)), checksum(got))
		if err != nil {
			return err
		}
		if &got[0] == &into[0] {
			s.w.putSlot(e.block, slot)
		} else {
			s.w.putBuf(e.block, slot, got)
		}
		s.space.release(s.pages.set(id, e).block)
		s.stats.Pages++
	}
	src.Staged()
	return nil
}

// place gives a block to t and lists it for the commit record.
func (s *Store) place(t tag, crc uint32) (ref, error) {
	b, err := s.space.alloc(t)
	if err != nil {
		return ref{}, fmt.Errorf("%w: all %d segments of the device are in use", err, s.space.total)
	}
	r := ref{b, crc}
	s.entries = append(s.entries, recordEntry{t, r})
	return r, nil
}

// clean copies live blocks forward (step 3).
func (s *Store) clean() error {
	if !s.space.wantsCleaning() {
		return nil
	}
	budget := 2*len(s.entries) + 32
	// A moved page may cost a leaf and a node above it; nodes that are
	// already due, the records and one segment are kept back.
	spare := s.space.available() - s.pages.dirtyNodes() - len(s.entries)/recordEntries - s.space.perSegment
	budget = min(budget, spare/4)
	if budget <= 0 {
		return nil
	}
	for _, v := range s.space.victims(budget) {
		if v.tag.level() > 0 {
			s.pages.mark(s.pages.find(v.tag))
			continue
		}
		if err := s.movePage(v.tag.page()); err != nil {
			return err
		}
	}
	return nil
}

func (s *Store) movePage(id PageID) error {
	old := s.pages.get(id)
	slot, err := s.w.reserve()
	if err != nil {
		return err
	}
	if err := s.readBlock(old, s.w.at(slot), id, "page checksum differs while it is moved"); err != nil {
		return err
	}
	e, err := s.place(makeTag(0, uint64(id)), old.crc)
	if err != nil {
		return err
	}
	s.w.putSlot(e.block, slot)
	s.space.release(s.pages.set(id, e).block)
	s.stats.Moved++
	return nil
}

// putNodes writes the changed nodes, leaves first, so that each parent knows
// its children's new places (step 4). Empty nodes disappear.
func (s *Store) putNodes() error {
	for level := 1; level <= topLevel; level++ {
		list := s.pages.dirty[level]
		for _, n := range list {
			if err := s.putNode(n); err != nil {
				return err
			}
		}
		s.pages.dirty[level] = list[:0]
	}
	return nil
}

func (s *Store) putNode(n *node) error {
	n.dirty = false
	s.space.release(n.self.block)
	n.self = ref{}
	if n.used > 0 {
		slot, err := s.w.reserve()
		if err != nil {
			return err
		}
		b := s.w.at(slot)
		n.encode(b)
		if n.self, err = s.place(n.tag(), checksum(b)); err != nil {
			return err
		}
		s.w.putSlot(n.self.block, slot)
		s.stats.Nodes++
	}
	if p := n.parent; p != nil {
		p.refs[n.slot()] = n.self
		if n.used == 0 {
			p.kids[n.slot()] = nil
			p.used--
		}
	}
	return nil
}

// putRecords writes the chain of commit records (step 5).
func (s *Store) putRecords(r *root) error {
	rest := s.entries
	for first := true; first || len(rest) > 0; first = false {
		n := min(len(rest), recordEntries)
		rec := record{epoch: r.epoch, index: r.records, prev: r.record, entries: rest[:n]}
		rest = rest[n:]
		slot, err := s.w.reserve()
		if err != nil {
			return err
		}
		b := s.w.at(slot)
		rec.encode(b)
		block, err := s.space.alloc(tagRecord)
		if err != nil {
			return err
		}
		s.w.putSlot(block, slot)
		s.records = append(s.records, block)
		r.record = ref{block, checksum(b)}
		r.records++
	}
	return nil
}
