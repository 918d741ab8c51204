package gofront

import (
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// instr lowers one SSA instruction.
func (l *lowerer) instr(in ssa.Instruction) {
	switch x := in.(type) {
	case *ssa.Phi, *ssa.DebugRef:
	case *ssa.Alloc:
		l.alloc(x)
	case *ssa.BinOp:
		l.binop(l.newValue(x), x)
	case *ssa.UnOp:
		l.unop(x)
	case *ssa.Store:
		l.storeInstr(x)
	case *ssa.FieldAddr:
		l.fieldAddr(x)
	case *ssa.IndexAddr:
		l.indexAddr(x)
	case *ssa.Field:
		st := x.X.Type().Underlying().(*types.Struct)
		l.setPart(x, l.use(x.X), l.la.offsets(st)[x.Field], x.X.Type())
	case *ssa.Index:
		l.index(x)
	case *ssa.Extract:
		l.alias(x, l.use(x.Tuple).word(l.extractOff(x)))
	case *ssa.ChangeType:
		l.alias(x, l.use(x.X))
	case *ssa.Convert:
		l.convertInstr(x)
	case *ssa.MultiConvert:
		l.multiConvert(x)
	case *ssa.ChangeInterface:
		l.changeInterface(x)
	case *ssa.MakeInterface:
		l.makeInterface(x)
	case *ssa.TypeAssert:
		l.typeAssert(x)
	case *ssa.MakeClosure:
		l.makeClosure(x)
	case *ssa.MakeSlice:
		l.emit(ins{op: m(bytecode.OpMKSLICE), a: l.newValue(x), b: l.use(x.Len), c: l.use(x.Cap), ext: uint64(l.c.typeID(x.Type().Underlying().(*types.Slice).Elem()))})
	case *ssa.MakeMap:
		var n opd
		if x.Reserve != nil {
			n = l.use(x.Reserve)
		} else {
			n = l.number(0)
		}
		l.emit(ins{op: m(bytecode.OpMKMAP), a: l.newValue(x), b: n, ext: uint64(l.c.typeID(x.Type()))})
	case *ssa.MakeChan:
		l.emit(ins{op: m(bytecode.OpMKCHAN), a: l.newValue(x), b: l.use(x.Size), ext: uint64(l.c.typeID(x.Type()))})
	case *ssa.Slice:
		l.slice(x)
	case *ssa.SliceToArrayPointer:
		n := elemOf(x.Type()).Underlying().(*types.Array).Len()
		l.native("vm.slice2arr", l.newValue(x), 1, l.use(x.X), 3, l.number(n), 1)
	case *ssa.Lookup:
		l.lookup(x)
	case *ssa.MapUpdate:
		l.mapUpdate(x)
	case *ssa.Range:
		l.rangeStart(x)
	case *ssa.Next:
		l.rangeNext(x)
	case *ssa.Select:
		l.selectInstr(x)
	case *ssa.Send:
		l.emit(ins{op: m(bytecode.OpSEND), a: l.use(x.Chan), b: l.use(x.X), wb: l.width(x.X), ext: uint64(l.c.typeID(x.Chan.Type()))})
	default:
		l.control(in)
	}
}

// control lowers calls and what ends a block.
func (l *lowerer) control(in ssa.Instruction) {
	switch x := in.(type) {
	case *ssa.Call:
		l.callInstr(x)
	case *ssa.Go:
		l.goDefer(&x.Call, bytecode.OpGO)
	case *ssa.Defer:
		l.deferInstr(x)
	case *ssa.RunDefers:
		l.runDefers()
	case *ssa.Panic:
		l.panicWith(x.X)
	case *ssa.Return:
		l.ret(x)
	case *ssa.Jump:
		l.jump(l.blk.Succs[0])
	case *ssa.If:
		l.ifTerm(x)
	default:
		l.fail("unsupported instruction %T: %s", in, in)
	}
}

func (l *lowerer) width(v ssa.Value) uint16 { return uint16(l.la.of(v.Type()).words) }

// alias gives a value the place of (a part of) another one, which is never written again.
func (l *lowerer) alias(v ssa.Value, o opd) {
	if l.la.of(v.Type()).words == 0 {
		o = opd{}
	}
	l.vals[v] = o
}

func (l *lowerer) extractOff(x *ssa.Extract) int {
	if n, ok := x.Tuple.(*ssa.Next); ok {
		return l.nextOff(n, x.Index)
	}
	return l.la.tupleOff(x.Tuple.Type().(*types.Tuple), x.Index)
}

// setPart binds v to a part of an aggregate value.
func (l *lowerer) setPart(v ssa.Value, agg opd, off int64, whole types.Type) {
	if o, ok := l.vals[v]; ok && o.v == 0 {
		return
	}
	l.vals[v] = l.part(agg, off, whole, v.Type())
}

func (l *lowerer) alloc(x *ssa.Alloc) {
	t := elemOf(x.Type())
	if l.c.byValue(x) {
		return
	}
	if v, ok := l.frame[x]; ok {
		w := int(l.f.vregs[v].w)
		switch {
		case w == 0:
		case l.zeroed[x]: // the store defines all of it
		case l.la.of(t).boxed:
			l.zeroOf(opd{v: v}, t)
		default:
			l.zero(opd{v: v}, w)
		}
		return
	}
	l.emit(ins{op: m(bytecode.OpNEW), a: l.newValue(x), ext: uint64(l.c.typeID(t))})
}

func (l *lowerer) storeInstr(x *ssa.Store) {
	if ia, ok := x.Addr.(*ssa.IndexAddr); ok {
		if a, ok := ia.X.(*ssa.Alloc); ok && l.appends[a] != nil {
			return // the append stores it
		}
	}
	if isGuard(x.Addr) {
		return
	}
	if inBlankField(x.Addr) { // in a composite literal; it stays zero
		return
	}
	if v, ok := x.Addr.(*ssa.Alloc); ok && l.c.byValue(v) {
		l.captured[v] = l.use(x.Val)
		return
	}
	a := l.addrOf(x.Addr)
	t := x.Val.Type()
	// A whole frame variable: put the value there without a detour.
	if a.kind == aFrame && a.off == 0 && (l.scalars[a.base.v] || l.la.of(t).size == l.memSize[a.base.v]) {
		l.into(opd{v: a.base.v}, x.Val)
		return
	}
	l.store(a, l.use(x.Val), t)
}

// inBlankField: the address is that of a blank field or of a part of one.
func inBlankField(a ssa.Value) bool {
	for {
		switch x := a.(type) {
		case *ssa.FieldAddr:
			if elemOf(x.X.Type()).Underlying().(*types.Struct).Field(x.Field).Name() == "_" {
				return true
			}
			a = x.X
		case *ssa.IndexAddr:
			a = x.X
		default:
			return false
		}
	}
}

func (l *lowerer) fieldAddr(x *ssa.FieldAddr) {
	st := elemOf(x.X.Type()).Underlying().(*types.Struct)
	a := l.addrOf(x.X).plus(l.la.offsets(st)[x.Field])
	d := l.newValue(x)
	if !l.nonNil(x.X) {
		l.emit(ins{op: m(bytecode.OpNILCHK), a: a.base})
	}
	if a.off == 0 {
		l.mov(d, a.base, 1)
		return
	}
	l.addOffset(d, a.base, a.off)
}

// nonNil: the address cannot be nil.
func (l *lowerer) nonNil(v ssa.Value) bool {
	switch v.(type) {
	case *ssa.Alloc, *ssa.Global:
		return true
	case *ssa.FreeVar: // a captured variable's address, unless it is a bound method's receiver
		return l.fn.Synthetic == ""
	case *ssa.FieldAddr, *ssa.IndexAddr:
		return !l.fused[v]
	}
	return false
}

func (l *lowerer) indexAddr(x *ssa.IndexAddr) {
	if a, ok := x.X.(*ssa.Alloc); ok && l.appends[a] != nil {
		return
	}
	d := l.newValue(x)
	if p, ok := x.X.Type().Underlying().(*types.Pointer); ok {
		at := p.Elem().Underlying().(*types.Array)
		size := l.la.sizes.Sizeof(at.Elem())
		base := l.addrReg(l.addrOf(x.X))
		if i, ok := constInt(x.Index); ok {
			if !l.nonNil(x.X) {
				l.emit(ins{op: m(bytecode.OpNILCHK), a: base})
			}
			l.addOffset(d, base, i*size)
			return
		}
		if size > 1<<31 || at.Len() > 1<<31 {
			l.fail("array too large to be indexed")
		}
		l.emit(ins{op: m(bytecode.OpLEAA), a: d, b: base, c: l.useIndex(x.Index), ext: bytecode.FIdx(uint32(size), uint32(at.Len()))})
		return
	}
	size := l.la.sizes.Sizeof(x.X.Type().Underlying().(*types.Slice).Elem())
	l.emit(ins{op: m(bytecode.OpLEAX), a: d, b: l.use(x.X), c: l.useIndex(x.Index), ext: uint64(size)})
}

// index reads an element of an array value or a byte of a string.
func (l *lowerer) index(x *ssa.Index) {
	switch u := x.X.Type().Underlying().(type) {
	case *types.Array:
		es := l.la.sizes.Sizeof(u.Elem())
		if i, ok := constInt(x.Index); ok {
			l.setPart(x, l.use(x.X), i*es, x.X.Type())
			return
		}
		l.arrayIndex(x, u)
	default:
		l.op3(bytecode.OpLDX8U, l.newValue(x), l.use(x.X), l.useIndex(x.Index))
	}
}

func (l *lowerer) arrayIndex(x *ssa.Index, u *types.Array) {
	r := l.la.of(u.Elem())
	d, v, i := l.newValue(x), l.use(x.X), l.useIndex(x.Index)
	if l.la.of(x.X.Type()).boxed {
		p := l.ptrTmp()
		l.emit(ins{op: m(bytecode.OpLEAA), a: p, b: v, c: i, ext: bytecode.FIdx(uint32(r.size), uint32(u.Len()))})
		l.load(d, addr{base: p}, u.Elem())
		return
	}
	a := addr{kind: aFrameIdx, base: opd{v: v.v}, off: int64(v.off) * 8, idx: i, elem: r, count: u.Len()}
	l.frameIdxLoad(d, a, r)
}

func (l *lowerer) unop(x *ssa.UnOp) {
	k := l.la.of(x.X.Type()).kind
	switch x.Op {
	case token.MUL:
		l.loadInstr(x)
	case token.ARROW:
		r := l.la.of(x.X.Type().Underlying().(*types.Chan).Elem())
		i := ins{op: m(bytecode.OpRECV), a: l.newValue(x), wa: uint16(r.words), b: l.use(x.X), ext: uint64(l.c.typeID(x.X.Type()))}
		if x.CommaOk {
			i.n, i.wa = 1, i.wa+1
		}
		l.emit(i)
	case token.NOT:
		l.op3(bytecode.OpBNOT, l.newValue(x), l.use(x.X), opd{})
	case token.XOR:
		d := l.newValue(x)
		l.op3(bytecode.OpCOM, d, l.use(x.X), opd{})
		if k.unsigned() {
			l.normalise(d, k)
		}
	case token.SUB:
		l.negate(l.newValue(x), l.use(x.X), k)
	default:
		l.fail("unsupported operator %s", x.Op)
	}
}

func (l *lowerer) negate(d, s opd, k repKind) {
	switch k {
	case kF64:
		l.op3(bytecode.OpFNEG, d, s, opd{})
	case kF32:
		l.op3(bytecode.OpGNEG, d, s, opd{})
	case kC128:
		t := l.tmp()
		l.op3(bytecode.OpFNEG, t, s, opd{})
		l.op3(bytecode.OpFNEG, d.word(1), s.word(1), opd{})
		l.mov(d, t, 1)
	case kC64:
		re, im := l.c64Parts(s)
		l.op3(bytecode.OpGNEG, re, re, opd{})
		l.op3(bytecode.OpGNEG, im, im, opd{})
		l.c64Join(d, re, im)
	default:
		l.op3(bytecode.OpNEG, d, s, opd{})
		l.normalise(d, k)
	}
}

func (l *lowerer) loadInstr(x *ssa.UnOp) {
	if isGuard(x.X) {
		return
	}
	if o, ok := l.captured[x.X]; ok {
		l.alias(x, o)
		return
	}
	a := l.addrOf(x.X)
	d := l.newValue(x)
	l.load(d, a, x.Type())
}

func (l *lowerer) ret(x *ssa.Return) {
	r := l.la.of(l.fn.Signature.Results())
	l.f.results = r.words
	switch {
	case r.words == 0:
		l.emit(ins{op: m(bytecode.OpRET)})
		return
	case len(x.Results) == 1 || r.words == 1:
		for _, v := range x.Results {
			if l.width(v) == 0 {
				continue
			}
			if r.words == 1 {
				l.emit(ins{op: m(bytecode.OpRET1), a: l.use(v)})
			} else {
				l.emit(ins{op: m(bytecode.OpRETN), a: l.use(v), wa: uint16(r.words), c: imm(int64(r.words))})
			}
			return
		}
	}
	if t, ok := wholeTuple(x.Results); ok {
		l.emit(ins{op: m(bytecode.OpRETN), a: l.use(t), wa: uint16(r.words), c: imm(int64(r.words))})
		return
	}
	w := l.window(0, x.Results)
	l.emit(ins{op: m(bytecode.OpRETN), a: opd{v: winReg}, c: imm(int64(r.words)), args: w})
}

// wholeTuple: the values are all components of one call's result, in order.
func wholeTuple(vs []ssa.Value) (ssa.Value, bool) {
	var t ssa.Value
	for i, v := range vs {
		e, ok := v.(*ssa.Extract)
		if !ok || e.Index != i || (t != nil && e.Tuple != t) {
			return nil, false
		}
		t = e.Tuple
	}
	if _, ok := t.(*ssa.Call); !ok || t.Type().(*types.Tuple).Len() != len(vs) {
		return nil, false
	}
	return t, true
}

// trapPanicNil is the trap code of panic(nil), which only package runtime and the front end know.
const trapPanicNil = bytecode.TrapUnreachable + 1

func (l *lowerer) panicWith(v ssa.Value) {
	o := l.use(v)
	if _, ok := v.(*ssa.MakeInterface); !ok {
		isNil, blk, pos := l.f.newLabel(), l.blk, l.pos
		l.branch(bytecode.OpJEQI, o, imm(0), isNil)
		l.cold = append(l.cold, func() {
			l.blk, l.pos = blk, pos
			l.label(isNil)
			l.trap(trapPanicNil)
		})
	}
	l.emit(ins{op: m(bytecode.OpPANIC), a: o})
}
