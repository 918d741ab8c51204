package objectvm

import (
	"encoding/binary"
	"reflect"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
)

// typeBuilder makes a module's type table of Go's own types, as the front end would.
type typeBuilder struct {
	m   bytecode.Module
	ids map[reflect.Type]bytecode.TypeID
}

func newTypeBuilder() *typeBuilder {
	return &typeBuilder{m: bytecode.Module{Types: make([]bytecode.Type, 1), Funcs: make([]bytecode.Func, 1)}, ids: map[reflect.Type]bytecode.TypeID{}}
}

func (b *typeBuilder) add(t reflect.Type) bytecode.TypeID {
	if id, ok := b.ids[t]; ok {
		return id
	}
	id := bytecode.TypeID(len(b.m.Types))
	b.ids[t] = id
	b.m.Types = append(b.m.Types, bytecode.Type{})
	d := bytecode.Type{
		Kind: bytecode.Kind(t.Kind()), Size: uint64(t.Size()), Align: uint8(t.Align()), Comparable: t.Comparable(),
		Name: t.String(), PkgPath: t.PkgPath(), Named: t.Name() != "",
	}
	switch t.Kind() {
	case reflect.Array:
		d.Elem, d.Len = b.add(t.Elem()), uint64(t.Len())
	case reflect.Chan:
		d.Elem, d.Dir = b.add(t.Elem()), uint8(t.ChanDir())
	case reflect.Map:
		d.Key, d.Elem = b.add(t.Key()), b.add(t.Elem())
	case reflect.Pointer, reflect.Slice:
		d.Elem = b.add(t.Elem())
	case reflect.Func:
		d.Variadic = t.IsVariadic()
		for i := range t.NumIn() {
			d.In = append(d.In, b.add(t.In(i)))
		}
		for i := range t.NumOut() {
			d.Out = append(d.Out, b.add(t.Out(i)))
		}
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			d.Fields = append(d.Fields, bytecode.Field{
				Name: f.Name, PkgPath: f.PkgPath, Tag: string(f.Tag), Type: b.add(f.Type), Offset: uint64(f.Offset), Embedded: f.Anonymous,
			})
		}
	case reflect.Interface:
		for i := range t.NumMethod() {
			m := t.Method(i)
			d.IMethods = append(d.IMethods, bytecode.IMethod{Name: m.Name, PkgPath: m.PkgPath, Type: b.add(m.Type)})
		}
	}
	if t.Kind() != reflect.Interface {
		for i := range t.NumMethod() {
			m := t.Method(i)
			f := bytecode.FuncID(len(b.m.Funcs))
			b.m.Funcs = append(b.m.Funcs, bytecode.Func{Name: t.String() + "." + m.Name})
			d.Methods = append(d.Methods, bytecode.Method{Name: m.Name, Type: b.add(withoutReceiver(m.Type)), Ifn: f, Tfn: f})
		}
	}
	b.m.Types[id] = d
	return id
}

func withoutReceiver(t reflect.Type) reflect.Type {
	var in, out []reflect.Type
	for i := 1; i < t.NumIn(); i++ {
		in = append(in, t.In(i))
	}
	for i := range t.NumOut() {
		out = append(out, t.Out(i))
	}
	return reflect.FuncOf(in, out, t.IsVariadic())
}

type shape interface {
	Area() float64
	Name() string
}

type square struct {
	side float64
	tag  string `note:"a tag"`
	*inner
}

type inner struct{ Next *inner }

func (s square) Area() float64         { return s.side }
func (s square) Name() string          { return s.tag }
func (s square) Zoom(f ...int) *square { return nil }
func (i *inner) Depth(map[string]int)  {}

// TestDescriptorsAreGo compares every descriptor with the one that gc made for the same type.
func TestDescriptorsAreGo(t *testing.T) {
	values := []any{
		true, int8(1), int16(1), int32(1), int64(1), 1, uint8(1), uint16(1), uint32(1), uint64(1), uint(1), uintptr(1),
		float32(1), 1.0, complex64(1), complex128(1), "", unsafe.Pointer(nil),
		[3]int16{},
		[0]string{},
		[2]any{},
		[]string{},
		map[string]int{},
		map[any]square{},
		map[[200]byte][300]byte{},
		map[float64]struct{}{},
		make(chan int), make(<-chan string), func(int, ...string) error { return nil }, &square{},
		square{},
		inner{},
		struct {
			a int8
			b int64
		}{},
		struct {
			A int32
			B *int
			C struct{}
		}{},
		struct{ p *int }{},
		[1]*int{},
		[1]struct{ m map[int]int }{},
		struct{ _, b int }{},
		struct{ a, b int32 }{},
		(*shape)(nil),
		[5000]*int{},
		struct {
			x [40]string
			y uintptr
		}{},
	}
	b := newTypeBuilder()
	for _, v := range values {
		b.add(reflect.TypeOf(v))
	}
	r, err := buildRO(&b.m)
	require.NoError(t, err)
	for rt, id := range b.ids {
		checkDescriptor(t, r, rt, r.types[id])
	}
	require.Equal(t, r.data, mustRO(t, &b.m).data, "the layout depends on the module alone")
}

func mustRO(t *testing.T, m *bytecode.Module) *roImage {
	r, err := buildRO(m)
	require.NoError(t, err)
	return r
}

