package unikernel

import (
	"bytes"
	"cmp"
	"debug/elf"
	"slices"
	"strings"

	"golang.org/x/arch/x86/x86asm"
)

const (
	// maxSyscall bounds the numbers for which a thunk is made.
	maxSyscall = 512
	thunkSize  = 16
	callSize   = 5
	opCall     = 0xe8
	opJump     = 0xe9
	opMovEAX   = 0xb8
	opNop      = 0x90
	// ownPrefix marks the guest kernel's functions, which stay as they are.
	ownPrefix = "phantomguest."
)

// registerSite stands for `MOVQ BX, DI; SYSCALL`, as in the runtime's
// Syscall6, which has loaded AX before: the thunk repeats the move.
const registerSite = maxSyscall

func (m *image) readSymbols(symbols []elf.Symbol) error {
	lo, hi := m.text.Addr, m.text.Addr+m.text.FileSize
	found := false
	for _, s := range symbols {
		if s.Name == Entry {
			found = s.Value == m.file.Entry
		}
		switch s.Name {
		case syscallEntry:
			m.entry = s.Value
		case idleMemory:
			m.idle = s
		case idleNote:
			m.note = s
		}
		if elf.ST_TYPE(s.Info) == elf.STT_FUNC && s.Size > 0 && s.Value >= lo && s.Value < hi && s.Size <= hi-s.Value {
			m.funcs = append(m.funcs, function{s.Name, s.Value, s.Size})
		}
	}
	if m.entry == 0 {
		return imageErr("the program does not import hypervisor/guest")
	}
	if !found {
		return imageErr("the entry point is not %s; build with -ldflags=-E=%s", Entry, Entry)
	}
	slices.SortFunc(m.funcs, func(a, b function) int { return cmp.Compare(a.addr, b.addr) })
	return nil
}

func (m *image) code(f function) []byte {
	return m.out[m.text.Offset+f.addr-m.text.Addr:][:f.size]
}

// patch replaces what it can and gives the thunks, which will lie at base.
func (m *image) patch(base uint64) (r Report, thunks []byte, err error) {
	where := map[int]uint64{} // thunk by number
	thunkFor := func(n int) uint64 {
		at, ok := where[n]
		if !ok {
			at = base + uint64(len(thunks))
			where[n] = at
			thunks = append(thunks, thunk(n, at, m.entry)...)
		}
		return at
	}
	for _, f := range m.funcs {
		code := m.code(f)
		if strings.HasPrefix(f.name, ownPrefix) || !bytes.Contains(code, []byte{0x0f, 0x05}) {
			continue
		}
		for _, s := range sites(code) {
			if s.number < 0 {
				r.Trapped = append(r.Trapped, f.name)
				continue
			}
			p := code[s.from:s.to]
			target := thunkFor(s.number)
			p[0] = opCall
			le.PutUint32(p[1:], uint32(target-(f.addr+uint64(s.from)+callSize)))
			for i := callSize; i < len(p); i++ {
				p[i] = opNop
			}
			r.Patched = append(r.Patched, f.name)
		}
	}
	return r, thunks, nil
}

// thunk is the code that loads AX, or repeats the move, and jumps to entry.
func thunk(n int, at, entry uint64) []byte {
	b := bytes.Repeat([]byte{opNop}, thunkSize)
	if n == registerSite {
		copy(b, []byte{0x48, 0x89, 0xdf}) // MOVQ BX, DI
		b[3], b[4] = 0x66, opNop
	} else {
		b[0] = opMovEAX
		le.PutUint32(b[1:], uint32(n))
	}
	b[5] = opJump
	le.PutUint32(b[6:], uint32(entry-(at+10)))
	return b
}

// site is a SYSCALL with the instruction before it. number is negative if that
// is not one of the two known forms, or if a branch may lead between the two.
type site struct{ from, to, number int }

func sites(code []byte) (out []site) {
	var prev x86asm.Inst
	prevAt := -1
	targets := map[int]bool{}
	for pc := 0; pc < len(code); {
		in, err := x86asm.Decode(code[pc:], 64)
		if err != nil {
			pc++
			prevAt = -1
			continue
		}
		if rel, ok := in.Args[0].(x86asm.Rel); ok {
			targets[pc+in.Len+int(rel)] = true
		}
		if in.Op == x86asm.SYSCALL {
			s := site{pc, pc + in.Len, -1}
			if n := siteNumber(prev); prevAt >= 0 && n >= 0 && s.to-prevAt >= callSize {
				s.from, s.number = prevAt, n
			}
			out = append(out, s)
		}
		prev, prevAt = in, pc
		pc += in.Len
	}
	for i, s := range out {
		for t := s.from + 1; t < s.to; t++ {
			if targets[t] {
				out[i].number = -1
			}
		}
	}
	return out
}

func siteNumber(in x86asm.Inst) int {
	if in.Op != x86asm.MOV {
		return -1
	}
	dst, _ := in.Args[0].(x86asm.Reg)
	switch src := in.Args[1].(type) {
	case x86asm.Imm:
		if (dst == x86asm.EAX || dst == x86asm.RAX) && src >= 0 && src < maxSyscall {
			return int(src)
		}
	case x86asm.Reg:
		if dst == x86asm.RDI && src == x86asm.RBX {
			return registerSite
		}
	}
	return -1
}
