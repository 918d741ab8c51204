package objectvm

// Addresses of the arena; docs/abi.md is normative for the regions.
//
// Inside META (all offsets from MetaBase):
//
//	0            header: one page, see header.go
//	1 MiB        output rings, one per stream
//	256 MiB      module bytes
//	1 GiB        stack blocks (stackalloc.go)
//	4 GiB        goroutine records (grecord.go)
//	8 GiB        deferred calls and panics (pools.go)
//	12 GiB       timers and other records of native functions
//	16 GiB       heap: page table, span records, classes (heap.go)
//	20 GiB       heap: allocation bitmaps

// Addr is an address in the arena.
type Addr uint64

// PageID numbers the arena's pages: (address - ArenaBase) / PageSize.
type PageID uint64

// ArenaLayout is the version of everything this package keeps in the arena. An image with another one is refused.
const ArenaLayout = 2

// Page geometry.
const (
	PageShift = 12
	PageSize  = 1 << PageShift
)

// The regions.
const (
	ArenaBase  Addr = 0x1000_0000_0000
	MetaBase   Addr = ArenaBase
	StacksBase Addr = 0x1010_0000_0000
	CodeBase   Addr = 0x1020_0000_0000
	ROBase     Addr = 0x1020_4000_0000
	DataBase   Addr = 0x1020_8000_0000

	MetaSize   = 64 << 30
	StacksSize = 64 << 30
	CodeSize   = 1 << 30
	ROSize     = 1 << 30
	DataSize   = 64 << 30
	ArenaEnd   = DataBase + DataSize
	ArenaPages = PageID((ArenaEnd - ArenaBase) >> PageShift)

	// StateBase is where the table of page states lies: a page is open if byte StateBase + page id equals the one at OpenState, else frozen.
	StateBase Addr = 0x0f00_0000_0000
	stateOff       = StateBase - ArenaBase>>PageShift // stateOff + addr>>PageShift is the state byte of addr

	// PinBase is where persist's table of pinned pages lies, a byte per page.
	PinBase Addr = 0x0f80_0000_0000

	// volatileBase is where the interpreter's own state lies; it is not part of the arena.
	volatileBase Addr = 0x0e00_0000_0000

	// OpenState is where the byte lies that open pages have; never 0. A checkpoint changes it.
	OpenState        = volatileBase + 4088
	funcTabBase Addr = 0x0e00_0010_0000 // FuncID -> address of the function's header in CODE, 8 bytes each
	funcTabSize      = 64 << 20
	markBase    Addr = 0x0e10_0000_0000 // mark bits, same geometry as the allocation bitmaps
	viewPages   Addr = 0x0e20_0000_0000 // heap page -> span whose view is valid, see spans.go
	viewSpans   Addr = 0x0e20_1000_0000 // views of span records
	noteBase    Addr = 0x0e30_0000_0000 // what the collector has noted of a page, see snapshot.go
	copyBase    Addr = 0x0e40_0000_0000 // copies of pages as they were when the cycle began
	noteOff          = noteBase - ArenaBase>>PageShift*8
)

// Parts of META.
const (
	metaHeader   = MetaBase
	metaRings    = MetaBase + 1<<20
	metaModule   = MetaBase + 256<<20
	metaModMax   = 512 << 20
	metaStacks   = MetaBase + 1<<30
	metaG        = MetaBase + 4<<30
	metaPools    = MetaBase + 8<<30
	metaNatives  = MetaBase + 12<<30
	metaNatSize  = 4 << 30
	metaHeap     = MetaBase + 16<<30
	metaAllocMap = MetaBase + 20<<30
)

func pageOf(a Addr) PageID { return PageID((a - ArenaBase) >> PageShift) }
