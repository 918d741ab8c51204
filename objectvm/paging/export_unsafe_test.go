package paging

import "unsafe"

func addrOf(b []byte) uintptr { return uintptr(unsafe.Pointer(unsafe.SliceData(b))) }

func bytesAt(a, n uintptr) []byte { return unsafe.Slice((*byte)(at(a)), n) }
