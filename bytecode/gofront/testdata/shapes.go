// Functions whose code is kept in shapes.golden.
package main

type pair struct {
	a int32
	b string
}

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func dot(a, b [][]float64, n int) (s float64) {
	for i := 0; i < n; i++ {
		for j := 0; j < n; j++ {
			s += a[i][j] * b[j][i]
		}
	}
	return
}

func squares(n int) (r []int) {
	for i := range n {
		r = append(r, i*i)
	}
	return
}

func fields(p *pair, q pair) (int32, bool) {
	p.a += q.a
	return p.a, p.b == q.b
}

func kind(x any) int {
	switch v := x.(type) {
	case int:
		return v
	case *pair:
		return int(v.a)
	}
	return -1
}

func guarded(f func() int) (r int) {
	defer func() {
		if recover() != nil {
			r = -1
		}
	}()
	return f()
}

func main() {
	p := &pair{1, "x"}
	a, ok := fields(p, *p)
	m := [][]float64{{1}}
	println(fib(5), dot(m, m, 1), len(squares(3)), a, ok, kind(p), guarded(func() int { return 3 }))
}
