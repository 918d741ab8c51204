package gofront

import (
	"go/types"
	"sort"

	"golang.org/x/tools/go/types/typeutil"

	"phantomvm/bytecode"
)

// typeTable numbers types. Descriptions are filled in at the end, which names further types.
type typeTable struct {
	ids  typeutil.Map
	list []types.Type // by id
	done int          // how many are described
}

func (t *typeTable) init() {
	t.list = make([]types.Type, 1)
	t.done = 1
}

func (c *linker) typeID(t types.Type) bytecode.TypeID {
	if b, ok := t.(*types.Basic); ok && b.Info()&types.IsUntyped != 0 {
		t = types.Default(t)
	}
	if id, ok := c.types.ids.At(t).(bytecode.TypeID); ok {
		return id
	}
	id := bytecode.TypeID(len(c.types.list))
	c.types.ids.Set(t, id)
	c.types.list = append(c.types.list, types.Unalias(t))
	return id
}

// lookupType is the id of a type that may not be in the table.
func (c *linker) lookupType(t types.Type) bytecode.TypeID {
	id, _ := c.types.ids.At(t).(bytecode.TypeID)
	return id
}

// finishTypes describes every type, and those that the descriptions name.
func (c *linker) finishTypes() {
	for c.types.done < len(c.types.list) {
		t := c.types.list[c.types.done]
		c.types.done++
		c.mod.Types = append(c.mod.Types, c.describe(t))
	}
	for id := 1; id < c.types.done; id++ {
		if t := c.types.list[id]; !types.IsInterface(t) && c.methods.inIface(t) {
			c.mod.Types[id].Methods = c.methodTableOf(t)
		}
	}
	for c.types.done < len(c.types.list) { // types of methods
		t := c.types.list[c.types.done]
		c.types.done++
		c.mod.Types = append(c.mod.Types, c.describe(t))
	}
	for id := 1; id < len(c.types.list); id++ {
		c.mod.Types[id].PtrTo = c.lookupType(types.NewPointer(c.types.list[id]))
	}
}

var basicKinds = map[types.BasicKind]bytecode.Kind{
	types.Bool: bytecode.Bool, types.Int: bytecode.Int, types.Int8: bytecode.Int8, types.Int16: bytecode.Int16,
	types.Int32: bytecode.Int32, types.Int64: bytecode.Int64, types.Uint: bytecode.Uint, types.Uint8: bytecode.Uint8,
	types.Uint16: bytecode.Uint16, types.Uint32: bytecode.Uint32, types.Uint64: bytecode.Uint64, types.Uintptr: bytecode.Uintptr,
	types.Float32: bytecode.Float32, types.Float64: bytecode.Float64, types.Complex64: bytecode.Complex64,
	types.Complex128: bytecode.Complex128, types.String: bytecode.String, types.UnsafePointer: bytecode.UnsafePointer,
}

func (c *linker) describe(t types.Type) bytecode.Type {
	d := bytecode.Type{
		Name: typeName(t), Size: uint64(c.layouts.sizes.Sizeof(t)), Align: uint8(c.layouts.sizes.Alignof(t)),
		Comparable: types.Comparable(t),
	}
	switch n := t.(type) {
	case *types.Named:
		d.Named, d.PkgPath = true, pkgPath(n.Obj().Pkg())
	case *types.Basic:
		d.Named = true
	}
	switch u := t.Underlying().(type) {
	case *types.Basic:
		d.Kind = basicKinds[u.Kind()]
	case *types.Pointer:
		d.Kind, d.Elem = bytecode.Pointer, c.typeID(u.Elem())
	case *types.Slice:
		d.Kind, d.Elem = bytecode.Slice, c.typeID(u.Elem())
	case *types.Array:
		d.Kind, d.Elem, d.Len = bytecode.Array, c.typeID(u.Elem()), uint64(u.Len())
	case *types.Map:
		d.Kind, d.Key, d.Elem = bytecode.Map, c.typeID(u.Key()), c.typeID(u.Elem())
	case *types.Chan:
		d.Kind, d.Elem = bytecode.Chan, c.typeID(u.Elem())
		d.Dir = map[types.ChanDir]uint8{types.RecvOnly: 1, types.SendOnly: 2, types.SendRecv: 3}[u.Dir()]
	case *types.Signature:
		d.Kind, d.Variadic = bytecode.FuncKind, u.Variadic()
		for i := range u.Params().Len() {
			d.In = append(d.In, c.typeID(u.Params().At(i).Type()))
		}
		for i := range u.Results().Len() {
			d.Out = append(d.Out, c.typeID(u.Results().At(i).Type()))
		}
	case *types.Struct:
		c.describeStruct(&d, u)
	case *types.Interface:
		d.Kind = bytecode.Interface
		for _, m := range sortedMethods(u) {
			im := bytecode.IMethod{Name: m.Name(), Type: c.typeID(methodType(m))}
			if !m.Exported() {
				im.PkgPath = pkgPath(m.Pkg())
			}
			if d.PkgPath == "" && im.PkgPath != "" {
				d.PkgPath = im.PkgPath
			}
			d.IMethods = append(d.IMethods, im)
		}
	}
	return d
}

func (c *linker) describeStruct(d *bytecode.Type, u *types.Struct) {
	d.Kind = bytecode.Struct
	offs := c.layouts.offsets(u)
	for i := range u.NumFields() {
		f := u.Field(i)
		bf := bytecode.Field{Name: f.Name(), Tag: u.Tag(i), Type: c.typeID(f.Type()), Offset: uint64(offs[i]), Embedded: f.Embedded()}
		if !f.Exported() {
			bf.PkgPath = pkgPath(f.Pkg())
			if d.PkgPath == "" {
				d.PkgPath = bf.PkgPath
			}
		}
		d.Fields = append(d.Fields, bf)
	}
}

// methodType is a method's type without its receiver.
func methodType(m *types.Func) *types.Signature {
	s := m.Type().(*types.Signature)
	return types.NewSignatureType(nil, nil, nil, s.Params(), s.Results(), s.Variadic())
}

// sortedMethods are an interface's methods as reflect orders them.
func sortedMethods(t *types.Interface) []*types.Func {
	ms := make([]*types.Func, t.NumMethods())
	for i := range ms {
		ms[i] = t.Method(i)
	}
	sort.Slice(ms, func(i, j int) bool { return methodLess(ms[i], ms[j]) })
	return ms
}

func methodLess(a, b *types.Func) bool {
	pkg := func(f *types.Func) string {
		if f.Exported() {
			return ""
		}
		return pkgPath(f.Pkg())
	}
	return bytecode.MethodLess(a.Name(), pkg(a), b.Name(), pkg(b))
}
