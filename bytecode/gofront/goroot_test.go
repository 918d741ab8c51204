package gofront_test

import (
	"bufio"
	"fmt"
	"go/build"
	"go/build/constraint"
	"os"
	"path/filepath"
	"runtime/debug"
	"strings"
	"testing"
	"time"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront"
	"phantomvm/objectvm"
)

// TestGoroot runs the programs of the Go distribution's own tests that match the
// pattern GOFRONT_GOROOT ("*" for all): those of kind "// run" without arguments
// have to exit with 0 and print what their .out file says.
func TestGoroot(t *testing.T) {
	pattern := os.Getenv("GOFRONT_GOROOT")
	if pattern == "" {
		t.Skip("GOFRONT_GOROOT is not set")
	}
	root := filepath.Join(build.Default.GOROOT, "test")
	var files []string
	for _, p := range strings.Fields(pattern) {
		fs, _ := filepath.Glob(filepath.Join(root, p+".go"))
		files = append(files, fs...)
	}
	pass, fail := 0, 0
	for _, f := range files {
		if !isRun(f) {
			continue
		}
		name, _ := filepath.Rel(root, f)
		if msg := runGoroot(f); msg != "" {
			fail++
			fmt.Printf("FAIL %s: %s\n", name, msg)
		} else {
			pass++
		}
	}
	fmt.Printf("%d passed, %d failed\n", pass, fail)
}

func isRun(file string) bool {
	f, err := os.Open(file)
	if err != nil {
		return false
	}
	defer f.Close()
	s := bufio.NewScanner(f)
	isRun := false
	for s.Scan() && (s.Text() == "" || strings.HasPrefix(s.Text(), "//")) {
		line := strings.TrimSpace(s.Text())
		isRun = isRun || line == "// run"
		if x, err := constraint.Parse(line); err == nil && !x.Eval(isTarget) {
			return false
		}
	}
	return isRun
}

// isTarget: the build tag holds for gc on amd64 without cgo, whose behaviour is to be matched.
func isTarget(tag string) bool {
	return tag == "gc" || tag == "amd64" || tag == "linux" || tag == "unix" || strings.HasPrefix(tag, "go1.")
}

func first(s string, n int) string {
	s = strings.TrimSpace(s)
	if len(s) > n {
		s = s[:n]
	}
	return strings.ReplaceAll(s, "\n", " | ")
}

func runGoroot(file string) (msg string) {
	defer func() {
		if e := recover(); e != nil {
			msg = fmt.Sprintf("host panic: %v %s", e, first(string(debug.Stack()), 1500))
		}
	}()
	m, err := gofront.Compile(gofront.Config{Patterns: []string{file}, IsNative: objectvm.IsNative})
	if err != nil {
		return "compile: " + first(err.Error(), 300)
	}
	if err := bytecode.Verify(m); err != nil {
		return "verify: " + first(err.Error(), 300)
	}
	r, err := runVM(m, 10*time.Second)
	if err != nil {
		return "run: " + first(err.Error(), 300)
	}
	if r.code != 0 {
		return fmt.Sprintf("exit %d: %s %s", r.code, first(r.stdout, 200), first(r.stderr, 300))
	}
	if want, err := os.ReadFile(strings.TrimSuffix(file, ".go") + ".out"); err == nil && string(want) != r.stdout+r.stderr {
		return "output: " + first(r.stdout+r.stderr, 300)
	}
	return ""
}

// TestRunFile runs the program GOFRONT_RUN in the VM and prints what it printed.
func TestRunFile(t *testing.T) {
	file := os.Getenv("GOFRONT_RUN")
	if file == "" {
		t.Skip("GOFRONT_RUN names no program")
	}
	m, err := gofront.Compile(gofront.Config{Patterns: strings.Fields(file)})
	if err != nil {
		t.Fatal(err)
	}
	start := time.Now()
	r, err := runVM(m, 100*time.Second)
	fmt.Printf("--- stdout\n%s--- stderr\n%s--- code %d, error %v, %v\n", r.stdout, r.stderr, r.code, err, time.Since(start))
}
