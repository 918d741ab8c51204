package persist_test

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// program is a mutator on an arena whose snapshots at flips are remembered.
type program struct {
	a    *arena
	c    *persist.Checkpointer
	rng  *rand.Rand
	h    *history
	st   state
	span int
}

func newProgram(t testing.TB, rng *rand.Rand, h *history, s *persist.Store, span int) *program {
	t.Helper()
	a := newArena(t, span)
	return &program{a, persist.NewCheckpointer(s, a.mem), rng, h, state{map[persist.PageID][]byte{}, "new"}, span}
}

// slice stores and discards at random.
func (p *program) slice(n int) {
	for range n {
		page := persist.PageID(p.rng.IntN(p.span))
		switch p.rng.IntN(20) {
		case 0:
			p.c.Discard(page)
			clear(p.a.page(page))
		default:
			p.a.store(p.c, page, p.rng.IntN(persist.BlockSize), byte(p.rng.IntN(256)))
		}
	}
}

// snapshot copies the arena as a state.
func (p *program) snapshot(meta string) state {
	st := state{map[persist.PageID][]byte{}, meta}
	for i := range persist.PageID(p.span) {
		b := p.a.page(i)
		if old := p.st.pages[i]; old != nil && bytes.Equal(old, b) {
			st.pages[i] = old
		} else if !bytes.Equal(b, make([]byte, persist.BlockSize)) {
			st.pages[i] = append([]byte(nil), b...)
		}
	}
	p.st = st
	return st
}

// flip makes a checkpoint and remembers what it must contain.
func (p *program) flip(t testing.TB) persist.Epoch {
	t.Helper()
	meta := string([]byte{byte(p.rng.IntN(256)), byte(p.rng.IntN(256))})
	st := p.snapshot(meta)
	e, err := p.c.Flip([]byte(meta))
	require.NoError(t, err)
	p.h.attempted[e] = append(p.h.attempted[e], st)
	return e
}

// TestCheckpointerCrash runs a program while checkpoints are written, then
// crashes the device at every operation.
func TestCheckpointerCrash(t *testing.T) {
	for _, procs := range []int{1, 2} {
		for _, gather := range []bool{false, true} {
			rng, _ := newRand(t)
			old := runtime.GOMAXPROCS(procs)
			h, d := newHistory(), sim.New(2<<20)
			var dev persist.Device = d
			if gather {
				dev = sim.Gathering{Disk: d}
			}
			s, _ := create(t, h, dev, d.Len, 8)
			p := newProgram(t, rng, h, s, 64)
			var mu sync.Mutex
			p.c.OnComplete(func(e persist.Epoch, err error) {
				mu.Lock()
				defer mu.Unlock()
				if err == nil {
					h.acked = append(h.acked, ack{d.Len(), e})
				}
			})
			for range 20 {
				p.slice(1 + rng.IntN(40))
				if p.c.Dirty() == 0 {
					continue
				}
				e := p.flip(t)
				for p.c.Busy() { // stores against the staging
					p.slice(1 + rng.IntN(4))
					p.c.Yield()
				}
				require.Equal(t, e, p.c.Durable())
			}
			require.NoError(t, p.c.VerifyClean())
			stats := p.c.Stats()
			require.NoError(t, p.c.Close())
			runtime.GOMAXPROCS(old)
			n := crashEverywhere(t, rng, h, d, 2)
			t.Logf("procs %d gather %v: %d images, %+v", procs, gather, n, stats)
		}
	}
}

// slowDevice holds writes back until it is told to go on.
type slowDevice struct {
	*sim.Disk
	gate chan struct{}
}

func (d *slowDevice) Flush() error {
	<-d.gate
	return d.Disk.Flush()
}

