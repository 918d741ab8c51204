package gofront

import (
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Calls. Arguments are moved into registers pinned to the outgoing window just
// before the call; coalescing lets them be computed there in the first place.

// pinned makes a register at slot off of the outgoing window.
func (l *lowerer) pinned(off int, r *rep) opd {
	d := l.tmpOf(r)
	if d.v != 0 {
		l.f.vregs[d.v].pin, l.f.vregs[d.v].off = pinWin, int16(off)
		l.f.winMax = max(l.f.winMax, off+r.words)
	}
	return d
}

// window moves values into the outgoing window, from slot off on.
func (l *lowerer) window(off int, vals []ssa.Value) []vreg {
	var regs []vreg
	for _, v := range vals {
		r := l.la.of(v.Type())
		d := l.pinned(off, r)
		if d.v == 0 {
			continue
		}
		l.into(d, v)
		regs = append(regs, d.v)
		off += r.words
	}
	return regs
}

func wordsOf(l *lowerer, vals []ssa.Value) int {
	n := 0
	for _, v := range vals {
		n += l.la.of(v.Type()).words
	}
	return n
}

// native calls a function of the VM: args are pairs of a value (ssa.Value or opd) and its width.
func (l *lowerer) native(name string, d opd, nres int, args ...any) {
	var regs []vreg
	off := 0
	for i := 0; i < len(args); i += 2 {
		w := args[i+1].(int)
		if w == 0 {
			continue
		}
		var p opd
		switch a := args[i].(type) {
		case ssa.Value:
			p = l.pinned(off, l.la.of(a.Type()))
			l.into(p, a)
		case opd:
			p = l.pinned(off, &rep{words: w, ptr: l.ptrsOf(a, w)})
			l.mov(p, a, w)
		}
		regs = append(regs, p.v)
		off += w
	}
	l.nativeCall(name, d, nres, off, regs)
}

func (l *lowerer) nativeCall(name string, d opd, nres, nargs int, regs []vreg) {
	if nres > 0 && d.v == 0 {
		d = opd{v: l.f.newVreg(nres, nil)}
	}
	l.emit(ins{
		op: m(bytecode.OpNATIVE), a: d, wa: uint16(nres), b: opd{v: winReg}, args: regs,
		ext: uint64(l.c.nativeID(name, nargs, nres)),
	})
}

// ptrsOf is the pointer map of w words at o.
func (l *lowerer) ptrsOf(o opd, w int) bitmap {
	var b bitmap
	for i := range w {
		if l.f.vregs[o.v].ptr.has(int(o.off) + i) {
			b.set(i)
		}
	}
	return b
}

func (l *lowerer) callInstr(x *ssa.Call) {
	if b, ok := x.Call.Value.(*ssa.Builtin); ok {
		l.builtin(x, b.Name(), &x.Call)
		return
	}
	if l.skipCall(&x.Call) {
		return
	}
	if fn := x.Call.StaticCallee(); fn != nil && l.intrinsic(x, fn) {
		return
	}
	d := opd{}
	if l.la.of(x.Type()).words > 0 {
		d = l.newValue(x)
	} else {
		l.vals[x] = opd{}
	}
	l.call(d, &x.Call)
}

// skipCall: a package's init function calls the init functions of its imports;
// the program's entry does that, in the right order.
func (l *lowerer) skipCall(c *ssa.CallCommon) bool {
	callee, ok := c.Value.(*ssa.Function)
	return ok && l.fn != nil && l.fn.Synthetic == "package initializer" && callee.Synthetic == "package initializer"
}

// call emits a call of any kind; results go to d.
func (l *lowerer) call(d opd, c *ssa.CallCommon) {
	sig := c.Signature()
	nres := l.la.of(sig.Results()).words
	if nres > 0 && d.v == 0 {
		d = l.tmpOf(l.la.of(sig.Results()))
	}
	if c.IsInvoke() {
		l.invoke(d, nres, c)
		return
	}
	nargs := wordsOf(l, c.Args)
	if fn, ok := c.Value.(*ssa.Function); ok {
		if name, ok := l.c.nativeName(fn); ok {
			regs := l.window(0, c.Args)
			l.nativeCall(name, d, nres, nargs, regs)
			return
		}
		regs := l.window(bytecode.FrameArgs, c.Args)
		l.callFunc(d, nres, l.c.funcID(fn), nargs, regs)
		return
	}
	fv := l.use(c.Value)
	regs := l.window(bytecode.FrameArgs, c.Args)
	l.noteWindow(nargs)
	l.emit(ins{
		op: m(bytecode.OpCALLC), a: opd{v: winReg}, b: d, wb: uint16(nres), xs: []opd{fv}, args: regs,
		ext: bytecode.Sig(0, 0, uint16(nargs), uint16(nres)),
	})
}

func (l *lowerer) noteWindow(nargs int) {
	l.f.winMax = max(l.f.winMax, bytecode.FrameArgs+nargs)
}

func (l *lowerer) callFunc(d opd, nres int, id bytecode.FuncID, nargs int, regs []vreg) {
	l.noteWindow(nargs)
	l.emit(ins{op: m(bytecode.OpCALL), a: opd{v: winReg}, b: d, wb: uint16(nres), args: regs, ext: uint64(id)})
}

// invoke calls a method through an itab; the VM puts the data word into the first argument slot.
func (l *lowerer) invoke(d opd, nres int, c *ssa.CallCommon) {
	it := c.Value.Type().Underlying().(*types.Interface)
	idx := l.c.methodIndex(it, c.Method)
	iv := l.use(c.Value)
	regs := l.window(bytecode.FrameArgs+1, c.Args)
	nargs := 1 + wordsOf(l, c.Args)
	l.noteWindow(nargs)
	l.emit(ins{
		op: m(bytecode.OpCALLI), a: opd{v: winReg}, b: d, wb: uint16(nres), xs: []opd{iv}, args: regs,
		ext: bytecode.Sig(0, uint16(idx), uint16(nargs), uint16(nres)),
	})
}

// trap calls the program's trap function with numbers or pointers.
func (l *lowerer) trap(code int64, args ...opd) {
	if l.c.trapFunc == nil {
		l.emit(ins{op: m(bytecode.OpTRAP), a: imm(code), b: l.number(0)})
		return
	}
	var regs []vreg
	for i := range 6 {
		p := l.pinned(bytecode.FrameArgs+i, &rep{words: 1})
		switch {
		case i == 0:
			l.intConst(p, code)
		case i <= len(args) && args[i-1].v != 0:
			l.mov(p, args[i-1], 1)
		default:
			l.intConst(p, 0)
		}
		regs = append(regs, p.v)
	}
	l.callFunc(opd{}, 0, l.c.funcID(l.c.trapFunc), 6, regs)
	l.emit(ins{op: m(bytecode.OpTRAP), a: imm(bytecode.TrapUnreachable), b: l.number(0)})
}

// closures.

func (l *lowerer) makeClosure(x *ssa.MakeClosure) {
	fn := x.Fn.(*ssa.Function)
	d := l.newValue(x)
	l.closure(d, l.c.funcID(fn), x.Bindings)
}

// closure allocates a funcval with captured values.
func (l *lowerer) closure(d opd, id bytecode.FuncID, caps []ssa.Value) {
	if len(caps) == 0 {
		l.emit(ins{op: m(bytecode.OpLDFN), a: d, ext: uint64(id)})
		return
	}
	ts := make([]types.Type, len(caps))
	for i, c := range caps {
		ts[i] = l.c.captureType(c)
	}
	st := l.c.closureType(ts)
	offs := l.la.offsets(st)
	t := l.ptrTmp() // a capture may lie in d
	l.emit(ins{op: m(bytecode.OpNEW), a: t, ext: uint64(l.c.typeID(st))})
	cw := l.tmp()
	l.emit(ins{op: m(bytecode.OpLDCW), a: cw, ext: uint64(id)})
	l.op3(bytecode.OpST64, cw, t, imm(0))
	for i, c := range caps {
		o, ok := l.captured[c]
		if !ok {
			o = l.use(c)
		}
		l.store(addr{base: t, off: offs[i+1]}, o, ts[i])
	}
	l.mov(d, t, 1)
}
