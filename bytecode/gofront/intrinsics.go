package gofront

import (
	"go/types"
	"strings"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Calls of library functions that are an instruction or two. Goroutines take
// turns, and turns end at safepoints only, so that plain loads and stores do for
// the atomic operations.

type intrinsic func(l *lowerer, d opd, c *ssa.CallCommon)

func (c *linker) intrinsicOf(fn *ssa.Function) intrinsic {
	if fn.Pkg == nil || fn.Signature.Recv() != nil {
		return nil
	}
	path := fn.Pkg.Pkg.Path()
	switch path {
	case "math", "math/bits", "internal/runtime/sys", "internal/runtime/math":
		return c.math[fn.Name()]
	case "sync/atomic", "internal/runtime/atomic":
		return atomicIntrinsic(fn)
	}
	return nil
}

// intrinsic emits a call as instructions, if it knows how.
func (l *lowerer) intrinsic(x *ssa.Call, fn *ssa.Function) bool {
	in := l.c.intrinsicOf(fn)
	if in == nil {
		return false
	}
	d := opd{}
	if l.la.of(x.Type()).words > 0 {
		d = l.newValue(x)
	} else {
		l.vals[x] = opd{}
	}
	in(l, d, &x.Call)
	return true
}

func unary(op bytecode.Op) intrinsic {
	return func(l *lowerer, d opd, c *ssa.CallCommon) { l.op3(op, d, l.use(c.Args[0]), opd{}) }
}

func binaryOp(op bytecode.Op) intrinsic {
	return func(l *lowerer, d opd, c *ssa.CallCommon) { l.op3(op, d, l.use(c.Args[0]), l.use(c.Args[1])) }
}

// lenOf gives the length in bits of a number whose leading zeros are counted in 64.
func lenOf(l *lowerer, d opd, c *ssa.CallCommon) {
	t := l.tmp()
	l.op3(bytecode.OpCLZ, t, l.use(c.Args[0]), opd{})
	l.op3(bytecode.OpSUBRI, d, t, imm(64))
}

func leading(width int64) intrinsic {
	return func(l *lowerer, d opd, c *ssa.CallCommon) {
		t := l.tmp()
		l.op3(bytecode.OpCLZ, t, l.use(c.Args[0]), opd{})
		l.op3(bytecode.OpADDI, d, t, imm(width-64))
	}
}

// trailing sets a bit above the number, so that 0 gives its width.
func trailing(width int64) intrinsic {
	return func(l *lowerer, d opd, c *ssa.CallCommon) {
		a := l.use(c.Args[0])
		if width < 64 {
			t := l.number(1 << width)
			l.op3(bytecode.OpOR, t, t, a)
			a = t
		}
		l.op3(bytecode.OpCTZ, d, a, opd{})
	}
}

func mul64(l *lowerer, d opd, c *ssa.CallCommon) {
	a, b := l.use(c.Args[0]), l.use(c.Args[1])
	l.emit(ins{op: pDef, a: d})
	l.op3(bytecode.OpMULHU, d, a, b)
	l.op3(bytecode.OpMUL, d.word(1), a, b)
}

func copyWord(l *lowerer, d opd, c *ssa.CallCommon) { l.into(d, c.Args[0]) }

func mathIntrinsics() map[string]intrinsic {
	return map[string]intrinsic{
		"Sqrt": unary(bytecode.OpFSQRT), "sqrt": unary(bytecode.OpFSQRT), "Abs": unary(bytecode.OpFABS),
		"Floor": unary(bytecode.OpFLOOR), "Ceil": unary(bytecode.OpFCEIL), "Trunc": unary(bytecode.OpFTRUNC),
		"FMA": func(l *lowerer, d opd, c *ssa.CallCommon) {
			l.emit(ins{op: m(bytecode.OpFMA), a: d, b: l.use(c.Args[0]), c: l.use(c.Args[1]), xs: []opd{l.use(c.Args[2])}})
		},
		"Float64bits": copyWord, "Float64frombits": copyWord, "Float32bits": copyWord, "Float32frombits": copyWord,
		"LeadingZeros64": leading(64), "LeadingZeros": leading(64), "LeadingZeros32": leading(32), "LeadingZeros16": leading(16), "LeadingZeros8": leading(8),
		"Len64": lenOf, "Len": lenOf, "Len32": lenOf, "Len16": lenOf, "Len8": lenOf,
		"TrailingZeros64": trailing(64), "TrailingZeros": trailing(64), "TrailingZeros32": trailing(32), "TrailingZeros16": trailing(16), "TrailingZeros8": trailing(8),
		"OnesCount64": unary(bytecode.OpPOPC), "OnesCount": unary(bytecode.OpPOPC), "OnesCount32": unary(bytecode.OpPOPC),
		"OnesCount16": unary(bytecode.OpPOPC), "OnesCount8": unary(bytecode.OpPOPC),
		"ReverseBytes64": unary(bytecode.OpBSWAP), "ReverseBytes": unary(bytecode.OpBSWAP), "ReverseBytes32": unary(bytecode.OpBSWAP32),
		"RotateLeft64": binaryOp(bytecode.OpROTL), "RotateLeft": binaryOp(bytecode.OpROTL), "RotateLeft32": binaryOp(bytecode.OpROTL32),
		"Mul64": mul64, "Mul": mul64, "Bswap64": unary(bytecode.OpBSWAP), "Bswap32": unary(bytecode.OpBSWAP32),
	}
}

// atomicIntrinsic handles loads, stores, additions, swaps and compare-and-swap on words of 32 and 64 bits and pointers.
func atomicIntrinsic(fn *ssa.Function) intrinsic {
	sig := fn.Signature
	if sig.Params().Len() == 0 {
		return nil
	}
	p, ok := sig.Params().At(0).Type().Underlying().(*types.Pointer)
	if !ok {
		return nil
	}
	elem := p.Elem()
	if _, basic := elem.Underlying().(*types.Basic); !basic {
		return nil
	}
	name := fn.Name()
	switch {
	case strings.HasPrefix(name, "Load") && sig.Params().Len() == 1:
		return func(l *lowerer, d opd, c *ssa.CallCommon) { l.load(d, l.addrOf(c.Args[0]), elem) }
	case strings.HasPrefix(name, "Store") && sig.Params().Len() == 2:
		return func(l *lowerer, d opd, c *ssa.CallCommon) { l.store(l.addrOf(c.Args[0]), l.use(c.Args[1]), elem) }
	case strings.HasPrefix(name, "Add") && fn.Pkg.Pkg.Path() == "sync/atomic":
		return func(l *lowerer, d opd, c *ssa.CallCommon) { atomicAdd(l, d, c, elem) }
	case strings.HasPrefix(name, "Swap") && fn.Pkg.Pkg.Path() == "sync/atomic":
		return func(l *lowerer, d opd, c *ssa.CallCommon) {
			a := l.addrOf(c.Args[0])
			v, t := l.use(c.Args[1]), l.tmpOf(l.la.of(elem))
			l.load(t, a, elem)
			l.store(a, v, elem)
			l.mov(d, t, 1)
		}
	case strings.HasPrefix(name, "CompareAndSwap") && fn.Pkg.Pkg.Path() == "sync/atomic":
		return func(l *lowerer, d opd, c *ssa.CallCommon) { atomicCAS(l, d, c, elem) }
	}
	return nil
}

func atomicAdd(l *lowerer, d opd, c *ssa.CallCommon, elem types.Type) {
	a := l.addrOf(c.Args[0])
	v, t := l.use(c.Args[1]), l.tmp()
	l.load(t, a, elem)
	l.op3(bytecode.OpADD, t, t, v)
	l.normalise(t, l.la.of(elem).kind)
	l.store(a, t, elem)
	l.mov(d, t, 1)
}

func atomicCAS(l *lowerer, d opd, c *ssa.CallCommon, elem types.Type) {
	a := l.addrOf(c.Args[0])
	old, v := l.use(c.Args[1]), l.use(c.Args[2])
	t, ok, no := l.tmpOf(l.la.of(elem)), l.tmp(), l.f.newLabel()
	l.load(t, a, elem)
	l.op3(bytecode.OpEQ, ok, t, old)
	l.branch(bytecode.OpJF, ok, opd{}, no)
	l.store(a, v, elem)
	l.label(no)
	l.mov(d, ok, 1)
}
