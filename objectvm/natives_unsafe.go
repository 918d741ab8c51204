package objectvm

import "unsafe"

// addrOf gives a field of the VM struct an address that ld64 and st64 take; the struct is on Go's heap, where nothing moves.
func addrOf(p *Addr) uintptr { return uintptr(unsafe.Pointer(p)) }

// wordsAddr does the same for a slice that lies in the VM's own buffers.
func wordsAddr(w []uint64) Addr {
	if len(w) == 0 {
		return 0
	}
	return Addr(uintptr(unsafe.Pointer(&w[0])))
}
