package bytecode

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

var writeGolden = flag.Bool("golden", false, "write testdata/v1.pbc; only right while version 1 is not in use")

func asmFiles(t testing.TB) map[string]string {
	t.Helper()
	paths, err := filepath.Glob("testdata/asm/*.pasm")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no assembler texts: %v", err)
	}
	files := map[string]string{}
	for _, p := range paths {
		data, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		files[filepath.Base(p)] = string(data)
	}
	return files
}

func TestHandWrittenText(t *testing.T) {
	for name, text := range asmFiles(t) {
		t.Run(name, func(t *testing.T) {
			m := assemble(t, text)
			if err := Verify(m); err != nil {
				t.Fatal(err)
			}
			checkTextRoundTrip(t, m)
		})
	}
}

// A file of version 1 is read for ever, and version 1 writes no other bytes.
func TestGoldenContainer(t *testing.T) {
	m := assemble(t, asmFiles(t)["v1.pasm"])
	if *writeGolden {
		if err := os.WriteFile("testdata/v1.pbc", mustEncode(t, m), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	golden, err := os.ReadFile("testdata/v1.pbc")
	if err != nil {
		t.Fatal(err)
	}
	decoded, err := Decode(golden)
	if err != nil {
		t.Fatal(err)
	}
	var was, is bytes.Buffer
	_ = Disassemble(decoded, &was)
	_ = Disassemble(m, &is)
	if was.String() != is.String() {
		t.Errorf("the golden module reads as\n%s", was.String())
	}
	if WriteVersion == 1 && !bytes.Equal(mustEncode(t, m), golden) {
		t.Error("version 1 is written differently now")
	}
}

func TestAssemblerErrors(t *testing.T) {
	in := func(lines string) string { return "func f frame=9 args=0 results=0 {\n" + lines + "\n}\n" }
	for _, c := range []struct {
		name, text, want string
	}{
		{"statement", "module a\nbogus", "line 2:1: unknown statement"},
		{"string", "module \"a", "line 1:8: bad string"},
		{"open block", "type a struct {\nfield x a", "line 1:1: block is not closed"},
		{"block of a file", "file a {\nx\n}", "only types and functions"},
		{"kind", "type a thing", "line 1:8: unknown kind"},
		{"type", "global g nowhere", "line 1:10: there is no type"},
		{"two types", "type a int\ntype a int\nglobal g a", "line 3:10: several types are called"},
		{"attribute", "type a int color=3", "line 1:12: unknown attribute"},
		{"hash", "module a source=12", "not 64 hexadecimal digits"},
		{"cycle", "type b int\ntype a struct {\nfield x a\n}", "line 2:1"},
		{"left over", "entry _ x", "line 1:9: unexpected \"x\""},
		{"instruction", in("FROB r1"), "line 2:1: unknown instruction"},
		{"suffix", in("ADD.1 r3, r4, r5"), "bad suffix"},
		{"comma", in("ADD r3 r4, r5"), "line 2:8: \",\" expected"},
		{"slot", in("MOV r3, 4"), "line 2:9: slot expected"},
		{"immediate", in("LDI r3, 40000"), "not an integer of 16 bits"},
		{"offset", in("LD64 r3, r4, -1"), "not a number"},
		{"label", in("JMP nowhere"), "line 2:5: there is no label"},
		{"two labels", in("a: NOP\na: NOP"), "line 3:1: label"},
		{"too far", in("a: NOP\nJMPB -4000000000"), "not an integer"},
		{"far label", in("a:" + strings.Repeat("NOP\n", 40000) + "JTB r3, a"), "branch is too far"},
		{"five slots", in("SLICE r3, r4, {1 2 3 4 5}"), "at most four"},
		{"native", in("NATIVE r3, r4, vm.none"), "there is no native"},
		{"map slot", in("point 5000"), "not a number"},
	} {
		_, err := Assemble(c.text)
		var e *AsmError
		if !errors.As(err, &e) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error %v, want %q", c.name, err, c.want)
		}
	}
}
