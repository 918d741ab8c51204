package persist_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// TestStateBytesComeRound makes more flips than there are state bytes: a page that was stored to once must be found
// frozen each time that its byte is used again.
func TestStateBytesComeRound(t *testing.T) {
	h, d := newHistory(), sim.New(4<<20)
	s, _ := create(t, h, d, d.Len, 8)
	a := newArena(t, 64)
	c := persist.NewCheckpointer(s, a.mem)
	for i := range 600 {
		a.store(c, persist.PageID(i%60), 0, byte(i))
		a.store(c, 61, 0, byte(i))
		require.Equal(t, 2, c.Dirty(), "flip %d", i)
		_, err := c.Flip(nil)
		require.NoError(t, err)
		require.NoError(t, c.Wait())
		if i%3 == 0 {
			c.Settle()
		}
	}
	require.NoError(t, c.VerifyClean())
	require.NoError(t, c.Close())
}
