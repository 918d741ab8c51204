package persist

// Encoding of everything on the device. docs/format.md is normative; the
// offsets here and the tables there are the same. All numbers are
// little-endian, reserved bytes are zero, nothing is a struct cast.
//
//	block 0       superblock            block 15      copy of the superblock
//	block 1, 8    root slots A, B       block 4       acknowledgement mark
//	block 16 ...  the log, in segments of SegmentBlocks blocks

import (
	"encoding/binary"
	"fmt"
	"hash/crc32"
)

// FormatVersion is the format that this package writes.
const FormatVersion = 2

// MaxMeta is the longest root metadata in bytes.
const MaxMeta = 3072

const (
	superBlock     = 0
	superCopyBlock = 15
	ackBlock       = 4
	logStart       = 16 // first block of segment 0

	sectorSize    = 512
	sectorPayload = 504
	rootSectors   = BlockSize / sectorSize
	rootPayload   = rootSectors * sectorPayload
	rootMetaOff   = 128

	recordEntries   = 252
	recordHeader    = 64
	recordEntrySize = 16

	summaryHeader = 48

	usageFan  = BlockSize / 2 // segments that a usage block counts
	usageSlot = nodeFan / 2   // the top's first reference to a usage block

	maxSegments = usageFan * (nodeFan - usageSlot)

	nodeShift = 9
	nodeFan   = 1 << nodeShift

	minSegmentBlocks     = 4
	maxSegmentBlocks     = 512
	defaultSegmentBlocks = 256

	maxEpoch = 1 << 62
)

const (
	superMagic  = "PHANTOMV"
	rootMagic   = "PHVMROOT"
	ackMagic    = "PHVMACK\x00"
	recordMagic = "PVCR"
	segMagic    = "PVSG"
)

// rootSlots are the blocks of the two root slots, some distance apart so that
// one physical defect does not reach both.
var rootSlots = [2]uint32{1, 8}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

func checksum(b []byte) uint32 { return crc32.Checksum(b, castagnoli) }

// InstanceID names an instance: a life on a disk.
type InstanceID [16]byte

func (id InstanceID) String() string { return fmt.Sprintf("%x", id[:]) }

// Versions says what is needed to understand an image. Format is this
// package's; the other two are the caller's, stored and returned unchanged.
type Versions struct {
	Format, ArenaLayout, InstructionSet uint32
}

// Check compares the image's arena layout and instruction set with what the
// caller supports. The error is [ErrVersion] and says which side is older.
func (v Versions) Check(supported Versions) error {
	if err := checkOne("arena layout", v.ArenaLayout, supported.ArenaLayout); err != nil {
		return err
	}
	return checkOne("instruction set", v.InstructionSet, supported.InstructionSet)
}

func checkOne(what string, have, want uint32) error {
	switch {
	case have == want:
		return nil
	case have > want:
		return fmt.Errorf("%w: the image has %s version %d, this program knows up to %d: use a newer program", ErrVersion, what, have, want)
	default:
		return fmt.Errorf("%w: the image has %s version %d, this program needs %d: it was made by an older program", ErrVersion, what, have, want)
	}
}

// ref is a place and the checksum of what must lie there. Block 0 means absent.
type ref struct{ block, crc uint32 }

func getRef(b []byte) ref {
	return ref{binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])}
}

func putRef(b []byte, r ref) {
	binary.LittleEndian.PutUint32(b, r.block)
	binary.LittleEndian.PutUint32(b[4:], r.crc)
}

// tag names what a block of the log holds: level 0 a page, 1 to 3 a node of
// the page map; the id is the first page's number >> (9*level). At level 3
// there are further ids: usage blocks from 1 on, summaries from summaryID on.
type tag uint32

// tagNone is, in a summary, a block that nothing but the records may refer to.
const tagNone tag = 0xffffffff

const (
	usageID   = 1
	summaryID = 1 << 20
)

var topTag = makeTag(topLevel, 0)

func makeTag(level int, id uint64) tag { return tag(uint32(level)<<30 | uint32(id)) }
func usageTag(k int) tag               { return makeTag(topLevel, uint64(usageID+k)) }
func summaryTag(segment int) tag       { return makeTag(topLevel, uint64(summaryID+segment)) }
func (t tag) level() int               { return int(t >> 30) }
func (t tag) id() uint64               { return uint64(t & (1<<30 - 1)) }

// usage tells whether t is a usage block, and which.
func (t tag) usage() (int, bool) {
	ok := t.level() == topLevel && t.id() >= usageID && t.id() < usageID+nodeFan-usageSlot
	return int(t.id()) - usageID, ok
}

func (t tag) summary() (int, bool) {
	ok := t.level() == topLevel && t.id() >= summaryID && t.id() < summaryID+maxSegments
	return int(t.id()) - summaryID, ok
}

