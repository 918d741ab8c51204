package gofront

import (
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Interface values: making, changing, asserting.

func (l *lowerer) makeInterface(x *ssa.MakeInterface) {
	d := l.newValue(x)
	l.ifaceInto(d, x.X, x.Type())
}

// ifaceInto makes an interface value of type it from v. d is written last, as v may read it.
func (l *lowerer) ifaceInto(d opd, v ssa.Value, it types.Type) {
	t := v.Type()
	r := l.la.of(t)
	l.emit(ins{op: pDef, a: d})
	data := d.word(1)
	switch {
	case direct(t):
		l.into(data, v)
	case l.constData(data, v, r):
	case r.boxed: // immutable: the interface may share the copy
		l.mov(data, l.use(v), 1)
	case r.kind == kBool || r.kind == kU8:
		s := l.number(8)
		l.op3(bytecode.OpMUL, s, l.use(v), s)
		b := l.ptrTmp()
		l.emit(ins{op: m(bytecode.OpLDRO), a: b, ext: l.c.byteTable()})
		l.op3(bytecode.OpADD, data, b, s)
	default:
		l.emit(ins{op: m(bytecode.OpNEW), a: data, ext: uint64(l.c.typeID(t))})
		if r.size > 0 {
			l.store(addr{base: data}, l.use(v), t)
		}
	}
	l.typeWord(d, t, it)
}

// constData: a number that is known need not be on the heap.
func (l *lowerer) constData(data opd, v ssa.Value, r *rep) bool {
	c, ok := v.(*ssa.Const)
	if !ok || c.Value == nil || r.words != 1 || r.boxed || r.kind == kAgg {
		return false
	}
	l.emit(ins{op: m(bytecode.OpLDRO), a: data, ext: l.c.constRef(constBits(c, r.kind))})
	return true
}

// typeWord loads the type word of an interface of type it that holds a t.
func (l *lowerer) typeWord(d opd, t, it types.Type) {
	l.c.markIface(t)
	if isEmptyIface(it) {
		l.emit(ins{op: m(bytecode.OpLDT), a: d, ext: uint64(l.c.typeID(t))})
		return
	}
	l.emit(ins{op: m(bytecode.OpLDIT), a: d, ext: uint64(l.c.itabID(it, t))})
}

func (l *lowerer) changeInterface(x *ssa.ChangeInterface) {
	from, to := x.X.Type(), x.Type()
	s := l.use(x.X)
	if types.Identical(from.Underlying(), to.Underlying()) || sameMethods(from, to) {
		l.alias(x, s)
		return
	}
	d := l.newValue(x)
	if isEmptyIface(to) {
		t := l.ptrTmp()
		l.op3(bytecode.OpIFTYPE, t, s, opd{})
		l.emit(ins{op: pDef, a: d})
		l.mov(d.word(1), s.word(1), 1)
		l.mov(d, t, 1)
		return
	}
	// A nil interface stays nil; the static type has the methods, so that the assertion can't fail.
	done, isNil := l.f.newLabel(), l.f.newLabel()
	l.branch(bytecode.OpJEQI, s, imm(0), isNil)
	l.assertIface(d, s, from, to, false)
	l.label(done)
	l.cold = append(l.cold, func() {
		l.label(isNil)
		l.zero(d, 2)
		l.jmp(done)
	})
}

func sameMethods(a, b types.Type) bool {
	x, y := a.Underlying().(*types.Interface), b.Underlying().(*types.Interface)
	if x.NumMethods() != y.NumMethods() {
		return false
	}
	for i := range x.NumMethods() {
		if x.Method(i).Id() != y.Method(i).Id() {
			return false
		}
	}
	return true
}

// assertIface converts to an interface type; with ok, d has a third slot.
func (l *lowerer) assertIface(d, s opd, from, to types.Type, ok bool) {
	var n uint8
	if !isEmptyIface(from) {
		n |= 1
	}
	if ok {
		n |= 2
	}
	l.emit(ins{op: m(bytecode.OpASSERT), n: n, a: d, b: s, ext: uint64(l.c.typeID(to))})
}

func (l *lowerer) typeAssert(x *ssa.TypeAssert) {
	s := l.use(x.X)
	if types.IsInterface(x.AssertedType) {
		l.assertIface(l.newValue(x), s, x.X.Type(), x.AssertedType, x.CommaOk)
		return
	}
	t := x.AssertedType
	r := l.la.of(t)
	have, want := l.typeWords(x, s)
	bad := l.f.newLabel()
	l.branch(bytecode.OpJNE, have, want, bad)
	blk, pos := l.blk, l.pos
	if !x.CommaOk {
		l.unpack(x, s, t)
		xt := x.X.Type()
		l.cold = append(l.cold, func() {
			l.blk, l.pos = blk, pos
			l.label(bad)
			it := l.ptrTmp()
			l.emit(ins{op: m(bytecode.OpLDT), a: it, ext: uint64(l.c.typeID(xt))})
			l.trap(bytecode.TrapAssert, opd{}, opd{}, it, have, want)
		})
		return
	}
	d := l.newValue(x)
	done := l.f.newLabel()
	l.emit(ins{op: pDef, a: d})
	l.data(d, s, t)
	l.intConst(d.word(r.words), 1)
	l.label(done)
	l.cold = append(l.cold, func() {
		l.blk, l.pos = blk, pos
		l.label(bad)
		l.emit(ins{op: pDef, a: d})
		if r.boxed {
			l.zeroOf(d, t)
			l.intConst(d.word(1), 0)
		} else {
			l.zero(d, r.words+1)
		}
		l.jmp(done)
	})
}

// unpack binds a single-valued assertion to the interface's data.
func (l *lowerer) unpack(x *ssa.TypeAssert, s opd, t types.Type) {
	r := l.la.of(t)
	if direct(t) || r.boxed {
		l.alias(x, s.word(1))
		return
	}
	l.data(l.newValue(x), s, t)
}

// data reads the value of type t that the interface at s holds.
func (l *lowerer) data(d, s opd, t types.Type) {
	r := l.la.of(t)
	switch {
	case r.words == 0:
	case direct(t), r.boxed:
		l.mov(d, s.word(1), 1)
	default:
		l.load(d, addr{base: s.word(1)}, t)
	}
}

// typeWords loads the dynamic type of the operand and the asserted type.
func (l *lowerer) typeWords(x *ssa.TypeAssert, s opd) (have, want opd) {
	have, want = s, l.ptrTmp()
	if !isEmptyIface(x.X.Type()) {
		have = l.ptrTmp()
		l.op3(bytecode.OpIFTYPE, have, s, opd{})
	}
	l.emit(ins{op: m(bytecode.OpLDT), a: want, ext: uint64(l.c.typeID(x.AssertedType))})
	return have, want
}

// decideAssert joins v, ok := x.(T) for a concrete T with the branch on ok, if
// v is used only where ok is true.
func (l *lowerer) decideAssert(ok *ssa.Extract, b *ssa.BasicBlock) {
	x, isAssert := ok.Tuple.(*ssa.TypeAssert)
	if !isAssert || ok.Index != 1 || types.IsInterface(x.AssertedType) || x.Block() != b || ok.Block() != b ||
		len(*ok.Referrers()) != 1 || len(b.Succs[0].Preds) != 1 || l.isPureHeader(b) {
		return
	}
	for _, r := range *x.Referrers() {
		switch e := r.(type) {
		case *ssa.DebugRef:
		case *ssa.Extract:
			if e != ok && (e.Index != 0 || e.Block() != b || !usedOnlyIn(e, b.Succs[0])) {
				return
			}
		default:
			return
		}
	}
	l.fused[x] = true
	for _, r := range *x.Referrers() {
		if e, isExtract := r.(*ssa.Extract); isExtract {
			l.fused[e] = true
		}
	}
}

// usedOnlyIn: every use of v is in a block that is dominated by s.
func usedOnlyIn(v ssa.Value, s *ssa.BasicBlock) bool {
	for _, r := range *v.Referrers() {
		switch x := r.(type) {
		case *ssa.DebugRef:
		case *ssa.Phi:
			for i, e := range x.Edges {
				if e == v && !s.Dominates(x.Block().Preds[i]) {
					return false
				}
			}
		default:
			if !s.Dominates(r.Block()) {
				return false
			}
		}
	}
	return true
}

// assertBranch ends a block with an assertion and the branch on its success.
func (l *lowerer) assertBranch(x *ssa.TypeAssert) {
	b := l.blk
	s := l.use(x.X)
	have, want := l.typeWords(x, s)
	l.branch(bytecode.OpJNE, have, want, l.edgeLabel(b, b.Succs[1]))
	for _, r := range *x.Referrers() {
		e, ok := r.(*ssa.Extract)
		if !ok || e.Index != 0 || len(*e.Referrers()) == 0 {
			continue
		}
		if direct(x.AssertedType) || l.la.of(x.AssertedType).boxed {
			l.alias(e, s.word(1))
		} else {
			l.data(l.newValue(e), s, x.AssertedType)
		}
	}
	l.enter(b.Succs[0])
}
