package gofront

import (
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"
)

// Decisions that are taken before code is emitted.

const maxFold = 0xffff - 1024 // largest offset that loads and stores take, with room for any value

func (l *lowerer) decide() {
	l.decideFrame()
	for _, b := range l.order {
		for _, in := range b.Instrs {
			switch x := in.(type) {
			case *ssa.FieldAddr:
				if l.foldable(x, 0) {
					l.fused[x] = true
				}
			case *ssa.IndexAddr:
				l.decideIndex(x)
			case *ssa.BinOp:
				l.decideConcat(x)
			case *ssa.If:
				l.decideCond(x.Cond, b)
			case *ssa.Call:
				l.decideAppend(x)
			}
		}
	}
}

func (l *lowerer) decideCond(v ssa.Value, b *ssa.BasicBlock) {
	switch x := v.(type) {
	case *ssa.BinOp:
		if x.Block() == b && len(*x.Referrers()) == 1 && l.canFuse(x) {
			l.fused[x] = true
		}
	case *ssa.Extract:
		l.decideAssert(x, b)
	case *ssa.UnOp:
		if x.Op == token.NOT && x.Block() == b && len(*x.Referrers()) == 1 {
			l.fused[x] = true
			l.decideCond(x.X, b)
		}
	}
}

// decideFrame picks the variables that live in the frame: those whose address
// is used by loads, stores and selections only. go/ssa marks many more as heap
// variables (composite literals whose address is taken, say) than need to be.
func (l *lowerer) decideFrame() {
	var total int64
	for _, b := range l.order {
		for _, in := range b.Instrs {
			a, ok := in.(*ssa.Alloc)
			if !ok {
				continue
			}
			t := elemOf(a.Type())
			size := l.la.sizes.Sizeof(t)
			if size > l.limit || total+size > 8*l.limit || !l.frameable(a, false) {
				continue
			}
			total += size
			r := l.la.of(t)
			l.frame[a] = l.f.newVreg(r.words, r.ptr)
			l.memSize[l.frame[a]] = r.size
			if r.kind != kAgg {
				l.scalars[l.frame[a]] = true
			}
			if l.storedFirst(a) {
				l.zeroed[a] = true
			}
		}
	}
}

// frameable: the address v is used only for direct access; dyn: there is an
// index in it that is not constant.
func (l *lowerer) frameable(v ssa.Value, dyn bool) bool {
	for _, in := range *v.Referrers() {
		switch x := in.(type) {
		case *ssa.Store:
			if x.Val == v {
				return false
			}
		case *ssa.UnOp:
			if x.Op != token.MUL {
				return false
			}
		case *ssa.FieldAddr:
			if !l.frameable(x, dyn) {
				return false
			}
		case *ssa.IndexAddr:
			at, ok := elemOf(x.X.Type()).Underlying().(*types.Array)
			if !ok {
				return false
			}
			if _, ok := constInt(x.Index); ok {
				if !l.frameable(x, dyn) {
					return false
				}
				continue
			}
			if dyn || l.la.of(at.Elem()).size > 128 || !l.frameable(x, true) {
				return false
			}
		case *ssa.DebugRef:
		default:
			return false
		}
	}
	return true
}

// storedFirst: the next use of the variable, in the same block, stores all of it.
func (l *lowerer) storedFirst(a *ssa.Alloc) bool {
	b := a.Block()
	seen := false
	for _, in := range b.Instrs {
		if in == a {
			seen = true
			continue
		}
		if !seen {
			continue
		}
		if s, ok := in.(*ssa.Store); ok && s.Addr == a {
			_, isConst := s.Val.(*ssa.Const) // may be loaded part by part
			return !isConst
		}
		var buf [8]*ssa.Value
		for _, o := range in.Operands(buf[:0]) {
			if *o == ssa.Value(a) {
				return false
			}
		}
	}
	return false
}

// rootFrame says whether an address is a part of a frame variable.
func (l *lowerer) rootFrame(v ssa.Value) bool {
	for {
		switch x := v.(type) {
		case *ssa.Alloc:
			_, ok := l.frame[x]
			return ok
		case *ssa.FieldAddr:
			v = x.X
		case *ssa.IndexAddr:
			v = x.X
		default:
			return false
		}
	}
}

// foldable: every use of address v can carry v's offset itself.
func (l *lowerer) foldable(v ssa.Value, depth int) bool {
	if l.rootFrame(v) {
		return true
	}
	refs := *v.Referrers()
	if len(refs) == 0 || depth > 6 {
		return false
	}
	if _, off, ok := l.staticOffset(v); !ok || off > maxFold {
		return false
	}
	for _, in := range refs {
		switch x := in.(type) {
		case *ssa.Store:
			if x.Val == v || l.la.of(x.Val.Type()).boxed {
				return false
			}
		case *ssa.UnOp:
			if x.Op != token.MUL || l.la.of(x.Type()).boxed {
				return false
			}
		case *ssa.FieldAddr:
			if !l.foldable(x, depth+1) {
				return false
			}
		case *ssa.IndexAddr:
			if _, ok := constInt(x.Index); !ok || !l.foldable(x, depth+1) {
				return false
			}
			if _, ok := x.X.Type().Underlying().(*types.Pointer); !ok {
				return false
			}
		case *ssa.DebugRef:
		default:
			return false
		}
	}
	return true
}

