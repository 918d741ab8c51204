package bytecode

import "math"

// kindNames are the words for kinds, by number.
var kindNames = [...]string{
	"invalid", "bool", "int", "int8", "int16", "int32", "int64", "uint", "uint8", "uint16", "uint32", "uint64", "uintptr",
	"float32", "float64", "complex64", "complex128", "array", "chan", "func", "interface", "map", "pointer", "slice", "string",
	"struct", "unsafe.Pointer",
}

func (k Kind) String() string {
	if int(k) < len(kindNames) {
		return kindNames[k]
	}
	return "kind?"
}

// autoType says what the text left out of a type.
type autoType struct {
	id     TypeID
	size   bool // size, align, comparable
	fields []int
}

func (t *autoType) apply(typ *Type, l *Layout) {
	if t.size {
		typ.Size, typ.Align, typ.Comparable = l.Size, l.Align, l.Comparable
	}
	for _, i := range t.fields {
		typ.Fields[i].Offset = l.Offsets[i]
	}
}

// typeBlock reads `type NAME KIND attributes` and its lines.
func (a *assembler) typeBlock(b *block) {
	l, t := b.head, &a.m.Types[b.index]
	auto := autoType{id: TypeID(b.index), size: true}
	t.Kind = a.kind(l)
	small := func(p *uint8) func() { return func() { *p = uint8(l.number(math.MaxUint8)) } }
	ref := func(p *TypeID) func() { return func() { *p = a.typeRef(l) } }
	set := func(p *bool) func() { return func() { *p = true } }
	l.attrs(map[string]func(){
		"size=": func() { t.Size, auto.size = l.number(math.MaxUint64), false }, "align=": small(&t.Align),
		"comparable": set(&t.Comparable), "named": set(&t.Named), "variadic": set(&t.Variadic),
		"pkg=": func() { t.PkgPath = l.name() }, "elem=": ref(&t.Elem), "key=": ref(&t.Key), "ptrto=": ref(&t.PtrTo),
		"len=": func() { t.Len = l.number(math.MaxUint64) }, "dir=": small(&t.Dir),
		"in=": func() { t.In = a.typeList(l) }, "out=": func() { t.Out = a.typeList(l) },
	})
	for _, l := range b.body {
		switch l.word() {
		case "field":
			a.field(l, t, &auto)
		case "imethod":
			im := IMethod{Name: l.name(), Type: a.typeRef(l)}
			l.attrs(map[string]func(){"pkg=": func() { im.PkgPath = l.name() }})
			t.IMethods = append(t.IMethods, im)
		case "method":
			me := Method{Name: l.name(), Type: a.typeRef(l)}
			l.attrs(map[string]func(){
				"pkg=": func() { me.PkgPath = l.name() },
				"ifn=": func() { me.Ifn = a.funcRef(l) }, "tfn=": func() { me.Tfn = a.funcRef(l) },
			})
			t.Methods = append(t.Methods, me)
		default:
			l.failAt(l.tokens[0].col, "field, imethod or method expected")
		}
		l.end()
	}
	if auto.size || len(auto.fields) > 0 {
		a.auto = append(a.auto, auto)
	}
}

func (a *assembler) kind(l *asmLine) Kind {
	word := l.word()
	for k, name := range kindNames {
		if name == word {
			return Kind(k)
		}
	}
	l.pos--
	l.fail("unknown kind %q", word)
	return Invalid
}

func (a *assembler) field(l *asmLine, t *Type, auto *autoType) {
	f := Field{Name: l.name(), Type: a.typeRef(l)}
	placed := false
	l.attrs(map[string]func(){
		"at=":  func() { f.Offset, placed = l.number(math.MaxUint64), true },
		"pkg=": func() { f.PkgPath = l.name() }, "tag=": func() { f.Tag = l.name() },
		"embedded": func() { f.Embedded = true },
	})
	if !placed {
		auto.fields = append(auto.fields, len(t.Fields))
	}
	t.Fields = append(t.Fields, f)
}

// typeList reads types in parentheses.
func (a *assembler) typeList(l *asmLine) []TypeID {
	var list []TypeID
	l.expect('(')
	for !l.accept(')') {
		if len(list) > 0 {
			l.expect(',')
		}
		list = append(list, a.typeRef(l))
	}
	return list
}
