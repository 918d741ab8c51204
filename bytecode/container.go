package bytecode

import (
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
)

// Container of a module, a .pbc file: a header, a table of sections, the sections. All fixed integers are little-endian.
//
//	offset size
//	 0      8   magic 7f 50 42 43 0d 0a 1a 0a
//	 8      2   read version: a reader that knows less refuses the file
//	10      2   write version: of the writer; not less than the read version
//	12      2   instruction set
//	14      2   number of sections
//	16      8   length of the file
//	24      4   CRC-32C of everything from byte 64 on
//	28      4   CRC-32C of bytes 0 to 27 and 32 to 63
//	32     32   identity: SHA-256 of bytes 0 to 23 and everything from byte 64 on
//	64    16n   table: section number (4), zero (4), length in bytes (8), in ascending order of number
//	then        the sections, in that order, without gaps
//
// Decode checks both CRCs, which find accidents. It doesn't compute the identity; CheckIdentity does.

// Versions of the container.
const (
	ReadVersion  = 1
	WriteVersion = 1
)

const (
	headerSize   = 64
	sectionEntry = 16
	maxSections  = 64
	maxContainer = 1 << 29
)

var magic = [8]byte{0x7f, 'P', 'B', 'C', '\r', '\n', 0x1a, '\n'}

// Sections. Numbers are never used again; a reader passes over numbers that it doesn't know.
const (
	secMeta = 1 + iota
	secStrings
	secTypes
	secGlobals
	secItabs
	secNatives
	secFuncs
	secCode
	secRO
	numSections
)

var sectionNames = [numSections]string{
	"header", "meta", "strings", "types", "globals", "itabs", "natives", "funcs", "code", "ro",
}

// Header is what can be said of a module without decoding it.
type Header struct {
	ReadVersion    uint16
	WriteVersion   uint16
	InstructionSet uint16
	Sections       uint16
	Length         uint64
	Identity       [32]byte // as stated; see CheckIdentity
}

// DecodeHeader reads and checks the fixed header. It looks at the first 64 bytes only and refuses versions that are too new.
func DecodeHeader(data []byte) (Header, error) {
	fail := func(err error, offset int, reason string) (Header, error) {
		return Header{}, &FormatError{Err: err, Section: sectionNames[0], Offset: offset, Reason: reason}
	}
	n := min(len(data), len(magic))
	if n == 0 || [8]byte(append(append([]byte{}, data[:n]...), magic[n:]...)) != magic {
		return fail(ErrNotModule, 0, "")
	}
	if len(data) < headerSize {
		return fail(ErrTruncated, len(data), "")
	}
	h := Header{
		ReadVersion:    binary.LittleEndian.Uint16(data[8:]),
		WriteVersion:   binary.LittleEndian.Uint16(data[10:]),
		InstructionSet: binary.LittleEndian.Uint16(data[12:]),
		Sections:       binary.LittleEndian.Uint16(data[14:]),
		Length:         binary.LittleEndian.Uint64(data[16:]),
		Identity:       [32]byte(data[32:64]),
	}
	switch {
	case binary.LittleEndian.Uint32(data[28:]) != headerCRC(data):
		return fail(ErrChecksum, 28, "")
	case h.ReadVersion > WriteVersion:
		return fail(ErrVersion, 8, "container")
	case h.InstructionSet > InstructionSet:
		return fail(ErrVersion, 12, "instruction set")
	case h.ReadVersion == 0 || h.WriteVersion < h.ReadVersion || h.InstructionSet == 0:
		return fail(ErrMalformed, 8, "impossible versions")
	case h.Sections > maxSections:
		return fail(ErrLimit, 14, "too many sections")
	case h.Length > maxContainer:
		return fail(ErrLimit, 16, "too long")
	}
	return h, nil
}

func headerCRC(data []byte) uint32 {
	table := crc32.MakeTable(crc32.Castagnoli)
	return crc32.Update(crc32.Checksum(data[:28], table), table, data[32:headerSize])
}

