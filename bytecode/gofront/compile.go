package gofront

import (
	"fmt"
	"go/token"
	"strings"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront/load"
)

// Config says what to compile. Patterns is all that must be set.
type Config struct {
	Patterns []string // one package (path, directory) or .go files of one package
	Dir      string   // directory that Patterns are relative to; "" is the current one
	Env      []string // environment of the go command; nil is the current one
	GoCmd    string   // the go command; "" is "go"
	Tags     []string // build tags besides those of the target

	// IsNative says which functions without a body the virtual machine provides. A call of
	// another one is an error; with nil it shows when the module is loaded.
	IsNative func(name string) bool
}

// Diagnostic is one thing that is wrong with a program.
type Diagnostic struct {
	Pos  token.Position
	Text string
}

func (d Diagnostic) String() string {
	if !d.Pos.IsValid() {
		return d.Text
	}
	return fmt.Sprintf("%s: %s", d.Pos, d.Text)
}

func (d Diagnostic) less(e Diagnostic) bool {
	if d.Pos.Filename != e.Pos.Filename {
		return d.Pos.Filename < e.Pos.Filename
	}
	return d.Pos.Offset < e.Pos.Offset
}

// CompileError lists constructs that can't be compiled. It wraps load.ErrProgram.
type CompileError struct{ Diagnostics []Diagnostic }

func (e *CompileError) Error() string {
	lines := make([]string, len(e.Diagnostics))
	for i, d := range e.Diagnostics {
		lines[i] = d.String()
	}
	return strings.Join(lines, "\n")
}

// Unwrap makes errors.Is(err, load.ErrProgram) true.
func (e *CompileError) Unwrap() error { return load.ErrProgram }

// Compile loads, checks and compiles a program. Errors about the program wrap
// load.ErrProgram; their text is what the go command would print, one per line.
// The same sources give the same module.
func Compile(cfg Config) (*bytecode.Module, error) {
	p, err := load.Load(load.Config{Args: cfg.Patterns, Dir: cfg.Dir, Env: cfg.Env, GoCmd: cfg.GoCmd, Tags: cfg.Tags})
	if err != nil {
		return nil, err
	}
	c := newLinker(p)
	c.isKnown = cfg.IsNative
	if err := c.link(); err != nil {
		return nil, err
	}
	return c.mod, nil
}
