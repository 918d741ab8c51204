package objectvm

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// attachSource makes a program with GOROUTINES goroutines that sleep, as many timers, channels with somebody who waits, and
// HEAP megabytes of small objects.
const attachSource = `package main

import "time"

type node struct {
	next *node
	data [6]int
}

var head *node

func main() {
	for range HEAP << 20 / 64 {
		head = &node{next: head}
	}
	for i := range GOROUTINES {
		c := make(chan int)
		go func() { <-c }()
		time.AfterFunc(time.Hour, func() { c <- i })
		go time.Sleep(time.Hour)
	}
	println("ready")
	time.Sleep(time.Minute)
}
`

// TestAttachTouchesFewPages counts the pages that Attach reads: a number that depends neither on the size of the heap nor on how
// many goroutines and timers there are.
func TestAttachTouchesFewPages(t *testing.T) {
	if err := os.WriteFile("/proc/self/clear_refs", []byte("1\n"), 0); err != nil {
		t.Skipf("this kernel does not count referenced pages: %v", err)
	}
	pages := map[string]int{}
	for _, c := range []struct{ goroutines, heap int }{{1, 1}, {10_000, 1}, {1, 64}, {10_000, 64}} {
		name := fmt.Sprintf("%d goroutines, %d MiB", c.goroutines, c.heap)
		pages[name] = attachedPages(t, c.goroutines, c.heap)
		t.Logf("%s: %d pages", name, pages[name])
	}
	least := pages["1 goroutines, 1 MiB"]
	for name, n := range pages {
		if n > least+8 {
			t.Errorf("%s: %d pages, the smallest program has %d", name, n, least)
		}
	}
	if least == 0 {
		t.Error("no page was counted")
	}
}

func attachedPages(t *testing.T, goroutines, heap int) int {
	path := t.TempDir() + "/main.go"
	src := replace(replace(attachSource, "GOROUTINES", strconv.Itoa(goroutines)), "HEAP", strconv.Itoa(heap))
	if err := os.WriteFile(path, []byte(src), 0o600); err != nil {
		t.Fatal(err)
	}
	r := newRig(t, compileProgram(t, path), Config{})
	defer r.close()
	for _, g := range regions {
		_ = unix.Madvise(bytesAt(g.base, g.size), unix.MADV_NOHUGEPAGE)
	}
	if err := unix.Madvise(bytesAt(DataBase, DataSize), unix.MADV_DONTDUMP); err != nil { // so that smaps lists DATA by itself
		t.Fatal(err)
	}
	for {
		st := r.vm.RunSlice(100_000)
		if st.Kind == Idle {
			break
		}
		if st.Kind != Running {
			t.Fatalf("%+v: %s", st, r.stdout(2))
		}
	}
	r.vm.Close()
	r.barrier.freeze()
	if err := os.WriteFile("/proc/self/clear_refs", []byte("1\n"), 0); err != nil {
		t.Fatal(err)
	}
	vm, err := Attach(r.arena, r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	n := referencedPages(t)
	r.vm = vm
	r.clock.t += 61e9
	for {
		if st := r.vm.RunSlice(100_000); st.Kind == Exited && st.Code == 0 {
			return n
		} else if st.Kind != Running {
			t.Fatalf("%+v: %s", st, r.stdout(2))
		}
	}
}

// referencedPages sums up the pages of META, STACKS and DATA that were read or written since the marks were cleared.
func referencedPages(t *testing.T) int {
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	total, counts, data := 0, false, false
	defer func() {
		if !data {
			t.Error("smaps does not list DATA")
		}
	}()
	for s := bufio.NewScanner(f); s.Scan(); {
		line := s.Text()
		if from, _, ok := strings.Cut(line, "-"); ok {
			if a, err := strconv.ParseUint(from, 16, 64); err == nil {
				data = data || Addr(a) == DataBase
				counts = Addr(a) >= ArenaBase && Addr(a) < CodeBase || Addr(a) >= DataBase && Addr(a) < ArenaEnd
				continue
			}
		}
		if rest, ok := strings.CutPrefix(line, "Referenced:"); ok && counts {
			kb, err := strconv.Atoi(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(rest), "kB")))
			if err != nil {
				t.Fatal(err)
			}
			total += kb / (PageSize >> 10)
		}
	}
	return total
}
