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
