package main

// One entry per instruction that the dispatch loop executes itself. Everything else goes to the slow path.
//
// Macros: R(x) slot as uint64, F(x) as float64, G(x) as float32; x is a, b or c, optionally +1 or +2.
// SA SB SC are the fields as sign-extended uint64, A B C as uintptr, N the small field, EXT the extension word.
// LOAD(p, k) goes slow unless the program may load 1<<k bytes at p, which must be aligned;
// OPEN(p) goes slow if the page of p is frozen; HOT is the interpreter's state; AT(T, p) is *(*T) at p.
// Slow paths execute the instruction from its start, hence every check stands before the first effect.

type body struct{ name, code string }

func bin(name, op string) body { return body{name, "R(a) = R(b) " + op + " R(c)"} }
func flt(name, op string) body { return body{name, "F(a) = F(b) " + op + " F(c)"} }
func gfl(name, op string) body {
	return body{name, "R(a) = uint64(math.Float32bits(G(b) " + op + " G(c)))"}
}

const wordOffset = "p := R(c) + uint64(N)*8\n"

func fltMem(name, value string) body {
	return body{name, wordOffset + "LOAD(p, 3)\nF(a) = " + value}
}

func fltTo(name, addr, op string) body {
	return body{name, addr + "LOAD(p, 3)\nOPEN(p)\nAT(float64, p) = AT(float64, p) " + op}
}

func boolean(name, cond string) body {
	return body{name, "var t uint64\nif " + cond + " {\nt = 1\n}\nR(a) = t"}
}

// bounds reads the optional bounds of a slice expression; S(x) is the slot that the low 16 bits of x name.
const (
	bounds1 = "t, n := EXT, R(b+1)\nlo, hi := uint64(0), n\nif uint16(t) != absent {\nlo = S(t)\n}\nif uint16(t>>16) != absent {\nhi = S(t>>16)\n}\n"
	bounds  = bounds1 + "most := R(b+2)\n"
)

