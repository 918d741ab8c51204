// Zoo is a unikernel with one scenario a first argument, for the boot tests.
// A scenario that fails panics.
package main

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"regexp"
	"runtime"
	"runtime/debug"
	"slices"
	"strconv"
	"sync"
	"time"

	"phantomvm/hypervisor/guest"
)

func main() {
	scenario, ok := map[string]func(){
		"goroutines": goroutines, "panic": uncaught, "recover": recovering, "fault": panicOnFault,
		"block": block, "async": async, "channel": channel, "memory": memory, "touch": touch, "idle": idle,
		"busy": busy, "library": library, "hog": hog, "entropy": entropy, "clock": clock,
		"hang": func() {
			for {
			}
		}, "exhaust": exhaust, "floats": floats, "disk-error": diskError, "large": large,
		"group": group, "prepare": prepare, "paging": demandPaging,
	}[os.Args[1]]
	if !ok {
		panic("no scenario " + os.Args[1])
	}
	scenario()
	fmt.Println("done")
}

func check(err error) {
	if err != nil {
		panic(err)
	}
}

func assert(ok bool, format string, args ...any) {
	if !ok {
		panic(fmt.Sprintf(format, args...))
	}
}

func number(i int) int {
	n, err := strconv.Atoi(os.Args[i])
	check(err)
	return n
}

func goroutines() {
	c := make(chan int)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			time.Sleep(time.Duration(i%20) * time.Millisecond)
			c <- i
		})
	}
	go func() { wg.Wait(); close(c) }()
	sum := 0
	for v := range c {
		sum += v
	}
	assert(sum == 499500, "sum %d", sum)
	start := time.Now()
	n := 0
	for range time.Tick(5 * time.Millisecond) {
		if n++; n == 20 {
			break
		}
	}
	d := time.Since(start)
	assert(d >= 99*time.Millisecond && d < 5*time.Second, "20 ticks of 5 ms took %v", d)
	select {
	case <-time.After(10 * time.Millisecond):
	case <-make(chan int):
	}
	runtime.GC()
	fmt.Println("sum", sum)
}

type node struct{ next *node }

//go:noinline
func deref(n *node) *node { return n.next }

func uncaught() { panic("deliberate") }

func recovering() {
	for range 100 {
		func() {
			defer func() {
				err, ok := recover().(runtime.Error)
				assert(ok && err.Error() == "runtime error: invalid memory address or nil pointer dereference", "%v", err)
			}()
			fmt.Println(deref(nil))
		}()
	}
	func() {
		defer func() { assert(recover() != nil, "no panic") }()
		zero := number(2)
		fmt.Println(1 / zero)
	}()
	func() {
		defer func() { fmt.Println("recovered:", recover()) }()
		var a []int
		fmt.Println(a[len(os.Args)])
	}()
	deref(nil) // and one that nobody takes
}

func library() {
	b, err := json.Marshal(map[string]any{"a": []int{1, 2}, "b": "x"})
	check(err)
	fmt.Printf("%s %x %v\n", b, sha256.Sum256(b), regexp.MustCompile(`\d+`).FindAllString(string(b), -1))
}

// floats computes across goroutine switches and page faults, which must keep
// vector registers.
func floats() {
	var wg sync.WaitGroup
	results := make([]float64, 8)
	for g := range results {
		wg.Go(func() {
			x := make([]float64, 1<<16) // faults while computing
			s := 0.0
			for i := range x {
				x[i] = math.Sqrt(float64(i)) * 1.5
				s += x[i]
				if i%4096 == 0 {
					runtime.Gosched()
				}
			}
			results[g] = s
		})
	}
	wg.Wait()
	for _, r := range results {
		assert(r == results[0], "%v", results)
	}
	fmt.Println(results[0])
}

func entropy() {
	a, b := make([]byte, 1000), make([]byte, 1000)
	_, err := rand.Read(a)
	check(err)
	_, err = rand.Read(b)
	check(err)
	assert(!bytes.Equal(a, b), "two equal draws")
	seen := map[byte]bool{}
	for _, v := range a {
		seen[v] = true
	}
	assert(len(seen) > 150, "%d different bytes of 1000", len(seen))
}

func clock() {
	fmt.Println("now", time.Now().UnixNano())
	start := time.Now()
	guest.Resync()
	time.Sleep(50 * time.Millisecond)
	d := time.Since(start)
	assert(d >= 50*time.Millisecond && d < 2*time.Second, "slept %v", d)
}

func idle() {
	time.Sleep(time.Duration(number(2)) * time.Millisecond)
}

// busy computes for a while, yielding, and checks that timers fire in time.
func busy() {
	var late []time.Duration
	stop := make(chan bool)
	go func() {
		for range 20 {
			start := time.Now()
			time.Sleep(10 * time.Millisecond)
			late = append(late, time.Since(start)-10*time.Millisecond)
		}
		close(stop)
	}()
	for {
		select {
		case <-stop:
			slices.Sort(late)
			fmt.Println("median", late[len(late)/2], "worst", late[len(late)-1])
			return
		default:
		}
		for start := time.Now(); time.Since(start) < 500*time.Microsecond; {
		}
		guest.Yield()
	}
}

// spinning counts how far a goroutine computes while f runs.
func spinning(f func()) (loops int) {
	done := make(chan bool)
	go func() { f(); close(done) }()
	for {
		select {
		case <-done:
			return loops
		default:
			loops++
			for start := time.Now(); time.Since(start) < 20*time.Microsecond; {
			}
			guest.Yield()
		}
	}
}

func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + seed)
	}
	return b
}

