package main

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"phantomvm/bench/result"
)

var programs = []string{"fib", "sieve", "nbody", "matmul", "trees", "bytes"}

// way is one way to run a program of the suite.
type way struct {
	name string
	argv func(program ...string) []string
}

// under runs a program in a new instance.
func (b *bench) under(monitor string, flags ...string) func(...string) []string {
	return func(program ...string) []string {
		argv := []string{b.vm, "run", "--quiet", "--monitor", monitor, "--dir", filepath.Join(b.tmp, "i.phantom"), "--fresh"}
		return append(append(append(argv, flags...), b.suite, "--"), program...)
	}
}

// speed compares the interpreter with native code and Lua, write barrier and 10 ms checkpoints on.
func (b *bench) speed(g *result.Group) error {
	native := filepath.Join(b.tmp, "suite")
	if err := b.command(os.Stderr, "go", "build", "-o", native, "./bench/suite"); err != nil {
		return err
	}
	ways := []way{{"native", func(p ...string) []string { return append([]string{native}, p...) }}}
	for _, m := range b.monitors {
		ways = append(ways, way{"phantom-vm, " + m, b.under(m)})
	}
	if lua := findLua(); lua != "" {
		ways = append(ways, way{"Lua 5.4", func(p ...string) []string { return append([]string{lua, "bench/suite.lua"}, p...) }})
	} else {
		g.Notes = append(g.Notes, "Lua: left out, no lua5.4 here (Debian: apt-get install lua5.4).")
	}
	t := result.Table{Title: "Times native Go, durable checkpoints every 10 ms", Columns: result.Cols("program", "native, ms:1")}
	for _, w := range ways[1:] {
		t.Columns = append(t.Columns, result.Column{Name: w.name, Digits: 1})
	}
	logs := make([]float64, len(ways))
	for _, p := range programs {
		all, err := b.interleaved(ways, b.runs, p)
		if err != nil {
			return err
		}
		best := leasts(all)
		row := []any{p, best[0]}
		for i, ms := range best {
			logs[i] += math.Log(ms / best[0])
			if i > 0 {
				row = append(row, ms/best[0])
			}
		}
		t.Add(row...)
	}
	row := []any{"geometric mean", ""}
	for _, l := range logs[1:] {
		row = append(row, math.Exp(l/float64(len(programs))))
	}
	t.Add(row...)
	g.Tables = append(g.Tables, t)
	g.Notes = append(g.Notes, fmt.Sprintf("Least of %d interleaved runs, by the program's own clock.", b.runs))
	return nil
}

// leasts is the least of each.
func leasts(all [][]float64) []float64 {
	best := make([]float64, len(all))
	for i := range all {
		best[i] = result.Least(all[i])
	}
	return best
}

// interleaved runs a program in all ways in turn and returns the times of each in ms.
func (b *bench) interleaved(ways []way, runs int, program ...string) ([][]float64, error) {
	all := make([][]float64, len(ways))
	for r := range runs {
		for k := range ways {
			i := (k + r) % len(ways) // nobody is always the first
			b.progress.say("%s, %s, run %d of %d", strings.Join(program, " "), ways[i].name, r+1, runs)
			ms, err := b.time(ways[i].argv(program...))
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", program, ways[i].name, err)
			}
			all[i] = append(all[i], ms)
		}
	}
	return all, nil
}

var timeLine = regexp.MustCompile(`(?m)^([0-9.]+) ms$`)

// time runs a program that prints its time, and removes its instance.
func (b *bench) time(argv []string) (float64, error) {
	defer b.clear()
	var out bytes.Buffer
	if err := b.command(&out, argv...); err != nil {
		return 0, err
	}
	m := timeLine.FindSubmatch(out.Bytes())
	if m == nil {
		return 0, errors.New("no time in the output")
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

func (b *bench) clear() {
	old, _ := filepath.Glob(filepath.Join(b.tmp, "i.phantom*")) //nolint:errcheck // the pattern is good
	for _, d := range old {
		os.RemoveAll(d)
	}
}

func findLua() string {
	for _, n := range []string{"lua5.4", "lua"} {
		if p, err := exec.LookPath(n); err == nil {
			if v, err := exec.Command(p, "-v").CombinedOutput(); err == nil && strings.HasPrefix(string(v), "Lua 5.4") {
				return p
			}
		}
	}
	return ""
}
