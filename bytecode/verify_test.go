package bytecode

import (
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"testing"
)

// ruleTypes is what the functions of the rule tests may refer to. Function "two" takes two slots and returns three.
const ruleTypes = `
module rules
globals 16
file "a.go"
entry main
native vm.n 2 1
ro "read-only"
type int int
type string string
type F func
type any interface
type I interface {
	imethod M F
}
type big array elem=int len=200
type wide array elem=int len=4
type M map key=string elem=wide
type C chan elem=string dir=3
type S slice elem=int
type T struct {
	field a int
	field b string
	method M F ifn=meth
}
itab I T
global g int
func meth frame=4 args=1 results=0 {
	point
	RET
}
func two frame=10 args=2 results=3 {
	point
	RETN r3, 3
}
`

// function puts lines into a valid function of 20 slots.
func function(lines string) string {
	return ruleTypes + "func main frame=20 args=0 results=0 {\n\tmaps auto\n" + lines + "\n\tRET\n}\n"
}

// brokenCode holds instructions that break one rule each.
var brokenCode = []struct {
	rule Rule
	name string
	text string
}{
	{RuleOpcode, "illegal", "ILL"},
	{RuleOpcode, "undefined number", "word 79"},
	{RuleReserved, "field n without use", "word 0x101"},
	{RuleReserved, "field a without use", "word 0x10001"},
	{RuleReserved, "field n too large", "MAPGET.2 r3, r4, r5, M"},
	{RuleReserved, "field a of JMP", "word 0x100010068\nNOP"},
	{RuleReserved, "rest of FMA's word", "FMA r3, r4, r5, {6 1}"},
	{RuleReserved, "rest of SLICESTR's word", "SLICESTR r3, r4, {_ _ _}"},
	{RuleReserved, "method of CALLC", "CALLC r8, r3, r4, 1, 0, 0"},
	{RuleSlot, "writes the return pc", "LDI r0, 1"},
	{RuleSlot, "writes the closure", "LDI r2, 1"},
	{RuleSlot, "reads the caller's frame", "MOV r3, r1"},
	{RuleSlot, "reads the closure without having one", "MOV r3, r2"},
	{RuleSlot, "first slot outside", "MOV r20, r3"},
	{RuleSlot, "second slot outside", "MOV2 r19, r3"},
	{RuleSlot, "third slot outside", "MOV3 r3, r18"},
	{RuleSlot, "counted slots outside", "MOVN r3, r10, 11"},
	{RuleSlot, "zeroed slots outside", "ZERO r3, 18"},
	{RuleSlot, "length of a slice outside", "LDX64 r3, r19, r4"},
	{RuleSlot, "LDN's slots outside", "LDN r18, r3, 0, 17"},
	{RuleSlot, "map value outside", "MAPGET r17, r4, r5, M"},
	{RuleSlot, "map value and presence outside", "MAPGET.1 r16, r4, r5, M"},
	{RuleSlot, "map key outside", "MAPDEL r3, r19, M"},
	{RuleSlot, "map iterator outside", "MAPITER r13, r3, M"},
	{RuleSlot, "map next outside", "MAPNEXT r14, r3, M"},
	{RuleSlot, "advanced map iterator outside", "MAPNEXT r3, r13, M"},
	{RuleSlot, "string iterator outside", "STRNEXT r3, r18"},
	{RuleSlot, "sent value outside", "SEND r3, r19, C"},
	{RuleSlot, "received value and ok outside", "RECV.1 r18, r3, C"},
	{RuleSlot, "select cases outside", "SELECT r3, r5, 8"},
	{RuleSlot, "compared value outside", "EQT r3, r17, r4, wide"},
	{RuleSlot, "other compared value outside", "EQT r3, r4, r17, wide"},
	{RuleSlot, "stored map key outside", "MAPSET r3, r19, r4, M"},
	{RuleSlot, "stored map value outside", "MAPSET r3, r4, r17, M"},
	{RuleSlot, "array's element outside", "FLDX r18, 24, r4, 24:1"},
	{RuleSlot, "comma-ok outside", "ASSERT.2 r18, r3, any"},
	{RuleSlot, "native's arguments outside", "NATIVE r3, r19, vm.n"},
	{RuleSlot, "native's results outside", "NATIVE r20, r3, vm.n"},
	{RuleSlot, "call's results outside", "CALL r8, r18, two"},
	{RuleSlot, "call's results in the header", "CALL r8, r1, two"},
	{RuleSlot, "slot of FMA's word outside", "FMA r3, r4, r5, {20}"},
	{RuleSlot, "bound of SLICE outside", "SLICE r3, r6, {_ 20 _ 4}"},
	{RuleSlot, "SLICE without element size", "SLICE r3, r6, {_ _ _ _}"},
	{RuleSlot, "funcval outside", "CALLC r8, r3, r20, 0, 0, 0"},
	{RuleSlot, "interface value outside", "CALLI r8, r3, r19, 0, 1, 0"},
	{RuleFrameByte, "misaligned", "FLD32U r3, 26"},
	{RuleFrameByte, "behind the frame", "FST8 r3, 160"},
	{RuleFrameByte, "array behind the frame", "FLDX r3, 96, r4, 8:9"},
	{RuleFrameByte, "copy behind the frame", "FCOPY 24, 152, 9"},
	{RuleSlot, "bytes of the header written", "FST8 r3, 23"},
	{RuleSlot, "copy into the header", "FCOPY 16, 24, 8"},
	{RuleSlot, "array over the header", "FSTX r3, 8, r4, 8:4"},
	{RuleOperand, "divisor 0", "DIVI r3, r4, 0"},
	{RuleOperand, "negative divisor", "REMI r3, r4, -1"},
	{RuleOperand, "loop variable is its limit", "x: INCJLTB r3, r3, x"},
	{RuleOperand, "step is the variable", "x: ADDJLTB r3, r4, x, {3}"},
	{RuleOperand, "no such trap", "TRAP 1000, r3"},
	{RuleExt, "global outside", "LDG r3, 17"},
	{RuleExt, "constant outside", "LDRO r3, 10"},
	{RuleExt, "string outside", "LDSTR r3, 5:5"},
	{RuleExt, "no such type", "LDT r3, #100"},
	{RuleExt, "type 0", "NEW r3, _"},
	{RuleExt, "no such function", "CALL r8, r3, #100"},
	{RuleExt, "function 0", "LDFN r3, _"},
	{RuleExt, "no such itab", "LDIT r3, #1"},
	{RuleExt, "no such native", "NATIVE r3, r4, #1"},
	{RuleExt, "too many bytes", "LDN r3, r4, 0, 4089"},
	{RuleExt, "huge copy", "COPYN r3, r4, 0x8000000000000"},
	{RuleExt, "array larger than any frame", "FSTX r3, 24, r4, 4:1000000"},
	{RuleExt, "huge elements", "FLDX r3, 24, r4, 0xffffffff:1"},
	{RuleExt, "huge elements of no array", "FLDX r3, 24, r4, 0xffffffff:0"},
	{RuleExt, "sign of 8 bytes", "FLDX.1 r3, 24, r4, 8:2"},
	{RuleExtType, "map of a chan", "MKMAP r3, r4, C"},
	{RuleExtType, "chan of a map", "CLOSE r3\nMKCHAN r3, r4, M"},
	{RuleExtType, "comparing slices", "EQT r3, r4, r8, S"},
	{RuleExtType, "assertion to a struct", "ASSERT r3, r5, T"},
	{RuleBranch, "forward form backward", "x: NOP\nJMP x"},
	{RuleBranch, "forward form to itself", "x: JT r3, x"},
	{RuleBranch, "backward form forward", "JMPB x\nx: NOP"},
	{RuleBranch, "into an extension word", "JMP +2\nLDK r3, 1"},
	{RuleBranch, "backward into an extension word", "LDK r3, 1\nJTB r3, -1"},
	{RuleBranch, "before the function", "JMPB -1"},
	{RuleBranch, "behind the function", "JMP +2"},
	{RuleCall, "wrong frame size", "word 0x13000300080 ; filled below"},
	{RuleCall, "window over the header", "CALL r2, r3, two"},
	{RuleCall, "arguments behind the frame", "CALL r16, r3, two"},
	{RuleCall, "funcval's arguments behind the frame", "CALLC r8, r3, r4, 0, 10, 0"},
	{RuleCall, "method without receiver", "CALLI r8, r3, r4, 0, 0, 0"},
	{RuleReturn, "too many results", "RET1 r3"},
	{RuleReturn, "counted results", "RETN r3, 2"},
	{RuleRunDefers, "no loop", "RUNDEFERS\nNOP\nNOP"},
	{RuleRunDefers, "loop to another place", "NOP\nRUNDEFERS\nJMPB -3\nNOP"},
}

