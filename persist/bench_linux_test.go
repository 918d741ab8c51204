package persist_test

import (
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/filedev"
)

const benchPages = 1 << 18 // 1 GiB

// benchCheckpointer is a checkpointer on a file, with all pages live.
func benchCheckpointer(b *testing.B) (*arena, *persist.Checkpointer, *persist.Store) {
	b.Helper()
	dev, err := filedev.Create(filepath.Join(b.TempDir(), "disk.img"), 64<<30)
	require.NoError(b, err)
	s, err := persist.Create(dev, persist.Options{})
	require.NoError(b, err)
	a := newArena(b, benchPages)
	c := persist.NewCheckpointer(s, a.mem)
	b.Cleanup(func() {
		require.NoError(b, c.Close())
		require.NoError(b, dev.Close())
	})
	for p := range persist.PageID(benchPages) {
		a.store(c, p, 0, 1)
	}
	_, err = c.Flip(nil)
	require.NoError(b, err)
	require.NoError(b, c.Wait())
	return a, c, s
}

// BenchmarkCommit is the time from flip to durable, and of the flip alone, for
// n scattered pages.
func BenchmarkCommit(b *testing.B) {
	for _, n := range []int{10, 100, 1000, 10000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			a, c, s := benchCheckpointer(b)
			before := s.Stats()
			var flip time.Duration
			r := uint32(1)
			b.ResetTimer()
			for i := range b.N {
				b.StopTimer()
				for range n {
					r = r*1664525 + 1013904223
					a.store(c, persist.PageID(r>>8%benchPages), i&4095, byte(i))
				}
				for !c.Settle() { // as a machine does at slice boundaries
				}
				b.StartTimer()
				t := time.Now()
				_, err := c.Flip(nil)
				flip += time.Since(t)
				if err == nil {
					err = c.Wait()
				}
				if err != nil {
					b.Fatal(err)
				}
			}
			b.StopTimer()
			st := s.Stats()
			b.ReportMetric(float64(flip.Nanoseconds())/float64(b.N), "ns/flip")
			b.ReportMetric(float64(st.Written-before.Written)/float64(b.N)/persist.BlockSize, "blocks/op")
			b.ReportMetric(float64(st.Nodes-before.Nodes)/float64(b.N), "nodes/op")
			b.ReportMetric(float64(st.Moved-before.Moved)/float64(b.N), "moved/op")
		})
	}
}

// BenchmarkTouch is the first store to a clean page, without and with a copy
// for a checkpoint in flight.
func BenchmarkTouch(b *testing.B) {
	b.Run("clean", func(b *testing.B) {
		a, c, _ := benchCheckpointer(b)
		b.ResetTimer()
		for i := 0; i < b.N; i += benchPages {
			for p := range persist.PageID(min(benchPages, b.N-i)) {
				a.store(c, p, 0, byte(i))
			}
			b.StopTimer()
			_, err := c.Flip(nil)
			require.NoError(b, err)
			require.NoError(b, c.Wait())
			b.StartTimer()
		}
	})
	b.Run("in flight", func(b *testing.B) {
		const n = 2000
		a, c, _ := benchCheckpointer(b)
		var spent time.Duration
		var touched uint64
		for range max(5, b.N/n) {
			for p := range persist.PageID(n) {
				a.store(c, p*31%benchPages, 0, 1)
			}
			before := c.Stats().Copied
			_, err := c.Flip(nil)
			require.NoError(b, err)
			t := time.Now()
			for p := persist.PageID(n - 1); p > n/2; p-- { // against the staging's direction
				a.store(c, p*31%benchPages, 0, 2)
			}
			spent += time.Since(t)
			touched += c.Stats().Copied - before
			require.NoError(b, c.Wait())
		}
		b.ReportMetric(float64(spent.Nanoseconds())/float64(max(1, touched)), "ns/copy")
	})
}

// BenchmarkStore is a store to an open page with its barrier.
func BenchmarkStore(b *testing.B) {
	a, c, _ := benchCheckpointer(b)
	b.ResetTimer()
	for i := range b.N {
		a.store(c, persist.PageID(i>>12&15), i&4095, byte(i))
	}
}

// BenchmarkOpen is recovery: the root and what it needs, then all pages.
func BenchmarkOpen(b *testing.B) {
	dev, err := filedev.Create(filepath.Join(b.TempDir(), "disk.img"), 64<<30)
	require.NoError(b, err)
	s, err := persist.Create(dev, persist.Options{})
	require.NoError(b, err)
	page := make([]byte, persist.BlockSize)
	page[0] = 1
	var list []persist.PageImage
	for p := range persist.PageID(benchPages) {
		list = append(list, persist.PageImage{ID: p, Data: page})
	}
	_, err = s.Commit(nil, list)
	require.NoError(b, err)
	_, err = s.Commit(nil, list[:100]) // the newest group is a small one
	require.NoError(b, err)
	b.Run("state", func(b *testing.B) {
		for range b.N {
			_, _, err := persist.Open(dev)
			require.NoError(b, err)
		}
	})
	b.Run("pages", func(b *testing.B) {
		b.SetBytes(benchPages * persist.BlockSize)
		for range b.N {
			require.NoError(b, s.LoadAll(func(persist.PageID) []byte { return page }))
		}
	})
}
