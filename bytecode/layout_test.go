package bytecode

import (
	"bytes"
	"go/ast"
	"math/big"
	"net/netip"
	"os"
	"reflect"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"text/template"
	"time"
	"unsafe"
)

type layoutCases struct {
	A int8
	B struct {
		X int16
		Y [3]byte
	}
	C  complex64
	D  complex128
	E  [0]func()
	F  [5]struct{ P, Q *int }
	G  any
	H  error
	I  map[string][]int
	J  chan<- bool
	K  func(int, ...string) error
	L  unsafe.Pointer
	M  [3][2]string
	N  struct{}
	O  atomic.Int64
	P  atomic.Pointer[int]
	Q  struct{ p *int }
	R  [1]*int
	S  [1]struct{ e [0]int }
	T  struct{ x uintptr }
	U  [2000]struct{ a, b *int }
	V  [100000]int
	W  [300]struct{ s string }
	Xx float32
	Z  struct{}
}

// importer makes module types of reflect's.
type importer struct {
	m   *Module
	ids map[reflect.Type]TypeID
}

func (im *importer) add(t reflect.Type) TypeID {
	if id, ok := im.ids[t]; ok {
		return id
	}
	id := TypeID(len(im.m.Types))
	im.ids[t] = id
	im.m.Types = append(im.m.Types, Type{})
	out := Type{
		Kind: Kind(t.Kind()), Size: uint64(t.Size()), Align: uint8(t.Align()), Comparable: t.Comparable(),
		Name: t.String(), PkgPath: t.PkgPath(), Named: t.Name() != "",
	}
	switch t.Kind() {
	case reflect.Array, reflect.Chan, reflect.Map, reflect.Pointer, reflect.Slice:
		out.Elem = im.add(t.Elem())
	case reflect.Struct:
		for i := range t.NumField() {
			f := t.Field(i)
			out.Fields = append(out.Fields, Field{f.Name, f.PkgPath, string(f.Tag), im.add(f.Type), uint64(f.Offset), f.Anonymous})
		}
	case reflect.Func:
		for i := range t.NumIn() {
			out.In = append(out.In, im.add(t.In(i)))
		}
		for i := range t.NumOut() {
			out.Out = append(out.Out, im.add(t.Out(i)))
		}
		out.Variadic = t.IsVariadic()
	case reflect.Interface:
		for i := range t.NumMethod() {
			me := t.Method(i)
			out.IMethods = append(out.IMethods, IMethod{me.Name, me.PkgPath, im.add(me.Type)})
		}
	}
	switch t.Kind() {
	case reflect.Map:
		out.Key = im.add(t.Key())
	case reflect.Array:
		out.Len = uint64(t.Len())
	case reflect.Chan:
		out.Dir = uint8(t.ChanDir())
	}
	im.m.Types[id] = out
	return id
}

// The compiler's own descriptors are the oracle for sizes, offsets, pointer maps and pointer-shapedness.
func TestLayoutsAgreeWithTheCompiler(t *testing.T) {
	im := &importer{m: &Module{Types: make([]Type, 1)}, ids: map[reflect.Type]TypeID{}}
	for _, v := range []any{
		layoutCases{},
		bytes.Buffer{},
		big.Int{},
		netip.Prefix{},
		os.File{},
		regexp.Regexp{},
		strings.Builder{},
		sync.Pool{},
		sync.WaitGroup{},
		template.Template{},
		time.Timer{},
		ast.File{},
		testing.T{},
		reflect.Method{},
	} {
		im.add(reflect.TypeOf(v))
	}
	m := im.m
	layouts, err := verifyTypes(m)
	if err != nil {
		t.Fatal(err)
	}
	masks := 0
	for typ, id := range im.ids {
		l, want := &layouts[id], rtypeOf(typ)
		if l.PtrBytes != uint64(want.ptrBytes) {
			t.Errorf("%v: pointers up to byte %d, the compiler says %d", typ, l.PtrBytes, want.ptrBytes)
		}
		if direct := want.tflag&tflagDirect != 0; l.Direct != direct || m.IsDirect(id) != direct {
			t.Errorf("%v: pointer-shaped %t and %t, the compiler says %t", typ, l.Direct, m.IsDirect(id), direct)
		}
		mask := gcMask(want)
		if mask == nil {
			continue
		}
		masks++
		typeWords(typ, 0, mask)
		checkMask(t, m, layouts, id, mask)
	}
	if len(m.Types) < 200 || masks < 100 {
		t.Errorf("only %d types and %d pointer masks were compared", len(m.Types), masks)
	}
}

