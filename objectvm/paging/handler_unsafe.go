package paging

import (
	"fmt"
	"sync/atomic"
	"unsafe"
)

// The handler of SIGBUS and the way into the pager from normal context. What lies at
// the addresses below is outside Go's heap, or static.

func sigbusAddress() uintptr
func sigbusKeepAddress() uintptr
func haveXSAVE() bool
func quietly(stack uintptr)
func rawSyscall(n, a, b, c, d, e, f uintptr) uintptr
func pause()

// What the assembly reads: SIGBUS for addresses in [handlerLo, handlerLo+handlerSize) are the pager's, others are for nextHandler.
var (
	handlerLo, handlerSize uintptr
	nextHandler            uintptr
)

// What only the assembly uses.
var _ = [...]any{onFault, onQuiet, &nextHandler, &handlerLo, &handlerSize, &useXSAVE}

// active is the pager of this process's arena. It changes only while nobody touches the arena.
var active *Pager

const (
	sysRtSigaction = 13
	sigBus         = 7
	kernelSigset   = 8
	errorWrite     = 2 // in a page fault's error code
)

// sigaction is the kernel's struct.
type sigaction struct {
	handler, flags, restorer uintptr
	mask                     uint64
}

// entryPoint is the handler to be installed.
func entryPoint(keep bool) uintptr {
	if keep {
		useXSAVE = haveXSAVE()
		return sigbusKeepAddress()
	}
	return sigbusAddress()
}

// useXSAVE says how sigbusKeep keeps vector registers.
var useXSAVE bool

// install puts the handler in front of the present one, with the same flags and restorer, and with all signals blocked.
func install(p *Pager, entry uintptr) error {
	var old sigaction
	if e := rawSyscall(sysRtSigaction, sigBus, 0, uintptr(unsafe.Pointer(&old)), kernelSigset, 0, 0); int(e) < 0 {
		return fmt.Errorf("rt_sigaction: errno %d", -int(e))
	}
	active = p
	handlerLo, handlerSize = p.lo, p.hi-p.lo
	if old.handler == entry {
		return nil // installed by an earlier pager
	}
	if old.handler <= 1 {
		return fmt.Errorf("no handler of SIGBUS to go on with")
	}
	atomic.StoreUintptr(&nextHandler, old.handler)
	act := sigaction{entry, old.flags, old.restorer, ^uint64(0)}
	if e := rawSyscall(sysRtSigaction, sigBus, uintptr(unsafe.Pointer(&act)), 0, kernelSigset, 0, 0); int(e) < 0 {
		return fmt.Errorf("rt_sigaction: errno %d", -int(e))
	}
	return nil
}

// uninstall lets all faults go on to Go's handler again. The handler itself stays: another thread may be about to enter it.
func uninstall() { handlerLo, handlerSize, active = 0, 0, nil }

// onFault is called by the handler. It reports whether the access can be tried again.
//
//go:norace
func onFault(addr, code, pc uintptr) bool {
	p := active
	return p != nil && p.fault(addr, code&errorWrite != 0, pc)
}

// onQuiet is called by quietly.
//
//go:norace
func onQuiet() {
	if p := active; p != nil {
		p.balance()
	}
}

// at makes a pointer of an address outside Go's heap.
func at(a uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), a) }

func load8(a uintptr) byte     { return *(*byte)(at(a)) }
func store8(a uintptr, v byte) { *(*byte)(at(a)) = v }

func load32(a uintptr) uint32     { return *(*uint32)(at(a)) }
func store32(a uintptr, v uint32) { *(*uint32)(at(a)) = v }
