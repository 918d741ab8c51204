package unikernel

import (
	"bytes"
	"slices"

	"golang.org/x/arch/x86/x86asm"
)

// The audit of the added stack.
//
// A Go function that checks its stack leaves at least stackNosplit bytes below
// its frame for functions that do not check ("nosplit"); the linker verifies
// that no chain of nosplit functions needs more. A patched site needs 8 bytes that
// the linker did not know of, so the audit repeats the linker's computation
// for the chains that reach a patched site:
//
//	need(f) = frame(f) + 8 + max(need of what f calls, 0 for a patched site)
//
// frame(f) is the largest depth that the code of f reaches, which is at least
// what it has at any call. Calls through pointers are not followed; the linker does
// not follow them either.

// stackNosplit is internal/abi.StackNosplitBase for programs without the race
// detector.
const stackNosplit = 800

const wordSize = 8

// auditor memoises need by index of function; -1 stands for "reaches no
// patched site".
type auditor struct {
	img    *image
	limit  uint64 // code from here on is thunks
	needs  map[int]int
	inWork map[int]bool
}

func (m *image) auditStack(r *Report) error {
	a := &auditor{m, m.text.Addr + m.text.FileSize, map[int]int{}, map[int]bool{}}
	for i, f := range m.funcs {
		if checksStack(m.code(f)) {
			continue
		}
		n := a.need(i)
		if n += wordSize; n > stackNosplit { // the call of f itself
			return imageErr("a chain of nosplit functions from %s needs %d bytes of stack, %d are guaranteed", f.name, n, stackNosplit)
		}
		r.StackNeed = max(r.StackNeed, n)
	}
	return nil
}

// checksStack tells whether a function starts with the comparison of SP, or of
// an address below it, with the g's stack guard: CMPQ x, 16(R14).
func checksStack(code []byte) bool {
	head := code[:min(len(code), 32)]
	return bytes.Contains(head, []byte{0x49, 0x3b, 0x66, 0x10}) || // SP
		bytes.Contains(head, []byte{0x4d, 0x3b, 0x66, 0x10}) || // R12
		bytes.Contains(head, []byte{0x4d, 0x3b, 0x6e, 0x10}) // R13
}

// need computes need(f), or -1 - wordSize if f reaches no patched site.
func (a *auditor) need(i int) int {
	const none = -1 - wordSize
	if n, ok := a.needs[i]; ok {
		return n
	}
	if a.inWork[i] {
		return none // a cycle adds nothing that the linker would have accepted
	}
	a.inWork[i] = true
	f := a.img.funcs[i]
	frame, targets := scan(a.img.code(f), f.addr)
	n := none
	for _, t := range targets {
		if t >= a.limit {
			n = max(n, frame+wordSize)
			continue
		}
		k, ok := a.find(t)
		if !ok || k == i || checksStack(a.img.code(a.img.funcs[k])) {
			continue
		}
		if inner := a.need(k); inner >= 0 {
			n = max(n, frame+wordSize+inner)
		}
	}
	a.needs[i] = n
	return n
}

func (a *auditor) find(addr uint64) (int, bool) {
	return slices.BinarySearchFunc(a.img.funcs, addr, func(f function, t uint64) int {
		switch {
		case f.addr < t:
			return -1
		case f.addr > t:
			return 1
		}
		return 0
	})
}

// scan gives the largest stack depth of a function, counted from its return
// address, and where its calls and its jumps to elsewhere lead.
func scan(code []byte, addr uint64) (frame int, targets []uint64) {
	depth := 0
	for pc := 0; pc < len(code); {
		in, err := x86asm.Decode(code[pc:], 64)
		if err != nil {
			pc++
			continue
		}
		pc += in.Len
		switch in.Op {
		case x86asm.CALL, x86asm.JMP:
			if rel, ok := in.Args[0].(x86asm.Rel); ok {
				t := addr + uint64(int64(pc)+int64(rel))
				if in.Op == x86asm.CALL || t < addr || t >= addr+uint64(len(code)) {
					targets = append(targets, t)
				}
			}
		case x86asm.PUSH:
			depth += wordSize
		case x86asm.POP:
			depth -= wordSize
		case x86asm.SUB, x86asm.ADD:
			if n, ok := in.Args[1].(x86asm.Imm); ok && in.Args[0] == x86asm.RSP {
				if in.Op == x86asm.SUB {
					depth += int(n)
				} else {
					depth -= int(n)
				}
			}
		case x86asm.RET:
			depth = frame // what follows is reached by a branch from inside
		}
		frame = max(frame, depth)
	}
	return frame, targets
}
