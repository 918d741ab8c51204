package persist

// NextEpoch is the number that the next commit of s gets.
func NextEpoch(s *Store) Epoch { return s.nextEpoch }

// NodeBlocks lists the blocks of the page map's nodes.
func NodeBlocks(s *Store) (out []uint32) {
	var walk func(*node)
	walk = func(n *node) {
		if n.self.block != 0 {
			out = append(out, n.self.block)
		}
		for _, k := range n.kids {
			if k != nil {
				walk(k)
			}
		}
	}
	walk(s.pages.top)
	return out
}
