// Aggregates by value, embedding, generics, closures, parallel assignment.
package main

import (
	"fmt"
	"strings"
	"unsafe"
)

type Matrix [3][3]float64

func (m Matrix) Mul(o Matrix) (r Matrix) {
	for i := range 3 {
		for j := range 3 {
			for k := range 3 {
				r[i][j] += m[i][k] * o[k][j]
			}
		}
	}
	return
}

type Shape interface {
	Area() float64
	Perimeter() float64
}
type Rect struct{ w, h float64 }
type Sq struct{ Rect }

func (r Rect) Area() float64      { return r.w * r.h }
func (r Rect) Perimeter() float64 { return 2 * (r.w + r.h) }
func (s Sq) Area() float64        { return s.Rect.Area() + 0.5 }

type Opt func(*cfg)
type cfg struct {
	n    int
	name string
	f    [4]func(int) int
}

func With(n int) Opt { return func(c *cfg) { c.n = n } }

func mk(opts ...Opt) cfg {
	var c cfg
	for _, o := range opts {
		o(&c)
	}
	for i := range c.f {
		c.f[i] = func(x int) int { return x*i + c.n }
	}
	return c
}

func multi(a int, b string, c []int, d [3]int16, e struct {
	x int8
	y string
}, f float32, g complex64, h bool, i any, j func() int, k map[string]int, l chan int, m *int, n uint8) (int, string, []int, [3]int16, struct {
	x int8
	y string
}, float32, complex64, bool, any, func() int, map[string]int, chan int, *int, uint8) {
	d[1]++
	e.x--
	return a + 1, b + "!", append(c, a), d, e, f * 2, g * 2, !h, i, j, k, l, m, n + 200
}

type bits struct {
	a, b, c uint8
	d       uint16
	e       [3]uint8
	f       bool
}

func swap(a, b int, s, t string, p, q [2]int) (int, int, string, string, [2]int, [2]int) {
	for i := 0; i < 3; i++ {
		a, b = b, a
		s, t = t, s
		p, q = q, p
	}
	return a, b, s, t, p, q
}

func rot(a, b, c int) string {
	var sb strings.Builder
	for i := 0; i < 5; i++ {
		a, b, c = b, c, a+1
		fmt.Fprint(&sb, a, b, c, ";")
	}
	return sb.String()
}

func early(xs []int) (n int, err error) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("at %d: %v", n, e)
		}
	}()
	for i := 0; ; i++ {
		n = i
		if xs[i] == 0 {
			return n, nil
		}
	}
}

func gen[T any, PT interface {
	*T
	Set(string)
}](s ...string) []T {
	r := make([]T, len(s))
	for i, v := range s {
		p := PT(&r[i])
		p.Set(v)
	}
	return r
}

type settable struct{ v string }

func (s *settable) Set(x string) { s.v = x }

type Num interface{ ~int | ~float64 }

func Reduce[T, A any](xs []T, a A, f func(A, T) A) A {
	for _, x := range xs {
		a = f(a, x)
	}
	return a
}

type Stack[T any] []T

func (s *Stack[T]) Push(x T) { *s = append(*s, x) }
func (s *Stack[T]) Pop() (x T, ok bool) {
	if len(*s) == 0 {
		return
	}
	x = (*s)[len(*s)-1]
	*s = (*s)[:len(*s)-1]
	return x, true
}

func main() {
	id := Matrix{{1, 2, 3}, {0, 1, 0}, {0, 0, 1}}
	fmt.Println(id.Mul(id).Mul(Matrix{0: {2: 5}}))
	for _, s := range []Shape{Rect{2, 3}, &Rect{1, 1}, Sq{Rect{2, 2}}, &Sq{}} {
		fmt.Println(s.Area(), s.Perimeter())
	}
	c := mk(With(3), With(4))
	fmt.Println(c.n, c.f[2](10))
	x := 5
	r1, r2, r3, r4, r5, r6, r7, r8, r9, r10, r11, r12, r13, r14 := multi(1, "b", []int{7}, [3]int16{1, -2, 3}, struct {
		x int8
		y string
	}{-128, "y"}, 1.5, 1+2i, true, "any", func() int { return x }, map[string]int{"k": 1}, make(chan int, 2), &x, 100)
	fmt.Println(r1, r2, r3, r4, r5, r6, r7, r8, r9, r10(), r11, cap(r12), *r13, r14)
	b := bits{1, 2, 3, 65535, [3]uint8{7, 8, 9}, true}
	b2 := b
	b2.d++
	b2.e[1] *= 40
	bb := [2]bits{b, b2}
	bb[1].c -= 4
	i := 1
	bb[i].e[i+1]++
	fmt.Println(b, b2, bb, unsafe.Sizeof(b), b == b2, bb[0] == b)
	fmt.Println(swap(1, 2, "s", "t", [2]int{1, 2}, [2]int{3, 4}))
	fmt.Println(rot(1, 2, 3))
	fmt.Println(early([]int{1, 2, 0}))
	fmt.Println(early([]int{1, 2}))
	fmt.Println(gen[settable]("a", "b"))
	fmt.Println(Reduce([]int{1, 2, 3}, "", func(s string, n int) string { return s + fmt.Sprint(n) }))
	var st Stack[[2]string]
	st.Push([2]string{"a", "b"})
	fmt.Println(st.Pop())
	fmt.Println(st.Pop())
	var arr [5]struct {
		a int8
		b [2]int32
	}
	for i := range arr {
		arr[i].a = int8(-i)
		for j := range arr[i].b {
			arr[i].b[j] = int32(i * j)
		}
	}
	arr2 := arr
	arr2[3].b[1] += 100
	fmt.Println(arr, arr2[3], arr == arr2)
	ff := []func(){}
	for i, s := range []string{"x", "y"} {
		ff = append(ff, func() { fmt.Print(i, s, " "); i++ })
	}
	for _, f := range ff {
		f()
		f()
	}
	fmt.Println()
	var last func() int
	var li int
	for li = range [3]int{} {
		if li == 0 {
			last = func() int { return li }
		}
	}
	fmt.Println(last())
	type node struct {
		l, r *node
		v    int
	}
	var ins func(n *node, v int) *node
	ins = func(n *node, v int) *node {
		if n == nil {
			return &node{v: v}
		}
		if v < n.v {
			n.l = ins(n.l, v)
		} else {
			n.r = ins(n.r, v)
		}
		return n
	}
	var root *node
	for _, v := range []int{5, 2, 8, 1} {
		root = ins(root, v)
	}
	var walk func(*node) int
	walk = func(n *node) int {
		if n == nil {
			return 0
		}
		return walk(n.l) + n.v*10 + walk(n.r)
	}
	fmt.Println(walk(root))
	var iface any = root
	switch n := iface.(type) {
	case interface{ Foo() }:
		fmt.Println("foo", n)
	case *node:
		fmt.Println("node", n.v)
	}
	var e error
	_, ok := e.(interface{ Timeout() bool })
	fmt.Println(ok, e == nil)
	goto end
end:
	fmt.Println(func() (a, b int) { a, b = 1, 2; defer func() { a *= 10 }(); return b, a }())
}
