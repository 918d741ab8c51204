package metrics

import (
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestBuckets: the buckets cover all values, in order, without a gap.
func TestBuckets(t *testing.T) {
	next := uint64(0)
	for i := range Buckets {
		low, high := Bounds(i)
		require.Equal(t, next, low, "bucket %d", i)
		require.GreaterOrEqual(t, high, low)
		require.Equal(t, i, bucket(low))
		require.Equal(t, i, bucket(high))
		require.LessOrEqual(t, float64(high-low)/2, 0.032*float64(low), "bucket %d is too wide", i)
		next = high + 1
	}
	require.Equal(t, uint64(1)<<maxBits, next)
	require.Equal(t, Buckets-1, bucket(math.MaxUint64))
}

func TestQuantiles(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 1))
	var h Histogram
	require.Zero(t, h.Quantile(0.5))
	require.Zero(t, h.Mean())
	all := make([]uint64, 20000)
	sum := uint64(0)
	for i := range all {
		all[i] = uint64(math.Exp(rng.Float64() * 25))
		h.Record(all[i])
		sum += all[i]
	}
	slices.Sort(all)
	for _, q := range []float64{0.001, 0.1, 0.5, 0.9, 0.99, 0.999} {
		want := all[int(math.Ceil(q*float64(len(all))))-1]
		require.InEpsilon(t, want+1, h.Quantile(q)+1, 0.033, "q %v", q)
	}
	require.Equal(t, all[len(all)-1], h.Quantile(1))
	require.Equal(t, uint64(len(all)), h.Count())
	require.Equal(t, sum, h.Sum())
	require.InEpsilon(t, float64(sum)/float64(len(all)), h.Mean(), 1e-9)
	require.Equal(t, h.Count(), h.CountBelow(math.MaxUint64))
	low, _ := Bounds(bucket(1000))
	n, _ := slices.BinarySearch(all, low)
	require.Equal(t, uint64(n), h.CountBelow(low-1))
}

func TestSub(t *testing.T) {
	var h, old Histogram
	for i := range uint64(100) {
		h.Record(i * 1000)
	}
	old.CopyFrom(&h)
	require.Equal(t, h.Quantile(0.9), old.Quantile(0.9))
	for range 10 {
		h.Record(5)
	}
	h.Sub(&old)
	require.Equal(t, uint64(10), h.Count())
	require.Equal(t, uint64(50), h.Sum())
	require.Equal(t, uint64(5), h.Max())
	require.Equal(t, uint64(5), h.Quantile(0.99))
	h.Sub(&h)
	require.Zero(t, h.Count())
	require.Zero(t, h.Max())
}

func TestEncoding(t *testing.T) {
	var h, back Histogram
	back.Record(7) // is overwritten
	for _, v := range []uint64{0, 1, 15, 16, 31, 32, 1000, 1000, 1 << 43, math.MaxUint64} {
		h.Record(v)
	}
	h.RecordTime(-time.Second)
	h.RecordTime(time.Millisecond)
	b, err := h.MarshalBinary()
	require.NoError(t, err)
	require.NoError(t, back.UnmarshalBinary(b))
	again, err := back.MarshalBinary()
	require.NoError(t, err)
	require.Equal(t, b, again)
	require.Equal(t, h.Count(), back.Count())
	require.NoError(t, back.UnmarshalBinary(nil))
	require.Zero(t, back.Count())
	for n := 1; n < len(b); n++ {
		_ = back.UnmarshalBinary(b[:n]) // must not panic; some prefixes are valid
	}
	for name, bad := range map[string][]byte{
		"no maximum":      {1},
		"varint cut":      {1, 1, 0x80},
		"no count":        {1, 1, 5},
		"gap of 0":        {1, 1, 0, 1},
		"count of 0":      {1, 1, 1, 0},
		"beyond the last": {1, 1, 0xff, 0x7f, 1},
		"a huge count":    {1, 1, 1, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1},
	} {
		require.ErrorIs(t, back.UnmarshalBinary(bad), ErrEncoding, name)
	}
}

func FuzzUnmarshal(f *testing.F) {
	var h Histogram
	h.Record(12345)
	b, _ := h.MarshalBinary()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var h Histogram
		if h.UnmarshalBinary(b) == nil {
			h.Quantile(0.5)
			out, err := h.MarshalBinary()
			require.NoError(t, err)
			require.NoError(t, h.UnmarshalBinary(out))
		}
	})
}

func BenchmarkRecord(b *testing.B) {
	var h Histogram
	for i := range b.N {
		h.Record(uint64(i) & 0xffff)
	}
}
