package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"syscall"
	"time"
	"unsafe"

	"phantomvm/hypervisor/guest"
)

const gib = 1 << 30

func mmap(at, n uintptr, prot int, flags int) uintptr {
	a, _, e := syscall.Syscall6(syscall.SYS_MMAP, at, n, uintptr(prot), uintptr(flags), ^uintptr(0), 0)
	assert(e == 0, "mmap %#x: %v", at, e)
	return a
}

func at(a uintptr) *byte { return (*byte)(unsafe.Add(unsafe.Pointer(nil), a)) }

func sys(nr, a, b, c uintptr) {
	_, _, e := syscall.Syscall(nr, a, b, c)
	assert(e == 0, "system call %d: %v", nr, e)
}

func faultAt(f func()) (addr uintptr) {
	defer func() {
		e, ok := recover().(interface{ Addr() uintptr })
		assert(ok, "no fault")
		addr = e.Addr()
	}()
	f()
	return 0
}

const (
	arena   = 0x100000000000
	sparse  = syscall.MAP_FIXED | syscall.MAP_ANON | syscall.MAP_PRIVATE | syscall.MAP_NORESERVE
	rw      = syscall.PROT_READ | syscall.PROT_WRITE
	sysProt = syscall.SYS_MPROTECT
)

// memory maps ranges as large as an arena's and checks what they cost.
func memory() {
	debug.SetPanicOnFault(true)
	debug.SetGCPercent(-1)
	for i := range uintptr(5) {
		a := mmap(arena+i*64*gib, 64*gib, rw, sparse)
		assert(a == arena+i*64*gib, "mapped at %#x", a)
	}
	runtime.GC()
	before, total := guest.Memory()
	// Reads of untouched memory see zeros and cost tables only.
	for i := range uintptr(1000) {
		assert(*at(arena + i*4096) == 0, "not zero")
	}
	afterReads, _ := guest.Memory()
	assert(before-afterReads < 200<<10, "1000 pages read cost %d", before-afterReads)
	for i := range uintptr(1000) {
		*at(arena + i*4096 + 5) = byte(i)
	}
	afterWrites, _ := guest.Memory()
	assert(afterReads-afterWrites < 5<<20 && afterReads-afterWrites >= 4<<20-1<<17, "1000 pages written cost %d", afterReads-afterWrites)
	for i := range uintptr(1000) {
		assert(*at(arena + i*4096 + 5) == byte(i) && *at(arena + i*4096) == 0, "page %d lost", i)
	}
	// Far apart: some pages each.
	for i := range uintptr(320) {
		*at(arena + i*gib + 77) = 7
	}
	far, _ := guest.Memory()
	assert(afterWrites-far < 320*10*4096, "320 distant pages cost %d", afterWrites-far)

	protections()

	sys(syscall.SYS_MADVISE, arena, 1000*4096, 4)
	assert(*at(arena + 5) == 0, "MADV_DONTNEED kept a page")
	for i := range uintptr(5) {
		sys(syscall.SYS_MUNMAP, arena+i*64*gib, 64*gib, 0)
	}
	end, _ := guest.Memory()
	assert(before-end < 400<<10, "%d bytes were not freed", before-end)
	assert(faultAt(func() { *at(arena) = 1 }) == arena, "unmapped memory was written")
	// Freed memory comes back as zeros.
	mmap(arena, gib, rw, sparse)
	for i := range uintptr(4096) {
		assert(*at(arena + i*4096 + 5) == 0, "page %d is not clear", i)
		*at(arena + i*4096) = 1
		assert(*at(arena + i*4096 + 5) == 0, "page %d is not clear when written", i)
	}
	fmt.Println("total", total)
}

func protections() {
	p := uintptr(arena + 4096)
	sys(sysProt, p, 4096, syscall.PROT_READ)
	assert(*at(p + 5) == 1, "PROT_READ lost the page")
	assert(faultAt(func() { *at(p + 6) = 1 }) == p+6, "a read-only page was written")
	*at(p - 1) = 1
	*at(p + 4096) = 1
	sys(sysProt, p, 4096, syscall.PROT_NONE)
	assert(faultAt(func() { _ = *at(p + 5) == 3; fmt.Print(*at(p + 5)) }) == p+5, "a PROT_NONE page was read")
	sys(sysProt, p, 4096, rw)
	assert(*at(p + 5) == 1, "PROT_NONE lost the page")
	*at(p + 6) = 2
	// An untouched page, and one that was only read.
	q := uintptr(arena + 30*gib)
	fmt.Print(*at(q + 8192))
	sys(sysProt, q, 16384, syscall.PROT_READ)
	assert(faultAt(func() { *at(q) = 1 }) == q, "untouched read-only page was written")
	assert(faultAt(func() { *at(q + 8192) = 1 }) == q+8192, "zero page was written")
	sys(sysProt, q, 16384, rw)
	*at(q), *at(q + 8192) = 1, 2
	assert(*at(q + 8193) == 0 && *at(q + 8192) == 2, "wrong contents")
	fmt.Println()
}

// zeros gives n bytes of which every page was read, and so is the shared page
// of zeros.
func zeros(where uintptr, n int) []byte {
	mmap(where, uintptr(n), rw, sparse)
	b := unsafe.Slice(at(where), n)
	for i := range b {
		assert(b[i] == 0, "not zero")
	}
	return b
}

// touch measures first writes, one after the other and far apart.
func touch() {
	mmap(arena, 64*gib, rw, sparse)
	const n = 16384
	sum := 0
	start := time.Now()
	for i := range uintptr(n) {
		*at(arena + i*4096) = 1
	}
	fmt.Println("sequential:", time.Since(start)/n, "a page")
	start = time.Now()
	for i := range uintptr(1000) {
		*at(arena + gib + i*20*4096) = 1
	}
	fmt.Println("scattered:", time.Since(start)/1000, "a page")
	start = time.Now()
	for i := range uintptr(1000) {
		sum += int(*at(arena + 2*gib + i*4096))
	}
	fmt.Println("reads:", time.Since(start)/1000, "a page", sum)
}

// exhaust touches more memory than there is.
func exhaust() {
	mmap(arena, 64*gib, rw, sparse)
	for i := uintptr(0); ; i++ {
		free, _ := guest.Memory()
		if i%1000 == 0 && free < 1<<20 {
			fmt.Println("nearly full")
		}
		*at(arena + i*4096) = 1
	}
}

func faults() {
	assert(faultAt(func() { *at(0xdead000000) = 1 }) == 0xdead000000, "no fault")
	s := "constant text"
	p := uintptr(unsafe.Pointer(unsafe.StringData(s)))
	assert(faultAt(func() { *at(p) = 1 }) == p, "a constant was written")
	faultAt(func() { *at(1 << 63) = 1 }) // not canonical
	// The kernel's own copies must refuse bad addresses.
	_, _, e := syscall.Syscall(syscall.SYS_WRITE, 1, 0xdead000000, 10)
	assert(e == syscall.EFAULT, "write of a bad buffer: %v", e)
}
