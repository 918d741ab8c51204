package persist

import "math/rand/v2"

// NextEpoch is the number that the next commit of s gets.
func NextEpoch(s *Store) Epoch { return s.nextEpoch }

// NodeBlocks lists the blocks of the page map's nodes above page.
func NodeBlocks(s *Store, page PageID) (out []uint32) {
	err := s.walk(func(t tag, r ref) error {
		if _, usage := t.usage(); t.level() > 0 && !usage && t.id() == uint64(page)>>(nodeShift*t.level()) {
			out = append(out, r.block)
		}
		return nil
	})
	if err != nil {
		panic(err)
	}
	return out
}

// Audit proves what a store keeps in memory.
func Audit(s *Store) error { return s.audit() }

// SpoilCounts adds n to the counts of some segments, in memory only.
func SpoilCounts(s *Store, rng *rand.Rand, n int32) {
	for si := range s.space.segs {
		if g := &s.space.segs[si]; g.state == segUsed && rng.IntN(2) == 0 {
			s.space.correct(si, g.live+n)
			s.space.rest(si)
		}
	}
}

// SummaryBlocks lists the summaries of segments that are not being filled.
func SummaryBlocks(s *Store) (out []uint32) {
	for si := range s.space.segs {
		if g := &s.space.segs[si]; g.state != segActive && g.sealed != s.space.commit {
			out = append(out, s.space.block(si, s.space.perSegment-1))
		}
	}
	return out
}