func block() {
	d, err := guest.OpenBlock("storage")
	check(err)
	_, err = guest.OpenBlock("absent")
	assert(errors.Is(err, guest.ErrNoDevice), "%v", err)
	fmt.Println("size", d.Size(), "sector", d.SectorSize(), "durable", d.Durable())
	for i, c := range []struct{ n, off int }{{512, 0}, {3, 1}, {4096, 4096}, {1 << 20, 12345}, {5000, 77777}, {0, 5}, {300000, 1 << 21}} {
		want := pattern(c.n, i)
		_, err := d.WriteAt(want, int64(c.off))
		check(err)
		check(d.Flush())
		got := make([]byte, c.n)
		_, err = d.ReadAt(got, int64(c.off))
		check(err)
		assert(bytes.Equal(want, got), "transfer %d differs", i)
	}
	for i, n := range []int{20000, 1 << 20} { // by hypercall, and through the queue
		want := pattern(n, 40+i)
		_, err := d.WriteAt(want, 4096)
		check(err)
		got := zeros(arena+uintptr(i)*gib, n)
		_, err = d.ReadAt(got, 4096)
		check(err)
		assert(bytes.Equal(want, got), "read into pages of zeros differs, %d bytes", n)
		check(d.WriteGather([][]byte{zeros(arena+uintptr(i+2)*gib, n)}, 4096))
		_, err = d.ReadAt(got, 4096)
		check(err)
		assert(bytes.Equal(got, make([]byte, n)), "zeros written are not zeros")
	}
	far := d.Size() - 4096
	_, err = d.WriteAt(pattern(4096, 9), far)
	check(err)
	got := make([]byte, 5000)
	n, err := d.ReadAt(got, far)
	assert(n == 4096 && err == io.EOF && bytes.Equal(got[:n], pattern(4096, 9)), "read at the end: %d %v", n, err)
	_, err = d.WriteAt(pattern(4097, 9), far)
	assert(errors.Is(err, guest.ErrRange), "write past the end: %v", err)
}

func async() {
	d, err := guest.OpenBlock("storage")
	check(err)
	var bufs [][]byte
	var all []byte
	for i := range 3000 {
		b := pattern(4096+i%5, i)
		bufs = append(bufs, b)
		all = append(all, b...)
	}
	loops := spinning(func() {
		check(d.WriteGather(bufs, 4096))
		check(d.Flush())
	})
	got := make([]byte, len(all))
	_, err = d.ReadAt(got, 4096)
	check(err)
	assert(bytes.Equal(all, got), "differs")
	fmt.Println("loops meanwhile:", loops)
	start := time.Now()
	const n = 200
	for i := range n {
		check(d.WriteGather([][]byte{bufs[i]}, int64(i)*4096))
		check(d.Flush())
	}
	fmt.Println("write+flush when idle:", time.Since(start)/n)
	start = time.Now()
	for i := range n {
		check(d.WriteGroup([][][]byte{{bufs[i]}}, []int64{int64(i) * 4096}))
	}
	fmt.Println("durable write when idle:", time.Since(start)/n)
	start = time.Now()
	for i := range n {
		_, err = d.ReadAt(bufs[i], int64(i)*4096)
		check(err)
	}
	fmt.Println("read:", time.Since(start)/n)
}

// group writes one write group of three runs, whose buffers are pages apart in memory.
func group() {
	d, err := guest.OpenBlock("storage")
	check(err)
	runs := make([][][]byte, 3)
	offs := []int64{0, 4 << 20, 8 << 20}
	for i := range 2100 {
		runs[i%3] = append(runs[i%3], pattern(4096, i))
	}
	runs[2] = runs[2][:1]
	check(d.WriteGroup(runs, offs))
	for i, r := range runs {
		want := bytes.Join(r, nil)
		got := make([]byte, len(want))
		_, err := d.ReadAt(got, offs[i])
		check(err)
		assert(bytes.Equal(want, got), "run %d differs", i)
	}
}

// prepare has a place prepared while it writes elsewhere: the device prepares until a flush was done.
func prepare() {
	d, err := guest.OpenBlock("storage")
	check(err)
	done := make(chan error)
	go func() { done <- d.Prepare(1<<20, 1<<20) }()
	time.Sleep(time.Millisecond)
	check(d.WriteGroup([][][]byte{{pattern(4096, 1)}}, []int64{0}))
	check(<-done)
	assert(errors.Is(d.Prepare(d.Size(), 4096), guest.ErrRange), "outside the device")
}

func diskError() {
	d, err := guest.OpenBlock("storage")
	check(err)
	_, err = d.WriteAt(make([]byte, 512), 0)
	fmt.Println(err)
	fmt.Println(d.Flush())
}

func large() {
	d, err := guest.OpenBlock("storage")
	check(err)
	b := pattern(8<<20, 1)
	start := time.Now()
	for i := range int64(8) {
		_, err := d.WriteAt(b, i<<23)
		check(err)
	}
	fmt.Println("64 MiB written in", time.Since(start))
	start = time.Now()
	for i := range int64(8) {
		_, err := d.ReadAt(b, i<<23)
		check(err)
	}
	fmt.Println("64 MiB read in", time.Since(start))
}

// channel echoes messages until an empty one comes.
func channel() {
	c, ok := guest.OpenChannel()
	assert(ok, "no channel")
	assert(errors.Is(c.Send(make([]byte, 65537)), guest.ErrMessage), "a long message was taken")
	for {
		msg, ok := c.Recv()
		if !ok {
			c.Wait(time.Minute)
			continue
		}
		if len(msg) == 0 {
			return
		}
		check(c.Send(msg))
	}
}

func hog() {
	keep := [][]byte{}
	for {
		b := make([]byte, 1<<20)
		for i := 0; i < len(b); i += 4096 {
			b[i] = 1
		}
		keep = append(keep, b)
		_ = keep
	}
}

func panicOnFault() {
	debug.SetPanicOnFault(true)
	faults()
}
