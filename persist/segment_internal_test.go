package persist

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestVictims(t *testing.T) {
	l := newLogSpace(4, (logStart+400)*BlockSize)
	alloc := func(id uint64) uint32 {
		b, err := l.alloc(makeTag(0, id))
		require.NoError(t, err)
		return b
	}
	l.begin()
	var first []uint32
	for id := range uint64(6) { // segment 0, and half of 1
		first = append(first, alloc(id))
	}
	l.begin()
	for _, b := range []uint32{first[0], first[1], first[4]} {
		l.release(b)
	}
	alloc(10)
	alloc(11)
	alloc(12) // segment 1 is full with 3 live, 2 of them not written yet
	got := l.victims(100)
	require.Len(t, got, 2)
	for i, v := range got {
		require.Equal(t, recordEntry{makeTag(0, uint64(2+i)), ref{block: first[2+i]}}, v)
	}
	require.Len(t, l.victims(1), 1)
	l.begin()
	got = l.victims(100)
	require.Len(t, got, 5)
	require.Equal(t, uint64(2), got[0].tag.id(), "the emptiest segment first")
}

func TestSegmentsRest(t *testing.T) {
	l := newLogSpace(4, (logStart+16)*BlockSize) // 4 segments
	fill := func() (out []uint32) {
		for range 4 {
			b, err := l.alloc(makeTag(0, 0))
			require.NoError(t, err)
			out = append(out, b)
		}
		return out
	}
	l.begin()
	old := fill()
	l.begin() // frees the first segment
	for _, b := range old {
		l.release(b)
	}
	require.Equal(t, []uint32{20, 21, 22, 23}, fill())
	l.begin() // still resting
	require.Equal(t, []uint32{24, 25, 26, 27}, fill())
	l.begin() // free: the lowest comes first
	require.Equal(t, old, fill())
	require.Equal(t, []uint32{28, 29, 30, 31}, fill())
	_, err := l.alloc(makeTag(0, 0))
	require.ErrorIs(t, err, ErrNoSpace)
	require.Panics(t, func() { l.release(1000) })
}

func TestEncodings(t *testing.T) {
	r := root{epoch: 1 << 40, acked: 5, instance: InstanceID{1}, versions: Versions{1, 2, 3}, record: ref{17, 2}, records: 3, entries: 4, top: ref{5, 6}, tail: 7, segments: 8, pages: 9, meta: []byte("m")}
	b := r.encode()
	st := classifySlot(b, 0, r.instance)
	require.Equal(t, slotValid, st.kind)
	require.Equal(t, r, st.root)
	require.Equal(t, slotBlank, classifySlot(make([]byte, BlockSize), 0, r.instance).kind)
	r2 := r
	r2.epoch += 2
	torn := append(r2.encode()[:sectorSize*3:sectorSize*3], b[sectorSize*3:]...)
	require.Equal(t, slotTorn, classifySlot(torn, 0, r.instance).kind)
	b[700] ^= 1
	require.Equal(t, slotDamaged, classifySlot(b, 0, r.instance).kind)
	require.Equal(t, int64(-1), tagDelta(sectorTag(1<<24-1, 0)>>8, 1<<24))
	require.Equal(t, int64(2), tagDelta(uint32(1), 1<<24-1))
	require.NotEqual(t, tagRecord, ownerOf(makeTag(3, 0)))
}
