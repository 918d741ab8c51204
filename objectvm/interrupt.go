package objectvm

import (
	"reflect"
	"runtime"
	"sync"
)

// Ending a slice from outside. The dispatch loop keeps its fuel in a register, where nobody can reach it; but each load and
// store looks at the limits of addresses in memory. With limits of zero the next one leaves the loop for vm.slow, as any
// instruction may, and there the limits are put right and the fuel is taken away. So this costs the loop nothing.

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

// interpret runs the dispatch loop and tells whether vm.slow has to go on.
func (vm *VM) interpret() bool {
	more := interp()
	if h := hot(); h.poked != 0 {
		h.poked, h.fuel = 0, -1
		vm.setLimits()
	}
	return more
}
