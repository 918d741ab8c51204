package paging

import (
	"hash/crc32"
	"syscall"
	"unsafe"
)

// Memory of the pager's own, outside Go's heap, given by the kernel as it is used.

const stackPages = 16

type reserved struct{ base, size, used uintptr }

func (r *reserved) reserve(n uintptr) error {
	const flags = syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE
	n = (n + pageSize) &^ (pageSize - 1)
	a, _, e := syscall.Syscall6(syscall.SYS_MMAP, 0, n, syscall.PROT_READ|syscall.PROT_WRITE, flags, ^uintptr(0), 0)
	if e != 0 {
		return e
	}
	*r = reserved{base: a, size: n}
	return nil
}

func (r *reserved) take(n uintptr) uintptr {
	if n > r.size-r.used {
		panic("paging: invariant: reserved too little")
	}
	a := r.base + r.used
	r.used += n
	return a
}

func (r *reserved) free() {
	_, _, _ = syscall.Syscall(syscall.SYS_MUNMAP, r.base, r.size, 0)
	*r = reserved{}
}

// prefault makes the pages of [lo, hi) present.
func prefault(lo, hi uintptr) {
	for ; lo < hi; lo += pageSize {
		store8(lo, 0)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// warmChecksum lets hash/crc32 make its tables now. Later it only computes.
func warmChecksum() { crc32.Checksum(make([]byte, pageSize), castagnoli) }

// checksum is CRC-32C of the page at a, as persist computes it.
func checksum(a uintptr) uint32 {
	return crc32.Checksum(unsafe.Slice((*byte)(at(a)), pageSize), castagnoli)
}
