// Selects that are completed by another goroutine, with elements of any size and none, while the collector runs.
package main

import (
	"fmt"
	"runtime"
)

func pings[T any](v T) int {
	a, b, done := make(chan T), make(chan T), make(chan struct{})
	go func() {
		for range 5 {
			a <- v
			runtime.GC()
			b <- v
		}
		done <- struct{}{}
	}()
	n := 0
	for {
		select {
		case <-a:
			n++
		case <-b:
			n += 100
		case <-done:
			return n
		}
		runtime.GC()
	}
}

func main() {
	fmt.Println(pings(struct{}{}), pings([0]int{}), pings(1), pings("text"), pings([200]int{}), pings(new(int)))
}
