package persist_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"hash/crc32"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// damagedAt lists the 512-byte sectors that a report names.
func damagedAt(rep persist.Report) map[int64]bool {
	out := map[int64]bool{}
	for _, p := range rep.Problems {
		out[p.Offset/sim.Sector] = true
	}
	return out
}

// TestBitRot flips one bit in each sector of a cleanly stopped image. Either
// the image reads as before, and fsck names the sector or it holds nothing, or
// opening and loading say that it is damaged. The state is never wrong.
func TestBitRot(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(512<<10)
	s, st := create(t, h, d, d.Len, 4)
	for range 12 {
		s, st = commitOrRevive(t, rng, h, d, s, st, 1+rng.IntN(6), 10)
	}
	require.NoError(t, s.Close())
	clean := d.Image()
	live := liveBlocks(t, clean)
	refused, named := 0, 0
	for sector := range len(clean) / sim.Sector {
		if raceDetector && sector%10 != 0 {
			continue
		}
		img := append([]byte(nil), clean...)
		off := sector*sim.Sector + rng.IntN(sim.Sector)
		img[off] ^= 1 << rng.IntN(8)
		rep, err := persist.Fsck(sim.FromImage(img), nil)
		if err == nil && len(rep.Problems) > 0 {
			at := damagedAt(rep)
			block := int64(off / persist.BlockSize * persist.BlockSize / sim.Sector)
			require.True(t, at[int64(sector)] || at[block], "offset %#x: %+v", off, rep.Problems)
			named++
		} else if err == nil {
			require.False(t, live[off/persist.BlockSize], "fsck does not see offset %#x", off)
		}
		s, rec, err := persist.Open(sim.FromImage(img))
		if err == nil {
			require.Equal(t, s.Epoch(), rec.Epoch)
			var got state
			if got, err = load(s, rec); err == nil {
				require.True(t, st.equal(got), "offset %#x", off)
				continue
			}
		}
		refused++
		require.True(t, errors.Is(err, persist.ErrCorrupt) || errors.Is(err, persist.ErrVersion), "offset %#x: %v", off, err)
		require.False(t, rep.OK(), "offset %#x refused: %v", off, err)
		// The root before is offered, if the damage is not below it too.
		var rd *persist.RootDamagedError
		if errors.As(err, &rd) {
			for _, e := range rd.Available {
				s, rec, err := persist.OpenAt(sim.FromImage(append([]byte(nil), img...)), e)
				require.NoError(t, err)
				if got, err := load(s, rec); err == nil {
					require.NoError(t, h.check(e, got))
				} else {
					require.ErrorIs(t, err, persist.ErrCorrupt)
				}
			}
		}
	}
	require.NotZero(t, refused)
	t.Logf("%d sectors: %d named by fsck, %d refused", len(clean)/sim.Sector, named, refused)
}

// liveBlocks follows the format by hand: the fixed blocks and all that the two
// roots' maps and records reach.
func liveBlocks(t *testing.T, img []byte) map[int]bool {
	t.Helper()
	live := map[int]bool{}
	for b := range 16 {
		live[b] = true
	}
	le := binary.LittleEndian
	var walk func(block, level int)
	walk = func(block, level int) {
		live[block] = true
		for i := range 512 {
			if k := int(le.Uint32(img[block*4096+i*8:])); level > 0 && k != 0 {
				walk(k, level-1)
			}
		}
	}
	for _, slot := range []int{1, 8} {
		var payload []byte
		for i := range 8 {
			payload = append(payload, img[slot*4096+i*512:][:504]...)
		}
		require.Equal(t, "PHVMROOT", string(payload[:8]))
		// From the newest entry of the journal to the oldest; what is older than
		// the node above it does not count.
		found, covered := map[uint32]bool{}, map[uint32]bool{}
		at := int(le.Uint32(payload[56:]))
		for range le.Uint32(payload[64:]) {
			b := img[at*4096:][:4096]
			live[at] = true
			for i := int(le.Uint32(b[4:])) - 1; i >= 0; i-- {
				tag, block := le.Uint32(b[64+16*i:]), int(le.Uint32(b[68+16*i:]))
				level, id := tag>>30, tag&(1<<30-1)
				switch {
				case level == 3 && id >= 1<<20 || found[tag]:
					continue
				case level == 3 && id > 0 && covered[3<<30], level < 3 && covered[(level+1)<<30|id>>9]:
					continue
				}
				found[tag] = true
				if level == 3 && id > 0 {
					live[block] = block != 0
				} else {
					covered[tag] = level > 0
					live[block] = true
				}
			}
			at = int(le.Uint32(b[20:]))
		}
		if top := int(le.Uint32(payload[72:])); top != 0 {
			walk(top, 3)
		}
	}
	return live
}