func bodyCRC(data []byte) uint32 {
	return crc32.Checksum(data[headerSize:], crc32.MakeTable(crc32.Castagnoli))
}

func identity(data []byte) [32]byte {
	h := sha256.New()
	h.Write(data[:24])
	h.Write(data[headerSize:])
	return [32]byte(h.Sum(nil))
}

// CheckIdentity computes the identity of a module file that Decode accepts and compares it with the one in the header.
func CheckIdentity(data []byte) ([32]byte, error) {
	h, err := DecodeHeader(data)
	if err != nil {
		return [32]byte{}, err
	}
	if uint64(len(data)) != h.Length {
		return [32]byte{}, &FormatError{Err: ErrTruncated, Section: sectionNames[0], Offset: 16}
	}
	if id := identity(data); id != h.Identity {
		return id, &FormatError{Err: ErrChecksum, Section: sectionNames[0], Offset: 32, Reason: "identity"}
	}
	return h.Identity, nil
}

// seal puts header and table before the sections.
func seal(sections *[numSections][]byte) ([]byte, error) {
	total := headerSize + sectionEntry*(numSections-1)
	for _, s := range sections {
		total += len(s)
	}
	if total > maxContainer {
		return nil, &FormatError{Err: ErrLimit, Section: sectionNames[0], Reason: "too long"}
	}
	data := make([]byte, headerSize, total)
	for i, s := range sections[1:] {
		data = binary.LittleEndian.AppendUint64(data, uint64(i+1))
		data = binary.LittleEndian.AppendUint64(data, uint64(len(s)))
	}
	for _, s := range sections[1:] {
		data = append(data, s...)
	}
	copy(data, magic[:])
	binary.LittleEndian.PutUint16(data[8:], ReadVersion)
	binary.LittleEndian.PutUint16(data[10:], WriteVersion)
	binary.LittleEndian.PutUint16(data[12:], InstructionSet)
	binary.LittleEndian.PutUint16(data[14:], numSections-1)
	binary.LittleEndian.PutUint64(data[16:], uint64(total))
	id := identity(data)
	copy(data[32:], id[:])
	binary.LittleEndian.PutUint32(data[24:], bodyCRC(data))
	binary.LittleEndian.PutUint32(data[28:], headerCRC(data))
	return data, nil
}

// unseal checks the container and cuts it into sections.
func unseal(data []byte) (sections [numSections][]byte, err error) {
	fail := func(err error, offset int, reason string) ([numSections][]byte, error) {
		return sections, &FormatError{Err: err, Section: sectionNames[0], Offset: offset, Reason: reason}
	}
	h, err := DecodeHeader(data)
	if err != nil {
		return sections, err
	}
	pos := uint64(headerSize + sectionEntry*int(h.Sections))
	switch {
	case uint64(len(data)) < h.Length:
		return fail(ErrTruncated, len(data), "")
	case uint64(len(data)) > h.Length || pos > h.Length:
		return fail(ErrMalformed, 16, "length of the file")
	case binary.LittleEndian.Uint32(data[24:]) != bodyCRC(data):
		return fail(ErrChecksum, 24, "")
	}
	last := uint64(0)
	for i := range int(h.Sections) {
		entry := headerSize + sectionEntry*i
		number, n := binary.LittleEndian.Uint64(data[entry:]), binary.LittleEndian.Uint64(data[entry+8:])
		if number <= last || number > 0xffffffff || n > h.Length-pos {
			return fail(ErrMalformed, entry, "section table")
		}
		if number >= numSections && h.WriteVersion <= WriteVersion {
			return fail(ErrMalformed, entry, "unknown section")
		}
		if number < numSections {
			sections[number] = data[pos : pos+n : pos+n]
		}
		last = number
		pos += n
	}
	if pos != h.Length {
		return fail(ErrMalformed, headerSize, "bytes after the last section")
	}
	return sections, nil
}
