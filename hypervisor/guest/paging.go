package guest

import (
	"fmt"
	"syscall"
	"unsafe"

	"phantomvm/hypervisor/guest/internal/kern"
)

// Demand paging. A program that wants to bring in pages of a range by itself
// calls PageRange. An access to an absent page of it is then a SIGBUS
// (BUS_ADRERR) of the thread; a handler installed with rt_sigaction gets it, and calls InstallPages.
// Vector registers, CX, R11 and the flags are not kept by the kernel's sigreturn: the
// handler saves them and returns by itself.
//
// But for PageRange and ReservePages these functions allocate nothing, take no lock and may be called by such a handler.

// PageRange makes [lo, hi) paged. It must be mapped and untouched.
func PageRange(lo, hi uintptr) error {
	if !kern.Active() {
		return ErrInactive
	}
	if e := kern.Page(lo, hi); e != 0 {
		return fmt.Errorf("page %#x: %w", lo, syscall.Errno(e))
	}
	return nil
}

// ReservePages gives n bytes of zeroed memory that is contiguous for devices, for good; 0 if there is none.
func ReservePages(n uintptr) uintptr { return kern.Reserve(n) }

// InstallPages makes the pages of [va, va+n) present, with copies of what lies
// at src, or zeros if src is 0; those that are present stay as they are. It gives how many bytes are present: fewer than n if memory is short.
func InstallPages(va, src, n uintptr) uintptr { return kern.Install(va, src, n) }

// DropPages makes n pages absent.
func DropPages(pages *[64]uintptr, n uintptr) { kern.Drop(uintptr(unsafe.Pointer(pages)), n) }

// PageAccessed tells whether a page was accessed since the last call for it,
// as far as the processor has noted.
func PageAccessed(va uintptr) bool { return kern.Accessed(va) }

// FreeMemory is how many bytes of memory are free.
func FreeMemory() uintptr { return kern.FreeMemory() }

// Nanos is the monotonic clock, in nanoseconds.
func Nanos() int64 { return kern.Nanos() }

// ReadRaw reads n bytes at off to the address dst.
func (b *Block) ReadRaw(off int64, dst, n uintptr) bool {
	if off < 0 || int64(n) > b.size || off > b.size-int64(n) {
		return false
	}
	return kern.ReadRaw(b.handle, uintptr(off), dst, n)
}
