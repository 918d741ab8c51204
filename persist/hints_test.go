package persist_test

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// TestWrongCounts: hints about live blocks that are wrong, in either direction,
// cost work and never a page; a segment without a readable summary is not
// used again unless nothing in the map refers to it.
func TestWrongCounts(t *testing.T) {
	for name, spoil := range map[string]func(*rand.Rand, *persist.Store, *sim.Disk){
		"too low":      func(rng *rand.Rand, s *persist.Store, _ *sim.Disk) { persist.SpoilCounts(s, rng, -3) },
		"all zero":     func(rng *rand.Rand, s *persist.Store, _ *sim.Disk) { persist.SpoilCounts(s, rng, -1000) },
		"too high":     func(rng *rand.Rand, s *persist.Store, _ *sim.Disk) { persist.SpoilCounts(s, rng, 3) },
		"no summaries": func(_ *rand.Rand, s *persist.Store, d *sim.Disk) { rotSummaries(s, d) },
		"both": func(rng *rand.Rand, s *persist.Store, d *sim.Disk) {
			persist.SpoilCounts(s, rng, -1000)
			rotSummaries(s, d)
		},
	} {
		t.Run(name, func(t *testing.T) {
			rng, _ := newRand(t)
			d := sim.New(2 << 20)
			s, err := persist.Create(d, persist.Options{SegmentBlocks: 8})
			require.NoError(t, err)
			st := state{map[persist.PageID][]byte{}, ""}
			for i := range 250 {
				_, err := s.Commit([]byte(st.meta), randomCommit(rng, &st, 12, 40))
				require.NoError(t, err)
				if i%40 == 20 {
					spoil(rng, s, d)
				}
			}
			check := func(s *persist.Store, rec *persist.Recovered) {
				got, err := load(s, rec)
				require.NoError(t, err)
				require.True(t, len(got.pages) == len(st.pages))
				for p, b := range st.pages {
					require.True(t, bytes.Equal(b, got.pages[p]), "page %#x", p)
				}
			}
			s2, rec, err := persist.Open(d)
			require.NoError(t, err)
			check(s2, rec)
			rep, err := persist.Fsck(d, nil)
			require.NoError(t, err)
			require.True(t, rep.OK(), "%+v", rep.Problems)
			t.Logf("%+v, %d notes, %d warnings", s.Stats(), len(rep.Notes), len(rep.Problems))
		})
	}
}

// rotSummaries flips a bit in the summary of every segment that is not being filled.
func rotSummaries(s *persist.Store, d *sim.Disk) {
	for _, b := range persist.SummaryBlocks(s) {
		rot(d, int64(b)*persist.BlockSize+50)
	}
}

// TestLostEpochShows: a device that drops a root which it had acknowledged,
// but kept later writes, is found out.
func TestLostEpochShows(t *testing.T) {
	rng, _ := newRand(t)
	shown := 0
	for range 20 {
		h, d := newHistory(), sim.New(1<<20)
		s, st := create(t, h, d, d.Len, 16)
		for range 5 + rng.IntN(20) {
			s, st = commitOrRevive(t, rng, h, d, s, st, 4, 10)
		}
		before := d.Image()
		e := s.Epoch()
		for range 2 + rng.IntN(6) {
			s, st = commitOrRevive(t, rng, h, d, s, st, 4, 10)
		}
		img := d.Image()
		for _, slot := range []int{1, 8} { // the roots are as they were, the log is not
			copy(img[slot*4096:(slot+1)*4096], before[slot*4096:])
		}
		_, _, err := persist.Open(sim.FromImage(bytes.Clone(img)))
		if err == nil {
			continue // the log behind the tail shows nothing
		}
		var rd *persist.RootDamagedError
		require.ErrorAs(t, err, &rd)
		require.ErrorContains(t, err, "acknowledged")
		require.Equal(t, []persist.Epoch{e}, rd.Available)
		rep, err := persist.Fsck(sim.FromImage(bytes.Clone(img)), nil)
		require.NoError(t, err)
		require.False(t, rep.OK())
		// Who asks for the older epoch gets it, and goes on with unused numbers.
		again := sim.FromImage(img)
		s2, rec, err := persist.OpenAt(again, e)
		require.NoError(t, err)
		shown++
		got, err := load(s2, rec)
		if err != nil {
			require.ErrorIs(t, err, persist.ErrCorrupt) // later commits have used its blocks again
			continue
		}
		require.NoError(t, h.check(e, got))
		next, err := s2.Commit(nil, nil)
		require.NoError(t, err)
		require.Greater(t, next, rd.Newest)
		_, rec, err = persist.Open(again)
		require.NoError(t, err)
		require.Equal(t, next, rec.Epoch)
	}
	require.Greater(t, shown, 2) // some fifteen, as a rule
}

// TestNewImageOnOldDevice: what an earlier instance left in the log is no evidence.
func TestNewImageOnOldDevice(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(1<<20)
	s, st := create(t, h, d, d.Len, 8)
	for range 60 {
		s, st = commitOrRevive(t, rng, h, d, s, st, 8, 20)
	}
	s, err := persist.Create(d, persist.Options{InstanceID: persist.InstanceID{8}, SegmentBlocks: 8})
	require.NoError(t, err)
	for i := range persist.PageID(20) {
		_, rec, err := persist.Open(d)
		require.NoError(t, err)
		require.Equal(t, persist.Epoch(i+1), rec.Epoch)
		_, err = s.Commit(nil, []persist.PageImage{{ID: i, Data: randomPage(rng)}})
		require.NoError(t, err)
		require.NoError(t, persist.Audit(s))
	}
}
