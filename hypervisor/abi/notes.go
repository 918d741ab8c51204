package abi

import (
	"errors"
	"fmt"
)

// ErrNote is wrapped by every error about a malformed Solo5 ELF note.
var ErrNote = errors.New("malformed Solo5 note")

// NoteType is the type of an ELF note with the owner "Solo5".
type NoteType uint32

// Solo5 notes: the ABI and the manifest.
const (
	NoteABI      NoteType = 0x31494241
	NoteManifest NoteType = 0x3154464d
)

// A note is u32 namesz = 6, u32 descsz, u32 type, "Solo5\0" padded to 8 bytes,
// and the descriptor. The manifest's descriptor starts with 4 bytes of
// padding, so that the manifest is aligned to 8.
const (
	noteHeaderSize  = 20
	noteManifestPad = 4
	noteABISize     = 16
	noteMaxManifest = noteManifestPad + ManifestHeaderSize + ManifestMaxEntries*ManifestEntrySize
	noteOwner       = "Solo5\x00\x00\x00"
)

// Target and version of the ABI note that an hvt tender accepts.
const (
	TargetHVT  = 1
	ABIVersion = 2
)

// Interpreter is the content of PT_INTERP, 24 bytes: executing the file as an
// ordinary program then fails at once.
const Interpreter = "/nonexistent/solo5/\x00\x00\x00\x00\x00"

func encodeNote(t NoteType, desc []byte) []byte {
	b := make([]byte, noteHeaderSize, noteHeaderSize+len(desc))
	le.PutUint32(b, 6)
	le.PutUint32(b[4:], uint32(len(desc)))
	le.PutUint32(b[8:], uint32(t))
	copy(b[12:], noteOwner)
	return append(b, desc...)
}

// EncodeABINote gives the note that says: hvt, ABI version 2. Its segment is
// aligned to 4.
func EncodeABINote() []byte {
	d := make([]byte, noteABISize)
	le.PutUint32(d, TargetHVT)
	le.PutUint32(d[4:], ABIVersion)
	return encodeNote(NoteABI, d)
}

// EncodeManifestNote gives the note that carries m. Its segment is aligned
// to 8.
func EncodeManifestNote(m Manifest) []byte {
	return encodeNote(NoteManifest, append(make([]byte, noteManifestPad), m.Encode()...))
}

// DecodeNote splits the first note of a PT_NOTE segment. ok is false when the
// note is not Solo5's; err is set when it is but does not fit into b.
func DecodeNote(b []byte) (t NoteType, desc []byte, ok bool, err error) {
	if len(b) < noteHeaderSize || le.Uint32(b) != 6 || string(b[12:noteHeaderSize]) != noteOwner {
		return 0, nil, false, nil
	}
	t, n := NoteType(le.Uint32(b[8:])), uint64(le.Uint32(b[4:]))
	if n > uint64(len(b)-noteHeaderSize) {
		return t, nil, true, fmt.Errorf("%w: type %#x: descriptor of %d bytes in a segment of %d", ErrNote, uint32(t), n, len(b))
	}
	return t, b[noteHeaderSize:][:n], true, nil
}

// CheckABIDescriptor checks the descriptor of a NoteABI.
func CheckABIDescriptor(desc []byte) error {
	if len(desc) < noteABISize {
		return fmt.Errorf("%w: ABI descriptor of %d bytes: note does not fall within valid size", ErrNote, len(desc))
	}
	if target, version := le.Uint32(desc), le.Uint32(desc[4:]); target != TargetHVT || version != ABIVersion {
		return fmt.Errorf("%w: target %d, ABI version %d; only target %d (hvt), version %d is supported", ErrNote, target, version, TargetHVT, ABIVersion)
	}
	return nil
}

// DecodeManifestDescriptor reads the descriptor of a NoteManifest.
func DecodeManifestDescriptor(desc []byte) (Manifest, error) {
	if len(desc) < noteManifestPad+ManifestHeaderSize || len(desc) > noteMaxManifest {
		return Manifest{}, fmt.Errorf("%w: manifest descriptor of %d bytes: note does not fall within valid size", ErrNote, len(desc))
	}
	return DecodeManifest(desc[noteManifestPad:])
}
