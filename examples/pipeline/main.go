// Pipeline is goroutines, channels, select, timers and sleeping: numbers are
// made, squared by several workers, put back into order and summed, while a
// ticker and a time-out watch. What is printed does not depend on scheduling.
package main

import (
	"context"
	"fmt"
	"sync"
	"time"
)

const (
	numbers = 400
	workers = 5
)

type item struct{ index, value int }

func produce(ctx context.Context, out chan<- item) {
	defer close(out)
	for i := range numbers {
		select {
		case out <- item{i, i}:
		case <-ctx.Done():
			return
		}
		if i%40 == 0 {
			time.Sleep(5 * time.Millisecond)
		}
	}
}

func square(id int, in <-chan item, out chan<- item, wg *sync.WaitGroup) {
	defer wg.Done()
	for it := range in {
		time.Sleep(time.Duration(id+1) * 500 * time.Microsecond)
		out <- item{it.index, it.value * it.value}
	}
}

// order passes items on by index, whatever order they come in.
func order(in <-chan item, out chan<- item) {
	defer close(out)
	waiting := map[int]item{}
	next := 0
	for it := range in {
		waiting[it.index] = it
		for {
			w, ok := waiting[next]
			if !ok {
				break
			}
			delete(waiting, next)
			out <- w
			next++
		}
	}
}

func main() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	made, squared, ordered := make(chan item), make(chan item, 3), make(chan item)
	go produce(ctx, made)
	var wg sync.WaitGroup
	for id := range workers {
		wg.Add(1)
		go square(id, made, squared, &wg)
	}
	go func() { wg.Wait(); close(squared) }()
	go order(squared, ordered)

	sum := 0
	ticks := 0
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case it, ok := <-ordered:
			if !ok {
				fmt.Println("sum", sum, "ticked", ticks > 0)
				deadline, stop := context.WithTimeout(ctx, 30*time.Millisecond)
				defer stop()
				<-deadline.Done()
				fmt.Println("time-out:", deadline.Err())
				return
			}
			sum += it.value
			if it.index%50 == 49 {
				fmt.Println("squared", it.index+1, "numbers, sum", sum)
			}
		case <-tick.C:
			ticks++
		case <-time.After(time.Hour):
			fmt.Println("nothing came for an hour")
			return
		}
	}
}
