package gofront

import (
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Conversions and complex numbers.

func (l *lowerer) convertInstr(x *ssa.Convert) {
	from, to := l.la.of(x.X.Type()), l.la.of(x.Type())
	if from.kind == to.kind && from.kind != kSlice && from.kind != kString && from.size == to.size {
		if from.ptr.equal(to.ptr) {
			l.alias(x, l.use(x.X))
			return
		}
	}
	l.convert(l.newValue(x), l.use(x.X), x.X.Type(), x.Type())
}

func isRuneSlice(t types.Type) bool {
	s, ok := t.Underlying().(*types.Slice)
	if !ok {
		return false
	}
	b, ok := s.Elem().Underlying().(*types.Basic)
	return ok && b.Kind() == types.Int32
}

// convert converts the value at s to d.
func (l *lowerer) convert(d, s opd, ft, tt types.Type) {
	from, to := l.la.of(ft).kind, l.la.of(tt).kind
	switch {
	case from == to && from != kSlice:
		l.mov(d, s, l.la.of(tt).words)
	case to == kString && from == kSlice:
		name := "vm.bytes2str"
		if isRuneSlice(ft) {
			name = "vm.runes2str"
		}
		l.native(name, d, 2, s, 3)
	case to == kString:
		l.native("vm.rune2str", d, 2, s, 1)
	case from == kString && to == kSlice:
		name := "vm.str2bytes"
		if isRuneSlice(tt) {
			name = "vm.str2runes"
		}
		l.native(name, d, 3, s, 2)
	case from == kPtr || to == kPtr || from == kSlice:
		l.mov(d, s, l.la.of(tt).words)
	case from.integer() && to.integer():
		l.intConvert(d, s, from, to)
	case from.integer() && to.float():
		l.intToFloat(d, s, from, to)
	case from.float() && to.float():
		if to == kF64 {
			l.op3(bytecode.OpG2F, d, s, opd{})
		} else {
			l.op3(bytecode.OpF2G, d, s, opd{})
		}
	case from.float() && to.integer():
		l.floatToInt(d, s, from, to)
	case from == kC64 && to == kC128:
		re, im := l.c64Parts(s)
		l.op3(bytecode.OpG2F, d, re, opd{})
		l.op3(bytecode.OpG2F, d.word(1), im, opd{})
	case from == kC128 && to == kC64:
		re, im := l.tmp(), l.tmp()
		l.op3(bytecode.OpF2G, re, s, opd{})
		l.op3(bytecode.OpF2G, im, s.word(1), opd{})
		l.c64Join(d, re, im)
	default:
		l.fail("unsupported conversion from %s to %s", ft, tt)
	}
}

var intBits = map[repKind]int{kI8: 8, kI16: 16, kI32: 32, kI64: 64, kU8: 8, kU16: 16, kU32: 32, kU64: 64}

func (l *lowerer) intConvert(d, s opd, from, to repKind) {
	fits := intBits[to] > intBits[from] && (from.unsigned() || to.signed() || to == kU64) || intBits[to] == 64
	l.mov(d, s, 1)
	if fits {
		return
	}
	i := &l.f.ins[len(l.f.ins)-1] // make the move the normalising instruction
	if i.op == m(bytecode.OpMOV) && i.a == d {
		l.f.ins = l.f.ins[:len(l.f.ins)-1]
	}
	l.normalise(d, to)
	l.f.ins[len(l.f.ins)-1].b = s
}

func (l *lowerer) intToFloat(d, s opd, from, to repKind) {
	op := bytecode.OpI2F
	if from == kU64 {
		op = bytecode.OpU2F
	}
	if to == kF32 {
		op += bytecode.OpI2G - bytecode.OpI2F
	}
	l.op3(op, d, s, opd{})
}

// floatToInt gives amd64's results for numbers that do not fit: types of up to
// 32 bits, uint32 excepted, go through int32, whose "indefinite" value is -2^31.
func (l *lowerer) floatToInt(d, s opd, from, to repKind) {
	if from == kF32 {
		t := l.tmp()
		l.op3(bytecode.OpG2F, t, s, opd{})
		s = t
	}
	switch to {
	case kU64:
		l.op3(bytecode.OpF2U, d, s, opd{})
	case kI64, kU32:
		l.op3(bytecode.OpF2I, d, s, opd{})
		l.normalise(d, to)
	default:
		t, u, ok := l.tmp(), l.tmp(), l.f.newLabel()
		l.op3(bytecode.OpF2I, t, s, opd{})
		l.op3(bytecode.OpSX32, u, t, opd{})
		l.branch(bytecode.OpJEQ, t, u, ok)
		l.intConst(u, -1<<31)
		l.label(ok)
		l.mov(d, u, 1)
		if to != kI32 {
			l.normalise(d, to)
		}
	}
}

// multiConvert: after instantiation both types are known.
func (l *lowerer) multiConvert(x *ssa.MultiConvert) {
	from, to := x.X.Type().Underlying(), x.Type().Underlying()
	if _, ok := from.(*types.Slice); ok {
		switch t := to.(type) {
		case *types.Pointer:
			n := t.Elem().Underlying().(*types.Array).Len()
			l.native("vm.slice2arr", l.newValue(x), 1, l.use(x.X), 3, l.number(n), 1)
			return
		case *types.Array:
			p := l.ptrTmp()
			l.native("vm.slice2arr", p, 1, l.use(x.X), 3, l.number(t.Len()), 1)
			if t.Len() > 0 {
				l.load(l.newValue(x), addr{base: p}, x.Type())
			} else {
				l.newValue(x)
			}
			return
		case *types.Slice:
			l.alias(x, l.use(x.X))
			return
		}
	}
	l.convert(l.newValue(x), l.use(x.X), x.X.Type(), x.Type())
}

// c64Parts splits a complex64 into two float32 registers.
func (l *lowerer) c64Parts(s opd) (re, im opd) {
	re, im = l.tmp(), l.tmp()
	l.op3(bytecode.OpZX32, re, s, opd{})
	l.op3(bytecode.OpSHRI, im, s, imm(32))
	return re, im
}

func (l *lowerer) c64Join(d, re, im opd) {
	t := l.tmp()
	l.op3(bytecode.OpSHLI, t, im, imm(32))
	l.op3(bytecode.OpOR, d, t, re)
}

// complexOp: products and quotients of complex64 are computed in float64 and rounded, as gc does.
func (l *lowerer) complexOp(d opd, op token.Token, k repKind, a, b opd) {
	if k == kC64 {
		l.complex64Op(d, op, a, b)
		return
	}
	switch op {
	case token.ADD, token.SUB:
		t := l.tmp()
		l.op3(floatOps[op], t, a, b)
		l.op3(floatOps[op], d.word(1), a.word(1), b.word(1))
		l.mov(d, t, 1)
	case token.MUL:
		t, u, v, w := l.tmp(), l.tmp(), l.tmp(), l.tmp()
		l.op3(bytecode.OpFMUL, t, a, b)
		l.op3(bytecode.OpFMUL, u, a.word(1), b.word(1))
		l.op3(bytecode.OpFMUL, v, a, b.word(1))
		l.op3(bytecode.OpFMUL, w, a.word(1), b)
		l.op3(bytecode.OpFSUB, d, t, u)
		l.op3(bytecode.OpFADD, d.word(1), v, w)
	case token.QUO:
		l.native("vm.complexdiv", d, 2, a, 2, b, 2)
	default:
		l.fail("unsupported operator %s on complex numbers", op)
	}
}

func (l *lowerer) complex64Op(d opd, op token.Token, a, b opd) {
	if op == token.ADD || op == token.SUB {
		o := floatOps[op] - bytecode.OpFADD + bytecode.OpGADD
		ar, ai := l.c64Parts(a)
		br, bi := l.c64Parts(b)
		l.op3(o, ar, ar, br)
		l.op3(o, ai, ai, bi)
		l.c64Join(d, ar, ai)
		return
	}
	c128 := types.Typ[types.Complex128]
	c64 := types.Typ[types.Complex64]
	r := l.la.of(c128)
	x, y, z := l.tmpOf(r), l.tmpOf(r), l.tmpOf(r)
	for _, v := range []opd{x, y, z} {
		l.emit(ins{op: pDef, a: v})
	}
	l.convert(x, a, c64, c128)
	l.convert(y, b, c64, c128)
	l.complexOp(z, op, kC128, x, y)
	l.convert(d, z, c128, c64)
}
