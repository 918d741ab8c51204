// Package kern is the kernel of the unikernel: what stands between a stock Go
// binary and a Solo5 hvt tender. It boots the machine, serves the Linux system
// calls that the Go runtime makes, and hands out memory, threads and time.
//
// How it works, in the order of events:
//
//  1. The tender jumps to phantomguest·entry (boot_amd64.s) at CPL0. It builds
//     page tables, a GDT, an IDT and a TSS whose I/O bitmap opens ports
//     0x500-0x6ff, and leaves ring 0 for good.
//  2. boot (boot.go) does the rest at CPL3 and then enters the Go runtime as
//     Linux would, with argv, environment and auxiliary vector on the stack.
//  3. The runtime's SYSCALL instructions come to enter (entry_amd64.s), by call or by
//     trap; dispatch (syscall.go) serves them on the kernel's own stack.
//  4. Threads are switched only there (sched.go). When none can run, the
//     kernel waits in the POLL hypercall until the next deadline or until the tender has news.
//  5. Memory is lazy: mmap notes a region (region.go), the first touch faults
//     (trap_amd64.s, fault.go), the handler maps a page (table.go, phys.go).
//
// # Rules for code in this package
//
// It runs on a static stack with a g that the runtime does not know, while any
// thread may be in any state, so it must not allocate, grow its stack, panic,
// or store Go pointers (addresses are uintptr, no write barrier is ever needed).
// What the page-fault handler touches must be mapped: static data and the
// identity map. The runtime's memory routines may use wide vector registers,
// which the fault path does not save: clearWords and copyBytes serve instead.
//
// Ring 0 after boot consists of the exception stubs, which hand over to CPL3,
// and a gate with three services. That holds against a broken guest program,
// and it is fast where a KVM emulates CPL0.
//
// In an ordinary process the package is inert: Active is false.
package kern

import "unsafe"

// thread is one kernel thread: the registers that a system call keeps, in the
// order of layout_amd64.h, and why it does not run.
type thread struct {
	rsp, rip, ax, bx, dx, si, di, bp     uintptr
	r8, r9, r10, r12, r13, r14, r15, tls uintptr
	state                                uintptr
	futex                                uintptr // address waited on
	deadline                             int64   // nanos, 0: none
	events, maxEvents                    uintptr // epoll buffer
	tid                                  uintptr
	altStack, altSize                    uintptr
}

// trapState is what the CPL3 half of an exception saves.
type trapState struct {
	bx, cx, dx, si, di, bp, r8, r9, r10, r11, r12, r13, r14, r15, tls uintptr
}

const (
	kernStackSize = 65536
	trapStackSize = 32768
	istSize       = 4096
	ioBitmapPorts = 0x1000
	tssHeader     = 104
	tssSize       = tssHeader + ioBitmapPorts/8
	bootReserve   = 0x60000
	bootStackTop  = 0x50000
)

// State that the assembly sets or reads.
var (
	bootTSC, bootInfo, tables uintptr
	tscMult                   uint64
	wallBase                  uint64
	cpuidExt                  uintptr
	startSP                   uintptr
	current                   uintptr // the running thread
	trapRIP                   uintptr
	kernG, trapG              [64]uintptr // enough of a g for a stack check
	bootTLS                   [4]uintptr
	kernStack                 [kernStackSize]byte
	trapStack                 [trapStackSize]byte
	ist1, ist2, rsp0          [istSize]byte
	inTrap, trapVector        uintptr
	trapAX                    uintptr
	trapRegs                  trapState
	trapXMM                   [16][2]uint64
	trapFrame                 [5]uintptr
	syscallEntry              uintptr
	trapEntry, gateFrom       uintptr
	vectors                   [32]uintptr
	tss                       [tssSize + 8]byte
	idt                       [64]uint64
	gdtr                      = [16]byte{71}
	idtr                      = [16]byte{0xff, 0x01}

	textLo, textHi, rodataLo, dataLo, imageEnd uintptr
)

// Selectors: 08 code0, 10 data0, 28 data3, 30 code3, 38 TSS. SYSRET takes
// STAR+8 for SS and STAR+16 for CS.
var gdt = [9]uint64{0, 0x00af9b000000ffff, 0x00cf93000000ffff, 0, 0, 0x00cff3000000ffff, 0x00affb000000ffff}

const (
	selCode3 = 0x33
	selData3 = 0x2b
)

// What only the assembly uses.
var (
	_ = [...]func(){boot, trap, nestedTrap, dispatch}
	_ = [...]*uintptr{&bootTSC, &startSP, &trapRIP, &inTrap, &trapAX, &syscallEntry, &gateFrom, &textHi}
	_ = [...]any{&tscMult, &kernG, &bootTLS, &trapXMM, &trapFrame, &gdtr, &idtr, &gdt}
)

var active bool

// Active tells whether the program runs as a unikernel.
func Active() bool { return active }

func trampoline(n, a, b, c, d uintptr) uintptr
func outl(port uint16, value uint32)
func nanos() int64
func rdrand() (value uint64, ok bool)
func cpuid1() (ecx uint32)
func ring0(op, arg uintptr)
func loadAddresses()
func clearWords(a, n uintptr)
func copyBytes(to, from, n uintptr)

// Services of the gate into ring 0.
const (
	gateFlush      = 1
	gateSetFS      = 2
	gateInvalidate = 3
)

func pointer(a uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), a) }
func load(a uintptr) uintptr           { return *(*uintptr)(pointer(a)) }
func store(a, v uintptr)               { *(*uintptr)(pointer(a)) = v }
func load32(a uintptr) uint32          { return *(*uint32)(pointer(a)) }
func store32(a uintptr, v uint32)      { *(*uint32)(pointer(a)) = v }
func load8(a uintptr) byte             { return *(*byte)(pointer(a)) }
func store8(a uintptr, v byte)         { *(*byte)(pointer(a)) = v }
func addr[T any](p *T) uintptr         { return uintptr(unsafe.Pointer(p)) }
func alignUp(a, to uintptr) uintptr    { return (a + to - 1) &^ (to - 1) }
func alignDown(a, to uintptr) uintptr  { return a &^ (to - 1) }
