package objectvm

import (
	"math/rand/v2"
	"reflect"

	"phantomvm/bytecode"
)

// Random modules that the verifier accepts and that do much before they end. Slots hold forged addresses, but often enough what
// an instruction wants; most functions recover from what they raise and go on; jumps make loops, calls recursion.

// randTypes are the types of a random module.
var randTypes = []reflect.Type{
	reflect.TypeFor[map[string]int32](), reflect.TypeFor[map[int64][3]string](), reflect.TypeFor[map[any]any](), reflect.TypeFor[map[[2]float64]struct{}](),
	reflect.TypeFor[map[[20]int64][20]string](), reflect.TypeFor[chan int8](), reflect.TypeFor[chan struct{}](), reflect.TypeFor[chan [4]string](),
	reflect.TypeFor[chan [30]int64](), reflect.TypeFor[error](), reflect.TypeFor[any](), reflect.TypeFor[func()](), reflect.TypeFor[[5]*int](),
	reflect.TypeFor[*struct {
		A any
		B string
		C complex64
	}](), reflect.TypeFor[[]string](), reflect.TypeFor[[700]*int](), reflect.TypeFor[[9000]byte](),
}

// randSlots is how many slots behind the arguments instructions use; the rest of the frame leaves room for every width.
const (
	randSlots = 24
	randFrame = bytecode.FrameArgs + 8 + randSlots + 1 + 100
)

type randGen struct {
	*rand.Rand
	m       *bytecode.Module
	layouts []bytecode.Layout
	f       *bytecode.Func
	starts  []uint32
	jumps   []uint32
	row     *bytecode.OpInfo
}

// Functions of a random module, before those without a purpose.
const (
	randEntry = 1 + iota
	randTrap
	randTimer
	randRecover // a deferred function that recovers
	randWorker  // a function without arguments and results, for GO and DEFER
	randPlain
)

// randomModule makes a valid module; natives are the VM's own.
func randomModule(rnd *rand.Rand) (*bytecode.Module, error) {
	b := newTypeBuilder()
	for _, t := range randTypes {
		b.add(t)
	}
	g := &randGen{Rand: rnd, m: &b.m}
	m := g.m
	m.Name, m.GoVersion, m.Files, m.RO = "random", "go1.26", []string{"r.go"}, []byte("some read-only text, \xff\xc3 not all of it valid")
	m.Funcs = make([]bytecode.Func, randPlain+1+rnd.IntN(5))
	for i := 1; i < len(m.Funcs); i++ {
		f := &m.Funcs[i]
		f.Name, f.Frame, f.Flags = "random.f", randFrame+uint16(rnd.IntN(bytecode.MaxFrame-randFrame)), bytecode.FuncFlags(rnd.IntN(4))&(bytecode.FuncWrapper|bytecode.FuncClosure)
		switch i {
		case randTrap:
			f.Args = bytecode.TrapArgs
		case randTimer:
			f.Args = bytecode.TimerFireArgs
		case randEntry, randRecover, randWorker:
		default:
			f.Args, f.Results = uint16(rnd.IntN(4)), uint16(rnd.IntN(4))
		}
	}
	m.Entry, m.Trap, m.TimerFire = randEntry, randTrap, randTimer
	if rnd.IntN(2) == 0 {
		m.FatalPanic = randWorker
	}
	g.addMethods(b.ids[reflect.TypeFor[error]()])
	for _, n := range nativeRows {
		if n.Name != "vm.exit" && n.Name != "runtime.exit" || rnd.IntN(20) == 0 {
			m.Natives = append(m.Natives, bytecode.NativeRef{Name: n.Name, Args: n.Args, Results: n.Results})
		}
	}
	var err error
	if g.layouts, err = m.Layouts(); err != nil {
		return nil, err
	}
	for range 4 {
		id := bytecode.TypeID(1 + rnd.IntN(len(m.Types)-1))
		at := alignUp(m.GlobalsSize, 8)
		m.Globals = append(m.Globals, bytecode.Global{Name: "random.g", Type: id, Offset: at})
		m.GlobalsSize = at + m.Types[id].Size
	}
	for i := 1; i < len(m.Funcs); i++ {
		g.function(bytecode.FuncID(i))
	}
	return m, bytecode.Verify(m)
}

