package abi

// # Negotiation
//
//  1. The tender writes ExtInfo at ExtInfoAddr before the guest starts.
//  2. The guest compares the magic. It lays out a shared area of SharedSize
//     bytes, physically contiguous and aligned to a page, all zero, and calls
//     HypercallExtSetup with the features that it wants, a subset of those
//     offered.
//  3. From then on both sides use the rings in the shared area. Each word in it has
//     one writer. Indices run freely and wrap at 2^32.
//
// # Events
//
// Whenever the tender has news (a completion, a message, room in a ring) it
// increments the word at SharedEvents, and a POLL hypercall that is waiting,
// or the next one, returns at once.
//
// # Block queue
//
// The guest owns QueueSlots slots. For a request it fills slot s (QueueEntry
// at SharedEntries), its segment list (page s at SharedSegments), clears the
// completion word s, appends s to the order ring and increments
// SharedQueueTail. The tender executes requests in the order of the ring,
// but for writes that a flush follows, among which it may choose, and stores a completion
// word other than 0: CompletionDone | errno<<8. Requests published together are seen together. A request is not finished before that word is set, and its
// buffers must stay in place until then.
//
// # Channel
//
// Two rings of bytes, RingSize each. A message is a u32 length and that many
// bytes, padded to 8; it may wrap. The writer publishes by storing the tail,
// the reader frees by storing the head.
//
// # Kicks
//
// A side of the tender that sleeps sets its "sleeps" word first; the guest,
// after publishing, reads the word and issues the kick hypercall only if it
// is set. With ExtEventKick the kick of the block queue is the same OUT, but KVM
// takes it itself and signals an eventfd: the guest goes on without having left KVM_RUN.

// ExtInfoAddr is the guest address of the tender's offer.
const ExtInfoAddr = 0xf0000

// ExtMagic starts an offer.
const ExtMagic = "phantom-vm-ext-1"

// ExtInfo: magic[16]@0, u32 features@16, u32 argument count@20, u32 argument
// bytes@24, u32 zero@28, then the arguments, each terminated by a zero. The
// arguments are those of the command line, but keep their spaces.
const (
	ExtFeaturesOff = 16
	ExtArgCountOff = 20
	ExtArgBytesOff = 24
	ExtArgsOff     = 32
	ExtMaxArgBytes = 32 << 10
)

// ExtFeature is a set of features of the extension.
type ExtFeature uint32

// Features.
const (
	ExtBlockQueue ExtFeature = 1 << 0 // asynchronous block requests with flush
	ExtChannel    ExtFeature = 1 << 1 // message channel
	ExtEntropy    ExtFeature = 1 << 2 // HypercallEntropy
	ExtEventKick  ExtFeature = 1 << 3 // HypercallKickBlock rings an eventfd inside KVM
	ExtPrepare    ExtFeature = 1 << 4 // QueuePrepare
)

// Hypercalls of the extension. Kicks ignore their argument.
const (
	HypercallExtSetup    Hypercall = 0x80
	HypercallKickBlock   Hypercall = 0x81
	HypercallKickChannel Hypercall = 0x82
	HypercallEntropy     Hypercall = 0x83
)

// EXT_SETUP: u64 shared area@0, u64 its size@8, u32 features@16, i32 ret@20.
// ENTROPY:   u64 data@0, u64 len@8, i32 ret@16; at most EntropyMax bytes.
const (
	ExtSetupSize     = 24
	ExtSetupRetOff   = 20
	EntropySize      = 24
	EntropyRetOff    = 16
	EntropyMax       = 256
	QueueSlots       = 32
	QueueSegments    = 256
	QueueEntrySize   = 64
	SegmentSize      = 16
	CompletionDone   = 1
	RingSize         = 128 << 10
	MaxMessage       = 64 << 10
	MessageHeader    = 4
	messageAlignment = 8
)

// Offsets in the shared area. Words that different sides write lie in
// different cache lines.
const (
	SharedEvents       = 0   // u32, tender
	SharedQueueTail    = 64  // u32, guest
	SharedQueueHead    = 128 // u32, tender
	SharedQueueSleeps  = 192 // u32, tender
	SharedOutTail      = 256 // u32, guest: messages to the host
	SharedOutHead      = 320 // u32, tender
	SharedInTail       = 384 // u32, tender: messages to the guest
	SharedInHead       = 448 // u32, guest
	SharedOutSleeps    = 512 // u32, tender: its reader sleeps
	SharedInWaits      = 576 // u32, tender: its writer waits for room
	SharedOrder        = 1024
	SharedCompletions  = 1024 + 4*QueueSlots
	SharedEntries      = PageSize
	SharedSegments     = 2 * PageSize
	SharedOutRing      = SharedSegments + QueueSlots*QueueSegments*SegmentSize
	SharedInRing       = SharedOutRing + RingSize
	SharedSize         = SharedInRing + RingSize
	queueEntryChecksum = QueueSlots * QueueEntrySize // must fit into a page
)

var _ [PageSize - queueEntryChecksum]byte

// QueueOp is the operation of a queue entry.
type QueueOp uint32

// Operations. QueueFlush makes every write that completed before it was
// submitted durable. QueuePrepare makes Bytes bytes cheap to overwrite, and destroys
// them; it runs beside later requests, which must not touch that place before it is done.
const (
	QueueRead    QueueOp = 1
	QueueWrite   QueueOp = 2
	QueueFlush   QueueOp = 3
	QueuePrepare QueueOp = 4
)

// MaxPrepare is the most bytes of one QueuePrepare.
const MaxPrepare = 64 << 20

// QueueEntry is a request: u32 op@0, u32 handle@4, u64 offset@8, u32 segments@16,
// u64 bytes@24. Segments are u64 guest address, u64 length; Bytes counts for QueuePrepare only.
type QueueEntry struct {
	Op       QueueOp
	Handle   uint32
	Offset   uint64
	Segments uint32
	Bytes    uint64
}

// Encode writes e into b, which has at least QueueEntrySize bytes.
func (e QueueEntry) Encode(b []byte) {
	le.PutUint32(b, uint32(e.Op))
	le.PutUint32(b[4:], e.Handle)
	le.PutUint64(b[8:], e.Offset)
	le.PutUint32(b[16:], e.Segments)
	le.PutUint64(b[24:], e.Bytes)
}

// DecodeQueueEntry reads a QueueEntry. b has at least QueueEntrySize bytes.
func DecodeQueueEntry(b []byte) QueueEntry {
	return QueueEntry{QueueOp(le.Uint32(b)), le.Uint32(b[4:]), le.Uint64(b[8:]), le.Uint32(b[16:]), le.Uint64(b[24:])}
}

// Segment is a piece of guest memory.
type Segment struct{ Addr, Len uint64 }

// DecodeSegment reads a Segment. b has at least SegmentSize bytes.
func DecodeSegment(b []byte) Segment { return Segment{le.Uint64(b), le.Uint64(b[8:])} }

// Encode writes s into b, which has at least SegmentSize bytes.
func (s Segment) Encode(b []byte) {
	le.PutUint64(b, s.Addr)
	le.PutUint64(b[8:], s.Len)
}

// MessageSpace is the room that a message of n bytes takes in a ring.
func MessageSpace(n int) uint32 {
	return uint32((MessageHeader + n + messageAlignment - 1) &^ (messageAlignment - 1))
}
