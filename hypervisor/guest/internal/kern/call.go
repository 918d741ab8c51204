package kern

import (
	"runtime"
	"unsafe"

	"phantomvm/hypervisor/abi"
)

// Calls of package guest into the kernel. They take the way of system calls,
// so that they run on the kernel's stack and no thread runs meanwhile.
const (
	callBase = 1<<20 + iota
	callBlock
	callTranslate
	callResync
	callHypercall
	callPage
	callInstall
	callDrop
	callAccessed
	callReserve
)

func ownCall(t *thread, n uintptr) uintptr {
	switch n {
	case callBlock:
		return blockCall(t.di, t.si, t.dx, t.r10)
	case callTranslate:
		return resident(t.di, t.si)
	case callResync:
		resync()
		return 0
	case callHypercall:
		hypercall(abi.Hypercall(t.di), 0)
		return 0
	case callPage:
		return page(t.di, t.si)
	case callInstall:
		return install(t.di, t.si, t.dx)
	case callDrop:
		return drop(t.di, t.si)
	case callAccessed:
		return accessed(t.di)
	case callReserve:
		return allocRun(t.di)
	}
	return errno(eNOSYS)
}

// resident makes the page of va present, with the access that a transfer
// needs, and gives its physical address, or 0.
func resident(va, write uintptr) uintptr {
	if inImage(va, 1) {
		if write != 0 && va < dataLo {
			return 0
		}
		return va
	}
	code := uintptr(0)
	if write != 0 {
		code = faultWrite
	}
	e, _ := walk(va, 1, false)
	before := load(e)
	if before&entryPresent == 0 || write != 0 && before&entryWrite == 0 {
		if !pageFault(va, code) {
			return 0
		}
		if before&entryPresent != 0 {
			// No fault has made the processor forget the page of zeros.
			ring0(gateInvalidate, va)
		}
	}
	return translate(va)
}

// run gives the physical address of va and how many bytes from there on, at
// most n, are contiguous.
func run(va, n, write uintptr) (phys, length uintptr) {
	phys = resident(va, write)
	if phys == 0 {
		return 0, 0
	}
	length = min(smallPage-va&(smallPage-1), n)
	for length < n && resident(va+length, write) == phys+length {
		length = min(length+smallPage, n)
	}
	return phys, length
}

// blockCall transfers between a device and [va, va+n) with one hypercall per
// contiguous piece. what is the handle, and bit 32 for a write.
func blockCall(what, offset, va, n uintptr) uintptr {
	call, intoMemory := abi.HypercallBlockRead, uintptr(1)
	if what>>32 != 0 {
		call, intoMemory = abi.HypercallBlockWrite, 0
	}
	for n > 0 {
		phys, length := run(va, n, intoMemory)
		if phys == 0 {
			return errno(eFAULT)
		}
		if e := block(call, what&0xffffffff, offset, phys, length); e != 0 {
			return e
		}
		va, offset, n = va+length, offset+length, n-length
	}
	return 0
}

// The functions below are for package guest.

// Transfer moves len(b) bytes between b and device handle at offset, while
// nothing else in the guest runs. The result is a Linux error number or 0.
func Transfer(handle uint32, offset int64, b []byte, write bool) uintptr {
	if len(b) == 0 {
		return 0
	}
	what := uintptr(handle)
	if write {
		what |= 1 << 32
	}
	e := trampoline(callBlock, what, uintptr(offset), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
	runtime.KeepAlive(b)
	return -e
}

// PhysicalPage makes the page of p present and gives the physical address of
// p, or 0 if p may not be accessed that way.
func PhysicalPage(p unsafe.Pointer, write bool) uint64 {
	w := uintptr(0)
	if write {
		w = 1
	}
	return uint64(trampoline(callTranslate, uintptr(p), w, 0, 0))
}

// Resync sets the wall clock by the tender's.
func Resync() { trampoline(callResync, 0, 0, 0, 0) }

// Kick issues a hypercall whose argument the tender ignores.
func Kick(n abi.Hypercall) { trampoline(callHypercall, uintptr(n), 0, 0, 0) }

// YieldThread lets other kernel threads run whose time has come.
func YieldThread() { trampoline(sysSchedYield, 0, 0, 0, 0) }

// Memory gives the free and the total physical memory that the guest can hand
// out, in bytes.
func Memory() (free, total uint64) {
	if !active {
		return 0, 0
	}
	return uint64(freeMemory()), uint64(totalMemory())
}

// Polls is how often the kernel waited in the tender.
func Polls() uint64 { return polls }

// Nanos is the monotonic clock, in nanoseconds.
func Nanos() int64 { return nanos() }

// Shared gives the extension's shared area and the accepted features, or nil.
func Shared() (unsafe.Pointer, abi.ExtFeature) {
	if shared == 0 {
		return nil, 0
	}
	return pointer(shared), abi.ExtFeature(extFeatures)
}

// ManifestBytes copies the tender's manifest, nil in an ordinary process.
func ManifestBytes() []byte {
	if !active {
		return nil
	}
	p := load(bootInfo + abi.BootManifestOff)
	n := min(load32(p+4), abi.ManifestMaxEntries)
	size := abi.ManifestHeaderSize + int(n)*abi.ManifestEntrySize
	return append([]byte(nil), unsafe.Slice((*byte)(pointer(p)), size)...)
}
