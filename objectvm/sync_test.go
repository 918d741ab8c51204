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

// TestDamagedSyncList: lists of waiting goroutines that contradict themselves are refused.
func TestDamagedSyncList(t *testing.T) {
	r := newRig(t, syncModule(t), Config{})
	defer r.close()
	if st := r.vm.RunSlice(100_000); st.Kind != Idle || r.vm.Syncing() != 3 {
		t.Fatalf("%+v", st)
	}
	head, tail := hdrAddr(hdrSyncHead), hdrAddr(hdrSyncTail)
	last := GID(ld64(tail))
	for name, c := range map[string]struct {
		at    Addr
		value uint64
	}{
		"main is not in it":   {head, hget(hdrMainG)},
		"no such goroutine":   {head, 1 << 40},
		"empty with a tail":   {head, 0},
		"a tail before":       {tail, ld64(head)},
		"a cycle":             {r.vm.gWord(last, gNext), ld64(head)},
		"another reason":      {r.vm.gWord(last, gReason), uint64(whySleep)},
		"a runnable one":      {r.vm.gWord(last, gStatus), gRunnable},
		"a link out of range": {r.vm.gWord(last, gNext), 1 << 33},
	} {
		old := ld64(c.at)
		st64(c.at, c.value)
		if _, err := Attach(r.arena, r.cfg); !errors.Is(err, ErrArena) {
			t.Errorf("%s: %v", name, err)
		}
		st64(c.at, old)
	}
	vm, err := Attach(r.arena, r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.vm = vm
}
