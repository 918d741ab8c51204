// Slices, strings, maps, conversions, append growth, copy, clear, evaluation order.
package main

import (
	"fmt"
	"maps"
	"slices"
	"sort"
	"strings"
	"unsafe"
)

type T struct {
	a byte
	b int16
	c int32
	d int64
}

var trace []string

func tr[X any](name string, x X) X {
	trace = append(trace, name)
	return x
}

//go:noinline
func idx(s []int, i int) (r int) {
	defer func() {
		if e := recover(); e != nil {
			r = -1
		}
	}()
	return s[i]
}

type grid [4][4]int8

func (g *grid) set(i, j int, v int8) { g[i][j] = v }

func locals(n int) string {
	var a [6]int
	var b [3]struct{ x, y int8 }
	var c [4]string
	for i := range a {
		a[i] = i * n
		b[i%3].y += int8(i)
		c[i%4] += string(rune('a' + i))
	}
	a[n%6], a[(n+1)%6] = a[(n+1)%6], a[n%6]
	p := &a[2]
	*p += 100
	d := a
	d[0] = -1
	var g grid
	g.set(n%4, 2, 9)
	g[1][n%4]++
	h := g
	h[n%4][2]--
	return fmt.Sprint(a, b, c, d[0], g, h[n%4], g == h)
}

func main() {
	var s []int
	for i := range 20 {
		s = append(s, i)
		if i%5 == 0 {
			fmt.Print(len(s), "/", cap(s), " ")
		}
	}
	fmt.Println(s[3:7], len(s[3:7]), cap(s[3:7:9]), s[:0], s[20:])
	s2 := append(s[:3], 100, 101)
	fmt.Println(s[:6], s2, idx(s, 5), idx(s, 50))
	fmt.Println(copy(s, s[2:]), s[:5], append([]byte("ab"), "cd"...), append([]int(nil), s[:2]...))
	var ts []T
	for i := range 5 {
		ts = append(ts, T{byte(i), int16(i * 2), int32(-i), int64(i) << 40})
	}
	ts = append(ts, ts[1:3]...)
	ts[0].c++
	for i := range ts {
		ts[i].b += int16(ts[i].a)
	}
	fmt.Println(ts, unsafe.Sizeof(ts[0]))
	b := []byte("hello")
	str := string(b)
	b[0] = 'j'
	fmt.Println(str, string(b), []rune("aé世"), string([]rune{97, 233, 19990, -1, 0x10ffff + 1}), string(rune(65)), []byte("é"))
	fmt.Println(str < "help", str == "hello", str[1:3], len("世界"), str+"-"+string(b)+"!"+str, strings.ToUpper(str))
	x := ""
	for i := 0; i < 10; i++ {
		x += fmt.Sprint(i)
		x = x + "," + str[:1]
	}
	fmt.Println(x, x[len(x)-1] == 'h', x > "0", x >= "1")
	m := map[string][]int{}
	for i, w := range strings.Fields("a b a c b a") {
		m[w] = append(m[w], i)
	}
	fmt.Println(m, len(m), m["zz"] == nil)
	delete(m, "a")
	v, ok := m["a"]
	fmt.Println(v, ok, slices.Sorted(maps.Keys(m)))
	mf := map[float64]string{0: "z"}
	nan := 0.0
	nan = nan / nan
	mf[nan] = "n1"
	mf[nan] = "n2"
	mf[-nan*0] = "q"
	fmt.Println(len(mf), mf[0])
	clear(mf)
	clear(ts[1:3])
	fmt.Println(len(mf), ts[:4])
	mm := map[int]map[string]int{}
	for i := range 100 {
		if mm[i%3] == nil {
			mm[i%3] = map[string]int{}
		}
		mm[i%3][fmt.Sprint(i%7)]++
	}
	keys := []int{}
	for k := range mm {
		keys = append(keys, k)
	}
	sort.Ints(keys)
	fmt.Println(keys, mm[1]["3"], mm)
	ms := map[string]struct{ n, k int }{}
	ms["a"] = struct{ n, k int }{1, 2}
	fmt.Println(ms["a"].k, ms["b"].n)
	arr := [5]int{1, 2, 3, 4, 5}
	as := arr[1:4]
	as[0] = 20
	ap := (*[2]int)(as)
	ap[1] = 30
	ac := [3]int(as)
	ac[2] = 0
	fmt.Println(arr, as, *ap, ac, cap(as))
	fmt.Println(locals(3), locals(4))
	i := 0
	i, s[i] = 2, 77
	fmt.Println(i, s[0])
	f := func(a, b, c int) int { return a + b*c }
	_ = f(tr("a", 1), tr("b", 2), tr("c", 3)) + map[string]int{tr("k", "x"): tr("v", 1)}[tr("i", "x")]
	tr("s", s)[tr("ix", 1)] = tr("val", 5)
	_ = tr("l", false) && tr("r", true) || tr("o", true)
	fmt.Println(trace)
	var np []int
	for range np {
		panic("no")
	}
	fmt.Println(np == nil, len(np), cap(np), append(np, np...) == nil, min(3, 1, 2), max(2.5, 1), min("b", "a"))
	u := unsafe.Slice(&arr[0], 3)
	us := unsafe.String(&b[0], 4)
	fmt.Println(u, us, *(*int)(unsafe.Add(unsafe.Pointer(&arr[0]), 8)), *unsafe.SliceData(u))
	z := make([]struct{}, 5)
	z = append(z, struct{}{})
	fmt.Println(len(z), z[3])
	big := make([][]int, 3)
	for i := range big {
		big[i] = make([]int, 4)
		for j := range big[i] {
			big[i][j] = i * j
		}
	}
	t := 0
	for i := 0; i < len(big); i++ {
		for j := 0; j < len(big[i]); j++ {
			t += big[i][j]
		}
	}
	big[1], big[2] = big[2], big[1]
	big[0][1] += 5
	big[0][1] <<= 2
	fmt.Println(t, big)
}
