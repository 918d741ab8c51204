// Run-time panics and their messages, recover, re-panic, panics in deferred calls.
package main

import (
	"errors"
	"fmt"
	"os"
	"runtime"
)

type T struct{ a, b int }

func (t T) Val() int  { return t.a }
func (t *T) Ptr() int { return t.b }

type I interface{ Val() int }
type J interface{ Other() }

func try(name string, f func()) {
	defer func() {
		r := recover()
		if e, ok := r.(runtime.Error); ok {
			fmt.Printf("%s: runtime error: %s (%T)\n", name, e.Error(), r)
			return
		}
		fmt.Printf("%s: %v (%T)\n", name, r, r)
	}()
	f()
}

//go:noinline
func id[X any](x X) X { return x }

func nested() (s string) {
	defer func() {
		s += fmt.Sprint("outer:", recover())
	}()
	defer func() {
		defer func() { s += fmt.Sprint("inner:", recover(), " ") }()
		panic("second")
	}()
	panic("first")
}

func replaced() (s string) {
	defer func() { s = fmt.Sprint(recover()) }()
	defer func() { panic("new") }()
	panic("old")
}

func named() (x int, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("wrapped: %v", r)
		}
	}()
	x = 5
	var m map[string]int
	m["a"] = 1
	return 7, nil
}

func noRecover() {
	defer func() { func() { fmt.Println("nested recover:", recover()) }() }()
	defer func() { fmt.Println("direct:", recover()) }()
	panic(1)
}

type R struct{}

func (R) Rec() { fmt.Println("method recover:", recover()) }

func methodRecover() {
	defer R{}.Rec()
	panic("m")
}

func ifaceRecover() {
	var r interface{ Rec() } = R{}
	defer r.Rec()
	panic("i")
}

func deferRecover() {
	defer fmt.Println("after")
	defer recover()
	panic("squelched")
}

func goexitLike() (n int) {
	for i := range 3 {
		func() {
			defer func() {
				if recover() != nil {
					n += i
				}
			}()
			if i > 0 {
				panic(i)
			}
		}()
	}
	return
}

func main() {
	zero, five := id(0), id(5)
	a := []int{1, 2, 3}
	var arr [4]int
	var np *T
	var ni I
	var nm map[string]int
	var ne error
	s := "hello"
	var e any = "str"
	try("index", func() { _ = a[five] })
	try("index neg", func() { _ = a[id(-1)] })
	try("array", func() { _ = arr[five] })
	try("array store", func() { arr[five] = 1 })
	try("string", func() { _ = s[five] })
	try("slice", func() { _ = a[:five] })
	try("slice2", func() { _ = a[five:] })
	try("slice3", func() { _ = a[2:id(1)] })
	try("slice4", func() { _ = a[:2:five] })
	try("slice5", func() { _ = a[:id(3):2] })
	try("strslice", func() { _ = s[:id(9)] })
	try("strslice2", func() { _ = s[id(4):id(2)] })
	try("arrslice", func() { _ = arr[five:] })
	try("div", func() { _ = five / zero })
	try("mod", func() { _ = five % zero })
	try("shift", func() { _ = five << id(-2) })
	try("nil field", func() { _ = np.b })
	try("nil method", func() { _ = np.Ptr() })
	try("nil value method", func() { _ = np.Val() })
	try("nil iface", func() { _ = ni.Val() })
	try("nil err", func() { _ = ne.Error() })
	try("nil map", func() { nm["x"] = 1 })
	try("nil func", func() { var f func(); f() })
	try("assert", func() { _ = e.(int) })
	try("assert iface", func() { _ = e.(I) })
	try("assert nil", func() { var n any; _ = n.(int) })
	try("assert nil iface", func() { var n any; _ = n.(I) })
	try("assert iface2", func() { var i I = T{}; _ = i.(J) })
	try("assert conc", func() { var i I = T{}; _ = i.(*T) })
	try("uncomparable", func() { x, y := any([]int{}), any([]int{}); _ = x == y })
	try("unhashable", func() { m := map[any]int{}; m[[]int{}] = 1 })
	try("close nil", func() { var c chan int; close(c) })
	try("close twice", func() { c := make(chan int); close(c); close(c) })
	try("send closed", func() { c := make(chan int, 1); close(c); c <- 1 })
	try("makeslice", func() { _ = make([]int, id(-1)) })
	try("makeslice cap", func() { _ = make([]int, 2, id(1)) })
	try("makechan", func() { _ = make(chan int, id(-1)) })
	try("slice to array", func() { _ = [4]int(a) })
	try("slice to array ptr", func() { _ = (*[4]int)(a) })
	try("custom", func() { panic(errors.New("custom")) })
	try("nil panic", func() { panic(nil) })
	try("value", func() { panic(T{1, 2}) })
	fmt.Println(nested())
	fmt.Println(replaced())
	fmt.Println(named())
	noRecover()
	methodRecover()
	ifaceRecover()
	func() {
		defer func() { fmt.Println("not squelched:", recover()) }()
		deferRecover()
	}()
	fmt.Println(goexitLike())
	if len(os.Args) > 5 {
		return
	}
	defer fmt.Println("deferred before death")
	defer func() { panic(fmt.Errorf("final %d", 2)) }()
	panic("final 1")
}
