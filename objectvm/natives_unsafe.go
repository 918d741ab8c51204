package objectvm

import "unsafe"

// addrOf gives a field of the VM struct an address that ld64 and st64 take; the struct is on Go's heap, where nothing moves.
func addrOf(p *Addr) uintptr { return uintptr(unsafe.Pointer(p)) }
