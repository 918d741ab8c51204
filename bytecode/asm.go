package bytecode

import (
	"encoding/hex"
	"errors"
	"math"
	"strings"
)

// Assemble reads the text form of a module, which docs/bytecode.md describes.
//
//  1. Every line becomes tokens; blocks in braces are kept with the line that opens them.
//  2. Types, functions, natives and globals get their numbers in order of appearance, so that names may be used before they are
//     defined.
//  3. Types are filled in; sizes and offsets that the text leaves out follow from gc's rules; then everything else.
//  4. Functions are assembled last, because string literals in code are appended to the read-only blob.
//
// The module is not verified. Errors are *AsmError.
func Assemble(src string) (m *Module, err error) {
	a := &assembler{
		m:     &Module{Types: make([]Type, 1), Funcs: make([]Func, 1)},
		types: names{}, funcs: names{}, natives: names{}, globals: names{}, literals: map[string]uint32{},
		ops: make(map[string]Op, len(Table)),
	}
	for i := range Table {
		a.ops[Table[i].Name] = Op(Table[i].Num)
	}
	defer func() {
		if r := recover(); r != nil {
			asmErr, ok := r.(*AsmError)
			if !ok {
				panic(r)
			}
			m, err = nil, asmErr
		}
	}()
	a.read(src)
	a.register()
	a.tables()
	a.layouts()
	a.placeGlobals()
	for i := range a.blocks {
		if b := &a.blocks[i]; b.keyword == "func" {
			a.function(b)
		}
	}
	return a.m, nil
}

// block is a statement and, in braces, the lines that belong to it.
type block struct {
	keyword string
	head    *asmLine
	body    []*asmLine
	index   int // of what it defines
}

// names gives the number of what a name denotes; -1 if several things have the name.
type names map[string]int

type assembler struct {
	m                              *Module
	blocks                         []block
	types, funcs, natives, globals names
	literals                       map[string]uint32 // offsets in the read-only blob
	auto                           []autoType
	autoGlobals                    []bool
	sizeGiven                      bool
	ops                            map[string]Op
}

func (a *assembler) read(src string) {
	var open *block
	num := 0
	for text := range strings.Lines(src) {
		num++
		line := lexLine(num, strings.TrimSuffix(text, "\n"))
		switch {
		case !line.more():
		case open != nil && line.peek() == '}':
			line.pos++
			line.end()
			open = nil
		case open != nil:
			open.body = append(open.body, line)
		default:
			b := block{head: line, keyword: line.word()}
			opens := line.tokens[len(line.tokens)-1].kind == '{'
			if opens {
				line.tokens = line.tokens[:len(line.tokens)-1]
			}
			a.blocks = append(a.blocks, b)
			if opens {
				open = &a.blocks[len(a.blocks)-1]
			}
		}
	}
	if open != nil {
		open.head.failAt(1, "block is not closed")
	}
}

// register numbers what has a name.
func (a *assembler) register() {
	for i := range a.blocks {
		b := &a.blocks[i]
		if b.body != nil && b.keyword != "type" && b.keyword != "func" {
			b.head.fail("only types and functions have a block")
		}
		switch b.keyword {
		case "type":
			b.index = a.types.add(b, len(a.m.Types))
			a.m.Types = append(a.m.Types, Type{Name: a.nameOf(b)})
		case "func":
			b.index = a.funcs.add(b, len(a.m.Funcs))
			a.m.Funcs = append(a.m.Funcs, Func{Name: a.nameOf(b)})
		case "native":
			b.index = a.natives.add(b, len(a.m.Natives))
			a.m.Natives = append(a.m.Natives, NativeRef{Name: a.nameOf(b)})
		case "global":
			b.index = a.globals.add(b, len(a.m.Globals))
			a.m.Globals = append(a.m.Globals, Global{Name: a.nameOf(b)})
		}
	}
	a.autoGlobals = make([]bool, len(a.m.Globals))
}

func (n names) add(b *block, index int) int {
	name := b.head.name()
	if _, twice := n[name]; twice {
		n[name] = -1
	} else {
		n[name] = index
	}
	return index
}

func (a *assembler) nameOf(b *block) string { return b.head.tokens[b.head.pos-1].text }

