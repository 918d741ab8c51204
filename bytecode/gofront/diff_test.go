package gofront_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront"
	"phantomvm/objectvm"
)

// The differential tests compile every program under testdata/go, run it in the
// VM and natively, and compare output, exit code and the text of an uncaught panic.

type wallClock struct{}

func (wallClock) Now() int64 { return time.Now().UnixNano() }

type result struct {
	stdout, stderr string
	code           int
}

// runVM runs a module until it ends.
func runVM(m *bytecode.Module, limit time.Duration) (result, error) {
	var r result
	data, err := bytecode.Encode(m)
	if err != nil {
		return r, err
	}
	a, err := objectvm.MapArena()
	if err != nil {
		return r, err
	}
	defer a.Unmap()
	vm, err := objectvm.New(a, data, objectvm.Config{Clock: wallClock{}, Barrier: openAll{}, Args: []string{"prog"}, GCStress: os.Getenv("GOFRONT_GCSTRESS") != ""})
	if err != nil {
		return r, err
	}
	defer vm.Close()
	var out [3]bytes.Buffer
	drain := func() error {
		for s := 1; s <= 2; s++ {
			from, to := vm.OutputRange(s)
			if from == to {
				continue
			}
			b, err := vm.Output(s, from)
			if err != nil {
				return err
			}
			out[s].Write(b)
			if err := vm.Trim(s, from+uint64(len(b))); err != nil {
				return err
			}
		}
		return nil
	}
	for end := time.Now().Add(limit); ; {
		st := vm.RunSlice(100_000)
		if err := drain(); err != nil {
			return r, err
		}
		switch st.Kind {
		case objectvm.Running:
		case objectvm.Idle:
			time.Sleep(min(time.Until(time.Unix(0, st.Until)), 10*time.Millisecond))
		case objectvm.Exited:
			return result{out[1].String(), out[2].String(), st.Code}, nil
		default:
			return r, errors.Join(errors.New("the VM can't go on; stderr: "+out[2].String()), st.Err)
		}
		if time.Now().After(end) {
			return r, errors.New("timeout; stdout: " + out[1].String() + " stderr: " + out[2].String())
		}
	}
}

// runGo runs a program with the Go toolchain.
func runGo(t *testing.T, bin string, files ...string) result {
	t.Helper()
	build := exec.Command("go", append([]string{"build", "-o", bin}, files...)...)
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		r.code = ee.ExitCode()
	} else {
		require.NoError(t, err)
	}
	return r
}

// message is the part of standard error before the first goroutine's stack.
func message(s string) string {
	if i := strings.Index(s, "\ngoroutine "); i >= 0 {
		s = s[:i]
	}
	return s
}

func TestDifferential(t *testing.T) {
	dir := "../../testdata/go"
	if d := os.Getenv("GOFRONT_DIFF"); d != "" {
		dir = d
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			m, err := gofront.Compile(gofront.Config{Patterns: []string{f}, IsNative: objectvm.IsNative})
			require.NoError(t, err)
			require.NoError(t, bytecode.Verify(m))
			got, err := runVM(m, 60*time.Second)
			require.NoError(t, err)
			want := runGo(t, filepath.Join(t.TempDir(), "prog"), f)
			require.Equal(t, want.stdout, got.stdout)
			require.Equal(t, message(want.stderr), message(got.stderr))
			require.Equal(t, want.code, got.code)
		})
	}
}

// TestPackages: several packages with initialisers, in a module of their own.
func TestPackages(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":     "module example.com/m\n\ngo 1.26\n",
		"main.go":    "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/m/b\"\n\t\"example.com/m/z/a\"\n)\n\nvar x = say(\"main.x\", y)\nvar y = say(\"main.y\", 1)\n\nfunc say(s string, n int) int { fmt.Println(s); return n + 1 }\n\nfunc init() { fmt.Println(\"main init 1\", x, y) }\n\nfunc init() { fmt.Println(\"main init 2\") }\n\nfunc main() { fmt.Printf(\"%v %T %v\\n\", b.V, a.Box[b.T]{}, a.Sum(1, 2)) }\n",
		"b/b.go":     "package b\n\nimport (\n\t\"fmt\"\n\n\t\"example.com/m/z/a\"\n)\n\ntype T struct{ n int }\n\nfunc (t T) String() string { return fmt.Sprint(\"T\", t.n) }\n\nvar V = func() T { fmt.Println(\"b.V\", a.N); return T{a.N} }()\n\nfunc init() { fmt.Println(\"b init\"); a.N++ }\n",
		"z/a/a.go":   "package a\n\nimport \"fmt\"\n\nvar N = 40\n\ntype Box[T any] struct{ v T }\n\nfunc Sum[T int | string](xs ...T) (s T) {\n\tfor _, x := range xs {\n\t\ts += x\n\t}\n\treturn\n}\n\nfunc init() { fmt.Println(\"a init\", N); N++ }\n",
		"z/a/a_2.go": "package a\n\nimport \"fmt\"\n\nvar unused = fmt.Sprint(\"kept\", N)\n\nfunc init() { fmt.Println(\"a_2\", unused) }\n",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o700))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	m, err := gofront.Compile(gofront.Config{Patterns: []string{"."}, Dir: dir})
	require.NoError(t, err)
	got, err := runVM(m, 60*time.Second)
	require.NoError(t, err)
	cmd := exec.Command("go", "run", ".")
	cmd.Dir = dir
	want, err := cmd.Output()
	require.NoError(t, err)
	require.Equal(t, string(want), got.stdout)
}

// TestLongBranches: a loop whose body is longer than a short branch reaches.
func TestLongBranches(t *testing.T) {
	var b strings.Builder
	b.WriteString("package main\n\n//go:noinline\nfunc step(x, n int) int { return x*31 + n }\n\nfunc main() {\n\tx, f := 1, 0.5\n\tfor i := 0; i < 3; i++ {\n\t\tif x == 12345 {\n\t\t\tcontinue\n\t\t}\n")
	for i := range 9000 {
		fmt.Fprintf(&b, "\t\tx = step(x, %d)\n", i*10000)
	}
	b.WriteString("\t\tif f > 100 {\n\t\t\tbreak\n\t\t}\n\t\tf *= 20\n\t}\n\tprintln(x, f)\n}\n")
	file := filepath.Join(t.TempDir(), "main.go")
	require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o600))
	m, err := gofront.Compile(gofront.Config{Patterns: []string{file}, IsNative: objectvm.IsNative})
	require.NoError(t, err)
	require.NoError(t, bytecode.Verify(m))
	got, err := runVM(m, 60*time.Second)
	require.NoError(t, err)
	require.Equal(t, runGo(t, filepath.Join(t.TempDir(), "prog"), file), got)
}
