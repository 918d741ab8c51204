package persist

// Segment cleaning: which blocks are live, and copying them forward.
//
// The truth about a block is the page map: the block is live if what its tag
// names is found there. So a count that is wrong costs work, never data:
//
//  1. Before a free segment is used, each tag of its summary is looked up. If
//     one is found in the segment, the segment is not free; its count is
//     corrected.
//  2. A segment whose summary can't be read, as a crash can leave one that was
//     being written again, is put aside. When nothing else is left, all of the
//     page map is searched for references to it.
//  3. Cleaning takes the segments with the lowest counts. It looks up each tag
//     and moves the blocks that are live: pages to the head of moved blocks,
//     nodes by writing them anew. The work of one commit is bounded by the
//     number of its own blocks; a segment may take several commits.
//
// A moved page's new place is published when it can be read back (nodes.go).

import (
	"encoding/binary"
	"fmt"
	"math"
	"sort"
)

// cleaner is the segment that is being cleaned, and those that come next.
type cleaner struct {
	seg     int // -1: none
	next    int
	tags    []tag
	sealed  uint64 // when its summary was written
	victims []int
}

// victimShare is the part of all segments that is chosen with one look at the
// counts: few, as counts change, but the look is then cheap for each of them.
const victimShare = 64

// freeSegment takes a segment that is proven to be free.
func (s *Store) freeSegment() (int, error) {
	for {
		si, fresh, ok := s.space.take()
		if !ok {
			break
		}
		if fresh {
			return si, nil
		}
		live, err := s.liveBlocks(si)
		if isCorrupt(err) {
			s.space.segs[si].state = segDoubtful
			s.space.doubtful = append(s.space.doubtful, si)
			continue
		}
		if err != nil {
			return 0, err
		}
		if live == 0 {
			return si, nil
		}
		s.stats.Corrected++
		s.space.segs[si].state = segUsed
		s.space.correct(si, int32(live))
	}
	if err := s.judgeDoubtful(); err != nil {
		return 0, err
	}
	if len(s.space.free) > 0 {
		si, _, _ := s.space.take()
		return si, nil
	}
	return 0, fmt.Errorf("%w: all %d segments of the device are in use", ErrNoSpace, s.space.total)
}

// liveBlocks counts the live blocks of a sealed segment by its summary.
func (s *Store) liveBlocks(si int) (int, error) {
	tags, err := s.summary(si)
	if err != nil {
		return 0, err
	}
	n := 0
	for i, t := range tags {
		if t == tagNone {
			continue
		}
		r, err := s.where(t)
		if err != nil {
			return 0, err
		}
		if r.block == s.space.block(si, i) {
			n++
		}
	}
	return n, nil
}

// summary reads the tags of a sealed segment.
func (s *Store) summary(si int) ([]tag, error) {
	b := make([]byte, BlockSize)
	block := s.space.block(si, s.space.perSegment-1)
	if err := readFull(s.dev, b, blockOffset(block)); err != nil {
		return nil, err
	}
	sum, err := decodeSummary(b, block, summary{instance: s.super.instance, segment: si, tags: make([]tag, s.space.perSegment-1)})
	return sum.tags, err
}

// judgeDoubtful searches the page map for the segments without a summary.
func (s *Store) judgeDoubtful() error {
	if len(s.space.doubtful) == 0 {
		return nil
	}
	live := map[int]int32{}
	err := s.walk(func(_ tag, r ref) error {
		if s.space.inLog(r.block) {
			si, _ := s.space.segmentOf(r.block)
			live[si]++
		}
		return nil
	})
	if err != nil {
		return err
	}
	for _, si := range s.space.doubtful {
		if live[si] == 0 {
			s.space.setFree(si)
		} else {
			s.stats.Corrected++
			s.space.segs[si].state = segUsed
			s.space.correct(si, live[si])
		}
	}
	s.space.doubtful = s.space.doubtful[:0]
	return nil
}

// clean copies live blocks forward (step 3 of a commit).
func (s *Store) clean() error {
	own := len(s.group)
	budget := 2*own + 32
	// A moved page may cost a leaf; the records and one segment are kept back.
	spare := s.space.available() - own/recordEntries - 2*s.space.perSegment
	budget = min(budget, spare/4)
	c := &s.cleaner
	for looked := 0; budget > 0 && s.space.wantsCleaning(); {
		// Since the last commit the segment may have become empty, and full again.
		if c.seg >= 0 && (s.space.segs[c.seg].state != segUsed || s.space.segs[c.seg].sealed != c.sealed) {
			c.seg = -1
		}
		if c.seg < 0 {
			if ok, err := s.nextVictim(); !ok || err != nil {
				return err
			}
		}
		for ; c.next < len(c.tags) && budget > 0; c.next++ {
			moved, err := s.cleanBlock(c.tags[c.next], s.space.block(c.seg, c.next))
			if err != nil {
				return err
			}
			if looked++; moved {
				budget--
			}
		}
		if c.next < len(c.tags) || looked > 16*(own+2*s.space.perSegment) {
			return nil
		}
		s.cleaned(c.seg)
		c.seg = -1
	}
	return nil
}

