package main

func deep(n int, a [20]int) int {
	if n == 0 {
		return a[3]
	}
	a[3] += n
	return deep(n-1, a) + 1
}

func three(n int) (int, string, []int) {
	if n == 0 {
		return 1, "x", []int{1}
	}
	a, b, c := three(n - 1)
	return a + n, b, append(c, n)
}

func edge(n int) int {
	s := 0
	for i := 0; i < 300; i++ {
		s += leaf(i) + leaf2(i, n)
	}
	if n > 0 {
		s += edge(n - 1)
	}
	return s
}
func leaf(i int) int     { var a [60]int; a[i%60] = i; return a[(i+1)%60] + a[i%60] }
func leaf2(i, n int) int { return leaf(i) + n }

func main() {
	println(deep(3000, [20]int{}))
	a, b, c := three(800)
	println(a, b, len(c), c[77])
	println(edge(8))
	done := make(chan int)
	for g := 0; g < 10; g++ {
		go func() { done <- deep(500+g, [20]int{}) }()
	}
	s := 0
	for g := 0; g < 10; g++ {
		s += <-done
	}
	println(s)
}

func wide(n int) (r [100]int, s string) {
	if n > 0 {
		r, s = wide(n - 1)
	}
	r[n%100] += n
	return r, s + "."
}

func init() {
	r, s := wide(400)
	println(r[0], r[99], len(s))
}
