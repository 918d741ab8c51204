package persist

// Writing nodes of the page map, and publishing them (journal.go says when).

import "slices"

// where is what a commit finds for t: what it has moved or written itself, or
// what the table says.
func (s *Store) where(t tag) (ref, error) {
	if r, ok := s.pending[t]; ok {
		return r, nil
	}
	return s.table.lookup(t)
}

// content gives node t with all its changes.
func (s *Store) content(t tag, into []uint64) error {
	r, err := s.where(t)
	if err != nil {
		return err
	}
	switch _, written := s.pending[t]; {
	case written: // it can't be read back yet
		i := slices.IndexFunc(s.writes, func(w nodeWrite) bool { return w.tag == t })
		copy(into, s.writes[i].node)
	case r.block == 0:
		clear(into)
	default:
		if err := s.table.loadNode(r, t, into); err != nil {
			return err
		}
	}
	d := s.journal.dirty[t]
	if d == nil {
		return nil
	}
	for i := range into {
		if d.changed[i/64]>>(i%64)&1 == 0 {
			continue
		}
		c := t.child(i)
		if r, ok := s.pending[c]; ok {
			into[i] = packRef(r)
		} else if v, ok := s.table.overlay.get(c); ok {
			into[i] = v
		}
	}
	return nil
}

// putNodes writes nodes until the journal is short enough (step 4 of a
// commit). The number is bounded by that of the commit's own blocks: each of
// them added one entry, and at least one is taken off by each node.
func (s *Store) putNodes() error {
	limit := uint64(journalLimit(s.pages))
	for left := 2*len(s.group) + 16; left > 0 && s.journal.pos-s.needed() > limit; left-- {
		t, first, ok := s.journal.oldest()
		if ok && first == s.needed() {
			if _, ok := s.pending[t]; ok {
				break // once in a commit is enough
			}
			if err := s.putNode(t); err != nil {
				return err
			}
			continue
		}
		// A segment that fills slowly holds the journal back.
		for h := range s.space.heads {
			if hd := &s.space.heads[h]; hd.seg >= 0 && hd.start == s.needed() {
				if err := s.seal(h); err != nil {
					return err
				}
				break
			}
		}
	}
	return nil
}

// nodeWrite is a node of the commit that is being written.
type nodeWrite struct {
	tag  tag
	ref  ref
	node []uint64
	was  *dirtyNode
}

// putNode writes t with all its changes. An empty one becomes absent.
func (s *Store) putNode(t tag) error {
	if k, ok := t.usage(); ok {
		return s.putUsage(k)
	}
	old, err := s.where(t)
	if err != nil {
		return err
	}
	node := s.nodeBuffer()
	if err := s.content(t, node); err != nil {
		return err
	}
	var r ref
	if !emptyNode(node) {
		if err := s.room(headNew); err != nil {
			return err
		}
		slot, err := s.w.reserve()
		if err != nil {
			return err
		}
		b := s.w.at(slot)
		for i, v := range node {
			putRef(b[8*i:], unpackRef(v))
		}
		r = ref{s.space.alloc(headNew, t), checksum(b)}
		s.w.putSlot(r.block, slot)
		s.stats.Nodes++
	}
	s.writes = append(s.writes, nodeWrite{t, r, node, s.journal.written(t)})
	s.pending[t] = r
	s.note(recordEntry{t, r, old.block})
	return nil
}

// putUsage writes usage block k. It counts its own block, too, so that a
// recovery need not apply the entry that names it.
func (s *Store) putUsage(k int) error {
	t := usageTag(k)
	old, err := s.where(t)
	if err != nil {
		return err
	}
	if err := s.room(headNew); err != nil {
		return err
	}
	slot, err := s.w.reserve()
	if err != nil {
		return err
	}
	j := &s.journal
	block := s.space.alloc(headNew, t)
	s.space.count(block, 1)
	s.space.count(old.block, -1)
	j.written(t)
	b := s.w.at(slot)
	s.space.encodeCounts(b, k)
	r := ref{block, checksum(b)}
	s.w.putSlot(block, slot)
	s.stats.Nodes++
	s.writes = append(s.writes, nodeWrite{tag: t, ref: r})
	s.pending[t] = r
	s.group = append(s.group, recordEntry{t, r, old.block})
	for _, b := range [2]uint32{block, old.block} {
		if si, _ := s.space.segmentOf(b); s.space.inLog(b) && si/usageFan != k {
			j.changeUsage(si / usageFan)
		}
	}
	j.change(topTag, usageSlot+k)
	j.pos++
	return nil
}

func emptyNode(node []uint64) bool {
	for _, v := range node {
		if v != 0 {
			return false
		}
	}
	return true
}

func (s *Store) nodeBuffer() []uint64 {
	if n := len(s.buffers); n > 0 {
		b := s.buffers[n-1]
		s.buffers = s.buffers[:n-1]
		return b
	}
	return make([]uint64, nodeFan)
}

// publish makes the root that has just become durable, or was recovered, what
// the table says. The order is that of the table's invariant 2: what moved, then
// nodes from below, each before what it contains is forgotten.
func (s *Store) publish() {
	s.table.limit.Store(logStart + uint32(len(s.space.segs))*s.super.segmentBlocks)
	for t, r := range s.pending {
		if t.level() == 0 {
			s.table.overlay.put(t, packRef(r))
		}
	}
	for level := 1; level <= topLevel; level++ {
		for _, w := range s.writes {
			_, usage := w.tag.usage()
			if w.tag.level() == level && w.tag != topTag || usage && level == topLevel {
				s.publishNode(w)
			}
		}
	}
	for _, w := range s.writes {
		if w.tag == topTag {
			s.publishNode(w)
		}
		if w.node != nil && len(s.buffers) < maxNodeBuffers {
			s.buffers = append(s.buffers, w.node)
		}
		if w.was != nil && len(s.journal.spare) < maxNodeBuffers {
			s.journal.spare = append(s.journal.spare, w.was)
		}
	}
	clear(s.pending)
	s.writes = s.writes[:0]
}

// maxNodeBuffers bounds what is kept for the next commit.
const maxNodeBuffers = 256

func (s *Store) publishNode(w nodeWrite) {
	v := packRef(w.ref)
	if w.node != nil && v != 0 {
		s.table.cache.grow(v)
		s.table.cache.put(v, w.node)
	}
	if w.tag == topTag {
		s.table.top.Store(v)
	} else {
		s.table.overlay.put(w.tag, v)
	}
	if w.was == nil {
		return
	}
	for i := range nodeFan {
		if w.was.changed[i/64]>>(i%64)&1 == 0 {
			continue
		}
		// What changed once more after the node was written stays.
		c := w.tag.child(i)
		if v, ok := s.table.overlay.get(c); ok && v == w.node[i] {
			s.table.overlay.remove(c)
		}
	}
}