// page is the page, or the first one below a node, or NoPage.
func (t tag) page() PageID {
	if t.level() == topLevel && t.id() != 0 {
		return NoPage
	}
	return PageID(t.id() << (nodeShift * t.level()))
}

// parent is the node that refers to t, with the reference's index. The top
// and summaries have none.
func (t tag) parent() (p tag, i int, ok bool) {
	if k, ok := t.usage(); ok {
		return topTag, usageSlot + k, true
	}
	if t.level() == topLevel {
		return 0, 0, false
	}
	p = makeTag(t.level()+1, t.id()>>nodeShift)
	return p, int(t.id() & (nodeFan - 1)), true
}

// child is what reference i of node t refers to.
func (t tag) child(i int) tag {
	if t == topTag && i >= usageSlot {
		return usageTag(i - usageSlot)
	}
	return makeTag(t.level()-1, t.id()<<nodeShift|uint64(i))
}

func (t tag) valid() bool {
	_, usage := t.usage()
	_, summary := t.summary()
	return usage || summary || t == topTag || t.level() < topLevel && t.id() < MaxPages>>(nodeShift*t.level())
}

func blockOffset(b uint32) int64 { return int64(b) * BlockSize }

// superblock is written once, by Create.
type superblock struct {
	readVersion, writeVersion uint32
	segmentBlocks             uint32
	instance                  InstanceID
}

func (s *superblock) encode() []byte {
	b := make([]byte, BlockSize)
	le := binary.LittleEndian
	copy(b, superMagic)
	le.PutUint32(b[8:], s.readVersion)
	le.PutUint32(b[12:], s.writeVersion)
	le.PutUint32(b[16:], BlockSize)
	le.PutUint32(b[20:], s.segmentBlocks)
	copy(b[24:40], s.instance[:])
	le.PutUint32(b[40:], logStart)
	le.PutUint32(b[4092:], checksum(b[:4092]))
	return b
}

// decodeSuper reports a missing magic as ErrNotFormatted, a newer version as
// ErrVersion, anything else wrong as a CorruptError.
func decodeSuper(b []byte, block uint32) (superblock, error) {
	le := binary.LittleEndian
	var s superblock
	bad := func(reason string) error { return &CorruptError{NoPage, blockOffset(block), reason} }
	if string(b[:8]) != superMagic {
		if allZero(b) {
			return s, ErrNotFormatted
		}
		return s, fmt.Errorf("%w (%w)", ErrNotFormatted, bad("superblock has no magic"))
	}
	if le.Uint32(b[4092:]) != checksum(b[:4092]) {
		return s, bad("superblock checksum differs")
	}
	s.readVersion, s.writeVersion = le.Uint32(b[8:]), le.Uint32(b[12:])
	if s.readVersion == 1 {
		return s, fmt.Errorf("%w: the image has format version 1, which no release wrote: make it anew", ErrVersion)
	}
	if s.readVersion > FormatVersion || s.writeVersion > FormatVersion {
		return s, fmt.Errorf("%w: the image has format version %d, this program knows up to %d: use a newer program", ErrVersion, max(s.readVersion, s.writeVersion), FormatVersion)
	}
	if s.readVersion == 0 || s.writeVersion == 0 {
		return s, bad("superblock has version 0")
	}
	s.segmentBlocks = le.Uint32(b[20:])
	copy(s.instance[:], b[24:40])
	if le.Uint32(b[16:]) != BlockSize || le.Uint32(b[40:]) != logStart ||
		s.segmentBlocks < minSegmentBlocks || s.segmentBlocks > maxSegmentBlocks {
		return s, bad("superblock describes an impossible geometry")
	}
	if !allZero(b[44:4092]) {
		return s, bad("superblock has reserved bytes that are not zero")
	}
	return s, nil
}

// root is one committed state.
type root struct {
	epoch    Epoch
	acked    Epoch // newest epoch known durable when this root was written
	instance InstanceID
	versions Versions
	record   ref       // last commit record of the chain
	records  uint32    // length of the chain
	own      uint32    // of them, of this commit
	entries  uint32    // of this commit
	top      ref       // top node of the page map
	tails    [2]uint32 // next block of the log to write, for each head
	segments uint32    // segments ever used (high-water mark)
	pages    uint64    // live pages
	meta     []byte
}

