package gofront

import (
	"errors"
	"fmt"
	"go/token"
	"go/types"
	"sort"
	"strings"

	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/types/typeutil"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront/load"
)

// linker collects what a program needs, starting from its entry:
//
//  1. A function is lowered when something that was lowered refers to it.
//  2. A type gets an id when code or another type names it. A type whose values
//     may be in an interface brings those of its methods that are called through
//     some interface, by name and signature (methods.go).
//  3. A package's init function keeps what initialises variables that something
//     refers to, and everything that may have an effect (inits.go).
//
// The steps are repeated until nothing new appears. All lists are in order of
// first reference, so that the same sources give the same module.
type linker struct {
	prog    *load.Program
	ssaProg *ssa.Program
	mod     *bytecode.Module
	layouts *layouts

	funcIDs  map[*ssa.Function]bytecode.FuncID
	thunkIDs map[*ssa.CallCommon]bytecode.FuncID
	runner   bytecode.FuncID
	queue    []func()
	failed   []Diagnostic

	types     typeTable
	methods   methodTable
	initList  []*initSlice
	globals   map[*ssa.Global]uint64
	liveVars  map[*ssa.Global]bool
	strings   map[string]uint64
	consts    map[uint64]uint64
	bytesAt   uint64
	itabs     map[bytecode.Itab]uint64
	natives   map[string]uint64
	files     map[string]uint32
	closures  typeutil.Map
	wrapNames map[string]int
	trapFunc  *ssa.Function
	math      map[string]intrinsic
	captures  map[ssa.Value]bool // by byValue
	current   *lowerer           // of the function at hand; nil before the first
	isKnown   func(native string) bool
}

func newLinker(p *load.Program) *linker {
	c := &linker{
		prog: p, ssaProg: p.SSA, layouts: newLayouts(),
		mod: &bytecode.Module{
			Name: p.Main.Path, SourceHash: p.SourceHash, GoVersion: p.GoVersion,
			Types: make([]bytecode.Type, 1), Funcs: make([]bytecode.Func, 1),
		},
		funcIDs: map[*ssa.Function]bytecode.FuncID{}, thunkIDs: map[*ssa.CallCommon]bytecode.FuncID{},
		globals: map[*ssa.Global]uint64{}, liveVars: map[*ssa.Global]bool{},
		strings: map[string]uint64{}, consts: map[uint64]uint64{}, itabs: map[bytecode.Itab]uint64{},
		natives: map[string]uint64{}, files: map[string]uint32{}, wrapNames: map[string]int{}, math: mathIntrinsics(), captures: map[ssa.Value]bool{},
	}
	c.layouts.tooLarge = func(t types.Type) { c.fail(c.pos(), fmt.Sprintf("type %s is too large", typeName(t))) }
	c.types.init()
	c.methods.init()
	return c
}

// link compiles the program.
func (c *linker) link() error {
	rt := c.prog.Runtime
	if rt != nil {
		c.trapFunc = rt.SSA.Func("vmTrap")
	}
	c.entry()
	for _, e := range []struct {
		name string
		id   *bytecode.FuncID
	}{{"vmTrap", &c.mod.Trap}, {"vmFatalPanic", &c.mod.FatalPanic}, {"vmTimer", &c.mod.TimerFire}} {
		if rt == nil {
			break
		}
		f := rt.SSA.Func(e.name)
		if f == nil {
			return fmt.Errorf("package runtime has no function %s", e.name)
		}
		*e.id = c.funcID(f)
	}
	c.settle()
	if len(c.failed) > 0 {
		sort.SliceStable(c.failed, func(i, j int) bool { return c.failed[i].less(c.failed[j]) })
		return &CompileError{Diagnostics: c.failed}
	}
	c.mod.GlobalsSize = alignUp(c.mod.GlobalsSize, 8)
	return nil
}

// settle runs until nothing new is referred to.
func (c *linker) settle() {
	for {
		for c.drain() || c.growInits() || c.growMethods() {
		}
		if !c.lowerInits() {
			break
		}
	}
	c.finishTypes()
}

func (c *linker) drain() bool {
	any := len(c.queue) > 0
	for len(c.queue) > 0 {
		q := c.queue[0]
		c.queue = c.queue[1:]
		q()
	}
	return any
}

