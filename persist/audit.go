package persist

// audit proves the invariants that a store keeps between two commits. Tests
// call it after each commit; it reads all nodes.
//
//  1. No block has two uses (I4), and none lies behind a head.
//  2. The counts are those of the page map.
//  3. Free, resting and active segments are what they should be.
//  4. A segment with live blocks is active or has a summary that names them.
//  5. The journal reaches back to all that is in no node and in no summary.

import "fmt"

func (s *Store) audit() error {
	use := map[uint32]tag{}
	err := s.walk(func(t tag, r ref) error {
		if !s.space.inLog(r.block) {
			return fmt.Errorf("persist: invariant: %#x lies outside the log", uint32(t))
		}
		if o, ok := use[r.block]; ok {
			return fmt.Errorf("persist: invariant I4: block %d belongs to %#x and %#x", r.block, uint32(o), uint32(t))
		}
		use[r.block] = t
		return nil
	})
	if err != nil {
		return err
	}
	held := map[int]int32{}
	for _, b := range s.journal.blocks {
		if o, ok := use[b.ref.block]; ok {
			return fmt.Errorf("persist: invariant I4: block %d is a record and belongs to %#x", b.ref.block, uint32(o))
		}
		si, _ := s.space.segmentOf(b.ref.block)
		held[si]++
	}
	live := make([]int32, len(s.space.segs))
	for b := range use {
		si, _ := s.space.segmentOf(b)
		live[si]++
	}
	for si := range s.space.segs {
		if err := s.auditSegment(si, live[si], held[si], use); err != nil {
			return err
		}
	}
	return s.auditJournal()
}

func (s *Store) auditSegment(si int, live, held int32, use map[uint32]tag) error {
	g := &s.space.segs[si]
	bad := func(what string) error {
		return fmt.Errorf("persist: invariant: segment %d (%+v): %s, %d live, %d held", si, *g, what, live, held)
	}
	switch {
	case g.held != held:
		return bad("records")
	case s.space.known && g.live != live:
		return bad("count")
	case live+held > 0 && (g.state == segFree || g.state == segDoubtful || g.state == segResting):
		return bad("not free")
	case s.space.known && live+held == 0 && g.state == segUsed:
		return bad("neither used nor free")
	case live == 0:
		return nil
	}
	tags, err := []tag(nil), error(nil)
	if g.state == segActive {
		for h := range s.space.heads {
			if hd := &s.space.heads[h]; hd.seg == si {
				tags = hd.tags
			}
		}
	} else if tags, err = s.summary(si); err != nil {
		return err
	}
	for i := range s.space.perSegment {
		if t, ok := use[s.space.block(si, i)]; ok && (i >= len(tags) || tags[i] != t) {
			return bad(fmt.Sprintf("the tag of block %d is not %#x", i, uint32(t)))
		}
	}
	return nil
}

func (s *Store) auditJournal() error {
	j := &s.journal
	first := j.pos
	if len(j.blocks) > 0 {
		first = j.blocks[0].first
	}
	if need := s.needed(); need < first {
		return fmt.Errorf("persist: invariant: the journal begins at %d, %d is needed", first, need)
	}
	var err error
	s.table.overlay.each(func(t tag, _ uint64) bool {
		p, i, ok := t.parent()
		d := j.dirty[p]
		if !ok || d == nil || d.changed[i/64]>>(i%64)&1 == 0 {
			err = fmt.Errorf("persist: invariant: %#x is in the overlay, the node above it is not dirty", uint32(t))
		}
		return err == nil
	})
	return err
}