func checkDescriptor(t *testing.T, r *roImage, rt reflect.Type, ti *TypeInfo) {
	name := rt.String()
	size := 48 + abiExtra(ti.Kind)
	// An eface's second word is the descriptor when the value is a reflect.Type (a *rtype).
	host := unsafe.Slice((*byte)(reflect.ValueOf(rt).UnsafePointer()), size)
	off := uint64(ti.Addr - ROBase)
	ours := r.data[off:]
	le := binary.LittleEndian
	require.Equal(t, le.Uint64(host[abiSize:]), le.Uint64(ours[abiSize:]), "%s: size", name)
	require.Equal(t, le.Uint64(host[abiPtrBytes:]), le.Uint64(ours[abiPtrBytes:]), "%s: pointer bytes", name)
	const flags = tflagNamed | tflagRegular | tflagDirect
	require.Equal(t, host[abiTFlag]&flags, ours[abiTFlag]&flags, "%s: flags", name)
	require.Equal(t, host[abiAlign:abiEqual], ours[abiAlign:abiEqual], "%s: align, kind", name)
	require.Equal(t, rt.Comparable(), le.Uint64(ours[abiEqual:]) != 0, "%s: Equal", name)
	require.Equal(t, rt.String(), nameIn(r, uint64(le.Uint32(ours[abiStr:]))), "%s: string", name)
	if ours[abiTFlag]&tflagGCOnDemand == 0 && host[abiTFlag]&tflagGCOnDemand == 0 && ti.PtrBytes != 0 {
		mask := unsafe.Slice(*(**byte)(unsafe.Pointer(&host[abiGCData])), (ti.PtrBytes/8+7)/8)
		require.Equal(t, mask, r.data[le.Uint64(ours[abiGCData:])-uint64(ROBase):][:len(mask)], "%s: pointer mask", name)
	}
	if rt.Kind() == reflect.Map {
		require.Equal(t, host[80:108], ours[80:108], "%s: map layout", name)
	}
	if rt.Kind() == reflect.Struct {
		fields := le.Uint64(ours[56:]) - uint64(ROBase)
		for i := range rt.NumField() {
			f := r.data[fields+24*uint64(i):]
			require.Equal(t, rt.Field(i).Name, nameIn(r, le.Uint64(f)-uint64(ROBase)), "%s: field %d", name, i)
			require.Equal(t, uint64(rt.Field(i).Offset), le.Uint64(f[16:]))
		}
	}
	if ours[abiTFlag]&tflagUncommon != 0 {
		u := off + size
		require.Equal(t, rt.PkgPath(), nameIn(r, uint64(le.Uint32(r.data[u:]))), "%s: package", name)
		if rt.Kind() != reflect.Interface {
			require.Equal(t, rt.NumMethod(), int(le.Uint16(r.data[u+6:])), "%s: methods", name)
			tab := u + uint64(le.Uint32(r.data[u+8:]))
			for i := range rt.NumMethod() {
				require.Equal(t, rt.Method(i).Name, nameIn(r, uint64(le.Uint32(r.data[tab+16*uint64(i):]))), "%s: method %d", name, i)
			}
		}
	}
}

// nameIn decodes the name at an offset.
func nameIn(r *roImage, off uint64) string {
	n, w := binary.Uvarint(r.data[off+1:])
	return string(r.data[off+1+uint64(w):][:n])
}

func TestItabs(t *testing.T) {
	b := newTypeBuilder()
	sq, sh := b.add(reflect.TypeFor[square]()), b.add(reflect.TypeFor[shape]())
	in := b.add(reflect.TypeFor[*inner]())
	r := mustRO(t, &b.m)
	a, err := r.addItab(sh, sq)
	require.NoError(t, err)
	it := r.data[a-ROBase:]
	le := binary.LittleEndian
	require.Equal(t, uint64(r.types[sh].Addr), le.Uint64(it))
	require.Equal(t, uint64(r.types[sq].Addr), le.Uint64(it[8:]))
	require.Equal(t, "objectvm.square.Area", b.m.Funcs[le.Uint64(it[24:])].Name)
	require.Equal(t, "objectvm.square.Name", b.m.Funcs[le.Uint64(it[32:])].Name)
	again, err := r.addItab(sh, sq)
	require.NoError(t, err)
	require.Equal(t, a, again)
	_, err = r.addItab(sh, in)
	require.EqualError(t, err, "missing method Area")
	name, at := r.missingMethod(sh, in)
	require.Equal(t, "Area", name)
	require.Equal(t, "Area", string(r.data[at-ROBase:][:4]))
	_, err = r.addItab(sq, in)
	require.ErrorIs(t, err, errNotInterface)
}

func TestBadTypesAreRefused(t *testing.T) {
	for name, types := range map[string][]bytecode.Type{
		"contains itself": {{}, {Kind: bytecode.Struct, Size: 8, Align: 8, Fields: []bytecode.Field{{Name: "a", Type: 1}}}},
		"no such type":    {{}, {Kind: bytecode.Pointer, Size: 8, Align: 8, Elem: 7}},
		"wrong size":      {{}, {Kind: bytecode.Int32, Size: 8, Align: 4}},
		"wrong offset":    {{}, {Kind: bytecode.Int, Size: 8, Align: 8}, {Kind: bytecode.Struct, Size: 8, Align: 8, Fields: []bytecode.Field{{Name: "a", Type: 1, Offset: 8}}}},
		"kind":            {{}, {Kind: 99, Size: 8, Align: 8}},
		"too large":       {{}, {Kind: bytecode.Int, Size: 8, Align: 8}, {Kind: bytecode.Array, Elem: 1, Len: 1 << 60, Size: 1 << 63, Align: 8}},
	} {
		_, err := buildRO(&bytecode.Module{Types: types, Funcs: make([]bytecode.Func, 1)})
		require.ErrorIs(t, err, ErrBadType, name)
	}
}
