package gofront

import (
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"
)

// Order of blocks and loops. Blocks are laid out in reverse postorder of a
// depth-first walk that visits the edges out of a loop, and the blocks that end
// in a panic, first: loops stay together and panics go last.

// loopInfo describes natural loops.
type loopInfo struct {
	inner []int // innermost loop of a block, -1 if none
	outer []int // outermost loop of a block, -1 if none
	heads []int // block index of a loop's header
	sets  []bitmap
}

func findLoops(fn *ssa.Function) *loopInfo {
	n := len(fn.Blocks)
	li := &loopInfo{inner: make([]int, n), outer: make([]int, n)}
	byHead := map[int]int{}
	for _, b := range fn.Blocks {
		for _, s := range b.Succs {
			if !s.Dominates(b) {
				continue
			}
			k, ok := byHead[s.Index]
			if !ok {
				k = len(li.heads)
				byHead[s.Index] = k
				li.heads = append(li.heads, s.Index)
				li.sets = append(li.sets, nil)
				li.sets[k].set(s.Index)
			}
			work := []*ssa.BasicBlock{b}
			for len(work) > 0 {
				x := work[len(work)-1]
				work = work[:len(work)-1]
				if li.sets[k].has(x.Index) {
					continue
				}
				li.sets[k].set(x.Index)
				work = append(work, x.Preds...)
			}
		}
	}
	size := make([]int, len(li.sets))
	for k := range li.sets {
		for i := range n {
			if li.sets[k].has(i) {
				size[k]++
			}
		}
	}
	for i := range n {
		li.inner[i], li.outer[i] = -1, -1
		for k := range li.sets {
			if !li.sets[k].has(i) {
				continue
			}
			if in := li.inner[i]; in < 0 || size[k] < size[in] {
				li.inner[i] = k
			}
			if out := li.outer[i]; out < 0 || size[k] > size[out] {
				li.outer[i] = k
			}
		}
	}
	return li
}

func (l *lowerer) layout() {
	fn := l.fn
	l.loops = findLoops(fn)
	seen := make([]bool, len(fn.Blocks))
	var post []*ssa.BasicBlock
	type frame struct {
		b     *ssa.BasicBlock
		succs []*ssa.BasicBlock
	}
	walk := func(root *ssa.BasicBlock) {
		if root == nil || seen[root.Index] {
			return
		}
		seen[root.Index] = true
		stack := []frame{{root, l.visitOrder(root)}}
		for len(stack) > 0 {
			f := &stack[len(stack)-1]
			if len(f.succs) == 0 {
				post = append(post, f.b)
				stack = stack[:len(stack)-1]
				continue
			}
			s := f.succs[0]
			f.succs = f.succs[1:]
			if !seen[s.Index] {
				seen[s.Index] = true
				stack = append(stack, frame{s, l.visitOrder(s)})
			}
		}
	}
	if fn.Recover != nil {
		walk(fn.Recover)
	}
	walk(fn.Blocks[0])
	l.order = make([]*ssa.BasicBlock, 0, len(post))
	l.place = make([]int, len(fn.Blocks))
	for i := len(post) - 1; i >= 0; i-- {
		l.place[post[i].Index] = len(l.order)
		l.order = append(l.order, post[i])
	}
}

// visitOrder lists successors, those that should be laid out last first.
func (l *lowerer) visitOrder(b *ssa.BasicBlock) []*ssa.BasicBlock {
	out := make([]*ssa.BasicBlock, 0, len(b.Succs))
	late := func(s *ssa.BasicBlock) bool {
		if in := l.loops.inner[b.Index]; in >= 0 && !l.loops.sets[in].has(s.Index) {
			return true
		}
		if len(s.Instrs) > 0 {
			_, p := s.Instrs[len(s.Instrs)-1].(*ssa.Panic)
			return p
		}
		return false
	}
	for i := len(b.Succs) - 1; i >= 0; i-- {
		if late(b.Succs[i]) {
			out = append(out, b.Succs[i])
		}
	}
	for i := len(b.Succs) - 1; i >= 0; i-- {
		if !late(b.Succs[i]) {
			out = append(out, b.Succs[i])
		}
	}
	return out
}

// hoistKey names a constant that a loop needs, loaded before the outermost loop.
type hoistKey struct {
	loop int
	v    any // *ssa.Global, or constKey
}

type constKey struct {
	kind repKind
	bits uint64
	str  string
}

const maxHoists = 16

func (l *lowerer) hoistable(v ssa.Value) (any, bool) {
	switch x := v.(type) {
	case *ssa.Global:
		return x, true
	case *ssa.Const:
		if x.Value == nil {
			return nil, false
		}
		k := l.la.of(x.Type()).kind
		switch {
		case k == kString:
			if s := constString(x); s != "" {
				return constKey{kind: k, str: s}, true
			}
		case k.float():
			return constKey{kind: k, bits: constBits(x, k)}, true
		case k.integer():
			if b := int64(constBits(x, k)); b != int64(int16(b)) {
				return constKey{kind: k, bits: uint64(b)}, true
			}
		}
	}
	return nil, false
}

