package objectvm

import (
	"math/bits"
	"sync/atomic"
	"unsafe"
)

// Access to the arena. It is mapped at fixed addresses for as long as a VM exists, outside Go's heap, so that turning an
// address into a pointer is safe whenever the address lies in a mapped region: raw access is for addresses that were
// checked, or that the VM made itself.

// hotState is what the dispatch loop needs; it lies at volatileBase so that no register holds its address.
type hotState struct {
	pc, fp     Addr
	fuel       int64
	stackLimit Addr      // end of the current stack chunk
	lim        [4]uint64 // range limits for accesses of 1, 2, 4, 8 bytes: (end of DATA - ROBase) >> k
	nfuncs     uint64
	pad        uint64
	poked      uint64 // an Interruptible was called: lim is all zero
}

func hot() *hotState { return (*hotState)(ptr(volatileBase)) }

// viewOf is the view of a span, see spans.go. Precondition: s < maxSpans.
func viewOf(s uint32) *view { return (*view)(ptr(viewSpans + Addr(s)*viewSize)) }

func ptr(a Addr) unsafe.Pointer { return unsafe.Add(nil, uintptr(a)) }

func ld8(a Addr) uint8      { return *(*uint8)(ptr(a)) }
func ld16(a Addr) uint16    { return *(*uint16)(ptr(a)) }
func ld32(a Addr) uint32    { return *(*uint32)(ptr(a)) }
func ld64(a Addr) uint64    { return *(*uint64)(ptr(a)) }
func st8(a Addr, v uint8)   { *(*uint8)(ptr(a)) = v }
func st16(a Addr, v uint16) { *(*uint16)(ptr(a)) = v }
func st32(a Addr, v uint32) { *(*uint32)(ptr(a)) = v }
func st64(a Addr, v uint64) { *(*uint64)(ptr(a)) = v }
func ldAddr(a Addr) Addr    { return *(*Addr)(ptr(a)) }
func stAddr(a Addr, v Addr) { *(*Addr)(ptr(a)) = v }

// memory is ptr for slices. The compiler (go1.26) fails on a memmove whose source it can see to be a converted integer, hence a
// variable as the base, which nobody changes.
func memory(a Addr) unsafe.Pointer { return unsafe.Add(origin, uintptr(a)) }

var origin unsafe.Pointer

// FaultIn makes a page of the arena resident, as a store would. It changes nothing.
func FaultIn(p PageID) { atomic.OrUint32((*uint32)(ptr(ArenaBase+Addr(p)<<PageShift)), 0) }

func bytesAt(a Addr, n uint64) []byte   { return unsafe.Slice((*byte)(memory(a)), n) }
func wordsAt(a Addr, n uint64) []uint64 { return unsafe.Slice((*uint64)(memory(a)), n) }

// slot reads slot i of the running goroutine's frame.
func (vm *VM) slot(i int) uint64 { return ld64(hot().fp + Addr(i)*8) }

// setSlot writes slot i of the running goroutine's frame, whose pages are open.
func (vm *VM) setSlot(i int, v uint64) { st64(hot().fp+Addr(i)*8, v) }

// slots is a view of n slots from i on.
func (vm *VM) slots(i, n int) []uint64 { return wordsAt(hot().fp+Addr(i)*8, uint64(n)) }

// touch is the write barrier: it makes the pages of [a, a+n) open. The range lies in the arena.
func (vm *VM) touch(a Addr, n uint64) {
	if n == 0 {
		return
	}
	for p := a >> PageShift; p <= (a+Addr(n)-1)>>PageShift; p++ {
		if !isOpen(stateOff + p) {
			vm.touchPage(p << PageShift)
		}
	}
}

func (vm *VM) touchPage(a Addr) {
	vm.note(pageOf(a))
	vm.barrier.Touch(uint64(pageOf(a)))
	if s := stateOff + a>>PageShift; !isOpen(s) {
		st8(s, ld8(OpenState))
	}
}

// isOpen says whether the page whose state byte is at s is open.
func isOpen(s Addr) bool { return ld8(s) == ld8(OpenState) }

// checkRange says whether the program may load n bytes at a.
func (vm *VM) checkRange(a Addr, n uint64) bool {
	end, carry := bits.Add64(uint64(a-ROBase), n, 0)
	return a >= ROBase && carry == 0 && end <= hot().lim[0]
}

// checkStore says whether the program may store n bytes at a, and makes the pages open.
func (vm *VM) checkStore(a Addr, n uint64) bool {
	if a < DataBase || !vm.checkRange(a, n) {
		return false
	}
	vm.touch(a, n)
	return true
}
