package main

import (
	"fmt"
	"math"
	"time"
)

// Loads: what programs do to their pages.

const page = 512 // words

// dirty stores into each of so many pages in turn and computes 200 steps beside each store: fast enough to dirty
// all of them, up to 10,000, within 10 ms. It does 300 million steps in all.
func dirty(pages int) int {
	buf := make([]int, pages*page)
	sum := 0
	for r := range 1_500_000 / pages {
		for p := range pages {
			buf[p*page+r%page] += r
			for k := range 200 {
				sum += k ^ p
			}
		}
	}
	return sum + buf[7]
}

// steady does for ever what dirty does.
func steady(pages int) int {
	buf := make([]int, pages*page)
	sum := 0
	for r := 0; ; r++ {
		for p := range pages {
			buf[p*page+r%page] += r
			for k := range 200 {
				sum += k ^ p
			}
		}
	}
}

// table is so many MiB of pages, each one written.
func table(mib int) [][]int {
	t := make([][]int, mib)
	for i := range t {
		t[i] = make([]int, 256*page)
		for p := range 256 {
			t[i][p*page] = i*256 + p + 1
		}
	}
	return t
}

// fill makes so many MiB, says so and sleeps.
func fill(mib int) int {
	t := table(mib)
	fmt.Println("filled")
	time.Sleep(24 * time.Hour)
	return len(t)
}

// sparse makes so many GiB and writes one page in every 2 MiB, says so and sleeps.
func sparse(gib int) int {
	t := make([][]int, gib)
	for i := range t {
		t[i] = make([]int, 1<<30/8)
		for p := 0; p < len(t[i]); p += 2 << 20 / 8 {
			t[i][p] = i + 1
		}
	}
	fmt.Println("filled")
	time.Sleep(24 * time.Hour)
	return len(t)
}

// zipf visits pages of so many MiB by Zipf's law with exponent 1, the popular ones scattered. A visit reads words
// words of the page, and one in ten also writes one. The time is that of the visits, after as many for warming up.
func zipf(mib, words, visits int) (int, time.Duration) {
	t := table(mib)
	n := mib * 256
	order := make([]int32, visits)
	seed := uint64(88172645463325252)
	for i := range order {
		seed ^= seed << 13
		seed ^= seed >> 7
		seed ^= seed << 17
		rank := int(math.Exp(float64(seed>>11) / (1 << 53) * math.Log(float64(n))))
		order[i] = int32(min(rank, n-1) * 40503 % n)
	}
	sum := visit(t, order, words)
	began := time.Now()
	sum += visit(t, order, words)
	return sum, time.Since(began)
}

func visit(t [][]int, order []int32, words int) int {
	sum := 0
	for i, p := range order {
		mine := t[p/256][p%256*page:][:words]
		for _, w := range mine {
			sum += w
		}
		if i%10 == 0 {
			mine[0] ^= i
		}
	}
	return sum
}

// churn allocates so many MiB of objects of some sizes, of which the newest 1,024 stay live, says so and sleeps.
func churn(mib int) int {
	const window = 1024
	var live [window][]byte
	sizes := [...]int{16, 48, 32, 128, 24, 64, 80, 112}
	total := 0
	for i := 0; total < mib<<20; i++ {
		b := make([]byte, sizes[i%len(sizes)])
		b[0] = byte(i)
		live[i%window] = b
		total += len(b)
	}
	sum := 0
	for _, b := range live {
		sum += int(b[0])
	}
	fmt.Println("filled")
	time.Sleep(24 * time.Hour)
	return sum
}
