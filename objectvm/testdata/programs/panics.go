package main

import "runtime"

type E struct{ s string }

func (e *E) Error() string { return e.s }

func f(n int) (r int) {
	defer func() {
		if x := recover(); x != nil {
			println("recovered", x.(int))
			r = -1
		}
	}()
	if n > 5 {
		panic(n)
	}
	return n
}

func nested() (s string) {
	defer func() { x := recover(); s = x.(string); println("outer", s) }()
	defer func() {
		defer func() { println("inner", recover().(string)); panic("third") }()
		panic("second")
	}()
	panic("first")
}

func idx(a []int, i int) (v int, err error) {
	defer func() {
		if x := recover(); x != nil {
			err = x.(error)
		}
	}()
	return a[i], nil
}

func norecover() {
	defer func() { func() { println(recover() == nil) }() }()
	defer func() { println("d2") }()
}

func loopdefer() {
	for i := 0; i < 3; i++ {
		defer func() { println("loop", i) }()
	}
}

func repanic() (r any) {
	defer func() { r = recover() }()
	defer func() {
		x := recover()
		panic("re-" + x.(string))
	}()
	panic("p")
}

func goexit() {
	c := make(chan int)
	go func() {
		defer close(c)
		defer func() { println("goexit deferred", recover() == nil) }()
		runtime.Goexit()
	}()
	<-c
	d := make(chan int)
	go func() {
		defer close(d)
		defer func() {
			defer func() { println("rec in goexit", recover().(string)) }()
			panic("in goexit")
		}()
		runtime.Goexit()
	}()
	<-d
}

type T struct{ a, b int }

func nilderef(p *T) (s string) {
	defer func() { s = recover().(error).Error() }()
	p.b = 3
	return "no"
}

func div(a, b int) (s string) {
	defer func() { s = recover().(error).Error() }()
	println(a / b)
	return "no"
}

func conv(x any) (s string) {
	defer func() { s = recover().(error).Error() }()
	println(x.(string))
	return "no"
}

func slices(a []int, i, j int) (s string) {
	defer func() {
		if e := recover(); e != nil {
			s = e.(error).Error()
		}
	}()
	b := a[i:j]
	println(len(b), cap(b))
	return "ok"
}

func main() {
	println(f(3), f(7))
	println(nested())
	_, err := idx([]int{1, 2}, 5)
	println(err.Error())
	norecover()
	loopdefer()
	println(repanic().(string))
	goexit()
	println(nilderef(nil))
	println(div(1, 0))
	println(conv(3))
	println(slices([]int{1, 2, 3}, 1, 2), slices([]int{1, 2, 3}, 2, 1), slices([]int{1, 2, 3}, 2, 9), slices(nil, 0, 0))
	var m map[string]int
	func() {
		defer func() { println(recover().(error).Error()) }()
		m["a"] = 1
	}()
	defer println("main deferred")
	defer func() {
		panic(&E{"second"})
	}()
	panic("final")
}
