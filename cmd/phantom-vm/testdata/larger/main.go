// Larger has a heap of so many MiB (512 if there is no argument), visits and changes it with a skew, and checks what it finds.
package main

import (
	"fmt"
	"math/rand"
	"os"
	"strconv"
	"time"
)

type record struct {
	id, changes uint64
	next        *record
	body        [509]uint64
}

func main() {
	mib := 512
	if len(os.Args) > 1 {
		mib, _ = strconv.Atoi(os.Args[1])
	}
	n := mib << 20 / 4096
	all := make([]*record, n)
	var last *record
	for i := range all {
		r := &record{id: uint64(i), next: last}
		for k := 0; k < len(r.body); k += 32 {
			r.body[k] = uint64(i)*31 + uint64(k)
		}
		all[i], last = r, r
		if i%(n/16) == 0 {
			fmt.Println("made", i)
		}
	}
	rnd := rand.New(rand.NewSource(5))
	zipf := rand.NewZipf(rnd, 1.2, 8, uint64(n-1))
	changes := uint64(0)
	for k := range 60_000 {
		i := int(zipf.Uint64() * 7919 % uint64(n))
		r := all[i]
		if r.id != uint64(i) || r.body[64] != uint64(i)*31+64 {
			fmt.Println("record", i, "is wrong:", r.id, r.body[64])
			os.Exit(3)
		}
		if k%5 == 0 {
			r.changes++
			changes++
		}
		if k%4000 == 0 {
			fmt.Println("visited", k)
			time.Sleep(100 * time.Millisecond)
		}
	}
	sum, count := uint64(0), uint64(0)
	for r := last; r != nil; r = r.next { // a scan, backwards
		sum += r.id ^ r.body[96]
		count += r.changes
	}
	fmt.Println("sum", sum, "changes", count, count == changes)
}
