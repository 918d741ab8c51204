package load

import (
	"errors"
	"fmt"
	"go/scanner"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

var (
	// ErrToolchain says that the Go distribution is missing or has the wrong version.
	ErrToolchain = errors.New("unusable Go toolchain")
	// ErrProgram is wrapped by every error that is the program's own fault.
	ErrProgram = errors.New("program does not compile")
)

// CompileError says what is wrong with a program, line by line as the go
// command prints it. It wraps ErrProgram.
type CompileError struct{ Text string }

func (e *CompileError) Error() string { return e.Text }

// Unwrap makes errors.Is(err, ErrProgram) true.
func (e *CompileError) Unwrap() error { return ErrProgram }

func compileErrorf(format string, args ...any) error {
	return &CompileError{Text: fmt.Sprintf(format, args...)}
}

func compileErrors(lines []string) error {
	if len(lines) == 0 {
		return nil
	}
	return &CompileError{Text: strings.Join(lines, "\n")}
}

// syntaxReport returns the syntax errors of all packages as one error.
func (l *loader) syntaxReport() error {
	var lines []string
	for _, path := range sortedKeys(l.pkgs) {
		p := l.pkgs[path]
		if len(p.parseErrs) == 0 {
			continue
		}
		lines = append(lines, "# "+path)
		if fromGC := l.compilerSyntaxErrors(p); fromGC != nil {
			lines = append(lines, fromGC...)
		} else {
			lines = append(lines, l.parserErrors(p)...)
		}
	}
	return compileErrors(lines)
}

// compilerSyntaxErrors asks gc, whose messages are better than the parser's
// and are those that programmers know. It stops before it looks at imports.
func (l *loader) compilerSyntaxErrors(p *Package) []string {
	u := l.user[p.Path]
	if u == nil {
		return nil
	}
	// gc removes its output file when it fails, so that the file must be one
	// that may vanish: never os.DevNull, which a user with the rights would lose.
	tmp, err := os.MkdirTemp("", "phantom-syntax-")
	if err != nil {
		return nil
	}
	defer os.RemoveAll(tmp)
	args := []string{"tool", "compile", "-p", "main", "-o", filepath.Join(tmp, "out.o")}
	for _, name := range u.GoFiles {
		args = append(args, absIn(u.Dir, name))
	}
	name := l.cfg.GoCmd
	if name == "" {
		name = "go"
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = l.dir
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), ": syntax error: ") && !strings.Contains(string(out), ".go:") {
		return nil
	}
	var lines []string
	for _, line := range strings.Split(strings.TrimSpace(string(out)), "\n") {
		if file, rest, ok := strings.Cut(line, ".go:"); ok {
			line = l.rel(file+".go") + ":" + rest
		}
		lines = append(lines, line)
	}
	return lines
}

func (l *loader) parserErrors(p *Package) []string {
	var lines []string
	for _, err := range p.parseErrs {
		var list scanner.ErrorList
		if !errors.As(err, &list) {
			lines = append(lines, err.Error())
			continue
		}
		for _, e := range list {
			if len(lines) == maxErrors {
				return append(lines, "too many errors")
			}
			lines = append(lines, fmt.Sprintf("%s:%d:%d: syntax error: %s", l.rel(e.Pos.Filename), e.Pos.Line, e.Pos.Column, e.Msg))
		}
	}
	return lines
}
