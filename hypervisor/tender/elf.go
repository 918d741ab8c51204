package tender

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"

	"phantomvm/hypervisor/abi"
)

// kernel is a checked image.
type kernel struct {
	entry    uint64
	end      uint64 // aligned end of the last segment
	segments []segment
	manifest abi.Manifest
}

type segment struct {
	addr, end uint64 // end is aligned to a page
	data      []byte
	write     bool
}

const (
	ehSize = 64
	phSize = 56
)

// ReadKernel reads an image from a file.
func ReadKernel(path string) ([]byte, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("kernel: %w", err)
	}
	return b, nil
}

func kernelErr(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrKernel, fmt.Errorf(format, args...))
}

// parseKernel applies the rules of Solo5's loader to an image of which nothing
// is trusted.
func parseKernel(b []byte, memSize uint64) (*kernel, error) {
	le := binary.LittleEndian
	if len(b) < ehSize || string(b[:4]) != elf.ELFMAG {
		return nil, kernelErr("no ELF header")
	}
	switch {
	case elf.Class(b[4]) != elf.ELFCLASS64 || elf.Data(b[5]) != elf.ELFDATA2LSB || b[6] != 1:
		return nil, kernelErr("not a 64-bit little-endian ELF of version 1")
	case elf.Type(le.Uint16(b[16:])) != elf.ET_EXEC || elf.Machine(le.Uint16(b[18:])) != elf.EM_X86_64:
		return nil, kernelErr("not an executable for x86-64")
	case le.Uint32(b[20:]) != 1 || le.Uint16(b[52:]) != ehSize || le.Uint16(b[54:]) != phSize:
		return nil, kernelErr("unexpected header sizes or version")
	}
	k := &kernel{entry: le.Uint64(b[24:])}
	if k.entry < abi.MinLoadAddr || k.entry >= memSize {
		return nil, kernelErr("entry point %#x outside the guest's memory", k.entry)
	}
	phoff, phnum := le.Uint64(b[32:]), uint64(le.Uint16(b[56:]))
	if phnum == 0 || phoff > uint64(len(b)) || phnum*phSize > uint64(len(b))-phoff {
		return nil, kernelErr("program headers outside the file")
	}
	notes := notes{}
	for i := range phnum {
		ph := b[phoff+i*phSize:][:phSize]
		var err error
		switch elf.ProgType(le.Uint32(ph)) {
		case elf.PT_LOAD:
			err = k.addSegment(b, ph, memSize)
		case elf.PT_NOTE:
			err = notes.add(b, ph)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(k.segments) == 0 {
		return nil, kernelErr("nothing to load")
	}
	return k, notes.check(k)
}

func part(b []byte, off, size uint64) ([]byte, error) {
	if off > uint64(len(b)) || size > uint64(len(b))-off {
		return nil, kernelErr("a segment lies outside the file: %w", io.ErrUnexpectedEOF)
	}
	return b[off:][:size], nil
}

func (k *kernel) addSegment(b, ph []byte, memSize uint64) error {
	le := binary.LittleEndian
	flags := elf.ProgFlag(le.Uint32(ph[4:]))
	off, addr := le.Uint64(ph[8:]), le.Uint64(ph[16:])
	filesz, memsz, align := le.Uint64(ph[32:]), le.Uint64(ph[40:]), le.Uint64(ph[48:])
	if filesz == 0 {
		return nil // guest memory is zero already
	}
	data, err := part(b, off, filesz)
	if err != nil {
		return err
	}
	low := uint64(abi.MinLoadAddr)
	if n := len(k.segments); n > 0 {
		low = k.segments[n-1].end
	}
	switch {
	case addr < low:
		return kernelErr("segment at %#x overlaps another, or is not in order, or lies below %#x", addr, uint64(abi.MinLoadAddr))
	case align == 0 || align&(align-1) != 0:
		return kernelErr("segment at %#x: alignment %d", addr, align)
	case memsz < filesz:
		return kernelErr("segment at %#x is smaller in memory than in the file", addr)
	case addr >= memSize || memsz > memSize-addr:
		return kernelErr("segment at %#x of %d bytes: the guest has %d bytes of memory", addr, memsz, memSize)
	case flags&elf.PF_W != 0 && flags&elf.PF_X != 0:
		return kernelErr("segment at %#x is both writable and executable", addr)
	}
	end := (addr + memsz + abi.PageSize - 1) &^ (abi.PageSize - 1)
	k.segments = append(k.segments, segment{addr, end, data, flags&elf.PF_W != 0})
	k.end = end
	return nil
}

// notes collects the first note of each Solo5 type.
type notes map[abi.NoteType][]byte

func (n notes) add(b, ph []byte) error {
	body, err := part(b, binary.LittleEndian.Uint64(ph[8:]), binary.LittleEndian.Uint64(ph[32:]))
	if err != nil {
		return err
	}
	t, desc, ok, err := abi.DecodeNote(body)
	if err != nil {
		return kernelErr("%w", err)
	}
	if _, seen := n[t]; ok && !seen {
		n[t] = bytes.Clone(desc)
	}
	return nil
}

func (n notes) check(k *kernel) error {
	desc, ok := n[abi.NoteABI]
	if !ok {
		return kernelErr("no Solo5 ABI note")
	}
	if err := abi.CheckABIDescriptor(desc); err != nil {
		return kernelErr("%w", err)
	}
	desc, ok = n[abi.NoteManifest]
	if !ok {
		return kernelErr("no Solo5 manifest note")
	}
	m, err := abi.DecodeManifestDescriptor(desc)
	if err != nil {
		return kernelErr("%w", err)
	}
	for _, d := range m.Devices {
		if d.Attached {
			return kernelErr("%w", errors.Join(abi.ErrManifest, errors.New("a device is attached already")))
		}
	}
	k.manifest = m
	return nil
}
