package nbddev

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/filedev"
	"phantomvm/persist/nbddev/nbdtest"
)

// BenchmarkCommit makes durable commits of 100 pages on every kind of device, one after the other in
// turns, all of them on one file system; the times are also given as ratios to the file's.
func BenchmarkCommit(b *testing.B) {
	const size, pages = 256 << 20, 100
	devices := map[string]persist.Device{}
	f, err := filedev.Create(filepath.Join(b.TempDir(), "img"), size)
	require.NoError(b, err)
	defer f.Close()
	devices["file"] = f
	back := filepath.Join(b.TempDir(), "back")
	require.NoError(b, os.WriteFile(back, make([]byte, size), 0o600)) // all there, as on a real disk
	require.NoError(b, exec.Command("sync", back).Run())
	if out, err := exec.Command("losetup", "-f", "--show", back).CombinedOutput(); err != nil {
		b.Logf("SKIPPED: loop device: %v: %s", err, out)
	} else {
		dev := strings.TrimSpace(string(out))
		defer exec.Command("losetup", "-d", dev).Run() //nolint:errcheck // as well as can be
		d, err := filedev.OpenBlock(dev, false)
		require.NoError(b, err)
		defer d.Close()
		devices["loop"] = d
	}
	for _, kind := range []nbdtest.Kind{nbdtest.Nbdkit, nbdtest.Qemu} {
		target, err := ParseTarget(nbdtest.Start(b, kind, size).URI)
		require.NoError(b, err)
		d, err := Open(b.Context(), target, Options{})
		require.NoError(b, err)
		defer d.Close()
		devices[string(kind)] = d
	}
	stores := map[string]*persist.Store{}
	for name, d := range devices {
		stores[name], err = persist.Create(d, persist.Options{})
		require.NoError(b, err)
	}
	took := map[string]time.Duration{}
	round := 0
	for b.Loop() {
		round++
		for name, s := range stores {
			var list []persist.PageImage
			for i := range pages {
				list = append(list, persist.PageImage{ID: persist.PageID(i * 5), Data: pattern(4096, round+i)})
			}
			start := time.Now()
			_, err := s.Commit(nil, list)
			took[name] += time.Since(start)
			require.NoError(b, err)
		}
	}
	for name, d := range took {
		b.ReportMetric(float64(d.Microseconds())/float64(round), "us/"+name)
		b.ReportMetric(float64(d)/float64(took["file"]), name+"/file")
	}
}

// BenchmarkRead reads single pages, as demand paging does.
func BenchmarkRead(b *testing.B) {
	for _, kind := range []nbdtest.Kind{nbdtest.Nbdkit, nbdtest.Qemu} {
		b.Run(string(kind), func(b *testing.B) {
			target, err := ParseTarget(nbdtest.Start(b, kind, 64<<20).URI)
			require.NoError(b, err)
			d, err := Open(b.Context(), target, Options{})
			require.NoError(b, err)
			defer d.Close()
			buf := make([]byte, 4096)
			i := int64(0)
			for b.Loop() {
				_, err := d.ReadAt(buf, i<<12%(64<<20))
				require.NoError(b, err)
				i++
			}
		})
	}
}
