// Goroutines, channels, select, sync, timers, context.
package main

import (
	"context"
	"errors"
	"fmt"
	"sort"
	"sync"
	"sync/atomic"
	"time"
)

func producer(n int, c chan<- int, wg *sync.WaitGroup) {
	defer wg.Done()
	for i := range n {
		c <- i
	}
}

func pipeline() int {
	src := make(chan int)
	sq := make(chan int, 4)
	go func() {
		defer close(src)
		for i := range 10 {
			src <- i
		}
	}()
	go func() {
		defer close(sq)
		for v := range src {
			sq <- v * v
		}
	}()
	s := 0
	for v := range sq {
		s += v
	}
	return s
}

type point struct {
	x, y int
	name string
}

func selects() {
	a, b := make(chan int, 1), make(chan string, 1)
	var nilc chan point
	for i := range 4 {
		if i == 1 {
			a <- 10
		}
		if i == 2 {
			b <- "s"
		}
		select {
		case v, ok := <-a:
			fmt.Println("a", v, ok)
		case s := <-b:
			fmt.Println("b", s)
		case p := <-nilc:
			fmt.Println(p)
		default:
			fmt.Println("none")
		}
	}
	c := make(chan point, 2)
	for i := range 3 {
		select {
		case c <- point{i, -i, fmt.Sprint("p", i)}:
			fmt.Println("sent", i)
		case <-time.After(5 * time.Millisecond):
			fmt.Println("full")
		}
	}
	close(c)
	for p := range c {
		fmt.Println(p)
	}
	p, ok := <-c
	fmt.Println(p, ok)
}

func mutex() int {
	var mu sync.Mutex
	var wg sync.WaitGroup
	n := 0
	m := map[int]int{}
	for i := range 20 {
		wg.Add(1)
		go func() {
			defer wg.Done()
			for range 50 {
				mu.Lock()
				n++
				m[i]++
				mu.Unlock()
			}
		}()
	}
	wg.Wait()
	return n + len(m)
}

type counter struct {
	atomic.Int64
	u32 uint32
}

func (c *counter) inc(d int64) { c.Add(d); atomic.AddUint32(&c.u32, 1) }

func main() {
	c := make(chan int, 3)
	var wg sync.WaitGroup
	wg.Add(2)
	go producer(5, c, &wg)
	go producer(5, c, &wg)
	go func() { wg.Wait(); close(c) }()
	var got []int
	for v := range c {
		got = append(got, v)
	}
	sort.Ints(got)
	fmt.Println(got, len(c), cap(c))
	fmt.Println(pipeline())
	selects()
	fmt.Println(mutex())

	var cn counter
	var once sync.Once
	done := make(chan struct{})
	for i := range 3 {
		go func(n int64) {
			cn.inc(n)
			once.Do(func() { fmt.Println("once") })
			done <- struct{}{}
		}(int64(i))
	}
	for range 3 {
		<-done
	}
	fmt.Println(cn.Load(), cn.u32, cn.CompareAndSwap(3, 9), cn.Load(), cn.Swap(1), atomic.LoadUint32(&cn.u32))

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	select {
	case <-ctx.Done():
		fmt.Println(errors.Is(ctx.Err(), context.DeadlineExceeded), ctx.Err())
	case <-time.After(5 * time.Second):
		fmt.Println("late")
	}
	tk := time.NewTicker(2 * time.Millisecond)
	for i := range 3 {
		<-tk.C
		fmt.Println("tick", i)
	}
	tk.Stop()
	start := time.Now()
	time.Sleep(3 * time.Millisecond)
	fmt.Println(time.Since(start) >= 3*time.Millisecond, time.Duration(1500)*time.Millisecond)

	cond := sync.NewCond(&sync.Mutex{})
	ready := false
	go func() { cond.L.Lock(); ready = true; cond.L.Unlock(); cond.Broadcast() }()
	cond.L.Lock()
	for !ready {
		cond.Wait()
	}
	cond.L.Unlock()
	var rw sync.RWMutex
	rw.RLock()
	rw.RUnlock()
	var sm sync.Map
	sm.Store("a", 1)
	v, ok := sm.Load("a")
	fmt.Println(v, ok)
	res := make(chan any)
	go func() {
		defer func() { res <- recover() }()
		var p *point
		p.x = 1
	}()
	fmt.Println(<-res)
	go fmt.Println()
	dl := make(chan int)
	<-dl
}
