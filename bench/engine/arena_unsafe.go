package engine

import (
	"unsafe"

	"golang.org/x/sys/unix"

	"phantomvm/persist"
)

// Arena is mapped memory with a table of state bytes, as a VM has it.
type Arena struct {
	Mem   persist.Memory
	Bytes []byte
	State []byte
	Open  *byte // the state of open pages
}

// NewArena maps an arena of so many pages. Nothing is faulted in.
func NewArena(pages int) (*Arena, error) {
	const prot, flags = unix.PROT_READ | unix.PROT_WRITE, unix.MAP_ANON | unix.MAP_PRIVATE | unix.MAP_NORESERVE
	b, err := unix.Mmap(-1, 0, pages*persist.BlockSize, prot, flags)
	if err != nil {
		return nil, err
	}
	s, err := unix.Mmap(-1, 0, stateBytes(pages), prot, flags)
	if err != nil {
		unix.Munmap(b) //nolint:errcheck // the first error counts
		return nil, err
	}
	// The addresses of mappings, which stay until Close.
	mem := persist.Memory{Base: uintptr(unsafe.Pointer(&b[0])), Pages: uint64(pages), State: uintptr(unsafe.Pointer(&s[0])), Open: uintptr(unsafe.Pointer(&s[pages]))}
	s[pages] = 1
	return &Arena{mem, b, s[:pages], &s[pages]}, nil
}

// Close unmaps the arena; no Checkpointer may use it any more.
func (a *Arena) Close() {
	unix.Munmap(a.Bytes)                                             //nolint:errcheck // it was mapped
	unix.Munmap(unsafe.Slice(&a.State[0], stateBytes(len(a.State)))) //nolint:errcheck // likewise
}

// Page is the memory of page p.
func (a *Arena) Page(p persist.PageID) []byte {
	return a.Bytes[p*persist.BlockSize : (p+1)*persist.BlockSize]
}

// stateBytes is what the state bytes and the one of open pages take, in whole pages.
func stateBytes(pages int) int { return (pages + persist.BlockSize) &^ (persist.BlockSize - 1) }