// cleaned notes that nothing in si is live.
func (s *Store) cleaned(si int) {
	if s.space.segs[si].live != 0 {
		s.stats.Corrected++
		s.space.correct(si, 0)
		s.journal.changeUsage(si / usageFan)
	}
	s.space.rest(si)
}

// nextVictim begins to clean the emptiest segment that is worth it: segments
// more than three quarters full are not, and what this commit wrote is not on
// the device yet.
func (s *Store) nextVictim() (bool, error) {
	c := &s.cleaner
	for {
		if len(c.victims) == 0 && !s.chooseVictims() {
			return false, nil
		}
		si := c.victims[0]
		c.victims = c.victims[1:]
		if !s.worthCleaning(si) {
			continue
		}
		tags, err := s.summary(si)
		if isCorrupt(err) {
			s.space.segs[si].bad = true // it stays as it is
			continue
		}
		if err != nil {
			return false, err
		}
		c.seg, c.next, c.tags, c.sealed = si, 0, tags, s.space.segs[si].sealed
		return true, nil
	}
}

func (s *Store) worthCleaning(si int) bool {
	g := &s.space.segs[si]
	return g.state == segUsed && !g.bad && g.held == 0 && g.live > 0 && int(g.live) <= s.space.perSegment*3/4 && g.sealed != s.space.commit
}

func (s *Store) chooseVictims() bool {
	c := &s.cleaner
	for si := range s.space.segs {
		if s.worthCleaning(si) {
			c.victims = append(c.victims, si)
		}
	}
	sort.Slice(c.victims, func(a, b int) bool {
		x, y := s.benefit(c.victims[a]), s.benefit(c.victims[b])
		return x > y || x == y && c.victims[a] > c.victims[b]
	})
	c.victims = c.victims[:min(len(c.victims), 1+len(s.space.segs)/victimShare)]
	return len(c.victims) > 0
}

// benefit is what cleaning a segment gains for what it costs: free space, the
// longer it stays free the better, for reading and writing what is live. Blocks
// that were written long ago will live on, those written lately may soon die by
// themselves. (After Rosenblum and Ousterhout, The Design and Implementation of
// a Log-Structured File System, 1992; the square root of the age was found, by
// TestWriteAmplification, to serve uniform and skewed writes alike.)
func (s *Store) benefit(si int) float64 {
	g := &s.space.segs[si]
	u := float64(g.live) / float64(s.space.perSegment)
	age := float64(s.space.clock - g.born + 1)
	return math.Sqrt(age) * (1 - u) / (1 + u)
}

// cleanBlock moves a block if it is live.
func (s *Store) cleanBlock(t tag, block uint32) (bool, error) {
	if t == tagNone {
		return false, nil
	}
	if _, ok := t.summary(); ok {
		return false, nil
	}
	r, err := s.where(t)
	if err != nil || r.block != block {
		return false, err
	}
	if t.level() > 0 {
		return true, s.putNode(t)
	}
	if err := s.room(headCold); err != nil {
		return false, err
	}
	slot, err := s.w.reserve()
	if err != nil {
		return false, err
	}
	if err := s.readBlock(r, s.w.at(slot), t.page(), "page checksum differs while it is moved"); err != nil {
		return false, err
	}
	to := ref{s.space.alloc(headCold, t), r.crc}
	s.w.putSlot(to.block, slot)
	s.note(recordEntry{t, to, r.block})
	s.pending[t] = to
	s.stats.Moved++
	return true, nil
}

// encodeCounts fills usage block k.
func (l *logSpace) encodeCounts(b []byte, k int) {
	clear(b)
	for i := range usageFan {
		if si := k*usageFan + i; si < len(l.segs) {
			binary.LittleEndian.PutUint16(b[2*i:], uint16(l.segs[si].live))
		}
	}
}

// readCounts reads the usage blocks, once, before the first commit. Segments
// whose usage block is damaged count as full.
func (s *Store) readCounts() error {
	l := s.space
	if l.known {
		return nil
	}
	b := make([]byte, BlockSize)
	for k := 0; k*usageFan < len(l.segs); k++ {
		r, err := s.table.lookup(usageTag(k))
		if err == nil && r.block != 0 {
			err = s.readBlock(r, b, NoPage, "usage block checksum differs")
		} else {
			clear(b)
		}
		if err != nil && !isCorrupt(err) {
			return err
		}
		for i := range min(usageFan, len(l.segs)-k*usageFan) {
			n := int32(binary.LittleEndian.Uint16(b[2*i:]))
			if err != nil {
				n = int32(l.perSegment)
			}
			si := k*usageFan + i
			l.correct(si, n+l.delta[si])
		}
	}
	l.known, l.delta = true, nil
	for si := range l.segs {
		if g := &l.segs[si]; g.state == segUsed && g.live == 0 && g.held == 0 {
			l.setFree(si)
		}
	}
	return nil
}