// entry makes the program's first function: package initialisers in order, then main.
func (c *linker) entry() {
	f := newMfunc()
	l := &lowerer{c: c, f: f, la: c.layouts}
	for _, p := range c.prog.Packages {
		if p.SSA == nil {
			continue
		}
		if fn := p.SSA.Func("init"); fn != nil && fn.Blocks != nil {
			l.callFunc(opd{}, 0, c.funcID(fn), 0, nil)
		}
	}
	l.callFunc(opd{}, 0, c.funcID(c.prog.Main.SSA.Func("main")), 0, nil)
	zero := l.number(0)
	l.native("vm.exit", opd{}, 0, zero, 1)
	l.emit(ins{op: m(bytecode.OpRET)})
	id := c.newFunc("runtime.main", bytecode.FuncWrapper)
	c.mod.Entry = id
	c.finish(id, f, token.NoPos)
}

func (c *linker) newFunc(name string, flags bytecode.FuncFlags) bytecode.FuncID {
	c.mod.Funcs = append(c.mod.Funcs, bytecode.Func{Name: name, Flags: flags})
	return bytecode.FuncID(len(c.mod.Funcs) - 1)
}

// funcID gives a function its number; a function without a body is the one that
// a go:linkname directive names, or a wrapper around the VM's.
func (c *linker) funcID(fn *ssa.Function) bytecode.FuncID {
	if t := c.prog.Link(fn); t != nil {
		fn = t
	}
	if id, ok := c.funcIDs[fn]; ok {
		return id
	}
	flags := bytecode.FuncFlags(0)
	if isWrapper(fn) {
		flags |= bytecode.FuncWrapper
	}
	if len(fn.FreeVars) > 0 {
		flags |= bytecode.FuncClosure
	}
	id := c.newFunc(c.funcName(fn), flags)
	c.funcIDs[fn] = id
	c.methods.noteFunc(fn)
	switch {
	case fn.Synthetic == "package initializer":
		c.initList = append(c.initList, &initSlice{fn: fn, id: id})
	case fn.Blocks == nil:
		c.queue = append(c.queue, func() { c.compile(id, fn.Pos(), func(int64) *mfunc { return lowerNativeWrapper(c, fn) }) })
	default:
		c.queue = append(c.queue, func() { c.compileFunc(id, fn) })
	}
	return id
}

// funcValueID is the function that a func value of fn holds.
func (c *linker) funcValueID(fn *ssa.Function) bytecode.FuncID { return c.funcID(fn) }

// nativeName says whether the VM provides fn, and under which name.
func (c *linker) nativeName(fn *ssa.Function) (string, bool) {
	if fn.Blocks != nil || c.prog.Link(fn) != nil {
		return "", false
	}
	return c.prog.Symbol(fn), true
}

// isWrapper: recover looks through the function, and stacks do not show it.
func isWrapper(fn *ssa.Function) bool {
	s := fn.Synthetic
	if isReflectCall(fn) {
		return true
	}
	return strings.HasPrefix(s, "wrapper for") || strings.HasPrefix(s, "bound method wrapper") ||
		strings.HasPrefix(s, "thunk for") || strings.Contains(s, "instantiation wrapper")
}

// isReflectCall: fn is part of how a function that package reflect made calls what is behind it.
// Value.Call is not: recover does not look through it in gc either.
func isReflectCall(fn *ssa.Function) bool {
	for fn.Parent() != nil {
		fn = fn.Parent()
	}
	if o := fn.Origin(); o != nil {
		fn = o
	}
	if fn.Pkg == nil || fn.Pkg.Pkg.Path() != "reflect" || fn.Signature.Recv() != nil {
		return false
	}
	switch fn.Name() {
	case "call", "callReflect", "callMethod", "vmMakeFunc", "makeMethodValue", "MakeFunc",
		"vmCall", "vmCallArgs", "vmCallAs", "vmMake", "vmMakeArgs", "vmMakeAs":
		return true
	}
	return false
}

func (c *linker) compileFunc(id bytecode.FuncID, fn *ssa.Function) {
	c.compile(id, fn.Pos(), func(limit int64) *mfunc { return lowerFunc(c, fn, limit) })
	for _, p := range fn.Params {
		for i, v := range c.mod.Funcs[id].Params {
			if v.Name == p.Name() && v.Type == 0 {
				c.mod.Funcs[id].Params[i].Type = c.typeID(p.Type())
				break
			}
		}
	}
}

// compile lowers and finishes a function. If its frame is too large, it is
// lowered again with fewer variables in it.
func (c *linker) compile(id bytecode.FuncID, pos token.Pos, lower func(limit int64) *mfunc) {
	defer func() {
		if e := recover(); e != nil {
			ce, ok := e.(compileError)
			if !ok {
				panic(e)
			}
			c.fail(ce.pos, ce.msg)
		}
	}()
	for limit := int64(512); ; limit /= 4 {
		err := c.finish(id, lower(limit), pos)
		if err == nil {
			return
		}
		if !errors.Is(err, errFrame) || limit < 8 {
			c.fail(pos, fmt.Sprintf("%s: %v", c.mod.Funcs[id].Name, err))
			return
		}
	}
}

