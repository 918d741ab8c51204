package gofront

import (
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Addresses, loads and stores.

type addrKind uint8

const (
	aMem      addrKind = iota // register base, byte offset off
	aFrame                    // byte off of the frame variable base
	aFrameIdx                 // byte ioff of element idx of the array at byte off of the frame variable base
	aSlice                    // element idx of the slice or string header base
)

type addr struct {
	kind  addrKind
	base  opd
	off   int64
	idx   opd
	ioff  int64
	elem  *rep
	count int64
}

// addrOf describes the address v, following what is folded into its uses.
func (l *lowerer) addrOf(v ssa.Value) addr {
	switch x := v.(type) {
	case *ssa.Alloc:
		if r, ok := l.frame[x]; ok {
			return addr{kind: aFrame, base: opd{v: r}}
		}
	case *ssa.FieldAddr:
		if l.fused[x] {
			st := elemOf(x.X.Type()).Underlying().(*types.Struct)
			return l.addrOf(x.X).plus(l.la.offsets(st)[x.Field])
		}
	case *ssa.IndexAddr:
		if l.fused[x] {
			return l.indexOf(x)
		}
	}
	return addr{base: l.use(v)}
}

func (a addr) plus(n int64) addr {
	if a.kind == aFrameIdx {
		a.ioff += n
	} else {
		a.off += n
	}
	return a
}

func (l *lowerer) indexOf(x *ssa.IndexAddr) addr {
	p, ok := x.X.Type().Underlying().(*types.Pointer)
	if !ok {
		return addr{kind: aSlice, base: l.use(x.X), idx: l.useIndex(x.Index), elem: l.la.of(elemOf(x.Type()))}
	}
	at := p.Elem().Underlying().(*types.Array)
	e := l.la.of(at.Elem())
	a := l.addrOf(x.X)
	if i, ok := constInt(x.Index); ok {
		return a.plus(i * l.la.sizes.Sizeof(at.Elem()))
	}
	a.kind, a.idx, a.elem, a.count = aFrameIdx, l.useIndex(x.Index), e, at.Len()
	return a
}

// addrReg computes an address into a register.
func (l *lowerer) addrReg(a addr) opd {
	if a.kind != aMem {
		l.fail("internal error: address of a frame variable is needed in %s", l.fn)
	}
	if a.off == 0 {
		return a.base
	}
	d := l.ptrTmp()
	l.emit(ins{op: m(bytecode.OpNILCHK), a: a.base})
	l.addOffset(d, a.base, a.off)
	return d
}

func (l *lowerer) addOffset(d, s opd, off int64) {
	if off == int64(int16(off)) {
		l.op3(bytecode.OpADDI, d, s, imm(off))
		return
	}
	l.op3(bytecode.OpADD, d, s, l.number(off))
}

// memBase brings the offset of a memory address into the range of the off field.
func (l *lowerer) memBase(a addr, size int64) (opd, opd) {
	if a.off >= 0 && a.off+size <= 0xffff {
		return a.base, imm(a.off)
	}
	return l.addrReg(a), imm(0)
}

var loadOps = map[int64]bytecode.Op{
	1: bytecode.OpLD8U, 2: bytecode.OpLD16U, 4: bytecode.OpLD32U, 8: bytecode.OpLD64, 16: bytecode.OpLD128, 24: bytecode.OpLD192,
}

var storeOps = map[int64]bytecode.Op{
	1: bytecode.OpST8, 2: bytecode.OpST16, 4: bytecode.OpST32, 8: bytecode.OpST64, 16: bytecode.OpST128, 24: bytecode.OpST192,
}

func loadOp(r *rep) (bytecode.Op, bool) {
	switch r.kind {
	case kI8:
		return bytecode.OpLD8S, true
	case kI16:
		return bytecode.OpLD16S, true
	case kI32:
		return bytecode.OpLD32S, true
	}
	op, ok := loadOps[r.size]
	return op, ok
}

// indexed forms lie in the table in the order of their memory forms.
func indexedLoad(r *rep) bytecode.Op {
	op, _ := loadOp(r)
	return op - bytecode.OpLD8U + bytecode.OpLDX8U
}

func indexedStore(size int64) bytecode.Op {
	return storeOps[size] - bytecode.OpST8 + bytecode.OpSTX8
}

// load reads a value of type t at address a into d.
func (l *lowerer) load(d opd, a addr, t types.Type) {
	r := l.la.of(t)
	switch a.kind {
	case aFrame:
		l.frameLoad(d, a.base.v, a.off, r)
		return
	case aFrameIdx:
		l.frameIdxLoad(d, a, r)
		return
	case aSlice:
		l.op3(indexedLoad(r), d, a.base, a.idx)
		return
	}
	switch {
	case r.size == 0:
		l.emit(ins{op: m(bytecode.OpNILCHK), a: a.base})
	case r.boxed:
		s := l.addrReg(a)
		t1 := l.ptrTmp() // d may be the address itself
		l.emit(ins{op: m(bytecode.OpNEW), a: t1, ext: uint64(l.c.typeID(t))})
		l.emit(ins{op: m(bytecode.OpCOPYN), a: t1, b: s, ext: uint64(r.size)})
		l.mov(d, t1, 1)
	default:
		b, off := l.memBase(a, r.size)
		if op, ok := loadOp(r); ok {
			l.op3(op, d, b, off)
			return
		}
		l.emit(ins{op: m(bytecode.OpLDN), a: d, wa: uint16(r.words), b: b, c: off, ext: uint64(r.size)})
	}
}

// store writes the value at s of type t to address a.
func (l *lowerer) store(a addr, s opd, t types.Type) {
	r := l.la.of(t)
	switch a.kind {
	case aFrame:
		l.frameStore(a.base.v, a.off, s, r)
		return
	case aFrameIdx:
		l.frameIdxStore(a, s, r)
		return
	case aSlice:
		l.op3(indexedStore(r.size), s, a.base, a.idx)
		return
	}
	switch {
	case r.size == 0:
		l.emit(ins{op: m(bytecode.OpNILCHK), a: a.base})
	case r.boxed:
		l.emit(ins{op: m(bytecode.OpCOPYN), a: l.addrReg(a), b: s, ext: uint64(r.size)})
	default:
		b, off := l.memBase(a, r.size)
		if op, ok := storeOps[r.size]; ok {
			l.op3(op, s, b, off)
			return
		}
		l.emit(ins{op: m(bytecode.OpSTN), a: s, wa: uint16(r.words), b: b, c: off, ext: uint64(r.size)})
	}
}

// frameLoad reads a part at byte off of register v.
func (l *lowerer) frameLoad(d opd, v vreg, off int64, r *rep) {
	src := opd{v: v, off: int32(off)}
	switch {
	case r.size == 0:
	case l.scalars[v], l.fillsSlots(v, off, r):
		l.mov(d, opd{v: v, off: int32(off / 8)}, r.words)
	case r.kind == kBool, r.kind == kU8:
		l.frameOp(bytecode.OpFLD8U, d, src)
	case r.kind == kI8:
		l.frameOp(bytecode.OpFLD8S, d, src)
	case r.kind == kU16:
		l.frameOp(bytecode.OpFLD16U, d, src)
	case r.kind == kI16:
		l.frameOp(bytecode.OpFLD16S, d, src)
	case r.kind == kI32:
		l.frameOp(bytecode.OpFLD32S, d, src)
	case r.kind == kU32, r.kind == kF32:
		l.frameOp(bytecode.OpFLD32U, d, src)
	default:
		l.frameCopyOut(d, src, r)
	}
}

// fillsSlots: the part at byte off of v is whole slots, or all of v with its padding.
func (l *lowerer) fillsSlots(v vreg, off int64, r *rep) bool {
	return off%8 == 0 && (r.size%8 == 0 || r.kind == kAgg && off == 0 && r.size == l.memSize[v])
}

func (l *lowerer) frameOp(op bytecode.Op, d, src opd) {
	l.emit(ins{op: m(op), a: d, b: src, wb: 1})
}

// frameCopyOut copies a part that does not fill its slots to a place of its own.
func (l *lowerer) frameCopyOut(d, src opd, r *rep) {
	t := l.tmpOf(r)
	l.zero(t, r.words)
	l.emit(ins{op: m(bytecode.OpFCOPY), a: t, wa: uint16(r.words), b: src, wb: 1, c: imm(r.size)})
	l.mov(d, t, r.words)
}

// frameStore writes a part at byte off of register v.
func (l *lowerer) frameStore(v vreg, off int64, s opd, r *rep) {
	dst := opd{v: v, off: int32(off)}
	switch {
	case r.size == 0:
	case l.scalars[v], l.fillsSlots(v, off, r):
		l.mov(opd{v: v, off: int32(off / 8)}, s, r.words)
	case r.size == 1:
		l.emit(ins{op: m(bytecode.OpFST8), a: s, b: dst, wb: 1})
	case r.size == 2 && off%2 == 0:
		l.emit(ins{op: m(bytecode.OpFST16), a: s, b: dst, wb: 1})
	case r.size == 4 && off%4 == 0:
		l.emit(ins{op: m(bytecode.OpFST32), a: s, b: dst, wb: 1})
	default:
		l.emit(ins{op: m(bytecode.OpFCOPY), a: dst, wa: 1, b: opd{v: s.v, off: s.off * 8}, wb: uint16(r.words), c: imm(r.size)})
	}
}

func (l *lowerer) frameIdx(op bytecode.Op, n uint8, val opd, a addr) {
	r := a.elem
	l.emit(ins{
		op: m(op), n: n, a: val, wa: uint16(r.words), b: opd{v: a.base.v, off: int32(a.off)}, wb: 1,
		c: a.idx, ext: bytecode.FIdx(uint32(r.size), uint32(a.count)),
	})
}

func signFlag(r *rep) uint8 {
	if r.kind.signed() && r.size < 8 {
		return 1
	}
	return 0
}

func (l *lowerer) frameIdxLoad(d opd, a addr, r *rep) {
	if a.elem.size == 0 {
		l.boundCheck(a)
		return
	}
	if a.ioff == 0 && r == a.elem {
		l.frameIdx(bytecode.OpFLDX, signFlag(r), d, a)
		return
	}
	t := l.tmpOf(a.elem)
	l.memSize[t.v] = a.elem.size
	l.frameIdx(bytecode.OpFLDX, 0, t, a)
	l.frameLoad(d, t.v, a.ioff, r)
}

func (l *lowerer) frameIdxStore(a addr, s opd, r *rep) {
	if a.elem.size == 0 {
		l.boundCheck(a)
		return
	}
	if a.ioff == 0 && r.size == a.elem.size {
		l.frameIdx(bytecode.OpFSTX, 0, s, a)
		return
	}
	t := l.tmpOf(a.elem)
	l.memSize[t.v] = a.elem.size
	l.frameIdx(bytecode.OpFLDX, 0, t, a)
	l.frameStore(t.v, a.ioff, s, r)
	l.frameIdx(bytecode.OpFSTX, 0, t, a)
}

func (l *lowerer) boundCheck(a addr) {
	l.emit(ins{op: m(bytecode.OpBOUND), a: a.idx, b: l.number(a.count)})
}

// part reads the field or element of type t at byte off of a value that lies at v.
// The result is the same slots where the part fills them, else a copy.
func (l *lowerer) part(v opd, off int64, whole, t types.Type) opd {
	w, r := l.la.of(whole), l.la.of(t)
	switch {
	case r.words == 0:
		return opd{}
	case w.boxed:
		d := l.tmpOf(r)
		l.load(d, addr{base: v, off: off}, t)
		return d
	case off%8 == 0 && r.size%8 == 0, off == 0 && r.kind == kAgg && r.size == w.size:
		return v.word(int(off / 8))
	}
	d := l.tmpOf(r)
	if off == 0 && r.kind == kAgg && r.words == w.words || l.scalars[v.v] {
		l.frameCopyOut(d, opd{v: v.v, off: v.off*8 + int32(off)}, r)
		return d
	}
	l.frameLoad(d, v.v, int64(v.off)*8+off, r)
	return d
}
