// Control flow: switch, goto, labels, range in all forms, defer in loops, closures over loop variables.
package main

import (
	"fmt"
	"iter"
)

func sw(x any) string {
	switch v := x.(type) {
	case nil:
		return "nil"
	case int, int8:
		return fmt.Sprintf("int-ish %v", v)
	case string:
		return "string " + v
	case []int:
		return fmt.Sprint("slice ", len(v))
	case error:
		return "error " + v.Error()
	case fmt.Stringer:
		return "stringer " + v.String()
	case func() int:
		return fmt.Sprint("func ", v())
	case struct{ A, B int32 }:
		return fmt.Sprint("struct ", v.A+v.B)
	default:
		return fmt.Sprintf("other %T", v)
	}
}

type S struct{ n int }

func (s S) String() string { return fmt.Sprint("S", s.n) }

type E struct{}

func (*E) Error() string { return "E!" }

func collatz(n int) (steps int) {
loop:
	if n == 1 {
		return
	}
	if n%2 == 0 {
		n /= 2
	} else {
		n = 3*n + 1
	}
	steps++
	goto loop
}

func labels() {
outer:
	for i := 0; i < 5; i++ {
		for j := 0; j < 5; j++ {
			switch {
			case j == 3:
				continue outer
			case i == 3:
				break outer
			case i == j:
				fallthrough
			case false:
				fmt.Print("d ")
			default:
				fmt.Print(i, j, " ")
			}
		}
	}
	fmt.Println()
}

func seq(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		defer fmt.Println("seq done")
		for i := 0; i < n; i++ {
			if !yield(i) {
				fmt.Println("stopped")
				return
			}
		}
	}
}

func pairs[K comparable, V any](m []K, v []V) iter.Seq2[K, V] {
	return func(yield func(K, V) bool) {
		for i := range m {
			if !yield(m[i], v[i]) {
				return
			}
		}
	}
}

func find(n int) (r int) {
	defer func() { r += 1000 }()
	for i := range seq(100) {
		defer fmt.Println("deferred", i)
		if i == n {
			return i
		}
	}
	return -1
}

func nested() string {
	s := ""
outer:
	for i := range seq(4) {
		for k, v := range pairs([]string{"a", "b", "c"}, []float64{1, 2, 3}) {
			if v == 2 && i == 1 {
				continue outer
			}
			if i == 3 {
				break outer
			}
			s += fmt.Sprint(i, k, v, ";")
		}
	}
	return s
}

func ranges() {
	for i := range 3 {
		fmt.Print(i, " ")
	}
	for range 2 {
		fmt.Print("x ")
	}
	var u8 uint8 = 3
	for i := range u8 {
		fmt.Printf("%T%d ", i, i)
	}
	for i, r := range "aé世\xff!" {
		fmt.Print(i, ":", r, " ")
	}
	for i := range "héllo" {
		fmt.Print(i, " ")
	}
	arr := [3]int{1, 2, 3}
	for i, v := range arr {
		arr[2] = 10
		fmt.Print(i, v, " ")
	}
	for i, v := range &arr {
		arr[2] = 20
		fmt.Print(i, v, " ")
	}
	sl := []int{1, 2, 3}
	for i, v := range sl {
		if i == 0 {
			sl = append(sl, 4)
			sl[1] = 9
		}
		fmt.Print(i, v, " ")
	}
	ch := make(chan int, 3)
	ch <- 1
	ch <- 2
	close(ch)
	for v := range ch {
		fmt.Print(v, " ")
	}
	m := map[string]int{"a": 1, "b": 2, "c": 3}
	sum := 0
	for k, v := range m {
		sum += v * int(k[0])
		delete(m, k)
	}
	fmt.Println(sum, len(m))
	var np *[4]int
	for i := range np {
		fmt.Print(i)
	}
	fmt.Println()
}

func closures() {
	var fs []func() int
	for i := 0; i < 3; i++ {
		fs = append(fs, func() int { i *= 10; return i })
	}
	for _, f := range fs {
		fmt.Print(f(), f(), " ")
	}
	x := 1
	add := func(n int) func() int { return func() int { x += n; return x } }
	a, b := add(2), add(10)
	fmt.Println(a(), b(), a(), x)
}

func deferOrder() (s string) {
	defer func() { s += "!" }()
	for i := range 3 {
		defer func(n int) { s += fmt.Sprint(n, i) }(i * 10)
	}
	return "r"
}

func main() {
	for _, x := range []any{nil, 1, int8(2), "s", []int{1, 2}, &E{}, S{4}, func() int { return 7 }, struct{ A, B int32 }{1, 2}, 2.5, map[int]int{}} {
		fmt.Println(sw(x))
	}
	fmt.Println(collatz(27))
	labels()
	fmt.Println(find(2), find(200))
	fmt.Println(nested())
	ranges()
	closures()
	fmt.Println(deferOrder())
}
