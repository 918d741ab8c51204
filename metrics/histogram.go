// Package metrics has the histogram in which the machine counts times and
// sizes: of fixed size, log-linear, updated in some nanoseconds, and small
// on the wire.
//
// Values below 16 have a bucket each. Above, each power of two is divided into
// 16 buckets of equal width, so a bucket's middle is at most 3.2 % from every
// value in it. The last bucket takes everything from 2^44 on (as nanoseconds
// that is five hours).
package metrics

import (
	"encoding/binary"
	"errors"
	"math/bits"
	"sync/atomic"
	"time"
)

const (
	subBits    = 4
	subBuckets = 1 << subBits
	maxBits    = 44 // values of more bits go to the last bucket

	// Buckets is the number of a histogram's buckets.
	Buckets = subBuckets + (maxBits-subBits)*subBuckets
)

// ErrEncoding is wrapped by the errors of UnmarshalBinary.
var ErrEncoding = errors.New("malformed histogram")

// Histogram counts values: nanoseconds, pages, bytes. The zero value is empty
// and ready. Record may be called from many goroutines at once, and the other
// methods meanwhile; what they then see of a Record under way is a part of it.
// It must not be copied.
type Histogram struct {
	counts [Buckets]atomic.Uint64
	sum    atomic.Uint64
	max    atomic.Uint64
}

// bucket is the index of the bucket that v belongs to.
func bucket(v uint64) int {
	n := bits.Len64(v)
	if n <= subBits {
		return int(v)
	}
	if n > maxBits {
		return Buckets - 1
	}
	shift := n - subBits - 1
	return shift<<subBits + int(v>>shift)
}

// Bounds returns the smallest and the largest value of bucket i, 0 <= i < Buckets.
func Bounds(i int) (low, high uint64) {
	if i < 2*subBuckets {
		return uint64(i), uint64(i)
	}
	shift := i>>subBits - 1
	low = uint64(i-shift<<subBits) << shift
	return low, low + 1<<shift - 1
}

// Record counts v.
func (h *Histogram) Record(v uint64) {
	h.counts[bucket(v)].Add(1)
	h.sum.Add(v)
	for {
		m := h.max.Load()
		if v <= m || h.max.CompareAndSwap(m, v) {
			return
		}
	}
}

// RecordTime counts a duration in nanoseconds, a negative one as 0.
func (h *Histogram) RecordTime(d time.Duration) { h.Record(uint64(max(d, 0))) }

// Count is the number of values.
func (h *Histogram) Count() (n uint64) {
	for i := range h.counts {
		n += h.counts[i].Load()
	}
	return n
}

// Sum is the sum of all values, modulo 2^64.
func (h *Histogram) Sum() uint64 { return h.sum.Load() }

// Max is the largest value.
func (h *Histogram) Max() uint64 { return h.max.Load() }

// Mean is the average, 0 of nothing.
func (h *Histogram) Mean() float64 {
	n := h.Count()
	if n == 0 {
		return 0
	}
	return float64(h.Sum()) / float64(n)
}

// Quantile returns a value that a share q (0 to 1) of all values does not
// exceed, exact to 3.2 %, and 0 if there are none. Quantile(1) is the maximum, exactly.
func (h *Histogram) Quantile(q float64) uint64 {
	n := h.Count()
	if n == 0 {
		return 0
	}
	rank := uint64(q * float64(n))
	if float64(rank) < q*float64(n) || rank == 0 {
		rank++
	}
	if rank >= n {
		return h.Max()
	}
	for i, seen := 0, uint64(0); i < Buckets; i++ {
		if seen += h.counts[i].Load(); seen >= rank {
			low, high := Bounds(i)
			return min(low+(high-low)/2, h.Max())
		}
	}
	return h.Max()
}

// CountBelow is the number of values in buckets that end at or below limit.
func (h *Histogram) CountBelow(limit uint64) (n uint64) {
	for i := range h.counts {
		if _, high := Bounds(i); high > limit {
			break
		}
		n += h.counts[i].Load()
	}
	return n
}

// CopyFrom makes h what src is.
func (h *Histogram) CopyFrom(src *Histogram) {
	for i := range h.counts {
		h.counts[i].Store(src.counts[i].Load())
	}
	h.sum.Store(src.sum.Load())
	h.max.Store(src.max.Load())
}

// Sub takes away what an older state of the same histogram has counted. The
// maximum becomes an upper bound from the largest bucket that is left.
func (h *Histogram) Sub(older *Histogram) {
	top := uint64(0)
	for i := range h.counts {
		now, then := h.counts[i].Load(), older.counts[i].Load()
		h.counts[i].Store(now - min(now, then))
		if now > then {
			_, top = Bounds(i)
			if i == Buckets-1 {
				top = ^uint64(0)
			}
		}
	}
	h.sum.Store(h.sum.Load() - older.sum.Load())
	h.max.Store(min(h.max.Load(), top))
}

// MarshalBinary writes the sum, the maximum and, of each bucket that is not
// empty, its distance from the one before and its count, all as varints.
func (h *Histogram) MarshalBinary() ([]byte, error) {
	b := make([]byte, 0, 256)
	b = binary.AppendUvarint(b, h.sum.Load())
	b = binary.AppendUvarint(b, h.max.Load())
	last := -1
	for i := range h.counts {
		if n := h.counts[i].Load(); n > 0 {
			b = binary.AppendUvarint(b, uint64(i-last))
			b = binary.AppendUvarint(b, n)
			last = i
		}
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary wrote; nil is an empty histogram.
func (h *Histogram) UnmarshalBinary(b []byte) error {
	for i := range h.counts {
		h.counts[i].Store(0)
	}
	h.sum.Store(0)
	h.max.Store(0)
	if len(b) == 0 {
		return nil
	}
	var bad bool
	next := func() uint64 {
		v, n := binary.Uvarint(b)
		if n <= 0 {
			bad = true
			return 0
		}
		b = b[n:]
		return v
	}
	h.sum.Store(next())
	h.max.Store(next())
	for at := -1; len(b) > 0 && !bad; {
		gap, n := next(), next()
		if bad || gap == 0 || gap >= Buckets || at+int(gap) >= Buckets || n == 0 || n > 1<<56 {
			bad = true
			break
		}
		at += int(gap)
		h.counts[at].Store(n)
	}
	if bad {
		return ErrEncoding
	}
	return nil
}
