package bytecode

import (
	"fmt"
	"math/rand/v2"
)

// randomModule returns a valid module that uses every kind of type and, if it has enough functions, every instruction.
func randomModule(seed uint64, funcs, instrs int) *Module {
	g := &moduleGen{rand: rand.New(rand.NewPCG(seed, 1)), m: &Module{Name: "rand", GoVersion: "go1.26"}}
	g.m.SourceHash[3] = byte(seed)
	g.m.Files = []string{"a.go", "b \"quoted\".go", "c;\x00\xff.go"}
	g.m.RO = make([]byte, g.rand.IntN(300))
	for i := range g.m.RO {
		g.m.RO[i] = byte(g.rand.Uint32())
	}
	g.types()
	g.m.Funcs = make([]Func, funcs+4)
	for i := 1; i < len(g.m.Funcs); i++ {
		g.signature(i)
	}
	g.methods()
	g.tables()
	for i := 1; i < len(g.m.Funcs); i++ {
		g.function(&g.m.Funcs[i], instrs)
	}
	return g.m
}

type moduleGen struct {
	rand    *rand.Rand
	m       *Module
	layouts []Layout
}

func (g *moduleGen) add(t Type) TypeID {
	g.m.Types = append(g.m.Types, t)
	return TypeID(len(g.m.Types) - 1)
}

func (g *moduleGen) anyType() TypeID { return TypeID(1 + g.rand.IntN(len(g.m.Types)-1)) }

func (g *moduleGen) types() {
	g.m.Types = []Type{{}}
	for k := Bool; k <= Complex128; k++ {
		g.add(Type{Kind: k, Name: fmt.Sprint("basic", k), Named: true})
	}
	str := g.add(Type{Kind: String, Name: "string", Named: true})
	g.add(Type{Kind: UnsafePointer, Name: "unsafe.Pointer"})
	fn := g.add(Type{Kind: FuncKind, Name: "func()"})
	g.add(Type{Kind: Interface, Name: "interface {}"})
	g.add(Type{Kind: Interface, Name: "I", PkgPath: "rand", Named: true, IMethods: []IMethod{{"M", "", fn}, {"m", "rand", fn}}})
	for i := range 40 {
		t := Type{Name: fmt.Sprintf("T%d", i/2), PkgPath: "rand", Named: true}
		e := g.anyType()
		switch g.rand.IntN(9) {
		case 0:
			t.Kind, t.Elem, t.Len = Array, e, uint64(g.rand.IntN(6))
		case 1:
			t.Kind, t.Elem, t.Dir = Chan, e, uint8(1+g.rand.IntN(3))
		case 2:
			t.Kind, t.Elem, t.Key = Map, e, str
		case 3:
			t.Kind, t.Elem = Pointer, e
			if g.m.Types[e].PtrTo == 0 {
				g.m.Types[e].PtrTo = TypeID(len(g.m.Types))
			}
		case 4:
			t.Kind, t.Elem = Slice, e
		case 5:
			t.Kind, t.In, t.Out = FuncKind, []TypeID{g.anyType(), g.anyType()}, []TypeID{g.anyType()}
			if g.m.Types[t.In[1]].Kind == Slice {
				t.Variadic = true
			}
		default:
			t.Kind = Struct
			for k := range g.rand.IntN(5) {
				t.Fields = append(t.Fields, Field{Name: fmt.Sprint("F", k), PkgPath: "rand", Tag: `json:"x"`, Type: g.anyType(), Embedded: k == 2})
			}
		}
		g.add(t)
	}
	// Instructions on maps and channels find at least one type.
	g.add(Type{Kind: Chan, Name: "chan int", Elem: TypeID(Int), Dir: 3})
	g.add(Type{Kind: Map, Name: "map[int]string", Key: TypeID(Int), Elem: str})
	var err error
	if g.layouts, err = g.m.Layouts(); err != nil {
		panic(err)
	}
	for i := 1; i < len(g.m.Types); i++ {
		t, l := &g.m.Types[i], &g.layouts[i]
		t.Size, t.Align, t.Comparable = l.Size, l.Align, l.Comparable
		for k := range t.Fields {
			t.Fields[k].Offset = l.Offsets[k]
		}
	}
}

func (g *moduleGen) ofKind(want func(*Type) bool) uint64 {
	for {
		if id := g.anyType(); want(&g.m.Types[id]) && g.layouts[id].Slots < 20 {
			return uint64(id)
		}
	}
}

func (g *moduleGen) signature(i int) {
	f := &g.m.Funcs[i]
	f.Name = fmt.Sprintf("rand.f%d", i/2)
	f.Args, f.Results = uint16(g.rand.IntN(5)), uint16(g.rand.IntN(4))
	switch i {
	case 1:
		f.Args, f.Results = 0, 0
	case 2:
		f.Args, f.Results = TrapArgs, 0
	case 3:
		f.Args, f.Results = TimerFireArgs, 0
	}
	f.Frame = FrameArgs + f.Args + 80 + uint16(g.rand.IntN(300))
	f.Flags = FuncFlags(g.rand.IntN(8))
	f.File, f.Line = uint32(g.rand.IntN(3)), uint32(g.rand.IntN(1000))
	for k := range g.rand.IntN(3) {
		v := Var{Name: fmt.Sprint("v", k), Type: g.anyType(), Slot: uint16(3 + g.rand.IntN(20))}
		if g.layouts[v.Type].Slots > 20 {
			v.Type = 0
		}
		f.Params = append(f.Params, v)
		f.Locals = append(f.Locals, v)
	}
}

// methods gives a few types methods with the functions that fit, and the module itabs.
func (g *moduleGen) methods() {
	fn := TypeID(0)
	iface := TypeID(0)
	for i := range g.m.Types {
		switch {
		case g.m.Types[i].Name == "func()":
			fn = TypeID(i)
		case g.m.Types[i].Name == "I":
			iface = TypeID(i)
		}
	}
	for i := 20; i < len(g.m.Types); i += 3 {
		t := &g.m.Types[i]
		if t.Kind == Interface {
			continue
		}
		var ifn FuncID
		for k := 1; k < len(g.m.Funcs); k++ {
			if g.m.Funcs[k].Args == 1 && g.m.Funcs[k].Results == 0 {
				ifn = FuncID(k)
			}
		}
		t.Methods = []Method{{"M", "", fn, ifn, 0}, {"m", "rand", fn, 0, 0}}
		if ifn == 0 {
			t.Methods[0].Type = 0
		}
		g.m.Itabs = append(g.m.Itabs, Itab{iface, TypeID(i)})
	}
}

func (g *moduleGen) tables() {
	m := g.m
	m.Entry, m.Trap, m.TimerFire = 1, 2, 3
	for i := range 4 {
		m.Natives = append(m.Natives, NativeRef{fmt.Sprint("vm.n", i), uint16(i), uint16(3 - i)})
	}
	for i := range 6 {
		id := g.anyType()
		offset := alignUp(m.GlobalsSize, uint64(g.layouts[id].Align))
		m.Globals = append(m.Globals, Global{fmt.Sprint("rand.g", i/2), id, offset})
		m.GlobalsSize = offset + g.layouts[id].Size
	}
}
