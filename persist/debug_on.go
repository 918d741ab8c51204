//go:build phantomdebug

package persist

// checkBarrier proves before each flip that no store went round the barrier (I5).
func (c *Checkpointer) checkBarrier() {
	if err := c.VerifyClean(); err != nil {
		panic(err)
	}
}

// checkAudit proves after each commit that what is kept in memory is what the
// page map and the records say.
func (s *Store) checkAudit() {
	if err := s.audit(); err != nil {
		panic(err)
	}
}
