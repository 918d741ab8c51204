package objectvm

import (
	"reflect"
	"runtime"
	"sync"
)

// Ending a slice from outside. The dispatch loop keeps its fuel in a register, where nobody can reach it; but each load and
// store looks at the limits of addresses in memory. With limits of zero the next one leaves the loop as if for vm.slow, as any
// instruction may; then the limits are put right, the fuel is taken away, and the loop is entered again. So this costs it nothing.

// interpRange is where the code of the dispatch loop lies.
var interpRange = sync.OnceValues(func() (lo, hi uintptr) {
	lo = reflect.ValueOf(interp).Pointer()
	for hi = lo; ; hi += 16 {
		if f := runtime.FuncForPC(hi); f == nil || f.Entry() != lo {
			return lo, hi
		}
	}
})

// Interruptible returns the function that makes the slice which runs end soon. It is for the context of a page fault, and
// gets the address of the instruction that faulted: outside the dispatch loop it does nothing.
func Interruptible() func(pc uintptr) {
	lo, hi := interpRange()
	return func(pc uintptr) {
		if pc >= lo && pc < hi {
			h := hot()
			h.poked, h.lim = 1, [4]uint64{}
		}
	}
}

// interpret runs the dispatch loop and tells whether vm.slow has to go on. An interrupted loop is entered again with its
// limits and without fuel, so that the slice ends where slices end: at the next call or branch back. It must not end at the load or
// store that noticed: the library's mutexes rely on not being interrupted between a load and the store that follows it.
func (vm *VM) interpret() bool {
	for {
		more := interp()
		h := hot()
		if h.poked == 0 {
			return more
		}
		h.poked, h.fuel = 0, min(h.fuel, 0)
		vm.setLimits()
		if !more {
			return false
		}
	}
}
