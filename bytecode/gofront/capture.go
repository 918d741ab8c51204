package gofront

import (
	"go/token"
	"go/types"
	"slices"

	"golang.org/x/tools/go/ssa"
)

// Captured variables. go/ssa captures every variable by address. A variable that
// is assigned once, before all its uses, and never in a closure is captured by
// value instead: it needs no place on the heap.

const maxCapture = 4 // slots of a value that is captured by value

// byValue says whether a variable (an Alloc, or a FreeVar that stands for one) is captured by value.
func (c *linker) byValue(v ssa.Value) bool {
	if r, ok := c.captures[v]; ok {
		return r
	}
	c.captures[v] = false
	r := false
	switch x := v.(type) {
	case *ssa.Alloc:
		r = c.capturable(x)
	case *ssa.FreeVar:
		if mc := onlyClosure(x.Parent()); mc != nil {
			for i, fv := range x.Parent().FreeVars {
				if fv == x {
					r = c.byValue(mc.Bindings[i])
				}
			}
		}
	}
	c.captures[v] = r
	return r
}

// onlyClosure is the one instruction that makes closures of a function literal.
func onlyClosure(fn *ssa.Function) *ssa.MakeClosure {
	if fn.Parent() == nil || fn.Referrers() == nil {
		return nil
	}
	var mc *ssa.MakeClosure
	for _, r := range *fn.Referrers() {
		m, ok := r.(*ssa.MakeClosure)
		if !ok || mc != nil {
			return nil
		}
		mc = m
	}
	return mc
}

func (c *linker) capturable(a *ssa.Alloc) bool {
	if w := c.layouts.of(elemOf(a.Type())).words; w == 0 || w > maxCapture {
		return false
	}
	var store *ssa.Store
	closures := false
	for _, r := range *a.Referrers() {
		switch x := r.(type) {
		case *ssa.Store:
			if x.Addr != a || x.Val == ssa.Value(a) || store != nil {
				return false
			}
			store = x
		case *ssa.MakeClosure:
			closures = true
		}
	}
	if store == nil || !closures || !onlyRead(a) || repeats(store.Block(), a.Block()) {
		return false
	}
	for _, r := range *a.Referrers() {
		if _, ref := r.(*ssa.DebugRef); !ref && r != ssa.Instruction(store) && !before(store, r) {
			return false
		}
	}
	return true
}

// repeats: control can come from b to b again without passing through via.
func repeats(b, via *ssa.BasicBlock) bool {
	if b == via {
		return false
	}
	seen := map[*ssa.BasicBlock]bool{via: true}
	work := slices.Clone(b.Succs)
	for len(work) > 0 {
		x := work[len(work)-1]
		work = work[:len(work)-1]
		if x == b {
			return true
		}
		if !seen[x] {
			seen[x] = true
			work = append(work, x.Succs...)
		}
	}
	return false
}

// onlyRead: besides stores to an Alloc itself, the variable at v is only loaded, here and in closures.
func onlyRead(v ssa.Value) bool {
	_, isAlloc := v.(*ssa.Alloc)
	for _, r := range *v.Referrers() {
		switch x := r.(type) {
		case *ssa.UnOp:
			if x.Op != token.MUL {
				return false
			}
		case *ssa.Store:
			if !isAlloc {
				return false
			}
		case *ssa.DebugRef:
		case *ssa.MakeClosure:
			fn := x.Fn.(*ssa.Function)
			if onlyClosure(fn) != x {
				return false
			}
			for i, b := range x.Bindings {
				if b == v && !onlyRead(fn.FreeVars[i]) {
					return false
				}
			}
		default:
			return false
		}
	}
	return true
}

// before: a is executed before b on every path to b.
func before(a, b ssa.Instruction) bool {
	if a.Block() != b.Block() {
		return a.Block().Dominates(b.Block())
	}
	for _, in := range a.Block().Instrs {
		switch in {
		case a:
			return true
		case b:
			return false
		}
	}
	return false
}

// captureType is the type of what a closure holds for a captured variable.
func (c *linker) captureType(v ssa.Value) types.Type {
	if c.byValue(v) {
		return elemOf(v.Type())
	}
	return v.Type()
}
