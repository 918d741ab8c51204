package main

import (
	"fmt"
	"unsafe"
)

type e struct{ x [0]string }

func try(name string, f func()) {
	defer func() {
		r := recover()
		_, isErr := r.(error)
		fmt.Println(name, r, isErr)
	}()
	f()
}

type I interface{ M(int) string }
type J interface{ N() }
type T struct{}

func (T) M(int) string { return "" }

var zero = 0
var neg = -1

func main() {
	var p *int
	n := 5
	try("us", func() { _ = unsafe.Slice(p, n) })
	try("us2", func() { _ = unsafe.Slice(&n, neg) })
	try("ustr", func() { _ = unsafe.String((*byte)(nil), n) })
	try("nilmap", func() { var m map[string]int; m["a"] = 1 })
	try("close nil", func() { var c chan int; close(c) })
	try("close2", func() { c := make(chan int); close(c); close(c) })
	try("send closed", func() { c := make(chan int, 1); close(c); c <- 1 })
	try("makechan", func() { _ = make(chan int, neg) })
	try("makeslice", func() { _ = make([]int, neg) })
	try("makeslice cap", func() { _ = make([]int, 1, zero) })
	try("cmp", func() { var a, b any = []int{1}, []int{1}; fmt.Println(a == b) })
	try("cmp2", func() { var a, b any = [1]any{func() {}}, [1]any{func() {}}; fmt.Println(a == b) })
	try("hash", func() { m := map[any]int{1: 1}; m[func() {}] = 1 })
	try("hash2", func() { m := map[any]int{1: 1}; _ = m[struct{ a any }{[]int{}}] })
	try("assert", func() { var a any = T{}; _ = a.(J) })
	try("assert2", func() { var a any; _ = a.(J) })
	try("assert3", func() { var a any = 5; _ = a.(string) })
	try("assert4", func() { var a I = T{}; _ = a.(J) })
	try("s2a", func() { s := []int{1, 2}; _ = [3]int(s) })
	try("idx", func() { s := []int{1, 2}; _ = s[n] })
	try("slice", func() { s := []int{1, 2}; _ = s[n:] })
	try("str", func() { s := "ab"; _ = s[n:] })
	try("div", func() { _ = n / zero })
	try("shift", func() { _ = n << neg })
	try("nil", func() { _ = *p })
	var i I
	try("nil iface", func() { i.M(1) })
	fmt.Println(len(unsafe.Slice(&n, 1)), [2]e{} == [2]e{}, e{} == e{})
}
