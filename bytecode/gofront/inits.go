package gofront

import (
	"go/token"
	"go/types"

	"golang.org/x/tools/go/ssa"

	"phantomvm/bytecode"
)

// Package initialisers. An init function assigns all package-level variables
// and may be huge (package unicode). An instruction of it is kept if it may have
// an effect, or if it contributes to the value of a variable that the program
// refers to: go/ssa's values are marked backward from those roots.
type initSlice struct {
	fn   *ssa.Function
	id   bytecode.FuncID
	keep map[ssa.Instruction]bool
	size int // instructions kept when it was last lowered
	done bool
}

// base is the variable or allocation that an address points into.
func baseOf(v ssa.Value) ssa.Value {
	for {
		switch x := v.(type) {
		case *ssa.FieldAddr:
			v = x.X
		case *ssa.IndexAddr:
			v = x.X
		case *ssa.Slice:
			v = x.X
		case *ssa.ChangeType:
			v = x.X
		default:
			return v
		}
	}
}

// mark computes what is kept, given the variables that are live; it says whether that grew.
func (s *initSlice) mark(c *linker) bool {
	before := len(s.keep)
	if s.keep == nil {
		s.keep = map[ssa.Instruction]bool{}
	}
	var work []ssa.Instruction
	add := func(in ssa.Instruction) {
		if in != nil && !s.keep[in] {
			s.keep[in] = true
			work = append(work, in)
		}
	}
	for _, b := range s.fn.Blocks {
		for _, in := range b.Instrs {
			if s.isRoot(c, in) {
				add(in)
			}
		}
	}
	for len(work) > 0 {
		in := work[len(work)-1]
		work = work[:len(work)-1]
		var buf [8]*ssa.Value
		for _, o := range in.Operands(buf[:0]) {
			if d, ok := (*o).(ssa.Instruction); ok {
				add(d)
			}
		}
		if v, ok := in.(ssa.Value); ok {
			switch in.(type) {
			case *ssa.Alloc, *ssa.MakeMap, *ssa.MakeSlice, *ssa.FieldAddr, *ssa.IndexAddr, *ssa.Slice, *ssa.ChangeType:
				s.fill(v, add)
			}
		}
	}
	return len(s.keep) > before
}

// fill keeps what is written into an object that is kept.
func (s *initSlice) fill(v ssa.Value, add func(ssa.Instruction)) {
	for _, r := range *v.Referrers() {
		switch x := r.(type) {
		case *ssa.Store:
			if x.Addr == v {
				add(x)
			}
		case *ssa.MapUpdate:
			if x.Map == v {
				add(x)
			}
		case *ssa.FieldAddr, *ssa.IndexAddr:
			if len(*r.(ssa.Value).Referrers()) > 0 {
				add(r)
			}
		}
	}
}

// isRoot: the instruction has an effect of its own.
func (s *initSlice) isRoot(c *linker, in ssa.Instruction) bool {
	switch x := in.(type) {
	case *ssa.Store:
		switch b := baseOf(x.Addr).(type) {
		case *ssa.Global:
			return c.liveVars[c.prog.LinkGlobal(b)]
		case *ssa.Alloc:
			return false
		}
		return true
	case *ssa.MapUpdate:
		_, fresh := x.Map.(*ssa.MakeMap)
		return !fresh
	case *ssa.Call:
		if b, ok := x.Call.Value.(*ssa.Builtin); ok {
			switch b.Name() {
			case "len", "cap", "append", "complex", "real", "imag", "min", "max":
				return false
			}
		}
		return !pureInit(x)
	case *ssa.UnOp:
		return x.Op == token.ARROW
	case *ssa.TypeAssert:
		return !x.CommaOk
	case *ssa.If, *ssa.Jump, *ssa.Return, *ssa.Panic, *ssa.Phi, *ssa.Send, *ssa.Go, *ssa.Defer, *ssa.RunDefers, *ssa.Select, *ssa.Next, *ssa.Range:
		return true
	}
	return false
}

// pureInit: calls whose only effect is their result.
func pureInit(x *ssa.Call) bool {
	fn := x.Call.StaticCallee()
	if fn == nil || fn.Pkg == nil {
		return false
	}
	switch fn.Pkg.Pkg.Path() + "." + fn.Name() {
	case "errors.New", "internal/godebug.New", "strings.NewReplacer", "fmt.Errorf":
		return fn.Signature.Recv() == nil
	}
	return false
}

// growInits updates all slices and asks for what the new parts refer to.
func (c *linker) growInits() bool {
	any := false
	for _, s := range c.initList {
		before := len(s.keep)
		if !s.mark(c) || len(s.keep) == before {
			continue
		}
		any = true
		for _, b := range s.fn.Blocks {
			for _, in := range b.Instrs {
				if s.keep[in] {
					c.scan(in)
				}
			}
		}
	}
	return any
}

// scan asks for the functions, variables and types that an instruction names.
func (c *linker) scan(in ssa.Instruction) {
	if call, ok := in.(*ssa.Call); ok {
		if fn, ok := call.Call.Value.(*ssa.Function); ok {
			if fn.Synthetic == "package initializer" {
				return
			}
			if _, native := c.nativeName(fn); native {
				return
			}
		}
		if call.Call.IsInvoke() {
			c.methodIndex(call.Call.Value.Type().Underlying().(*types.Interface), call.Call.Method)
		}
	}
	var buf [8]*ssa.Value
	for _, o := range in.Operands(buf[:0]) {
		switch x := (*o).(type) {
		case *ssa.Function:
			if call, ok := in.(*ssa.Call); ok && call.Call.Value == x && c.intrinsicOf(x) != nil {
				continue
			}
			c.funcID(x)
		case *ssa.Global:
			if !isGuard(x) {
				if _, store := in.(*ssa.Store); !store {
					c.globalOffset(x)
				}
			}
		}
	}
	if x, ok := in.(*ssa.MakeInterface); ok {
		c.markIface(x.X.Type())
	}
}

// lowerInits compiles the init functions; it says whether that brought up anything new.
func (c *linker) lowerInits() bool {
	funcs, vars := len(c.mod.Funcs), len(c.liveVars)
	for _, s := range c.initList {
		if s.done && s.size == len(s.keep) {
			continue
		}
		s.done, s.size = true, len(s.keep)
		c.compile(s.id, s.fn.Pos(), func(limit int64) *mfunc { return lowerInit(c, s, limit) })
	}
	return len(c.mod.Funcs) != funcs || len(c.liveVars) != vars || len(c.queue) > 0 || c.methods.grown
}

// lowerInit lowers the part of an init function that is kept.
func lowerInit(c *linker, s *initSlice, limit int64) *mfunc {
	type saved struct {
		b  *ssa.BasicBlock
		in []ssa.Instruction
	}
	var old []saved
	for _, b := range s.fn.Blocks {
		old = append(old, saved{b, b.Instrs})
		var in []ssa.Instruction
		for _, i := range b.Instrs {
			if s.keep[i] {
				in = append(in, i)
			}
		}
		b.Instrs = in
	}
	defer func() {
		for _, o := range old {
			o.b.Instrs = o.in
		}
	}()
	return lowerFunc(c, s.fn, limit)
}
