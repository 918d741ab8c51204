package tender

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/hypervisor/abi"
)

// Where the test kernels' segments lie.
const (
	codeAddr = 0x100000
	dataAddr = 0x200000
	dataSize = 0x2000
	testMem  = 8 << 20
)

// image is an ELF file in the making. Tests change one thing and see it
// refused.
type image struct {
	header elf.Header64
	progs  []elf.Prog64
	bodies [][]byte
}

func newImage(code, data []byte, m abi.Manifest) *image {
	im := &image{header: elf.Header64{
		Type: uint16(elf.ET_EXEC), Machine: uint16(elf.EM_X86_64), Version: 1,
		Entry: codeAddr, Ehsize: ehSize, Phentsize: phSize,
	}}
	copy(im.header.Ident[:], []byte{0x7f, 'E', 'L', 'F', 2, 1, 1})
	im.add(elf.PT_LOAD, elf.PF_R|elf.PF_X, codeAddr, code)
	im.add(elf.PT_LOAD, elf.PF_R|elf.PF_W, dataAddr, append(data, make([]byte, dataSize-len(data))...))
	im.add(elf.PT_NOTE, elf.PF_R, 0, abi.EncodeABINote())
	im.add(elf.PT_NOTE, elf.PF_R, 0, abi.EncodeManifestNote(m))
	return im
}

func (im *image) add(t elf.ProgType, f elf.ProgFlag, addr uint64, body []byte) {
	n := uint64(len(body))
	im.progs = append(im.progs, elf.Prog64{Type: uint32(t), Flags: uint32(f), Vaddr: addr, Filesz: n, Memsz: n, Align: 0x1000})
	im.bodies = append(im.bodies, body)
}

func (im *image) encode() []byte {
	h := im.header
	h.Phoff, h.Phnum = ehSize, uint16(len(im.progs))
	off := ehSize + phSize*uint64(len(im.progs))
	var head, body bytes.Buffer
	for i, p := range im.progs {
		if p.Off == 0 {
			p.Off = off + uint64(body.Len())
		}
		body.Write(im.bodies[i])
		_ = binary.Write(&head, binary.LittleEndian, p)
	}
	var out bytes.Buffer
	_ = binary.Write(&out, binary.LittleEndian, h)
	out.Write(head.Bytes())
	out.Write(body.Bytes())
	return out.Bytes()
}

func TestKernelRules(t *testing.T) {
	valid := func() *image { return newImage([]byte{0xf4}, nil, abi.DefaultManifest()) }
	k, err := parseKernel(valid().encode(), testMem)
	require.NoError(t, err)
	require.Equal(t, uint64(codeAddr), k.entry)
	require.Equal(t, uint64(dataAddr+dataSize), k.end)
	require.Len(t, k.manifest.Devices, 2)

	for name, change := range map[string]func(im *image){
		"magic":              func(im *image) { im.header.Ident[0] = 0 },
		"32 bit":             func(im *image) { im.header.Ident[4] = 1 },
		"big endian":         func(im *image) { im.header.Ident[5] = 2 },
		"ident version":      func(im *image) { im.header.Ident[6] = 0 },
		"shared object":      func(im *image) { im.header.Type = uint16(elf.ET_DYN) },
		"machine":            func(im *image) { im.header.Machine = uint16(elf.EM_386) },
		"version":            func(im *image) { im.header.Version = 2 },
		"header size":        func(im *image) { im.header.Ehsize = 52 },
		"entry size":         func(im *image) { im.header.Phentsize = 32 },
		"low entry":          func(im *image) { im.header.Entry = codeAddr - 1 },
		"high entry":         func(im *image) { im.header.Entry = testMem },
		"low segment":        func(im *image) { im.progs[0].Vaddr = 0x1000 },
		"high segment":       func(im *image) { im.progs[1].Vaddr = testMem },
		"wrapping segment":   func(im *image) { im.progs[1].Memsz = ^uint64(0) - dataAddr + 2 },
		"overlap":            func(im *image) { im.progs[1].Vaddr = codeAddr + 0x800 },
		"order":              func(im *image) { im.progs[0].Vaddr, im.progs[1].Vaddr = dataAddr, codeAddr },
		"alignment":          func(im *image) { im.progs[0].Align = 3 },
		"zero alignment":     func(im *image) { im.progs[0].Align = 0 },
		"memory below file":  func(im *image) { im.progs[1].Memsz = 1 },
		"writable code":      func(im *image) { im.progs[0].Flags |= uint32(elf.PF_W) },
		"outside the file":   func(im *image) { im.progs[0].Off = 1 << 40 },
		"size past the file": func(im *image) { im.progs[0].Filesz = 1 << 40 },
		"no load":            func(im *image) { im.progs[0].Type, im.progs[1].Type = 0, 0 },
		"no ABI note":        func(im *image) { im.progs[2].Type = 0 },
		"no manifest":        func(im *image) { im.progs[3].Type = 0 },
		"short note":         func(im *image) { im.progs[2].Filesz -= 4 },
		"foreign target":     func(im *image) { im.bodies[2][20] = 2 },
		"foreign version":    func(im *image) { im.bodies[2][24] = 3 },
		"attached device":    func(im *image) { im.bodies[3][24+8+104+96] = 1 },
		"name without end":   func(im *image) { copy(im.bodies[3][24+8+104:], bytes.Repeat([]byte{'x'}, 68)) },
		"manifest size":      func(im *image) { im.bodies[3][24+4] = 3 },
	} {
		t.Run(name, func(t *testing.T) {
			im := valid()
			change(im)
			_, err := parseKernel(im.encode(), testMem)
			require.ErrorIs(t, err, ErrKernel)
		})
	}
}

