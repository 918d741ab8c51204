package main

import (
	"fmt"
	"runtime"
	"sort"
)

type wide struct {
	p [70]*int
	s [10]string
}

type huge struct {
	p [200]*int
}
type hk struct {
	a [130]int64
	p *int
}

func ip(i int) *int { return &i }

func main() {
	m := map[string]wide{}
	h := map[int]huge{}
	k := map[hk]string{}
	c := make(chan huge, 3)
	hks := []hk{}
	for i := 0; i < 24; i++ {
		var w wide
		w.p[i] = ip(i)
		w.s[i%10] = fmt.Sprint("s", i)
		m[fmt.Sprint("k", i)] = w
		var hh huge
		hh.p[199] = ip(i * 2)
		h[i] = hh
		kk := hk{p: ip(i)}
		kk.a[i] = int64(i)
		hks = append(hks, kk)
		k[kk] = fmt.Sprint("v", i)
		if i%3 == 0 && len(c) < 3 {
			c <- hh
		}
		if i%8 == 0 {
			runtime.GC()
		}
	}
	runtime.GC()
	sum := 0
	for i := 0; i < 24; i++ {
		w := m[fmt.Sprint("k", i)]
		if *w.p[i] != i || w.s[i%10] != fmt.Sprint("s", i) {
			panic("bad wide")
		}
		if *h[i].p[199] != 2*i {
			panic("bad huge")
		}
		if k[hks[i]] != fmt.Sprint("v", i) {
			panic("bad hk")
		}
	}
	for len(c) > 0 {
		x := <-c
		sum += *x.p[199]
	}
	z := h[1000]
	fmt.Println(sum, z.p[0] == nil, len(k))
	var ks []int
	for kk, v := range h {
		ks = append(ks, kk**v.p[199])
		delete(h, kk)
	}
	sort.Ints(ks)
	fmt.Println(ks[:5], len(h))
	clear(m)
	fmt.Println(len(m))
	type node struct {
		next map[string]*node
		val  any
	}
	root := &node{next: map[string]*node{}}
	for i := 0; i < 150; i++ {
		n := root
		for _, ch := range fmt.Sprint(i) {
			x := n.next[string(ch)]
			if x == nil {
				x = &node{next: map[string]*node{}, val: [3]any{i, "x", 2.5}}
				n.next[string(ch)] = x
			}
			n = x
		}
	}
	var count func(n *node) int
	count = func(n *node) int {
		t := 1
		for _, c := range n.next {
			if c.val == nil || c.val.([3]any)[1] != "x" {
				panic("val")
			}
			t += count(c)
		}
		return t
	}
	fmt.Println(count(root))
	var ms runtime.MemStats
	runtime.ReadMemStats(&ms)
	fmt.Println(ms.NumGC >= 3, ms.HeapAlloc > 0)
}
