// Package unikernel turns a statically linked Go program that imports
// hypervisor/guest into a Solo5 unikernel.
//
// Link works on the linked ELF file:
//
//  1. The three PT_LOAD segments that the Go linker makes satisfy the rules of
//     a Solo5 tender and stay where they are. The notes and PT_INTERP are
//     appended to the file and a new program header table replaces the old.
//  2. Each `MOVL $n, AX; SYSCALL` becomes `CALL thunk` (patch.go). The thunks
//     are a new segment behind the image; each loads n and jumps to the
//     guest kernel. A SYSCALL that cannot be patched still works, as a trap.
//  3. A CALL needs 8 bytes of stack that the linker's check of nosplit
//     functions did not count; they are audited (stack.go).
//
// Build does it all from a package path.
package unikernel

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"

	"phantomvm/hypervisor/abi"
)

// Entry is the entry point of a unikernel, for the Go linker's -E flag.
const Entry = "phantomguest.entry"

// syscallEntry is where the thunks jump to.
const syscallEntry = "phantomguest.syscall"

// idleMemory is a variable of 32 MiB that nothing touches but for FIPS mode. idleNote is where the guest's
// kernel looks for such memory: address and size.
const (
	idleMemory = "crypto/internal/fips140/drbg.memory"
	idleNote   = "phantomvm/hypervisor/guest/internal/kern.idleRange"
)

// ErrImage is wrapped by every error about the input of Link.
var ErrImage = errors.New("not a Go program that can become a unikernel")

// Report tells what Link did.
type Report struct {
	Patched []string // functions in which a SYSCALL became a CALL, once per site
	Trapped []string // functions in which a SYSCALL was left
	// StackNeed is the largest stack use found of a chain of nosplit functions
	// that ends at a patched site, the added 8 bytes included.
	StackNeed int
	Idle      uint64 // bytes of the image that the guest may use as free memory
}

var le = binary.LittleEndian

// image is a parsed input and the output in the making.
type image struct {
	file  *elf.File
	out   []byte
	text  *elf.Section
	funcs []function // sorted by address
	entry uint64     // address of syscallEntry
	idle  elf.Symbol // what idleMemory names, if the program has it
	note  elf.Symbol // what idleNote names
}

type function struct {
	name       string
	addr, size uint64
}

// Link makes a unikernel of the linked program in and the devices in manifest.
// in must have its symbol table.
func Link(in []byte, manifest abi.Manifest) ([]byte, Report, error) {
	if err := manifest.Validate(); err != nil {
		return nil, Report{}, err
	}
	img, err := open(in)
	if err != nil {
		return nil, Report{}, err
	}
	loads, end, err := img.loads()
	if err != nil {
		return nil, Report{}, err
	}
	report, thunks, err := img.patch(end)
	if err != nil {
		return nil, Report{}, err
	}
	if err := img.auditStack(&report); err != nil {
		return nil, Report{}, err
	}
	report.Idle = img.noteIdle()
	headers := []elf.Prog64{}
	add := func(t elf.ProgType, align uint64, b []byte) {
		off := img.append(b, align)
		n := uint64(len(b))
		headers = append(headers, elf.Prog64{Type: uint32(t), Flags: uint32(elf.PF_R), Off: off, Filesz: n, Memsz: n, Align: align})
	}
	add(elf.PT_INTERP, 8, []byte(abi.Interpreter))
	add(elf.PT_NOTE, 4, abi.EncodeABINote())
	add(elf.PT_NOTE, 8, abi.EncodeManifestNote(manifest))
	headers = append(headers, loads...)
	if len(thunks) > 0 {
		off, n := img.append(thunks, abi.PageSize), uint64(len(thunks))
		headers = append(headers, elf.Prog64{
			Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_X), Off: off,
			Vaddr: end, Paddr: end, Filesz: n, Memsz: n, Align: abi.PageSize,
		})
	}
	var table bytes.Buffer
	if err := binary.Write(&table, le, headers); err != nil {
		return nil, Report{}, fmt.Errorf("program headers: %w", err)
	}
	phoff := img.append(table.Bytes(), 8)
	le.PutUint64(img.out[32:], phoff)
	le.PutUint16(img.out[56:], uint16(len(headers)))
	return img.out, report, nil
}

func (m *image) append(b []byte, align uint64) (off uint64) {
	for uint64(len(m.out))%align != 0 {
		m.out = append(m.out, 0)
	}
	off = uint64(len(m.out))
	m.out = append(m.out, b...)
	return off
}

func imageErr(format string, args ...any) error {
	return fmt.Errorf("%w: %w", ErrImage, fmt.Errorf(format, args...))
}

func open(in []byte) (*image, error) {
	f, err := elf.NewFile(bytes.NewReader(in))
	if err != nil {
		return nil, imageErr("%w", err)
	}
	if f.Class != elf.ELFCLASS64 || f.Machine != elf.EM_X86_64 || f.Type != elf.ET_EXEC {
		return nil, imageErr("not a static x86-64 executable; build with CGO_ENABLED=0 GOOS=linux GOARCH=amd64 and no -buildmode=pie")
	}
	m := &image{file: f, out: bytes.Clone(in), text: f.Section(".text")}
	if m.text == nil || m.text.Type != elf.SHT_PROGBITS || m.text.Offset > uint64(len(in)) || m.text.FileSize > uint64(len(in))-m.text.Offset {
		return nil, imageErr("no .text section")
	}
	symbols, err := f.Symbols()
	if err != nil {
		return nil, imageErr("no symbol table, which the link step needs (no -ldflags=-s): %w", err)
	}
	return m, m.readSymbols(symbols)
}

// loads gives the PT_LOADs and the page-aligned end of the last.
func (m *image) loads() (out []elf.Prog64, end uint64, err error) {
	for _, p := range m.file.Progs {
		switch {
		case p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC:
			return nil, 0, imageErr("dynamically linked; build with CGO_ENABLED=0")
		case p.Type != elf.PT_LOAD:
			continue
		case p.Flags&elf.PF_W != 0 && p.Flags&elf.PF_X != 0:
			return nil, 0, imageErr("segment at %#x is writable and executable", p.Vaddr)
		case p.Vaddr < max(end, abi.MinLoadAddr) || p.Vaddr+p.Memsz < p.Vaddr || p.Vaddr+p.Memsz > abi.MaxMemory:
			return nil, 0, imageErr("segment at %#x of %d bytes is out of place", p.Vaddr, p.Memsz)
		}
		out = append(out, elf.Prog64{
			Type: uint32(p.Type), Flags: uint32(p.Flags), Off: p.Off, Vaddr: p.Vaddr, Paddr: p.Paddr,
			Filesz: p.Filesz, Memsz: p.Memsz, Align: p.Align,
		})
		end = (p.Vaddr + p.Memsz + abi.PageSize - 1) &^ (abi.PageSize - 1)
	}
	if len(out) == 0 {
		return nil, 0, imageErr("nothing to load")
	}
	return out, end, nil
}

// noteIdle tells the guest's kernel which memory of the image is idle, and gives its size.
func (m *image) noteIdle() uint64 {
	if m.idle.Size == 0 || m.note.Size != 16 {
		return 0
	}
	for _, p := range m.file.Progs {
		if p.Type == elf.PT_LOAD && m.note.Value >= p.Vaddr && m.note.Value+16 <= p.Vaddr+p.Filesz {
			at := m.out[p.Off+m.note.Value-p.Vaddr:]
			le.PutUint64(at, m.idle.Value)
			le.PutUint64(at[8:], m.idle.Size)
			return m.idle.Size
		}
	}
	return 0
}
