package main

import (
	"fmt"
	"sort"
	"strings"
	"time"
)

type shape interface{ area() float64 }
type square struct{ s float64 }
type rect struct{ w, h float64 }

func (s square) area() float64 { return s.s * s.s }
func (r *rect) area() float64  { return r.w * r.h }

type big struct {
	a [200]int
	s string
}

func change(b big) big { b.a[7]++; b.s += "!"; return b }

func gen[T any, U comparable](xs []T, f func(T) U) map[U]int {
	m := map[U]int{}
	for _, x := range xs {
		m[f(x)]++
	}
	return m
}

func seq(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

func main() {
	shapes := []shape{square{2}, &rect{3, 4}, square{1.5}}
	sort.Slice(shapes, func(i, j int) bool { return shapes[i].area() < shapes[j].area() })
	for _, s := range shapes {
		fmt.Printf("%T %.2f\n", s, s.area())
	}
	b := change(change(big{s: "x"}))
	fmt.Println(b.a[7], b.s, len(b.a))
	fmt.Println(gen([]string{"a", "bb", "cc", "ddd"}, func(s string) int { return len(s) }))
	for i := range seq(10) {
		if i == 4 {
			break
		}
		fmt.Print("[", i, "]")
	}
	var sb strings.Builder
	for i, r := range "héllo, 世界" {
		fmt.Fprintf(&sb, "%d:%c ", i, r)
	}
	fmt.Println(sb.String())
	var small int8 = 127
	small++
	var u8 uint8 = 200
	u8 += 100
	fmt.Println(small, u8, -7/2, -7%3, 1<<3|1, 7&^2)
	t := time.After(3 * time.Millisecond)
	tick := time.NewTicker(time.Millisecond)
	n := 0
loop:
	for {
		select {
		case <-tick.C:
			n++
		case <-t:
			break loop
		}
	}
	tick.Stop()
	fmt.Println(n >= 1)
	m := map[[2]int]string{{1, 2}: "a", {3, 4}: "b"}
	keys := make([]string, 0)
	for k, v := range m {
		keys = append(keys, fmt.Sprint(k, v))
	}
	sort.Strings(keys)
	fmt.Println(keys, len(m))
	var e error = fmt.Errorf("wrapped: %w", fmt.Errorf("inner %d", 3))
	fmt.Println(e)
	x := []int{1, 2, 3, 4, 5}
	copy(x[1:], x)
	fmt.Println(x, cap(append(x, 6)), append(x[:2:2], 9))
}
