package objectvm

import (
	"bytes"
	"math/bits"
	"math/rand/v2"
)

// Searching for a long needle in time that no program can make worse than linear: a rolling hash modulo the prime
// 2^61-1 with a base drawn for each search. The library's own hash has a fixed base, for which a program can make texts that
// collide at every position. The result does not depend on the base.

const (
	hashPrime   = 1<<61 - 1
	shortNeedle = 64      // searched for by comparing at every position
	shortSearch = 1 << 24 // bytes compared at worst that nobody minds
)

func mulMod(a, b uint64) uint64 {
	hi, lo := bits.Mul64(a, b)
	return addMod(lo&hashPrime, hi<<3|lo>>61)
}

func addMod(a, b uint64) uint64 {
	if a += b; a >= hashPrime {
		a -= hashPrime
	}
	return a
}

// indexBytes is bytes.Index.
func indexBytes(text, needle []byte) int {
	n, m := len(text), len(needle)
	if m <= shortNeedle || m > n || uint64(n)*uint64(m) <= shortSearch {
		return bytes.Index(text, needle)
	}
	base := 1<<32 + rand.Uint64N(1<<60)
	var want, have uint64
	last := uint64(1) // base to the power m-1: the weight of the byte that leaves
	for i := range m {
		want = addMod(mulMod(want, base), uint64(needle[i]))
		have = addMod(mulMod(have, base), uint64(text[i]))
		if i > 0 {
			last = mulMod(last, base)
		}
	}
	for i := 0; ; i++ {
		if have == want && bytes.Equal(text[i:i+m], needle) {
			return i
		}
		if i+m == n {
			return -1
		}
		have = addMod(have, hashPrime-mulMod(uint64(text[i]), last))
		have = addMod(mulMod(have, base), uint64(text[i+m]))
	}
}
