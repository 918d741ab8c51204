package gofront

import (
	"fmt"
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// lowerer turns one SSA function into the linear form.
//
//  1. decide: which variables live in the frame, which address computations are
//     folded into their loads and stores, which comparisons into branches, which
//     constants are loaded once before a loop (decide.go, cfg.go);
//  2. one pass over the blocks in layout order (cfg.go); a value lives in a
//     register of its own unless it is a part of another (Extract, Field, len);
//  3. cold paths (failed assertions and the like) go behind the last block.
type lowerer struct {
	c  *linker
	fn *ssa.Function
	f  *mfunc
	la *layouts

	vals     map[ssa.Value]opd
	frame    map[*ssa.Alloc]vreg // variables that live in the frame
	fused    map[ssa.Value]bool  // emitted by their users
	captured map[ssa.Value]opd   // values of variables that are captured by value
	zeroed   map[*ssa.Alloc]bool // a full store follows at once: no need to clear
	appends  map[*ssa.Alloc]*ssa.Call
	vargs    []*ssa.Store   // stores into the arrays of appends
	scalars  map[vreg]bool  // frame variables that are held in slot form, not in memory form
	memSize  map[vreg]int64 // sizes of registers that hold a variable in memory form
	labels   []int32        // of SSA blocks
	order    []*ssa.BasicBlock
	place    []int // position in order
	loops    *loopInfo
	hoist    map[hoistKey]opd
	cold     []func()
	blk      *ssa.BasicBlock // whose instructions are being lowered
	at       int             // position in order of the block that they are lowered into
	pos      token.Pos
	ctx      vreg
	limit    int64 // frame variables larger than this go to the heap
	hoistsOf map[int][]hoistItem
	// The function has a list of deferred calls that only bodies of range-over-func loops
	// add to: go/ssa sees no defer in it and leaves RunDefers out.
	ownDefers bool
	repeat    int // how deep in repeated loop tests
}

// compileError is a construct that can't be compiled; raised by panic, caught per function.
type compileError struct {
	pos token.Pos
	msg string
}

func (l *lowerer) fail(format string, args ...any) {
	panic(compileError{l.pos, fmt.Sprintf(format, args...)})
}

func newLowerer(c *linker, fn *ssa.Function, limit int64) *lowerer {
	l := &lowerer{
		c: c, fn: fn, f: newMfunc(), la: c.layouts, limit: limit,
		vals: map[ssa.Value]opd{}, frame: map[*ssa.Alloc]vreg{}, scalars: map[vreg]bool{}, memSize: map[vreg]int64{}, fused: map[ssa.Value]bool{},
		zeroed: map[*ssa.Alloc]bool{}, captured: map[ssa.Value]opd{}, appends: map[*ssa.Alloc]*ssa.Call{}, hoist: map[hoistKey]opd{},
	}
	c.current = l
	return l
}

// lowerFunc lowers fn; limit is the largest variable that may live in the frame.
func lowerFunc(c *linker, fn *ssa.Function, limit int64) *mfunc {
	l := newLowerer(c, fn, limit)
	l.pos = fn.Pos()
	l.params()
	l.layout()
	l.decide()
	l.collectHoists()
	l.freeVars()
	l.labels = make([]int32, len(fn.Blocks))
	for i := range l.labels {
		l.labels[i] = l.f.newLabel()
	}
	for i, b := range l.order {
		l.at = i
		l.block(b)
	}
	l.flushCold()
	l.ownRecover()
	return l.f
}

func (l *lowerer) flushCold() {
	for len(l.cold) > 0 {
		c := l.cold[0]
		l.cold = l.cold[1:]
		c()
	}
}

// params pins parameters to their slots.
func (l *lowerer) params() {
	slot := bytecode.FrameArgs
	for _, p := range l.fn.Params {
		slot += l.param(p, slot)
	}
	l.f.args = slot - bytecode.FrameArgs
	l.f.results = l.la.of(l.fn.Signature.Results()).words
}

func (l *lowerer) param(p ssa.Value, slot int) int {
	r := l.la.of(p.Type())
	if r.words == 0 {
		l.vals[p] = opd{}
		return 0
	}
	v := l.f.newVreg(r.words, r.ptr)
	l.f.vregs[v].pin, l.f.vregs[v].off = pinSlot, int16(slot)
	l.f.vregs[v].name = p.Name()
	l.vals[p] = opd{v: v}
	return r.words
}

// context returns the register of the closure word.
func (l *lowerer) context() vreg {
	if l.ctx == 0 {
		l.ctx = l.f.newVreg(1, bits1)
		l.f.vregs[l.ctx].pin, l.f.vregs[l.ctx].off = pinSlot, bytecode.FrameCtx
	}
	return l.ctx
}

// freeVars loads captured variables once, at entry.
func (l *lowerer) freeVars() {
	if len(l.fn.FreeVars) == 0 {
		return
	}
	ts := make([]types.Type, len(l.fn.FreeVars))
	for i, fv := range l.fn.FreeVars {
		ts[i] = l.c.captureType(fv)
	}
	offs := l.la.offsets(l.c.closureType(ts))
	for i, fv := range l.fn.FreeVars {
		if fv.Referrers() == nil || len(*fv.Referrers()) == 0 {
			continue
		}
		d := l.tmpOf(l.la.of(ts[i]))
		if l.c.byValue(fv) {
			l.captured[fv] = d
		} else {
			l.vals[fv] = d
		}
		l.load(d, addr{base: opd{v: l.context()}, off: offs[i+1]}, ts[i])
	}
}

// closureStruct is the type of a funcval with captures.
func closureStruct(caps []types.Type) *types.Struct {
	fs := []*types.Var{types.NewField(token.NoPos, nil, "F", types.Typ[types.Uintptr], false)}
	for i, t := range caps {
		fs = append(fs, types.NewField(token.NoPos, nil, fmt.Sprintf("X%d", i), t, false))
	}
	return types.NewStruct(fs, nil)
}

// emit appends an instruction at the current position.
func (l *lowerer) emit(i ins) *ins {
	if !i.pos.IsValid() {
		i.pos = l.pos
	}
	l.f.ins = append(l.f.ins, i)
	return &l.f.ins[len(l.f.ins)-1]
}

func (l *lowerer) op3(op bytecode.Op, a, b, c opd) { l.emit(ins{op: m(op), a: a, b: b, c: c}) }

func (l *lowerer) mov(d, s opd, w int) { l.f.mov(d, s, w, l.pos) }

func (l *lowerer) label(n int32) { l.emit(ins{op: pLabel, label: n}) }

func (l *lowerer) jmp(n int32) { l.emit(ins{op: m(bytecode.OpJMP), label: n}) }

// branch emits a conditional branch on up to two operands.
func (l *lowerer) branch(op bytecode.Op, a, b opd, n int32) {
	l.emit(ins{op: m(op), a: a, b: b, label: n})
}

// tmp makes a scalar register.
func (l *lowerer) tmp() opd { return opd{v: l.f.newVreg(1, nil)} }

func (l *lowerer) ptrTmp() opd { return opd{v: l.f.newVreg(1, bits1)} }

func (l *lowerer) tmpOf(r *rep) opd {
	if r.words == 0 {
		return opd{}
	}
	return opd{v: l.f.newVreg(r.words, r.ptr)}
}

// newValue gives the value a register of its own; a value lowered twice (a
// loop's test at its top and bottom) keeps the first one.
func (l *lowerer) newValue(v ssa.Value) opd {
	if o, ok := l.vals[v]; ok {
		return o
	}
	o := l.tmpOf(l.la.of(v.Type()))
	l.vals[v] = o
	return o
}

// use returns where a value lies, loading constants.
func (l *lowerer) use(v ssa.Value) opd {
	if o, ok := l.vals[v]; ok {
		return o
	}
	switch v.(type) {
	case *ssa.Const, *ssa.Global, *ssa.Function:
		if o, ok := l.hoisted(v); ok {
			return o
		}
		if o, ok := l.hoistedSmall(v); ok {
			return o
		}
		t := l.tmpOf(l.la.of(v.Type()))
		l.into(t, v)
		return t
	}
	if l.fused[v] {
		return l.addrReg(l.addrOf(v))
	}
	l.fail("internal error: value %s = %s has no place in %s", v.Name(), v, l.fn)
	return opd{}
}

// into puts a value into d.
func (l *lowerer) into(d opd, v ssa.Value) {
	r := l.la.of(v.Type())
	if o, ok := l.vals[v]; ok {
		l.mov(d, o, r.words)
		return
	}
	if o, ok := l.hoisted(v); ok {
		l.mov(d, o, r.words)
		return
	}
	switch x := v.(type) {
	case *ssa.Const:
		l.constInto(d, x)
	case *ssa.Global:
		l.globalAddr(d, x)
	case *ssa.Function:
		l.emit(ins{op: m(bytecode.OpLDFN), a: d, ext: uint64(l.c.funcValueID(x))})
	default:
		l.mov(d, l.use(v), r.words)
	}
}

func (l *lowerer) globalAddr(d opd, g *ssa.Global) {
	l.emit(ins{op: m(bytecode.OpLDG), a: d, ext: l.c.globalOffset(g)})
}

// constant loads.

func (l *lowerer) intConst(d opd, x int64) {
	if x == int64(int16(x)) {
		l.emit(ins{op: m(bytecode.OpLDI), a: d, b: imm(x)})
		return
	}
	l.emit(ins{op: m(bytecode.OpLDK), a: d, ext: uint64(x)})
}

// number returns a fresh register with a number.
func (l *lowerer) number(x int64) opd {
	t := l.tmp()
	l.intConst(t, x)
	return t
}

func (l *lowerer) zero(d opd, w int) {
	switch {
	case w == 0:
	case w == 1:
		l.emit(ins{op: m(bytecode.OpLDI), a: d, b: imm(0)})
	default:
		l.emit(ins{op: m(bytecode.OpZERO), a: d, wa: uint16(w), c: imm(int64(w))})
	}
}

// zeroOf puts the zero value of t into d.
func (l *lowerer) zeroOf(d opd, t types.Type) {
	r := l.la.of(t)
	if r.boxed {
		l.emit(ins{op: m(bytecode.OpNEW), a: d, ext: uint64(l.c.typeID(t))})
		return
	}
	l.zero(d, r.words)
}

func (l *lowerer) constInto(d opd, c *ssa.Const) {
	if c.Value == nil {
		l.zeroOf(d, c.Type())
		return
	}
	r := l.la.of(c.Type())
	switch r.kind {
	case kString:
		l.stringInto(d, constString(c))
	case kC128:
		re, im := complexBits(c)
		l.intConst(d, int64(re))
		l.intConst(d.word(1), int64(im))
	default:
		l.intConst(d, int64(constBits(c, r.kind)))
	}
}

func (l *lowerer) stringInto(d opd, s string) {
	if s == "" {
		l.zero(d, 2)
		return
	}
	l.emit(ins{op: m(bytecode.OpLDSTR), a: d, ext: l.c.stringRef(s)})
}

// small returns the value of a constant that fits an immediate operand.
func (l *lowerer) small(v ssa.Value) (int64, bool) {
	c, ok := v.(*ssa.Const)
	if !ok {
		return 0, false
	}
	r := l.la.of(c.Type())
	if !r.kind.integer() && r.kind != kBool && r.kind != kPtr {
		return 0, false
	}
	if c.Value == nil {
		return 0, true
	}
	x := int64(constBits(c, r.kind))
	return x, x == int64(int16(x))
}
