package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront"
	"phantomvm/objectvm"
)

// loadProgram compiles a program, or reads a module that was built before. It returns the module and its bytes.
func loadProgram(what []string) (*bytecode.Module, []byte, error) {
	if len(what) == 1 && strings.HasSuffix(what[0], ".pbc") {
		return readModule(what[0])
	}
	cfg, err := source(what)
	if err != nil {
		return nil, nil, &exitError{exitCompile, err}
	}
	defer progress("compiling " + strings.Join(what, " "))()
	mod, err := gofront.Compile(cfg)
	if err != nil {
		return nil, nil, &exitError{exitCompile, err}
	}
	if err := bytecode.Verify(mod); err != nil {
		return nil, nil, fail(exitCompile, "internal compiler error: %w", err)
	}
	code, err := bytecode.Encode(mod)
	if err != nil {
		return nil, nil, &exitError{exitCompile, err}
	}
	return mod, code, nil
}

// source says what is to be compiled. In a directory that belongs to no module the .go files are the program.
func source(what []string) (gofront.Config, error) {
	cfg := gofront.Config{Patterns: what, IsNative: objectvm.IsNative}
	for _, w := range what {
		if !strings.HasSuffix(w, ".go") {
			continue
		}
		if _, err := os.Stat(w); err != nil {
			return cfg, err
		}
	}
	if len(what) > 1 {
		return cfg, nil
	}
	st, err := os.Stat(what[0])
	if err != nil || !st.IsDir() {
		return cfg, nil // an import path
	}
	if inModule(what[0]) {
		return cfg, nil
	}
	files, err := filepath.Glob(filepath.Join(what[0], "*.go"))
	if err != nil {
		return cfg, err
	}
	cfg.Patterns = slices.DeleteFunc(files, func(f string) bool { return strings.HasSuffix(f, "_test.go") })
	if len(cfg.Patterns) == 0 {
		return cfg, fmt.Errorf("no Go files in %s", what[0])
	}
	return cfg, nil
}

// inModule says whether a go.mod stands in dir or above.
func inModule(dir string) bool {
	dir, err := filepath.Abs(dir)
	for err == nil {
		if _, serr := os.Stat(filepath.Join(dir, "go.mod")); serr == nil {
			return true
		}
		if dir == filepath.Dir(dir) {
			break
		}
		dir = filepath.Dir(dir)
	}
	return false
}

// instructions counts a verified module's instructions.
func instructions(mod *bytecode.Module) (n int) {
	for i := range mod.Funcs {
		code := mod.Funcs[i].Code
		for pc := 0; pc < len(code); pc += bytecode.WordOp(code[pc]).Len() {
			n++
		}
	}
	return n
}

func readModule(path string) (*bytecode.Module, []byte, error) {
	code, err := os.ReadFile(path)
	if err != nil {
		return nil, nil, &exitError{exitUsage, err}
	}
	mod, err := bytecode.Decode(code)
	if err == nil {
		err = bytecode.Verify(mod)
	}
	if err != nil {
		return nil, nil, fail(exitData, "%s: %w", path, err)
	}
	return mod, code, nil
}

func newBuild() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "build [-o FILE.pbc] PACKAGE|FILES",
		Short:   "Compile a Go program to a phantom bytecode module",
		Example: "  phantom-vm build -o counter.pbc ./examples/counter",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			mod, code, err := loadProgram(args)
			if err != nil {
				return err
			}
			if out == "" {
				out = programName(args) + ".pbc"
			}
			if err := os.WriteFile(out, code, 0o600); err != nil {
				return &exitError{exitFailed, err}
			}
			fmt.Fprintf(os.Stderr, "built  %s  ->  %s (%d functions, %d instructions, %d bytes)\n",
				strings.Join(args, " "), out, len(mod.Funcs)-1, instructions(mod), len(code))
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "module `file` (default NAME.pbc)")
	return cmd
}

func newDisasm() *cobra.Command {
	return &cobra.Command{
		Use:     "disasm FILE.pbc",
		Short:   "Print a module as assembly text",
		Example: "  phantom-vm disasm counter.pbc | less",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mod, _, err := readModule(args[0])
			if err != nil {
				return err
			}
			return bytecode.Disassemble(mod, cmd.OutOrStdout())
		},
	}
}

func newAsm() *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:     "asm [-o FILE.pbc] FILE",
		Short:   "Assemble a module from text",
		Example: "  phantom-vm disasm a.pbc > a.pasm && phantom-vm asm -o b.pbc a.pasm",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			src, err := os.ReadFile(args[0])
			if err != nil {
				return &exitError{exitUsage, err}
			}
			mod, err := bytecode.Assemble(string(src))
			if err == nil {
				err = bytecode.Verify(mod)
			}
			if err != nil {
				return fail(exitCompile, "%s: %w", args[0], err)
			}
			code, err := bytecode.Encode(mod)
			if err != nil {
				return fail(exitCompile, "%s: %w", args[0], err)
			}
			if out == "" {
				out = strings.TrimSuffix(programName(args), ".pasm") + ".pbc"
			}
			if err := os.WriteFile(out, code, 0o600); err != nil {
				return &exitError{exitFailed, err}
			}
			return nil
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "module `file` (default NAME.pbc)")
	return cmd
}

// size is a flag value in bytes: 256M, 64G, 1048576.
type size uint64

var errSize = errors.New("want a number of bytes, with K, M, G or T behind it if you like")

func (s *size) Set(text string) error {
	n := strings.TrimSuffix(strings.TrimSuffix(strings.ToUpper(text), "B"), "I")
	shift := 0
	if n != "" {
		if i := strings.IndexByte("KMGT", n[len(n)-1]); i >= 0 {
			shift, n = 10*(i+1), n[:len(n)-1]
		}
	}
	v, err := strconv.ParseUint(n, 10, 64)
	if err != nil || v<<shift>>shift != v {
		return errSize
	}
	*s = size(v << shift)
	return nil
}

func (s *size) String() string {
	v := uint64(*s)
	for i, unit := range []string{"", "K", "M", "G", "T"} {
		if v%1024 != 0 || v == 0 || i == 4 {
			return strconv.FormatUint(v, 10) + unit
		}
		v /= 1024
	}
	return ""
}

func (s *size) Type() string { return "size" }
