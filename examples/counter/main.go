// Counter counts to 1000. Its state is spread over everything a Go program
// has: a goroutine half-way through a recursive call, a channel with values
// in flight, a map, a closure and a ticker. Nothing is ever saved.
package main

import (
	"fmt"
	"time"
)

const last = 1000

// count calls emit with from, from+1, ... up to to, and keeps its place on the call stack.
func count(from, to int, emit func(int)) {
	if from == to {
		emit(from)
		return
	}
	mid := (from + to) / 2
	count(from, mid, emit)
	count(mid+1, to, emit)
}

func main() {
	numbers := make(chan int, 4)
	go func() {
		defer close(numbers)
		count(1, last, func(n int) { numbers <- n })
	}()

	lastDigits := map[int]int{}
	sum := 0
	tick := time.NewTicker(2 * time.Millisecond)
	defer tick.Stop()
	for n := range numbers {
		<-tick.C
		sum += n
		lastDigits[n%10]++
		fmt.Println("counter", n)
	}
	fmt.Println("sum", sum, "last digits", lastDigits)
}
