package kern

import "phantomvm/hypervisor/abi"

// Exceptions at CPL3. A page fault inside a region maps memory and returns.
// Everything else becomes the signal that Linux would deliver, on the thread's
// alternate stack, so that the Go runtime can turn it into a panic.

// Offsets on ist1, counted down from its top; see trap_amd64.s.
const (
	frameRSP    = 16
	frameFlags  = 24
	frameRIP    = 40
	frameError  = 48
	frameAX     = 56
	frameCR2    = 64
	faultWrite  = 2
	faultFetch  = 16
	faultExists = 1
)

const (
	vectorPageFault   = 0
	vectorBreakpoint  = 3
	vectorOverflow    = 4
	vectorInvalid     = 6
	vectorProtection  = 13
	vectorX87         = 16
	vectorAlignment   = 17
	vectorSIMD        = 19
	vectorDivide      = 256 // 0 is taken
	heapBatch         = 16  // pages that one fault maps in the heap
	sparseBatch       = 4
	streamBatch       = 64
	largePageHeadroom = 8 // large pages while this many would stay free
)

func frame(off uintptr) uintptr { return addr(&ist1) + istSize - off }

// trap is called on trapStack with the exception's state saved.
func trap() {
	v := trapVector
	trapVector = vectorPageFault
	if v == vectorPageFault {
		cr2, code := load(frame(frameCR2)), load(frame(frameError))
		if pageFault(cr2, code) {
			return
		}
		if pagedFault(cr2, code) && deliver(sigBUS, busAdrErr, cr2, code, 14) {
			return
		}
		reason := uintptr(segvMapErr)
		if lookup(cr2) != nil {
			reason = segvAccErr
		}
		if deliver(sigSEGV, reason, cr2, code, 14) {
			return
		}
		fatal(14, cr2)
	}
	sig, reason := uintptr(sigSEGV), uintptr(siKernel)
	switch v {
	case vectorDivide:
		sig, reason, v = sigFPE, fpeIntDiv, 0
	case vectorBreakpoint:
		sig = sigTRAP
	case vectorInvalid:
		sig, reason = sigILL, illIllOpn
	case vectorX87, vectorSIMD:
		sig, reason = sigFPE, fpeFltInv
	case vectorAlignment:
		sig, reason = sigBUS, busAdrAln
	case vectorOverflow, vectorProtection:
	default:
		fatal(v, 0)
	}
	at := uintptr(0)
	if sig != sigSEGV {
		at = load(frame(frameRIP))
	}
	if !deliver(sig, reason, at, load(frame(frameError)), v) {
		fatal(v, 0)
	}
}

// pageFault maps memory for an access that its region allows. It reports false
// for an access that is the program's fault.
func pageFault(va, code uintptr) bool {
	r := lookup(va)
	if r == nil {
		return false
	}
	need := protRead
	if code&faultWrite != 0 {
		need = protWrite
	} else if code&faultFetch != 0 {
		need = protExec
	}
	// As on x86 Linux, a page that can be written or executed can be read.
	if r.prot&need == 0 && (need != protRead || r.prot == 0) {
		return false
	}
	e, at := walk(va, 1, false)
	v := load(e)
	if v&entryPresent != 0 {
		if code&faultWrite != 0 && v&entryWrite == 0 {
			if at == 1 && v&entryFrame == zeroPage {
				mapPage(e, r)
			} else {
				store(e, v|entryWrite)
			}
		}
		// Otherwise another fault has mapped it already.
		return true
	}
	if r.kind == kindPaged {
		return false
	}
	if r.kind == kindSparse {
		if code&faultWrite == 0 {
			e, _ = walk(va, 1, true)
			store(e, zeroPage|entryBits(r.prot)&^entryWrite)
			return true
		}
		mapSparse(va, r)
		return true
	}
	if !mapLarge(va, r) {
		lo := alignDown(va, heapBatch*smallPage)
		mapRange(max(lo, r.lo), min(lo+heapBatch*smallPage, r.hi), va, r)
	}
	return true
}

// stream is a run of write faults each of which began where the last one's
// pages ended. It gets twice as many pages every time.
type stream struct{ end, pages uintptr }

var (
	streams    [8]stream
	nextStream uintptr
)

// mapSparse maps an aligned group of sparseBatch pages for a first write, and
// what lies ahead for one that goes on from an earlier one.
func mapSparse(va uintptr, r *region) {
	page := alignDown(va, smallPage)
	for i := range streams {
		s := &streams[i]
		if s.end == page {
			s.pages = min(s.pages*2, streamBatch)
			s.end = min(page+s.pages*smallPage, r.hi)
			mapRange(page, s.end, va, r)
			return
		}
	}
	lo := alignDown(va, sparseBatch*smallPage)
	hi := min(lo+sparseBatch*smallPage, r.hi)
	mapRange(max(lo, r.lo), hi, va, r)
	streams[nextStream&7] = stream{hi, sparseBatch}
	nextStream++
}

func mapPage(e uintptr, r *region) {
	p := alloc4k()
	if p == 0 {
		outOfMemory()
	}
	store(e, p|entryBits(r.prot))
}

// mapLarge maps the 2 MiB around va if they belong to the region, nothing is
// mapped there yet and memory is plentiful.
func mapLarge(va uintptr, r *region) bool {
	lo := alignDown(va, largePage)
	if lo < r.lo || lo+largePage > r.hi || freeMemory() < largePageHeadroom*largePage {
		return false
	}
	e, at := walk(va, 2, true)
	if at != 2 || load(e) != 0 {
		return false
	}
	p := alloc2m()
	if p == 0 {
		return false
	}
	store(e, p|entryBits(r.prot)|entryLarge)
	return true
}

