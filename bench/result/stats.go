package result

import (
	"math"
	"slices"
)

// Quantile of a sample, q from 0 to 1; the sample is sorted. NaN if it is empty.
func Quantile(sample []float64, q float64) float64 {
	if len(sample) == 0 {
		return math.NaN()
	}
	if !slices.IsSorted(sample) {
		slices.Sort(sample)
	}
	return sample[int(q*float64(len(sample)-1)+0.5)]
}

// Least of a sample.
func Least(sample []float64) float64 { return Quantile(sample, 0) }
