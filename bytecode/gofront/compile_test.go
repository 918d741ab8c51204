package gofront

import (
	"errors"
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront/load"
)

var rewrite = flag.Bool("rewrite", false, "write golden files anew")

func compileText(t *testing.T, text string) (*bytecode.Module, error) {
	t.Helper()
	f := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(f, []byte(text), 0o600))
	return Compile(Config{Patterns: []string{f}})
}

// TestGoldenCode pins the code of a few functions: what changes there is a change of the compiler.
func TestGoldenCode(t *testing.T) {
	m, err := Compile(Config{Patterns: []string{"testdata/shapes.go"}})
	require.NoError(t, err)
	require.NoError(t, bytecode.Verify(m))
	var all, got strings.Builder
	require.NoError(t, bytecode.Disassemble(m, &all))
	for _, f := range strings.Split(all.String(), "\nfunc ")[1:] {
		if !strings.HasPrefix(f, "main.") || strings.HasPrefix(f, "main.init ") || strings.HasPrefix(f, "main.main ") {
			continue
		}
		for _, line := range strings.Split(f, "\n") {
			line, _, _ = strings.Cut(line, ";") // numbers of functions and types depend on the library
			if s := strings.TrimRight(line, " \t"); s != "" && !strings.HasPrefix(s, "\tline ") {
				got.WriteString(s + "\n")
			}
		}
	}
	const golden = "testdata/shapes.golden"
	if *rewrite {
		require.NoError(t, os.WriteFile(golden, []byte(got.String()), 0o600))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
}

func TestSameSourcesSameModule(t *testing.T) {
	compile := func() []byte {
		m, err := Compile(Config{Patterns: []string{"../../testdata/go/types.go"}})
		require.NoError(t, err)
		b, err := bytecode.Encode(m)
		require.NoError(t, err)
		return b
	}
	require.Equal(t, compile(), compile())
}

func TestFrameTooLarge(t *testing.T) {
	params := "a0"
	for i := range 4 {
		params += ", a" + string(rune('1'+i))
	}
	_, err := compileText(t, "package main\n\ntype T [128]int\n\nfunc f("+params+" T) int { return a0[1] }\n\nvar g = f\n\nfunc main() { var t T; println(g(t, t, t, t, t)) }\n")
	require.Error(t, err)
	require.True(t, errors.Is(err, load.ErrProgram))
	require.Contains(t, err.Error(), "main.go:5:6: main.f: stack frame too large")
}

// TestBigVariablesLeaveTheFrame: variables that do not fit a frame together go to the heap.
func TestBigVariablesLeaveTheFrame(t *testing.T) {
	text := "package main\n\nfunc f(n int) int {\n\ts := 0\n"
	for i := range 12 {
		v := "v" + string(rune('a'+i))
		text += "\tvar " + v + " [60]int\n\tfor i := range " + v + " {\n\t\t" + v + "[i] = n + i\n\t}\n\ts += " + v + "[n]\n"
	}
	for i := range 12 {
		text += "\ts += v" + string(rune('a'+i)) + "[n+1]\n"
	}
	m, err := compileText(t, text+"\treturn s\n}\n\nfunc main() { println(f(3)) }\n")
	require.NoError(t, err)
	require.NoError(t, bytecode.Verify(m))
}

func TestTypeErrors(t *testing.T) {
	_, err := compileText(t, "package main\n\nfunc main() { x := 1; y = 2 }\n")
	require.ErrorIs(t, err, load.ErrProgram)
	require.Contains(t, err.Error(), "main.go:3:15: declared and not used: x")
	require.Contains(t, err.Error(), "main.go:3:23: undefined: y")
}

func TestTypesTooLarge(t *testing.T) {
	_, err := compileText(t, "package main\n\nvar a [1 << 60]int\n\nfunc main() {\n\tp := new([1<<63 - 1]byte)\n\tprintln(len(a), a[0], p[1], len(make([]struct{}, 1<<63-1)))\n}\n")
	require.ErrorIs(t, err, load.ErrProgram)
	require.Contains(t, err.Error(), "main.go:6:10: type [9223372036854775807]uint8 is too large")
	require.Contains(t, err.Error(), "type [1152921504606846976]int is too large")
	require.NotContains(t, err.Error(), "struct")
}

// TestUnknownNative: what the VM does not provide is found when a call of it is compiled.
func TestUnknownNative(t *testing.T) {
	f := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(f, []byte("package main\n\nimport \"runtime\"\n\nfunc main() {\n\tprintln(runtime.NumGoroutine())\n\truntime.GC()\n}\n"), 0o600))
	cfg := Config{Patterns: []string{f}, IsNative: func(name string) bool { return name != "runtime.GC" }}
	_, err := Compile(cfg)
	require.ErrorIs(t, err, load.ErrProgram)
	require.Contains(t, err.Error(), "main.go:7:12: call of runtime.GC, which has no body")
}

// TestHelloIsSmall guards the elimination of what a program does not use.
func TestHelloIsSmall(t *testing.T) {
	m, err := compileText(t, "package main\n\nfunc main() { println(\"hello\") }\n")
	require.NoError(t, err)
	require.Less(t, len(m.Funcs), 200)
	m, err = compileText(t, "package main\n\nimport \"fmt\"\n\nfunc main() { fmt.Println(\"hello\") }\n")
	require.NoError(t, err)
	require.Less(t, len(m.Funcs), 1700)
}
