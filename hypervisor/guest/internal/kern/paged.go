package kern

// Paged regions: memory that the program brings in by itself. An access to an
// absent page is the signal SIGBUS, as with userfaultfd on Linux; the handler,
// which runs in the thread and may use the kernel, calls install. Pages that
// nobody needs now are dropped, by the processor's accessed bits if the program likes.

const (
	// spareFrames are kept back from install for what the kernel itself and
	// the Go heap need.
	spareFrames = 512
	maxDrop     = 64
	busAdrErr   = 2
)

// page makes [lo, hi), which must lie in granted regions and be untouched, paged.
func page(lo, hi uintptr) uintptr {
	if lo >= hi || (lo|hi)&(smallPage-1) != 0 || !roomForRegions() || !covered(lo, hi) {
		return errno(eINVAL)
	}
	splitRegion(lo)
	splitRegion(hi)
	for i := findRegion(lo); i < nregions && regionAt(i).lo < hi; i++ {
		regionAt(i).kind = kindPaged
	}
	return 0
}

// pagedFault tells whether an access to va waits for its page.
func pagedFault(va, code uintptr) bool {
	r := lookup(va)
	if r == nil || r.kind != kindPaged || code&faultExists != 0 {
		return false
	}
	return code&faultWrite == 0 || r.prot&protWrite != 0
}

// install makes the pages of [va, va+n) present, with copies of what lies at
// src, or zeros if src is 0. It gives how many bytes are present now.
func install(va, src, n uintptr) uintptr {
	r := lookup(va)
	if r == nil || r.kind != kindPaged || va&(smallPage-1) != 0 || n > r.hi-va {
		return 0
	}
	for done := uintptr(0); ; done += smallPage {
		if done >= n || freeMemory() < spareFrames*smallPage {
			return done
		}
		e, at := walk(va+done, 1, true)
		if at != 1 {
			return done
		}
		if load(e) != 0 {
			continue
		}
		p := take4k()
		if p == 0 {
			return done
		}
		if src == 0 {
			clearWords(p, smallPage)
		} else {
			copyBytes(p, src+done, smallPage)
		}
		store(e, p|entryBits(r.prot))
	}
}

// drop frees the n pages whose addresses list holds.
func drop(list, n uintptr) uintptr {
	if n > maxDrop || !readable(list, n*8) {
		return errno(eINVAL)
	}
	for i := uintptr(0); i < n; i++ {
		va := load(list + i*8)
		if r := lookup(va); r == nil || r.kind != kindPaged {
			continue
		}
		e, at := walk(va, 1, false)
		v := load(e)
		if at != 1 || v&entryPresent == 0 {
			continue
		}
		store(e, 0)
		put4k(v & entryFrame)
		dropTable(va, 2)
	}
	ring0(gateFlush, 0)
	return 0
}

// accessed tells whether the processor has noted an access to the page of va,
// and takes the note away. The processor may go on without a new one until its
// translations are flushed, which drop does.
func accessed(va uintptr) uintptr {
	e, at := walk(va, 1, false)
	v := load(e)
	if at != 1 || v&entryPresent == 0 || v&entryAccessed == 0 {
		return 0
	}
	store(e, v&^entryAccessed)
	return 1
}

// The functions below are for package guest.

// Page makes [lo, hi) paged; the result is a Linux error number or 0.
func Page(lo, hi uintptr) uintptr { return -trampoline(callPage, lo, hi, 0, 0) }

// Install makes pages present and gives how many bytes of them are.
func Install(va, src, n uintptr) uintptr { return trampoline(callInstall, va, src, n, 0) }

// Drop frees pages; list is the address of n addresses, at most 64.
func Drop(list, n uintptr) { trampoline(callDrop, list, n, 0, 0) }

// Accessed tells whether a page was accessed since it was asked last.
func Accessed(va uintptr) bool { return trampoline(callAccessed, va, 0, 0, 0) != 0 }

// Reserve gives n bytes of contiguous zeroed memory for good, for devices to
// read into, or 0.
func Reserve(n uintptr) uintptr { return trampoline(callReserve, n, 0, 0, 0) }

// ReadRaw reads n bytes of device handle at offset to the address dst.
func ReadRaw(handle uint32, offset, dst, n uintptr) bool {
	return trampoline(callBlock, uintptr(handle), offset, dst, n) == 0
}

// FreeMemory is how many bytes are free.
func FreeMemory() uintptr { return freeMemory() }