func (r *root) encode() []byte {
	var p [rootPayload]byte
	le := binary.LittleEndian
	copy(p[:], rootMagic)
	le.PutUint64(p[8:], uint64(r.epoch))
	le.PutUint64(p[16:], uint64(r.acked))
	copy(p[24:40], r.instance[:])
	le.PutUint32(p[40:], r.versions.Format)
	le.PutUint32(p[44:], r.versions.ArenaLayout)
	le.PutUint32(p[48:], r.versions.InstructionSet)
	le.PutUint32(p[52:], uint32(len(r.meta)))
	putRef(p[56:], r.record)
	le.PutUint32(p[64:], r.records)
	le.PutUint32(p[68:], r.entries)
	putRef(p[72:], r.top)
	le.PutUint32(p[80:], r.tails[0])
	le.PutUint32(p[84:], r.segments)
	le.PutUint64(p[88:], r.pages)
	le.PutUint32(p[96:], r.tails[1])
	le.PutUint32(p[100:], r.own)
	copy(p[rootMetaOff:], r.meta)
	le.PutUint32(p[rootPayload-4:], checksum(p[:rootPayload-4]))

	b := make([]byte, BlockSize)
	for i := range rootSectors {
		s := b[i*sectorSize : (i+1)*sectorSize]
		copy(s, p[i*sectorPayload:(i+1)*sectorPayload])
		le.PutUint32(s[sectorPayload:], sectorTag(r.epoch, i))
		le.PutUint32(s[sectorPayload+4:], checksum(s[:sectorPayload+4]))
	}
	return b
}

// sectorTag marks each sector of a root slot with its epoch and place, so that
// a torn write (sectors of two epochs, each whole) is told from bit rot.
func sectorTag(e Epoch, i int) uint32 { return uint32(e)<<8 | uint32(i) }

func decodeRoot(p []byte, block uint32) (root, error) {
	le := binary.LittleEndian
	var r root
	bad := func(reason string) error { return &CorruptError{NoPage, blockOffset(block), reason} }
	if string(p[:8]) != rootMagic {
		return r, bad("root has no magic")
	}
	if le.Uint32(p[rootPayload-4:]) != checksum(p[:rootPayload-4]) {
		return r, bad("root checksum differs")
	}
	r.epoch, r.acked = Epoch(le.Uint64(p[8:])), Epoch(le.Uint64(p[16:]))
	copy(r.instance[:], p[24:40])
	r.versions = Versions{le.Uint32(p[40:]), le.Uint32(p[44:]), le.Uint32(p[48:])}
	if r.versions.Format > FormatVersion {
		return r, fmt.Errorf("%w: the root has format version %d, this program knows up to %d: use a newer program", ErrVersion, r.versions.Format, FormatVersion)
	}
	metaLen := le.Uint32(p[52:])
	r.record, r.records, r.entries = getRef(p[56:]), le.Uint32(p[64:]), le.Uint32(p[68:])
	r.top, r.tails[0], r.segments, r.pages = getRef(p[72:]), le.Uint32(p[80:]), le.Uint32(p[84:]), le.Uint64(p[88:])
	r.tails[1], r.own = le.Uint32(p[96:]), le.Uint32(p[100:])
	if metaLen > MaxMeta || r.epoch == 0 || r.epoch > maxEpoch || r.acked >= r.epoch || r.pages > MaxPages ||
		r.own > r.records || r.own == 0 && r.records > 0 || uint64(r.entries) > uint64(r.own)*recordEntries || r.segments > maxSegments {
		return r, bad("root has a field out of range")
	}
	if !allZero(p[104:rootMetaOff]) || !allZero(p[rootMetaOff+metaLen:rootPayload-4]) {
		return r, bad("root has reserved bytes that are not zero")
	}
	r.meta = append([]byte(nil), p[rootMetaOff:rootMetaOff+metaLen]...)
	return r, nil
}

// recordEntry says that since this commit tag is found at ref (nowhere if ref
// is absent), and which block it leaves.
type recordEntry struct {
	tag tag
	ref ref
	old uint32
}

// record is one block of the chain of commit records.
type record struct {
	instance InstanceID
	epoch    Epoch
	index    uint32 // among the records of its commit
	prev     ref    // the record before, of this commit or an earlier one
	carried  uint32 // entries at the beginning that are repeated from the record that this one replaces
	entries  []recordEntry
}

func (r *record) encode(b []byte) {
	le := binary.LittleEndian
	clear(b)
	copy(b, recordMagic)
	le.PutUint32(b[4:], uint32(len(r.entries)))
	le.PutUint64(b[8:], uint64(r.epoch))
	le.PutUint32(b[16:], r.index)
	putRef(b[20:], r.prev)
	le.PutUint32(b[28:], r.carried)
	copy(b[32:48], r.instance[:])
	for i, e := range r.entries {
		o := recordHeader + i*recordEntrySize
		le.PutUint32(b[o:], uint32(e.tag))
		putRef(b[o+4:], e.ref)
		le.PutUint32(b[o+12:], e.old)
	}
	le.PutUint32(b[48:], innerChecksum(b, 48))
}

