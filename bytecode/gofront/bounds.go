package gofront

import (
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Indexes and bounds of unsigned types.
//
// The machine compares bounds as unsigned numbers, so that an index beyond the
// largest int is out of range as it should be; but its report shows a negative
// number. Before such an instruction the code therefore leaves an index that
// looks negative in runtime.vmUnsigned, by which package runtime recognises it.
// That costs one branch, and nothing where the index is known to be small.

// useIndex is use for an index or bound of a slice expression.
func (l *lowerer) useIndex(v ssa.Value) opd {
	o := l.use(v)
	if l.c.prog.Runtime == nil || l.la.of(v.Type()).kind != kU64 || fitsInt(v, 4) {
		return o
	}
	g := l.c.prog.Runtime.SSA.Var("vmUnsigned")
	if g == nil {
		return o
	}
	large, back, pos := l.f.newLabel(), l.f.newLabel(), l.pos
	l.branch(bytecode.OpJLTI, o, imm(0), large)
	l.label(back)
	l.cold = append(l.cold, func() {
		l.pos = pos
		l.label(large)
		a := l.ptrTmp()
		l.globalAddr(a, g)
		l.op3(bytecode.OpST64, o, a, imm(0))
		l.jmp(back)
	})
	return o
}

// fitsInt: v, which is of an unsigned type of 64 bits, is known not to exceed the largest int.
func fitsInt(v ssa.Value, depth int) bool {
	if depth == 0 {
		return false
	}
	switch x := v.(type) {
	case *ssa.Const:
		return constBits(x, kU64)>>63 == 0
	case *ssa.Convert:
		b, ok := x.X.Type().Underlying().(*types.Basic)
		if !ok {
			return false
		}
		k := basicReps[b.Kind()]
		return k.unsigned() && k != kU64 || isLength(x.X) || k == kU64 && fitsInt(x.X, depth-1)
	case *ssa.BinOp:
		switch x.Op {
		case token.AND:
			return fitsInt(x.X, depth-1) || fitsInt(x.Y, depth-1)
		case token.OR, token.XOR:
			return fitsInt(x.X, depth-1) && fitsInt(x.Y, depth-1)
		case token.REM:
			return fitsInt(x.X, depth-1) || fitsInt(x.Y, depth-1)
		case token.SHR:
			c, ok := x.Y.(*ssa.Const)
			return ok && constBits(c, kU64) > 0 || fitsInt(x.X, depth-1)
		case token.QUO:
			c, ok := x.Y.(*ssa.Const)
			return ok && constBits(c, kU64) > 1 || fitsInt(x.X, depth-1)
		}
	}
	return false
}

// isLength: v is the result of len or cap.
func isLength(v ssa.Value) bool {
	c, ok := v.(*ssa.Call)
	if !ok {
		return false
	}
	b, ok := c.Call.Value.(*ssa.Builtin)
	return ok && (b.Name() == "len" || b.Name() == "cap")
}
