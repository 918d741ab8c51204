package main

import (
	"unsafe"

	"phantomvm/objectvm"
)

// opener is a write barrier without checkpoints: a page stays open from its first touch on.
type opener struct{}

// Touch sets the page's state byte, which lies in memory that MapArena has mapped.
func (opener) Touch(page uint64) {
	*(*byte)(unsafe.Add(nil, uintptr(objectvm.StateBase)+uintptr(page))) = 1
}
