package gofront

import (
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Maps, ranges, slices, select, go and defer.

func (l *lowerer) lookup(x *ssa.Lookup) {
	mt, ok := x.X.Type().Underlying().(*types.Map)
	if !ok {
		l.op3(bytecode.OpLDX8U, l.newValue(x), l.use(x.X), l.useIndex(x.Index))
		return
	}
	r := l.la.of(mt.Elem())
	i := ins{
		op: m(bytecode.OpMAPGET), wa: uint16(r.words), b: l.use(x.X), c: l.use(x.Index), wc: l.width(x.Index),
		ext: uint64(l.c.typeID(x.X.Type())),
	}
	if x.CommaOk {
		i.n, i.wa = 1, i.wa+1
	}
	i.a = l.newValue(x)
	l.emit(i)
}

func (l *lowerer) mapUpdate(x *ssa.MapUpdate) {
	l.emit(ins{
		op: m(bytecode.OpMAPSET), a: l.use(x.Map), b: l.use(x.Key), wb: l.width(x.Key), c: l.use(x.Value), wc: l.width(x.Value),
		ext: uint64(l.c.typeID(x.Map.Type())),
	})
}

const mapIterWords = 8

func (l *lowerer) rangeStart(x *ssa.Range) {
	if _, ok := x.X.Type().Underlying().(*types.Map); ok {
		if _, ok := l.vals[x]; !ok {
			l.vals[x] = opd{v: l.f.newVreg(mapIterWords, bits2)}
		}
		l.emit(ins{op: m(bytecode.OpMAPITER), a: l.vals[x], wa: mapIterWords, b: l.use(x.X), ext: uint64(l.c.typeID(x.X.Type()))})
		return
	}
	if _, ok := l.vals[x]; !ok {
		l.vals[x] = opd{v: l.f.newVreg(3, bits1)}
	}
	d := l.vals[x]
	l.emit(ins{op: pDef, a: d})
	l.mov(d, l.use(x.X), 2)
	l.intConst(d.word(2), 0)
}

// nextTypes are the map's key and value types: those in Next's own tuple may be invalid.
func nextTypes(x *ssa.Next) (k, v types.Type) {
	mt := x.Iter.(*ssa.Range).X.Type().Underlying().(*types.Map)
	return mt.Key(), mt.Elem()
}

func (l *lowerer) nextOff(x *ssa.Next, i int) int {
	if x.IsString || i < 2 {
		return i
	}
	k, _ := nextTypes(x)
	return 1 + l.la.of(k).words
}

func (l *lowerer) rangeNext(x *ssa.Next) {
	it := l.use(x.Iter)
	if x.IsString {
		if _, ok := l.vals[x]; !ok {
			l.vals[x] = opd{v: l.f.newVreg(3, nil)}
		}
		l.emit(ins{op: m(bytecode.OpSTRNEXT), a: l.vals[x], b: it, wb: 3})
		return
	}
	k, v := nextTypes(x)
	r := l.la.tuple(types.NewTuple(types.NewVar(0, nil, "", types.Typ[types.Bool]), types.NewVar(0, nil, "", k), types.NewVar(0, nil, "", v)))
	if _, ok := l.vals[x]; !ok {
		l.vals[x] = l.tmpOf(r)
	}
	mt := x.Iter.(*ssa.Range).X.Type()
	l.emit(ins{op: m(bytecode.OpMAPNEXT), a: l.vals[x], wa: uint16(r.words), b: it, wb: mapIterWords, ext: uint64(l.c.typeID(mt))})
}

// slice lowers s[lo:hi:max] of slices, strings and arrays.
func (l *lowerer) slice(x *ssa.Slice) {
	opt := func(v ssa.Value) opd {
		if v == nil {
			return opd{}
		}
		return l.useIndex(v)
	}
	if p, ok := x.X.Type().Underlying().(*types.Pointer); ok {
		l.sliceArray(x, p, opt)
		return
	}
	s := l.use(x.X)
	if l.la.of(x.X.Type()).kind == kString {
		if x.Low == nil && x.High == nil {
			l.alias(x, s)
			return
		}
		l.emit(ins{op: m(bytecode.OpSLICESTR), a: l.newValue(x), b: s, xs: []opd{opt(x.Low), opt(x.High)}})
		return
	}
	if x.Low == nil && x.High == nil && x.Max == nil {
		l.alias(x, s)
		return
	}
	es := l.la.sizes.Sizeof(x.X.Type().Underlying().(*types.Slice).Elem())
	l.emit(ins{op: m(bytecode.OpSLICE), a: l.newValue(x), b: s, xs: []opd{opt(x.Low), opt(x.High), opt(x.Max), l.number(es)}})
}

func (l *lowerer) sliceArray(x *ssa.Slice, p *types.Pointer, opt func(ssa.Value) opd) {
	at := p.Elem().Underlying().(*types.Array)
	base := l.addrReg(l.addrOf(x.X))
	d := l.newValue(x)
	lo, hi, ok := l.constBounds(x, at.Len())
	if ok && l.nonNil(x.X) { // make([]T, n, m) with constants, composite literals
		l.emit(ins{op: pDef, a: d})
		if lo == 0 || lo < at.Len() {
			l.shiftBase(d, base, lo*l.la.sizes.Sizeof(at.Elem()))
		} else {
			l.mov(d, base, 1)
		}
		l.intConst(d.word(1), hi-lo)
		l.intConst(d.word(2), at.Len()-lo)
		return
	}
	if a, ok := x.X.(*ssa.Alloc); ok && a.Comment == "makeslice" && x.High != nil {
		l.checkMake(l.use(x.High), at.Len())
	}
	es := l.la.sizes.Sizeof(at.Elem())
	l.emit(ins{
		op: m(bytecode.OpSLICEARR), a: d, b: base, c: l.number(at.Len()),
		xs: []opd{opt(x.Low), opt(x.High), opt(x.Max), l.number(es)},
	})
}

// checkMake checks the length of make with a constant capacity, which go/ssa turns into an array and a slice of it.
func (l *lowerer) checkMake(n opd, capacity int64) {
	badLen, badCap, blk, pos := l.f.newLabel(), l.f.newLabel(), l.blk, l.pos
	l.branch(bytecode.OpJLTI, n, imm(0), badLen)
	l.branch(bytecode.OpJLT, l.number(capacity), n, badCap)
	l.cold = append(l.cold, func() {
		l.blk, l.pos = blk, pos
		l.label(badLen)
		l.trap(bytecode.TrapMakeSliceLen)
		l.label(badCap)
		l.trap(bytecode.TrapMakeSliceCap)
	})
}

func (l *lowerer) shiftBase(d, base opd, off int64) {
	if off == 0 {
		l.mov(d, base, 1)
		return
	}
	l.addOffset(d, base, off)
}

// constBounds: the slice's bounds are constants within the array.
func (l *lowerer) constBounds(x *ssa.Slice, n int64) (lo, hi int64, ok bool) {
	hi = n
	if x.Max != nil {
		return 0, 0, false
	}
	if x.Low != nil {
		if lo, ok = constInt(x.Low); !ok {
			return 0, 0, false
		}
	}
	if x.High != nil {
		if hi, ok = constInt(x.High); !ok {
			return 0, 0, false
		}
	}
	return lo, hi, 0 <= lo && lo <= hi && hi <= n
}

// selectInstr: each case has two slots in the window, the channel and a number
// that says where the value lies. Received values go into the result tuple.
func (l *lowerer) selectInstr(x *ssa.Select) {
	d := l.newValue(x)
	var regs []vreg
	recv := 2
	bufs := make([]opd, len(x.States))
	for i, st := range x.States {
		if st.Dir == types.SendOnly && l.width(st.Send) > 0 {
			bufs[i] = l.use(st.Send)
			regs = append(regs, bufs[i].v)
		}
	}
	for i, st := range x.States {
		ch := l.pinned(2*i, &rep{words: 1, ptr: bits1})
		l.into(ch, st.Chan)
		desc := l.pinned(2*i+1, &rep{words: 1})
		sc := &selCase{dir: 1, buf: bufs[i]}
		if st.Dir == types.SendOnly {
			sc.words = int(l.width(st.Send))
		} else {
			sc.dir = 2
			sc.words = l.la.of(st.Chan.Type().Underlying().(*types.Chan).Elem()).words
			sc.buf = d.word(recv)
			recv += sc.words
		}
		l.emit(ins{op: m(bytecode.OpLDK), a: desc, sel: sc})
		regs = append(regs, ch.v, desc.v)
	}
	var n uint8
	if !x.Blocking {
		n = 1
	}
	l.emit(ins{
		op: m(bytecode.OpSELECT), n: n, a: d, wa: uint16(l.la.of(x.Type()).words), b: opd{v: winReg}, c: imm(int64(len(x.States))), args: regs,
	})
}