// TestDamagedNewestRoot: after a clean stop the newest root can't be lost silently.
func TestDamagedNewestRoot(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(512<<10)
	s, st := create(t, h, d, d.Len, 4)
	for range 3 {
		s, st = commitOrRevive(t, rng, h, d, s, st, 4, 10)
	}
	require.NoError(t, s.Close())
	ops := d.Len()
	require.NoError(t, s.Close())
	require.Equal(t, ops, d.Len(), "a second Close does nothing")
	// Epoch 4 lies in slot B; wipe it as a whole, and tear it.
	for name, n := range map[string]int{"wiped": 4096, "one sector": 512} {
		img := d.Image()
		clear(img[8*4096 : 8*4096+n])
		_, _, err := persist.Open(sim.FromImage(img))
		var rd *persist.RootDamagedError
		require.ErrorAs(t, err, &rd, name)
		require.Equal(t, []persist.Epoch{3}, rd.Available, name)
		require.Equal(t, persist.Epoch(4), rd.Newest)
		again := sim.FromImage(img)
		s, rec, err := persist.OpenAt(again, 3)
		require.NoError(t, err)
		got, err := load(s, rec)
		require.NoError(t, err)
		require.NoError(t, h.check(3, got))
		// Going on from the older root gives a new number (I8).
		e, err := s.Commit([]byte("on"), nil)
		require.NoError(t, err)
		require.Equal(t, persist.Epoch(5), e)
		_, rec, err = persist.Open(again)
		require.NoError(t, err)
		require.Equal(t, e, rec.Epoch)
	}
	_, _, err := persist.OpenAt(d, 99)
	require.ErrorIs(t, err, persist.ErrRootDamaged)
}

func TestOpenRefusals(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(1<<20)
	s, st := create(t, h, d, d.Len, 4)
	s, _ = commitOrRevive(t, rng, h, d, s, st, 30, 20)
	require.NoError(t, s.Close())
	img := d.Image()
	rec, err := persist.Inspect(readOnly{sim.FromImage(bytes.Clone(img))})
	require.NoError(t, err)
	require.Equal(t, persist.Epoch(2), rec.Epoch)

	_, _, err = persist.Open(sim.New(1 << 20))
	require.ErrorIs(t, err, persist.ErrNotFormatted)
	_, _, err = persist.Open(sim.New(4096))
	require.ErrorIs(t, err, persist.ErrNotFormatted)
	_, _, err = persist.Open(sim.FromImage(bytes.Clone(img[:100<<10])))
	require.ErrorIs(t, err, persist.ErrCorrupt)
	require.ErrorContains(t, err, "truncated")

	newer := bytes.Clone(img)
	for _, block := range []int{0, 15} {
		b := newer[block*4096 : (block+1)*4096]
		binary.LittleEndian.PutUint32(b[8:], 3)
		binary.LittleEndian.PutUint32(b[4092:], crc32.Checksum(b[:4092], crc32.MakeTable(crc32.Castagnoli)))
	}
	_, _, err = persist.Open(sim.FromImage(newer))
	require.ErrorIs(t, err, persist.ErrVersion)
	require.ErrorContains(t, err, "format version 3")
	_, err = persist.Fsck(sim.FromImage(newer), nil)
	require.ErrorIs(t, err, persist.ErrVersion)

	v := persist.Versions{ArenaLayout: 2, InstructionSet: 5}
	require.NoError(t, v.Check(v))
	require.ErrorIs(t, v.Check(persist.Versions{ArenaLayout: 1, InstructionSet: 5}), persist.ErrVersion)
	require.ErrorContains(t, v.Check(persist.Versions{ArenaLayout: 2, InstructionSet: 6}), "older program")

	_, err = persist.Create(sim.New(64<<10), persist.Options{})
	require.ErrorIs(t, err, persist.ErrTooSmall)
	_, err = persist.Create(d, persist.Options{SegmentBlocks: 3})
	require.Error(t, err)
}

func TestReportIsJSON(t *testing.T) {
	h, d := newHistory(), sim.New(1<<20)
	s, _ := create(t, h, d, d.Len, 4)
	_, err := s.Commit(nil, []persist.PageImage{{ID: 5, Data: bytes.Repeat([]byte{1}, 4096)}})
	require.NoError(t, err)
	require.NoError(t, s.Close())
	img := d.Image()
	img[17*4096-4096+3] ^= 1 // the page is the first block of the log
	rep, err := persist.Fsck(sim.FromImage(img), nil)
	require.NoError(t, err)
	require.False(t, rep.OK())
	b, err := json.Marshal(rep)
	require.NoError(t, err)
	require.Contains(t, string(b), `"page":5,"offset":65536`)
}
