package objectvm

import (
	"bytes"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"phantomvm/bytecode"
)

// TestDamagedArena changes words of the arena, the VM's own records, stacks and objects, and goes on: the VM may end with an error, run the
// program wrongly, or not notice, but it must neither panic nor touch memory outside the arena nor hang. Checksums of the store
// make such arenas unlikely; this is the second line.
//
// PHANTOM_SEED=n repeats one case.
func TestDamagedArena(t *testing.T) {
	var modules [][]byte
	for _, name := range []string{"channels", "collect", "stacks", "panics", "timers", "selects"} {
		modules = append(modules, compileProgram(t, filepath.Join("testdata/programs", name+".go")))
	}
	first, n := uint64(time.Now().UnixNano()), uint64(2000)
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		v, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		first, n = v, 1
	}
	end := time.Now().Add(7 * time.Second)
	seed, stat := first, map[string]int{}
	for ; seed < first+n && (time.Now().Before(end) || seed < first+150) && !t.Failed(); seed++ {
		stat[damageOnce(t, modules, seed)]++
	}
	t.Logf("%d arenas from PHANTOM_SEED=%d on: %v", seed-first, first, stat)
}

// damageOnce runs a program for a while, damages its arena and goes on; it returns what came of it.
func damageOnce(t *testing.T, modules [][]byte, seed uint64) (result string) {
	rnd := rand.New(rand.NewPCG(seed, 1))
	module := modules[seed%uint64(len(modules))]
	if rnd.IntN(4) == 0 {
		m, err := randomModule(rnd)
		if err == nil {
			module, err = bytecode.Encode(m)
		}
		if err != nil {
			t.Fatalf("PHANTOM_SEED=%d: %v", seed, err)
		}
	}
	r := newRig(t, module, Config{ArenaLimit: 64 << 20})
	defer r.close()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if p := recover(); p != nil {
			if s, ok := p.(string); ok && strings.HasPrefix(s, "objectvm: invariant: ") { // of phantomdebug: of course they are broken
				result = "noticed"
				return
			}
			t.Errorf("PHANTOM_SEED=%d: %v\n%s", seed, p, debug.Stack())
		}
	}()
	watch := time.AfterFunc(30*time.Second, func() { panic("PHANTOM_SEED=" + strconv.FormatUint(seed, 10) + ": the host hangs") })
	defer watch.Stop()
	for range 1 + rnd.IntN(60) {
		if st := r.vm.RunSlice(rnd.Int64N(2000)); st.Kind == Exited {
			break
		}
		r.drain(new(bytes.Buffer), 1)
		r.drain(new(bytes.Buffer), 2)
		r.clock.t += 1e5
		r.vm.gcWanted = rnd.IntN(8) == 0
	}
	st64(hdrAddr(hdrState), stateRunning)
	r.vm.Close()
	pages := r.used()
	for range 1 + rnd.IntN(5) {
		damageWord(pages[rnd.IntN(len(pages))], pages, rnd)
	}
	return r.goOn(t, seed)
}

// used lists the pages that a program has written, each region of META and the stacks as often as all objects.
func (r *rig) used() []Addr {
	regions := map[Addr][]Addr{}
	for p := range r.barrier.touched {
		a := ArenaBase + Addr(p)<<PageShift
		switch {
		case a >= metaModule && a < metaModule+metaModMax || a >= CodeBase && a < DataBase:
		case a >= DataBase:
			regions[DataBase] = append(regions[DataBase], a)
		case a >= StacksBase:
			regions[StacksBase] = append(regions[StacksBase], a)
		default:
			regions[a>>28] = append(regions[a>>28], a)
		}
	}
	var list []Addr
	for _, pages := range regions {
		slices.Sort(pages)
		for i := range max(64, len(pages)) {
			list = append(list, pages[i%len(pages)])
		}
	}
	slices.Sort(list)
	return list
}

// goOn attaches a VM to a damaged arena and runs it.
func (r *rig) goOn(t *testing.T, seed uint64) string {
	vm, err := Attach(r.arena, r.cfg)
	if err != nil {
		r.vm = &VM{rt: runtimeState{ro: &roImage{}}}
		return "refused"
	}
	r.vm = vm
	for i := range 100 {
		vm.gcWanted = i%4 == 1
		began := time.Now()
		st := vm.RunSlice(2000)
		if d := time.Since(began); d > runSliceTime {
			t.Errorf("PHANTOM_SEED=%d: a slice took %v", seed, d)
		}
		if st.Kind == Exited || st.Kind == Fatal {
			return st.Kind.String()
		}
		r.drain(new(bytes.Buffer), 1)
		r.drain(new(bytes.Buffer), 2)
		r.clock.t += 1e7
		if st.Kind == Idle {
			r.clock.t = max(r.clock.t, min(st.Until, r.clock.t+1e12))
		}
	}
	return "goes on"
}

// damageWord changes one word of a page: a bit, a few units, or to what stands elsewhere.
func damageWord(page Addr, pages []Addr, rnd *rand.Rand) {
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
	if rnd.IntN(10) == 0 {
		a = page + Addr(rnd.IntN(PageSize/8))*8
	}
	switch rnd.IntN(7) {
	case 0:
		st64(a, forgedWord(rnd))
	case 1:
		st64(a, ld64(a)^1<<rnd.IntN(64))
	case 2:
		st64(a, ld64(a)+uint64(rnd.IntN(64))-32)
	case 3:
		st64(a, ld64(used[rnd.IntN(len(used))]))
	case 4:
		st64(a, ld64(pages[rnd.IntN(len(pages))]+Addr(rnd.IntN(PageSize/8))*8))
	case 5: // a whole record from elsewhere
		from := pages[rnd.IntN(len(pages))] + Addr(rnd.IntN(PageSize/64))*64
		copy(bytesAt(a&^63, 64), bytesAt(from, 64))
	default:
		st64(a, 0)
	}
}