// addMethods makes a named type an error, so that there is an itab.
func (g *randGen) addMethods(iface bytecode.TypeID) {
	m := g.m
	text := m.Types[iface].IMethods[0].Type
	id := bytecode.TypeID(len(m.Types))
	fn := bytecode.FuncID(len(m.Funcs))
	m.Types = append(m.Types, bytecode.Type{
		Kind: bytecode.Uintptr, Size: 8, Align: 8, Comparable: true, Name: "random.E", PkgPath: "random", Named: true,
		Methods: []bytecode.Method{{Name: m.Types[iface].IMethods[0].Name, Type: text, Ifn: fn, Tfn: fn}},
	})
	m.Funcs = append(m.Funcs, bytecode.Func{Name: "random.E.Error", Frame: randFrame, Args: 1, Results: 2})
	m.Itabs = []bytecode.Itab{{Iface: iface, Type: id}}
}

// nasty is a number near the bounds of what programs may reach, or any other.
func (g *randGen) nasty() uint64 {
	ends := [...]Addr{MetaBase, StacksBase, CodeBase, ROBase, DataBase, ArenaEnd, volatileBase, funcTabBase, markBase, StateBase, metaG, metaPools, metaSpans, metaNatives, rtTimers, 0}
	near := func(a Addr) uint64 { return uint64(a) + uint64(g.IntN(49)-24) }
	switch g.IntN(8) {
	case 0:
		return near(ends[g.IntN(len(ends))])
	case 1: // near the end of the heap, wherever that may be
		return near(DataBase + Addr(g.IntN(64))*heapPage)
	case 2:
		return uint64(DataBase) + g.Uint64N(1<<18)
	case 3:
		return uint64(ROBase) + g.Uint64N(1<<15)
	case 4:
		return uint64(ends[g.IntN(len(ends))]) + g.Uint64N(1<<g.IntN(40))&^7
	case 5:
		return [...]uint64{0, 1, ^uint64(0), 1<<63 - 1, 1 << 63, 1<<32 - 1, 1 << 32, 4095, 4096}[g.IntN(9)]
	case 6:
		return g.Uint64N(40)
	}
	return g.Uint64()
}

func (g *randGen) slot() uint16 {
	return bytecode.FrameArgs + g.f.Args + uint16(g.IntN(randSlots))
}

func (g *randGen) op(op bytecode.Op, n uint8, a, b, c uint16, ext ...uint64) {
	g.starts = append(g.starts, uint32(len(g.f.Code)))
	g.f.Code = append(append(g.f.Code, bytecode.Word(op, n, a, b, c)), ext...)
}

// function makes the code of one function: random instructions with something useful in their slots.
func (g *randGen) function(id bytecode.FuncID) {
	g.f, g.starts, g.jumps = &g.m.Funcs[id], nil, nil
	f := g.f
	plain := id != randRecover && id != randTrap
	for range 10 {
		if s := g.slot(); plain {
			g.supply(s)
		} else {
			g.op(bytecode.OpLDK, 0, s, 0, 0, g.nasty())
		}
	}
	recovers := plain && g.IntN(8) != 0
	recoverAt := uint32(0)
	if recovers {
		recoverAt = g.recoverPoint()
	}
	switch id {
	case randRecover:
		g.op(bytecode.OpRECOVER, 0, g.slot(), 0, 0)
	case randTrap:
		if g.IntN(8) != 0 {
			g.op(bytecode.OpPANIC, 0, bytecode.FrameArgs, 0, 0)
		}
	}
	count := 5 + g.IntN(60)
	if id == randRecover {
		count = g.IntN(4)
	}
	for range count {
		g.instruction()
	}
	g.op(bytecode.OpRETN, 0, g.slot(), 0, f.Results)
	if recovers {
		f.Flags |= bytecode.FuncRecover
		f.RecoverPC = recoverAt
		if g.IntN(8) == 0 {
			f.RecoverPC = g.starts[1+g.IntN(len(g.starts)-1)]
		}
	}
	g.chooseTargets()
	g.maps()
}

