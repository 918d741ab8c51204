package filedev

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

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
	d := newDevice(f, 1<<20)
	b := make([]byte, 4096)
	_, err = d.WriteAt(b, 0)
	require.ErrorIs(t, err, persist.ErrNoSpace)
	require.ErrorIs(t, d.WriteGather([][]byte{b, b}, 0), persist.ErrNoSpace)
	_, err = persist.Create(d, persist.Options{})
	require.ErrorIs(t, err, persist.ErrNoSpace)
}

// TestSystemCalls: a commit costs one pwritev for each run of neighbours and one flush.
func TestSystemCalls(t *testing.T) {
	d, err := Create(filepath.Join(t.TempDir(), "img"), 64<<20)
	require.NoError(t, err)
	defer d.Close()
	st, err := persist.Create(d, persist.Options{})
	require.NoError(t, err)
	commit := func(n int) {
		var pages []persist.PageImage
		for i := range n {
			pages = append(pages, persist.PageImage{ID: persist.PageID(i * 3), Data: bytes.Repeat([]byte{byte(i + 1)}, 4096)})
		}
		_, err := st.Commit(nil, pages)
		require.NoError(t, err)
	}
	commit(300) // prepares segments; the next ones do not
	writes, flushes := 0, 0
	var lengths []int
	d.pwritev = func(fd int, bufs [][]byte, off int64) (int, error) {
		writes++
		n, err := unix.Pwritev(fd, bufs, off)
		lengths = append(lengths, n)
		return n, err
	}
	d.sync = func(fd int) error { flushes++; return unix.Fdatasync(fd) }
	for _, n := range []int{1, 100} {
		writes, flushes, lengths = 0, 0, nil
		commit(n)
		require.Equal(t, 1, flushes, "%d pages", n)
		require.LessOrEqual(t, writes, 3, "%d pages: at most two segments, and the root: %v", n, lengths)
	}

	// Runs of more buffers than one call takes.
	var bufs [][]byte
	for i := range 2500 {
		bufs = append(bufs, bytes.Repeat([]byte{byte(i)}, i%7))
	}
	writes, flushes = 0, 0
	require.NoError(t, d.WriteGroup([][][]byte{bufs, {bufs[1]}}, []int64{4096, 1 << 20}))
	require.Equal(t, []int{4, 1}, []int{writes, flushes})
	want := bytes.Join(bufs, nil)
	got := make([]byte, len(want))
	_, err = d.ReadAt(got, 4096)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestFailedFlush: once a flush has failed none succeeds, and the commit is not taken for durable.
func TestFailedFlush(t *testing.T) {
	d, err := Create(filepath.Join(t.TempDir(), "img"), 16<<20)
	require.NoError(t, err)
	defer d.Close()
	st, err := persist.Create(d, persist.Options{})
	require.NoError(t, err)
	d.sync = func(int) error { return unix.EIO }
	page := []persist.PageImage{{ID: 1, Data: make([]byte, 4096)}}
	_, err = st.Commit(nil, page)
	require.ErrorIs(t, err, unix.EIO)
	d.sync = unix.Fdatasync
	require.ErrorIs(t, d.Flush(), unix.EIO)
	_, err = st.Commit(nil, page)
	require.ErrorIs(t, err, persist.ErrFailed)
	_, _, err = persist.Open(d)
	require.ErrorIs(t, err, unix.EIO, "the same device is not trusted again")
}

// TestLostWriteback is the real thing: a file system whose disk is full below it, so
// that data the file accepted can't be written back. What was not flushed must not
// be seen by the next opening, although the kernel still has it in its cache.
func TestLostWriteback(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting needs root")
	}
	run := func(name string, args ...string) string {
		out, err := exec.Command(name, args...).CombinedOutput()
		if err != nil {
			fmt.Fprintf(os.Stderr, "SKIPPED: %s: %s %v: %v: %s\n", t.Name(), name, args, err, out)
			t.Skipf("%s %v: %v: %s", name, args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	below, mnt := t.TempDir(), t.TempDir()
	run("mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", below)
	defer exec.Command("umount", "-l", below).Run() //nolint:errcheck // as well as can be
	disk := filepath.Join(below, "disk")
	require.NoError(t, os.WriteFile(disk, nil, 0o600))
	require.NoError(t, os.Truncate(disk, 64<<20))
	run("mkfs.ext4", "-q", "-O", "^has_journal", disk)
	loop := run("losetup", "-f", "--show", disk)
	defer exec.Command("losetup", "-d", loop).Run() //nolint:errcheck // likewise
	run("mount", loop, mnt)
	defer exec.Command("umount", "-l", mnt).Run() //nolint:errcheck // likewise

	path := filepath.Join(mnt, "img")
	d, err := Create(path, 8<<20)
	require.NoError(t, err)
	_, err = d.WriteAt(bytes.Repeat([]byte{1}, 1<<20), 0)
	require.NoError(t, err)
	require.NoError(t, d.Flush())
	filler, err := os.Create(filepath.Join(below, "filler"))
	require.NoError(t, err)
	defer filler.Close()
	for err == nil {
		_, err = filler.Write(make([]byte, 1<<16))
	}
	require.ErrorIs(t, err, unix.ENOSPC)
	fresh := bytes.Repeat([]byte{2}, 1<<20)
	_, err = d.WriteAt(fresh, 4<<20)
	require.NoError(t, err, "it lies in the cache")
	require.Error(t, d.Flush())
	require.NoError(t, d.Close())

	d, err = Open(path)
	require.NoError(t, err)
	defer d.Close()
	require.NoError(t, d.Flush(), "the kernel has reported its error and forgotten it")
	got := make([]byte, 1<<20)
	_, err = d.ReadAt(got, 4<<20)
	require.False(t, err == nil && bytes.Equal(got, fresh), "what was never written is still shown")
	_, err = d.ReadAt(got, 0)
	require.NoError(t, err)
	require.Equal(t, bytes.Repeat([]byte{1}, 1<<20), got)

	// The same when the process that wrote is gone before anybody learns of the error.
	d.f.Close()
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt(fresh, 4<<20)
	require.NoError(t, err)
	require.NoError(t, unix.SyncFileRange(int(f.Fd()), 0, 0, unix.SYNC_FILE_RANGE_WRITE))
	require.NoError(t, f.Close())
	d, err = Open(path)
	require.NoError(t, err)
	defer d.Close()
	_, err = d.ReadAt(got, 4<<20)
	require.False(t, err == nil && bytes.Equal(got, fresh), "what was never written is still shown")
}
