package persist_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
)

// wordDevice is a large device in little memory: of a block that repeats one
// word only that word is kept. It counts the blocks that are read.
type wordDevice struct {
	size   int64
	words  map[int64]uint64
	blocks map[int64][]byte
	reads  atomic.Int64
}

func newWordDevice(size int64) *wordDevice {
	return &wordDevice{size: size, words: map[int64]uint64{}, blocks: map[int64][]byte{}}
}

func (d *wordDevice) Size() int64  { return d.size }
func (d *wordDevice) Flush() error { return nil }

func (d *wordDevice) WriteAt(b []byte, off int64) (int, error) {
	for i := 0; i < len(b); i += persist.BlockSize {
		at, c := (off+int64(i))/persist.BlockSize, b[i:i+persist.BlockSize]
		w, same := binary.LittleEndian.Uint64(c), true
		for k := 8; k < len(c) && same; k += 8 {
			same = binary.LittleEndian.Uint64(c[k:]) == w
		}
		delete(d.blocks, at)
		d.words[at] = w
		if !same {
			d.blocks[at] = append([]byte(nil), c...)
		}
	}
	return len(b), nil
}

func (d *wordDevice) ReadAt(b []byte, off int64) (int, error) {
	for i := 0; i < len(b); i += persist.BlockSize {
		at, c := (off+int64(i))/persist.BlockSize, b[i:i+persist.BlockSize]
		d.reads.Add(1)
		if copy(c, d.blocks[at]) == 0 {
			for k := 0; k < len(c); k += 8 {
				binary.LittleEndian.PutUint64(c[k:], d.words[at])
			}
		}
	}
	return len(b), nil
}

// wordPage fills b with a word.
func wordPage(b []byte, w uint64) []byte {
	for k := 0; k < len(b); k += 8 {
		binary.LittleEndian.PutUint64(b[k:], w)
	}
	return b
}

// filled is an image with the given pages, all live.
func filled(t testing.TB, d persist.Device, pages int) *persist.Store {
	t.Helper()
	s, err := persist.Create(d, persist.Options{})
	require.NoError(t, err)
	const step = 1 << 14
	bufs := make([]byte, step*persist.BlockSize)
	for first := 0; first < pages; first += step {
		var list []persist.PageImage
		for i := range min(step, pages-first) {
			b := wordPage(bufs[i*persist.BlockSize:(i+1)*persist.BlockSize], uint64(first+i+1))
			list = append(list, persist.PageImage{ID: persist.PageID(first + i), Data: b})
		}
		_, err := s.Commit(nil, list)
		require.NoError(t, err)
	}
	return s
}

// TestResumeReadsLittle: what is read before the first page, and for it, does
// not grow with the number of live pages.
func TestResumeReadsLittle(t *testing.T) {
	sizes := []int{1 << 12, 1 << 20}
	if raceDetector || testing.Short() {
		sizes = []int{1 << 12, 1 << 16}
	}
	rng, _ := newRand(t)
	at, b := block(t)
	for _, pages := range sizes {
		d := newWordDevice(16 << 30)
		s := filled(t, d, pages)
		for i := range 40 { // the newest commits are small ones, scattered over the arena
			var list []persist.PageImage
			for k := range 100 {
				list = append(list, persist.PageImage{ID: persist.PageID(rng.IntN(pages)), Data: wordPage(make([]byte, persist.BlockSize), uint64(i*1000+k+1))})
			}
			_, err := s.Commit(nil, list)
			require.NoError(t, err)
		}
		d.reads.Store(0)
		s2, rec, err := persist.Open(d)
		require.NoError(t, err)
		require.Equal(t, uint64(pages), rec.Pages)
		opened := d.reads.Load()
		s2.Table().SetReader(reader(d))
		for range 10 {
			require.Equal(t, persist.FetchOK, s2.Table().Fetch(uint64(rng.IntN(pages)), at))
			require.NotZero(t, binary.LittleEndian.Uint64(b))
		}
		total := d.reads.Load()
		t.Logf("%d live pages: %d blocks read to open, %d with 10 pages; journal of %d entries", pages, opened, total, s.Stats().JournalEntries)
		if pages > 1<<12 {
			require.Less(t, opened, int64(pages/200))
		}
		require.Less(t, opened, int64(6+101+2*s.Stats().JournalEntries/100+16))
		require.LessOrEqual(t, total-opened, int64(10*4))
	}
}

// draw gives page numbers below n.
type draw func(n int) int

func uniform(rng *rand.Rand) draw { return rng.IntN }

func zipf(rng *rand.Rand, n int) draw {
	z, perm := rand.NewZipf(rng, 1.1, 8, uint64(n-1)), rng.Perm(n)
	return func(int) int { return perm[z.Uint64()] }
}

// churn commits until the live pages were written rounds times over, and
// returns what that wrote.
func churn(t testing.TB, s *persist.Store, pages, perCommit, rounds int, next draw) persist.Stats {
	t.Helper()
	page := make([]byte, persist.BlockSize)
	v := uint64(1 << 40)
	run := func(n int) {
		for ; n > 0; n -= perCommit {
			list := make([]persist.PageImage, 0, perCommit)
			seen := map[int]bool{}
			for len(list) < perCommit {
				p := next(pages)
				if !seen[p] {
					seen[p] = true
					v++
					list = append(list, persist.PageImage{ID: persist.PageID(p), Data: wordPage(page, v)})
				}
			}
			_, err := s.Commit(nil, list)
			require.NoError(t, err)
		}
	}
	run(pages * rounds) // until the log is full and cleaned
	before := s.Stats()
	run(pages * rounds)
	st := s.Stats()
	st.Pages -= before.Pages
	st.Moved -= before.Moved
	st.Nodes -= before.Nodes
	st.RecordBlocks -= before.RecordBlocks
	st.SummaryBlocks -= before.SummaryBlocks
	st.Roots -= before.Roots
	st.Written -= before.Written
	return st
}

// TestWriteAmplification: bytes written for a byte of dirty pages in steady
// state, and the size of the log, with cleaning.
func TestWriteAmplification(t *testing.T) {
	pages := 1 << 14
	if raceDetector || testing.Short() {
		pages = 1 << 12
	}
	rng := rand.New(rand.NewPCG(1, 2)) // figures, not a search for faults
	for _, c := range []struct {
		name string
		next draw
	}{{"uniform", uniform(rng)}, {"zipf", zipf(rng, pages)}} {
		for _, n := range []int{100, 1000} {
			t.Run(fmt.Sprintf("%s/%d", c.name, n), func(t *testing.T) {
				s := filled(t, newWordDevice(16<<30), pages)
				st := churn(t, s, pages, n, 3, c.next)
				per := func(blocks uint64) float64 { return float64(blocks) / float64(st.Pages) }
				wa := float64(st.Written) / persist.BlockSize / float64(st.Pages)
				slack := 32 * 256 // segments that rest, that are being filled, and the constant
				space := float64(st.UsedBlocks) / float64(st.LiveBlocks)
				t.Logf("amplification %.3f: moved %.3f, nodes %.3f, records %.4f, summaries %.4f, roots %.4f; log %.2f of live, journal %d",
					wa, per(st.Moved), per(st.Nodes), per(st.RecordBlocks), per(st.SummaryBlocks), per(st.Roots), space, st.JournalEntries)
				require.LessOrEqual(t, st.UsedBlocks, 2*st.LiveBlocks+slack)
				require.Less(t, wa, 1.3)
				require.NoError(t, persist.Audit(s))
				require.Zero(t, st.Corrected)
			})
		}
	}
}
