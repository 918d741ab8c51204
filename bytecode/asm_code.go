package bytecode

import (
	"math"
	"slices"
	"strconv"
)

// funcAsm assembles one function.
type funcAsm struct {
	a      *assembler
	f      *Func
	labels map[string]uint32
	fixups []fixup
	finish []func() // what needs all labels
	auto   bool
	index  map[string]uint32 // bitmaps by content, for those that are written in place
}

// fixup is a use of a label: a branch, or a pc in a table.
type fixup struct {
	line  *asmLine
	label token
	pc    uint32  // of the branch
	store *uint32 // of a table entry; nil for branches
}

func (a *assembler) function(b *block) {
	fa := &funcAsm{a: a, f: &a.m.Funcs[b.index], labels: map[string]uint32{}, index: map[string]uint32{}}
	fa.head(b.head)
	for _, l := range b.body {
		fa.line(l)
	}
	for i := range fa.fixups {
		fa.resolve(&fa.fixups[i])
	}
	for _, finish := range fa.finish {
		finish()
	}
	if fa.auto {
		fa.addMaps()
	}
}

func (fa *funcAsm) head(l *asmLine) {
	f := fa.f
	u16 := func(p *uint16) func() { return func() { *p = uint16(l.number(math.MaxUint16)) } }
	u32 := func(p *uint32) func() { return func() { *p = uint32(l.number(math.MaxUint32)) } }
	flag := func(flag FuncFlags) func() { return func() { f.Flags |= flag } }
	l.attrs(map[string]func(){
		"frame=": u16(&f.Frame), "args=": u16(&f.Args), "results=": u16(&f.Results),
		"file=": u32(&f.File), "line=": u32(&f.Line), "type=": func() { f.Type = fa.a.typeRef(l) },
		"wrapper": flag(FuncWrapper), "closure": flag(FuncClosure), "recover": flag(FuncRecover),
		"recover=": func() { f.Flags |= FuncRecover; fa.pcRef(l, &f.RecoverPC) },
	})
	l.end()
}

// pcRef reads a number or a label into a table entry.
func (fa *funcAsm) pcRef(l *asmLine, store *uint32) {
	t := l.tokens[min(l.pos, len(l.tokens)-1)]
	if _, err := strconv.ParseUint(t.text, 0, 32); err == nil {
		*store = uint32(l.number(math.MaxUint32))
		return
	}
	l.name()
	fa.fixups = append(fa.fixups, fixup{l, t, 0, store})
}

func (fa *funcAsm) pc() uint32 { return uint32(len(fa.f.Code)) }

func (fa *funcAsm) line(l *asmLine) {
	if len(l.tokens) >= 2 && l.tokens[1].kind == ':' {
		label := l.name()
		if _, twice := fa.labels[label]; twice {
			l.failAt(l.tokens[0].col, "label %q is defined twice", label)
		}
		fa.labels[label] = fa.pc()
		if l.pos++; !l.more() {
			return
		}
	}
	switch word := l.word(); word {
	case "maps":
		if l.word() != "auto" {
			l.fail("maps auto expected")
		}
		fa.auto = true
	case "map":
		fa.f.Bitmaps = append(fa.f.Bitmaps, fa.slots(l))
	case "always":
		fa.f.Always = fa.slots(l)
	case "point":
		fa.f.Points = append(fa.f.Points, StackMap{fa.pc(), fa.bitmap(l)})
	case "callmap":
		fa.f.Calls = append(fa.f.Calls, StackMap{fa.pc(), fa.bitmap(l)})
	case "line":
		file := uint32(l.number(math.MaxUint32))
		l.expect(':')
		fa.f.Lines = append(fa.f.Lines, Line{fa.pc(), file, uint32(l.number(math.MaxUint32))})
	case "param":
		fa.variable(l, &fa.f.Params)
	case "local":
		fa.variable(l, &fa.f.Locals)
	case "word":
		fa.f.Code = append(fa.f.Code, l.number(math.MaxUint64))
	default:
		fa.instruction(l, word)
	}
	l.end()
}

