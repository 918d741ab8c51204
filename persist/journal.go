package persist

// The journal: what changed since the nodes of the page map were written.
//
// Every commit record lists, in order, what was put where (a page or a node),
// and what it replaced. Records are kept in a chain, the newest first, that
// reaches back to the first change which no written node contains. So a commit
// need not write the nodes above the pages that it wrote:
//
//  1. A change to a page makes its leaf dirty; writing a leaf changes a
//     reference in level 2 and makes that dirty; and so on to the top. A change
//     of a segment's count makes a usage block dirty, writing that the top.
//  2. The journal has positions: the number of entries before. A dirty node is
//     known by the position of its first change that is in no written node.
//  3. When the chain is longer than a limit, nodes are written, the one with
//     the oldest first change first. One write covers all changes of a node, of
//     which many have come together by then.
//  4. Records that end before the oldest first change are given up, but not
//     those that name blocks of a segment which is still being filled: its
//     tags are in no summary yet.
//  5. A record that has room left is replaced by the next one, which repeats
//     its entries, so that the chain is short also when commits are small.
//
// Recovery reads the chain and goes through its entries from the newest to the
// oldest. An entry counts if no newer one has the same tag and no newer one is
// of the node above it, which then contains it.

import (
	"slices"
	"sort"
)

// dirtyNode is a node that is older than the journal.
type dirtyNode struct {
	first   uint64
	changed [nodeFan / 64]uint64 // which references
}

type queued struct {
	tag   tag
	first uint64
}

// chainBlock is one record of the chain, with positions first to end-1.
type chainBlock struct {
	ref        ref
	first, end uint64
}

type journal struct {
	blocks []chainBlock  // oldest first
	tail   []recordEntry // of the newest block
	pos    uint64
	dirty  map[tag]*dirtyNode
	queue  []queued // ascending; an entry counts if dirty says the same
	usage  []bool   // usage blocks that are dirty, to save a look into the map
	spare  []*dirtyNode
}

func newJournal() journal { return journal{dirty: map[tag]*dirtyNode{}} }

// change notes that reference i of node t changed at the present position.
func (j *journal) change(t tag, i int) {
	d := j.dirty[t]
	if d == nil {
		if n := len(j.spare); n > 0 {
			d, j.spare = j.spare[n-1], j.spare[:n-1]
			*d = dirtyNode{}
		} else {
			d = new(dirtyNode)
		}
		d.first = j.pos
		j.dirty[t] = d
		j.queue = append(j.queue, queued{t, j.pos})
	}
	if i >= 0 {
		d.changed[i/64] |= 1 << (i % 64)
	}
}

// changeUsage notes that a count in usage block k changed.
func (j *journal) changeUsage(k int) {
	for k >= len(j.usage) {
		j.usage = append(j.usage, false)
	}
	if !j.usage[k] {
		j.usage[k] = true
		j.change(usageTag(k), -1)
	}
}

// written notes that t was written with all its changes.
func (j *journal) written(t tag) *dirtyNode {
	d := j.dirty[t]
	delete(j.dirty, t)
	if k, ok := t.usage(); ok && k < len(j.usage) {
		j.usage[k] = false
	}
	return d
}

// oldest is the dirty node with the oldest first change.
func (j *journal) oldest() (t tag, first uint64, ok bool) {
	for len(j.queue) > 0 {
		q := j.queue[0]
		if d := j.dirty[q.tag]; d != nil && d.first == q.first {
			return q.tag, q.first, true
		}
		j.queue = j.queue[1:]
	}
	return 0, j.pos, false
}

// entries is the number that a recovery from the chain would go through.
func (j *journal) entries() int {
	if len(j.blocks) == 0 {
		return 0
	}
	return int(j.pos - j.blocks[0].first)
}

// limit is how many entries the chain may have: more for large arenas, where
// more leaves share them, but never so many that a resume takes long.
func journalLimit(pages uint64) int {
	return int(min(max(64, min(pages, 16<<10), pages/16), 256<<10))
}

// needed is the first position that a recovery needs.
func (s *Store) needed() uint64 {
	_, first, _ := s.journal.oldest()
	for h := range s.space.heads {
		if hd := &s.space.heads[h]; hd.seg >= 0 {
			first = min(first, hd.start)
		}
	}
	return first
}

