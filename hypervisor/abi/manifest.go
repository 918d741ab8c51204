package abi

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
)

// ErrManifest is wrapped by every error about a malformed manifest.
var ErrManifest = errors.New("malformed Solo5 manifest")

// DeviceType is the type of a manifest entry.
type DeviceType uint32

// Device types. Entries of a type below DeviceReserved must be attached.
const (
	DeviceBlock    DeviceType = 1
	DeviceNet      DeviceType = 2
	DeviceReserved DeviceType = 0x40000000
)

// Manifest layout: u32 version, u32 entries, then entries of 104 bytes:
//
//	name[68]@0  u32 type@68  union[16]@72  private[8]@88  u8 attached@96
//
// Block: u64 capacity@72, u16 block size@80. Net: mac[6]@72, u16 mtu@78.
const (
	ManifestVersion    = 1
	ManifestHeaderSize = 8
	ManifestEntrySize  = 104
	ManifestMaxEntries = 64
	ManifestMaxName    = 66
	EntryTypeOff       = 68
	EntryCapacityOff   = 72
	EntryBlockSizeOff  = 80
	entryAttachedOff   = 96
	entryNameSize      = 68
)

// Device is one entry of a manifest. Its handle is its index.
type Device struct {
	Name string
	Type DeviceType
	// Capacity in bytes and BlockSize are set by the tender, for block devices.
	Capacity  uint64
	BlockSize uint16
	// MAC and MTU are set by the tender, for network devices.
	MAC      [6]byte
	MTU      uint16
	Attached bool
}

// Manifest lists the devices of a guest. Devices[0] is the reserved entry.
type Manifest struct{ Devices []Device }

// NewManifest gives a manifest of unattached devices, whose handles are 1, 2
// and so on.
func NewManifest(devices ...Device) Manifest {
	return Manifest{Devices: append([]Device{{Type: DeviceReserved}}, devices...)}
}

// DefaultManifest asks for one block device with the name "storage".
func DefaultManifest() Manifest {
	return NewManifest(Device{Name: "storage", Type: DeviceBlock})
}

// Validate checks what an encoded manifest must satisfy: the number of
// entries, the reserved first entry, the length and characters of names, and
// that no name appears twice.
func (m Manifest) Validate() error {
	if n := len(m.Devices); n < 1 || n > ManifestMaxEntries {
		return fmt.Errorf("%w: %d entries, want 1..%d", ErrManifest, n, ManifestMaxEntries)
	}
	if d := m.Devices[0]; d.Type != DeviceReserved || d.Name != "" {
		return fmt.Errorf("%w: entry 0 is not the reserved one", ErrManifest)
	}
	seen := map[string]bool{}
	for i, d := range m.Devices[1:] {
		switch {
		case d.Name == "" || len(d.Name) > ManifestMaxName || strings.ContainsRune(d.Name, 0):
			return fmt.Errorf("%w: entry %d: bad name %q", ErrManifest, i+1, d.Name)
		case seen[d.Name]:
			return fmt.Errorf("%w: entry %d: name %q appears twice", ErrManifest, i+1, d.Name)
		}
		seen[d.Name] = true
	}
	return nil
}

// Size is the encoded size in bytes.
func (m Manifest) Size() int { return ManifestHeaderSize + len(m.Devices)*ManifestEntrySize }

// Encode gives the manifest's bytes.
func (m Manifest) Encode() []byte {
	b := make([]byte, m.Size())
	le.PutUint32(b, ManifestVersion)
	le.PutUint32(b[4:], uint32(len(m.Devices)))
	for i, d := range m.Devices {
		e := b[ManifestHeaderSize+i*ManifestEntrySize:][:ManifestEntrySize]
		copy(e[:entryNameSize-1], d.Name)
		le.PutUint32(e[EntryTypeOff:], uint32(d.Type))
		switch d.Type {
		case DeviceBlock:
			le.PutUint64(e[EntryCapacityOff:], d.Capacity)
			le.PutUint16(e[EntryBlockSizeOff:], d.BlockSize)
		case DeviceNet:
			copy(e[72:78], d.MAC[:])
			le.PutUint16(e[78:], d.MTU)
		}
		if d.Attached {
			e[entryAttachedOff] = 1
		}
	}
	return b
}

// DecodeManifest reads a manifest. Its size must be exact, every name
// zero-terminated, and Validate must pass.
func DecodeManifest(b []byte) (Manifest, error) {
	if len(b) < ManifestHeaderSize {
		return Manifest{}, fmt.Errorf("%w: %d bytes", ErrManifest, len(b))
	}
	if v := le.Uint32(b); v != ManifestVersion {
		return Manifest{}, fmt.Errorf("%w: version %d", ErrManifest, v)
	}
	n := le.Uint32(b[4:])
	if n < 1 || n > ManifestMaxEntries {
		return Manifest{}, fmt.Errorf("%w: too many entries: %d, maximum %d", ErrManifest, n, ManifestMaxEntries-1)
	}
	if want := ManifestHeaderSize + int(n)*ManifestEntrySize; len(b) != want {
		return Manifest{}, fmt.Errorf("%w: %d bytes, want %d", ErrManifest, len(b), want)
	}
	m := Manifest{Devices: make([]Device, n)}
	for i := range m.Devices {
		e := b[ManifestHeaderSize+i*ManifestEntrySize:][:ManifestEntrySize]
		end := bytes.IndexByte(e[:entryNameSize], 0)
		if end < 0 || e[entryNameSize-1] != 0 {
			return Manifest{}, fmt.Errorf("%w: entry %d: name is not terminated", ErrManifest, i)
		}
		d := Device{Name: string(e[:end]), Type: DeviceType(le.Uint32(e[EntryTypeOff:]))}
		switch d.Type {
		case DeviceBlock:
			d.Capacity, d.BlockSize = le.Uint64(e[EntryCapacityOff:]), le.Uint16(e[EntryBlockSizeOff:])
		case DeviceNet:
			copy(d.MAC[:], e[72:78])
			d.MTU = le.Uint16(e[78:])
		}
		d.Attached = e[entryAttachedOff] != 0
		m.Devices[i] = d
	}
	return m, m.Validate()
}
