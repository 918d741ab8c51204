package bytecode

import (
	"math"
	"strconv"
	"strings"
)

// instruction reads an instruction: its name, `.n` where field n is not 0, then the fields that the table names and the extension word,
// with commas between them. The frame size is filled in.
func (fa *funcAsm) instruction(l *asmLine, word string) {
	name, suffix, hasN := strings.Cut(word, ".")
	op, ok := fa.a.ops[strings.ToUpper(name)]
	if !ok {
		l.pos--
		l.fail("unknown instruction %q", name)
	}
	info := Info(op)
	n := uint64(0)
	if hasN {
		var err error
		if n, err = strconv.ParseUint(suffix, 10, 8); err != nil || info.N != Small {
			l.pos--
			l.fail("bad suffix of %q", word)
		}
	}
	pc := fa.pc()
	fa.f.Code = append(fa.f.Code, Word(op, uint8(n), 0, 0, 0))
	first := true
	comma := func() {
		if !first {
			l.expect(',')
		}
		first = false
	}
	var x [3]uint16
	for i, kind := range [3]Operand{info.A, info.B, info.C} {
		switch {
		case kind == None || i == 2 && kind == Rel32:
		case kind == Frame:
			x[i] = fa.f.Frame
		case kind == Rel || kind == Rel32:
			comma()
			fa.target(l, pc)
		default:
			comma()
			x[i] = field(l, kind)
		}
	}
	fa.f.Code[pc] |= Word(0, 0, x[0], x[1], x[2])
	if info.Ext != NoExt {
		ext := uint64(0)
		if op != OpRUNDEFERS {
			comma()
			ext = fa.extension(l, info.Ext)
		}
		fa.f.Code = append(fa.f.Code, ext)
	}
}

func field(l *asmLine, kind Operand) uint16 {
	switch kind {
	case Imm:
		return uint16(l.signed(16))
	case UImm, Off, FOff, Count, Small:
		return uint16(l.number(math.MaxUint16))
	}
	return slot(l)
}

// slot reads r0, r1, ...
func slot(l *asmLine) uint16 {
	text := l.word()
	v, err := strconv.ParseUint(strings.TrimPrefix(text, "r"), 10, 16)
	if err != nil || text[0] != 'r' {
		l.pos--
		l.fail("slot expected, not %q", text)
	}
	return uint16(v)
}

// target reads a label, or a displacement with a sign.
func (fa *funcAsm) target(l *asmLine, pc uint32) {
	t := l.tokens[min(l.pos, len(l.tokens)-1)]
	if l.peek() == 'w' && (t.text[0] == '-' || t.text[0] == '+') {
		fa.setRel(l, t.col, pc, l.signed(32))
		return
	}
	l.name()
	fa.fixups = append(fa.fixups, fixup{line: l, label: t, pc: pc})
}

func (fa *funcAsm) extension(l *asmLine, kind ExtKind) uint64 {
	a := fa.a
	switch kind {
	case ExtImm:
		if l.peek() == 'w' && l.tokens[l.pos].text[0] == '-' {
			return uint64(l.signed(64))
		}
		return l.number(math.MaxUint64)
	case ExtFunc:
		return uint64(a.funcRef(l))
	case ExtType:
		return uint64(a.typeRef(l))
	case ExtNative:
		return uint64(a.ref(l, a.natives, "native"))
	case ExtItab:
		l.expect('#')
		return l.number(math.MaxUint64)
	case ExtGlobal:
		return fa.global(l)
	case ExtStr:
		if l.peek() == 's' {
			return a.literal(l.name())
		}
		return pair(l)
	case ExtFIdx:
		return pair(l)
	case ExtSlots:
		return slotList(l)
	case ExtSig:
		s := slot(l)
		var n [3]uint16
		for i := range n {
			l.expect(',')
			n[i] = uint16(l.number(math.MaxUint16))
		}
		return Sig(s, n[0], n[1], n[2])
	}
	return l.number(math.MaxUint64) // ExtSize, ExtRO
}

// global reads an offset into the globals segment or the name of a global.
func (fa *funcAsm) global(l *asmLine) uint64 {
	if l.peek() == 'w' && l.tokens[l.pos].text[0] >= '0' && l.tokens[l.pos].text[0] <= '9' {
		return l.number(math.MaxUint64)
	}
	i := fa.a.ref(l, fa.a.globals, "global")
	if int64(i) >= int64(len(fa.a.m.Globals)) {
		l.fail("there is no global %d", i)
	}
	return fa.a.m.Globals[i].Offset
}

// pair reads two numbers with a colon between them; the first lies in the low half.
func pair(l *asmLine) uint64 {
	low := l.number(math.MaxUint32)
	l.expect(':')
	return low | l.number(math.MaxUint32)<<32
}

// slotList reads up to four slots in braces; `_` is an absent one. What is left out is 0.
func slotList(l *asmLine) uint64 {
	var x [4]uint16
	l.expect('{')
	for i := 0; !l.accept('}'); i++ {
		switch {
		case i == len(x):
			l.fail("at most four slots")
		case l.isWord("_"):
			x[i] = absent
		default:
			x[i] = uint16(l.number(math.MaxUint16))
		}
	}
	return Slots4(x[0], x[1], x[2], x[3])
}