// straight lists instructions that go on with the next one.
var straight = []body{
	{"NOP", ""},
	{"MOV", "R(a) = R(b)"},
	{"MOV2", "t0, t1 := R(b), R(b+1)\nR(a), R(a+1) = t0, t1"},
	{"MOV3", "t0, t1, t2 := R(b), R(b+1), R(b+2)\nR(a), R(a+1), R(a+2) = t0, t1, t2"},
	{"MOVN", "MOVE(unsafe.Add(fp, A*8), unsafe.Add(fp, B*8), C*8)"},
	{"ZERO", "d := unsafe.Add(fp, A*8)\nfor i := uintptr(0); i < C*8; i += 8 {\nAT(uint64, unsafe.Add(d, i)) = 0\n}"},
	{"LDI", "R(a) = SB"},
	{"LDK", "R(a) = EXT"},
	{"LDG", "R(a) = EXT"},
	{"LDRO", "R(a) = EXT"},
	{"LDT", "R(a) = EXT"},
	{"LDFN", "R(a) = EXT"},
	{"LDCW", "R(a) = EXT"},
	{"LDIT", "R(a) = EXT"},
	{"LDSTR", "t := EXT\nR(a), R(a+1) = ROBLOB+t&0xffffffff, t>>32"},
	bin("ADD", "+"), bin("SUB", "-"), bin("MUL", "*"), bin("AND", "&"), bin("OR", "|"), bin("XOR", "^"), bin("ANDN", "&^"),
	bin("SHL", "<<"), bin("SHR", ">>"),
	{"SAR", "R(a) = uint64(int64(R(b)) >> R(c))"},
	{"DIV", "d := int64(R(c))\nif d == 0 {\ngoto slow\n}\nR(a) = uint64(int64(R(b)) / d)"},
	{"REM", "d := int64(R(c))\nif d == 0 {\ngoto slow\n}\nR(a) = uint64(int64(R(b)) % d)"},
	{"DIVU", "d := R(c)\nif d == 0 {\ngoto slow\n}\nR(a) = R(b) / d"},
	{"REMU", "d := R(c)\nif d == 0 {\ngoto slow\n}\nR(a) = R(b) % d"},
	{"MULHU", "t, _ := bits.Mul64(R(b), R(c))\nR(a) = t"},
	{"ADDI", "R(a) = R(b) + SC"},
	{"SUBRI", "R(a) = SC - R(b)"},
	{"MULI", "R(a) = R(b) * SC"},
	{"ANDI", "R(a) = R(b) & SC"},
	{"ORI", "R(a) = R(b) | SC"},
	{"XORI", "R(a) = R(b) ^ SC"},
	{"SHLI", "R(a) = R(b) << (C & 63)"},
	{"SHRI", "R(a) = R(b) >> (C & 63)"},
	{"SARI", "R(a) = uint64(int64(R(b)) >> (C & 63))"},
	{"DIVI", "d := int64(SC)\nif d <= 0 {\ngoto slow\n}\nR(a) = uint64(int64(R(b)) / d)"},
	{"REMI", "d := int64(SC)\nif d <= 0 {\ngoto slow\n}\nR(a) = uint64(int64(R(b)) % d)"},
	{"ROTL", "R(a) = bits.RotateLeft64(R(b), int(R(c)&63))"},
	{"ROTL32", "R(a) = uint64(bits.RotateLeft32(uint32(R(b)), int(R(c)&31)))"},
	{"CLZ", "R(a) = uint64(bits.LeadingZeros64(R(b)))"},
	{"CTZ", "R(a) = uint64(bits.TrailingZeros64(R(b)))"},
	// bits.OnesCount64 calls a function on processors without the instruction.
	{"POPC", "t := R(b)\nt -= t >> 1 & 0x5555555555555555\nt = t&0x3333333333333333 + t>>2&0x3333333333333333\nt = (t + t>>4) & 0x0f0f0f0f0f0f0f0f\nR(a) = t * 0x0101010101010101 >> 56"},
	{"BSWAP", "R(a) = bits.ReverseBytes64(R(b))"},
	{"BSWAP32", "R(a) = uint64(bits.ReverseBytes32(uint32(R(b))))"},
	{"NEG", "R(a) = -R(b)"},
	{"COM", "R(a) = ^R(b)"},
	{"BNOT", "R(a) = R(b) ^ 1"},
	{"ADDW", "R(a) = uint64(int32(R(b) + R(c)))"},
	{"SUBW", "R(a) = uint64(int32(R(b) - R(c)))"},
	{"MULW", "R(a) = uint64(int32(R(b) * R(c)))"},
	{"ADDUW", "R(a) = uint64(uint32(R(b) + R(c)))"},
	{"SUBUW", "R(a) = uint64(uint32(R(b) - R(c)))"},
	{"MULUW", "R(a) = uint64(uint32(R(b) * R(c)))"},
	{"ADDIW", "R(a) = uint64(int32(R(b) + SC))"},
	{"ADDIUW", "R(a) = uint64(uint32(R(b) + SC))"},
	{"SX8", "R(a) = uint64(int8(R(b)))"},
	{"SX16", "R(a) = uint64(int16(R(b)))"},
	{"SX32", "R(a) = uint64(int32(R(b)))"},
	{"ZX8", "R(a) = uint64(uint8(R(b)))"},
	{"ZX16", "R(a) = uint64(uint16(R(b)))"},
	{"ZX32", "R(a) = uint64(uint32(R(b)))"},
	boolean("EQ", "R(b) == R(c)"), boolean("NE", "R(b) != R(c)"),
	boolean("LT", "int64(R(b)) < int64(R(c))"), boolean("LE", "int64(R(b)) <= int64(R(c))"),
	boolean("LTU", "R(b) < R(c)"), boolean("LEU", "R(b) <= R(c)"),
	boolean("FEQ", "F(b) == F(c)"), boolean("FNE", "F(b) != F(c)"), boolean("FLT", "F(b) < F(c)"), boolean("FLE", "F(b) <= F(c)"),
	flt("FADD", "+"), flt("FSUB", "-"), flt("FMUL", "*"), flt("FDIV", "/"),
	fltMem("FADDM", "F(b) + AT(float64, p)"), fltMem("FSUBM", "F(b) - AT(float64, p)"),
	fltMem("FSUBRM", "AT(float64, p) - F(b)"), fltMem("FMULM", "F(b) * AT(float64, p)"),
	fltTo("FADDTO", "p := R(b) + uint64(C)\n", "+ F(a)"), fltTo("FSUBTO", "p := R(b) + uint64(C)\n", "- F(a)"),
	// The conversions keep the compiler from joining multiplication and addition.
	{"FMULADD", "F(a) = F(d) + float64(F(b)*F(c))"},
	fltTo("FMULADDTO", wordOffset, "+ float64(F(a)*F(b))"), fltTo("FMULSUBTO", wordOffset, "- float64(F(a)*F(b))"),
	{"FNEG", "F(a) = -F(b)"},
	{"FABS", "F(a) = math.Abs(F(b))"},
	{"FSQRT", "F(a) = math.Sqrt(F(b))"},
	gfl("GADD", "+"), gfl("GSUB", "-"), gfl("GMUL", "*"), gfl("GDIV", "/"),
	{"GNEG", "R(a) = uint64(math.Float32bits(-G(b)))"},
	{"I2F", "F(a) = float64(int64(R(b)))"},
	{"U2F", "F(a) = float64(R(b))"},
	{"I2G", "R(a) = uint64(math.Float32bits(float32(int64(R(b)))))"},
	{"U2G", "R(a) = uint64(math.Float32bits(float32(R(b))))"},
	{"F2I", "R(a) = uint64(int64(F(b)))"},
	{"F2U", "R(a) = uint64(F(b))"},
	{"F2G", "R(a) = uint64(math.Float32bits(float32(F(b))))"},
	{"G2F", "F(a) = float64(G(b))"},
	{"NILCHK", "if R(a) < 4096 {\ngoto slow\n}"},
	{"LEAX", "i := R(c)\nif i >= R(b+1) {\ngoto slow\n}\nR(a) = R(b) + i*EXT"},
	{"LEAA", "i, t := R(c), EXT\nif i >= t>>32 || R(b) < 4096 {\ngoto slow\n}\nR(a) = R(b) + i*(t&0xffffffff)"},
	{"BOUND", "if R(a) >= R(b) {\ngoto slow\n}"},
	{"LDXX64", "i := R(c)\nif i >= R(b+1) {\ngoto slow\n}\np := R(b) + i*24\nLOAD(p, 3)\nj := R(d)\nif j >= AT(uint64, p+8) {\ngoto slow\n}\nq := AT(uint64, p) + j*8\nLOAD(q, 3)\nR(a) = AT(uint64, q)"},
	{"FLD8U", "R(a) = uint64(AT(uint8, unsafe.Add(fp, B)))"},
	{"FLD8S", "R(a) = uint64(AT(int8, unsafe.Add(fp, B)))"},
	{"FLD16U", "R(a) = uint64(AT(uint16, unsafe.Add(fp, B)))"},
	{"FLD16S", "R(a) = uint64(AT(int16, unsafe.Add(fp, B)))"},
	{"FLD32U", "R(a) = uint64(AT(uint32, unsafe.Add(fp, B)))"},
	{"FLD32S", "R(a) = uint64(AT(int32, unsafe.Add(fp, B)))"},
	{"FST8", "AT(uint8, unsafe.Add(fp, B)) = uint8(R(a))"},
	{"FST16", "AT(uint16, unsafe.Add(fp, B)) = uint16(R(a))"},
	{"FST32", "AT(uint32, unsafe.Add(fp, B)) = uint32(R(a))"},
	{"FLDX", "i, t := R(c), EXT\nif i >= t>>32 {\ngoto slow\n}\nq := unsafe.Add(fp, B)\nif uint32(t) == 8 {\nR(a) = AT(uint64, unsafe.Add(q, i*8))\n} else if uint32(t) == 1 && N == 0 {\nR(a) = uint64(AT(uint8, unsafe.Add(q, i)))\n} else if uint32(t) == 4 && N == 0 {\nR(a) = uint64(AT(uint32, unsafe.Add(q, i*4)))\n} else {\ngoto slow\n}"},
	{"FSTX", "i, t := R(c), EXT\nif i >= t>>32 {\ngoto slow\n}\nq := unsafe.Add(fp, B)\nif uint32(t) == 8 {\nAT(uint64, unsafe.Add(q, i*8)) = R(a)\n} else if uint32(t) == 1 {\nAT(uint8, unsafe.Add(q, i)) = uint8(R(a))\n} else if uint32(t) == 4 {\nAT(uint32, unsafe.Add(q, i*4)) = uint32(R(a))\n} else {\ngoto slow\n}"},
	// The common cases of instructions that are slow in general.
	{"STREQ", "n := R(b+1)\nvar t uint64\nif n == R(c+1) {\nif n != 0 && R(b) != R(c) {\ngoto slow\n}\nt = 1\n}\nR(a) = t"},
	{"STRNEXT", "pos := R(b+2)\nif pos >= R(b+1) {\ngoto slow\n}\np := R(b) + pos\nLOAD(p, 0)\nr := uint64(AT(uint8, p))\nif r >= 0x80 {\ngoto slow\n}\nR(b+2) = pos + 1\nR(a), R(a+1), R(a+2) = 1, pos, r"},
	{"SLICE", bounds + "if uint16(t>>32) != absent || hi > most || lo > hi {\ngoto slow\n}\np := R(b)\nif lo != most {\np += lo * S(t>>48)\n}\nR(a), R(a+1), R(a+2) = p, hi-lo, most-lo"},
	{"SLICESTR", bounds1 + "if hi > n || lo > hi {\ngoto slow\n}\np := R(b)\nif lo != n {\np += lo\n}\nR(a), R(a+1) = p, hi-lo"},
	// An object that was set aside for the type, see batch.go.
	{"NEW", "t := EXT\nif t >= batchTypes {\ngoto slow\n}\ne := uint64(batchBase) + t*batchSize\nbit := AT(uint64, e+batchBit)\nif bit == 0 {\ngoto slow\n}\n" +
		"p, n, w, u := AT(uint64, e+batchNext), AT(uint64, e+batchElem), AT(uint64, e+batchWord), AT(uint64, e+batchUsed)\n" +
		"OPEN(p)\nOPEN(p+n-8)\nOPEN(w)\nOPEN(u)\n" +
		"AT(uint64, w) |= bit\nAT(uint64, u)++\nbit <<= 1\nif p+n == AT(uint64, e+batchEnd) {\nbit = 0\n}\n" +
		"AT(uint64, e+batchBit), AT(uint64, e+batchNext) = bit, p+n\n" +
		"for i := uint64(0); i < n; i += 8 {\nAT(uint64, p+i) = 0\n}\nR(a) = p\nfuel--"},
	{"IFTYPE", "p := R(b)\nif p != 0 {\np += 8\nLOAD(p, 3)\np = AT(uint64, p)\n}\nR(a) = p"},
}