// recoverPoint defers a call that recovers and goes on somewhere else after each panic: a slot that nothing else uses counts them.
func (g *randGen) recoverPoint() uint32 {
	count := bytecode.FrameArgs + g.f.Args + randSlots
	g.op(bytecode.OpLDI, 0, count, 0, 0)
	at := uint32(len(g.f.Code))
	g.op(bytecode.OpADDI, 0, count, count, 1)
	s := g.slot()
	for range 1 + g.IntN(2) {
		g.op(bytecode.OpLDFN, 0, s, 0, 0, randRecover)
		g.op(bytecode.OpDEFER, 0, s, 0, 0)
	}
	for n := range uint16(12) {
		g.jumps = append(g.jumps, uint32(len(g.f.Code)))
		g.op(bytecode.OpJEQI, 0, count, n+2, 0)
	}
	return at
}

// supply puts something into a slot: an address of some kind or a forged word.
func (g *randGen) supply(s uint16) {
	some := func(n int) uint64 { return uint64(g.IntN(n)) }
	switch g.IntN(12) {
	case 0:
		g.op(bytecode.OpLDG, 0, s, 0, 0, some(int(g.m.GlobalsSize)+1))
	case 1:
		g.op(bytecode.OpLDFN, 0, s, 0, 0, 1+some(len(g.m.Funcs)-1))
	case 2:
		g.op(bytecode.OpLDT, 0, s, 0, 0, 1+some(len(g.m.Types)-1))
	case 3:
		g.op(bytecode.OpLDIT, 0, s, 0, 0, 0)
	case 4:
		g.op(bytecode.OpLDSTR, 0, s, 0, 0, bytecode.StrRef(uint32(some(20)), uint32(some(20))))
	case 5:
		g.op(bytecode.OpNEW, 0, s, 0, 0, 1+some(len(g.m.Types)-1))
	case 6:
		n := g.slot()
		g.op(bytecode.OpLDI, 0, n, uint16(g.IntN(40)), 0)
		g.op(bytecode.OpMKMAP, 0, s, n, 0, g.ofKind(bytecode.Map))
	case 7:
		n := g.slot()
		g.op(bytecode.OpLDI, 0, n, uint16(g.IntN(4)), 0)
		g.op(bytecode.OpMKCHAN, 0, s, n, 0, g.ofKind(bytecode.Chan))
	case 8:
		g.op(bytecode.OpLDI, 0, s, uint16(g.IntN(30)), 0)
	default:
		g.op(bytecode.OpLDK, 0, s, 0, 0, g.nasty())
	}
}

func (g *randGen) ofKind(k bytecode.Kind) uint64 {
	for {
		id := 1 + g.IntN(len(g.m.Types)-1)
		if t := &g.m.Types[id]; t.Kind == k || k == bytecode.Invalid && t.Comparable && g.layouts[id].Slots < 40 {
			return uint64(id)
		}
	}
}

// instruction appends a random instruction, often with its operands supplied before.
func (g *randGen) instruction() {
	row := &bytecode.Table[1+g.IntN(len(bytecode.Table)-1)]
	if g.IntN(4) == 0 { // what is slow or blocks is more interesting than arithmetic
		for row.Flags&(bytecode.FlagSlow|bytecode.FlagCall|bytecode.FlagStore) == 0 {
			row = &bytecode.Table[1+g.IntN(len(bytecode.Table)-1)]
		}
	}
	g.row = row
	op := bytecode.Op(row.Num)
	var x [3]uint16
	for i, kind := range [3]bytecode.Operand{row.A, row.B, row.C} {
		switch kind {
		case bytecode.None, bytecode.Rel, bytecode.Rel32:
		case bytecode.Imm, bytecode.UImm, bytecode.Off:
			x[i] = uint16(g.Uint32()) >> g.IntN(16)
		case bytecode.FOff:
			x[i] = 8*(bytecode.FrameArgs+g.f.Args) + uint16(g.IntN(60))*4
		case bytecode.Count:
			x[i] = uint16(g.IntN(6))
		case bytecode.Frame:
			x[i] = g.f.Frame
		case bytecode.Win:
			x[i] = g.f.Frame - uint16(10+g.IntN(20)) // arguments are what lies there
		default:
			if x[i] = g.slot(); g.IntN(3) == 0 && kind != bytecode.Dst {
				g.supply(x[i])
			}
		}
	}
	g.finish(op, &x)
}