// staticOffset follows field selections and constant indexes to the address they start from.
func (l *lowerer) staticOffset(v ssa.Value) (ssa.Value, int64, bool) {
	var off int64
	for {
		switch x := v.(type) {
		case *ssa.FieldAddr:
			st := elemOf(x.X.Type()).Underlying().(*types.Struct)
			off += l.la.offsets(st)[x.Field]
			v = x.X
			continue
		case *ssa.IndexAddr:
			if p, ok := x.X.Type().Underlying().(*types.Pointer); ok {
				if i, ok := constInt(x.Index); ok {
					off += i * l.la.sizes.Sizeof(p.Elem().Underlying().(*types.Array).Elem())
					v = x.X
					continue
				}
			}
		}
		return v, off, off >= 0
	}
}

// decideIndex folds an index into its load or store.
func (l *lowerer) decideIndex(x *ssa.IndexAddr) {
	if l.rootFrame(x) {
		l.fused[x] = true
		return
	}
	if _, ok := x.X.Type().Underlying().(*types.Pointer); ok {
		if _, ok := constInt(x.Index); ok && l.foldable(x, 0) {
			l.fused[x] = true
		}
		return
	}
	r := l.la.of(elemOf(x.Type()))
	switch r.size {
	case 1, 2, 4, 8, 16, 24:
	default:
		return
	}
	n := 0
	for _, in := range *x.Referrers() {
		if in.Block() != x.Block() {
			return
		}
		switch y := in.(type) {
		case *ssa.Store:
			if y.Val == x {
				return
			}
		case *ssa.UnOp:
			if y.Op != token.MUL {
				return
			}
		case *ssa.DebugRef:
			continue
		default:
			return
		}
		n++
	}
	if n == 1 || n == 2 {
		l.fused[x] = true
	}
}

// decideAppend recognises append(s, a, b...) whose elements go/ssa puts into an
// array of its own: they are stored directly.
func (l *lowerer) decideAppend(x *ssa.Call) {
	bi, ok := x.Call.Value.(*ssa.Builtin)
	if !ok || bi.Name() != "append" || len(x.Call.Args) != 2 {
		return
	}
	sl, ok := x.Call.Args[1].(*ssa.Slice)
	if !ok || sl.Low != nil || sl.High != nil || sl.Max != nil || len(*sl.Referrers()) != 1 {
		return
	}
	a, ok := sl.X.(*ssa.Alloc)
	if !ok || a.Comment != "varargs" || a.Block() != x.Block() {
		return
	}
	at := elemOf(a.Type()).Underlying().(*types.Array)
	if r := l.la.of(at.Elem()); r.boxed || r.size == 0 || at.Len() > 8 {
		return
	}
	elems := make([]bool, at.Len())
	for _, in := range *a.Referrers() {
		switch y := in.(type) {
		case *ssa.Slice:
		case *ssa.DebugRef:
		case *ssa.IndexAddr:
			i, ok := constInt(y.Index)
			if !ok || len(*y.Referrers()) != 1 || elems[i] {
				return
			}
			st, ok := (*y.Referrers())[0].(*ssa.Store)
			if !ok || st.Addr != y {
				return
			}
			elems[i] = true
		default:
			return
		}
	}
	for _, stored := range elems {
		if !stored {
			return
		}
	}
	l.appends[a] = x
	l.fused[a], l.fused[sl] = true, true
	for _, in := range *a.Referrers() {
		if y, ok := in.(*ssa.IndexAddr); ok {
			l.fused[y] = true
			l.vargs = append(l.vargs, (*y.Referrers())[0].(*ssa.Store))
		}
	}
}

// canFuse says whether a comparison can be part of its branch.
func (l *lowerer) canFuse(x *ssa.BinOp) bool {
	switch x.Op {
	case token.EQL, token.NEQ, token.LSS, token.LEQ, token.GTR, token.GEQ:
	default:
		return false
	}
	if _, ok := nilCompared(x); ok {
		return true
	}
	r := l.la.of(x.X.Type())
	return r.kind.integer() || r.kind.float() || r.kind == kBool || r.kind == kPtr || r.kind == kString
}

// nilCompared: x compares a value, which it returns, with nil. The first word decides.
func nilCompared(x *ssa.BinOp) (ssa.Value, bool) {
	if x.Op != token.EQL && x.Op != token.NEQ {
		return nil, false
	}
	isNil := func(v ssa.Value) bool {
		c, ok := v.(*ssa.Const)
		if !ok || c.Value != nil {
			return false
		}
		switch c.Type().Underlying().(type) {
		case *types.Slice, *types.Interface, *types.Pointer, *types.Map, *types.Chan, *types.Signature:
			return true
		case *types.Basic:
			return true
		}
		return false
	}
	switch {
	case isNil(x.Y):
		return x.X, true
	case isNil(x.X):
		return x.Y, true
	}
	return nil, false
}
