package persist_test

import (
	"errors"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// exhaustiveUnits is the most pending parts of which all subsets are tried.
const exhaustiveUnits = 6

// crashEverywhere replays the recorded operations; at every point it builds
// the images of both loss models and verifies them.
func crashEverywhere(t *testing.T, rng *rand.Rand, h *history, d *sim.Disk, random int) (images int) {
	t.Helper()
	try := func(what string, r *sim.Replay, img []byte) {
		images++
		if raceDetector && images%50 != 0 {
			return
		}
		_, err := h.verifyImage(img, r.Point())
		require.NoError(t, err, "%s after %d operations", what, r.Point())
	}
	for r := d.Replay(); ; {
		if raceDetector && rng.IntN(20) != 0 {
			if !r.Next() {
				return images
			}
			continue
		}
		try("process dies", r, r.ProcessDies(0))
		try("process dies, torn write", r, r.ProcessDies(1+rng.IntN(24)))
		blocks := r.Units(persist.BlockSize)
		if n := len(blocks); n <= exhaustiveUnits {
			for mask := range 1 << n {
				var saved []sim.Op
				for i, u := range blocks {
					if mask>>i&1 != 0 {
						saved = append(saved, u)
					}
				}
				try("power dies, subset", r, r.PowerDies(saved))
			}
		} else {
			// All but one, and one alone.
			for i := 0; i < n; i += 1 + n/16 + rng.IntN(1+n/4) {
				try("power dies, one lost", r, r.PowerDies(append(append([]sim.Op{}, blocks[:i]...), blocks[i+1:]...)))
				try("power dies, one saved", r, r.PowerDies(blocks[i:i+1]))
			}
		}
		if sectors := r.Units(sim.Sector); len(sectors) > 0 {
			for range random {
				try("power dies, sectors", r, r.PowerDies(sim.RandomSubset(rng, sectors)))
			}
		}
		if !r.Next() {
			return images
		}
	}
}

// TestCrashStore crashes a store at every write, with process deaths in the
// middle of commits: the next life goes on with writes that were never flushed.
func TestCrashStore(t *testing.T) {
	rng, _ := newRand(t)
	total := 0
	for _, cfg := range []struct {
		name                      string
		size                      int64
		segment, commits, n, wide int
	}{
		{"tiny commits", 512 << 10, 4, 60, 2, 4},
		{"cleaning", 768 << 10, 4, 50, 8, 14},
		{"wide", 5 << 18, 8, 20, 30, 40},
	} {
		t.Run(cfg.name, func(t *testing.T) {
			h, d := newHistory(), sim.New(cfg.size)
			s, st := create(t, h, d, d.Len, cfg.segment)
			for range cfg.commits {
				if rng.IntN(6) == 0 {
					d.SetFault(&sim.Fault{At: rng.IntN(4), Sticky: true, Err: sim.ErrIO, Torn: rng.IntN(40)})
				}
				s, st = commitOrRevive(t, rng, h, d, s, st, 1+rng.IntN(cfg.n), cfg.wide)
			}
			n := crashEverywhere(t, rng, h, d, 6)
			t.Logf("%d operations, %d images, %+v", d.Len(), n, s.Stats())
			total += n
		})
	}
	if !raceDetector {
		require.Greater(t, total, 1000)
	}
}

// commitOrRevive commits; if the device fails, the process dies and the image
// is opened again as it is, unflushed writes included.
func commitOrRevive(t *testing.T, rng *rand.Rand, h *history, d *sim.Disk, s *persist.Store, st state, n, wide int) (*persist.Store, state) {
	t.Helper()
	next := st.clone()
	pages := randomCommit(rng, &next, n, wide)
	h.attempt(nextEpoch(s), next)
	e, err := s.Commit([]byte(next.meta), pages)
	if err == nil {
		require.NoError(t, persist.Audit(s))
		h.acked = append(h.acked, ack{d.Len(), e})
		return s, next
	}
	require.ErrorIs(t, err, sim.ErrIO)
	_, err = s.Commit(nil, nil)
	require.ErrorIs(t, err, persist.ErrFailed, "the error must stay")
	d.SetFault(nil)
	s, rec, err := persist.Open(d)
	require.NoError(t, err)
	got, err := load(s, rec)
	require.NoError(t, err)
	require.NoError(t, h.check(rec.Epoch, got))
	require.NoError(t, persist.Audit(s))
	h.acked = append(h.acked, ack{d.Len(), rec.Epoch}) // Open answers only for what is durable
	return s, got
}

// nextEpoch is the number that the next commit gets.
func nextEpoch(s *persist.Store) persist.Epoch { return persist.NextEpoch(s) }

// TestCrashInSecondLife crashes, recovers, commits, and crashes again at every
// write of that commit.
func TestCrashInSecondLife(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(512<<10)
	s, st := create(t, h, d, d.Len, 4)
	for range 25 {
		s, st = commitOrRevive(t, rng, h, d, s, st, 1+rng.IntN(6), 10)
	}
	lives, r := 0, d.Replay()
	for r.Next() {
		if r.Point()%5 != 0 || raceDetector && r.Point()%25 != 0 || h.ackedAt(r.Point()) == 0 {
			continue
		}
		second := sim.FromImage(r.PowerDies(sim.RandomSubset(rng, r.Units(sim.Sector))))
		s, rec, err := persist.Open(second)
		require.NoError(t, err)
		got, err := load(s, rec)
		require.NoError(t, err)
		h2 := newHistory()
		h2.attempt(rec.Epoch, got)
		h2.acked = []ack{{0, rec.Epoch}}
		for range 3 {
			s, got = commitOrRevive(t, rng, h2, second, s, got, 1+rng.IntN(4), 10)
		}
		crashEverywhere(t, rng, h2, second, 2)
		lives++
	}
	require.Positive(t, lives)
}

// TestOlderRootStaysComplete: without interruption, both roots are complete at
// every point but for the slot that is being written (I3), and both can be opened.
func TestOlderRootStaysComplete(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(576<<10)
	s, st := create(t, h, d, d.Len, 4)
	for i := 0; i < 60 || s.Stats().Moved == 0 && i < 600; i++ {
		s, st = commitOrRevive(t, rng, h, d, s, st, 1+rng.IntN(6), 10)
	}
	require.NotZero(t, s.Stats().Moved, "the cleaner had nothing to do")
	opened := 0
	for r := d.Replay(); r.Next(); {
		if h.ackedAt(r.Point()) < 2 {
			continue
		}
		img := r.ProcessDies(0)
		rep, err := persist.Fsck(sim.FromImage(img), nil)
		require.NoError(t, err)
		for _, root := range rep.Roots {
			require.True(t, root.Complete, "%d operations: %+v", r.Point(), rep)
			s, rec, err := persist.OpenAt(sim.FromImage(append([]byte(nil), img...)), root.Epoch)
			require.NoError(t, err)
			got, err := load(s, rec)
			require.NoError(t, err)
			require.NoError(t, h.check(root.Epoch, got))
			opened++
		}
	}
	require.Greater(t, opened, 100)
}

// TestFaultAtEveryIO fails the Nth I/O, once or from then on, with and without
// a torn write, and expects the last acknowledged state or a newer attempt.
func TestFaultAtEveryIO(t *testing.T) {
	for n := 0; ; n++ {
		fired := false
		for _, f := range []sim.Fault{
			{At: n, Err: sim.ErrIO},
			{At: n, Err: sim.ErrIO, Torn: 3, Sticky: true},
			{At: n, Err: persist.ErrNoSpace, Torn: 9},
			{At: n, Err: persist.ErrNoSpace, Sticky: true},
		} {
			rng := rand.New(rand.NewPCG(uint64(n), 5))
			h, d := newHistory(), sim.New(512<<10)
			s, st := create(t, h, d, d.Len, 4)
			d.SetFault(&f)
			var err error
			for i := 0; i < 12 && err == nil; i++ {
				next := st.clone()
				pages := randomCommit(rng, &next, 5, 12)
				h.attempt(nextEpoch(s), next)
				var e persist.Epoch
				if e, err = s.Commit([]byte(next.meta), pages); err == nil {
					h.acked = append(h.acked, ack{d.Len(), e})
					st = next
				}
			}
			if err == nil {
				continue
			}
			fired = true
			require.ErrorIs(t, err, f.Err)
			require.ErrorIs(t, err, persist.ErrFailed)
			require.Equal(t, errors.Is(f.Err, persist.ErrNoSpace), errors.Is(err, persist.ErrNoSpace))
			_, err = h.verifyImage(d.Image(), d.Len())
			require.NoError(t, err, "fault %+v", f)
			// Healed, the image goes on.
			d.SetFault(nil)
			s, _, err = persist.Open(d)
			require.NoError(t, err)
			_, err = s.Commit([]byte("healed"), nil)
			require.NoError(t, err)
		}
		if !fired {
			require.Greater(t, n, 15)
			return
		}
	}
}

// TestLyingFlush: a disk that drops flushes can lose acknowledged states, but
// what is recovered must still be one state, or a refusal.
func TestLyingFlush(t *testing.T) {
	rng, _ := newRand(t)
	recovered, refused := 0, 0
	for range 40 {
		h, d := newHistory(), sim.New(512<<10)
		s, st := create(t, h, d, d.Len, 4)
		for i := range 12 {
			d.Lie(i >= 6)
			s, st = commitOrRevive(t, rng, h, d, s, st, 1+rng.IntN(6), 10)
		}
		h.acked = nil // promises of a liar
		r := d.Replay()
		for r.Next() {
		}
		for range 10 {
			s, rec, err := persist.Open(sim.FromImage(r.PowerDies(sim.RandomSubset(rng, r.Units(sim.Sector)))))
			if err != nil {
				require.True(t, errors.Is(err, persist.ErrRootDamaged) || errors.Is(err, persist.ErrCorrupt), "%v", err)
				refused++
				continue
			}
			got, err := load(s, rec)
			if err != nil {
				require.ErrorIs(t, err, persist.ErrCorrupt)
				refused++
				continue
			}
			require.NoError(t, h.check(rec.Epoch, got))
			recovered++
		}
	}
	require.NotZero(t, recovered)
	t.Logf("%d recovered, %d refused", recovered, refused)
}

// TestReadErrors fails the Nth read of a recovery, once and from then on: the
// error shows, or the state is the right one; an older state is never taken.
func TestReadErrors(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(512<<10)
	s, st := create(t, h, d, d.Len, 4)
	for range 6 {
		s, st = commitOrRevive(t, rng, h, d, s, st, 6, 10)
	}
	want := s.Epoch()
	for n := 0; ; n++ {
		failed := false
		for _, sticky := range []bool{false, true} {
			again := sim.FromImage(d.Image())
			again.SetFault(&sim.Fault{At: n, Reads: true, Sticky: sticky, Err: sim.ErrIO})
			s, rec, err := persist.Open(again)
			var got state
			if err == nil {
				require.Equal(t, want, rec.Epoch)
				got, err = load(s, rec)
			}
			if err != nil {
				require.ErrorIs(t, err, sim.ErrIO)
				failed = true
				continue
			}
			require.True(t, st.equal(got))
		}
		if !failed && n > 3 { // an early one may hit the superblock, which has a copy
			require.Greater(t, n, 8)
			return
		}
	}
}

// TestFullDevice fills a device. The last state stays good, and on a larger
// device it goes on.
func TestFullDevice(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(512<<10)
	s, st := create(t, h, d, d.Len, 4)
	for id := persist.PageID(0); ; id++ {
		b := randomPage(rng)
		next := st.clone()
		next.pages[id], next.meta = b, "m"
		h.attempt(nextEpoch(s), next)
		e, err := s.Commit([]byte("m"), []persist.PageImage{{ID: id, Data: b}})
		if err != nil {
			require.ErrorIs(t, err, persist.ErrNoSpace)
			require.Greater(t, int(id), 50, "of 112 blocks")
			break
		}
		st = next
		h.acked = append(h.acked, ack{d.Len(), e})
	}
	_, err := h.verifyImage(d.Image(), d.Len())
	require.NoError(t, err)
	larger := sim.FromImage(append(d.Image(), make([]byte, 512<<10)...))
	s, rec, err := persist.Open(larger)
	require.NoError(t, err)
	got, err := load(s, rec)
	require.NoError(t, err)
	require.True(t, st.equal(got))
	for range 20 {
		s, got = commitOrRevive(t, rng, h, larger, s, got, 4, 20)
	}
}
