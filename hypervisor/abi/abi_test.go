package abi

import (
	"bytes"
	"encoding/binary"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// Layouts are pinned by literal numbers, because other programs know them.
func TestManifestLayout(t *testing.T) {
	m := DefaultManifest()
	m.Devices[1].Capacity, m.Devices[1].BlockSize, m.Devices[1].Attached = 1<<36, 512, true
	b := m.Encode()
	require.Len(t, b, 8+2*104)
	require.Equal(t, uint32(1), binary.LittleEndian.Uint32(b))
	require.Equal(t, uint32(2), binary.LittleEndian.Uint32(b[4:]))
	require.Equal(t, uint32(0x40000000), binary.LittleEndian.Uint32(b[8+68:]))
	e := b[8+104:]
	require.Equal(t, "storage\x00", string(e[:8]))
	require.Equal(t, uint32(1), binary.LittleEndian.Uint32(e[68:]))
	require.Equal(t, uint64(1<<36), binary.LittleEndian.Uint64(e[72:]))
	require.Equal(t, uint16(512), binary.LittleEndian.Uint16(e[80:]))
	require.Equal(t, byte(1), e[96])
	got, err := DecodeManifest(b)
	require.NoError(t, err)
	require.Equal(t, m, got)
}

func TestManifestRules(t *testing.T) {
	long := Device{Name: strings.Repeat("n", ManifestMaxName), Type: DeviceBlock}
	require.NoError(t, NewManifest(long).Validate())
	var many []Device
	for i := range 64 {
		many = append(many, Device{Name: string(rune('A' + i)), Type: DeviceNet})
	}
	require.NoError(t, NewManifest(many[:63]...).Validate())
	for name, m := range map[string]Manifest{
		"empty":       {},
		"too many":    NewManifest(many...),
		"no reserved": {Devices: []Device{{Name: "storage", Type: DeviceBlock}}},
		"twice":       NewManifest(long, long),
		"long name":   NewManifest(Device{Name: long.Name + "n", Type: DeviceBlock}),
		"no name":     NewManifest(Device{Type: DeviceBlock}),
		"zero inside": NewManifest(Device{Name: "a\x00b", Type: DeviceBlock}),
	} {
		require.ErrorIs(t, m.Validate(), ErrManifest, name)
	}
}

func TestNotes(t *testing.T) {
	n := EncodeABINote()
	require.Equal(t, "\x06\x00\x00\x00\x10\x00\x00\x001IBA"[:8], string(n[:8]))
	require.Len(t, n, 36)
	typ, desc, ok, err := DecodeNote(n)
	require.NoError(t, err)
	require.True(t, ok)
	require.Equal(t, NoteABI, typ)
	require.NoError(t, CheckABIDescriptor(desc))
	desc[0] = 2
	require.ErrorIs(t, CheckABIDescriptor(desc), ErrNote)

	m := EncodeManifestNote(DefaultManifest())
	require.Len(t, m, 24+8+2*104)
	typ, desc, _, err = DecodeNote(m)
	require.NoError(t, err)
	require.Equal(t, NoteManifest, typ)
	got, err := DecodeManifestDescriptor(desc)
	require.NoError(t, err)
	require.Equal(t, DefaultManifest(), got)
	for n := range m {
		if _, desc, ok, err := DecodeNote(m[:n]); ok && err == nil {
			_, err := DecodeManifestDescriptor(desc)
			require.Error(t, err)
		}
	}
	require.Len(t, Interpreter, 24)
}

func TestCalls(t *testing.T) {
	b := make([]byte, 64)
	r := Block{Handle: 1, Offset: 2, Data: 3, Len: 4, Ret: ResultEINVAL}
	r.Encode(b)
	require.Equal(t, r, DecodeBlock(b))
	require.Equal(t, uint32(2), binary.LittleEndian.Uint32(b[32:]))
	i := BootInfo{MemSize: 1, KernelEnd: 2, TSCHz: 3, Cmdline: 4, Manifest: 5, HostFeatures: 6, GuestFeatures: 7, NetRing: 8}
	i.Encode(b)
	require.Equal(t, i, DecodeBootInfo(b))
	e := QueueEntry{QueueWrite, 1, 2, 3, 77}
	e.Encode(b)
	require.Equal(t, e, DecodeQueueEntry(b))
	require.Zero(t, SharedSize%PageSize)
	require.LessOrEqual(t, SharedCompletions+4*QueueSlots, SharedEntries)
	require.Equal(t, uint32(8), MessageSpace(0))
	require.Equal(t, uint32(16), MessageSpace(5))
}

func FuzzManifest(f *testing.F) {
	f.Add(DefaultManifest().Encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := DecodeManifest(b)
		if err != nil {
			require.ErrorIs(t, err, ErrManifest)
			return
		}
		again, err := DecodeManifest(m.Encode())
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

func FuzzNote(f *testing.F) {
	f.Add(EncodeABINote())
	f.Add(EncodeManifestNote(DefaultManifest()))
	f.Fuzz(func(t *testing.T, b []byte) {
		typ, desc, ok, err := DecodeNote(b)
		if !ok || err != nil {
			return
		}
		require.LessOrEqual(t, len(desc), len(b))
		switch typ {
		case NoteABI:
			_ = CheckABIDescriptor(desc)
		case NoteManifest:
			if m, err := DecodeManifestDescriptor(desc); err == nil {
				require.True(t, bytes.HasPrefix(EncodeManifestNote(m), b[:4]))
			}
		}
	})
}
