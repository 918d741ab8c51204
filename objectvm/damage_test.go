package objectvm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"strconv"
	"testing"
	"time"
)

// TestDamagedArena flips words of the VM's own records and goes on: the VM may end with an error, run the program wrongly, or
// not notice, but it must neither panic nor touch memory outside the arena nor hang. Checksums of the store make such
// arenas unlikely; this is the second line.
//
// PHANTOM_SEED=n repeats one case.
func TestDamagedArena(t *testing.T) {
	module := compileProgram(t, "testdata/programs/channels.go")
	module2 := compileProgram(t, "testdata/programs/collect.go")
	first, n := uint64(time.Now().UnixNano()), uint64(150)
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = v, 1
	}
	for seed := first; seed < first+n; seed++ {
		m := module
		if seed%2 == 1 {
			m = module2
		}
		damageOnce(t, m, seed)
		if t.Failed() {
			return
		}
	}
}

func damageOnce(t *testing.T, module []byte, seed uint64) {
	r := newRig(t, module, Config{})
	defer r.close()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			t.Errorf("PHANTOM_SEED=%d: %v\n%s", seed, p, debug.Stack())
		}
	}()
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 1 + rnd.IntN(40) {
		if st := r.vm.RunSlice(500); st.Kind == Exited {
			return
		}
		r.drain(new(bytes.Buffer), 1)
		r.drain(new(bytes.Buffer), 2)
	}
	r.vm.Close()
	pages := make([]uint64, 0, len(r.barrier.touched))
	for p := range r.barrier.touched {
		a := ArenaBase + Addr(p)<<PageShift
		if a < CodeBase && (a < metaModule || a >= metaModule+metaModMax) {
			pages = append(pages, p)
		}
	}
	for range 1 + rnd.IntN(3) {
		damageWord(ArenaBase+Addr(pages[rnd.IntN(len(pages))])<<PageShift, rnd)
	}
	vm, err := Attach(r.arena, r.cfg)
	if err != nil {
		r.vm = &VM{rt: runtimeState{ro: &roImage{}}}
		return
	}
	r.vm = vm
	for range 300 {
		st := vm.RunSlice(2000)
		if st.Kind == Exited || st.Kind == Fatal {
			return
		}
		r.drain(new(bytes.Buffer), 1)
		r.drain(new(bytes.Buffer), 2)
		r.clock.t += 1e6
	}
}

// damageWord changes one word of a page that is not zero.
func damageWord(page Addr, rnd *rand.Rand) {
	var used []Addr
	for o := Addr(0); o < PageSize; o += 8 {
		if ld64(page+o) != 0 {
			used = append(used, page+o)
		}
	}
	if len(used) == 0 {
		return
	}
	a := used[rnd.IntN(len(used))]
	switch rnd.IntN(4) {
	case 0:
		st64(a, rnd.Uint64())
	case 1:
		st64(a, ld64(a)^1<<rnd.IntN(64))
	case 2:
		st64(a, ld64(a)+uint64(rnd.IntN(64))-32)
	default:
		st64(a, 0)
	}
}
