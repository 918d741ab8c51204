package guest

import (
	"sync/atomic"
	"unsafe"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/guest/internal/kern"
)

// area is the shared area of the extension, or nil. The tender changes it at
// any time; what both sides synchronise on is reached through word.
type area []byte

func sharedArea() (area, abi.ExtFeature) {
	p, features := kern.Shared()
	if p == nil {
		return nil, 0
	}
	// The kernel has reserved the area for good, outside the Go heap.
	return unsafe.Slice((*byte)(p), abi.SharedSize), features
}

// word gives the word at off, one of abi's offsets, which are multiples of 4.
func (a area) word(off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&a[off]))
}

// segments appends the physical pieces of b to list. It reports false if a
// page cannot be used. The memory stays where it is: the collector does not
// move heap objects, and what reaches here has escaped to the heap.
func segments(list []abi.Segment, b []byte, write bool) ([]abi.Segment, bool) {
	for len(b) > 0 {
		p := unsafe.Pointer(unsafe.SliceData(b))
		n := min(len(b), abi.PageSize-int(uintptr(p)%abi.PageSize))
		phys := kern.PhysicalPage(p, write)
		if phys == 0 {
			return list, false
		}
		if k := len(list) - 1; k >= 0 && list[k].Addr+list[k].Len == phys {
			list[k].Len += uint64(n)
		} else {
			list = append(list, abi.Segment{Addr: phys, Len: uint64(n)})
		}
		b = b[n:]
	}
	return list, true
}
