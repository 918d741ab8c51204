package objectvm

import (
	"fmt"
	"sort"

	"phantomvm/bytecode"
)

// The CODE region:
//
//	0      stubs: three words each, see below
//	4 KiB  functions by FuncID: two words of header, then the code
//
// Header word 0: frame bytes | results<<32 | args<<48, the upper half as in an ExtSig word; word 1: FuncID | flags<<32.
// The call instructions read frame size and signature there.
//
// A stub is what a frame returns to when no instruction called it. It looks like a call instruction followed by the VM's own
// instruction at the return address, so that RET needs no special case: the word at return pc - 16 says in field b where results go
// and in c how large the frame below is. That frame is a trampoline: three header slots (pc and frame to go on with, one
// word of its own), then data and results.

// stub numbers; the VM's own instructions are opStub + number.
type stub uint8

const (
	stubNone   stub = iota // not a stub: an ordinary return address
	stubChunk8             // callee in another stack chunk, up to 5 results
	stubChunk64
	stubChunkMax
	stubBottom // a goroutine's first function
	stubTrap   // Module.Trap called by a faulting instruction
	stubPanic  // deferred call made by a panic or Goexit
	stubCount
)

const (
	opStub    = 247 // stubs have the numbers behind it, which bytecode.Table leaves free
	stubWords = 3
)

// Slots of trampolines and of what they hold behind the header.
const (
	trampPC   = 0
	trampFP   = 1
	trampInfo = 2
	trampData = 3
)

var stubFrames = [stubCount]struct{ slots, results uint16 }{
	stubChunk8:   {8, 3},
	stubChunk64:  {64, 3},
	stubChunkMax: {bytecode.MaxFrame, 3},
	stubBottom:   {8, 3},
	stubTrap:     {8, 3},
	stubPanic:    {8, 3},
}

// stubRet is the return address of a stub.
func stubRet(s stub) Addr { return CodeBase + Addr(s)*stubWords*8 + 16 }

// stubOf says which stub a return address belongs to.
func stubOf(ret Addr) stub {
	if ret >= CodeBase+PageSize {
		return stubNone
	}
	s := (ret - CodeBase) / (stubWords * 8)
	if s == 0 || s >= Addr(stubCount) || stubRet(stub(s)) != ret {
		return stubBottom // nothing else lies there; stacks are checked before they are walked
	}
	return stub(s)
}

// codeMap finds functions by code address.
type codeMap struct {
	base  []Addr // by FuncID: address of the header
	end   Addr
	flags []uint8 // by opcode: what the slow path needs to know
}

const headerBytes = 16

// find returns the function whose code contains pc, 0 if there is none.
func (c *codeMap) find(pc Addr) bytecode.FuncID {
	if pc < CodeBase+PageSize || pc >= c.end {
		return 0
	}
	i := sort.Search(len(c.base)-1, func(i int) bool { return c.base[i+1] > pc })
	return bytecode.FuncID(i)
}

func (c *codeMap) entry(f bytecode.FuncID) Addr { return c.base[f] + headerBytes }

// index is pc as a word index into the function's code.
func (c *codeMap) index(f bytecode.FuncID, pc Addr) uint32 { return uint32((pc - c.entry(f)) / 8) }

// layoutCode writes stubs and functions to the CODE region with extension words resolved.
// Precondition: the module is verified, vm.ro is built.
func (vm *VM) layoutCode() error {
	for s := stubChunk8; s < stubCount; s++ {
		a := stubRet(s)
		st64(a-16, bytecode.Word(bytecode.OpNOP, 0, 0, stubFrames[s].results, stubFrames[s].slots))
		st64(a, bytecode.Word(bytecode.Op(opStub+s), 0, 0, 0, 0))
	}
	m := vm.mod
	vm.code.base = make([]Addr, len(m.Funcs))
	at := CodeBase + PageSize
	for id := 1; id < len(m.Funcs); id++ {
		vm.code.base[id] = at
		at += headerBytes + Addr(len(m.Funcs[id].Code))*8
		if at > CodeBase+CodeSize {
			return fmt.Errorf("code of %d functions does not fit", len(m.Funcs))
		}
	}
	vm.code.base[0] = CodeBase + PageSize
	vm.code.end = at
	if len(m.Funcs)*8 > funcTabSize {
		return fmt.Errorf("%d functions: too many", len(m.Funcs))
	}
	st64(CodeBase+PageSize-16, 0) // the header of FuncID 0 has a signature that no call has
	st64(CodeBase+PageSize-16, ^uint64(0))
	for id := range m.Funcs {
		head := vm.code.base[id]
		if id == 0 {
			head = CodeBase + PageSize - 16
		}
		stAddr(funcTabBase+Addr(id)*8, head)
		if id > 0 {
			if err := vm.layoutFunc(bytecode.FuncID(id)); err != nil {
				return fmt.Errorf("function %s: %w", m.Funcs[id].Name, err)
			}
		}
	}
	hot().nfuncs = uint64(len(m.Funcs))
	return nil
}

func (vm *VM) layoutFunc(id bytecode.FuncID) error {
	f, at := &vm.mod.Funcs[id], vm.code.base[id]
	st64(at, uint64(f.Frame)*8|uint64(f.Results)<<32|uint64(f.Args)<<48)
	st64(at+8, uint64(id)|uint64(f.Flags)<<32)
	at += headerBytes
	for i := 0; i < len(f.Code); {
		w := f.Code[i]
		info := bytecode.Info(bytecode.WordOp(w))
		st64(at+Addr(i)*8, w)
		i++
		if info.Ext == bytecode.NoExt {
			continue
		}
		ext, err := vm.resolve(info, f.Code[i])
		if err != nil {
			return fmt.Errorf("word %d: %w", i, err)
		}
		st64(at+Addr(i)*8, ext)
		i++
	}
	return nil
}

// resolve turns the symbolic extension word of an instruction into what the interpreter uses.
func (vm *VM) resolve(info *bytecode.OpInfo, ext uint64) (uint64, error) {
	switch info.Ext {
	case bytecode.ExtFunc:
		switch bytecode.Op(info.Num) {
		case bytecode.OpLDCW:
			return ext, nil
		case bytecode.OpLDFN:
			return uint64(vm.funcval(bytecode.FuncID(ext))), nil
		}
		return uint64(vm.code.base[ext]), nil
	case bytecode.ExtGlobal:
		return uint64(DataBase) + ext, nil
	case bytecode.ExtRO:
		return uint64(vm.rt.ro.addr(roBlobOff + ext)), nil
	case bytecode.ExtStr:
		off := uint64(vm.rt.ro.addr(roBlobOff+ext&0xffffffff) - ROBase)
		if off>>32 != 0 {
			return 0, fmt.Errorf("string at %#x", off)
		}
		return off | ext&^0xffffffff, nil
	case bytecode.ExtType:
		if bytecode.Op(info.Num) == bytecode.OpLDT {
			return uint64(vm.typeAddr(bytecode.TypeID(ext))), nil
		}
	case bytecode.ExtItab:
		return uint64(vm.itabAddr(int(ext))), nil
	}
	return ext, nil
}
