package persist

// The page map: where each live page lies on the device, and its checksum.
//
// It is a radix tree of 512-way nodes, one block each, over 27 bits of page
// number: level 1 nodes (leaves) refer to pages, level 2 to leaves, level 3 is
// the top. A reference carries the checksum of what it refers to, so the root
// vouches for everything below it, and a page is found and proven by reading
// three nodes, whatever the size of the arena. As pages need only half of the
// top's references, the other half refers to usage blocks (space.go).
//
// Nodes are never changed on the device, and not even written anew in each
// commit: the commit records say what has changed since (journal.go).

const topLevel = 3

func index(p PageID, level int) int {
	return int(uint64(p) >> (nodeShift * (level - 1)) & (nodeFan - 1))
}
