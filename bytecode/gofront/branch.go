package gofront

import (
	"go/token"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Blocks, edges and branches. Phi moves run on the edge; an edge out of a
// conditional branch that needs moves goes through a few instructions of its own,
// which vanish when the moves are coalesced.

func (l *lowerer) block(b *ssa.BasicBlock) {
	l.blk = b
	l.label(l.labels[b.Index])
	if b == l.fn.Recover {
		l.recoverPoint()
	}
	for i, in := range b.Instrs {
		if ph, ok := in.(*ssa.Phi); ok {
			l.newValue(ph)
			continue
		}
		if l.ownDefers && b != l.fn.Recover && i == resultLoads(b) {
			l.runDefers()
		}
		if i == len(b.Instrs)-1 {
			l.hoistsAt(b)
		}
		l.step(in)
	}
}

func (l *lowerer) step(in ssa.Instruction) {
	if p := in.Pos(); p.IsValid() {
		if _, ref := in.(*ssa.DebugRef); !ref {
			l.pos = p
		}
	}
	if v, ok := in.(ssa.Value); ok && l.fused[v] {
		return
	}
	l.instr(in)
}

// recoverPoint: where the function goes on after a recovered panic.
func (l *lowerer) recoverPoint() {
	l.f.recover = l.labels[l.blk.Index]
	l.runDefers()
}

// runDefers: RUNDEFERS is followed by a branch back to it; it goes behind that when no deferred call is left.
func (l *lowerer) runDefers() {
	again, done := l.f.newLabel(), l.f.newLabel()
	l.label(again)
	l.emit(ins{op: m(bytecode.OpRUNDEFERS), label: done})
	l.jmp(again)
	l.label(done)
}

func (l *lowerer) nextLabel() int32 {
	if l.at+1 < len(l.order) {
		return l.labels[l.order[l.at+1].Index]
	}
	return 0
}

func (l *lowerer) goTo(s *ssa.BasicBlock) {
	if n := l.labels[s.Index]; n != l.nextLabel() {
		l.jmp(n)
	}
}

// jump ends the current block with an unconditional branch to s.
func (l *lowerer) jump(s *ssa.BasicBlock) {
	b := l.blk
	l.phiMoves(b, s)
	l.enter(s)
}

const maxRepeat = 2 // tests of nested loops that are repeated one after the other

// enter goes to s; a backward jump to a small test repeats the test instead.
func (l *lowerer) enter(s *ssa.BasicBlock) {
	if l.place[s.Index] > l.at || l.repeat >= maxRepeat || !l.isPureHeader(s) {
		l.goTo(s)
		return
	}
	b := l.blk
	l.repeat++
	l.blk = s
	for _, in := range s.Instrs[:len(s.Instrs)-1] {
		l.step(in)
	}
	l.ifTerm(s.Instrs[len(s.Instrs)-1].(*ssa.If))
	l.blk = b
	l.repeat--
}

// ifTerm branches on x's condition to the successors of the current block.
func (l *lowerer) ifTerm(x *ssa.If) {
	b := l.blk
	if e, ok := x.Cond.(*ssa.Extract); ok && l.fused[e] {
		l.assertBranch(e.Tuple.(*ssa.TypeAssert))
		return
	}
	if u, ok := x.Cond.(*ssa.UnOp); ok && isGuard(u.X) { // the entry runs each package initialiser once
		l.goTo(b.Succs[1])
		return
	}
	t, f := b.Succs[0], b.Succs[1]
	neg := false
	if l.labels[t.Index] == l.nextLabel() || (l.labels[f.Index] != l.nextLabel() && l.hasMoves(b, t) && !l.hasMoves(b, f)) {
		t, f, neg = f, t, true
	}
	l.condBranch(x.Cond, neg, l.edgeLabel(b, t))
	l.phiMoves(b, f)
	l.enter(f)
}

// isGuard: v is the variable by which a package initialiser knows that it ran.
func isGuard(v ssa.Value) bool {
	g, ok := v.(*ssa.Global)
	return ok && g.Name() == "init$guard"
}

// edgeLabel is where a branch from b to s goes: to a place that performs the moves of the edge, if there are any.
func (l *lowerer) edgeLabel(b, s *ssa.BasicBlock) int32 {
	if !l.hasMoves(b, s) {
		return l.labels[s.Index]
	}
	n, pos := l.f.newLabel(), l.pos
	l.cold = append(l.cold, func() {
		l.pos, l.blk = pos, b
		l.label(n)
		l.phiMoves(b, s)
		l.jmp(l.labels[s.Index])
	})
	return n
}

func predIndex(b, s *ssa.BasicBlock) int {
	for i, p := range s.Preds {
		if p == b {
			return i
		}
	}
	return -1
}

func (l *lowerer) hasMoves(b, s *ssa.BasicBlock) bool {
	_, ok := s.Instrs[0].(*ssa.Phi)
	return ok
}

type pmove struct {
	d, s opd
	w    int
}

// phiMoves performs the parallel assignment of s's phis for the edge from b.
func (l *lowerer) phiMoves(b, s *ssa.BasicBlock) {
	pi := -1
	var mvs []pmove
	var later []func()
	for _, in := range s.Instrs {
		ph, ok := in.(*ssa.Phi)
		if !ok {
			break
		}
		if pi < 0 {
			pi = predIndex(b, s)
		}
		w := l.la.of(ph.Type()).words
		d := l.newValue(ph)
		if w == 0 {
			continue
		}
		e := ph.Edges[pi]
		if o, ok := l.vals[e]; ok {
			if o != d {
				mvs = append(mvs, pmove{d, o, w})
			}
			continue
		}
		if l.fused[e] {
			mvs = append(mvs, pmove{d, l.use(e), w})
			continue
		}
		if _, isInstr := e.(ssa.Instruction); isInstr { // defined later in layout order: a loop's value
			mvs = append(mvs, pmove{d, l.newValue(e), w})
			continue
		}
		later = append(later, func() { l.into(d, e) })
	}
	l.parallel(mvs)
	for _, f := range later {
		f()
	}
}

// parallel emits moves that happen at once. Overlap is judged by register.
func (l *lowerer) parallel(mvs []pmove) {
	for len(mvs) > 0 {
		done := false
		for i, mv := range mvs {
			blocked := false
			for j, o := range mvs {
				if j != i && o.s.v == mv.d.v {
					blocked = true
					break
				}
			}
			if !blocked {
				l.mov(mv.d, mv.s, mv.w)
				mvs = append(mvs[:i:i], mvs[i+1:]...)
				done = true
				break
			}
		}
		if !done {
			v := mvs[0].d.v // free this register: whoever reads it reads a copy
			t := opd{v: l.f.newVreg(int(l.f.vregs[v].w), l.f.vregs[v].ptr)}
			l.mov(t, opd{v: v}, int(l.f.vregs[v].w))
			for j := range mvs {
				if mvs[j].s.v == v {
					mvs[j].s.v = t.v
				}
			}
		}
	}
}

var negated = map[token.Token]token.Token{
	token.LSS: token.GEQ, token.LEQ: token.GTR, token.GTR: token.LEQ,
	token.GEQ: token.LSS, token.EQL: token.NEQ, token.NEQ: token.EQL,
}

// condBranch branches to n if v (negated: if not v).
func (l *lowerer) condBranch(v ssa.Value, neg bool, n int32) {
	if u, ok := v.(*ssa.UnOp); ok && u.Op == token.NOT && l.fused[v] {
		l.condBranch(u.X, !neg, n)
		return
	}
	x, ok := v.(*ssa.BinOp)
	if !ok || !l.fused[x] {
		op := bytecode.OpJT
		if neg {
			op = bytecode.OpJF
		}
		l.branch(op, l.use(v), opd{}, n)
		return
	}
	if v, ok := nilCompared(x); ok {
		op := x.Op
		if neg {
			op = negated[op]
		}
		l.branch(immBranch[op], l.use(v), imm(0), n)
		return
	}
	switch k := l.la.of(x.X.Type()).kind; {
	case k.float():
		l.floatBranch(x, k, neg, n)
	case k == kString:
		l.stringBranch(x, neg, n)
	default:
		l.intBranch(x, k, neg, n)
	}
}

func (l *lowerer) floatBranch(x *ssa.BinOp, k repKind, neg bool, n int32) {
	op, X, Y := x.Op, l.float64Of(x.X, k), l.float64Of(x.Y, k)
	switch op {
	case token.GTR:
		op, X, Y = token.LSS, Y, X
	case token.GEQ:
		op, X, Y = token.LEQ, Y, X
	}
	var o bytecode.Op
	switch {
	case op == token.LSS && !neg:
		o = bytecode.OpJFLT
	case op == token.LSS:
		o = bytecode.OpJFNLT
	case op == token.LEQ && !neg:
		o = bytecode.OpJFLE
	case op == token.LEQ:
		o = bytecode.OpJFNLE
	case (op == token.EQL) != neg:
		o = bytecode.OpJFEQ
	default:
		o = bytecode.OpJFNE
	}
	l.branch(o, X, Y, n)
}

// stringBranch: equality, or order by STRCMP.
func (l *lowerer) stringBranch(x *ssa.BinOp, neg bool, n int32) {
	op := x.Op
	if neg {
		op = negated[op]
	}
	if op == token.EQL || op == token.NEQ {
		for _, p := range [2][2]ssa.Value{{x.X, x.Y}, {x.Y, x.X}} {
			if c, ok := p[0].(*ssa.Const); ok && constString(c) == "" {
				l.branch(immBranch[op], l.use(p[1]).word(1), imm(0), n)
				return
			}
		}
		t := l.tmp()
		l.op3(bytecode.OpSTREQ, t, l.use(x.X), l.use(x.Y))
		o := bytecode.OpJT
		if op == token.NEQ {
			o = bytecode.OpJF
		}
		l.branch(o, t, opd{}, n)
		return
	}
	t := l.tmp()
	l.op3(bytecode.OpSTRCMP, t, l.use(x.X), l.use(x.Y))
	l.branch(immBranch[op], t, imm(0), n)
}

var immBranch = map[token.Token]bytecode.Op{
	token.EQL: bytecode.OpJEQI, token.NEQ: bytecode.OpJNEI, token.LSS: bytecode.OpJLTI,
	token.LEQ: bytecode.OpJLEI, token.GTR: bytecode.OpJGTI, token.GEQ: bytecode.OpJGEI,
}

var swapped = map[token.Token]token.Token{
	token.EQL: token.EQL, token.NEQ: token.NEQ, token.LSS: token.GTR,
	token.LEQ: token.GEQ, token.GTR: token.LSS, token.GEQ: token.LEQ,
}

func (l *lowerer) intBranch(x *ssa.BinOp, k repKind, neg bool, n int32) {
	op, X, Y := x.Op, x.X, x.Y
	if neg {
		op = negated[op]
	}
	if _, ok := l.small(X); ok {
		op, X, Y = swapped[op], Y, X
	}
	eq := op == token.EQL || op == token.NEQ
	// Numbers of up to 32 bits compare as signed 64-bit numbers whatever their sign.
	wide := k == kU64 || k == kPtr
	if o, ok := l.hoistedSmall(Y); ok && op == token.LSS && !wide { // may become a counting branch
		l.branch(bytecode.OpJLT, l.use(X), o, n)
		return
	}
	if c, ok := l.small(Y); ok && (!wide || eq) {
		l.branch(immBranch[op], l.use(X), imm(c), n)
		return
	}
	if op == token.GTR || op == token.GEQ {
		op, X, Y = swapped[op], Y, X
	}
	var o bytecode.Op
	switch {
	case op == token.EQL:
		o = bytecode.OpJEQ
	case op == token.NEQ:
		o = bytecode.OpJNE
	case op == token.LSS && wide:
		o = bytecode.OpJLTU
	case op == token.LSS:
		o = bytecode.OpJLT
	case wide:
		o = bytecode.OpJLEU
	default:
		o = bytecode.OpJLE
	}
	l.branch(o, l.use(X), l.use(Y), n)
}
