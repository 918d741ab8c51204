package gofront

import (
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// go and defer take a funcval without arguments and results. Other calls get a
// thunk: a closure that holds function and arguments.

func (l *lowerer) goDefer(c *ssa.CallCommon, op bytecode.Op) {
	l.emit(ins{op: m(op), a: l.thunkFor(c, op)})
}

// thunkFor returns a funcval that performs the call.
func (l *lowerer) thunkFor(c *ssa.CallCommon, op bytecode.Op) opd {
	_, isBuiltin := c.Value.(*ssa.Builtin)
	plain := !isBuiltin && !c.IsInvoke() && len(c.Args) == 0 && l.la.of(c.Signature().Results()).words == 0
	if fn, ok := c.Value.(*ssa.Function); ok && plain {
		if _, native := l.c.nativeName(fn); !native {
			return l.use(fn)
		}
	} else if plain {
		return l.use(c.Value)
	}
	if c.IsInvoke() { // a nil interface panics here, not in the deferred call
		l.emit(ins{op: m(bytecode.OpNILCHK), a: l.use(c.Value)})
	}
	caps := capturedBy(c)
	d := l.ptrTmp()
	l.closure(d, l.c.thunk(l.fn, c, caps, op), caps)
	return d
}

// capturedBy lists the operands of a call that are not known at compile time, each once.
func capturedBy(c *ssa.CallCommon) []ssa.Value {
	var caps []ssa.Value
	seen := map[ssa.Value]bool{}
	for _, v := range append([]ssa.Value{c.Value}, c.Args...) {
		switch v.(type) {
		case *ssa.Const, *ssa.Function, *ssa.Builtin, *ssa.Global:
			continue
		}
		if !seen[v] {
			seen[v] = true
			caps = append(caps, v)
		}
	}
	return caps
}

// lowerThunk makes the body of a thunk.
func lowerThunk(c *linker, parent *ssa.Function, call *ssa.CallCommon, caps []ssa.Value) *mfunc {
	l := newLowerer(c, parent, 0)
	l.pos = call.Pos()
	ts := make([]types.Type, len(caps))
	for i, v := range caps {
		ts[i] = v.Type()
	}
	offs := l.la.offsets(c.closureType(ts))
	for i, v := range caps {
		d := l.tmpOf(l.la.of(v.Type()))
		l.vals[v] = d
		if d.v != 0 {
			l.load(d, addr{base: opd{v: l.context()}, off: offs[i+1]}, v.Type())
		}
	}
	if b, ok := call.Value.(*ssa.Builtin); ok {
		l.builtin(nil, b.Name(), call)
	} else {
		l.call(opd{}, call)
	}
	l.emit(ins{op: m(bytecode.OpRET)})
	l.flushCold()
	return l.f
}

// A function whose deferred calls may come from the bodies of range-over-func
// loops keeps a list of its own: a heap cell that points to the newest
// {funcval, next} pair, and one deferred runner that works the list off.

var (
	deferCell = types.NewStruct([]*types.Var{types.NewField(0, nil, "head", types.Typ[types.UnsafePointer], false)}, nil)
	deferNode = types.NewStruct([]*types.Var{
		types.NewField(0, nil, "fn", types.Typ[types.UnsafePointer], false),
		types.NewField(0, nil, "next", types.Typ[types.UnsafePointer], false),
	}, nil)
)

// deferStack makes the list and defers its runner.
func (l *lowerer) deferStack(d opd) {
	cell := l.ptrTmp()
	l.emit(ins{op: m(bytecode.OpNEW), a: cell, ext: uint64(l.c.typeID(deferCell))})
	st := l.c.closureType([]types.Type{types.Typ[types.UnsafePointer]})
	fv, cw := l.ptrTmp(), l.tmp()
	l.emit(ins{op: m(bytecode.OpNEW), a: fv, ext: uint64(l.c.typeID(st))})
	l.emit(ins{op: m(bytecode.OpLDCW), a: cw, ext: uint64(l.c.deferRunner())})
	l.op3(bytecode.OpST64, cw, fv, imm(0))
	l.op3(bytecode.OpST64, cell, fv, imm(8))
	l.emit(ins{op: m(bytecode.OpDEFER), a: fv})
	l.mov(d, cell, 1)
}

func (l *lowerer) deferInstr(x *ssa.Defer) {
	if x.DeferStack == nil {
		l.goDefer(&x.Call, bytecode.OpDEFER)
		return
	}
	if c, ok := x.DeferStack.(*ssa.Const); ok && c.Value == nil {
		l.goDefer(&x.Call, bytecode.OpDEFER)
		return
	}
	fv, cell := l.thunkFor(&x.Call, bytecode.OpDEFER), l.use(x.DeferStack)
	node, next := l.ptrTmp(), l.ptrTmp()
	l.emit(ins{op: m(bytecode.OpNEW), a: node, ext: uint64(l.c.typeID(deferNode))})
	l.op3(bytecode.OpLD64, next, cell, imm(0))
	l.op3(bytecode.OpST64, fv, node, imm(0))
	l.op3(bytecode.OpST64, next, node, imm(8))
	l.op3(bytecode.OpST64, node, cell, imm(0))
}

// lowerDeferRunner makes the runner: it takes the newest call off the list,
// defers itself for the rest, so that a panic does not lose it, and calls.
func lowerDeferRunner(c *linker) *mfunc {
	l := newLowerer(c, nil, 0)
	cell, node, next, fn := l.ptrTmp(), l.ptrTmp(), l.ptrTmp(), l.ptrTmp()
	none, last := l.f.newLabel(), l.f.newLabel()
	l.op3(bytecode.OpLD64, cell, opd{v: l.context()}, imm(8))
	l.op3(bytecode.OpLD64, node, cell, imm(0))
	l.branch(bytecode.OpJEQI, node, imm(0), none)
	l.op3(bytecode.OpLD64, fn, node, imm(0))
	l.op3(bytecode.OpLD64, next, node, imm(8))
	l.op3(bytecode.OpST64, next, cell, imm(0))
	l.branch(bytecode.OpJEQI, next, imm(0), last)
	l.emit(ins{op: m(bytecode.OpDEFER), a: opd{v: l.context()}})
	l.label(last)
	l.noteWindow(0)
	l.emit(ins{op: m(bytecode.OpCALLC), a: opd{v: winReg}, xs: []opd{fn}, ext: bytecode.Sig(0, 0, 0, 0)})
	l.runDefers()
	l.label(none)
	l.emit(ins{op: m(bytecode.OpRET)})
	l.f.recover = l.f.newLabel()
	l.label(l.f.recover)
	l.runDefers()
	l.emit(ins{op: m(bytecode.OpRET)})
	return l.f
}

func hasRunDefers(fn *ssa.Function) bool {
	for _, b := range fn.Blocks {
		for _, in := range b.Instrs {
			if _, ok := in.(*ssa.RunDefers); ok {
				return true
			}
		}
	}
	return false
}

// resultLoads is the index of the first of the loads of results that end a
// returning block; deferred calls run before them. -1: the block does not return.
func resultLoads(b *ssa.BasicBlock) int {
	n := len(b.Instrs) - 1
	ret, ok := b.Instrs[n].(*ssa.Return)
	if !ok {
		return -1
	}
	for n > 0 {
		u, ok := b.Instrs[n-1].(*ssa.UnOp)
		if !ok || u.Op != token.MUL || !slices.Contains(ret.Results, ssa.Value(u)) {
			break
		}
		n--
	}
	return n
}

// ownRecover makes the recover point of a function with ownDefers: named
// results are read again, others are zero.
func (l *lowerer) ownRecover() {
	if !l.ownDefers || l.fn.Recover != nil {
		return
	}
	var ret *ssa.Return
	for _, b := range l.order {
		if r, ok := b.Instrs[len(b.Instrs)-1].(*ssa.Return); ok {
			ret = r
			break
		}
	}
	l.f.recover = l.f.newLabel()
	l.label(l.f.recover)
	l.runDefers()
	res := l.fn.Signature.Results()
	d, off := l.tmpOf(l.la.of(res)), 0
	if d.v != 0 {
		l.emit(ins{op: pDef, a: d})
	}
	for i := range res.Len() {
		t := res.At(i).Type()
		var a *ssa.Alloc
		if ret != nil {
			if u, ok := ret.Results[i].(*ssa.UnOp); ok && u.Op == token.MUL {
				a, _ = u.X.(*ssa.Alloc)
			}
		}
		if a != nil {
			l.load(d.word(off), l.addrOf(a), t)
		} else {
			l.zeroOf(d.word(off), t)
		}
		off += l.la.of(t).words
	}
	l.emit(ins{op: m(bytecode.OpRETN), a: d, wa: uint16(off), c: imm(int64(off))})
}
