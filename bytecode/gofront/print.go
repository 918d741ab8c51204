package gofront

import (
	"go/types"

	"golang.org/x/tools/go/ssa"
)

// The print and println builtins, part by part.

// kinds of vm.print.
const (
	printBool = iota
	printInt
	printUint
	printFloat
	printComplex
	printString
	printPointer
	_ // a number in hexadecimal form
	printSpace
	printNewline
	_ // a slice without its capacity
	printIface
	printFloat32
	printComplex64
)

func (l *lowerer) print(ln bool, args []ssa.Value) {
	for i, a := range args {
		if ln && i > 0 {
			l.printPart(printSpace, opd{}, opd{})
		}
		l.printValue(a)
	}
	if ln {
		l.printPart(printNewline, opd{}, opd{})
	}
}

func (l *lowerer) printPart(kind int64, x, y opd) {
	if x.v == 0 {
		x = l.number(0)
	}
	if y.v == 0 {
		y = l.number(0)
	}
	l.native("vm.print", opd{}, 0, l.number(kind), 1, x, 1, y, 1)
}

func (l *lowerer) printText(s string) {
	t := l.tmpOf(&rep{words: 2, ptr: bits1})
	l.stringInto(t, s)
	l.printPart(printString, t, t.word(1))
}

func (l *lowerer) printValue(v ssa.Value) {
	k := l.la.of(v.Type()).kind
	o := l.use(v)
	switch {
	case k == kBool:
		l.printPart(printBool, o, opd{})
	case k.signed():
		l.printPart(printInt, o, opd{})
	case k.unsigned():
		l.printPart(printUint, o, opd{})
	case k == kF32:
		l.printPart(printFloat32, l.float64Of(v, k), opd{})
	case k == kF64:
		l.printPart(printFloat, o, opd{})
	case k == kC128:
		l.printPart(printComplex, o, o.word(1))
	case k == kC64:
		t := l.tmpOf(&rep{words: 2})
		l.emit(ins{op: pDef, a: t})
		l.convert(t, o, types.Typ[types.Complex64], types.Typ[types.Complex128])
		l.printPart(printComplex64, t, t.word(1))
	case k == kString:
		l.printPart(printString, o, o.word(1))
	case k == kSlice:
		l.printText("[")
		l.printPart(printInt, o.word(1), opd{})
		l.printText("/")
		l.printPart(printInt, o.word(2), opd{})
		l.printText("]")
		l.printPart(printPointer, o, opd{})
	case k == kIface:
		l.printPart(printIface, o, o.word(1))
	default:
		l.printPart(printPointer, o, opd{})
	}
}
