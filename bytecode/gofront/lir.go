package gofront

import (
	"go/token"
	"math/bits"

	"phantomvm/bytecode"
)

// The linear form. A function is lowered from go/ssa to a list of machine
// instructions whose operands are virtual registers instead of slots:
//
//  1. lower*.go: one or more instructions for each SSA instruction; labels and
//     branches make the control flow; phis become moves on the edges;
//  2. alloc.go: liveness of virtual registers, coalescing of moves, slots;
//  3. emit.go: peephole rules, layout of branches, stack maps, final words.
//
// A virtual register covers w consecutive slots and may be defined several
// times and part by part (only SSA values are defined once). Invariant: on every
// path a full definition (or pDef) comes before a partial one.

type vreg int32

// winReg stands for the first slot of the outgoing window.
const winReg vreg = -1

// opd is an operand. For slots: register and offset in words (in bytes for the
// frame-offset operands). Without a register it is an immediate number.
type opd struct {
	v   vreg
	off int32
}

func (o opd) word(n int) opd { return opd{o.v, o.off + int32(n)} }
func imm(n int64) opd        { return opd{0, int32(n)} }

// mop is an opcode: bytecode's own below 256, pseudo instructions from there on.
type mop uint16

const (
	pNone  mop = 256 + iota // deleted
	pLabel                  // place of label
	pDef                    // a: register begins to exist, content undefined
)

func m(op bytecode.Op) mop { return mop(op) }

type ins struct {
	op         mop
	n          uint8
	wa, wb, wc uint16 // widths of operands whose width is not given by the table
	a, b, c    opd
	label      int32 // branch target, or the label that stands here
	ext        uint64
	xs         []opd // slots in the extension word
	args       []vreg
	sel        *selCase // LDK of a select case's description
	pos        token.Pos
}

// selCase says what goes into the second slot of a select case.
type selCase struct {
	buf   opd
	words int
	dir   int
}

// Pins: where a register has to lie.
const (
	pinNone = iota
	pinSlot // at absolute slot off
	pinWin  // at slot off of the outgoing window
)

type vinfo struct {
	w    uint16
	pin  uint8
	off  int16
	ptr  bitmap
	name string
}

// mfunc is a function under construction.
type mfunc struct {
	ins          []ins
	vregs        []vinfo
	nlabels      int32
	recover      int32 // label of the recover point, 0 if none
	recoverBlock int
	winMax       int // slots of the outgoing window that are used
	args         int
	results      int
}

func newMfunc() *mfunc { return &mfunc{vregs: make([]vinfo, 1, 32), nlabels: 1} }

func (f *mfunc) newVreg(w int, ptr bitmap) vreg {
	f.vregs = append(f.vregs, vinfo{w: uint16(w), ptr: ptr})
	return vreg(len(f.vregs) - 1)
}

func (f *mfunc) newLabel() int32 {
	f.nlabels++
	return f.nlabels - 1
}

// role says what an instruction does with an operand.
type role uint8

const (
	roleUse  role = iota
	roleDef       // written; a full definition if it covers the register
	roleBoth      // read and written
)

// visitor is called for a register operand. frame says that the offset is in bytes.
type visitor func(o *opd, words int, r role, frame bool)

// visit calls fn for every register operand, the field a last.
func (f *mfunc) visit(i *ins, fn visitor) {
	switch i.op {
	case pNone, pLabel:
		return
	case pDef:
		fn(&i.a, int(f.vregs[i.a.v].w), roleDef, false)
		return
	}
	op := bytecode.Op(i.op)
	info := bytecode.Info(op)
	visitField(i, &i.b, info.B, i.wb, fn)
	visitField(i, &i.c, info.C, i.wc, fn)
	for k := range i.xs {
		w := 1
		if op == bytecode.OpCALLI {
			w = 2
		}
		if i.xs[k].v != 0 {
			fn(&i.xs[k], w, roleUse, false)
		}
	}
	for k := range i.args {
		o := opd{v: i.args[k]}
		fn(&o, int(f.vregs[o.v].w), roleUse, false)
		i.args[k] = o.v
	}
	visitField(i, &i.a, info.A, i.wa, fn)
}

