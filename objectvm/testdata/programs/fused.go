// Operations that the compiler joins: floating point on memory, multiply and add, loop steps, values read back after a
// store, small integers normalised once. Operands alias, addresses are nil, and NaN and infinities go through.
package main

import (
	"fmt"
	"math"
)

type point struct{ x, y, z, w float64 }

type far struct {
	pad [300]float64
	v   float64
}

func steps(p, q *point, f float64) {
	p.x += f
	p.y -= f
	p.z += q.x * f
	p.w -= q.y * q.z
	q.x = p.x - q.x
	q.y = q.y*p.y + q.z
	q.z = f - q.z
	q.w = p.w * q.w
	p.x = f + p.x*p.x
	p.y = p.y - p.y*f
}

func farSteps(p *far, f float64) float64 {
	p.v += f
	p.v -= f * p.v
	return f + p.v*f
}

// order loads before it stores through what may be the same pointer.
func order(p, q *point) float64 {
	old := p.x
	q.x = 7
	sum := old + q.x
	p.y = old - p.y
	return sum
}

func twice(p *point, f float64) float64 {
	t := p.x
	u := t * f
	p.x = t + u
	return t + u*u
}

func try(name string, f func()) {
	defer func() {
		if e := recover(); e != nil {
			fmt.Println(name, e)
		}
	}()
	f()
}

func mixBytes(b []byte, r int) uint32 {
	h := uint32(2166136261)
	for i := range b {
		b[i] = b[i]*31 + byte(i+r)
		h = (h ^ uint32(b[i])) * 16777619
	}
	return h
}

func mixInts(s []int8, u []uint16, w []int32, k int) (n int64) {
	for i := range s {
		s[i] = s[i]*7 - int8(k*i)
		n += int64(s[i])
		u[i] = uint16(s[i]) + u[i]*uint16(k)
		n ^= int64(u[i]) << 3
		w[i] = w[i]*int32(u[i]) - int32(n)
		n -= int64(w[i])
	}
	return n
}

func narrow(a, b uint8, c int16) (uint8, int16, bool, uint64) {
	s := a + b
	t := (s*3 ^ 0x5a) - b
	d := c*c + int16(a)
	return t >> 1, d / 3, s < a, uint64(t) + uint64(uint16(d))
}

type wrapped struct{ v int8 }

func readBack(s []wrapped, i int, v int8) int {
	s[i] = wrapped{v}
	return int(s[i].v)
}

func dot(a, b [][]float64, i, j int) float64 {
	sum := 0.0
	for k := range len(a) {
		sum += a[i][k] * b[k][j]
	}
	return sum
}

func loops(n, step int) (r int) {
	for range n {
		r++
	}
	for i := range n {
		for j := i; j < n; j += step {
			r += j
		}
	}
	for i := 0; i < n; i++ {
		if i%3 == 0 {
			continue
		}
		r ^= i
	}
	return r
}

func main() {
	for _, f := range []float64{0, 1.5, -3.25, math.Inf(1), 1e308, math.Copysign(0, -1)} {
		p, q := &point{1, 2, 3, 4}, &point{-5, 6.5, 7, .125}
		steps(p, q, f)
		fmt.Println(*p, *q)
		steps(p, p, f)
		fmt.Println(*p, farSteps(&far{v: 3}, f), twice(q, f), *q)
	}
	p := &point{1, 2, 3, 4}
	fmt.Println(order(p, p), order(p, &point{}), *p)
	// The product is rounded before it is added: a fused multiply-add would give another result.
	x := &point{x: 1 + 1.0/(1<<30), y: -1 - 1.0/(1<<29)}
	x.y += x.x * x.x
	fmt.Println(x.y)
	try("nil +=", func() { steps(nil, p, 1) })
	try("nil operand", func() { steps(p, nil, 1) })
	try("nil far", func() { farSteps(nil, 1) })
	fmt.Println(*p)
	b := []byte("phantom machine")
	fmt.Println(mixBytes(b, 1000), b)
	fmt.Println(mixInts([]int8{1, -2, 127, -128, 50}, []uint16{1, 65535, 3, 4, 5}, []int32{1 << 30, -1, 7, 8, 9}, 300))
	fmt.Println(narrow(200, 100, -300))
	fmt.Println(narrow(255, 1, 32767))
	try("index", func() { mixBytes(nil, 1); mixInts(make([]int8, 2), nil, nil, 1) })
	w := make([]wrapped, 3)
	fmt.Println(readBack(w, 1, -7), w)
	m := [][]float64{{1, 2, 3}, {4, 5, 6}, {7, 8, 9}}
	fmt.Println(dot(m, m, 1, 2), loops(20, 3), loops(0, 1), loops(1, 1))
	try("row", func() { dot(m, m[:2], 0, 0) })
}
