package gofront

import (
	"go/types"
	"sort"
	"strings"

	"golang.org/x/tools/go/ssa"
	"golang.org/x/tools/go/types/typeutil"

	"phantomvm/bytecode"
)

// Which methods a program needs. A method of a type whose values may be in an
// interface is kept if a method of its name and signature is called through an
// interface. Types reach others: reflection on a value gets at its parts. If the
// program looks methods up by reflection, exported ones are all kept.
type methodTable struct {
	iface   typeutil.Map    // types whose values may be in an interface
	list    []types.Type    // the same in order
	visited int             // how many of them had their parts marked
	called  map[string]bool // name and signature of methods called through interfaces
	reflect bool
	grown   bool // something was added since methods were looked at
	index   map[*types.Interface]map[string]int
	sigs    map[*types.Func]string
	sets    map[bytecode.TypeID]*methodSet
}

type methodSet struct {
	sels []*types.Selection
	ifn  []bytecode.FuncID
	tfn  []bytecode.FuncID
}

func (t *methodTable) init() {
	t.called = map[string]bool{}
	t.index = map[*types.Interface]map[string]int{}
	t.sigs = map[*types.Func]string{}
	t.sets = map[bytecode.TypeID]*methodSet{}
}

func (t *methodTable) inIface(x types.Type) bool { return t.iface.At(x) != nil }

// markIface: values of type t may be in an interface.
func (c *linker) markIface(t types.Type) {
	t = types.Unalias(t)
	if b, ok := t.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		t = types.Default(t)
	}
	if c.methods.iface.At(t) != nil {
		return
	}
	c.methods.iface.Set(t, true)
	c.methods.list = append(c.methods.list, t)
	c.methods.grown = true
	c.typeID(t)
}

// noteFunc watches for the functions by which reflection finds methods.
func (t *methodTable) noteFunc(fn *ssa.Function) {
	if fn.Pkg == nil || fn.Pkg.Pkg.Path() != "reflect" || t.reflect {
		return
	}
	if r := fn.Signature.Recv(); r != nil && (fn.Name() == "Method" || fn.Name() == "MethodByName") {
		s := r.Type().String()
		if strings.HasSuffix(s, "reflect.Value") || strings.HasSuffix(s, "reflect.rtype") {
			t.reflect, t.grown = true, true
		}
	}
}

// methodIndex is a method's place in the itab of an interface; it notes the call.
func (c *linker) methodIndex(it *types.Interface, m *types.Func) int {
	if k := c.methodKey(m); !c.methods.called[k] {
		c.methods.called[k] = true
		c.methods.grown = true
	}
	idx, ok := c.methods.index[it]
	if !ok {
		idx = map[string]int{}
		for i, f := range sortedMethods(it) {
			idx[f.Id()] = i
		}
		c.methods.index[it] = idx
	}
	return idx[m.Id()]
}

func (c *linker) methodKey(m *types.Func) string {
	if k, ok := c.methods.sigs[m]; ok {
		return k
	}
	var b strings.Builder
	b.WriteString(m.Id())
	writeSignature(&b, m.Type().(*types.Signature), true)
	c.methods.sigs[m] = b.String()
	return b.String()
}

// growMethods marks the parts of types in interfaces and asks for the methods that are needed now.
func (c *linker) growMethods() bool {
	t := &c.methods
	if !t.grown {
		return false
	}
	t.grown = false
	for ; t.visited < len(t.list); t.visited++ {
		c.markParts(t.list[t.visited])
	}
	for i := 0; i < len(t.list); i++ {
		if !types.IsInterface(t.list[i]) {
			c.keepMethods(t.list[i])
		}
	}
	return true
}

func (c *linker) markParts(t types.Type) {
	if n, ok := t.(*types.Named); ok && !types.IsInterface(n) {
		c.markIface(types.NewPointer(n))
	}
	switch u := t.Underlying().(type) {
	case *types.Pointer:
		c.markIface(u.Elem())
	case *types.Slice:
		c.markIface(u.Elem())
	case *types.Array:
		c.markIface(u.Elem())
	case *types.Chan:
		c.markIface(u.Elem())
	case *types.Map:
		c.markIface(u.Key())
		c.markIface(u.Elem())
	case *types.Struct:
		for i := range u.NumFields() {
			c.markIface(u.Field(i).Type())
		}
	case *types.Signature:
		for i := range u.Params().Len() {
			c.markIface(u.Params().At(i).Type())
		}
		for i := range u.Results().Len() {
			c.markIface(u.Results().At(i).Type())
		}
	}
}

func (c *linker) methodSet(t types.Type) *methodSet {
	id := c.typeID(t)
	if s, ok := c.methods.sets[id]; ok {
		return s
	}
	ms := c.ssaProg.MethodSets.MethodSet(t)
	s := &methodSet{ifn: make([]bytecode.FuncID, ms.Len()), tfn: make([]bytecode.FuncID, ms.Len())}
	for i := range ms.Len() {
		s.sels = append(s.sels, ms.At(i))
	}
	sort.Slice(s.sels, func(i, j int) bool {
		return methodLess(s.sels[i].Obj().(*types.Func), s.sels[j].Obj().(*types.Func))
	})
	c.methods.sets[id] = s
	return s
}

func (c *linker) keepMethods(t types.Type) {
	s := c.methodSet(t)
	for i, sel := range s.sels {
		f := sel.Obj().(*types.Func)
		if s.tfn[i] != 0 || !c.methods.called[c.selKey(sel)] && !(c.methods.reflect && f.Exported()) {
			continue
		}
		fn := c.ssaProg.MethodValue(sel)
		if fn == nil { // a generic method
			continue
		}
		s.tfn[i] = c.funcID(fn)
		s.ifn[i] = s.tfn[i]
		if direct(t) {
			continue
		}
		psel := c.ssaProg.MethodSets.MethodSet(types.NewPointer(t)).Lookup(f.Pkg(), f.Name())
		s.ifn[i] = c.funcID(c.ssaProg.MethodValue(psel))
	}
}

// selKey is methodKey with the receiver's type arguments substituted.
func (c *linker) selKey(sel *types.Selection) string {
	f := sel.Obj().(*types.Func)
	if k, ok := c.methods.sigs[f]; ok {
		return k
	}
	var b strings.Builder
	b.WriteString(f.Id())
	writeSignature(&b, sel.Type().(*types.Signature), true)
	c.methods.sigs[f] = b.String()
	return b.String()
}

func (c *linker) methodTableOf(t types.Type) []bytecode.Method {
	s := c.methodSet(t)
	out := make([]bytecode.Method, 0, len(s.sels))
	for i, sel := range s.sels {
		f := sel.Obj().(*types.Func)
		sig := sel.Type().(*types.Signature)
		mt := types.NewSignatureType(nil, nil, nil, sig.Params(), sig.Results(), sig.Variadic())
		m := bytecode.Method{Name: f.Name(), Type: c.typeID(mt), Ifn: s.ifn[i], Tfn: s.tfn[i]}
		if !f.Exported() {
			m.PkgPath = pkgPath(f.Pkg())
		}
		out = append(out, m)
	}
	return out
}