// visitField calls fn for one of the fields a, b, c, whose kind the table gives.
func visitField(i *ins, o *opd, k bytecode.Operand, w uint16, fn visitor) {
	if o.v <= 0 {
		return
	}
	op := bytecode.Op(i.op)
	r, words, frame := roleUse, 1, false
	switch k {
	case bytecode.Dst:
		r = roleDef
	case bytecode.Dst2:
		r, words = roleDef, 2
	case bytecode.Dst3:
		r, words = roleDef, 3
	case bytecode.DstN:
		r, words = roleDef, int(w)
	case bytecode.Src2:
		words = 2
	case bytecode.Src3:
		words = 3
	case bytecode.SrcN:
		words = int(w)
	case bytecode.FOff:
		frame, words = true, int(w)
		if isFrameStore(op, o == &i.a) {
			r = roleBoth
		}
	case bytecode.Src:
	default:
		return
	}
	switch op {
	case bytecode.OpINCJLTB, bytecode.OpADDJLTB:
		if o == &i.a {
			r = roleBoth
		}
	case bytecode.OpSTRNEXT, bytecode.OpMAPNEXT: // the iterator is advanced
		if o == &i.b {
			r = roleBoth
		}
	case bytecode.OpSELECT:
		if o == &i.a {
			words = int(w)
		}
	case bytecode.OpASSERT:
		if o == &i.a && i.n&2 != 0 {
			words = 3
		}
	}
	fn(o, words, r, frame)
}

func isFrameStore(op bytecode.Op, isA bool) bool {
	switch op {
	case bytecode.OpFST8, bytecode.OpFST16, bytecode.OpFST32, bytecode.OpFSTX:
		return true
	case bytecode.OpFCOPY:
		return isA
	}
	return false
}

// fullDef says whether a definition covers its register.
func (f *mfunc) fullDef(o *opd, words int, frame bool) bool {
	return !frame && o.off == 0 && words == int(f.vregs[o.v].w)
}

// earlyClobber: the result must not share slots with an operand, because the
// instruction may write it before it has read everything, or because both are
// read while the goroutine is parked.
func earlyClobber(op mop) bool {
	if op >= 256 {
		return false
	}
	switch o := bytecode.Op(op); o {
	case bytecode.OpFLDX:
		return true
	case bytecode.OpMOV2, bytecode.OpMOV3, bytecode.OpMOVN, bytecode.OpZERO, bytecode.OpLDSTR,
		bytecode.OpLD128, bytecode.OpLD192, bytecode.OpLDX128, bytecode.OpLDX192,
		bytecode.OpCALL, bytecode.OpCALLC, bytecode.OpCALLI:
		return false // read everything first, by definition
	default:
		k := bytecode.Info(o).A
		return k == bytecode.Dst2 || k == bytecode.Dst3 || k == bytecode.DstN
	}
}

// bitmap holds one bit per slot.
type bitmap []uint64

func (b bitmap) has(i int) bool { return i>>6 < len(b) && b[i>>6]>>(uint(i)&63)&1 != 0 }

func (b *bitmap) set(i int) {
	for i>>6 >= len(*b) {
		*b = append(*b, 0)
	}
	(*b)[i>>6] |= 1 << (uint(i) & 63)
}

// each calls fn for every bit that is set.
func (b bitmap) each(fn func(int)) {
	for i, w := range b {
		for w != 0 {
			fn(i<<6 + bits.TrailingZeros64(w))
			w &= w - 1
		}
	}
}

func (b bitmap) empty() bool {
	for _, w := range b {
		if w != 0 {
			return false
		}
	}
	return true
}

func (b bitmap) equal(c bitmap) bool {
	for i := range max(len(b), len(c)) {
		var x, y uint64
		if i < len(b) {
			x = b[i]
		}
		if i < len(c) {
			y = c[i]
		}
		if x != y {
			return false
		}
	}
	return true
}

// mov emits a copy of w slots.
func (f *mfunc) mov(d, s opd, w int, pos token.Pos) {
	if d == s || w == 0 {
		return
	}
	i := ins{a: d, b: s, pos: pos}
	switch w {
	case 1:
		i.op = m(bytecode.OpMOV)
	case 2:
		i.op = m(bytecode.OpMOV2)
	case 3:
		i.op = m(bytecode.OpMOV3)
	default:
		i.op, i.wa, i.wb, i.c = m(bytecode.OpMOVN), uint16(w), uint16(w), imm(int64(w))
	}
	f.ins = append(f.ins, i)
}