// note lists a change in the group and draws the consequences.
func (s *Store) note(e recordEntry) {
	s.group = append(s.group, e)
	s.apply(e)
}

// apply does what an entry says about counts and dirty nodes.
func (s *Store) apply(e recordEntry) {
	j := &s.journal
	if _, ok := e.tag.summary(); !ok {
		for _, b := range [2]uint32{e.ref.block, e.old} {
			if s.space.inLog(b) {
				si, _ := s.space.segmentOf(b)
				j.changeUsage(si / usageFan)
			}
		}
		s.space.count(e.ref.block, 1)
		s.space.count(e.old, -1)
	}
	if p, i, ok := e.tag.parent(); ok {
		if _, summary := e.tag.summary(); !summary {
			j.change(p, i)
		}
	}
	j.pos++
}

// replay builds the state of an image from its chain of records, oldest first
// (each with its entries). The table's top is set.
func (s *Store) replay(chain []record, refs []ref) {
	j := &s.journal
	covered := map[tag]bool{} // nodes that contain whatever is older
	j.pos = 0
	for i := range chain {
		n := uint64(len(chain[i].entries))
		j.blocks = append(j.blocks, chainBlock{refs[i], j.pos, j.pos + n})
		j.pos += n
	}
	if len(chain) > 0 {
		j.tail = chain[len(chain)-1].entries
	}
	pos := j.pos
	for i := len(chain) - 1; i >= 0; i-- {
		for _, e := range slices.Backward(chain[i].entries) {
			pos--
			s.replayTags(e, pos)
			s.replayEntry(e, pos, covered)
		}
	}
	for t, d := range j.dirty {
		j.queue = append(j.queue, queued{t, d.first})
	}
	sort.Slice(j.queue, func(a, b int) bool {
		x, y := j.queue[a], j.queue[b]
		return x.first < y.first || x.first == y.first && x.tag < y.tag
	})
}

// replayTags finds out what lies in the segments that are still being filled.
func (s *Store) replayTags(e recordEntry, pos uint64) {
	for h := range s.space.heads {
		hd := &s.space.heads[h]
		if hd.seg < 0 || !s.space.inLog(e.ref.block) {
			continue
		}
		if si, i := s.space.segmentOf(e.ref.block); si == hd.seg && i < hd.next && hd.tags[i] == tagNone {
			hd.tags[i] = e.tag
			hd.start = min(hd.start, pos)
		}
	}
}

func (s *Store) replayEntry(e recordEntry, pos uint64, covered map[tag]bool) {
	if _, ok := e.tag.summary(); ok {
		return
	}
	j := &s.journal
	if k, ok := e.tag.usage(); ok {
		covered[usageTag(k)] = true // it counts its own block, too
	}
	for _, c := range [2]struct {
		block uint32
		n     int32
	}{{e.ref.block, 1}, {e.old, -1}} {
		if !s.space.inLog(c.block) {
			continue
		}
		si, _ := s.space.segmentOf(c.block)
		if k := si / usageFan; !covered[usageTag(k)] {
			s.space.delta[si] += c.n
			j.reach(usageTag(k), -1, pos)
		}
	}
	if e.tag.level() > 0 {
		if _, ok := e.tag.usage(); !ok {
			covered[e.tag] = true
		}
	}
	p, i, ok := e.tag.parent()
	if !ok || covered[p] {
		return
	}
	if _, known := s.table.overlay.get(e.tag); !known {
		s.table.overlay.put(e.tag, packRef(e.ref))
	}
	j.reach(p, i, pos)
}

// reach is change while going backwards: each call may make first older. The
// queue is made afterwards.
func (j *journal) reach(t tag, i int, pos uint64) {
	d := j.dirty[t]
	if d == nil {
		d = new(dirtyNode)
		j.dirty[t] = d
		if k, ok := t.usage(); ok {
			for k >= len(j.usage) {
				j.usage = append(j.usage, false)
			}
			j.usage[k] = true
		}
	}
	d.first = pos
	if i >= 0 {
		d.changed[i/64] |= 1 << (i % 64)
	}
}
