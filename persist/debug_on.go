//go:build phantomdebug

package persist

// checkBarrier proves before each flip that no store went round the barrier.
func (c *Checkpointer) checkBarrier() {
	if err := c.VerifyClean(); err != nil {
		panic(err)
	}
}
