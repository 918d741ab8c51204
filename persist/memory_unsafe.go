package persist

import "unsafe"

// Memory is an arena in this process's address space. The caller maps both
// ranges for as long as a Checkpointer uses them; they may be sparse and are
// not memory of the Go heap.
type Memory struct {
	// Base is the address of page 0.
	Base uintptr
	// Pages is the number of pages of address space from Base, at most MaxPages.
	Pages uint64
	// State is the address of the table of state bytes, one per page: 1 is
	// open (stores may go on), 0 is frozen (Touch comes before the store). A
	// fresh table is all zero. Only the mutator's thread reads or writes it,
	// Checkpointer methods that it calls included.
	State uintptr
}

const (
	stateFrozen = 0
	stateOpen   = 1
)

// at makes a pointer of an address outside the Go heap: the collector does not
// move or free what lies there, and the caller of the package keeps it mapped.
func at(addr uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), addr) }

// page is the page's memory. Safe while p < Pages, which Touch has checked
// before a page enters any list.
func (m *Memory) page(p PageID) []byte {
	return unsafe.Slice((*byte)(at(m.Base+uintptr(p)*BlockSize)), BlockSize)
}

func (m *Memory) setState(p PageID, v byte) { *(*byte)(at(m.State + uintptr(p))) = v }

func (m *Memory) state(p PageID) byte { return *(*byte)(at(m.State + uintptr(p))) }
