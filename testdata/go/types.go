// Structs, arrays, embedding, interfaces, method values and expressions, generics, comparison.
package main

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"
	"strings"
)

type small struct {
	a int8
	b bool
	c uint16
	d float32
}

type mixed struct {
	i  int32
	s  small
	f  float64
	p  *int
	x  [3]int16
	st string
	z  struct{}
	c  complex64
	t  [5]byte
}

//go:noinline
func mk(n int) mixed {
	return mixed{i: int32(n), s: small{int8(n), n%2 == 0, uint16(n * 3), float32(n) / 2}, f: float64(n), x: [3]int16{int16(n), -1, -2}, st: fmt.Sprint("s", n), c: complex(float32(n), 1), t: [5]byte{1, 2, byte(n)}}
}

//go:noinline
func change(m mixed) (mixed, small, [3]int16, [5]byte) {
	m.s.a++
	m.s.d *= 3
	m.x[1] = 77
	m.t[4] = 9
	m.c *= 2i
	s := m.s
	s.b = !s.b
	return m, s, m.x, m.t
}

type base struct{ name string }

func (b base) Hello() string    { return "hello " + b.name }
func (b *base) Rename(s string) { b.name = s }
func (b *base) Self() *base     { return b }

type mid struct {
	base
	n int
}

type top struct {
	*mid
	fmt.Stringer
	extra int8
}

type greeter interface{ Hello() string }
type renamer interface {
	greeter
	Rename(string)
}

type str string

func (s str) String() string { return "<" + string(s) + ">" }

type fn func(int) int

func (f fn) Twice(x int) int { return f(f(x)) }

type num interface {
	~int | ~int8 | ~int32 | ~float64 | ~uint8
}

func sum[T num](xs ...T) (t T) {
	for _, x := range xs {
		t += x
	}
	return
}

func mapf[A, B any](xs []A, f func(A) B) []B {
	r := make([]B, 0, len(xs))
	for _, x := range xs {
		r = append(r, f(x))
	}
	return r
}

type list[T any] struct {
	head *node[T]
	size int
}

type node[T any] struct {
	v    T
	next *node[T]
}

func (l *list[T]) push(v T) { l.head = &node[T]{v, l.head}; l.size++ }
func (l *list[T]) each(f func(T)) {
	for n := l.head; n != nil; n = n.next {
		f(n.v)
	}
}

type tree[K cmp.Ordered, V any] struct {
	l, r *tree[K, V]
	k    K
	v    V
}

func (t *tree[K, V]) put(k K, v V) *tree[K, V] {
	if t == nil {
		return &tree[K, V]{k: k, v: v}
	}
	switch c := cmp.Compare(k, t.k); {
	case c < 0:
		t.l = t.l.put(k, v)
	case c > 0:
		t.r = t.r.put(k, v)
	default:
		t.v = v
	}
	return t
}

func (t *tree[K, V]) walk(f func(K, V)) {
	if t != nil {
		t.l.walk(f)
		f(t.k, t.v)
		t.r.walk(f)
	}
}

type celsius float64

func (c celsius) String() string { return fmt.Sprintf("%.1f°C", float64(c)) }

type myErr struct{ code int }

func (e myErr) Error() string { return fmt.Sprint("code ", e.code) }

type byLen []string

func (b byLen) Len() int           { return len(b) }
func (b byLen) Less(i, j int) bool { return len(b[i]) < len(b[j]) }
func (b byLen) Swap(i, j int)      { b[i], b[j] = b[j], b[i] }

type key struct {
	a int8
	s string
	f float32
}

type huge struct {
	a [300]int
	s string
}

//go:noinline
func bigs(h huge, i int) (huge, int) {
	g := h
	g.a[i] = 42
	g.s += "!"
	return g, h.a[i] + g.a[i]
}

type one struct{ p *int }

func (o one) Get() int { return *o.p }

