package persist

import "unsafe"

// alignedBlock allocates one block of the Go heap at the beginning of a page
// of memory, so that a guest's device sees it as one piece. Go's heap does not
// move; the slice keeps it alive.
func alignedBlock() ([]uint64, uintptr) {
	b := make([]uint64, 2*nodeFan)
	at := uintptr(unsafe.Pointer(&b[0]))
	skip := int(-at % BlockSize / 8)
	return b[skip : skip+nodeFan : skip+nodeFan], at + uintptr(skip)*8
}