// smallKey names a number that fits an immediate operand. Most instructions
// take it as such; stores and the bound of a counting loop need it in a register.
func (l *lowerer) smallKey(v ssa.Value) (any, bool) {
	x, ok := v.(*ssa.Const)
	if !ok || x.Value == nil {
		return nil, false
	}
	k := l.la.of(x.Type()).kind
	if !k.integer() && k != kBool {
		return nil, false
	}
	return constKey{kind: k, bits: constBits(x, k)}, true
}

// needsRegister is the small constant that an instruction of a loop wants in a register.
func (l *lowerer) needsRegister(in ssa.Instruction) ssa.Value {
	switch x := in.(type) {
	case *ssa.Store:
		if a, ok := x.Addr.(*ssa.Alloc); ok && l.frame[a] != 0 {
			return nil
		}
		return x.Val
	case *ssa.BinOp:
		if x.Op == token.LSS && l.fused[x] && l.la.of(x.X.Type()).kind == kI64 {
			return x.Y
		}
	}
	return nil
}

// hoistedSmall finds the register of a small constant that was loaded before the current loop.
func (l *lowerer) hoistedSmall(v ssa.Value) (opd, bool) {
	if l.blk == nil || l.loops == nil || l.loops.outer[l.blk.Index] < 0 {
		return opd{}, false
	}
	key, ok := l.smallKey(v)
	if !ok {
		return opd{}, false
	}
	o, ok := l.hoist[hoistKey{l.loops.outer[l.blk.Index], key}]
	return o, ok
}

// hoisted finds the register of a constant that was loaded before the current loop.
func (l *lowerer) hoisted(v ssa.Value) (opd, bool) {
	if l.blk == nil || l.loops == nil {
		return opd{}, false
	}
	k := l.loops.outer[l.blk.Index]
	if k < 0 {
		return opd{}, false
	}
	key, ok := l.hoistable(v)
	if !ok {
		return opd{}, false
	}
	o, ok := l.hoist[hoistKey{k, key}]
	return o, ok
}

// collectHoists finds what loops need; hoistsAt emits it before the loop.
func (l *lowerer) collectHoists() {
	l.hoistsOf = map[int][]hoistItem{}
	count := map[int]int{}
	for _, b := range l.order {
		k := l.loops.outer[b.Index]
		if k < 0 || l.fn.Blocks[l.loops.heads[k]].Idom() == nil {
			continue
		}
		pre := l.fn.Blocks[l.loops.heads[k]].Idom()
		if l.loops.inner[pre.Index] >= 0 {
			continue
		}
		want := func(v ssa.Value, key any) {
			hk := hoistKey{k, key}
			if _, dup := l.hoist[hk]; dup || count[k] >= maxHoists {
				return
			}
			count[k]++
			d := l.tmpOf(l.la.of(v.Type()))
			l.hoist[hk] = d
			l.hoistsOf[pre.Index] = append(l.hoistsOf[pre.Index], hoistItem{v, d})
		}
		var buf [8]*ssa.Value
		for _, in := range b.Instrs {
			if v := l.needsRegister(in); v != nil {
				if key, ok := l.smallKey(v); ok {
					want(v, key)
				}
			}
			if skipHoist(in) {
				continue
			}
			for _, o := range in.Operands(buf[:0]) {
				if key, ok := l.hoistable(*o); ok {
					want(*o, key)
				}
			}
		}
	}
}

type hoistItem struct {
	v ssa.Value
	d opd
}

// skipHoist: constants of these do not need registers, or are needed at most once.
func skipHoist(in ssa.Instruction) bool {
	switch x := in.(type) {
	case *ssa.DebugRef, *ssa.Panic, *ssa.MakeInterface, *ssa.Return:
		return true
	case *ssa.Call:
		_, b := x.Call.Value.(*ssa.Builtin)
		return b
	}
	return false
}

// hoistsAt loads the constants of the loops that begin behind block b.
func (l *lowerer) hoistsAt(b *ssa.BasicBlock) {
	for _, h := range l.hoistsOf[b.Index] {
		switch x := h.v.(type) {
		case *ssa.Global:
			l.globalAddr(h.d, x)
		case *ssa.Const:
			l.constInto(h.d, x)
		}
	}
}

// isPureHeader says whether a loop's header may be repeated at its end: phis,
// a few pure instructions and a conditional branch.
func (l *lowerer) isPureHeader(b *ssa.BasicBlock) bool {
	if _, ok := b.Instrs[len(b.Instrs)-1].(*ssa.If); !ok {
		return false
	}
	n := 0
	for _, in := range b.Instrs[:len(b.Instrs)-1] {
		switch x := in.(type) {
		case *ssa.Phi, *ssa.DebugRef:
			continue
		case *ssa.BinOp:
			if k := l.la.of(x.X.Type()).kind; !k.integer() && !k.float() && k != kPtr && k != kBool {
				return false
			}
		case *ssa.Call:
			if bi, ok := x.Call.Value.(*ssa.Builtin); !ok || bi.Name() != "len" || l.la.of(x.Call.Args[0].Type()).words < 2 {
				return false
			}
			if _, m := x.Call.Args[0].Type().Underlying().(*types.Map); m {
				return false
			}
		case *ssa.Next, *ssa.Extract:
		default:
			return false
		}
		n++
	}
	return n <= 4
}