// access are the loads and stores of one value: name, Go type, log of the size.
var access = []struct {
	name, typ string
	k         int
}{
	{"8U", "uint8", 0}, {"8S", "int8", 0}, {"16U", "uint16", 1}, {"16S", "int16", 1}, {"32U", "uint32", 2}, {"32S", "int32", 2}, {"64", "uint64", 3},
}

// branches: condition; the B form goes backward.
var branches = []body{
	{"JMP", ""},
	{"JT", "uint8(R(a)) != 0"},
	{"JF", "uint8(R(a)) == 0"},
	{"JEQ", "R(a) == R(b)"},
	{"JNE", "R(a) != R(b)"},
	{"JLT", "int64(R(a)) < int64(R(b))"},
	{"JLE", "int64(R(a)) <= int64(R(b))"},
	{"JLTU", "R(a) < R(b)"},
	{"JLEU", "R(a) <= R(b)"},
	{"JEQI", "R(a) == SB"},
	{"JNEI", "R(a) != SB"},
	{"JLTI", "int64(R(a)) < int64(SB)"},
	{"JLEI", "int64(R(a)) <= int64(SB)"},
	{"JGTI", "int64(R(a)) > int64(SB)"},
	{"JGEI", "int64(R(a)) >= int64(SB)"},
	{"JFEQ", "F(a) == F(b)"},
	{"JFNE", "F(a) != F(b)"},
	{"JFLT", "F(a) < F(b)"},
	{"JFLE", "F(a) <= F(b)"},
	{"JFNLT", "!(F(a) < F(b))"},
	{"JFNLE", "!(F(a) <= F(b))"},
}