// innerChecksum is what a block that must be recognised without a reference
// keeps at offset at. It is of another kind than the checksum in references:
// the CRC-32C of anything that contains its CRC-32C says little about the rest.
func innerChecksum(b []byte, at int) uint32 {
	return crc32.Update(crc32.ChecksumIEEE(b[:at]), crc32.IEEETable, b[at+4:BlockSize])
}

// decodeRecord reads a commit record.
func decodeRecord(b []byte, block uint32) (record, error) {
	le := binary.LittleEndian
	bad := func(reason string) error { return &CorruptError{NoPage, blockOffset(block), reason} }
	n := le.Uint32(b[4:])
	if string(b[:4]) != recordMagic || n > recordEntries || le.Uint32(b[28:]) > n || le.Uint32(b[48:]) != innerChecksum(b, 48) {
		return record{}, bad("not a commit record")
	}
	r := record{instance: InstanceID(b[32:48]), epoch: Epoch(le.Uint64(b[8:])), index: le.Uint32(b[16:]), prev: getRef(b[20:]), carried: le.Uint32(b[28:])}
	end := recordHeader + int(n)*recordEntrySize
	if !allZero(b[52:recordHeader]) || !allZero(b[end:BlockSize]) {
		return record{}, bad("commit record has reserved bytes that are not zero")
	}
	r.entries = make([]recordEntry, n)
	for i := range r.entries {
		o := recordHeader + i*recordEntrySize
		r.entries[i] = recordEntry{tag(le.Uint32(b[o:])), getRef(b[o+4:]), le.Uint32(b[o+12:])}
		if !r.entries[i].tag.valid() {
			return record{}, bad("commit record names an impossible page")
		}
	}
	return r, nil
}

// summary lists what was put into a segment: a tag for each block but the last.
type summary struct {
	instance InstanceID
	epoch    Epoch // of the commit that wrote it
	segment  int
	tags     []tag
}

func (s *summary) encode(b []byte) {
	le := binary.LittleEndian
	clear(b)
	copy(b, segMagic)
	le.PutUint32(b[4:], uint32(s.segment))
	le.PutUint32(b[8:], uint32(len(s.tags)))
	le.PutUint64(b[16:], uint64(s.epoch))
	copy(b[24:40], s.instance[:])
	for i, t := range s.tags {
		le.PutUint32(b[summaryHeader+4*i:], uint32(t))
	}
	le.PutUint32(b[12:], innerChecksum(b, 12))
}

func decodeSummary(b []byte, block uint32, want summary) (summary, error) {
	le := binary.LittleEndian
	bad := func(reason string) error { return &CorruptError{NoPage, blockOffset(block), reason} }
	if le.Uint32(b[12:]) != innerChecksum(b, 12) {
		return want, bad("segment summary checksum differs")
	}
	end := summaryHeader + 4*len(want.tags)
	if string(b[:4]) != segMagic || le.Uint32(b[4:]) != uint32(want.segment) || le.Uint32(b[8:]) != uint32(len(want.tags)) ||
		InstanceID(b[24:40]) != want.instance || !allZero(b[40:summaryHeader]) || !allZero(b[end:BlockSize]) {
		return want, bad("not the summary of this segment")
	}
	want.epoch = Epoch(le.Uint64(b[16:]))
	for i := range want.tags {
		want.tags[i] = tag(le.Uint32(b[summaryHeader+4*i:]))
		if want.tags[i] != tagNone && !want.tags[i].valid() {
			return want, bad("segment summary names an impossible page")
		}
	}
	return want, nil
}

func encodeAck(id InstanceID, e Epoch) []byte {
	b := make([]byte, BlockSize)
	copy(b, ackMagic)
	copy(b[8:24], id[:])
	binary.LittleEndian.PutUint64(b[24:], uint64(e))
	binary.LittleEndian.PutUint32(b[sectorSize-4:], checksum(b[:sectorSize-4]))
	return b
}

// decodeAck returns 0 for a mark that was never written.
func decodeAck(b []byte, id InstanceID) (Epoch, error) {
	if allZero(b) {
		return 0, nil
	}
	bad := func(reason string) error { return &CorruptError{NoPage, blockOffset(ackBlock), reason} }
	if string(b[:8]) != ackMagic || binary.LittleEndian.Uint32(b[sectorSize-4:]) != checksum(b[:sectorSize-4]) {
		return 0, bad("acknowledgement mark checksum differs")
	}
	if InstanceID(b[8:24]) != id {
		return 0, bad("acknowledgement mark belongs to another instance")
	}
	if !allZero(b[32:sectorSize-4]) || !allZero(b[sectorSize:]) {
		return 0, bad("acknowledgement mark has reserved bytes that are not zero")
	}
	return Epoch(binary.LittleEndian.Uint64(b[24:])), nil
}

func allZero(b []byte) bool {
	for len(b) >= 8 {
		if binary.LittleEndian.Uint64(b) != 0 {
			return false
		}
		b = b[8:]
	}
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
