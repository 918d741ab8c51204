package objectvm

import (
	"bytes"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"

	"phantomvm/bytecode"
)

// What is tested: bytecode that the verifier accepts cannot harm the host, whatever it does. Random modules run for a bounded time with
// pages frozen, garbage collected and the VM built anew between slices. Neither may the host fault or panic, nor a slice
// take much longer than its fuel says, nor may CODE, RO, the module's bytes or a page that the barrier has not heard of change,
// nor may the VM's records lose their invariants (vm.check, with the tag phantomdebug).
//
// PHANTOM_SEED=n repeats one case.

// runSliceTime is what no slice of a random module may take, by a wide margin.
const runSliceTime = 5 * time.Second

// TestRandomModules runs a few thousand random modules.
func TestRandomModules(t *testing.T) {
	first, n := uint64(time.Now().UnixNano()), uint64(3000)
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = v, 1
	}
	end := time.Now().Add(10 * time.Second)
	seed, stat := first, map[string]int{}
	for ; seed < first+n && (time.Now().Before(end) || seed < first+500) && !t.Failed(); seed++ {
		runRandomModule(t, seed, stat)
	}
	t.Logf("%d modules from PHANTOM_SEED=%d on: %v", seed-first, first, stat)
}

// FuzzRun does the same for as long as one likes.
func FuzzRun(f *testing.F) {
	for seed := range uint64(20) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, seed uint64) { runRandomModule(t, seed, map[string]int{}) })
}

// runRandomModule makes the module of a seed and runs it; stat counts how programs end.
func runRandomModule(t *testing.T, seed uint64, stat map[string]int) {
	t.Helper()
	rnd := rand.New(rand.NewPCG(seed, 2))
	m, err := randomModule(rnd)
	if err != nil {
		t.Fatalf("PHANTOM_SEED=%d: %v", seed, err)
	}
	code, err := bytecode.Encode(m)
	if err != nil {
		t.Fatalf("PHANTOM_SEED=%d: %v", seed, err)
	}
	r := newRig(t, code, Config{ArenaLimit: 4 << 20 << rnd.IntN(4), GCStress: rnd.IntN(4) == 0, Seed: seed, Args: []string{"a"}})
	defer r.close()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("PHANTOM_SEED=%d: %v\n%s", seed, p, debug.Stack())
		}
	}()
	watch := time.AfterFunc(6*runSliceTime, func() { panic("PHANTOM_SEED=" + strconv.FormatUint(seed, 10) + ": the host hangs") })
	defer watch.Stop()
	r.runSlices(t, rnd, seed, stat)
}

// runSlices runs the program for some slices of random length and checks after each what must not have changed.
func (r *rig) runSlices(t *testing.T, rnd *rand.Rand, seed uint64, stat map[string]int) {
	t.Helper()
	frozen, want := frozenPages{}, r.fixedSum()
	reattach := rnd.IntN(2) == 0
	for range 20 {
		began := time.Now()
		st := r.vm.RunSlice(rnd.Int64N(1 << rnd.IntN(15)))
		if d := time.Since(began); d > runSliceTime {
			t.Errorf("PHANTOM_SEED=%d: a slice took %v", seed, d)
		}
		if got := r.fixedSum(); got != want {
			t.Errorf("PHANTOM_SEED=%d: code, read-only data or the module's bytes changed", seed)
		}
		frozen.verify(t)
		if st.Kind == Fatal {
			t.Errorf("PHANTOM_SEED=%d: %v", seed, st.Err)
		}
		if st.Kind == Exited || t.Failed() {
			stat[st.Kind.String()]++
			return
		}
		r.drain(new(bytes.Buffer), 1)
		r.drain(new(bytes.Buffer), 2)
		if rnd.IntN(3) == 0 {
			frozen.add(r.barrier)
			r.barrier.freeze()
		}
		r.clock.t += rnd.Int64N(1 << rnd.IntN(40))
		if reattach && rnd.IntN(3) == 0 {
			r.vm.Close()
			vm, err := Attach(r.arena, r.cfg)
			if err != nil {
				t.Fatalf("PHANTOM_SEED=%d: %v", seed, err)
			}
			r.vm = vm
		}
	}
	stat["cut off"]++
}

// fixedSum is a checksum of what no program changes.
func (r *rig) fixedSum() uint32 {
	sum := crc32.Checksum(bytesAt(CodeBase, uint64(r.vm.code.end-CodeBase)), castagnoli)
	sum = crc32.Update(sum, castagnoli, bytesAt(ROBase, uint64(len(r.vm.rt.ro.data))))
	return crc32.Update(sum, castagnoli, bytesAt(metaModule, hget(hdrModLen)))
}
