package objectvm

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// gcProgram builds and uses the program with the source for a test of the collector.
func gcProgram(t testing.TB, src string, cfg Config) *rig {
	t.Helper()
	path := t.TempDir() + "/main.go"
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	return newRig(t, compileProgram(t, path), cfg)
}

// runGC runs a program to its end as a machine does, with a flip after some slices; each is called after each slice with the time that
// the collector took.
func (r *rig) runGC(fuel int64, flipEvery int, each func(gc time.Duration)) Status {
	r.t.Helper()
	for n := 1; ; n++ {
		before := r.vm.GCTime()
		st := r.vm.RunSlice(fuel)
		if each != nil {
			each(time.Duration(r.vm.GCTime() - before))
		}
		switch st.Kind {
		case Exited:
			return st
		case Fatal:
			r.t.Fatal(st.Err)
		case Idle:
			r.clock.t = max(r.clock.t, st.Until)
		}
		if n%flipEvery == 0 {
			r.barrier.freeze()
			r.vm.flipped()
		}
	}
}

const treesSource = `package main

type tree struct{ left, right *tree }

func build(depth int) *tree {
	if depth == 0 {
		return &tree{}
	}
	return &tree{build(depth - 1), build(depth - 1)}
}

func (t *tree) count() int {
	if t.left == nil {
		return 1
	}
	return 1 + t.left.count() + t.right.count()
}

var long *tree

func main() {
	long = build(KEEP)
	total := 0
	for range ROUNDS {
		total += build(12).count()
	}
	if total != ROUNDS*8191 || long.count() != 2<<KEEP-1 {
		panic(total)
	}
}
`

// TestGenerations: short-lived objects are found by minor cycles, and memory stays bounded without a cycle that runs at once.
func TestGenerations(t *testing.T) {
	r := gcProgram(t, replace(replace(treesSource, "KEEP", "14"), "ROUNDS", "600"), Config{})
	defer r.close()
	if st := r.runGC(100_000, 1, nil); st.Code != 0 {
		t.Fatalf("%+v: %s", st, r.stdout(2))
	}
	s := r.vm.GCStats()
	t.Logf("%+v, %d MiB of heap pages", s, hget(hdrHeapPages)<<heapShift>>20)
	if s.Minor+s.Major < 3 || s.Forced != 0 {
		t.Errorf("%+v", s)
	}
	if n := hget(hdrHeapPages) << heapShift; n > 64<<20 {
		t.Errorf("%d bytes of heap pages for 1 MiB of live objects and %d bytes between cycles", n, nursery)
	}
}

// TestMajorCycle: what became garbage after it was old is found, too.
func TestMajorCycle(t *testing.T) {
	r := gcProgram(t, `package main

type node struct {
	next *node
	data [12]int
}

var keep [64]*node

func main() {
	for i := range 64 * 30 {
		var list *node
		for range 8000 {
			list = &node{next: list}
		}
		keep[i%64] = list
	}
}
`, Config{})
	defer r.close()
	if st := r.runGC(100_000, 1, nil); st.Code != 0 {
		t.Fatalf("%+v: %s", st, r.stdout(2))
	}
	s := r.vm.GCStats()
	live := uint64(64 * 8000 * 112)
	t.Logf("%+v, %d MiB of heap pages for %d MiB of live objects", s, hget(hdrHeapPages)<<heapShift>>20, live>>20)
	if s.Major < 2 || s.Forced != 0 {
		t.Errorf("%+v", s)
	}
	if n := hget(hdrHeapPages) << heapShift; n > 4*live {
		t.Errorf("%d bytes of heap pages for %d bytes of live objects", n, live)
	}
}

