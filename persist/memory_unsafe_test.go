package persist_test

import (
	"unsafe"

	"phantomvm/persist"
)

// memoryOf describes mapped memory outside the Go heap.
func memoryOf(b, state []byte) persist.Memory {
	return persist.Memory{
		Base:  uintptr(unsafe.Pointer(&b[0])),
		Pages: uint64(len(b) / persist.BlockSize),
		State: uintptr(unsafe.Pointer(&state[0])),
	}
}

// bytesAt is n bytes of mapped memory or of a block of the Go heap that the
// page table holds.
//
//go:nocheckptr
func bytesAt(addr, n uintptr) []byte {
	return unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), addr)), n)
}

// setPins makes b the pin table.
func setPins(m *persist.Memory, b []byte) { m.Pins = uintptr(unsafe.Pointer(&b[0])) }
