package bytecode

//go:generate go run ./internal/opgen

// Op is the number of an instruction.
type Op uint8

// Word assembles an instruction word. Signed fields are passed as uint16(int16(x)).
func Word(op Op, n uint8, a, b, c uint16) uint64 {
	return uint64(op) | uint64(n)<<8 | uint64(a)<<16 | uint64(b)<<32 | uint64(c)<<48
}

// WordRel32 assembles JMP or JMPB.
func WordRel32(op Op, rel int32) uint64 {
	return uint64(op) | uint64(uint32(rel))<<32
}

// WordOp, WordN, WordA, WordB and WordC are the fields of an instruction word.
func WordOp(w uint64) Op { return Op(w) }

// WordN returns field n.
func WordN(w uint64) uint8 { return uint8(w >> 8) }

// WordA returns field a.
func WordA(w uint64) uint16 { return uint16(w >> 16) }

// WordB returns field b.
func WordB(w uint64) uint16 { return uint16(w >> 32) }

// WordC returns field c.
func WordC(w uint64) uint16 { return uint16(w >> 48) }

// RelOf returns the branch displacement of an instruction word, in words; 0 for instructions that are not branches.
func RelOf(w uint64) int {
	info := Info(WordOp(w))
	switch Rel {
	case info.C:
		return int(int16(WordC(w)))
	case info.B:
		return int(int16(WordB(w)))
	case info.A:
		return int(int16(WordA(w)))
	}
	if info.B == Rel32 {
		return int(int32(w >> 32))
	}
	return 0
}

// Slots4 packs an ExtSlots word.
func Slots4(d, e, f, g uint16) uint64 {
	return uint64(d) | uint64(e)<<16 | uint64(f)<<32 | uint64(g)<<48
}

// Sig packs an ExtSig word. slot holds the funcval (CALLC) or the first of the two slots of the
// interface value (CALLI), method is the index into the itab's Fun (CALLI).
func Sig(slot, method, nargs, nres uint16) uint64 {
	return uint64(slot) | uint64(method)<<16 | uint64(nres)<<32 | uint64(nargs)<<48
}

// StrRef packs an ExtStr word.
func StrRef(offset, length uint32) uint64 { return uint64(offset) | uint64(length)<<32 }

// FIdx packs an ExtFIdx word.
func FIdx(elemSize, arrayLen uint32) uint64 { return uint64(elemSize) | uint64(arrayLen)<<32 }

// Info returns the row of the table; the row of ILL for numbers that are not used.
func Info(op Op) *OpInfo { return &Table[opIndex[op]] }

// Defined says whether the instruction set has an instruction of this number.
func (op Op) Defined() bool { return opLen[op] != 0 }

// Len returns the instruction's length in words, 1 or 2; 0 if there is no such instruction.
func (op Op) Len() int { return int(opLen[op]) }

func (op Op) String() string {
	if !op.Defined() {
		return "ILL?"
	}
	return Info(op).Name
}

func (o Operand) String() string {
	if int(o) < len(operandNames) {
		return operandNames[o]
	}
	return "?"
}

func (e ExtKind) String() string {
	if int(e) < len(extNames) {
		return extNames[e]
	}
	return "?"
}
