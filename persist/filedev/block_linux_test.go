package filedev

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
)

// loop makes a loop device of size bytes, or skips the test aloud.
func loop(t testing.TB, size int64) (dev, file string) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, size))
	out, err := exec.Command("losetup", "--direct-io=on", "-f", "--show", file).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "SKIPPED without a loop device: %s: %v: %s\n", t.Name(), err, out)
		t.Skipf("losetup: %v: %s", err, out)
	}
	dev = strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() }) //nolint:errcheck // as well as can be
	return dev, file
}

func TestBlockDevice(t *testing.T) {
	_, err := OpenBlock(filepath.Join(t.TempDir(), "none"), true)
	require.ErrorIs(t, err, ErrNotBlock)
	_, err = OpenBlock("/dev/null", true)
	require.ErrorIs(t, err, ErrNotBlock)

	dev, file := loop(t, 64<<20+512)
	require.True(t, IsBlock(dev))
	d, err := OpenBlock(dev, false)
	require.NoError(t, err)
	require.Equal(t, int64(64<<20), d.Size(), "whole blocks")
	t.Logf("direct: %v", d.direct)
	_, err = OpenBlock(dev, false)
	require.ErrorIs(t, err, ErrBusy)
	r, err := OpenBlock(dev, true)
	require.NoError(t, err, "looking is allowed")

	// Memory and lengths as they come.
	odd := make([]byte, 3<<20+4097)[1:]
	for i := range odd {
		odd[i] = byte(i * 7)
	}
	require.False(t, aligned(odd, 0))
	want := [][]byte{odd[:4096], odd[5:][:8192], odd[:3<<20]}
	require.NoError(t, d.WriteGroup([][][]byte{want, {odd[:4096]}}, []int64{4096, 32 << 20}))
	all := bytes.Join(want, nil)
	for _, reader := range []*Device{d, r} {
		for _, span := range [][2]int{{0, len(all)}, {1, 100}, {4000, 9000}, {len(all) - 3, 3}, {4096, 4096}} {
			got := make([]byte, span[1]+1)[1:]
			n, err := reader.ReadAt(got, 4096+int64(span[0]))
			require.NoError(t, err)
			require.Equal(t, span[1], n)
			require.True(t, bytes.Equal(all[span[0]:][:n], got), "%v", span)
		}
	}
	n, err := r.ReadAt(make([]byte, 8192), 64<<20-4096)
	require.ErrorIs(t, err, io.EOF)
	require.GreaterOrEqual(t, n, 4096)
	require.NoError(t, d.Prepare(1<<20, 1<<20))
	got := make([]byte, 4096)
	_, err = d.ReadAt(got, 4096)
	require.NoError(t, err)
	require.Equal(t, want[0], got, "nothing is zeroed")
	onFile, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, all, onFile[4096:][:len(all)])
	require.NoError(t, d.Discard(0, d.Size()))
	_, err = d.WriteAt(odd[:4096], 64<<20)
	require.ErrorContains(t, err, "outside")

	st, err := persist.Create(d, persist.Options{})
	require.NoError(t, err)
	for i := range 20 {
		_, err := st.Commit(nil, []persist.PageImage{{ID: persist.PageID(i), Data: odd[i:][:4096]}})
		require.NoError(t, err)
	}
	require.NoError(t, st.Close())
	rep, err := persist.Fsck(r, io.Discard)
	require.NoError(t, err)
	require.True(t, rep.OK())
	require.NoError(t, r.Close())
	require.NoError(t, d.Close())
}

// TestBlockDeviceThatIsMounted: it must not be written.
func TestBlockDeviceThatIsMounted(t *testing.T) {
	dev, _ := loop(t, 16<<20)
	mnt := t.TempDir()
	for _, args := range [][]string{{"mkfs.ext4", "-q", dev}, {"mount", dev, mnt}} {
		if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
			t.Skipf("%v: %v: %s", args, err, out)
		}
	}
	defer exec.Command("umount", "-l", mnt).Run() //nolint:errcheck // as well as can be
	_, err := OpenBlock(dev, false)
	require.ErrorIs(t, err, ErrBusy)
	r, err := OpenBlock(dev, true)
	require.NoError(t, err)
	defer r.Close()
	c, err := persist.Probe(r)
	require.NoError(t, err)
	require.Equal(t, persist.Contents{What: "an ext2, ext3 or ext4 file system"}, c)
}
