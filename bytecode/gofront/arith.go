package gofront

import (
	"go/token"
	"go/types"
	"strconv"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Operators. A slot holds a small integer sign- or zero-extended; results that
// may leave the range are normalised at once.

func (l *lowerer) normalise(d opd, k repKind) {
	var op bytecode.Op
	switch k {
	case kI8:
		op = bytecode.OpSX8
	case kI16:
		op = bytecode.OpSX16
	case kI32:
		op = bytecode.OpSX32
	case kU8:
		op = bytecode.OpZX8
	case kU16:
		op = bytecode.OpZX16
	case kU32:
		op = bytecode.OpZX32
	default:
		return
	}
	l.op3(op, d, d, opd{})
}

func (l *lowerer) binop(d opd, x *ssa.BinOp) {
	k := l.la.of(x.X.Type()).kind
	switch x.Op {
	case token.SHL, token.SHR:
		l.shift(d, x)
		return
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
		l.compare(d, x, k)
		return
	}
	switch {
	case k.integer():
		l.intOp(d, x, l.la.of(x.Type()).kind)
	case k == kF64:
		l.op3(floatOps[x.Op], d, l.use(x.X), l.use(x.Y))
	case k == kF32:
		l.op3(floatOps[x.Op]-bytecode.OpFADD+bytecode.OpGADD, d, l.use(x.X), l.use(x.Y))
	case k == kString:
		l.concat(d, x)
	case k == kC128, k == kC64:
		l.complexOp(d, x.Op, k, l.use(x.X), l.use(x.Y))
	case k == kBool && x.Op == token.AND:
		l.op3(bytecode.OpAND, d, l.use(x.X), l.use(x.Y))
	case k == kBool && x.Op == token.OR:
		l.op3(bytecode.OpOR, d, l.use(x.X), l.use(x.Y))
	default:
		l.fail("unsupported operator %s on %s", x.Op, x.X.Type())
	}
}

var floatOps = map[token.Token]bytecode.Op{
	token.ADD: bytecode.OpFADD, token.SUB: bytecode.OpFSUB, token.MUL: bytecode.OpFMUL, token.QUO: bytecode.OpFDIV,
}

var intOps = map[token.Token]bytecode.Op{
	token.ADD: bytecode.OpADD, token.SUB: bytecode.OpSUB, token.MUL: bytecode.OpMUL, token.AND: bytecode.OpAND,
	token.OR: bytecode.OpOR, token.XOR: bytecode.OpXOR, token.AND_NOT: bytecode.OpANDN,
}

var immOps = map[token.Token]bytecode.Op{
	token.ADD: bytecode.OpADDI, token.MUL: bytecode.OpMULI, token.AND: bytecode.OpANDI, token.OR: bytecode.OpORI, token.XOR: bytecode.OpXORI,
}

func commutes(op token.Token) bool {
	switch op {
	case token.ADD, token.MUL, token.AND, token.OR, token.XOR:
		return true
	}
	return false
}

// staysInRange: the operation on normalised operands gives a normalised result.
func staysInRange(op token.Token) bool {
	switch op {
	case token.AND, token.OR, token.XOR, token.AND_NOT:
		return true
	}
	return false
}

func (l *lowerer) intOp(d opd, x *ssa.BinOp, k repKind) {
	switch x.Op {
	case token.QUO, token.REM:
		l.divide(d, x, k)
		return
	}
	X, Y, op := x.X, x.Y, x.Op
	if _, ok := l.small(X); ok && commutes(op) {
		X, Y = Y, X
	}
	if c, ok := l.small(Y); ok {
		if op == token.SUB && c != -32768 {
			op, c = token.ADD, -c
		}
		if op == token.AND_NOT {
			op, c = token.AND, ^c
		}
		// A sign-extended mask must not set bits that the type does not have.
		if o, ok := immOps[op]; ok && (c >= 0 || !k.unsigned() || k == kU64 || op == token.ADD || op == token.MUL || op == token.AND) {
			l.immOp(d, o, op, l.use(X), c, k)
			return
		}
	}
	if c, ok := l.small(X); ok && op == token.SUB {
		l.op3(bytecode.OpSUBRI, d, l.use(Y), imm(c))
		l.normalise(d, k)
		return
	}
	a, b := l.use(X), l.use(Y)
	if o, ok := narrowOps[k][op]; ok {
		l.op3(o, d, a, b)
		return
	}
	l.op3(intOps[op], d, a, b)
	if !staysInRange(op) {
		l.normalise(d, k)
	}
}

var narrowOps = map[repKind]map[token.Token]bytecode.Op{
	kI32: {token.ADD: bytecode.OpADDW, token.SUB: bytecode.OpSUBW, token.MUL: bytecode.OpMULW},
	kU32: {token.ADD: bytecode.OpADDUW, token.SUB: bytecode.OpSUBUW, token.MUL: bytecode.OpMULUW},
}

func (l *lowerer) immOp(d opd, o bytecode.Op, op token.Token, a opd, c int64, k repKind) {
	switch {
	case o == bytecode.OpADDI && k == kI32:
		l.op3(bytecode.OpADDIW, d, a, imm(c))
	case o == bytecode.OpADDI && k == kU32:
		l.op3(bytecode.OpADDIUW, d, a, imm(c))
	default:
		l.op3(o, d, a, imm(c))
		if !staysInRange(op) {
			l.normalise(d, k)
		}
	}
}

func (l *lowerer) divide(d opd, x *ssa.BinOp, k repKind) {
	signed := k.signed()
	if c, ok := l.small(x.Y); ok && c > 0 && (signed || k != kU64) {
		op := bytecode.OpDIVI
		if x.Op == token.REM {
			op = bytecode.OpREMI
		}
		l.op3(op, d, l.use(x.X), imm(c))
		return
	}
	var op bytecode.Op
	switch {
	case x.Op == token.QUO && signed:
		op = bytecode.OpDIV
	case x.Op == token.QUO:
		op = bytecode.OpDIVU
	case signed:
		op = bytecode.OpREM
	default:
		op = bytecode.OpREMU
	}
	l.op3(op, d, l.use(x.X), l.use(x.Y))
	if signed && x.Op == token.QUO { // the smallest number divided by -1
		l.normalise(d, k)
	}
}

func (l *lowerer) shift(d opd, x *ssa.BinOp) {
	k := l.la.of(x.Type()).kind
	a := l.use(x.X)
	if c, ok := x.Y.(*ssa.Const); ok {
		n := constBits(c, kU64)
		l.shiftConst(d, a, x.Op, n, k)
		return
	}
	n := l.use(x.Y)
	if l.la.of(x.Y.Type()).kind.signed() {
		bad, pos := l.f.newLabel(), l.pos
		l.branch(bytecode.OpJLTI, n, imm(0), bad)
		l.cold = append(l.cold, func() {
			l.pos = pos
			l.label(bad)
			l.emit(ins{op: m(bytecode.OpTRAP), a: imm(bytecode.TrapShift), b: n})
		})
	}
	switch {
	case x.Op == token.SHL:
		l.op3(bytecode.OpSHL, d, a, n)
		l.normalise(d, k)
	case k.signed():
		l.op3(bytecode.OpSAR, d, a, n)
	default:
		l.op3(bytecode.OpSHR, d, a, n)
	}
}

func (l *lowerer) shiftConst(d, a opd, op token.Token, n uint64, k repKind) {
	switch {
	case op == token.SHL && n > 63, op == token.SHR && n > 63 && !k.signed():
		l.zero(d, 1)
	case op == token.SHL:
		l.op3(bytecode.OpSHLI, d, a, imm(int64(n)))
		l.normalise(d, k)
	case k.signed():
		l.op3(bytecode.OpSARI, d, a, imm(int64(min(n, 63))))
	default:
		l.op3(bytecode.OpSHRI, d, a, imm(int64(n)))
	}
}

// float64Of returns a float operand as float64, which represents every float32.
func (l *lowerer) float64Of(v ssa.Value, k repKind) opd {
	o := l.use(v)
	if k != kF32 {
		return o
	}
	t := l.tmp()
	l.op3(bytecode.OpG2F, t, o, opd{})
	return t
}

// compare computes a comparison to a boolean.
func (l *lowerer) compare(d opd, x *ssa.BinOp, k repKind) {
	if v, ok := nilCompared(x); ok {
		l.cmpOp(d, x.Op, l.use(v), l.number(0), bytecode.OpLT, bytecode.OpLE)
		return
	}
	switch {
	case k.float():
		op, X, Y := x.Op, l.float64Of(x.X, k), l.float64Of(x.Y, k)
		if op == token.GTR || op == token.GEQ {
			op, X, Y = swapped[op], Y, X
		}
		o := map[token.Token]bytecode.Op{token.EQL: bytecode.OpFEQ, token.NEQ: bytecode.OpFNE, token.LSS: bytecode.OpFLT, token.LEQ: bytecode.OpFLE}[op]
		l.op3(o, d, X, Y)
	case k == kString && x.Op != token.EQL && x.Op != token.NEQ:
		t := l.tmp()
		l.op3(bytecode.OpSTRCMP, t, l.use(x.X), l.use(x.Y))
		l.cmpOp(d, x.Op, t, l.number(0), bytecode.OpLT, bytecode.OpLE)
	case k.integer() || k == kBool || k == kPtr:
		if k == kU64 || k == kPtr {
			l.cmpOp(d, x.Op, l.use(x.X), l.use(x.Y), bytecode.OpLTU, bytecode.OpLEU)
		} else {
			l.cmpOp(d, x.Op, l.use(x.X), l.use(x.Y), bytecode.OpLT, bytecode.OpLE)
		}
	default:
		l.equal(d, x.X.Type(), l.use(x.X), l.use(x.Y))
		if x.Op == token.NEQ {
			l.op3(bytecode.OpBNOT, d, d, opd{})
		}
	}
}

func (l *lowerer) cmpOp(d opd, op token.Token, a, b opd, lt, le bytecode.Op) {
	switch op {
	case token.EQL:
		l.op3(bytecode.OpEQ, d, a, b)
	case token.NEQ:
		l.op3(bytecode.OpNE, d, a, b)
	case token.LSS:
		l.op3(lt, d, a, b)
	case token.LEQ:
		l.op3(le, d, a, b)
	case token.GTR:
		l.op3(lt, d, b, a)
	case token.GEQ:
		l.op3(le, d, b, a)
	}
}

// equal compares two values of a type that is not a simple scalar.
func (l *lowerer) equal(d opd, t types.Type, a, b opd) {
	r := l.la.of(t)
	switch {
	case r.kind == kString:
		l.op3(bytecode.OpSTREQ, d, a, b)
	case r.kind == kIface && isEmptyIface(t):
		l.native("vm.efaceeq", d, 1, a, 2, b, 2)
	case r.kind == kIface:
		// By type, not by itab: interface types with the same methods have itabs of their own.
		x, y := l.ptrTmp(), l.ptrTmp()
		l.op3(bytecode.OpIFTYPE, x, a, opd{})
		l.op3(bytecode.OpIFTYPE, y, b, opd{})
		l.native("vm.efaceeq", d, 1, x, 1, a.word(1), 1, y, 1, b.word(1), 1)
	case r.kind == kC128:
		u := l.tmp()
		l.op3(bytecode.OpFEQ, u, a, b)
		l.op3(bytecode.OpFEQ, d, a.word(1), b.word(1))
		l.op3(bytecode.OpAND, d, d, u)
	case r.kind == kC64:
		ar, ai := l.c64Parts(a)
		br, bi := l.c64Parts(b)
		for _, p := range []opd{ar, ai, br, bi} {
			l.op3(bytecode.OpG2F, p, p, opd{})
		}
		l.op3(bytecode.OpFEQ, ar, ar, br)
		l.op3(bytecode.OpFEQ, ai, ai, bi)
		l.op3(bytecode.OpAND, d, ar, ai)
	case r.words == 0:
		l.intConst(d, 1)
	default:
		l.emit(ins{op: m(bytecode.OpEQT), a: d, b: a, wb: uint16(r.words), c: b, wc: uint16(r.words), ext: uint64(l.c.typeID(t))})
	}
}

// concat joins the operands of a chain of string additions.
func (l *lowerer) concat(d opd, x *ssa.BinOp) {
	parts := l.concatParts(x, nil)
	args := make([]any, 0, 2*len(parts))
	for _, p := range parts {
		args = append(args, p, 2)
	}
	l.native("vm.concat"+strconv.Itoa(len(parts)), d, 2, args...)
}

func (l *lowerer) concatParts(x *ssa.BinOp, out []ssa.Value) []ssa.Value {
	for _, o := range [2]ssa.Value{x.X, x.Y} {
		if y, ok := o.(*ssa.BinOp); ok && l.fused[o] {
			out = l.concatParts(y, out)
		} else {
			out = append(out, o)
		}
	}
	return out
}

const maxConcat = 5

// decideConcat joins the additions that x's operands are into x.
func (l *lowerer) decideConcat(x *ssa.BinOp) {
	if x.Op != token.ADD || l.la.of(x.Type()).kind != kString {
		return
	}
	n := 2
	for _, o := range [2]ssa.Value{x.X, x.Y} {
		y, ok := o.(*ssa.BinOp)
		if !ok || y.Op != token.ADD || y.Block() != x.Block() || len(*y.Referrers()) != 1 {
			continue
		}
		if k := len(l.concatParts(y, nil)) - 1; n+k <= maxConcat {
			n += k
			l.fused[y] = true
		}
	}
}
