package wire

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/metrics"
)

// sample fills every field with a number of its own, times by.
func sample(by uint64) *Stats {
	s := new(Stats)
	v := reflect.ValueOf(s).Elem()
	for i := 1; i < v.NumField(); i++ { // [0] is the tag
		n := uint64(i+1) * by
		switch f := v.Field(i).Addr().Interface().(type) {
		case *int64:
			*f = int64(n)
		case *uint64:
			*f = n
		case *metrics.Histogram:
			for range by {
				f.Record(uint64(i))
			}
		}
	}
	return s
}

// TestStatsFields: every field is a time, a gauge, a counter or a histogram, and travels.
func TestStatsFields(t *testing.T) {
	s := sample(3)
	const times = 5
	require.Equal(t, reflect.TypeFor[Stats]().NumField()-1, times+len(s.gauges())+len(s.counters())+len(s.histograms()))
	b, err := Encode(&Message{Kind: Numbers, Stats: s})
	require.NoError(t, err)
	m, err := Decode(b)
	require.NoError(t, err)
	require.Equal(t, s, m.Stats)
}

func TestStatsSince(t *testing.T) {
	old, now := sample(2), sample(5)
	d := now.Since(old)
	require.Equal(t, old.At, d.Began)
	require.Equal(t, now.At, d.At)
	for i := range d.gauges() {
		require.Equal(t, *now.gauges()[i], *d.gauges()[i])
	}
	want := sample(3)
	for i := range d.counters() {
		require.Equal(t, *want.counters()[i], *d.counters()[i])
	}
	for i := range d.histograms() {
		require.Equal(t, uint64(3), d.histograms()[i].Count())
		require.Equal(t, want.histograms()[i].Sum(), d.histograms()[i].Sum())
	}
	require.Zero(t, *old.Since(now).counters()[0], "an older copy of another machine")
}

// TestLargestStats: numbers fit into a message whatever they are.
func TestLargestStats(t *testing.T) {
	s := sample(1)
	for _, c := range s.counters() {
		*c = ^uint64(0)
	}
	for _, h := range s.histograms() {
		for i := range metrics.Buckets {
			low, _ := metrics.Bounds(i)
			for range 200 {
				h.Record(low)
			}
		}
	}
	b, err := Encode(&Message{Kind: Numbers, Stats: s})
	require.NoError(t, err)
	require.Less(t, len(b), MaxMessage/2, "counts of five times as many digits would not fit")
}