// TestCopyOnWrite proves with many overlapping rounds that a checkpoint holds
// the pages as they were at the flip, whatever is stored later.
func TestCopyOnWrite(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(32<<20)
	s, _ := create(t, h, d, d.Len, 0)
	p := newProgram(t, rng, h, s, 1200)
	var last persist.Epoch
	for start := time.Now(); time.Since(start) < 2*time.Second; {
		for i := range persist.PageID(1200) {
			p.a.store(p.c, i, rng.IntN(persist.BlockSize), byte(rng.Uint32()))
		}
		last = p.flip(t)
		for range 3000 {
			p.a.store(p.c, persist.PageID(rng.IntN(1200)), rng.IntN(persist.BlockSize), byte(rng.Uint32()))
		}
		require.NoError(t, p.c.Wait())
		s2, rec, err := persist.Open(readOnly{d})
		require.NoError(t, err)
		got, err := load(s2, rec)
		require.NoError(t, err)
		require.NoError(t, h.check(last, got))
		delete(h.attempted, last)
	}
	st := p.c.Stats()
	require.NotZero(t, st.Copied)
	require.NoError(t, p.c.Close())
	t.Logf("epoch %d %+v", last, st)
}

// readOnly lets a second store look at a device in use.
type readOnly struct{ *sim.Disk }

func (readOnly) WriteAt([]byte, int64) (int, error) { return 0, errors.New("read only") }
func (readOnly) Flush() error                       { return nil }

func TestFlipStates(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), &slowDevice{sim.New(1 << 20), make(chan struct{}, 100)}
	for range 100 {
		d.gate <- struct{}{}
	}
	s, _ := create(t, h, d, d.Len, 4)
	p := newProgram(t, rng, h, s, 32)
	for len(d.gate) > 0 {
		<-d.gate
	}
	ops := d.Len()
	e, err := p.c.Flip([]byte("nothing dirty"))
	require.NoError(t, err)
	require.Equal(t, persist.Epoch(1), e)
	require.NoError(t, p.c.Wait())
	require.Equal(t, ops, d.Len(), "an idle flip must not write")

	p.a.store(p.c, 3, 0, 1)
	require.Equal(t, 1, p.c.Dirty())
	e, err = p.c.Flip(nil)
	require.NoError(t, err)
	require.True(t, p.c.Busy())
	require.Equal(t, persist.Epoch(1), p.c.Durable())
	p.a.store(p.c, 3, 0, 2)
	_, err = p.c.Flip(nil)
	require.ErrorIs(t, err, persist.ErrBusy)
	d.gate <- struct{}{}
	<-p.c.Completed()
	require.NoError(t, p.c.Wait())
	require.Equal(t, e, p.c.Durable())

	_, err = p.c.Flip(make([]byte, persist.MaxMeta+1))
	require.ErrorIs(t, err, persist.ErrMetaTooLong)
	d.gate <- struct{}{}
	e2, err := p.c.Flip(bytes.Repeat([]byte{9}, persist.MaxMeta))
	require.NoError(t, err)
	require.Equal(t, e+1, e2)
	require.NoError(t, p.c.Wait())
	d.gate <- struct{}{}
	e3, err := p.c.FlipMeta([]byte("only meta"))
	require.NoError(t, err)
	require.Equal(t, e2+1, e3)
	require.NoError(t, p.c.Close())
	_, err = p.c.Flip(nil)
	require.ErrorIs(t, err, persist.ErrClosed)
	d.gate <- struct{}{}
	_, rec, err := persist.Open(d)
	require.NoError(t, err)
	require.Equal(t, "only meta", string(rec.Meta))
}

// TestFailureIsSticky: after a full device nothing is written, the last
// durable epoch is good, and the program goes on from it later.
func TestFailureIsSticky(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(1<<20)
	s, _ := create(t, h, d, d.Len, 4)
	p := newProgram(t, rng, h, s, 32)
	p.slice(20)
	good := p.flip(t)
	require.NoError(t, p.c.Wait())
	h.acked = append(h.acked, ack{d.Len(), good})

	d.SetFault(&sim.Fault{At: 1, Err: persist.ErrNoSpace, Torn: 2})
	p.slice(20)
	p.flip(t)
	require.ErrorIs(t, p.c.Wait(), persist.ErrNoSpace)
	d.SetFault(nil)
	ops := d.Len()
	p.slice(20)
	_, err := p.c.Flip(nil)
	require.ErrorIs(t, err, persist.ErrNoSpace)
	require.ErrorIs(t, p.c.Err(), persist.ErrFailed)
	require.Equal(t, good, p.c.Durable())
	require.ErrorIs(t, p.c.Close(), persist.ErrNoSpace)
	require.NoError(t, s.Close())
	require.Equal(t, ops, d.Len(), "nothing is written after a failure")
	e, err := h.verifyImage(d.Image(), d.Len())
	require.NoError(t, err)
	require.Equal(t, good, e)
}

