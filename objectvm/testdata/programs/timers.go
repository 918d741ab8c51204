package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Timers, tickers, contexts and condition variables; nothing printed depends on how long anything takes.

func main() {
	t := time.NewTimer(time.Millisecond)
	time.Sleep(3 * time.Millisecond)
	fmt.Println(t.Stop(), len(t.C)) // expired, value not received: Stop discards it
	select {
	case <-t.C:
		fmt.Println("stale value")
	default:
	}
	fmt.Println(t.Reset(time.Hour), t.Reset(time.Millisecond))
	<-t.C
	order := make(chan int, 10)
	for _, d := range []int{30, 10, 20, 0} {
		time.AfterFunc(time.Duration(d)*time.Millisecond, func() { order <- d })
	}
	for range 4 {
		fmt.Print(<-order, " ")
	}
	fmt.Println()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Millisecond)
	defer cancel()
	<-ctx.Done()
	fmt.Println(ctx.Err(), errors.Is(ctx.Err(), context.DeadlineExceeded))
	ctx2, cancel2 := context.WithCancelCause(context.Background())
	stop := context.AfterFunc(ctx2, func() { order <- 77 })
	cancel2(errors.New("my cause"))
	fmt.Println(<-order, context.Cause(ctx2), stop())
	tick := time.NewTicker(time.Millisecond)
	last := time.Now()
	for range 3 {
		now := <-tick.C
		fmt.Print(now.After(last), " ")
		last = now
	}
	tick.Reset(2 * time.Millisecond)
	<-tick.C
	tick.Stop()
	fmt.Println()
	var mu sync.Mutex
	cond := sync.NewCond(&mu)
	ready, woken := 0, 0
	var wg sync.WaitGroup
	for range 5 {
		wg.Go(func() {
			mu.Lock()
			defer mu.Unlock()
			ready++
			for woken == 0 {
				cond.Wait()
			}
			woken++
		})
	}
	for {
		mu.Lock()
		if ready == 5 {
			woken = 1
			cond.Broadcast()
			mu.Unlock()
			break
		}
		mu.Unlock()
		time.Sleep(time.Microsecond)
	}
	wg.Wait()
	fmt.Println(woken)
	var rw sync.RWMutex
	sum := 0
	for i := range 6 {
		wg.Go(func() {
			if i%3 == 0 {
				rw.Lock()
				sum += i
				rw.Unlock()
			} else {
				rw.RLock()
				_ = sum
				rw.RUnlock()
			}
		})
	}
	wg.Wait()
	fmt.Println(sum)
	start := time.Now()
	time.Sleep(20 * time.Millisecond)
	fmt.Println(time.Since(start) >= 20*time.Millisecond)
}
