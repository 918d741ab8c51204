// Package objectvm runs phantom bytecode in a paged, persistent arena at fixed addresses.
//
// Everything of a running program lies in the arena: goroutine records, stacks, deferred calls, the run queue, timers,
// the heap and its allocation bitmaps. What this package holds in Go memory are caches that Attach rebuilds from the arena's bytes.
//
// # Reading the source
//
// layout.go (addresses), header.go, mem_unsafe.go (access and write barrier), new.go (a new program, or going on with one), code.go (module to
// code), internal/interpgen -> interp_gen.go (dispatch loop), slow.go, slowmem.go, slowslice.go (instructions outside the loop),
// sched.go (slices), grecord.go (goroutines), stackalloc.go, stack.go (segmented stacks), frames.go (walking them, tracebacks),
// panic.go (deferred calls, panics), heap.go, gc.go (objects), io.go, clock.go, validate.go (what comes back from disk).
// Types, maps, channels, select, timers, strings and natives build on these: types.go, ro.go, maps.go, chans.go, select.go,
// timers.go, strings.go, natives.go.
//
// # Rules for instructions outside the loop and for natives
//
//  1. All checks, allocations and touches come before the first side effect. An instruction that returns Retry or Trapped has changed nothing.
//  2. Memory of the program is reached by checkRange/checkStore, memory of the VM is touched before it is written.
//  3. Values found in data pages (lengths, pointers, links) are untrusted.
//  4. The collector runs only between instructions: addresses are stable and objects live while an instruction executes.
package objectvm

import "phantomvm/bytecode"

//go:generate go run ./internal/interpgen

// Outcome says how an instruction outside the loop, or a native function, ended.
type Outcome uint8

// Outcomes.
const (
	Done    Outcome = iota // executed: results are stored and pc goes to the next instruction
	Retry                  // no memory: nothing was changed; the collector runs, then the instruction is executed again
	Blocked                // the goroutine was parked by vm.park; it executes the same instruction again when it is ready
	Parked                 // the goroutine was parked; the instruction is over (results stored), who wakes it may overwrite them with vm.setSlotOf
	Trapped                // vm.trap, vm.throw or a call pushed a frame or ended the goroutine: pc and fp are set already
	Yielded                // executed like Done, but other goroutines run first (Gosched)
	Stopped                // the program ended
)

// Barrier learns of the first store to a frozen page, before the store. It must set the page's state byte to 1.
type Barrier interface{ Touch(page uint64) }

// Clock gives wall time in nanoseconds since 1970.
type Clock interface{ Now() int64 }

// nativeFunc implements a native. args is a private copy of the argument slots; res are zeroed result slots, stored by the caller if the outcome is Done, Parked or Yielded.
type nativeFunc func(vm *VM, args, res []uint64) Outcome

// native is one row of the table of natives. The loader refuses a module whose slot counts differ.
type native struct {
	Name          string
	Args, Results uint16
	Fn            nativeFunc
}

// instr is a decoded instruction outside the loop. Slots are those of the current frame: vm.slot, vm.setSlot.
type instr struct {
	op, n   uint8
	a, b, c uint16
	ext     uint64 // the resolved extension word: a TypeID for ExtType
}

// VM is the volatile part of a virtual machine: caches over the arena.
type VM struct {
	cfg     Config
	barrier Barrier
	clock   Clock

	mod     *bytecode.Module
	types   []*TypeInfo // by TypeID, [0] is nil; from buildRO
	natives []*native   // by index in mod.Natives
	code    codeMap
	heap    heap
	rt      runtimeState // caches of maps, channels, timers, reflect and natives

	cur      GID      // running goroutine, 0 if none
	checked  []uint64 // bit set of goroutines that were validated in this incarnation
	ran      bool     // a goroutine has run in this slice
	gcWanted bool     // a cycle of the collector is to begin
	gc       collector
	retryPC  Addr      // instruction that a collection was made for
	monoLast int64     // last monotonic time given out
	sync     syncState // goroutines in phantom.Sync
	waking   [3]uint32 // last goroutine to be woken of those that wait for input or output, see io.go
	argBuf   [bytecode.MaxFrame + 1]uint64
	resBuf   [bytecode.MaxFrame + 1]uint64
	stop     stopInfo
}