// TestPoolShrinks: memory for copies that one busy checkpoint needed is given back.
func TestPoolShrinks(t *testing.T) {
	h, d := newHistory(), &slowDevice{sim.New(64 << 20), make(chan struct{}, 10000)}
	for range 10 {
		d.gate <- struct{}{}
	}
	s, _ := create(t, h, d, d.Len, 0)
	for len(d.gate) > 0 {
		<-d.gate
	}
	const n = 2000
	p := newProgram(t, rand.New(rand.NewPCG(1, 1)), h, s, n)
	most := 0
	for round := range 400 {
		few := n
		if round > 20 {
			few = 3
		}
		for i := range persist.PageID(few) {
			p.a.store(p.c, i, 0, byte(round+1))
		}
		_, err := p.c.Flip(nil)
		require.NoError(t, err)
		for i := persist.PageID(few) - 1; i < n; i-- { // against the staging's direction
			p.a.store(p.c, i, 1, byte(round+1))
		}
		d.gate <- struct{}{}
		require.NoError(t, p.c.Wait())
		d.gate <- struct{}{}
		_, err = p.c.Flip(nil)
		require.NoError(t, err)
		require.NoError(t, p.c.Wait())
		for len(d.gate) > 0 {
			<-d.gate
		}
		most = max(most, p.c.PoolPages())
	}
	require.LessOrEqual(t, p.c.PoolPages(), 64)
	t.Logf("at most %d pages, %+v", most, p.c.Stats())
	require.NoError(t, p.c.Close())
}

func TestVerifyCleanFindsBypass(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(1<<20)
	s, _ := create(t, h, d, d.Len, 4)
	p := newProgram(t, rng, h, s, 32)
	for i := range persist.PageID(32) {
		p.a.store(p.c, i, 0, 1)
	}
	p.flip(t)
	require.NoError(t, p.c.VerifyClean())
	p.a.store(p.c, 7, 1, 1)
	require.NoError(t, p.c.VerifyClean(), "a dirty page may change")
	p.a.page(9)[5] ^= 4
	require.ErrorIs(t, p.c.VerifyClean(), persist.ErrBypass)
	require.ErrorContains(t, p.c.VerifyClean(), "page 0x9")
	p.a.page(9)[5] ^= 4
	require.NoError(t, p.c.Close())
}

// TestLogStaysBounded: the log stays within about twice the live data, with
// groups smaller and larger than a segment.
func TestLogStaysBounded(t *testing.T) {
	for _, segment := range []int{4, 64} {
		rng, seed := newRand(t)
		d := sim.New(64 << 20)
		s, err := persist.Create(d, persist.Options{SegmentBlocks: segment})
		require.NoError(t, err)
		const pages = 3000
		worst, commits := 0.0, 800
		if raceDetector {
			commits = 60
		}
		for i := range commits {
			var list []persist.PageImage
			n := 40
			if i == 0 {
				n = pages
			}
			for k := range n {
				id := persist.PageID(k)
				if i > 0 {
					// Some pages are hot, so segments empty unevenly.
					id = persist.PageID(rng.ExpFloat64()*pages/8) % pages
				}
				list = append(list, persist.PageImage{ID: id, Data: randomPage(rng)})
			}
			_, err := s.Commit(nil, list)
			require.NoError(t, err)
			st := s.Stats()
			worst = max(worst, float64(st.UsedBlocks-16*64)/float64(st.LiveBlocks))
		}
		st := s.Stats()
		t.Logf("seed %d: segments of %d: worst used/live beyond 1024 blocks: %.2f, %+v, amplification %.2f",
			seed, segment, worst, st, float64(st.Written)/persist.BlockSize/float64(st.Pages))
		require.Less(t, worst, 2.0)
		require.True(t, raceDetector || st.Moved > 0)
		rep, err := persist.Fsck(d, nil)
		require.NoError(t, err)
		require.True(t, rep.OK())
	}
}