// ref reads a name, `#number`, or `_` for 0.
func (a *assembler) ref(l *asmLine, n names, what string) uint32 {
	if l.accept('#') {
		return uint32(l.number(math.MaxUint32))
	}
	if l.isWord("_") {
		return 0
	}
	name := l.name()
	i, ok := n[name]
	if !ok || i < 0 {
		l.pos--
		if ok {
			l.fail("several %ss are called %q: write #number", what, name)
		}
		l.fail("there is no %s %q", what, name)
	}
	return uint32(i)
}

func (a *assembler) typeRef(l *asmLine) TypeID { return TypeID(a.ref(l, a.types, "type")) }
func (a *assembler) funcRef(l *asmLine) FuncID { return FuncID(a.ref(l, a.funcs, "function")) }

// tables reads every statement but functions.
func (a *assembler) tables() {
	m := a.m
	for i := range a.blocks {
		b := &a.blocks[i]
		l := b.head
		switch b.keyword {
		case "module":
			a.module(l)
		case "file":
			m.Files = append(m.Files, l.name())
		case "entry":
			m.Entry = a.funcRef(l)
		case "trap":
			m.Trap = a.funcRef(l)
		case "fatalpanic":
			m.FatalPanic = a.funcRef(l)
		case "timerfire":
			m.TimerFire = a.funcRef(l)
		case "globals":
			m.GlobalsSize, a.sizeGiven = l.number(math.MaxUint64), true
		case "ro":
			for l.peek() == 's' {
				m.RO = append(m.RO, l.name()...)
			}
		case "native":
			m.Natives[b.index].Args = uint16(l.number(math.MaxUint16))
			m.Natives[b.index].Results = uint16(l.number(math.MaxUint16))
		case "itab":
			m.Itabs = append(m.Itabs, Itab{a.typeRef(l), a.typeRef(l)})
		case "global":
			g := &m.Globals[b.index]
			g.Type = a.typeRef(l)
			a.autoGlobals[b.index] = true
			l.attrs(map[string]func(){"at=": func() { g.Offset, a.autoGlobals[b.index] = l.number(math.MaxUint64), false }})
		case "type":
			a.typeBlock(b)
		case "func":
			continue
		default:
			l.failAt(1, "unknown statement %q", b.keyword)
		}
		l.end()
	}
}

func (a *assembler) module(l *asmLine) {
	a.m.Name = l.name()
	l.attrs(map[string]func(){
		"go=": func() { a.m.GoVersion = l.name() },
		"source=": func() {
			hash, err := hex.DecodeString(l.name())
			if err != nil || len(hash) != len(a.m.SourceHash) {
				l.fail("source hash is not 64 hexadecimal digits")
			}
			copy(a.m.SourceHash[:], hash)
		},
	})
}

// layouts fills in what follows from the types' structure where the text says nothing.
func (a *assembler) layouts() {
	if len(a.auto) == 0 && !a.needsPlaces() {
		return
	}
	layouts, err := a.m.Layouts()
	if err != nil {
		var e *VerifyError
		line := 1
		for i := range a.blocks {
			if errors.As(err, &e) && a.blocks[i].keyword == "type" && a.blocks[i].index == int(e.Type) {
				line = a.blocks[i].head.num
			}
		}
		panic(&AsmError{line, 1, err.Error()})
	}
	for _, t := range a.auto {
		t.apply(&a.m.Types[t.id], &layouts[t.id])
	}
}

func (a *assembler) needsPlaces() bool {
	for _, auto := range a.autoGlobals {
		if auto {
			return true
		}
	}
	return false
}

func (a *assembler) placeGlobals() {
	end := uint64(0)
	for i := range a.m.Globals {
		g := &a.m.Globals[i]
		if int64(g.Type) >= int64(len(a.m.Types)) {
			continue // Verify says so
		}
		t := &a.m.Types[g.Type]
		if a.autoGlobals[i] {
			g.Offset = alignUp(end, max(uint64(t.Align), 1))
		}
		end = g.Offset + t.Size
	}
	if !a.sizeGiven {
		a.m.GlobalsSize = end
	}
}

// literal returns the place of a string in the read-only blob; equal literals share it.
func (a *assembler) literal(s string) uint64 {
	offset, ok := a.literals[s]
	if !ok {
		offset = uint32(len(a.m.RO))
		a.m.RO = append(a.m.RO, s...)
		a.literals[s] = offset
	}
	return StrRef(offset, uint32(len(s)))
}
