package persist

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestSegmentsRest(t *testing.T) {
	l := newLogSpace(4, (logStart+16)*BlockSize) // 4 segments
	fill := func() (out []uint32) {
		si, _, ok := l.take()
		require.True(t, ok)
		l.open(headNew, si, 0)
		for range 3 {
			b := l.alloc(headNew, makeTag(0, 0))
			l.count(b, 1)
			out = append(out, b)
		}
		require.True(t, l.full(headNew))
		l.seal(headNew)
		return out
	}
	l.begin()
	old := fill()
	l.begin() // frees the first segment
	for _, b := range old {
		l.count(b, -1)
	}
	require.Equal(t, []uint32{20, 21, 22}, fill())
	l.begin() // still resting
	require.Equal(t, []uint32{24, 25, 26}, fill())
	l.begin() // free: the lowest comes first
	require.Equal(t, old, fill())
	require.Equal(t, []uint32{28, 29, 30}, fill())
	_, _, ok := l.take()
	require.False(t, ok)
	require.Zero(t, l.available())
	l.count(1000, -1) // nonsense of a forged image
	require.Equal(t, 12, l.live)
}

// TestHeldSegment: a record keeps its segment as a live block does.
func TestHeldSegment(t *testing.T) {
	l := newLogSpace(4, (logStart+16)*BlockSize)
	l.begin()
	si, _, _ := l.take()
	l.open(headNew, si, 0)
	b := l.alloc(headNew, tagNone)
	l.hold(b, 1)
	l.seal(headNew)
	require.Equal(t, segUsed, l.segs[si].state)
	l.hold(b, -1)
	require.Equal(t, segResting, l.segs[si].state)
}

func TestEncodings(t *testing.T) {
	r := root{
		epoch: 1 << 40, acked: 5, instance: InstanceID{1}, versions: Versions{1, 2, 3}, record: ref{17, 2}, records: 3, own: 1,
		entries: 4, top: ref{5, 6}, tails: [2]uint32{7, 9}, segments: 8, pages: 9, meta: []byte("m"),
	}
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

	rec := record{instance: InstanceID{3}, epoch: 9, index: 1, prev: ref{20, 21}, carried: 1, entries: []recordEntry{{makeTag(0, 5), ref{30, 31}, 0}, {makeTag(2, 255), ref{}, 40}}}
	rec.encode(b)
	got, err := decodeRecord(b, 17)
	require.NoError(t, err)
	require.Equal(t, rec, got)
	tags := []tag{makeTag(0, 1), tagNone, topTag, usageTag(3)}
	sum := summary{InstanceID{4}, 12, 77, tags}
	sum.encode(b)
	back, err := decodeSummary(b, 17, summary{instance: sum.instance, segment: 77, tags: make([]tag, 4)})
	require.NoError(t, err)
	require.Equal(t, sum, back)
	for _, want := range []summary{
		{instance: sum.instance, segment: 78, tags: make([]tag, 4)},
		{instance: sum.instance, segment: 77, tags: make([]tag, 5)},
		{segment: 77, tags: make([]tag, 4)},
	} {
		_, err = decodeSummary(b, 17, want)
		require.ErrorIs(t, err, ErrCorrupt)
	}
	b[2000] ^= 1
	_, err = decodeSummary(b, 17, sum)
	require.ErrorIs(t, err, ErrCorrupt)
}

func TestTags(t *testing.T) {
	for _, c := range []struct {
		tag, parent tag
		index       int
	}{
		{makeTag(0, 513), makeTag(1, 1), 1},
		{makeTag(1, 1<<17-1), makeTag(2, 255), 511},
		{makeTag(2, 255), topTag, 255},
		{usageTag(0), topTag, 256},
		{usageTag(255), topTag, 511},
	} {
		require.True(t, c.tag.valid())
		p, i, ok := c.tag.parent()
		require.True(t, ok)
		require.Equal(t, c.parent, p)
		require.Equal(t, c.index, i)
		require.Equal(t, c.tag, p.child(i))
	}
	for _, x := range []tag{tagNone, makeTag(0, MaxPages), makeTag(2, 256), usageTag(256), summaryTag(maxSegments)} {
		require.False(t, x.valid(), "%#x", uint32(x))
	}
	require.True(t, topTag.valid())
	require.True(t, summaryTag(maxSegments-1).valid())
	_, _, ok := topTag.parent()
	require.False(t, ok)
}
