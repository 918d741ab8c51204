package persist

// The page map: where each live page lies on the device, and its checksum.
//
// It is a radix tree of 512-way nodes, one block each, over 27 bits of page
// number: level 1 nodes (leaves) refer to pages, level 2 to leaves, level 3 is
// the top. A reference carries the checksum of what it refers to, so the root
// vouches for everything below it, and a page is found and proven by reading
// three nodes, whatever the size of the arena.
//
// Nodes are never changed on the device. A commit writes the changed nodes
// anew, leaves first, and the old ones become free.

const topLevel = 3

type node struct {
	level  int
	id     uint64 // number of the first page below >> (9*level)
	parent *node
	self   ref // where the node lies on the device; block 0 if nowhere yet
	dirty  bool
	used   int // references that are not absent, or kids that exist
	refs   [nodeFan]ref
	kids   []*node // levels 2 and 3
}

func newNode(level int, id uint64, parent *node) *node {
	n := &node{level: level, id: id, parent: parent}
	if level > 1 {
		n.kids = make([]*node, nodeFan)
	}
	return n
}

func (n *node) tag() tag { return makeTag(n.level, n.id) }

// slot is the node's index in its parent.
func (n *node) slot() int { return int(n.id & (nodeFan - 1)) }

func (n *node) encode(b []byte) {
	for i, r := range n.refs {
		putRef(b[i*8:], r)
	}
}

type pageMap struct {
	top   *node
	pages uint64
	dirty [topLevel + 1][]*node // by level
}

func newPageMap() *pageMap { return &pageMap{top: newNode(topLevel, 0, nil)} }

func index(p PageID, level int) int {
	return int(uint64(p) >> (nodeShift * (level - 1)) & (nodeFan - 1))
}

// leaf returns the leaf of p, or nil if there is none and create is not set.
func (m *pageMap) leaf(p PageID, create bool) *node {
	n := m.top
	for n.level > 1 {
		i := index(p, n.level)
		k := n.kids[i]
		if k == nil {
			if !create {
				return nil
			}
			k = newNode(n.level-1, uint64(p)>>(nodeShift*(n.level-1)), n)
			n.kids[i] = k
			n.used++
		}
		n = k
	}
	return n
}

func (m *pageMap) get(p PageID) ref {
	n := m.leaf(p, false)
	if n == nil {
		return ref{}
	}
	return n.refs[index(p, 1)]
}

// set maps p to r (absent if r.block is 0), marks the path as changed, and
// returns what was there before.
func (m *pageMap) set(p PageID, r ref) ref {
	n := m.leaf(p, r.block != 0)
	if n == nil {
		return ref{}
	}
	i := index(p, 1)
	old := n.refs[i]
	if old == r {
		return old
	}
	n.refs[i] = r
	m.count(n, old, r)
	m.mark(n)
	return old
}

func (m *pageMap) count(n *node, old, r ref) {
	if old.block == 0 {
		n.used++
		m.pages++
	}
	if r.block == 0 {
		n.used--
		m.pages--
	}
}

// mark notes that the node and those above it must be written anew.
func (m *pageMap) mark(n *node) {
	for ; n != nil && !n.dirty; n = n.parent {
		n.dirty = true
		m.dirty[n.level] = append(m.dirty[n.level], n)
	}
}

func (m *pageMap) dirtyNodes() int { return len(m.dirty[1]) + len(m.dirty[2]) + len(m.dirty[3]) }

// find returns the existing node that t names, or nil.
func (m *pageMap) find(t tag) *node {
	n := m.top
	for n != nil && n.level > t.level() {
		n = n.kids[index(t.page(), n.level)]
	}
	return n
}

// each calls f for every live page in ascending order until f returns false.
func (m *pageMap) each(f func(PageID, ref) bool) { m.top.each(f) }

func (n *node) each(f func(PageID, ref) bool) bool {
	if n.level > 1 {
		for _, k := range n.kids {
			if k != nil && !k.each(f) {
				return false
			}
		}
		return true
	}
	for i, r := range n.refs {
		if r.block != 0 && !f(PageID(n.id<<nodeShift|uint64(i)), r) {
			return false
		}
	}
	return true
}
