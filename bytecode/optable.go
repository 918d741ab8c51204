package bytecode

// The instruction set, one row per instruction. This table is the only place
// where an instruction is defined: `make generate` derives from it the
// constants (ops_gen.go), the decoder and disassembler tables and the tables
// of docs/bytecode.md. Numbers are pinned and never used again.
//
// An instruction is one 64-bit little-endian word
//
//	bits 0-7 op | 8-15 n | 16-31 a | 32-47 b | 48-63 c
//
// followed, where the row names an Ext, by one 64-bit extension word. Frame
// slots are 8 bytes; R[x] is slot x of the current frame, R[x:k] the k slots
// from x on. pc counts 8-byte words.

// Operand says what one of the fields n, a, b, c holds.
type Operand uint8

// Operand kinds.
const (
	None  Operand = iota
	Dst           // slot, written; Width slots of it
	Src           // slot, read
	Dst2          // two slots, written
	Dst3          // three slots, written
	Src2          // two slots, read
	Src3          // three slots, read
	DstN          // slots written, how many depends on the instruction (see Synopsis and the verifier)
	SrcN          // slots read, likewise
	Imm           // int16
	UImm          // uint16
	Off           // uint16, byte offset added to an address
	FOff          // uint16, byte offset into the frame
	Rel           // int16, branch displacement in words from this instruction
	Rel32         // b and c together: int32 displacement (field b holds the low half)
	Count         // number of slots or cases
	Win           // slot at which the callee's frame begins
	Frame         // the function's own frame size in slots (must equal it)
	Small         // the 8-bit field n: a small constant
)

// ExtKind says what the extension word holds. All but ExtImm, ExtSize, ExtSlots and
// ExtFIdx are symbolic in a module and resolved to addresses or checked indexes by the loader.
type ExtKind uint8

// Extension kinds.
const (
	NoExt     ExtKind = iota
	ExtImm            // 64-bit constant
	ExtSize           // byte count
	ExtFunc           // FuncID: resolved to the address of its header
	ExtGlobal         // byte offset into the globals segment: resolved to an address
	ExtRO             // byte offset into the read-only blob: resolved to an address
	ExtStr            // low 32 bits: offset into the read-only blob, high 32: length
	ExtType           // TypeID: LDT gets the descriptor's address, all others keep the id
	ExtItab           // index into Module.Itabs: resolved to the itab's address
	ExtNative         // index into Module.Natives
	ExtSlots          // four 16-bit slots or numbers d,e,f,g, d lowest
	ExtFIdx           // low 32 bits: element size, high 32 bits: array length
	ExtSig            // low 16 bits: slot; next 16: method index (CALLI); high 32: signature nargs<<16|nres
)

// OpFlags are properties that the verifier, the front end and the VM need.
type OpFlags uint16

// Flags.
const (
	FlagBranch OpFlags = 1 << iota // may go to pc+Rel
	FlagBack                       // the backward form: Rel <= 0, uses fuel, its target carries a point map
	FlagEnd                        // control does not go to the next instruction
	FlagCall                       // pushes a frame; the return pc carries a call map
	FlagPoint                      // a safepoint before execution: carries a point map at its own pc
	FlagBlock                      // may park the goroutine: carries point maps at its pc and at the next pc
	FlagTrap                       // may raise a run-time panic
	FlagStore                      // stores to the arena's data pages
	FlagSlow                       // executed outside the dispatch loop
)

// OpInfo is one row of the table.
type OpInfo struct {
	Num      uint8
	Name     string
	N        Operand
	A, B, C  Operand
	Ext      ExtKind
	Flags    OpFlags
	Since    uint16 // instruction set version that introduced it
	Synopsis string
}

// InstructionSet is the version of this table; an image or a module of a newer one is refused.
const InstructionSet = 1

const (
	br   = FlagBranch
	bk   = FlagBranch | FlagBack | FlagPoint
	trap = FlagTrap
	st   = FlagTrap | FlagStore
	call = FlagCall | FlagTrap
	slow = FlagSlow | FlagPoint | FlagTrap
	blk  = FlagSlow | FlagPoint | FlagBlock | FlagTrap
)