// finish makes operands valid where the table's columns don't say how, and appends the instruction.
func (g *randGen) finish(op bytecode.Op, x *[3]uint16) {
	n := uint8(0)
	switch op {
	case bytecode.OpDIVI, bytecode.OpREMI:
		x[2] = 1 + x[2]%1000
	case bytecode.OpINCJLTB, bytecode.OpADDJLTB:
		x[0], x[1] = bytecode.FrameArgs+g.f.Args, bytecode.FrameArgs+g.f.Args+1
	case bytecode.OpFLDX, bytecode.OpMAPGET, bytecode.OpRECV, bytecode.OpSELECT:
		n = uint8(g.IntN(2))
	case bytecode.OpASSERT:
		n = uint8(g.IntN(4))
	case bytecode.OpFCOPY:
		x[2] %= 100
	case bytecode.OpTRAP:
		x[0] %= bytecode.TrapUnreachable + 1
	case bytecode.OpRET, bytecode.OpRET1, bytecode.OpRETN:
		if g.f.Results != map[bytecode.Op]uint16{bytecode.OpRET1: 1, bytecode.OpRETN: x[2]}[op] {
			return
		}
	case bytecode.OpRUNDEFERS:
		g.op(op, 0, 0, 0, g.f.Frame, 0)
		g.starts = append(g.starts, uint32(len(g.f.Code)))
		g.f.Code = append(g.f.Code, bytecode.WordRel32(bytecode.OpJMPB, -2))
		return
	}
	ends := g.row.Flags&bytecode.FlagEnd != 0 && g.row.Flags&bytecode.FlagBranch == 0
	if ends && g.IntN(4) != 0 {
		return
	}
	if op == bytecode.OpSELECT {
		for c := range x[2] {
			g.supply(x[1] + 2*c)
			g.op(bytecode.OpLDK, 0, x[1]+2*c+1, 0, 0, uint64(g.slot())|uint64(g.IntN(9))<<16|uint64(1+g.IntN(2))<<32)
		}
	}
	ext := g.extension(op, n)
	if g.row.Flags&bytecode.FlagBranch != 0 {
		g.jumps = append(g.jumps, uint32(len(g.f.Code)))
	}
	if g.row.Ext == bytecode.NoExt {
		g.op(op, n, x[0], x[1], x[2])
		return
	}
	g.op(op, n, x[0], x[1], x[2], ext)
}

func (g *randGen) extension(op bytecode.Op, n uint8) uint64 {
	m := g.m
	upTo := func(n int) uint64 { return uint64(g.IntN(n)) }
	switch g.row.Ext {
	case bytecode.ExtImm:
		return g.nasty()
	case bytecode.ExtSize:
		if op == bytecode.OpLDN || op == bytecode.OpSTN {
			return upTo(200)
		}
		return g.Uint64N(1 << g.IntN(30))
	case bytecode.ExtFunc:
		return 1 + upTo(len(m.Funcs)-1)
	case bytecode.ExtGlobal:
		return upTo(int(m.GlobalsSize) + 1)
	case bytecode.ExtRO:
		return upTo(len(m.RO) + 1)
	case bytecode.ExtStr:
		return bytecode.StrRef(uint32(upTo(20)), uint32(upTo(20)))
	case bytecode.ExtItab:
		return upTo(len(m.Itabs))
	case bytecode.ExtNative:
		return upTo(len(m.Natives))
	case bytecode.ExtFIdx:
		if n == 1 {
			return bytecode.FIdx(2, 7)
		}
		return bytecode.FIdx(uint32(upTo(16)), uint32(upTo(8)))
	case bytecode.ExtSig:
		f := &m.Funcs[1+g.IntN(len(m.Funcs)-1)]
		if op == bytecode.OpCALLC {
			return bytecode.Sig(g.slot(), 0, f.Args, f.Results)
		}
		return bytecode.Sig(g.slot(), uint16(upTo(3)), max(f.Args, 1), f.Results)
	case bytecode.ExtSlots:
		maybe := func() uint16 {
			if g.IntN(2) == 0 {
				return absent
			}
			return g.slot()
		}
		switch op {
		case bytecode.OpSLICE, bytecode.OpSLICEARR:
			return bytecode.Slots4(maybe(), maybe(), maybe(), g.slot())
		case bytecode.OpSLICESTR:
			return bytecode.Slots4(maybe(), maybe(), 0, 0)
		case bytecode.OpADDJLTB:
			return uint64(bytecode.FrameArgs + g.f.Args + 2)
		}
		return uint64(g.slot())
	case bytecode.ExtType:
		return g.typeFor(op)
	}
	return 0
}

