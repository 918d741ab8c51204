package persist

// NextEpoch is the number that the next commit of s gets.
func NextEpoch(s *Store) Epoch { return s.nextEpoch }
