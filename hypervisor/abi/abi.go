// Package abi holds the contract between a guest and its tender: version 2 of
// the Solo5 hvt interface on x86_64, and the extension that this project's
// tender offers on top of it.
//
// Nothing here touches memory of a guest. The package gives numbers, offsets
// and explicit little-endian encodings; the tender applies them to guest
// memory that it checks, the guest kernel lays its static structures out by
// the same offsets.
//
// # The extension
//
// A tender that has the extension writes an ExtInfo block at the guest
// address ExtInfoAddr, into memory that every tender maps, read-only, and
// leaves zero. A guest that finds ExtMagic there may issue HypercallExtSetup;
// a guest that does not find it must not. So a guest runs under any tender
// with ABI version 2, and no tender sees a port that it does not know.
// ext.go has the layouts.
package abi

// Guest physical addresses of the structures that a tender prepares.
const (
	GDTAddr      = 0x1000
	PML4Addr     = 0x2000
	PDPTAddr     = 0x3000
	PDAddr       = 0x4000 // four page directories, one a page
	PTAddr       = 0x8000 // page table of the first 2 MiB
	BootInfoAddr = 0x10000
	ManifestAddr = BootInfoAddr + BootInfoSize
	// MinLoadAddr is the lowest address of a segment and of the entry point.
	// Guest memory from BootInfoAddr up to here is readable, not writable.
	MinLoadAddr = 0x100000
)

// Sizes, in bytes.
const (
	PageSize      = 4096
	LargePageSize = 2 << 20
	// MaxMemory is the most that the tender's page tables can map.
	MaxMemory = 4 << 30
	// CmdlineSize is the room for the command line, its final zero included.
	CmdlineSize = 8192
	// TrapFrameSize is what the cookie of a HALT points at.
	TrapFrameSize = 512
)

// Register values at the guest's first instruction.
const (
	StartCR0    = 0x80010021
	StartCR4    = 0x620
	StartEFER   = 0x500
	StartRFLAGS = 2
	CodeSel     = 0x08
	DataSel     = 0x10
)

// Hypercall is the number n of a hypercall: a 32-bit OUT of the argument's
// guest physical address to port HypercallPort+n.
type Hypercall uint16

// HypercallPort is the I/O port of hypercall 0.
const HypercallPort = 0x500

// The hypercalls of ABI version 2.
const (
	HypercallWallTime   Hypercall = 1
	HypercallPuts       Hypercall = 2
	HypercallPoll       Hypercall = 3
	HypercallBlockWrite Hypercall = 4
	HypercallBlockRead  Hypercall = 5
	HypercallNetWrite   Hypercall = 6
	HypercallNetRead    Hypercall = 7
	HypercallHalt       Hypercall = 8
)

// Result is what a hypercall returns in its ret field.
type Result int32

// Results of hypercalls.
const (
	ResultOK     Result = 0
	ResultAgain  Result = 1
	ResultEINVAL Result = 2
	ResultEUNSPC Result = 3
)

// Exit statuses by which the guest kernel tells its own failures from the
// program's.
const (
	ExitAbort       = 255 // Solo5's abort
	ExitOutOfMemory = 251 // guest memory is used up
	ExitFault       = 252 // an exception that the Go runtime did not take
	ExitNoEntropy   = 253 // neither RDRAND nor entropy from the tender
)
