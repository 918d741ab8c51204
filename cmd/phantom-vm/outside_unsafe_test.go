package main

import (
	"unsafe"

	"phantomvm/objectvm"
)

// opener is a write barrier without checkpoints: a page stays open from its first touch until freeze.
type opener map[uint64]bool

// Touch sets the page's state byte, which lies in memory that MapArena has mapped.
func (o opener) Touch(page uint64) {
	o[page] = true
	*stateByte(page) = 1
}

// freeze closes all pages: a VM that is built on an arena finds none open.
func (o opener) freeze() {
	for p := range o {
		*stateByte(p) = 0
	}
	clear(o)
}

func stateByte(page uint64) *byte {
	return (*byte)(unsafe.Add(nil, uintptr(objectvm.StateBase)+uintptr(page)))
}
