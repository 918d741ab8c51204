package objectvm

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const syncProgram = `package main

import "phantomvm/phantom"

func main() {
	done := make(chan int)
	for g := range 3 {
		go func() {
			phantom.Sync()
			println("synced", g)
			done <- g
		}()
	}
	for range 3 {
		<-done
	}
	phantom.Sync()
	println("end")
}
`

func syncModule(t *testing.T) []byte {
	path := filepath.Join(t.TempDir(), "main.go")
	if err := os.WriteFile(path, []byte(syncProgram), 0o600); err != nil {
		t.Fatal(err)
	}
	return compileProgram(t, path)
}

// stderrOf is what was written to standard error so far.
func (r *rig) stderrOf() string {
	from, _ := r.vm.OutputRange(2)
	b, err := r.vm.Output(2, from)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(b)
}

// TestSyncPoints: who is in Sync waits for the flip after the call and for its end, in order, and is not dead meanwhile.
func TestSyncPoints(t *testing.T) {
	r := newRig(t, syncModule(t), Config{})
	defer r.close()
	wantIdle := func(waiting int, said string) {
		t.Helper()
		st := r.vm.RunSlice(100_000)
		if st.Kind != Idle || st.Until != math.MaxInt64 || r.vm.Syncing() != waiting || r.stderrOf() != said {
			t.Fatalf("%+v, %d in Sync, said %q", st, r.vm.Syncing(), r.stderrOf())
		}
	}
	wantIdle(3, "")
	if !r.vm.SyncWanted() {
		t.Error("no flip is wanted")
	}
	if n := r.vm.SyncDurable(); n != 0 {
		t.Errorf("%d went on before a flip", n)
	}
	if text := string(r.vm.tracebackText(GID(hget(hdrSyncHead)))); !strings.Contains(text, "[phantom.Sync]") {
		t.Error(text)
	}
	r.vm.SyncFlipped()
	if r.vm.SyncWanted() {
		t.Error("a flip is wanted that was made")
	}
	wantIdle(3, "")
	if n := r.vm.SyncDurable(); n != 3 {
		t.Errorf("%d went on", n)
	}
	all := "synced 0\nsynced 1\nsynced 2\n"
	wantIdle(1, all)
	// Another VM on the same arena finds who waits, and that nothing is said to be durable.
	r.vm.Close()
	vm, err := Attach(r.arena, r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.vm = vm
	wantIdle(1, all)
	r.vm.SyncFlipped()
	r.vm.SyncDurable()
	if st := r.vm.RunSlice(100_000); st.Kind != Exited || st.Code != 0 || r.stderrOf() != all+"end\n" {
		t.Fatalf("%+v, said %q", st, r.stderrOf())
	}
}

// TestDamagedSyncList: lists of waiting goroutines that contradict themselves are refused, at once or when the goroutines go on.
func TestDamagedSyncList(t *testing.T) {
	module := syncModule(t)
	for name, damage := range map[string]func(vm *VM, last GID) (Addr, uint64){
		"main is not in it":   func(*VM, GID) (Addr, uint64) { return hdrAddr(hdrSyncHead), hget(hdrMainG) },
		"no such goroutine":   func(*VM, GID) (Addr, uint64) { return hdrAddr(hdrSyncHead), 1 << 40 },
		"empty with a tail":   func(*VM, GID) (Addr, uint64) { return hdrAddr(hdrSyncHead), 0 },
		"longer than it is":   func(*VM, GID) (Addr, uint64) { return hdrAddr(hdrSyncLen), 4 },
		"a tail before":       func(*VM, GID) (Addr, uint64) { return hdrAddr(hdrSyncTail), hget(hdrSyncHead) },
		"a cycle":             func(vm *VM, g GID) (Addr, uint64) { return vm.gWord(g, gNext), hget(hdrSyncHead) },
		"another reason":      func(vm *VM, g GID) (Addr, uint64) { return vm.gWord(g, gReason), uint64(whySleep) },
		"a runnable one":      func(vm *VM, g GID) (Addr, uint64) { return vm.gWord(g, gStatus), gRunnable },
		"a link out of range": func(vm *VM, g GID) (Addr, uint64) { return vm.gWord(g, gNext), 1 << 33 },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, module, Config{})
			defer r.close()
			if st := r.vm.RunSlice(100_000); st.Kind != Idle || r.vm.Syncing() != 3 {
				t.Fatalf("%+v", st)
			}
			at, v := damage(r.vm, GID(hget(hdrSyncTail)))
			st64(at, v)
			vm, err := Attach(r.arena, r.cfg)
			if err == nil {
				r.vm = vm
				vm.SyncFlipped()
				vm.SyncDurable()
				err = vm.RunSlice(1000).Err
			}
			if !errors.Is(err, ErrArena) {
				t.Error(err)
			}
		})
	}
}
