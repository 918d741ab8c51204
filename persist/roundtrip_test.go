package persist_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/filedev"
)

func TestRoundTripOnFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk.img")
	dev, err := filedev.Create(path, 64<<30)
	require.NoError(t, err)
	fi, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), fi.Mode())

	id := persist.InstanceID{1, 2, 3}
	s, err := persist.Create(dev, persist.Options{InstanceID: id, Versions: persist.Versions{ArenaLayout: 3, InstructionSet: 7}, Meta: []byte("new")})
	require.NoError(t, err)
	const pages = 1 << 20
	a := newArena(t, pages)
	c := persist.NewCheckpointer(s, a.mem)
	for round := 1; round <= 20; round++ {
		for i := range 50 {
			a.store(c, persist.PageID(i*i*97*round%pages), i, byte(round))
			a.store(c, persist.PageID(pages-1-i), round, byte(i+1))
		}
		e, err := c.Flip([]byte{byte(round)})
		require.NoError(t, err)
		require.Equal(t, persist.Epoch(round+1), e)
		// Stores to frozen pages while they are being written.
		for i := range 50 {
			a.store(c, persist.PageID(pages-1-i), round+100, byte(i+1))
		}
		require.NoError(t, c.Wait())
		require.Equal(t, e, c.Durable())
		require.NoError(t, c.VerifyClean())
	}
	_, err = c.Flip([]byte("last"))
	require.NoError(t, err)
	require.NoError(t, c.Close())
	require.NoError(t, s.Close())
	require.NoError(t, dev.Close())

	dev, err = filedev.Open(path)
	require.NoError(t, err)
	defer dev.Close()
	s, rec, err := persist.Open(dev)
	require.NoError(t, err)
	require.Equal(t, persist.Epoch(22), rec.Epoch)
	require.Equal(t, id, rec.InstanceID)
	require.Equal(t, persist.Versions{Format: 2, ArenaLayout: 3, InstructionSet: 7}, rec.Versions)
	require.Equal(t, "last", string(rec.Meta))
	require.Zero(t, rec.Incomplete)
	require.Empty(t, rec.Notes)

	b := newArena(t, pages)
	require.NoError(t, s.LoadAll(b.page))
	for p := range persist.PageID(pages) {
		if s.Mapped(p) {
			require.Equal(t, a.page(p), b.page(p), "page %d", p)
		}
	}
	require.NotZero(t, rec.Pages)
	t.Logf("%+v", s.Stats())
}
