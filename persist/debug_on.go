//go:build phantomdebug

package persist

import "fmt"

// checkBarrier proves before each flip that no store went round the barrier (I5).
func (c *Checkpointer) checkBarrier() {
	if err := c.VerifyClean(); err != nil {
		panic(err)
	}
}

// checkOwners proves after each commit that the log's owners are exactly what
// the page map and the commit records refer to (I4).
func (s *Store) checkOwners() {
	n := len(s.records)
	expect := func(block uint32, t tag) {
		si, i := s.space.segmentOf(block)
		if o := s.space.segs[si].owners; o == nil || o[i] != ownerOf(t) || s.space.segs[si].free {
			panic(fmt.Sprintf("persist: invariant I4: block %d does not belong to %#x", block, uint32(t)))
		}
		n++
	}
	var walk func(*node)
	walk = func(k *node) {
		if k.dirty || k.self.block == 0 && k.used > 0 {
			panic("persist: invariant: a node was not written by the commit")
		}
		if k.self.block != 0 {
			expect(k.self.block, k.tag())
		}
		for _, c := range k.kids {
			if c != nil {
				walk(c)
			}
		}
	}
	walk(s.pages.top)
	s.pages.each(func(p PageID, r ref) bool {
		expect(r.block, makeTag(0, uint64(p)))
		return true
	})
	if n != s.space.live {
		panic(fmt.Sprintf("persist: invariant I4: %d blocks are referred to, %d have an owner", n, s.space.live))
	}
}