/*
The interface between the core of the package and what builds on it (types, maps, channels, timers, natives).

The core offers:

	vm.slot(i) uint64, vm.setSlot(i, v)                slots of the running goroutine's frame (i is an instr field plus an offset)
	vm.slots(i, n) []uint64                            a view of n slots of it
	vm.setSlotOf(g GID, i int, v uint64)               slot of the frame of a parked goroutine, touched
	vm.checkRange(a Addr, n uint64) bool               the program may load these bytes
	vm.checkStore(a Addr, n uint64) bool               the program may store there; the pages are touched
	vm.touch(a Addr, n uint64)                         write barrier for the VM's own stores (META, fresh objects)
	ld8 ld16 ld32 ld64 (a Addr), st8 ... st64(a, v)    raw access, no check; bytesAt(a, n) []byte a raw view
	vm.alloc(t *TypeInfo) (Addr, bool)                 a zeroed object; false: return Retry
	vm.allocArray(t *TypeInfo, n uint64) (Addr, bool)  n elements; n*size was checked by the caller against maxTypeSize
	vm.allocBytes(n uint64) (Addr, bool)               n bytes without pointers (zeroed)
	                                                   (zero-size objects have address zeroBase; new objects need no checkStore, pages are touched)
	vm.trap(code int, x, y, t1, t2, t3 uint64) Outcome a run-time panic at the current instruction: return its result
	vm.throw(msg string) Outcome                       "fatal error: msg", tracebacks, exit 2
	vm.exit(code int) Outcome
	vm.park(reason waitReason, obj uint64)             then return Blocked or Parked
	vm.ready(g GID)                                    makes a parked goroutine runnable
	vm.gWord(g GID, i int) Addr                        address of word i of the goroutine's record; words gUser..gUser+31 belong to channels, select,
	                                                   semaphores and timers and are zero for a new goroutine. Touch before storing.
	vm.goID(g GID) uint64                              Go's goroutine number
	vm.newG(fn Addr) (GID, bool)                       a goroutine that calls the funcval
	vm.goexit() Outcome                                runtime.Goexit
	vm.now() int64, vm.mono() int64                    wall time and monotonic nanoseconds
	vm.output(stream int, p []byte) int                bytes taken (stream 1 or 2); 0: vm.parkOutput(stream) and return Blocked
	vm.input(p []byte) (n int, wait bool)              bytes read from standard input, 0 at its end; wait: vm.parkInput() and return Blocked
	vm.frames(g GID, skip int) []frameInfo             call stack, wrappers included and marked
	vm.panics(g GID) []panicInfo                       newest first
	vm.tracebackText(g GID) []byte
	vm.isMarked(a Addr) bool                           during vm.sweepRuntime: the object survives

What builds on it offers:

	vm.buildRO() error            fills vm.types and the RO region from vm.mod
	vm.typeAddr(id) Addr, vm.itabAddr(i int) Addr, vm.funcval(f bytecode.FuncID) Addr
	vm.attachRuntime() error      rebuilds vm.rt from the arena; also called for a new arena
	vm.sweepRuntime()             after marking, before sweeping: weak pointers, finalizers, dead channels' records
	vm.timersNext() (int64, bool) monotonic time of the next timer
	vm.timersFire(now int64)      makes goroutines runnable, starts vmTimer goroutines
	nativeTable() map[string]*native
	vm.opStrEq vm.opStrCmp vm.opEqT vm.opStrNext vm.opMkMap vm.opMapGet vm.opMapSet vm.opMapDel vm.opMapClr vm.opMapLen vm.opMapIter vm.opMapNext
	vm.opMkChan vm.opSend vm.opRecv vm.opSelect vm.opClose vm.opChLen vm.opChCap vm.opAssert: func(in *instr) Outcome

A frame's slots need no touch while its goroutine runs. Their records live in META from metaNatives on, or in spare words of G records.
*/
