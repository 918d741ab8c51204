package gofront

import (
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// builtin lowers a call of a predeclared function. x is nil when the call is deferred.
func (l *lowerer) builtin(x *ssa.Call, name string, c *ssa.CallCommon) {
	res := func() opd {
		if x == nil {
			return l.tmpOf(l.la.of(c.Signature().Results()))
		}
		return l.newValue(x)
	}
	arg := func(i int) opd { return l.use(c.Args[i]) }
	switch name {
	case "len", "cap":
		l.lenCap(x, name, c)
	case "append":
		l.appendCall(res(), x, c)
	case "copy":
		l.copyCall(res(), c)
	case "clear":
		l.clearCall(c)
	case "close":
		l.emit(ins{op: m(bytecode.OpCLOSE), a: arg(0)})
	case "delete":
		l.emit(ins{op: m(bytecode.OpMAPDEL), a: arg(0), b: arg(1), wb: l.width(c.Args[1]), ext: uint64(l.c.typeID(c.Args[0].Type()))})
	case "panic":
		l.panicWith(c.Args[0])
	case "recover":
		if x == nil { // recover itself is deferred: no deferred function calls it
			return
		}
		d := res()
		if d.v == 0 {
			d = l.tmpOf(&rep{words: 2, ptr: bits2})
		}
		l.emit(ins{op: m(bytecode.OpRECOVER), a: d})
	case "print", "println":
		l.print(name == "println", c.Args)
	case "min", "max":
		l.minMax(res(), name == "max", c.Args)
	case "complex", "real", "imag":
		l.complexBuiltin(x, name, c)
	case "ssa:wrapnilchk":
		l.wrapNilCheck(x, c)
	case "ssa:deferstack":
		if x == nil {
			l.fail("internal error: deferred ssa:deferstack")
		}
		l.ownDefers = !hasRunDefers(l.fn)
		l.deferStack(res())
	default:
		l.unsafeBuiltin(x, name, c)
	}
}

// lenCap: a length is a word of its operand where there is one.
func (l *lowerer) lenCap(x *ssa.Call, name string, c *ssa.CallCommon) {
	if x == nil {
		return
	}
	v := c.Args[0]
	t := v.Type().Underlying()
	if p, ok := t.(*types.Pointer); ok {
		t = p.Elem().Underlying()
	}
	switch u := t.(type) {
	case *types.Array:
		l.intConst(l.newValue(x), u.Len())
	case *types.Slice:
		if name == "cap" {
			l.alias(x, l.use(v).word(2))
			return
		}
		l.alias(x, l.use(v).word(1))
	case *types.Basic:
		if k, ok := v.(*ssa.Const); ok {
			l.intConst(l.newValue(x), int64(len(constString(k))))
			return
		}
		l.alias(x, l.use(v).word(1))
	case *types.Map:
		l.op3(bytecode.OpMAPLEN, l.newValue(x), l.use(v), opd{})
	case *types.Chan:
		op := bytecode.OpCHLEN
		if name == "cap" {
			op = bytecode.OpCHCAP
		}
		l.op3(op, l.newValue(x), l.use(v), opd{})
	default:
		l.fail("unsupported operand of %s: %s", name, v.Type())
	}
}

// appendCall: elements that are known are stored directly behind the old ones.
func (l *lowerer) appendCall(d opd, x *ssa.Call, c *ssa.CallCommon) {
	s := l.use(c.Args[0])
	if len(c.Args) == 1 {
		l.mov(d, s, 3)
		return
	}
	elem := c.Signature().Results().At(0).Type().Underlying().(*types.Slice).Elem()
	if sl, ok := c.Args[1].(*ssa.Slice); ok {
		if a, ok := sl.X.(*ssa.Alloc); ok && l.appends[a] != nil && l.appends[a] == x {
			l.appendElems(d, s, a, elem)
			return
		}
	}
	t := l.use(c.Args[1])
	p := l.pinned(0, l.la.of(c.Args[0].Type()))
	l.mov(p, s, 3)
	q := l.pinned(3, &rep{words: 2, ptr: bits1})
	l.mov(q, t, 2)
	id := l.pinned(5, &rep{words: 1})
	l.intConst(id, int64(l.c.typeID(elem)))
	l.nativeCall("vm.appendslice", d, 3, 6, []vreg{p.v, q.v, id.v})
}

func (l *lowerer) appendElems(d, s opd, a *ssa.Alloc, elem types.Type) {
	n := elemOf(a.Type()).Underlying().(*types.Array).Len()
	r := l.la.of(elem)
	vals := make([]opd, n)
	for _, st := range l.vargs {
		if ia, ok := st.Addr.(*ssa.IndexAddr); ok && ia.X == a {
			i, _ := constInt(ia.Index)
			vals[i] = l.use(st.Val)
		}
	}
	room := l.f.newLabel()
	g := opd{v: l.f.newVreg(3, bits1)}
	l.mov(g, s, 3)
	if n == 1 {
		l.branch(bytecode.OpJLT, g.word(1), g.word(2), room)
	} else {
		t := l.tmp()
		l.op3(bytecode.OpADDI, t, g.word(1), imm(n))
		l.branch(bytecode.OpJLE, t, g.word(2), room)
	}
	l.emit(ins{op: m(bytecode.OpGROW), a: g, b: g, c: l.number(n), ext: uint64(l.c.typeID(elem))})
	l.label(room)
	i := l.tmp()
	l.mov(i, g.word(1), 1)
	l.op3(bytecode.OpADDI, g.word(1), g.word(1), imm(n))
	for k, v := range vals {
		if k > 0 {
			l.op3(bytecode.OpADDI, i, i, imm(1))
		}
		switch r.size {
		case 1, 2, 4, 8, 16, 24:
			l.op3(indexedStore(r.size), v, g, i)
		default:
			p := l.ptrTmp()
			l.emit(ins{op: m(bytecode.OpLEAX), a: p, b: g, c: i, ext: uint64(r.size)})
			l.store(addr{base: p}, v, elem)
		}
	}
	l.mov(d, g, 3)
}

func (l *lowerer) copyCall(d opd, c *ssa.CallCommon) {
	es := int64(1)
	if s, ok := c.Args[0].Type().Underlying().(*types.Slice); ok {
		es = l.la.sizes.Sizeof(s.Elem())
	}
	l.native("vm.copy", d, 1, l.use(c.Args[0]), 2, l.use(c.Args[1]), 2, l.number(es), 1)
}

func (l *lowerer) clearCall(c *ssa.CallCommon) {
	v := c.Args[0]
	switch u := v.Type().Underlying().(type) {
	case *types.Map:
		l.emit(ins{op: m(bytecode.OpMAPCLR), a: l.use(v), ext: uint64(l.c.typeID(v.Type()))})
	case *types.Slice:
		n := l.tmp()
		s := l.use(v)
		l.op3(bytecode.OpMUL, n, s.word(1), l.number(l.la.sizes.Sizeof(u.Elem())))
		l.native("runtime.memclr", opd{}, 0, s, 1, n, 1)
	default:
		l.fail("unsupported operand of clear: %s", v.Type())
	}
}

func (l *lowerer) minMax(d opd, isMax bool, args []ssa.Value) {
	t := args[0].Type()
	r := l.la.of(t)
	acc := l.tmpOf(r)
	l.mov(acc, l.use(args[0]), r.words)
	for _, a := range args[1:] {
		o := l.use(a)
		if r.kind.float() {
			l.floatMinMax(acc, o, isMax, r.kind)
			continue
		}
		keep := l.f.newLabel()
		x, y := acc, o
		if isMax {
			x, y = o, acc
		}
		switch {
		case r.kind == kString:
			c := l.tmp()
			l.op3(bytecode.OpSTRCMP, c, x, y)
			l.branch(bytecode.OpJLEI, c, imm(0), keep)
		case r.kind == kU64:
			l.branch(bytecode.OpJLEU, x, y, keep)
		default:
			l.branch(bytecode.OpJLE, x, y, keep)
		}
		l.mov(acc, o, r.words)
		l.label(keep)
	}
	l.mov(d, acc, r.words)
}

// floatMinMax: NaN wins over numbers, and -0 is less than 0.
func (l *lowerer) floatMinMax(acc, o opd, isMax bool, k repKind) {
	if k == kF32 {
		x, y := l.tmp(), l.tmp()
		l.op3(bytecode.OpG2F, x, acc, opd{})
		l.op3(bytecode.OpG2F, y, o, opd{})
		l.floatMinMax(x, y, isMax, kF64)
		l.op3(bytecode.OpF2G, acc, x, opd{})
		return
	}
	done, take, same := l.f.newLabel(), l.f.newLabel(), l.f.newLabel()
	x, y, join := acc, o, bytecode.OpOR
	if isMax {
		x, y, join = o, acc, bytecode.OpAND
	}
	l.branch(bytecode.OpJFLT, x, y, done)
	l.branch(bytecode.OpJFLT, y, x, take)
	l.branch(bytecode.OpJFEQ, x, y, same)
	l.op3(bytecode.OpFADD, acc, acc, o)
	l.jmp(done)
	l.label(same)
	l.op3(join, acc, acc, o)
	l.jmp(done)
	l.label(take)
	l.mov(acc, o, 1)
	l.label(done)
}

func (l *lowerer) complexBuiltin(x *ssa.Call, name string, c *ssa.CallCommon) {
	if x == nil {
		return
	}
	if name == "complex" {
		d, re, im := l.newValue(x), l.use(c.Args[0]), l.use(c.Args[1])
		if l.la.of(x.Type()).kind == kC64 {
			l.c64Join(d, re, im)
			return
		}
		l.emit(ins{op: pDef, a: d})
		l.mov(d, re, 1)
		l.mov(d.word(1), im, 1)
		return
	}
	o := l.use(c.Args[0])
	if l.la.of(c.Args[0].Type()).kind == kC64 {
		re, im := l.c64Parts(o)
		if name == "imag" {
			re = im
		}
		l.vals[x] = re
		return
	}
	if name == "imag" {
		o = o.word(1)
	}
	l.alias(x, o)
}

// wrapNilCheck: a wrapper around a value method was called with a nil pointer.
func (l *lowerer) wrapNilCheck(x *ssa.Call, c *ssa.CallCommon) {
	p := l.use(c.Args[0])
	bad, pos := l.f.newLabel(), l.pos
	l.branch(bytecode.OpJEQI, p, imm(0), bad)
	msg := "value method " + constString(c.Args[1].(*ssa.Const)) + "." + constString(c.Args[2].(*ssa.Const)) + " called using nil *" + afterDot(constString(c.Args[1].(*ssa.Const))) + " pointer"
	l.cold = append(l.cold, func() {
		l.pos = pos
		l.label(bad)
		s := l.tmpOf(&rep{words: 2, ptr: bits1})
		l.stringInto(s, msg)
		l.trap(bytecode.TrapNilWrap, s, s.word(1))
	})
	if x != nil {
		l.alias(x, p)
	}
}

func afterDot(s string) string {
	for i := len(s) - 1; i >= 0; i-- {
		if s[i] == '.' {
			return s[i+1:]
		}
	}
	return s
}

func (l *lowerer) unsafeBuiltin(x *ssa.Call, name string, c *ssa.CallCommon) {
	if x == nil {
		return
	}
	switch name {
	case "Add":
		l.op3(bytecode.OpADD, l.newValue(x), l.use(c.Args[0]), l.use(c.Args[1]))
	case "Slice":
		es := l.la.sizes.Sizeof(elemOf(c.Args[0].Type()))
		l.native("vm.unsafeslice", l.newValue(x), 3, l.use(c.Args[0]), 1, l.use(c.Args[1]), 1, l.number(es), 1)
	case "String":
		l.native("vm.unsafestring", l.newValue(x), 2, l.use(c.Args[0]), 1, l.use(c.Args[1]), 1)
	case "SliceData", "StringData":
		l.alias(x, l.use(c.Args[0]))
	case "Sizeof":
		l.intConst(l.newValue(x), l.la.sizes.Sizeof(c.Args[0].Type()))
	case "Alignof":
		l.intConst(l.newValue(x), l.la.sizes.Alignof(c.Args[0].Type()))
	case "Offsetof":
		l.intConst(l.newValue(x), l.offsetOf(c.Args[0]))
	default:
		l.fail("unsupported built-in function %s", name)
	}
}

// offsetOf is unsafe.Offsetof of a selection in a generic function, which go/ssa evaluates.
func (l *lowerer) offsetOf(v ssa.Value) int64 {
	switch x := v.(type) {
	case *ssa.UnOp:
		return l.offsetOf(x.X)
	case *ssa.FieldAddr:
		return l.la.offsets(elemOf(x.X.Type()).Underlying().(*types.Struct))[x.Field]
	case *ssa.Field:
		return l.la.offsets(x.X.Type().Underlying().(*types.Struct))[x.Field]
	}
	l.fail("unsupported operand of unsafe.Offsetof: %s", v)
	return 0
}