const enter = `top := uintptr(nfp) + uintptr(AT(uint32, ent))
if top > uintptr(HOT.stackLimit) {
goto slow
}
OPEN(uintptr(nfp))
OPEN(top-8)
`

const push = `AT(unsafe.Pointer, nfp) = unsafe.Add(pc, 16)
AT(unsafe.Pointer, unsafe.Add(nfp, 8)) = fp
fp = nfp
pc = unsafe.Add(ent, 16)
if fuel--; fuel < 0 {
goto yield
}
continue`

// callee finds the function of code word cw and compares its signature with the instruction's.
const callee = `if cw >= HOT.nfuncs {
goto slow
}
ent := AT(unsafe.Pointer, uint64(funcTabBase)+cw*8)
if (AT(uint64, ent)^t)>>32 != 0 {
goto slow
}
`

const leave = `ret, up := AT(unsafe.Pointer, fp), AT(unsafe.Pointer, unsafe.Add(fp, 8))
OPEN(uintptr(up))
OPEN(uintptr(up)+uintptr(AT(uint16, unsafe.Add(ret, -10)))*8-8)
`

// jumps set pc themselves.
var jumps = []body{
	{"INCJLTB", "i := R(a) + 1\nif int64(i) < int64(R(b)) {\nif fuel--; fuel < 0 {\ngoto yield\n}\nR(a) = i\nBRANCH(SC)\n}\nR(a) = i\nNEXT(8)"},
	{"ADDJLTB", "i := R(a) + R(d)\nif int64(i) < int64(R(b)) {\nif fuel--; fuel < 0 {\ngoto yield\n}\nR(a) = i\nBRANCH(SC)\n}\nR(a) = i\nNEXT(16)"},
	{"CALL", "nfp := unsafe.Add(fp, A*8)\nent := AT(unsafe.Pointer, unsafe.Add(pc, 8))\n" + enter + push},
	{"CALLC", "t := EXT\np := R(t)\nLOAD(p, 3)\ncw := AT(uint64, p)\n" + callee + "nfp := unsafe.Add(fp, A*8)\n" + enter + "AT(uint64, unsafe.Add(nfp, 16)) = p\n" + push},
	{"CALLI", "t := EXT\np := R(t) + 24 + t>>16&0xffff*8\nLOAD(p, 3)\ncw := AT(uint64, p)\n" + callee + "nfp := unsafe.Add(fp, A*8)\n" + enter + "AT(uint64, unsafe.Add(nfp, 24)) = R(t+1)\n" + push},
	{"RET", leave + "fp, pc = up, ret\ncontinue"},
	{"RET1", leave + "t := R(a)\nfp, pc = up, ret\nAT(uint64, unsafe.Add(fp, uintptr(AT(uint16, unsafe.Add(pc, -12)))*8)) = t\ncontinue"},
	{"RETN", leave + "MOVE(unsafe.Add(up, uintptr(AT(uint16, unsafe.Add(ret, -12)))*8), unsafe.Add(fp, A*8), C*8)\nfp, pc = up, ret\ncontinue"},
}
