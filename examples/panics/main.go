// Panics shows defer, panic and recover across function and goroutine
// boundaries, and ends with an uncaught panic: exit code 2.
package main

import (
	"errors"
	"fmt"
	"time"
)

var errSpoiled = errors.New("spoiled")

// try runs f and returns what it panicked with as an error.
func try(name string, f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%s: recovered %v", name, r)
		}
	}()
	f()
	return nil
}

type tree struct{ left, right *tree }

func nested() {
	defer fmt.Println("nested: last deferred call")
	defer func() {
		fmt.Println("nested:", recover())
		panic(fmt.Errorf("again: %w", errSpoiled))
	}()
	panic("first")
}

func main() {
	index := 7
	var zero int
	var m map[string]int
	var value any = "text"
	for _, c := range []struct {
		name string
		f    func()
	}{
		{"index", func() { fmt.Println([]int{1, 2, 3}[index]) }},
		{"divide", func() { fmt.Println(1 / zero) }},
		{"nil map", func() { m["a"] = 1 }},
		{"assertion", func() { fmt.Println(value.(int)) }},
		{"nil pointer", func() { fmt.Println(new(tree).left.right) }},
		{"slice", func() { fmt.Println("hello"[index:]) }},
		{"closed channel", func() { c := make(chan int); close(c); close(c) }},
		{"nested", nested},
	} {
		fmt.Println(try(c.name, c.f))
		time.Sleep(3 * time.Millisecond)
	}

	done := make(chan error)
	go func() { done <- try("goroutine", func() { panic(errSpoiled) }) }()
	fmt.Println(<-done)

	for i := range 50 {
		defer func() { fmt.Println("deferred", i) }()
		time.Sleep(2 * time.Millisecond)
	}
	panic(fmt.Sprintf("the end, with %d deferred calls still to run", 50))
}