// mapRange maps what is absent of [lo, hi), or just the page of va if memory is
// scarce.
func mapRange(lo, hi, va uintptr, r *region) {
	if freeMemory() < 64*(hi-lo) {
		lo = alignDown(va, smallPage)
		hi = lo + smallPage
	}
	for ; lo < hi; lo += smallPage {
		if e, at := walk(lo, 1, true); at == 1 && load(e) == 0 {
			mapPage(e, r)
		}
	}
}

// Signals and their codes.
const (
	sigILL, sigTRAP, sigABRT, sigBUS, sigFPE, sigSEGV = 4, 5, 6, 7, 8, 11

	segvMapErr, segvAccErr = 1, 2
	illIllOpn              = 2
	busAdrAln              = 1
	fpeIntDiv, fpeFltInv   = 1, 7
	siKernel               = 0x80
	numSignals             = 65
)

var sigHandler, sigRestorer [numSignals]uintptr

// Layout of a signal frame: the return address, then ucontext with the machine
// context at +40, then siginfo.
const (
	contextSize    = 1024
	infoSize       = 128
	machineContext = 40
)

// deliver changes the exception's frame so that it returns into the handler of
// sig. The handler returns through sigreturn, which takes its changes to the
// context. It reports false if the thread cannot take the signal.
func deliver(sig, code, faultAddr, err, vector uintptr) bool {
	t := (*thread)(pointer(current))
	rsp := load(frame(frameRSP))
	inKernel := rsp-addr(&kernStack) < kernStackSize
	if current == 0 || inKernel || sigHandler[sig%numSignals] == 0 || t.altStack == 0 {
		return false
	}
	top := t.altStack + t.altSize
	if rsp-t.altStack < t.altSize {
		top = rsp - 256 // a fault in a handler
		if top < t.altStack+contextSize+infoSize+4096 {
			return false
		}
	}
	f := alignDown(top-contextSize-infoSize-64, 16) - 8
	uc := f + 8
	info := uc + contextSize
	// The stack may be untouched memory, and a fault here would be fatal.
	for a := alignDown(f, smallPage); a < uc+contextSize+infoSize; a += smallPage {
		if resident(a, 1) == 0 {
			return false
		}
	}
	clearWords(uc, contextSize+infoSize)
	store(f, sigRestorer[sig%numSignals])
	store(info, sig)
	store(info+8, code)
	store(info+16, faultAddr)
	mc := uc + machineContext
	s := &trapRegs
	store(mc, s.r8)
	store(mc+8, s.r9)
	store(mc+16, s.r10)
	store(mc+24, s.r11)
	store(mc+32, s.r12)
	store(mc+40, s.r13)
	store(mc+48, s.r14)
	store(mc+56, s.r15)
	store(mc+64, s.di)
	store(mc+72, s.si)
	store(mc+80, s.bp)
	store(mc+88, s.bx)
	store(mc+96, s.dx)
	store(mc+104, load(frame(frameAX)))
	store(mc+112, s.cx)
	store(mc+120, rsp)
	store(mc+128, load(frame(frameRIP)))
	store(mc+136, load(frame(frameFlags)))
	store(mc+144, selCode3)
	store(mc+152, err)
	store(mc+160, vector)
	store(mc+176, faultAddr)
	lastSignal = signalRecord{load(frame(frameRIP)), faultAddr, rsp, s.tls}
	store(frame(frameRIP), sigHandler[sig%numSignals])
	store(frame(frameRSP), f)
	s.di, s.si, s.dx = sig, info, uc
	return true
}

// signalRecord is what a fatal report says about the signal before.
type signalRecord struct{ rip, addr, rsp, g uintptr }

var lastSignal signalRecord

// sigreturn resumes at the context of the signal frame that the stack pointer
// is at. The runtime either stays as it was or is sent to a function's start,
// so vector registers, CX and R11 need not survive.
func sigreturn(t *thread) {
	mc := t.rsp + machineContext
	t.r8, t.r9, t.r10 = load(mc), load(mc+8), load(mc+16)
	t.r12, t.r13, t.r14, t.r15 = load(mc+32), load(mc+40), load(mc+48), load(mc+56)
	t.di, t.si, t.bp, t.bx = load(mc+64), load(mc+72), load(mc+80), load(mc+88)
	t.dx, t.ax = load(mc+96), load(mc+104)
	t.rsp, t.rip = load(mc+120), load(mc+128)
}

// fatal reports an exception that nobody takes.
func fatal(vector, at uintptr) {
	print("guest: fatal exception ")
	printDec(vector)
	print(" address ")
	printHex(at)
	print(" error ")
	printHex(load(frame(frameError)))
	print(" rip ")
	printHex(load(frame(frameRIP)))
	print(" rsp ")
	printHex(load(frame(frameRSP)))
	if lastSignal.rip != 0 {
		print("\nguest: last signal: address ")
		printHex(lastSignal.addr)
		print(" rip ")
		printHex(lastSignal.rip)
		print(" rsp ")
		printHex(lastSignal.rsp)
		print(" g ")
		printHex(lastSignal.g)
	}
	print("\n")
	halt(abi.ExitFault)
}

func nestedTrap() {
	print("guest: exception inside the exception handler, rip ")
	printHex(load(frame(frameRIP)))
	print(" cr2 ")
	printHex(load(frame(frameCR2)))
	print("\n")
	halt(abi.ExitFault)
}