func TestTruncatedKernel(t *testing.T) {
	b := newImage([]byte{0xf4}, nil, abi.DefaultManifest()).encode()
	for n := range len(b) - 1 {
		_, err := parseKernel(b[:n], testMem)
		require.ErrorIs(t, err, ErrKernel, "%d bytes", n)
	}
}

func TestSkippedBSS(t *testing.T) {
	im := newImage([]byte{0xf4}, nil, abi.NewManifest())
	im.progs = append(im.progs, elf.Prog64{Type: uint32(elf.PT_LOAD), Flags: uint32(elf.PF_R | elf.PF_W), Vaddr: 0x300000, Memsz: 1 << 40, Align: 1})
	im.bodies = append(im.bodies, nil)
	k, err := parseKernel(im.encode(), testMem)
	require.NoError(t, err)
	require.Equal(t, uint64(dataAddr+dataSize), k.end)
}

func FuzzKernel(f *testing.F) {
	small := newImage([]byte{0xf4}, nil, abi.DefaultManifest())
	small.bodies[1] = []byte("data")
	small.progs[1].Filesz, small.progs[1].Memsz = 4, 4
	f.Add(small.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		k, err := parseKernel(b, testMem)
		if err != nil {
			require.ErrorIs(t, err, ErrKernel)
			return
		}
		for _, s := range k.segments {
			require.LessOrEqual(t, s.end, uint64(testMem))
			require.LessOrEqual(t, s.addr+uint64(len(s.data)), s.end)
		}
	})
}

func TestConfig(t *testing.T) {
	kernel := newImage([]byte{0xf4}, nil, abi.DefaultManifest()).encode()
	disk := BlockAttach{Name: "storage", Dev: disk(4096)}
	for name, cfg := range map[string]Config{
		"device missing":   {Kernel: kernel},
		"unknown device":   {Kernel: kernel, Blocks: []BlockAttach{disk, {Name: "other", Dev: disk.Dev}}},
		"attached twice":   {Kernel: kernel, Blocks: []BlockAttach{disk, disk}},
		"sector size":      {Kernel: kernel, Blocks: []BlockAttach{{Name: "storage", Dev: disk.Dev, SectorSize: 1000}}},
		"unaligned size":   {Kernel: kernel, Blocks: []BlockAttach{{Name: "storage", Dev: diskOf(1000)}}},
		"too much memory":  {Kernel: kernel, Blocks: []BlockAttach{disk}, MemBytes: 5 << 30},
		"too little":       {Kernel: kernel, Blocks: []BlockAttach{disk}, MemBytes: 1 << 20},
		"long command":     {Kernel: kernel, Blocks: []BlockAttach{disk}, Cmdline: []string{string(make([]byte, 8192))}},
		"zero in argument": {Kernel: kernel, Blocks: []BlockAttach{disk}, Cmdline: []string{"a\x00b"}},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := New(cfg)
			require.ErrorIs(t, err, ErrConfig)
		})
	}
	_, err := New(Config{Kernel: []byte("#!/bin/sh"), Blocks: []BlockAttach{disk}})
	require.ErrorIs(t, err, ErrKernel)
}
