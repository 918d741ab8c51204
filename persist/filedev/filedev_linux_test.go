package filedev

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
)

func TestDevice(t *testing.T) {
	path := filepath.Join(t.TempDir(), "img")
	_, err := Create(path, 1000)
	require.Error(t, err)
	d, err := Create(path, 1<<20)
	require.NoError(t, err)
	_, err = Create(path, 1<<20)
	require.ErrorIs(t, err, os.ErrExist)
	fi, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), fi.Mode().Perm())

	bufs := [][]byte{bytes.Repeat([]byte{1}, 4096), bytes.Repeat([]byte{2}, 8192), bytes.Repeat([]byte{3}, 4096)}
	require.NoError(t, d.WriteGather(bufs, 8192))
	require.NoError(t, d.Flush())
	require.NoError(t, d.Prepare(32<<10, 64<<10))
	got := make([]byte, 16384)
	_, err = d.ReadAt(got, 8192)
	require.NoError(t, err)
	require.Equal(t, bytes.Join(bufs, nil), got)

	_, err = d.WriteAt(got, 1<<20-4096)
	require.Error(t, err, "the image must not grow")
	require.Error(t, d.WriteGather(bufs, 1<<20-4096))
	_, err = d.WriteAt(got, -4096)
	require.Error(t, err)
	require.NoError(t, d.Close())

	r, err := OpenReadOnly(path)
	require.NoError(t, err)
	require.Equal(t, int64(1<<20), r.Size())
	_, err = r.WriteAt(got, 0)
	require.Error(t, err)
	require.NoError(t, r.Close())
	_, err = Open(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestFullFileSystem uses /dev/full, where every write is ENOSPC.
func TestFullFileSystem(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	require.NoError(t, err)
	defer f.Close()
	d := &Device{f, 1 << 20}
	b := make([]byte, 4096)
	_, err = d.WriteAt(b, 0)
	require.ErrorIs(t, err, persist.ErrNoSpace)
	require.ErrorIs(t, d.WriteGather([][]byte{b, b}, 0), persist.ErrNoSpace)
	_, err = persist.Create(d, persist.Options{})
	require.ErrorIs(t, err, persist.ErrNoSpace)
}
