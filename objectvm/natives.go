package objectvm

import (
	"errors"
	"math/bits"
)

// Runtime support: state of maps, channels, timers, reflect and native functions.
//
// What persists lies in META from metaNatives on:
//
//	0          header page: random state, hash seed, counts (rt* below)
//	1 MiB      pairs of the dynamic itabs, 8 bytes each
//	16 MiB     waiter records of channels and semaphores (chans_wait.go), 1.5 GiB the table of their queues
//	2 GiB      timer records, 3 GiB the timer heap (timers.go), 3.5 GiB the table of timers by key

// ErrBadRecord says that a record which the VM keeps in META contradicts itself.
var ErrBadRecord = errors.New("bad runtime record")

const (
	rtInit      = metaNatives + 0 // 1 once the header is initialised
	rtRand      = metaNatives + 8 // two words
	rtHashSeed  = metaNatives + 24
	rtItabCount = metaNatives + 32
	rtWaitFree  = metaNatives + 40 // first free waiter record, 0 none
	rtWaitTop   = metaNatives + 48 // number of waiter records ever used
	rtTimerFree = metaNatives + 56
	rtTimerTop  = metaNatives + 64
	rtHeapLen   = metaNatives + 72  // entries of the timer heap
	rtSeq       = metaNatives + 80  // counter behind unique numbers
	rtWaitTable = metaNatives + 88  // 2 words
	rtTimerKeys = metaNatives + 104 // 2 words

	rtItabs  = metaNatives + 1<<20
	maxItabs = 1 << 20
	rtWaits  = metaNatives + 16<<20
	maxWaits = 1 << 24
	rtTimers = metaNatives + 2<<30
	maxTimer = 1 << 22
	rtHeap   = metaNatives + 3<<30

	rtWaitBuckets  = metaNatives + 1536<<20
	rtTimerBuckets = metaNatives + 3584<<20
)

// runtimeState holds caches over what lies in META and RO.
type runtimeState struct {
	ro                *roImage
	own               ownTypes
	noItab            map[itabKey]bool    // pairs that were tried in vain
	dyn               map[Addr]*TypeInfo  // types that the program made, see types_dynamic.go
	dynEntries        map[Addr]*entryType // of maps among them
	fault             fault
	seed              uint64       // copy of rtHashSeed
	box               Addr         // address of a boxed element on its way
	boxes             [2]Addr      // boxed key and element on their way into a map
	cases             []selectCase // scratch of opSelect
	selStart, selStep uint64       // order of the select under way, see shuffled
	work              uint64       // steps left for one comparison or hash
	parts             int          // descriptors left for one type made at run time
}

// fault is a run-time panic found deep inside an operation; raise makes it happen.
type fault struct {
	code   int
	x, t1  uint64
	thrown string
}

// fail records a run-time panic.
func (vm *VM) fail(code int, t1 uint64) { vm.rt.fault = fault{code: code, t1: t1} }

// raise turns the recorded fault into a trap at the current instruction.
func (vm *VM) raise() Outcome {
	f := vm.rt.fault
	if f.thrown != "" {
		return vm.throw(f.thrown)
	}
	return vm.trap(f.code, f.x, 0, f.t1, 0, 0)
}

// attachRuntime fills what vm.rt keeps of the arena and initialises a new one.
func (vm *VM) attachRuntime() error {
	if ld64(rtInit) == 0 {
		if err := vm.initRuntime(); err != nil {
			return err
		}
	}
	vm.rt.seed = ld64(rtHashSeed)
	if err := vm.attachItabs(); err != nil {
		return err
	}
	if err := vm.attachWaits(); err != nil {
		return err
	}
	return vm.attachTimers()
}

func (vm *VM) initRuntime() error {
	if err := vm.saveArgs(vm.cfg.Args); err != nil {
		return err
	}
	vm.touch(metaNatives, PageSize)
	seed := hget(hdrSeed)
	st64(rtRand, mix(seed, 1)|1)
	st64(rtRand+8, mix(seed, 2))
	st64(rtHashSeed, mix(seed, 3))
	st64(rtInit, 1)
	return nil
}

// rand64 draws from the persisted generator (PCG-like: a 128-bit multiplicative congruence, high half out).
func (vm *VM) rand64() uint64 {
	const mul = 0xda942042e4dd58b5
	lo, hi := ld64(rtRand), ld64(rtRand+8)
	h, l := bits.Mul64(lo, mul)
	h += hi * mul
	vm.touch(rtRand, 16)
	st64(rtRand, l|1)
	st64(rtRand+8, h)
	return h ^ h>>29 ^ bits.RotateLeft64(l, 17)
}

// nextSeq returns a number that was never returned before.
func (vm *VM) nextSeq() uint64 {
	vm.touch(rtSeq, 8)
	n := ld64(rtSeq) + 1
	st64(rtSeq, n)
	return n
}