// pos is the place in the program that is being compiled.
func (c *linker) pos() token.Pos {
	if c.current == nil {
		return token.NoPos
	}
	return c.current.pos
}

func (c *linker) fail(pos token.Pos, msg string) {
	c.failed = append(c.failed, Diagnostic{Pos: c.prog.Fset.Position(pos), Text: msg})
}

// finish allocates slots and emits code.
func (c *linker) finish(id bytecode.FuncID, f *mfunc, pos token.Pos) error {
	fuseLoads(f)
	a := allocate(f)
	old := c.mod.Funcs[id]
	fn := bytecode.Func{Name: old.Name, Flags: old.Flags}
	marks, err := a.emit(&fn)
	if err != nil {
		return err
	}
	c.lines(&fn, f, marks, pos)
	c.mod.Funcs[id] = fn
	return nil
}

func (c *linker) lines(fn *bytecode.Func, f *mfunc, marks []lineMark, pos token.Pos) {
	if pos.IsValid() {
		p := c.prog.Fset.Position(pos)
		fn.File, fn.Line = c.fileID(p.Filename), uint32(p.Line)
	}
	for _, mk := range marks {
		p := c.prog.Fset.Position(f.ins[mk.ins].pos)
		l := bytecode.Line{PC: mk.pc, File: c.fileID(p.Filename), Line: uint32(p.Line)}
		if n := len(fn.Lines); n > 0 && fn.Lines[n-1].Line == l.Line && fn.Lines[n-1].File == l.File {
			continue
		}
		fn.Lines = append(fn.Lines, l)
	}
}

func (c *linker) fileID(name string) uint32 {
	if id, ok := c.files[name]; ok {
		return id
	}
	id := uint32(len(c.mod.Files))
	c.mod.Files = append(c.mod.Files, name)
	c.files[name] = id
	return id
}

// thunk returns the function that performs a deferred or go call.
func (c *linker) thunk(parent *ssa.Function, call *ssa.CallCommon, caps []ssa.Value, op bytecode.Op) bytecode.FuncID {
	if id, ok := c.thunkIDs[call]; ok {
		return id
	}
	kind := ".deferwrap"
	if op == bytecode.OpGO {
		kind = ".gowrap"
	}
	name := c.funcName(parent) + kind
	c.wrapNames[name]++
	flags := bytecode.FuncWrapper
	if len(caps) > 0 {
		flags |= bytecode.FuncClosure
	}
	id := c.newFunc(fmt.Sprintf("%s%d", name, c.wrapNames[name]), flags)
	c.thunkIDs[call] = id
	c.queue = append(c.queue, func() {
		c.compile(id, call.Pos(), func(int64) *mfunc { return lowerThunk(c, parent, call, caps) })
	})
	return id
}

func (c *linker) deferRunner() bytecode.FuncID {
	if c.runner == 0 {
		c.runner = c.newFunc("runtime.runDefers", bytecode.FuncWrapper|bytecode.FuncClosure)
		c.queue = append(c.queue, func() {
			c.compile(c.runner, token.NoPos, func(int64) *mfunc { return lowerDeferRunner(c) })
		})
	}
	return c.runner
}

// lowerNativeWrapper makes a function of its own out of one that the VM provides.
func lowerNativeWrapper(c *linker, fn *ssa.Function) *mfunc {
	l := newLowerer(c, fn, 0)
	var vals []ssa.Value
	slot := bytecode.FrameArgs
	sig := fn.Signature
	params := sig.Params()
	add := func(t types.Type) {
		k := ssa.NewConst(nil, t) // stands for the parameter
		slot += l.param(k, slot)
		vals = append(vals, k)
	}
	if r := sig.Recv(); r != nil {
		add(r.Type())
	}
	for i := range params.Len() {
		add(params.At(i).Type())
	}
	l.f.args = slot - bytecode.FrameArgs
	l.f.results = l.la.of(sig.Results()).words
	regs := l.window(0, vals)
	d := l.tmpOf(l.la.of(sig.Results()))
	l.nativeCall(c.prog.Symbol(fn), d, l.f.results, l.f.args, regs)
	if l.f.results == 0 {
		l.emit(ins{op: m(bytecode.OpRET)})
	} else {
		l.emit(ins{op: m(bytecode.OpRETN), a: d, wa: uint16(l.f.results), c: imm(int64(l.f.results))})
	}
	return l.f
}

func alignUp(n, a uint64) uint64 { return (n + a - 1) &^ (a - 1) }
