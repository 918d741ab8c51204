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
	// State is the address of the table of state bytes, one per page. A page is
	// open, that is stores to it may go on, if its byte is the one at Open; else
	// it is frozen, and Touch comes before the store. A
	// fresh table is all zero. Only the mutator's thread reads or writes it,
	// Checkpointer methods that it calls included.
	State uintptr
	// Open is the address of the byte that open pages have, 1 to 255; 0: the Checkpointer keeps it, see
	// Checkpointer.Open. Each flip changes it, which freezes all pages at once.
	Open uintptr
	// Pins is the address of the pin table, one byte per page, all zero at
	// first; 0: the Checkpointer allocates one. The mutator's thread writes it,
	// in Touch, Discard, Flip and Settle. See PinDropped.
	Pins uintptr
}

// stateFrozen is the byte of a page that was not stored to for some time.
const stateFrozen = 0

// Bits of the pin table. A page may be evicted, that is forgotten in memory
// and fetched again later, if its state byte and its pin byte are both 0.
const (
	// PinDropped: the page was discarded and that is not durable yet. If it is
	// not resident it reads as zeros, whatever the page table says.
	PinDropped byte = 2

	pinDiscard byte = 8  // listed for the next flip, and discarded since it was last touched
	pinFresh   byte = 16 // listed for the next flip, and PinDropped is of that list
)

// pinListed is the bit of pages in the list of a generation: 1 for even ones, 4
// for odd ones. It stays until that checkpoint is durable and settled, so the
// flip need not look at each page's pin.
func pinListed(gen uint64) byte { return 1 << (gen & 1 * 2) }

// pinTable is the bytes of Memory.Pins, or chunks that are made when needed.
type pinTable struct {
	flat   []byte
	chunks []*[pinChunk]byte
}

const pinChunk = 1 << 14

func newPinTable(m *Memory) pinTable {
	if m.Pins != 0 {
		return pinTable{flat: unsafe.Slice((*byte)(at(m.Pins)), m.Pages)}
	}
	return pinTable{chunks: make([]*[pinChunk]byte, (m.Pages+pinChunk-1)/pinChunk)}
}

func (t *pinTable) get(p PageID) byte {
	if t.flat != nil {
		return t.flat[p]
	}
	if k := t.chunks[p/pinChunk]; k != nil {
		return k[p%pinChunk]
	}
	return 0
}

func (t *pinTable) set(p PageID, b byte) {
	if t.flat != nil {
		t.flat[p] = b
		return
	}
	k := &t.chunks[p/pinChunk]
	if *k == nil {
		*k = new([pinChunk]byte)
	}
	(*k)[p%pinChunk] = b
}

// at makes a pointer of an address outside the Go heap: the collector does not
// move or free what lies there, and the caller of the package keeps it mapped.
func at(addr uintptr) unsafe.Pointer { return unsafe.Add(unsafe.Pointer(nil), addr) }

// page is the page's memory. Safe while p < Pages, which Touch has checked
// before a page enters any list.
func (m *Memory) page(p PageID) []byte {
	return unsafe.Slice((*byte)(at(m.Base+uintptr(p)*BlockSize)), BlockSize)
}

func (m *Memory) setOpen(v byte) {
	if m.Open != 0 {
		*(*byte)(at(m.Open)) = v
	}
}

func (m *Memory) setState(p PageID, v byte) { *(*byte)(at(m.State + uintptr(p))) = v }

func (m *Memory) state(p PageID) byte { return *(*byte)(at(m.State + uintptr(p))) }