func (g *randGen) typeFor(op bytecode.Op) uint64 {
	switch op {
	case bytecode.OpMKMAP, bytecode.OpMAPGET, bytecode.OpMAPSET, bytecode.OpMAPDEL, bytecode.OpMAPCLR, bytecode.OpMAPITER, bytecode.OpMAPNEXT:
		return g.ofKind(bytecode.Map)
	case bytecode.OpMKCHAN, bytecode.OpSEND, bytecode.OpRECV, bytecode.OpCLOSE:
		return g.ofKind(bytecode.Chan)
	case bytecode.OpEQT:
		return g.ofKind(bytecode.Invalid)
	case bytecode.OpASSERT:
		return g.ofKind(bytecode.Interface)
	}
	return 1 + uint64(g.IntN(len(g.m.Types)-1))
}

// chooseTargets gives the jumps somewhere to go.
func (g *randGen) chooseTargets() {
	next := 0
	for at, pc := range g.starts {
		if next == len(g.jumps) || g.jumps[next] != pc {
			continue
		}
		next++
		op := bytecode.WordOp(g.f.Code[pc])
		target := g.starts[g.IntN(at+1)]
		if bytecode.Info(op).Flags&bytecode.FlagBack == 0 {
			target = g.starts[at+1+g.IntN(len(g.starts)-at-1)]
		}
		rel := int32(target) - int32(pc)
		if op == bytecode.OpJMP || op == bytecode.OpJMPB {
			g.f.Code[pc] |= bytecode.WordRel32(0, rel)
		} else {
			g.f.Code[pc] |= bytecode.Word(0, 0, 0, 0, uint16(int16(rel)))
		}
	}
}

// maps adds the stack maps that must be: one without pointers, and one that names every slot.
func (g *randGen) maps() {
	f := g.f
	all := make([]uint64, (f.Frame+63)/64)
	for s := uint16(bytecode.FrameArgs); s < f.Frame; s++ {
		if s%3 != 0 {
			all[s/64] |= 1 << (s % 64)
		}
	}
	f.Bitmaps = [][]uint64{make([]uint64, (f.Frame+63)/64), all}
	point, call := map[uint32]bool{0: true}, map[uint32]bool{}
	if f.RecoverPC != 0 {
		point[f.RecoverPC] = true
	}
	for _, pc := range g.starts {
		op := bytecode.WordOp(f.Code[pc])
		flags, next := bytecode.Info(op).Flags, pc+uint32(op.Len())
		point[pc] = point[pc] || flags&bytecode.FlagPoint != 0
		point[next] = point[next] || flags&bytecode.FlagBlock != 0
		call[next] = call[next] || flags&bytecode.FlagCall != 0
		if flags&bytecode.FlagBack != 0 {
			point[uint32(int(pc)+bytecode.RelOf(f.Code[pc]))] = true
		}
	}
	for _, pc := range g.starts {
		index := uint32(g.IntN(len(f.Bitmaps)))
		if point[pc] {
			f.Points = append(f.Points, bytecode.StackMap{PC: pc, Index: index})
		}
		if call[pc] {
			f.Calls = append(f.Calls, bytecode.StackMap{PC: pc, Index: index})
		}
	}
}