func (fa *funcAsm) slots(l *asmLine) []uint64 {
	var bits []uint64
	for l.more() {
		slot := l.number(64*((MaxFrame+63)/64) - 1)
		for uint64(len(bits)) <= slot/64 {
			bits = append(bits, 0)
		}
		setBit(bits, slot)
	}
	return bits
}

// bitmap reads `#index` or slots, for which a bitmap is found or made.
func (fa *funcAsm) bitmap(l *asmLine) uint32 {
	if l.accept('#') {
		return uint32(l.number(math.MaxUint32))
	}
	return fa.intern(fa.slots(l))
}

func (fa *funcAsm) intern(bits []uint64) uint32 {
	key := string(appendBitmap(nil, bits))
	i, ok := fa.index[key]
	if !ok {
		i = uint32(len(fa.f.Bitmaps))
		fa.f.Bitmaps = append(fa.f.Bitmaps, bits)
		fa.index[key] = i
	}
	return i
}

// variable reads `param NAME slot=3 type=T from=0 to=9`; without from and to it lives in the whole function.
func (fa *funcAsm) variable(l *asmLine, list *[]Var) {
	v := Var{Name: l.name()}
	from, to := new(uint32), new(uint32)
	*to = math.MaxUint32
	l.attrs(map[string]func(){
		"slot=": func() { v.Slot = uint16(l.number(math.MaxUint16)) },
		"type=": func() { v.Type = fa.a.typeRef(l) },
		"from=": func() { fa.pcRef(l, from) }, "to=": func() { fa.pcRef(l, to) },
	})
	*list = append(*list, v)
	at := len(*list) - 1
	fa.finish = append(fa.finish, func() {
		(*list)[at].From, (*list)[at].To = *from, *to
		if *to == math.MaxUint32 {
			(*list)[at].To = fa.pc()
		}
	})
}

// resolve puts a label's pc where it is used.
func (fa *funcAsm) resolve(x *fixup) {
	target, ok := fa.labels[x.label.text]
	if !ok {
		x.line.failAt(x.label.col, "there is no label %q", x.label.text)
	}
	if x.store != nil {
		*x.store = target
		return
	}
	fa.setRel(x.line, x.label.col, x.pc, int64(target)-int64(x.pc))
}

func (fa *funcAsm) setRel(l *asmLine, col int, pc uint32, rel int64) {
	w := &fa.f.Code[pc]
	if Info(WordOp(*w)).B == Rel32 {
		if rel != int64(int32(rel)) {
			l.failAt(col, "branch is too far: %d words", rel)
		}
		*w |= WordRel32(0, int32(rel))
		return
	}
	if rel != int64(int16(rel)) {
		l.failAt(col, "branch is too far: %d words", rel)
	}
	*w |= Word(0, 0, 0, 0, uint16(int16(rel)))
}

// addMaps gives every pc that needs a stack map and has none an empty one.
func (fa *funcAsm) addMaps() {
	f := fa.f
	points, calls := map[uint32]bool{0: true}, map[uint32]bool{}
	if f.RecoverPC != 0 {
		points[f.RecoverPC] = true
	}
	for pc := 0; pc < len(f.Code); {
		op := WordOp(f.Code[pc])
		next := pc + max(op.Len(), 1)
		flags := Info(op).Flags
		if !op.Defined() {
			flags = 0
		}
		if flags&FlagPoint != 0 {
			points[uint32(pc)] = true
		}
		if flags&FlagBlock != 0 {
			points[uint32(next)] = true
		}
		if flags&FlagBack != 0 {
			points[uint32(pc+RelOf(f.Code[pc]))] = true
		}
		if flags&FlagCall != 0 {
			calls[uint32(next)] = true
		}
		pc = next
	}
	f.Points = fa.complete(f.Points, points)
	f.Calls = fa.complete(f.Calls, calls)
}

func (fa *funcAsm) complete(table []StackMap, need map[uint32]bool) []StackMap {
	for _, s := range table {
		delete(need, s.PC)
	}
	for pc := range need {
		table = append(table, StackMap{pc, fa.intern(nil)})
	}
	slices.SortStableFunc(table, func(x, y StackMap) int { return int(int64(x.PC) - int64(y.PC)) })
	return table
}