func main() {
	m := mk(5)
	m2, s, x, t := change(m)
	fmt.Println(m.s, m.x, m.t, m.c, m2.s, m2.x, m2.t, m2.c, s, x, t)
	fmt.Printf("%+v %v\n", s, m2.st)
	fmt.Println(m == m2, m == mk(5), m.s == small{5, false, 15, 2.5}, x == [3]int16{5, 77, -2})

	tp := top{&mid{base{"bob"}, 3}, str("q"), 1}
	tp.Rename("eve")
	fmt.Println(tp.Hello(), tp.name, tp.mid.n, tp.Self().name, tp.String())
	var g greeter = tp
	fmt.Println(g.Hello())
	if r, ok := g.(renamer); ok {
		r.Rename("zed")
	}
	fmt.Println(tp.name)
	h := tp.Hello
	tp.Rename("later")
	fmt.Println(h(), base.Hello(tp.base), (*base).Self(&tp.base).name, greeter.Hello(g))
	ren := (*base).Rename
	ren(&tp.base, "expr")
	ih := g.Hello
	fmt.Println(tp.name, ih())
	fmt.Println(fn(func(x int) int { return x * 3 }).Twice(2))

	fmt.Println(sum(1, 2, 3), sum[int8](100, 100), sum(1.5, 2), sum[uint8](), sum(celsius(1), 2))
	fmt.Println(mapf([]int{1, 2, 3}, func(i int) string { return strings.Repeat("x", i) }))
	var l list[string]
	l.push("a")
	l.push("b")
	l.each(func(s string) { fmt.Print(s, " ") })
	fmt.Printf("%T %d\n", l, l.size)
	var tr *tree[string, int]
	for i, w := range strings.Fields("the quick brown fox jumps over the lazy dog") {
		tr = tr.put(w, i)
	}
	tr.walk(func(k string, v int) { fmt.Print(k, "=", v, " ") })
	fmt.Println()

	var err error = myErr{3}
	w := fmt.Errorf("wrap: %w", err)
	var me myErr
	fmt.Println(errors.As(w, &me), me.code, errors.Is(w, err), w)
	b := byLen{"ccc", "a", "bb"}
	sort.Sort(b)
	fmt.Println(b)
	slices.SortFunc(b, func(a, b string) int { return cmp.Compare(b, a) })
	fmt.Println(b, celsius(36.6))

	mm := map[key]int{{1, "a", 1.5}: 1, {2, "b", 2}: 2}
	mm[key{1, "a", 1.5}]++
	_, ok := mm[key{3, "", 0}]
	fmt.Println(mm[key{1, "a", 1.5}], len(mm), ok)
	ma := map[[2]string]bool{{"x", "y"}: true}
	fmt.Println(ma[[2]string{"x", "y"}], ma[[2]string{"y", "x"}])
	mi := map[any]int{1: 1, "a": 2, 1.5: 3, key{1, "k", 0}: 4, [1]int{5}: 5}
	fmt.Println(mi[1], mi["a"], mi[1.5], mi[key{1, "k", 0}], mi[[1]int{5}], mi[int8(1)])

	var hg huge
	hg.a[7] = 1
	hg.s = "h"
	hg2, n := bigs(hg, 7)
	fmt.Println(hg.a[7], hg2.a[7], hg.s, hg2.s, n, hg == hg2, hg == hg)
	hm := map[string]huge{"k": hg2}
	hv := hm["k"]
	hv.a[7]++
	fmt.Println(hm["k"].a[7], hv.a[7], hm["none"].a[3])
	var ha any = hv
	fmt.Println(ha.(huge).a[7], ha == any(hv), ha == any(hg))
	hc := make(chan huge, 1)
	hc <- hv
	hv.a[7]++
	hr := <-hc
	fmt.Println(hr.a[7], hv.a[7])
	hs := []huge{hg, hv}
	hs = append(hs, hr)
	hs[0].a[1] = 5
	fmt.Println(hs[0].a[1], hg.a[1], hs[2].a[7])
	fs := [2]huge{}
	fs[1].s = "z"
	fg := fs
	fg[1].s = "y"
	fmt.Println(fs[1].s, fg[1].s)

	v := 9
	o := one{&v}
	var oi interface{ Get() int } = o
	fmt.Println(oi.Get(), oi.(one).Get(), oi == any(one{&v}))
	arr := [...]struct {
		a int8
		b int32
	}{{1, 2}, {3, 4}}
	for i := range arr {
		arr[i].b *= int32(arr[len(arr)-1-i].a)
	}
	fmt.Println(arr, len(arr))
	i := 1
	i, arr[i].a = 0, 7
	fmt.Println(i, arr)
	e1, e2 := any(nil), any((*int)(nil))
	fmt.Println(e1 == nil, e2 == nil, e1 == e2)
	type local struct{ x, y any }
	fmt.Println(local{1, "a"} == local{1, "a"}, local{1, 2} == local{1, 2.0})
	fmt.Printf("%T %T %T %T\n", l, tr, arr, local{})
}
