package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"reflect"
)

// Rarely used corners of the language.

type padded struct {
	a int
	_ int
	_ struct{ x, y int }
	_ [2]int
	b string
}

type pair struct{ x, y int }

type holder struct {
	a int
	_ pair
	b int
}

func blanks() {
	p := padded{a: 1, b: "b"}
	q := struct {
		a, _, c int
	}{1, 2, 3}
	h := holder{1, pair{2, 3}, 4}
	v := reflect.ValueOf(q)
	w := reflect.ValueOf(h)
	fmt.Println(p, v.Field(0).Int(), v.Field(1).Int(), v.Field(2).Int(), w.Field(1).Field(1).Int(), w.Field(2).Int())
}

// unused has an argument that nothing reads and a result that recover returns.
//
//go:noinline
func unused(a, b, c int) (err error, n int) {
	defer func() {
		if e := recover(); e != nil {
			err = fmt.Errorf("recovered: %v", e)
		}
	}()
	n = 7
	if c > 1 {
		panic("c")
	}
	return nil, n
}

func catch(name string, f func()) {
	defer func() {
		e := recover()
		_, isRuntime := e.(interface{ RuntimeError() })
		fmt.Println(name, e, isRuntime)
	}()
	f()
}

type method struct{}

func (method) Recover() { fmt.Println("through reflect:", recover()) }

func deferredReflect() {
	defer func() { fmt.Println("behind reflect:", recover()) }()
	defer reflect.ValueOf(method{}).MethodByName("Recover").Call(nil)
	panic("one")
}

func deferredMakeFunc() {
	f := reflect.MakeFunc(reflect.TypeOf(func() {}), func([]reflect.Value) []reflect.Value {
		fmt.Println("made:", recover())
		return nil
	}).Interface().(func())
	defer f()
	panic("two")
}

func deferredMethodValue() {
	defer reflect.ValueOf(method{}).Method(0).Interface().(func())()
	panic("three")
}

//go:noinline
func unsignedIndexes(s []int, a *[4]int, t string, u uint64, n uint) {
	catch("slice", func() { fmt.Println(s[u]) })
	catch("array", func() { fmt.Println(a[u]) })
	catch("string", func() { fmt.Println(t[u]) })
	catch("store", func() { s[n] = 1 })
	catch("from", func() { fmt.Println(s[u:]) })
	catch("to", func() { fmt.Println(s[:u]) })
	catch("both", func() { fmt.Println(s[n:u]) })
	catch("full", func() { fmt.Println(s[:1:u]) })
	catch("middle", func() { fmt.Println(s[:u:2]) })
	catch("text", func() { fmt.Println(t[u:]) })
	catch("array to", func() { fmt.Println(a[:n]) })
	catch("signed", func() { fmt.Println(s[int(u)]) })
	catch("small", func() { fmt.Println(s[uint8(u>>1)]) })
}

func unhashable() {
	var none map[any]int
	empty, full := map[any]int{}, map[any]int{1: 1}
	type key struct{ f any }
	var k any = []int{1}
	catch("nil map", func() { fmt.Println(none[k]) })
	catch("empty map", func() { fmt.Println(empty[k]) })
	catch("full map", func() { fmt.Println(full[k]) })
	catch("delete nil", func() { delete(none, k) })
	catch("delete empty", func() { delete(empty, k) })
	catch("delete full", func() { delete(full, k) })
	catch("set", func() { empty[k] = 1 })
	catch("struct", func() { fmt.Println(map[key]int{}[key{func() {}}]) })
	catch("ok form", func() { _, ok := empty[k]; fmt.Println(ok) })
}

func tooLong() {
	const maxInt = int(^uint(0) >> 1)
	s := make([]struct{}, maxInt)
	catch("append", func() { s = append(s, struct{}{}) })
	catch("append slice", func() { s = append(s, make([]struct{}, 2)...) })
	n := -1
	catch("make", func() { _ = make([]int, n) })
	catch("make chan", func() { _ = make(chan int, n) })
}

func rangeOverNil() {
	var p *[3]int
	for i := range p {
		fmt.Print(i, " ")
	}
	for i := range *p {
		fmt.Print(i, " ")
	}
	for i := range *p {
		fmt.Print(i, " ")
	}
	fmt.Println(len(p), len(*p), cap((*p)))
}

func printed() {
	var f float32 = 0.1
	println(f, float64(f), float32(1)/3, 1e100, complex(f, -f), complex64(1i), complex(1.5, 2))
	println(float32(16777216), float32(1e-45))
}

func missing() {
	_, err := os.Open("/no/such/file")
	fmt.Println(err, errors.Is(err, fs.ErrNotExist))
	_, err = os.ReadFile("nothing.txt")
	fmt.Println(err)
}

func main() {
	blanks()
	fmt.Println(unused(1, 2, 3))
	fmt.Println(unused(1, 2, 0))
	deferredReflect()
	deferredMakeFunc()
	deferredMethodValue()
	unsignedIndexes([]int{1, 2, 3}, &[4]int{}, "text", 1<<63+5, 1<<63)
	unhashable()
	tooLong()
	rangeOverNil()
	printed()
	missing()
}
