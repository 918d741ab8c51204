package bytecode

// Verify checks a module before it may run. What it guarantees, together with
// the checks that the VM makes on values at run time: execution stays within
// verified instructions, every slot that an instruction touches lies in its
// function's own frame behind the header, every table index is in range, and
// wherever a slice of execution may end the VM finds a map of pointers. It does not track
// the types of values: a slot may hold anything.
//
//  1. Types: references, kinds, sizes by gc's rules (verify_types.go).
//  2. Tables: hooks, globals, itabs, natives.
//  3. Every function: one pass over the words finds instruction boundaries and
//     what each pc needs; one pass over the maps notes what each pc has; one
//     pass over the instructions checks operands and compares (verify_code.go,
//     verify_ops.go).
//
// Time is linear in the size of the module; memory is a few bytes per type and per word of the longest function.

// Limits of a module.
const (
	MaxTypes       = 1 << 20
	MaxFuncs       = 1 << 20
	MaxFuncWords   = 1 << 24 // words of code in a function
	MaxCodeWords   = 1 << 27 // words of code in a module: the CODE region
	MaxRO          = 1 << 29 // bytes of the read-only blob: half the RO region
	MaxGlobals     = 1 << 35 // bytes of the globals segment: half the DATA region
	MaxTypeParts   = 1 << 16 // fields, methods, parameters of one type
	MaxItabMethods = 1 << 22 // function words of all itabs
	MaxNatives     = 1 << 16
)

// Arguments of the hooks, in slots.
const (
	TrapArgs      = 6 // code, x, y, t1, t2, t3
	TimerFireArgs = 5 // f, arg (2), seq, delta
)

// Verify returns nil if the module may be loaded, else a *VerifyError about the first fault found.
func Verify(m *Module) error {
	if err := verifyLimits(m); err != nil {
		return err
	}
	v := &verifier{m: m}
	var err error
	if v.layouts, err = verifyTypes(m); err != nil {
		return err
	}
	for _, check := range []func() error{v.hooks, v.globals, v.itabs, v.methods, v.natives} {
		if err := check(); err != nil {
			return err
		}
	}
	for id := 1; id < len(m.Funcs); id++ {
		if err := v.function(FuncID(id)); err != nil {
			return err
		}
	}
	return nil
}

type verifier struct {
	m       *Module
	layouts []Layout
	code    codeVerifier // scratch, used again for every function
}

func verifyLimits(m *Module) error {
	words := 0
	for i := range m.Funcs {
		if len(m.Funcs[i].Code) > MaxFuncWords {
			return funcError(m, RuleLimits, FuncID(i), "%d words of code", len(m.Funcs[i].Code))
		}
		words += len(m.Funcs[i].Code)
	}
	for _, l := range []struct {
		what   string
		n, max uint64
	}{
		{"types", uint64(len(m.Types)), MaxTypes},
		{"functions", uint64(len(m.Funcs)), MaxFuncs},
		{"words of code", uint64(words), MaxCodeWords},
		{"bytes of read-only data", uint64(len(m.RO)), MaxRO},
		{"bytes of globals", m.GlobalsSize, MaxGlobals},
		{"natives", uint64(len(m.Natives)), MaxNatives},
	} {
		if l.n > l.max {
			return moduleError(RuleLimits, "%d %s, at most %d are allowed", l.n, l.what, l.max)
		}
	}
	return nil
}

func (v *verifier) funcOK(id FuncID) bool { return id != 0 && int64(id) < int64(len(v.m.Funcs)) }

func (v *verifier) typeOK(id TypeID) bool { return id != 0 && int64(id) < int64(len(v.m.Types)) }

// hooks checks the functions that the VM calls by itself. Entry must exist; without the others the VM ends the program itself.
func (v *verifier) hooks() error {
	m := v.m
	for _, h := range []struct {
		name     string
		id       FuncID
		args     uint16
		required bool
	}{
		{"Entry", m.Entry, 0, true},
		{"Trap", m.Trap, TrapArgs, false},
		{"FatalPanic", m.FatalPanic, 0, false},
		{"TimerFire", m.TimerFire, TimerFireArgs, false},
	} {
		if h.id == 0 && !h.required {
			continue
		}
		if !v.funcOK(h.id) {
			return moduleError(RuleHook, "%s names function %d, which does not exist", h.name, h.id)
		}
		if f := &m.Funcs[h.id]; f.Args != h.args || f.Results != 0 {
			return funcError(m, RuleHook, h.id, "%s takes %d argument slots and returns none; this takes %d and returns %d", h.name, h.args, f.Args, f.Results)
		}
	}
	return nil
}

func (v *verifier) globals() error {
	end := uint64(0)
	for i := range v.m.Globals {
		g := &v.m.Globals[i]
		if !v.typeOK(g.Type) {
			return moduleError(RuleGlobal, "global %q has type %d, which does not exist", g.Name, g.Type)
		}
		l := &v.layouts[g.Type]
		switch {
		case g.Offset%uint64(l.Align) != 0:
			return moduleError(RuleGlobal, "global %q at %d is not aligned to %d", g.Name, g.Offset, l.Align)
		case g.Offset < end:
			return moduleError(RuleGlobal, "global %q at %d overlaps the one before it or is out of order", g.Name, g.Offset)
		case g.Offset > v.m.GlobalsSize || l.Size > v.m.GlobalsSize-g.Offset:
			return moduleError(RuleGlobal, "global %q at %d reaches beyond the segment", g.Name, g.Offset)
		}
		end = g.Offset + l.Size
	}
	return nil
}

// itabs checks that every itab names an interface with methods and a type that has them.
func (v *verifier) itabs() error {
	words := 0
	for i, it := range v.m.Itabs {
		if !v.typeOK(it.Iface) || !v.typeOK(it.Type) {
			return moduleError(RuleItab, "itab %d names types %d and %d", i, it.Iface, it.Type)
		}
		iface, typ := &v.m.Types[it.Iface], &v.m.Types[it.Type]
		if iface.Kind != Interface || len(iface.IMethods) == 0 || typ.Kind == Interface {
			return moduleError(RuleItab, "itab %d: %q is not an interface type with methods, or %q is one", i, iface.Name, typ.Name)
		}
		if words += len(iface.IMethods); words > MaxItabMethods {
			return moduleError(RuleLimits, "itabs have more than %d methods", MaxItabMethods)
		}
		for k := range iface.IMethods {
			if typ.method(iface.IMethods[k].Name, iface.IMethods[k].PkgPath) == nil {
				return moduleError(RuleItab, "itab %d: %q has no method %s", i, typ.Name, iface.IMethods[k].Name)
			}
		}
	}
	return nil
}

// method finds a method by binary search; the methods are sorted.
func (t *Type) method(name, pkg string) *Method {
	lo, hi := 0, len(t.Methods)
	for lo < hi {
		mid := (lo + hi) / 2
		if MethodLess(t.Methods[mid].Name, t.Methods[mid].PkgPath, name, pkg) {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo < len(t.Methods) && t.Methods[lo].Name == name && t.Methods[lo].PkgPath == pkg {
		return &t.Methods[lo]
	}
	return nil
}

func (v *verifier) natives() error {
	for i, n := range v.m.Natives {
		if n.Name == "" || n.Args > MaxFrame || n.Results > MaxFrame {
			return moduleError(RuleNative, "native %d %q takes %d slots and returns %d", i, n.Name, n.Args, n.Results)
		}
	}
	return nil
}