// Table is the instruction set in order of number.
var Table = []OpInfo{
	{0, "ILL", None, None, None, None, NoExt, FlagEnd | trap, 1, "illegal instruction; the verifier refuses it"},
	{1, "NOP", None, None, None, None, NoExt, 0, 1, "nothing"},

	// Moves and constants.
	{2, "MOV", None, Dst, Src, None, NoExt, 0, 1, "R[a] = R[b]"},
	{3, "MOV2", None, Dst2, Src2, None, NoExt, 0, 1, "R[a:2] = R[b:2], overlap allowed"},
	{4, "MOV3", None, Dst3, Src3, None, NoExt, 0, 1, "R[a:3] = R[b:3], overlap allowed"},
	{5, "MOVN", None, DstN, SrcN, Count, NoExt, 0, 1, "R[a:c] = R[b:c], overlap allowed"},
	{6, "ZERO", None, DstN, None, Count, NoExt, 0, 1, "R[a:c] = 0"},
	{7, "LDI", None, Dst, Imm, None, NoExt, 0, 1, "R[a] = sign-extended b"},
	{8, "LDK", None, Dst, None, None, ExtImm, 0, 1, "R[a] = ext"},
	{9, "LDG", None, Dst, None, None, ExtGlobal, 0, 1, "R[a] = address of the globals segment + ext"},
	{10, "LDRO", None, Dst, None, None, ExtRO, 0, 1, "R[a] = address of the read-only blob + ext"},
	{11, "LDSTR", None, Dst2, None, None, ExtStr, 0, 1, "R[a:2] = string constant (address, length)"},
	{12, "LDT", None, Dst, None, None, ExtType, 0, 1, "R[a] = address of the type descriptor"},
	{13, "LDFN", None, Dst, None, None, ExtFunc, 0, 1, "R[a] = address of the static funcval of the function"},
	{14, "LDCW", None, Dst, None, None, ExtFunc, 0, 1, "R[a] = code word of the function (first word of a funcval)"},
	{15, "LDIT", None, Dst, None, None, ExtItab, 0, 1, "R[a] = address of the static itab"},

	// 64-bit integers.
	{16, "ADD", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] + R[c]"},
	{17, "SUB", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] - R[c]"},
	{18, "MUL", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] * R[c]"},
	{19, "AND", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] & R[c]"},
	{20, "OR", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] | R[c]"},
	{21, "XOR", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] ^ R[c]"},
	{22, "ANDN", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] &^ R[c]"},
	{23, "SHL", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] << R[c]; 0 for counts over 63 (count unsigned)"},
	{24, "SHR", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] >> R[c] unsigned; 0 for counts over 63"},
	{25, "SAR", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] >> R[c] signed; the sign for counts over 63"},
	{26, "DIV", None, Dst, Src, Src, NoExt, trap, 1, "R[a] = R[b] / R[c] signed, Go's rules; traps on 0"},
	{27, "REM", None, Dst, Src, Src, NoExt, trap, 1, "R[a] = R[b] % R[c] signed; traps on 0"},
	{28, "DIVU", None, Dst, Src, Src, NoExt, trap, 1, "R[a] = R[b] / R[c] unsigned; traps on 0"},
	{29, "REMU", None, Dst, Src, Src, NoExt, trap, 1, "R[a] = R[b] % R[c] unsigned; traps on 0"},
	{30, "MULHU", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = high 64 bits of R[b] * R[c] unsigned"},
	{31, "ADDI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = R[b] + c"},
	{32, "SUBRI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = c - R[b]"},
	{33, "MULI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = R[b] * c"},
	{34, "ANDI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = R[b] & sign-extended c"},
	{35, "ORI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = R[b] | sign-extended c"},
	{36, "XORI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = R[b] ^ sign-extended c"},
	{37, "SHLI", None, Dst, Src, UImm, NoExt, 0, 1, "R[a] = R[b] << (c & 63)"},
	{38, "SHRI", None, Dst, Src, UImm, NoExt, 0, 1, "R[a] = R[b] >> (c & 63) unsigned"},
	{39, "SARI", None, Dst, Src, UImm, NoExt, 0, 1, "R[a] = R[b] >> (c & 63) signed"},
	{40, "DIVI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = R[b] / c signed; c > 0"},
	{41, "REMI", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = R[b] % c signed; c > 0"},
	{42, "ROTL", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] rotated left by R[c] & 63"},
	{43, "ROTL32", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = uint32(R[b]) rotated left by R[c] & 31"},
	{44, "CLZ", None, Dst, Src, None, NoExt, 0, 1, "R[a] = leading zeros of R[b], 64 for 0"},
	{45, "CTZ", None, Dst, Src, None, NoExt, 0, 1, "R[a] = trailing zeros of R[b], 64 for 0"},
	{46, "POPC", None, Dst, Src, None, NoExt, 0, 1, "R[a] = number of ones in R[b]"},
	{47, "BSWAP", None, Dst, Src, None, NoExt, 0, 1, "R[a] = R[b] with its 8 bytes reversed"},
	{48, "BSWAP32", None, Dst, Src, None, NoExt, 0, 1, "R[a] = uint32(R[b]) with its 4 bytes reversed"},
	{49, "NEG", None, Dst, Src, None, NoExt, 0, 1, "R[a] = -R[b]"},
	{50, "COM", None, Dst, Src, None, NoExt, 0, 1, "R[a] = ^R[b]"},
	{51, "BNOT", None, Dst, Src, None, NoExt, 0, 1, "R[a] = R[b] ^ 1, a boolean"},

	// 32-bit integers and normalisation: a slot holds a small integer sign- or zero-extended to 64 bits.
	{52, "ADDW", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = int32(R[b] + R[c]), sign-extended"},
	{53, "SUBW", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = int32(R[b] - R[c]), sign-extended"},
	{54, "MULW", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = int32(R[b] * R[c]), sign-extended"},
	{55, "ADDUW", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = uint32(R[b] + R[c])"},
	{56, "SUBUW", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = uint32(R[b] - R[c])"},
	{57, "MULUW", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = uint32(R[b] * R[c])"},
	{58, "ADDIW", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = int32(R[b] + c), sign-extended"},
	{59, "ADDIUW", None, Dst, Src, Imm, NoExt, 0, 1, "R[a] = uint32(R[b] + c)"},
	{60, "SX8", None, Dst, Src, None, NoExt, 0, 1, "R[a] = int8(R[b])"},
	{61, "SX16", None, Dst, Src, None, NoExt, 0, 1, "R[a] = int16(R[b])"},
	{62, "SX32", None, Dst, Src, None, NoExt, 0, 1, "R[a] = int32(R[b])"},
	{63, "ZX8", None, Dst, Src, None, NoExt, 0, 1, "R[a] = uint8(R[b])"},
	{64, "ZX16", None, Dst, Src, None, NoExt, 0, 1, "R[a] = uint16(R[b])"},
	{65, "ZX32", None, Dst, Src, None, NoExt, 0, 1, "R[a] = uint32(R[b])"},

	// Comparisons to a boolean.
	{66, "EQ", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] == R[c]"},
	{67, "NE", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] != R[c]"},
	{68, "LT", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] < R[c] signed"},
	{69, "LE", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] <= R[c] signed"},
	{70, "LTU", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] < R[c] unsigned"},
	{71, "LEU", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = R[b] <= R[c] unsigned"},
	{72, "FEQ", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = F[b] == F[c]"},
	{73, "FNE", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = F[b] != F[c]"},
	{74, "FLT", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = F[b] < F[c]"},
	{75, "FLE", None, Dst, Src, Src, NoExt, 0, 1, "R[a] = F[b] <= F[c]"},
	{76, "STREQ", None, Dst, Src2, Src2, NoExt, FlagSlow | trap, 1, "R[a] = strings R[b:2] == R[c:2]"},
	{77, "STRCMP", None, Dst, Src2, Src2, NoExt, FlagSlow | trap, 1, "R[a] = -1, 0, 1: order of strings R[b:2], R[c:2]"},
	{78, "EQT", None, Dst, SrcN, SrcN, ExtType, FlagSlow | trap, 1, "R[a] = values of type ext at R[b..] and R[c..] equal by Go's rules; panics as Go does"},

	// Floating point; F[x] is slot x as float64, G[x] its low half as float32 (the high half is 0).
	{80, "FADD", None, Dst, Src, Src, NoExt, 0, 1, "F[a] = F[b] + F[c]"},
	{81, "FSUB", None, Dst, Src, Src, NoExt, 0, 1, "F[a] = F[b] - F[c]"},
	{82, "FMUL", None, Dst, Src, Src, NoExt, 0, 1, "F[a] = F[b] * F[c]"},
	{83, "FDIV", None, Dst, Src, Src, NoExt, 0, 1, "F[a] = F[b] / F[c]"},
	{84, "FNEG", None, Dst, Src, None, NoExt, 0, 1, "F[a] = -F[b]"},
	{85, "FABS", None, Dst, Src, None, NoExt, 0, 1, "F[a] = |F[b]|"},
	{86, "FSQRT", None, Dst, Src, None, NoExt, 0, 1, "F[a] = square root of F[b]"},
	{87, "FLOOR", None, Dst, Src, None, NoExt, 0, 1, "F[a] = floor of F[b]"},
	{88, "FCEIL", None, Dst, Src, None, NoExt, 0, 1, "F[a] = ceil of F[b]"},
	{89, "FTRUNC", None, Dst, Src, None, NoExt, 0, 1, "F[a] = F[b] rounded towards 0"},
	{90, "FMA", None, Dst, Src, Src, ExtSlots, 0, 1, "F[a] = F[b]*F[c] + F[d], rounded once"},
	{91, "GADD", None, Dst, Src, Src, NoExt, 0, 1, "G[a] = G[b] + G[c]"},
	{92, "GSUB", None, Dst, Src, Src, NoExt, 0, 1, "G[a] = G[b] - G[c]"},
	{93, "GMUL", None, Dst, Src, Src, NoExt, 0, 1, "G[a] = G[b] * G[c]"},
	{94, "GDIV", None, Dst, Src, Src, NoExt, 0, 1, "G[a] = G[b] / G[c]"},
	{95, "GNEG", None, Dst, Src, None, NoExt, 0, 1, "G[a] = -G[b]"},
	{96, "I2F", None, Dst, Src, None, NoExt, 0, 1, "F[a] = float64(int64 R[b])"},
	{97, "U2F", None, Dst, Src, None, NoExt, 0, 1, "F[a] = float64(uint64 R[b])"},
	{98, "I2G", None, Dst, Src, None, NoExt, 0, 1, "G[a] = float32(int64 R[b])"},
	{99, "U2G", None, Dst, Src, None, NoExt, 0, 1, "G[a] = float32(uint64 R[b])"},
	{100, "F2I", None, Dst, Src, None, NoExt, 0, 1, "R[a] = int64(F[b])"},
	{101, "F2U", None, Dst, Src, None, NoExt, 0, 1, "R[a] = uint64(F[b])"},
	{102, "F2G", None, Dst, Src, None, NoExt, 0, 1, "G[a] = float32(F[b])"},
	{103, "G2F", None, Dst, Src, None, NoExt, 0, 1, "F[a] = float64(G[b])"},

	// Branches. The forms that end in B go backward (Rel <= 0) and use fuel.
	{104, "JMP", None, None, Rel32, Rel32, NoExt, br | FlagEnd, 1, "go to pc + rel32"},
	{105, "JMPB", None, None, Rel32, Rel32, NoExt, bk | FlagEnd, 1, "JMP backward"},
	{106, "JT", None, Src, None, Rel, NoExt, br, 1, "if uint8(R[a]) != 0"},
	{107, "JTB", None, Src, None, Rel, NoExt, bk, 1, "JT backward"},
	{108, "JF", None, Src, None, Rel, NoExt, br, 1, "if uint8(R[a]) == 0"},
	{109, "JFB", None, Src, None, Rel, NoExt, bk, 1, "JF backward"},
	{110, "JEQ", None, Src, Src, Rel, NoExt, br, 1, "if R[a] == R[b]"},
	{111, "JEQB", None, Src, Src, Rel, NoExt, bk, 1, "JEQ backward"},
	{112, "JNE", None, Src, Src, Rel, NoExt, br, 1, "if R[a] != R[b]"},
	{113, "JNEB", None, Src, Src, Rel, NoExt, bk, 1, "JNE backward"},
	{114, "JLT", None, Src, Src, Rel, NoExt, br, 1, "if R[a] < R[b] signed"},
	{115, "JLTB", None, Src, Src, Rel, NoExt, bk, 1, "JLT backward"},
	{116, "JLE", None, Src, Src, Rel, NoExt, br, 1, "if R[a] <= R[b] signed"},
	{117, "JLEB", None, Src, Src, Rel, NoExt, bk, 1, "JLE backward"},
	{118, "JLTU", None, Src, Src, Rel, NoExt, br, 1, "if R[a] < R[b] unsigned"},
	{119, "JLTUB", None, Src, Src, Rel, NoExt, bk, 1, "JLTU backward"},
	{120, "JLEU", None, Src, Src, Rel, NoExt, br, 1, "if R[a] <= R[b] unsigned"},
	{121, "JLEUB", None, Src, Src, Rel, NoExt, bk, 1, "JLEU backward"},
	{122, "JEQI", None, Src, Imm, Rel, NoExt, br, 1, "if R[a] == b"},
	{123, "JEQIB", None, Src, Imm, Rel, NoExt, bk, 1, "JEQI backward"},
	{124, "JNEI", None, Src, Imm, Rel, NoExt, br, 1, "if R[a] != b"},
	{125, "JNEIB", None, Src, Imm, Rel, NoExt, bk, 1, "JNEI backward"},
	{126, "JLTI", None, Src, Imm, Rel, NoExt, br, 1, "if R[a] < b signed"},
	{127, "JLTIB", None, Src, Imm, Rel, NoExt, bk, 1, "JLTI backward"},
	{128, "JLEI", None, Src, Imm, Rel, NoExt, br, 1, "if R[a] <= b signed"},
	{129, "JLEIB", None, Src, Imm, Rel, NoExt, bk, 1, "JLEI backward"},
	{130, "JGTI", None, Src, Imm, Rel, NoExt, br, 1, "if R[a] > b signed"},
	{131, "JGTIB", None, Src, Imm, Rel, NoExt, bk, 1, "JGTI backward"},
	{132, "JGEI", None, Src, Imm, Rel, NoExt, br, 1, "if R[a] >= b signed"},
	{133, "JGEIB", None, Src, Imm, Rel, NoExt, bk, 1, "JGEI backward"},
	{134, "JFEQ", None, Src, Src, Rel, NoExt, br, 1, "if F[a] == F[b]"},
	{135, "JFNE", None, Src, Src, Rel, NoExt, br, 1, "if F[a] != F[b]"},
	{136, "JFLT", None, Src, Src, Rel, NoExt, br, 1, "if F[a] < F[b]"},
	{137, "JFLE", None, Src, Src, Rel, NoExt, br, 1, "if F[a] <= F[b]"},
	{138, "JFNLT", None, Src, Src, Rel, NoExt, br, 1, "if !(F[a] < F[b])"},
	{139, "JFNLE", None, Src, Src, Rel, NoExt, br, 1, "if !(F[a] <= F[b])"},
	{140, "INCJLTB", None, Dst, Src, Rel, NoExt, bk, 1, "R[a]++; if R[a] < R[b] signed, backward; a != b"},
	{141, "ADDJLTB", None, Dst, Src, Rel, ExtSlots, bk, 1, "R[a] += R[d]; if R[a] < R[b] signed, backward; a, b, d distinct"},

	// Memory. Every address passes the one range check; a bad one traps as a nil dereference.
	{144, "LD8U", None, Dst, Src, Off, NoExt, trap, 1, "R[a] = uint8 at R[b]+c"},
	{145, "LD8S", None, Dst, Src, Off, NoExt, trap, 1, "R[a] = int8 at R[b]+c"},
	{146, "LD16U", None, Dst, Src, Off, NoExt, trap, 1, "R[a] = uint16 at R[b]+c"},
	{147, "LD16S", None, Dst, Src, Off, NoExt, trap, 1, "R[a] = int16 at R[b]+c"},
	{148, "LD32U", None, Dst, Src, Off, NoExt, trap, 1, "R[a] = uint32 at R[b]+c"},
	{149, "LD32S", None, Dst, Src, Off, NoExt, trap, 1, "R[a] = int32 at R[b]+c"},
	{150, "LD64", None, Dst, Src, Off, NoExt, trap, 1, "R[a] = word at R[b]+c"},
	{151, "LD128", None, Dst2, Src, Off, NoExt, trap, 1, "R[a:2] = two words at R[b]+c"},
	{152, "LD192", None, Dst3, Src, Off, NoExt, trap, 1, "R[a:3] = three words at R[b]+c"},
	{153, "LDN", None, DstN, Src, Off, ExtSize, trap | FlagSlow, 1, "R[a..] = ext bytes at R[b]+c, the last slot zero-padded; ext <= 4088"},
	{154, "ST8", None, Src, Src, Off, NoExt, st, 1, "uint8 at R[b]+c = R[a]"},
	{155, "ST16", None, Src, Src, Off, NoExt, st, 1, "uint16 at R[b]+c = R[a]"},
	{156, "ST32", None, Src, Src, Off, NoExt, st, 1, "uint32 at R[b]+c = R[a]"},
	{157, "ST64", None, Src, Src, Off, NoExt, st, 1, "word at R[b]+c = R[a]"},
	{158, "ST128", None, Src2, Src, Off, NoExt, st, 1, "two words at R[b]+c = R[a:2]"},
	{159, "ST192", None, Src3, Src, Off, NoExt, st, 1, "three words at R[b]+c = R[a:3]"},
	{160, "STN", None, SrcN, Src, Off, ExtSize, st | FlagSlow, 1, "ext bytes at R[b]+c = R[a..]; ext <= 4088"},
	{161, "COPYN", None, Src, Src, None, ExtSize, st | FlagSlow, 1, "ext bytes at R[a] = ext bytes at R[b] (memmove; both checked)"},
	{162, "CLRN", None, None, Src, None, ExtSize, st | FlagSlow, 1, "ext bytes at R[b] = 0"},
	{163, "NILCHK", None, Src, None, None, NoExt, trap, 1, "trap if R[a] is below 4096"},

	// Indexed memory: R[b] is a base address, R[b+1] the length (a slice or string header), R[c] the index.
	{164, "LDX8U", None, Dst, Src2, Src, NoExt, trap, 1, "R[a] = uint8 at base + i"},
	{165, "LDX8S", None, Dst, Src2, Src, NoExt, trap, 1, "R[a] = int8 at base + i"},
	{166, "LDX16U", None, Dst, Src2, Src, NoExt, trap, 1, "R[a] = uint16 at base + 2i"},
	{167, "LDX16S", None, Dst, Src2, Src, NoExt, trap, 1, "R[a] = int16 at base + 2i"},
	{168, "LDX32U", None, Dst, Src2, Src, NoExt, trap, 1, "R[a] = uint32 at base + 4i"},
	{169, "LDX32S", None, Dst, Src2, Src, NoExt, trap, 1, "R[a] = int32 at base + 4i"},
	{170, "LDX64", None, Dst, Src2, Src, NoExt, trap, 1, "R[a] = word at base + 8i"},
	{171, "LDX128", None, Dst2, Src2, Src, NoExt, trap, 1, "R[a:2] = two words at base + 16i"},
	{172, "LDX192", None, Dst3, Src2, Src, NoExt, trap, 1, "R[a:3] = three words at base + 24i"},
	{173, "STX8", None, Src, Src2, Src, NoExt, st, 1, "uint8 at base + i = R[a]"},
	{174, "STX16", None, Src, Src2, Src, NoExt, st, 1, "uint16 at base + 2i = R[a]"},
	{175, "STX32", None, Src, Src2, Src, NoExt, st, 1, "uint32 at base + 4i = R[a]"},
	{176, "STX64", None, Src, Src2, Src, NoExt, st, 1, "word at base + 8i = R[a]"},
	{177, "STX128", None, Src2, Src2, Src, NoExt, st, 1, "two words at base + 16i = R[a:2]"},
	{178, "STX192", None, Src3, Src2, Src, NoExt, st, 1, "three words at base + 24i = R[a:3]"},
	{179, "LEAX", None, Dst, Src2, Src, ExtSize, trap, 1, "R[a] = base + i*ext, i checked against the length"},
	{180, "LEAA", None, Dst, Src, Src, ExtFIdx, trap, 1, "R[a] = R[b] + R[c]*size, R[c] checked against the constant length; R[b] nil-checked"},
	{181, "BOUND", None, Src, Src, None, NoExt, trap, 1, "trap (index out of range) unless R[a] < R[b] unsigned"},
	{182, "LDXX64", None, Dst, Src2, Src, ExtSlots, trap, 1, "R[a] = word: element R[d] of the slice that is element R[c] of the slice of slices at R[b:2]"},

	// Parts of the frame: aggregates lie in slots in Go's layout.
	{184, "FLD8U", None, Dst, FOff, None, NoExt, 0, 1, "R[a] = uint8 at frame byte b"},
	{185, "FLD8S", None, Dst, FOff, None, NoExt, 0, 1, "R[a] = int8 at frame byte b"},
	{186, "FLD16U", None, Dst, FOff, None, NoExt, 0, 1, "R[a] = uint16 at frame byte b (2-aligned)"},
	{187, "FLD16S", None, Dst, FOff, None, NoExt, 0, 1, "R[a] = int16 at frame byte b (2-aligned)"},
	{188, "FLD32U", None, Dst, FOff, None, NoExt, 0, 1, "R[a] = uint32 at frame byte b (4-aligned)"},
	{189, "FLD32S", None, Dst, FOff, None, NoExt, 0, 1, "R[a] = int32 at frame byte b (4-aligned)"},
	{190, "FST8", None, Src, FOff, None, NoExt, 0, 1, "uint8 at frame byte b = R[a]"},
	{191, "FST16", None, Src, FOff, None, NoExt, 0, 1, "uint16 at frame byte b = R[a] (2-aligned)"},
	{192, "FST32", None, Src, FOff, None, NoExt, 0, 1, "uint32 at frame byte b = R[a] (4-aligned)"},
	{193, "FCOPY", None, FOff, FOff, UImm, NoExt, FlagSlow, 1, "c bytes at frame byte a = c bytes at frame byte b (memmove; padding untouched)"},
	{194, "FLDX", Small, DstN, FOff, Src, ExtFIdx, trap, 1, "R[a..] = element R[c] of the array at frame byte b; n = 1 sign-extends sizes 1, 2, 4; other sizes are copied, zero-padded"},
	{195, "FSTX", None, SrcN, FOff, Src, ExtFIdx, trap, 1, "element R[c] of the array at frame byte b = R[a..]"},

	// Allocation and slices.
	{196, "NEW", None, Dst, None, None, ExtType, slow, 1, "R[a] = address of a new zeroed object of the type"},
	{197, "MKSLICE", None, Dst3, Src, Src, ExtType, slow, 1, "R[a:3] = new slice, len R[b], cap R[c], elements of the type; panics as makeslice"},
	{198, "SLICE", None, Dst3, Src3, None, ExtSlots, slow, 1, "R[a:3] = R[b:3][R[d]:R[e]:R[f]]; slot 0xffff: absent; g = slot that holds the element size"},
	{199, "SLICESTR", None, Dst2, Src2, None, ExtSlots, slow, 1, "R[a:2] = string R[b:2][R[d]:R[e]]; 0xffff: absent"},
	{200, "SLICEARR", None, Dst3, Src, Src, ExtSlots, slow, 1, "R[a:3] = (*[R[c]]T at R[b])[R[d]:R[e]:R[f]]; 0xffff: absent; g = slot that holds the element size"},
	{201, "GROW", None, Dst3, Src3, Src, ExtType, slow, 1, "R[a:3] = slice R[b:3] with length unchanged and room for R[c] elements more (append's growth), elements of the type"},

	// Strings.
	{204, "STRNEXT", None, Dst3, DstN, None, NoExt, FlagSlow | trap, 1, "b: iterator of 3 slots (address, length, position), position advanced; R[a:3] = more?, index, rune"},

	// Maps; ext is the map's type. Key and value lie in slots; n = 1: one slot more says whether the key was there.
	{208, "MKMAP", None, Dst, Src, None, ExtType, slow, 1, "R[a] = new map with room for R[b] entries"},
	{209, "MAPGET", Small, DstN, Src, SrcN, ExtType, slow, 1, "R[a..] = value at key R[c..] in map R[b], or zero; n = 1: then a slot with the presence"},
	{210, "MAPSET", None, Src, SrcN, SrcN, ExtType, slow, 1, "map R[a], key R[b..] = R[c..]"},
	{211, "MAPDEL", None, Src, SrcN, None, ExtType, slow, 1, "delete key R[b..] from map R[a]"},
	{212, "MAPCLR", None, Src, None, None, ExtType, slow, 1, "remove all entries of map R[a]"},
	{213, "MAPLEN", None, Dst, Src, None, NoExt, FlagSlow | trap, 1, "R[a] = number of entries of map R[b], 0 for nil"},
	{214, "MAPITER", None, DstN, Src, None, ExtType, slow, 1, "start iterator of 8 slots at a over map R[b] (slots a..a+1 hold pointers, the others numbers)"},
	{215, "MAPNEXT", None, DstN, DstN, None, ExtType, slow, 1, "b: iterator of 8 slots, advanced; R[a] = more?, then key slots, then value slots"},

	// Channels; ext is the channel's type.
	{216, "MKCHAN", None, Dst, Src, None, ExtType, slow, 1, "R[a] = new channel with a buffer of R[b] elements"},
	{217, "SEND", None, Src, SrcN, None, ExtType, blk, 1, "send R[b..] on channel R[a]"},
	{218, "RECV", Small, DstN, Src, None, ExtType, blk, 1, "R[a..] = receive from channel R[b]; n = 1: then a slot with ok"},
	{219, "SELECT", Small, Dst2, SrcN, Count, NoExt, blk, 1, "c cases of 2 slots from b: channel, slot | slots<<16 | dir<<32 (dir 1 send, 2 receive); R[a:2] = index (-1: default, if n = 1), ok"},
	{220, "CLOSE", None, Src, None, None, NoExt, slow, 1, "close channel R[a]"},
	{221, "CHLEN", None, Dst, Src, None, NoExt, FlagSlow | trap, 1, "R[a] = elements in the buffer of channel R[b], 0 for nil"},
	{222, "CHCAP", None, Dst, Src, None, NoExt, FlagSlow | trap, 1, "R[a] = capacity of channel R[b], 0 for nil"},

	// Calls. The callee's frame begins at slot a: [0] return pc, [1] caller's frame, [2] closure, [3..] arguments.
	{224, "CALL", None, Win, DstN, Frame, ExtFunc, call, 1, "call function ext; results go to R[b..]"},
	{225, "CALLC", None, Win, DstN, Frame, ExtSig, call, 1, "call funcval R[slot]; results go to R[b..]"},
	{226, "CALLI", None, Win, DstN, Frame, ExtSig, call, 1, "call method of the interface value R[slot:2] through its itab; the data word becomes argument 0; results to R[b..]"},
	{227, "RET", None, None, None, None, NoExt, FlagEnd, 1, "return without results"},
	{228, "RET1", None, Src, None, None, NoExt, FlagEnd, 1, "return R[a]"},
	{229, "RETN", None, SrcN, None, Count, NoExt, FlagEnd, 1, "return R[a:c]"},
	{230, "GO", None, Src, None, None, NoExt, slow, 1, "start a goroutine that calls funcval R[a] (no arguments, no results)"},
	{231, "DEFER", None, Src, None, None, NoExt, slow, 1, "defer a call of funcval R[a] (no arguments, no results) to this frame's end"},
	{232, "RUNDEFERS", None, None, None, Frame, ExtImm, FlagSlow | FlagCall | FlagPoint | FlagTrap, 1, "call this frame's newest deferred call, return pc = pc+2, where a JMPB back to this instruction stands; if none is left go to pc+3; ext is 0"},
	{233, "PANIC", None, Src2, None, None, NoExt, slow | FlagEnd, 1, "panic with the interface value R[a:2]"},
	{234, "RECOVER", None, Dst2, None, None, NoExt, slow, 1, "R[a:2] = recover()"},
	{235, "NATIVE", None, DstN, SrcN, None, ExtNative, blk, 1, "R[a..] = native ext(R[b..])"},
	{236, "TRAP", None, UImm, Src, None, NoExt, slow | FlagEnd, 1, "raise run-time panic number a with operand R[b]; b = 0: none"},
	{237, "ASSERT", Small, Dst2, Src2, None, ExtType, slow, 1, "R[a:2] = interface value R[b:2] (n bit 0: source has methods, i.e. an itab) converted to interface type ext; n bit 1: comma-ok, R[a+2] = ok; else panics as Go does"},
	{238, "IFTYPE", None, Dst, Src, None, NoExt, trap, 1, "R[a] = type word of the itab R[b], 0 for 0"},

	// Floating point with an operand in memory; n counts words. Products are rounded before they are added.
	{239, "FADDM", Small, Dst, Src, Src, NoExt, trap, 1, "F[a] = F[b] + float64 at R[c]+8n"},
	{240, "FSUBM", Small, Dst, Src, Src, NoExt, trap, 1, "F[a] = F[b] - float64 at R[c]+8n"},
	{241, "FSUBRM", Small, Dst, Src, Src, NoExt, trap, 1, "F[a] = float64 at R[c]+8n - F[b]"},
	{242, "FMULM", Small, Dst, Src, Src, NoExt, trap, 1, "F[a] = F[b] * float64 at R[c]+8n"},
	{243, "FADDTO", None, Src, Src, Off, NoExt, st, 1, "float64 at R[b]+c += F[a]"},
	{244, "FSUBTO", None, Src, Src, Off, NoExt, st, 1, "float64 at R[b]+c -= F[a]"},
	{245, "FMULADD", None, Dst, Src, Src, ExtSlots, 0, 1, "F[a] = F[d] + F[b]*F[c], rounded twice"},
	{246, "FMULADDTO", Small, Src, Src, Src, NoExt, st, 1, "float64 at R[c]+8n += F[a]*F[b], rounded twice"},
	{247, "FMULSUBTO", Small, Src, Src, Src, NoExt, st, 1, "float64 at R[c]+8n -= F[a]*F[b], rounded twice"},
}