// TestCyclesAreForgotten: VMs that are dropped while they mark or sweep lose nothing, and memory that they did not get to free is found.
func TestCyclesAreForgotten(t *testing.T) {
	r := gcProgram(t, replace(replace(treesSource, "KEEP", "10"), "ROUNDS", "300"), Config{GCUnits: 150, ArenaLimit: 48 << 20})
	defer r.close()
	rnd := testSeed(t)
	phases := [3]int{}
	for n := 0; ; n++ {
		st := r.vm.RunSlice(rnd.Int64N(3000))
		if st.Kind == Exited {
			if st.Code != 0 {
				t.Fatalf("%+v: %s", st, r.stdout(2))
			}
			break
		}
		if st.Kind != Running {
			t.Fatalf("%+v", st)
		}
		r.barrier.freeze()
		r.vm.flipped()
		if want := uint8(n / 100 % 3); rnd.IntN(5) == 0 && r.vm.gc.phase == want {
			phases[want]++
			r.vm.Close()
			vm, err := Attach(r.arena, r.cfg)
			if err != nil {
				t.Fatal(err)
			}
			r.vm = vm
		}
	}
	t.Logf("dropped while idle, marking, sweeping: %v", phases)
	if slices.Min(phases[1:]) == 0 {
		t.Errorf("dropped while idle, marking, sweeping: %v", phases)
	}
}

// TestManyGoroutines: each goroutine's stack is a root; they come and go, and are woken, while cycles mark.
func TestManyGoroutines(t *testing.T) {
	for _, cfg := range []Config{{GCUnits: 5000}, {GCUnits: 300, GCCopies: 4}} {
		r := gcProgram(t, `package main

type box struct{ next *box; n int }

func main() {
	const workers = 200
	in, out := make(chan *box), make(chan *box, 10)
	for i := range workers {
		go func() {
			mine := &box{n: i}
			for b := range in {
				mine = &box{&box{b, mine.n}, mine.n}
				out <- mine
				if mine.n != i || mine.next.n != i || mine.next.next != b {
					panic(i)
				}
				mine = &box{n: i}
			}
		}()
	}
	sum := 0
	for i := range 100 * workers {
		select {
		case in <- &box{n: i}:
		case b := <-out:
			sum += b.next.next.n & 1
		}
	}
	println(sum > 0)
}
`, cfg)
		if st := r.runGC(2000, 3, nil); st.Code != 0 || r.stdout(2) != "true\n" {
			t.Fatalf("%+v: %s", st, r.stdout(2))
		}
		t.Logf("%+v", r.vm.GCStats())
		r.close()
	}
}

// threadTime is the processor time of this thread in nanoseconds.
func threadTime() int64 {
	var ts unix.Timespec
	if err := unix.ClockGettime(unix.CLOCK_THREAD_CPUTIME_ID, &ts); err != nil {
		panic(err)
	}
	return ts.Nano()
}

// BenchmarkPauses prints how long the collector works after a slice, for a large live heap and for many goroutines.
//
//	go test ./objectvm -run '^$' -bench Pauses -benchtime 1x
func BenchmarkPauses(b *testing.B) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	for _, c := range []struct{ name, src string }{
		{"heap256M", replace(replace(treesSource, "KEEP", "23"), "ROUNDS", "2000")},
		{"goroutines100k", `package main

type node struct{ next *node; n [4]int }

func main() {
	c := make(chan *node)
	for range 100_000 {
		go func() {
			for n := range c {
				n.next = &node{}
			}
		}()
	}
	for range 3_000_000 {
		c <- &node{}
	}
}
`},
	} {
		b.Run(c.name, func(b *testing.B) {
			runtime.LockOSThread()
			defer runtime.UnlockOSThread()
			for b.Loop() {
				r := gcProgram(b, c.src, Config{ArenaLimit: 4 << 30})
				r.vm.gc.clock = threadTime // others use this machine, too
				var pauses []time.Duration
				if st := r.runGC(100_000, 3, func(d time.Duration) {
					if d > 0 {
						pauses = append(pauses, d)
					}
				}); st.Code != 0 {
					b.Fatalf("%+v: %s", st, r.stdout(2))
				}
				slices.Sort(pauses)
				at := func(q float64) float64 { return float64(pauses[int(q*float64(len(pauses)-1))].Microseconds()) }
				b.ReportMetric(at(0.5), "p50-us")
				b.ReportMetric(at(0.99), "p99-us")
				b.ReportMetric(at(0.999), "p99.9-us")
				b.ReportMetric(at(1), "max-us")
				b.Logf("%d pauses, %+v, %s bytes of heap", len(pauses), r.vm.GCStats(), strconv.FormatUint(hget(hdrHeapPages)<<heapShift, 10))
				r.close()
			}
		})
	}
}
