package persist

// The node cache: contents of page map nodes, found by reference.
//
// A reference holds the checksum of what it refers to, and a node is never
// changed on the device. So an entry can't become stale, nothing is ever
// invalidated, and whatever is in the cache may be dropped at any time: that
// is what bounds the memory of the page map. It is set-associative, with a
// clock in each set. Readers and writers may be in fault context:
//
//  1. Who wants to fill a way makes its sequence number odd with one
//     compare-and-swap; who fails leaves it and does without the cache.
//  2. A reader takes a word only if the key is right and the sequence number
//     even and unchanged around the load; else it is a miss.
//  3. A set is allocated in normal context only; in fault context
//     a set that does not exist is a miss.

import "sync/atomic"

const cacheWays = 8

// nodeSetBytes is about what one set takes.
const nodeSetBytes = cacheWays * BlockSize

type nodeSet struct {
	key  [cacheWays]atomic.Uint64 // packed reference, 0 is empty
	seq  [cacheWays]atomic.Uint32
	used [cacheWays]atomic.Uint32
	hand atomic.Uint32
	data [cacheWays][nodeFan]atomic.Uint64
}

type nodeCache struct{ sets []atomic.Pointer[nodeSet] }

// newNodeCache makes a cache of at most about budget bytes.
func newNodeCache(budget int) *nodeCache {
	n := 1
	for 2*n*nodeSetBytes <= budget {
		n *= 2
	}
	return &nodeCache{make([]atomic.Pointer[nodeSet], n)}
}

func (c *nodeCache) slot(r uint64) *atomic.Pointer[nodeSet] {
	return &c.sets[(r>>32^r*0x9e3779b97f4a7c15>>33)&uint64(len(c.sets)-1)]
}

// word returns reference i of the node that r refers to, if it is here. Fault context.
func (c *nodeCache) word(r uint64, i int) (uint64, bool) {
	s := c.slot(r).Load()
	if s == nil {
		return 0, false
	}
	for w := range s.key {
		if s.key[w].Load() != r {
			continue
		}
		seq := s.seq[w].Load()
		v := s.data[w][i].Load()
		if seq&1 == 0 && s.key[w].Load() == r && s.seq[w].Load() == seq {
			s.used[w].Store(1)
			return v, true
		}
	}
	return 0, false
}

// get copies the whole node, if it is here. Fault context.
func (c *nodeCache) get(r uint64, into []uint64) bool {
	s := c.slot(r).Load()
	if s == nil {
		return false
	}
	for w := range s.key {
		if s.key[w].Load() != r {
			continue
		}
		seq := s.seq[w].Load()
		for i := range s.data[w] {
			into[i] = s.data[w][i].Load()
		}
		if seq&1 == 0 && s.key[w].Load() == r && s.seq[w].Load() == seq {
			s.used[w].Store(1)
			return true
		}
	}
	return false
}

// put keeps a node's proven content. Fault context.
func (c *nodeCache) put(r uint64, node []uint64) {
	s := c.slot(r).Load()
	if s == nil {
		return
	}
	for range 2 * cacheWays {
		w := s.hand.Add(1) % cacheWays
		if s.key[w].Load() == r {
			return
		}
		if s.used[w].Swap(0) != 0 {
			continue
		}
		seq := s.seq[w].Load()
		if seq&1 != 0 || !s.seq[w].CompareAndSwap(seq, seq+1) {
			continue
		}
		s.key[w].Store(0)
		for i := range s.data[w] {
			s.data[w][i].Store(node[i])
		}
		s.key[w].Store(r)
		s.seq[w].Store(seq + 2)
		return
	}
}

// grow makes the set of r exist. Normal context.
func (c *nodeCache) grow(r uint64) {
	if p := c.slot(r); p.Load() == nil {
		p.CompareAndSwap(nil, new(nodeSet))
	}
}

// growAll makes all sets exist. Normal context. They are one piece of fresh memory, which the system gives page by page
// as sets are used: a large cache costs a start nothing.
func (c *nodeCache) growAll() {
	all := make([]nodeSet, len(c.sets))
	for i := range c.sets {
		c.sets[i].CompareAndSwap(nil, &all[i])
	}
}
