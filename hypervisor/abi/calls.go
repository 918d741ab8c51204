package abi

import "encoding/binary"

var le = binary.LittleEndian

// Offsets of fields in the argument structures, and the structures' sizes.
//
//	WALLTIME     u64 ns@0
//	PUTS         u64 data@0  u64 len@8
//	POLL         u64 timeout_ns@0  u64 ready_set@8  i32 ret@16
//	BLOCK_*      u64 handle@0  u64 offset@8  u64 data@16  u64 len@24  i32 ret@32
//	NET_*        u64 handle@0  u64 data@8  u64 len@16  i32 ret@24
//	HALT         u64 cookie@0  i32 exit_status@8
const (
	WallTimeSize = 8
	PutsSize     = 16
	PollSize     = 24
	PollReadyOff = 8
	PollRetOff   = 16
	BlockSize    = 40
	BlockRetOff  = 32
	NetSize      = 32
	NetLenOff    = 16
	NetRetOff    = 24
	HaltSize     = 16
)

// Puts is the argument of HypercallPuts: Len bytes at guest address Data.
type Puts struct{ Data, Len uint64 }

// DecodePuts reads a Puts. b has at least PutsSize bytes.
func DecodePuts(b []byte) Puts { return Puts{le.Uint64(b), le.Uint64(b[8:])} }

// Encode writes p into b, which has at least PutsSize bytes.
func (p Puts) Encode(b []byte) {
	le.PutUint64(b, p.Data)
	le.PutUint64(b[8:], p.Len)
}

// Block is the argument of the two block hypercalls.
type Block struct {
	Handle, Offset uint64
	Data, Len      uint64
	Ret            Result
}

// DecodeBlock reads a Block. b has at least BlockSize bytes.
func DecodeBlock(b []byte) Block {
	return Block{
		Handle: le.Uint64(b), Offset: le.Uint64(b[8:]),
		Data: le.Uint64(b[16:]), Len: le.Uint64(b[24:]), Ret: Result(le.Uint32(b[BlockRetOff:])),
	}
}

// Encode writes r into b, which has at least BlockSize bytes.
func (r Block) Encode(b []byte) {
	le.PutUint64(b, r.Handle)
	le.PutUint64(b[8:], r.Offset)
	le.PutUint64(b[16:], r.Data)
	le.PutUint64(b[24:], r.Len)
	le.PutUint32(b[BlockRetOff:], uint32(r.Ret))
}

// Net is the argument of the two network hypercalls.
type Net struct {
	Handle, Data, Len uint64
	Ret               Result
}

// DecodeNet reads a Net. b has at least NetSize bytes.
func DecodeNet(b []byte) Net {
	return Net{le.Uint64(b), le.Uint64(b[8:]), le.Uint64(b[NetLenOff:]), Result(le.Uint32(b[NetRetOff:]))}
}

// Halt is the argument of HypercallHalt. A Cookie other than 0 is the address
// of a trap frame.
type Halt struct {
	Cookie uint64
	Status int32
}

// DecodeHalt reads a Halt. b has at least HaltSize bytes.
func DecodeHalt(b []byte) Halt { return Halt{le.Uint64(b), int32(le.Uint32(b[8:]))} }

// TrapFrame is the head of what the cookie of an abort points at.
type TrapFrame struct{ CR2, EC, RIP, CS, RFLAGS, RSP, SS uint64 }

// DecodeTrapFrame reads a TrapFrame. b has at least 56 bytes.
func DecodeTrapFrame(b []byte) TrapFrame {
	f := func(i int) uint64 { return le.Uint64(b[i*8:]) }
	return TrapFrame{f(0), f(1), f(2), f(3), f(4), f(5), f(6)}
}

// BootInfoSize is the encoded size of a BootInfo.
const BootInfoSize = 56

// Offsets in boot info that the guest kernel reads.
const (
	BootMemSizeOff   = 0
	BootKernelEndOff = 8
	BootTSCHzOff     = 16
	BootCmdlineOff   = 24
	BootManifestOff  = 32
)

// BootInfo is what the tender hands to the guest at BootInfoAddr.
type BootInfo struct {
	MemSize       uint64 // bytes of guest memory
	KernelEnd     uint64 // aligned end of the last loaded segment
	TSCHz         uint64
	Cmdline       uint64 // address of a zero-terminated string
	Manifest      uint64 // address of the manifest
	HostFeatures  uint32
	GuestFeatures uint32
	NetRing       uint64
}

// Encode writes b0 into b, which has at least BootInfoSize bytes.
func (b0 BootInfo) Encode(b []byte) {
	for i, v := range [5]uint64{b0.MemSize, b0.KernelEnd, b0.TSCHz, b0.Cmdline, b0.Manifest} {
		le.PutUint64(b[i*8:], v)
	}
	le.PutUint32(b[40:], b0.HostFeatures)
	le.PutUint32(b[44:], b0.GuestFeatures)
	le.PutUint64(b[48:], b0.NetRing)
}

// DecodeBootInfo reads a BootInfo. b has at least BootInfoSize bytes.
func DecodeBootInfo(b []byte) BootInfo {
	return BootInfo{
		MemSize: le.Uint64(b), KernelEnd: le.Uint64(b[8:]), TSCHz: le.Uint64(b[16:]),
		Cmdline: le.Uint64(b[24:]), Manifest: le.Uint64(b[32:]),
		HostFeatures: le.Uint32(b[40:]), GuestFeatures: le.Uint32(b[44:]), NetRing: le.Uint64(b[48:]),
	}
}
