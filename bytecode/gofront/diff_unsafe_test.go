package gofront_test

import (
	"unsafe"

	"phantomvm/objectvm"
)

// openAll is a barrier without checkpoints: pages open at their first touch.
type openAll struct{}

// Touch opens the page. Its state byte lies in memory that the VM mapped for that.
func (openAll) Touch(page uint64) {
	*(*byte)(unsafe.Add(nil, uintptr(objectvm.StateBase)+uintptr(page))) = 1
}