func TestVerifyRejectsCode(t *testing.T) {
	for _, c := range brokenCode {
		t.Run(string(c.rule)+"/"+c.name, func(t *testing.T) {
			if c.name == "wrong frame size" {
				c.text = fmt.Sprintf("word %#x\nword 2", Word(OpCALL, 0, 8, 3, 19))
			}
			checkRule(t, function(c.text), c.rule)
		})
	}
}

func TestVerifyAcceptsBase(t *testing.T) {
	for _, text := range []string{
		"NOP", "TRAP 0, r0", "COPYN r3, r4, 100", "SLICESTR r3, r5, {_ _}", "FLDX r3, 25, r4, 8:2", "CALL r15, r3, two",
		"RUNDEFERS\nJMPB -2\nNOP", "MAPGET.1 r15, r4, r5, M", "RECV.1 r17, r3, C", "LDG r3, g", "LDSTR r3, \"added\"",
	} {
		m := assemble(t, function(text))
		if err := Verify(m); err != nil {
			t.Errorf("%s: %v", text, err)
		}
		checkTextRoundTrip(t, m)
	}
}

func assemble(t *testing.T, text string) *Module {
	t.Helper()
	m, err := Assemble(text)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// checkRule expects that Verify finds exactly this fault.
func checkRule(t *testing.T, text string, rule Rule) {
	t.Helper()
	checkFault(t, assemble(t, text), rule)
}

func checkFault(t *testing.T, m *Module, rule Rule) {
	t.Helper()
	err := Verify(m)
	var fault *VerifyError
	if !errors.As(err, &fault) || !errors.Is(err, ErrInvalid) {
		t.Fatalf("Verify returned %v, want a fault by rule %s", err, rule)
	}
	if fault.Rule != rule {
		t.Fatalf("%v: want rule %s", err, rule)
	}
}

// brokenText holds modules that break a rule outside instructions: a line of the base module, and what it becomes.
var brokenText = []struct {
	rule      Rule
	name      string
	old, with string
}{
	{RuleHook, "no entry", "entry main", ""},
	{RuleHook, "entry with arguments", "entry main", "entry meth"},
	{RuleHook, "entry that does not exist", "entry main", "entry #50"},
	{RuleHook, "trap with a wrong signature", "entry main", "entry main\ntrap two"},
	{RuleHook, "fatal panic with results", "entry main", "entry main\nfatalpanic two"},
	{RuleHook, "timer with a wrong signature", "entry main", "entry main\ntimerfire main"},
	{RuleHook, "entry with results", "entry main", "entry give\nfunc give frame=4 args=0 results=1 {\n\tpoint\n\tRET1 r3\n}"},
	{RuleSlot, "results outside", "RETN r3, 3", "RETN r8, 3"},
	{RuleSlot, "array over the closure", "func main frame=20 args=0 results=0 {\n\tmaps auto\nNOP", "func main closure frame=20 args=0 results=0 {\n\tmaps auto\nFSTX r3, 16, r4, 8:2"},
	{RuleNative, "no name", "native vm.n 2 1", "native \"\" 2 1"},
	{RuleNative, "too many slots", "native vm.n 2 1", "native vm.n 600 1"},
	{RuleLimits, "globals too large", "globals 16", "globals 0x1000000000"},
	{RuleGlobal, "misaligned", "global g int", "global g int at=4"},
	{RuleGlobal, "overlap", "global g int", "global g int at=0\nglobal h int at=0"},
	{RuleGlobal, "outside the segment", "global g int", "global g int at=16"},
	{RuleGlobal, "no such type", "global g int", "global g #99 at=0"},
	{RuleItab, "not an interface", "itab I T", "itab T T"},
	{RuleItab, "interface without methods", "itab I T", "itab any T"},
	{RuleItab, "method is missing", "itab I T", "itab I int"},
	{RuleItab, "no such type", "itab I T", "itab I #99"},
	{RuleTypeRef, "no such element", "type S slice elem=int", "type S slice elem=#99"},
	{RuleTypeRef, "no element", "type S slice elem=int", "type S slice size=24 align=8"},
	{RuleTypeRef, "no such parameter", "type F func", "type F func size=8 align=8 in=(#99)"},
	{RuleTypeRef, "pointer that is none", "type int int", "type int int size=8 align=8 comparable ptrto=string"},
	{RuleTypeKind, "element of an int", "type int int", "type int int elem=string"},
	{RuleTypeKind, "length of a slice", "type S slice elem=int", "type S slice elem=int len=2"},
	{RuleTypeKind, "channel without direction", "type C chan elem=string dir=3", "type C chan elem=string"},
	{RuleTypeKind, "direction 4", "type C chan elem=string dir=3", "type C chan elem=string dir=4"},
	{RuleTypeKind, "variadic without a slice", "type F func", "type F func in=(int) variadic"},
	{RuleTypeKind, "key is not comparable", "key=string elem=wide", "key=S elem=wide"},
	{RuleTypeKind, "comparable slice", "type S slice elem=int", "type S slice elem=int size=24 align=8 comparable"},
	{RuleTypeSize, "wrong size", "type string string", "type string string size=8 align=8 comparable"},
	{RuleTypeSize, "wrong alignment", "type string string", "type string string size=16 align=4 comparable"},
	{RuleTypeField, "wrong offset", "field b string", "field b string at=16"},
	{RuleMethods, "type of a method", "imethod M F", "imethod M int"},
	{RuleMethods, "unsorted", "imethod M F", "imethod M F\n\timethod A F"},
	{RuleMethods, "twice", "imethod M F", "imethod M F\n\timethod M F"},
	{RuleMethods, "unsorted method set", "method M F ifn=meth", "method a F\n\tmethod M F ifn=meth"},
	{RuleMethods, "slots of the receiver", "method M F ifn=meth", "method M F tfn=meth"},
	{RuleMethods, "results", "method M F ifn=meth", "method M F ifn=two"},
	{RuleMethods, "no such function", "method M F ifn=meth", "method M F ifn=#99"},
	{RuleMethods, "function without a type", "method M F ifn=meth", "method M _ ifn=meth"},
	{RuleFrame, "arguments outside", "func meth frame=4 args=1", "func meth frame=3 args=1"},
	{RuleFrame, "too large", "func meth frame=4", "func meth frame=512"},
	{RuleFrame, "too many results", "args=2 results=3", "args=2 results=600"},
	{RuleFallOff, "no code", "\tpoint\n\tRET\n", ""},
	{RuleFallOff, "no end", "\tpoint\n\tRET\n", "\tpoint\n\tNOP\n"},
	{RuleRunDefers, "nothing behind its loop", "\tpoint\n\tRET\n", "\tmaps auto\n\tRUNDEFERS\n\tJMPB -2\n"},
	{RuleFallOff, "no extension word", "\tpoint\n\tRET\n", "\tpoint\n\tword 8\n"},
	{RuleFallOff, "conditional end", "\tpoint\n\tRET\n", "\tpoint\n\tx: JTB r3, x\n"},
	{RuleTypeRef, "function's type", "func meth frame=4", "func meth type=int frame=4"},
	{RuleRecover, "flag without a point", "func meth frame=4", "func meth recover frame=4"},
	{RuleRecover, "point outside", "func meth frame=4", "func meth recover=9 frame=4"},
	{RuleRecover, "point in an extension word", "\tpoint\n\tRET\n", "\tpoint\n\tLDK r3, 5\n\tRET\n"},
	{RulePoints, "none at the entry", "\tpoint\n\tRET\n", "\tRET\n"},
	{RulePoints, "none at a safepoint", "\tpoint\n\tRET\n", "\tpoint\n\tNOP\n\tCLOSE r3\n\tRET\n"},
	{RulePoints, "none behind a blocking instruction", "\tpoint\n\tRET\n", "\tpoint\n\tNATIVE r3, #0\n\tRET\n"},
	{RulePoints, "none at a backward branch", "\tpoint\n\tRET\n", "\tpoint\nx: NOP\n\tJMPB x\n"},
	{RulePoints, "none at its target", "\tpoint\n\tRET\n", "\tpoint\n\tNOP\nx: NOP\n\tpoint\n\tJMPB x\n"},
	{RulePoints, "out of order", "\tpoint\n\tRET\n", "\tpoint\n\tpoint\n\tRET\n"},
	{RulePoints, "no such bitmap", "\tpoint\n\tRET\n", "\tpoint #0\n\tRET\n"},
	{RuleCalls, "none behind a call", "\tmaps auto\nNOP\n", "\tpoint\n\tCALL r8, r3, main\n"},
	{RuleCalls, "not behind a call", "\tpoint\n\tRET\n", "\tpoint\n\tcallmap\n\tRET\n"},
	{RuleBitmap, "behind the frame", "\tpoint\n\tRET\n", "\tpoint 4\n\tRET\n"},
	{RuleBitmap, "return pc", "\tpoint\n\tRET\n", "\tpoint 0\n\tRET\n"},
	{RuleBitmap, "too long", "\tpoint\n\tRET\n", "\tpoint 100\n\tRET\n"},
	{RuleAlways, "an argument", "\tpoint\n\tRET\n", "\talways 3\n\tpoint\n\tRET\n"},
	{RuleAlways, "behind the frame", "\tpoint\n\tRET\n", "\talways 4\n\tpoint\n\tRET\n"},
	{RuleLines, "no such file", "\tpoint\n\tRET\n", "\tpoint\n\tline 1:1\n\tRET\n"},
	{RuleLines, "out of order", "\tpoint\n\tRET\n", "\tpoint\n\tline 0:1\n\tline 0:2\n\tRET\n"},
	{RuleLines, "function's file", "func meth frame=4", "func meth file=1 frame=4"},
	{RuleVars, "outside the frame", "\tpoint\n\tRET\n", "\tparam p slot=3 type=string\n\tpoint\n\tRET\n"},
	{RuleVars, "no such type", "\tpoint\n\tRET\n", "\tlocal p slot=3 type=#99\n\tpoint\n\tRET\n"},
	{RuleVars, "outside the code", "\tpoint\n\tRET\n", "\tlocal p slot=3 from=0 to=2\n\tpoint\n\tRET\n"},
	{RuleVars, "ends before it begins", "\tpoint\n\tRET\n", "\tlocal p slot=3 from=1 to=0\n\tpoint\n\tRET\n"},
}

func TestVerifyRejectsModule(t *testing.T) {
	for _, c := range brokenText {
		t.Run(string(c.rule)+"/"+c.name, func(t *testing.T) {
			base := function("NOP")
			if strings.Count(base, c.old) == 0 {
				t.Fatalf("the base module has no %q", c.old)
			}
			text := strings.Replace(base, c.old, c.with, 1)
			if c.name == "point in an extension word" {
				text = strings.Replace(text, "func meth frame=4", "func meth recover=1 frame=4", 1)
			}
			text = strings.ReplaceAll(text, "NATIVE r3, #0", "NATIVE r3, r3, #1")
			text = strings.Replace(text, "native vm.n 2 1", "native vm.n 2 1\nnative vm.none 0 0", 1)
			checkRule(t, text, c.rule)
		})
	}
}

// brokenModule holds changes that text can't express, or whose text is too long.
var brokenModule = []struct {
	rule   Rule
	name   string
	change func(m *Module)
}{
	{RuleTypeRef, "pointer to another type", func(m *Module) {
		m.Types = append(m.Types, Type{Kind: Pointer, Elem: 2, Size: 8, Align: 8, Comparable: true})
		m.Types[1].PtrTo = TypeID(len(m.Types) - 1)
	}},
	{RuleGlobal, "overlap by a byte", func(m *Module) {
		m.Types = append(m.Types, Type{Kind: Bool, Size: 1, Align: 1, Comparable: true})
		m.Globals = append(m.Globals, Global{Name: "h", Type: TypeID(len(m.Types) - 1), Offset: 7})
	}},
	{RuleTypeRef, "no such field type", func(m *Module) { m.Types[typeCalled(m, "T")].Fields[0].Type = 99 }},
	{RuleTypeKind, "kind 0", func(m *Module) { m.Types[1].Kind = Invalid }},
	{RuleTypeKind, "kind 200", func(m *Module) { m.Types[1].Kind = 200 }},
	{RuleTypeCycle, "struct in itself", func(m *Module) { t := typeCalled(m, "T"); m.Types[t].Fields[0].Type = t }},
	{RuleTypeCycle, "array in itself", func(m *Module) { t := typeCalled(m, "big"); m.Types[t].Elem = t }},
	{RuleTypeCycle, "nested too deep", func(m *Module) {
		for range MaxTypeDepth + 2 {
			// Every array lies in the one before it, so that the first visit goes all the way down.
			m.Types = append(m.Types, Type{Kind: Array, Elem: TypeID(len(m.Types) + 1), Len: 1, Size: 8, Align: 8, Comparable: true})
		}
		m.Types = append(m.Types, Type{Kind: Int, Size: 8, Align: 8, Comparable: true})
	}},
	{RuleTypeSize, "larger than memory", func(m *Module) { m.Types[typeCalled(m, "big")].Len = 1 << 62 }},
	{RuleTypeSize, "sum larger than memory", func(m *Module) {
		big := typeCalled(m, "big")
		m.Types[big].Len = MaxTypeSize / 8
		m.Types = append(m.Types, Type{Kind: Struct, Fields: []Field{{Type: big}, {Type: big}}})
	}},
	{RuleLimits, "types", func(m *Module) { m.Types = make([]Type, MaxTypes+1) }},
	{RuleLimits, "functions", func(m *Module) { m.Funcs = make([]Func, MaxFuncs+1) }},
	{RuleLimits, "natives", func(m *Module) { m.Natives = make([]NativeRef, MaxNatives+1) }},
	{RuleLimits, "parts of a type", func(m *Module) { m.Types[1].In = make([]TypeID, MaxTypeParts+1) }},
	{RuleFrame, "unknown flag", func(m *Module) { m.Funcs[1].Flags = 1 << 12 }},
	{RuleExt, "word of RUNDEFERS", func(m *Module) {
		f := &m.Funcs[1]
		f.Code = []uint64{Word(OpRUNDEFERS, 0, 0, 0, f.Frame), 7, WordRel32(OpJMPB, -2), Word(OpRET, 0, 0, 0, 0)}
		f.Points = []StackMap{{0, 0}, {2, 0}}
		f.Calls = []StackMap{{2, 0}}
	}},
}

func typeCalled(m *Module, name string) TypeID {
	for i := range m.Types {
		if m.Types[i].Name == name {
			return TypeID(i)
		}
	}
	panic("no type " + name)
}

func TestVerifyRejectsChanged(t *testing.T) {
	for _, c := range brokenModule {
		t.Run(string(c.rule)+"/"+c.name, func(t *testing.T) {
			m := assemble(t, function("NOP"))
			c.change(m)
			checkFault(t, m, c.rule)
		})
	}
}

// Every rule has a test that breaks it.
func TestEveryRuleIsTested(t *testing.T) {
	tested := map[Rule]bool{}
	for _, c := range brokenCode {
		tested[c.rule] = true
	}
	for _, c := range brokenText {
		tested[c.rule] = true
	}
	for _, c := range brokenModule {
		tested[c.rule] = true
	}
	source, err := os.ReadFile("errors.go")
	if err != nil {
		t.Fatal(err)
	}
	rules := regexp.MustCompile(`Rule = "([a-z-]+)"`).FindAllStringSubmatch(string(source), -1)
	if len(rules) != len(tested) {
		t.Errorf("%d rules, %d tested", len(rules), len(tested))
	}
	for _, r := range rules {
		if !tested[Rule(r[1])] {
			t.Errorf("no test breaks rule %s", r[1])
		}
	}
}