// typeWords marks the type words of interfaces. The compiler leaves them out because its type descriptors never move or die;
// in the machine the collector must see those that a program made by reflection.
func typeWords(t reflect.Type, offset uintptr, mask []bool) {
	switch t.Kind() {
	case reflect.Interface:
		mask[offset/8] = true
	case reflect.Array:
		for i := range uintptr(t.Len()) {
			typeWords(t.Elem(), offset+i*t.Elem().Size(), mask)
		}
	case reflect.Struct:
		for i := range t.NumField() {
			typeWords(t.Field(i).Type, offset+t.Field(i).Offset, mask)
		}
	}
}

func checkMask(t *testing.T, m *Module, layouts []Layout, id TypeID, want []bool) {
	t.Helper()
	got := expandRuns(t, m, layouts, id)
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%s: pointer mask differs from the compiler's", m.Types[id].Name)
	}
	if slots := m.SlotPointers(id); !m.Boxed(id) {
		for i := range want {
			if getBit(slots[:], i) != want[i] {
				t.Errorf("%s: SlotPointers differs at word %d", m.Types[id].Name, i)
			}
		}
	} else if slots != [2]uint64{1} {
		t.Errorf("%s: a boxed value is one pointer", m.Types[id].Name)
	}
}

// expandRuns spells runs out up to the last pointer and checks that they ascend.
func expandRuns(t *testing.T, m *Module, layouts []Layout, id TypeID) []bool {
	t.Helper()
	runs, ok := m.PtrRuns(id, layouts)
	if !ok {
		t.Fatalf("%s: no runs", m.Types[id].Name)
	}
	mask := make([]bool, layouts[id].PtrBytes/8)
	end := uint64(0)
	for _, r := range runs {
		if r.Start < end {
			t.Fatalf("%s: runs overlap", m.Types[id].Name)
		}
		end = r.Start + (r.Count-1)*r.Words
		for i := range r.Count * r.Words {
			if r.Bits[i%r.Words/64]>>(i%r.Words%64)&1 != 0 {
				mask[r.Start+i] = true
			}
		}
	}
	return mask
}

// Huge types keep small maps: a pattern and a count.
func TestPtrRunsOfHugeTypes(t *testing.T) {
	m := assemble(t, `
type int int
type p pointer elem=int
type pair struct {
	field a int
	field b p
}
type huge array elem=pair len=1000000000
type nested array elem=huge len=100
type both struct {
	field first p
	field h huge
	field n array
	field last p
}
type array array elem=int len=1000000000
type empty struct
type tree1 array elem=both len=20000
`)
	layouts, err := m.Layouts()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		want []PtrRun
	}{
		{"int", nil},
		{"array", nil},
		{"huge", []PtrRun{{0, 2, 1e9, []uint64{2}}}},
		{"nested", []PtrRun{{0, 2, 1e11, []uint64{2}}}},
		{"both", []PtrRun{{0, 1, 1, []uint64{1}}, {1, 2, 1e9, []uint64{2}}, {1 + 2e9 + 1e9, 1, 1, []uint64{1}}}},
	} {
		got, ok := m.PtrRuns(typeCalled(m, c.name), layouts)
		if !ok || !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s: runs %v, want %v", c.name, got, c.want)
		}
	}
	if _, ok := m.PtrRuns(typeCalled(m, "tree1"), layouts); ok {
		t.Error("an array of huge structs got a map although it is not small")
	}
}
