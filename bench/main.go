// Command bench measures phantom-vm beside its peers, in one run: `make bench`.
// Each figure is the least of several interleaved runs, and what counts are ratios.
package main

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

var names = []string{"fib", "sieve", "nbody", "matmul", "trees", "bytes"}

// engine is one way to run a program of the suite.
type engine struct {
	name string
	argv func(program string) []string
}

type bench struct {
	vm, module, native, tmp string
	runs                    int
}

func main() {
	runs := flag.Int("runs", 5, "runs of each program and engine")
	flag.Parse()
	if err := run(*runs); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(runs int) error {
	tmp, err := os.MkdirTemp("", "phantom-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := &bench{vm: os.Getenv("PHANTOM_VM"), module: filepath.Join(tmp, "suite.pbc"), native: filepath.Join(tmp, "suite"), tmp: tmp, runs: runs}
	if b.vm == "" {
		b.vm = "bin/phantom-vm"
	}
	if out, err := exec.Command(b.vm, "build", "-o", b.module, "./bench/suite").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	if out, err := exec.Command("go", "build", "-o", b.native, "./bench/suite").CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	mons := b.monitors()
	if err := b.speed(mons); err != nil {
		return err
	}
	if err := b.start(mons); err != nil {
		return err
	}
	return b.checkpoints(mons)
}

// monitors are those that work here.
func (b *bench) monitors() []string {
	out, err := exec.Command(b.vm, "doctor", "--json").Output()
	if err == nil && regexp.MustCompile(`"kvm",\s*"ok": true`).Match(out) {
		return []string{"process", "kvm"}
	}
	fmt.Println("kvm: skipped, /dev/kvm can't be used")
	return []string{"process"}
}

func (b *bench) run(mon string, extra ...string) func(string) []string {
	return func(program string) []string {
		argv := []string{b.vm, "run", "--quiet", "--monitor", mon, "--dir", filepath.Join(b.tmp, "i.phantom"), "--fresh"}
		return append(append(argv, extra...), b.module, "--", program)
	}
}

// speed compares the interpreter with native code and Lua, write barrier and 10 ms checkpoints on.
func (b *bench) speed(mons []string) error {
	engines := []engine{{"native", func(p string) []string { return []string{b.native, p} }}}
	for _, m := range mons {
		engines = append(engines, engine{m, b.run(m)})
	}
	if lua := findLua(); lua != "" {
		engines = append(engines, engine{"lua", func(p string) []string { return []string{lua, "bench/suite.lua", p} }})
	} else {
		fmt.Println("lua: skipped, no lua5.4 here (Debian: apt-get install lua5.4)")
	}
	fmt.Printf("\nspeed, ms (x native), 10 ms checkpoints\n%-8s", "")
	for _, e := range engines {
		fmt.Printf("%18s", e.name)
	}
	fmt.Println()
	logs := make([]float64, len(engines))
	for _, p := range names {
		best, err := b.least(engines, p)
		if err != nil {
			return err
		}
		fmt.Printf("%-8s", p)
		for i, ms := range best {
			fmt.Printf("%10.1f (%5.1f)", ms, ms/best[0])
			logs[i] += math.Log(ms / best[0])
		}
		fmt.Println()
	}
	fmt.Printf("%-8s", "geomean")
	for i := range engines {
		fmt.Printf("%10s (%5.2f)", "", math.Exp(logs[i]/float64(len(names))))
	}
	fmt.Println()
	return nil
}

// least runs a program in all engines in turn and returns the least time of each in ms.
func (b *bench) least(engines []engine, program string) ([]float64, error) {
	best := make([]float64, len(engines))
	for i := range best {
		best[i] = math.Inf(1)
	}
	for range b.runs {
		for i, e := range engines {
			ms, err := b.time(e.argv(program))
			if err != nil {
				return nil, fmt.Errorf("%s, %s: %w", program, e.name, err)
			}
			best[i] = min(best[i], ms)
		}
	}
	return best, nil
}

var timeLine = regexp.MustCompile(`(?m)^([0-9.]+) ms$`)

func (b *bench) time(argv []string) (float64, error) {
	defer b.clear()
	var stderr bytes.Buffer
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return 0, fmt.Errorf("%w: %s", err, stderr.String())
	}
	m := timeLine.FindSubmatch(out)
	if m == nil {
		return 0, errors.New("no time in the output")
	}
	return strconv.ParseFloat(string(m[1]), 64)
}

func (b *bench) clear() {
	old, _ := filepath.Glob(filepath.Join(b.tmp, "i.phantom*"))
	for _, d := range old {
		os.RemoveAll(d)
	}
}

var firstLine = regexp.MustCompile(`first instruction after ([0-9.]+) ms`)

// start measures from `run F.pbc` to the program's first instruction.
func (b *bench) start(mons []string) error {
	fmt.Printf("\nfrom run to the first instruction, new instance, ms\n")
	for _, m := range mons {
		best := math.Inf(1)
		for range b.runs {
			argv := b.run(m)("fib")
			var stderr bytes.Buffer
			cmd := exec.Command(argv[0], append([]string{"run"}, argv[3:]...)...) // not quiet
			cmd.Stderr = &stderr
			if err := cmd.Run(); err != nil {
				return fmt.Errorf("%w: %s", err, stderr.String())
			}
			found := firstLine.FindStringSubmatch(stderr.String())
			if found == nil {
				return fmt.Errorf("no start time in %q", stderr.String())
			}
			ms, err := strconv.ParseFloat(found[1], 64)
			if err != nil {
				return err
			}
			best = min(best, ms)
			b.clear()
		}
		fmt.Printf("%-8s %8.1f\n", m, best)
	}
	return nil
}

// checkpoints measures what they cost a program that dirties about 100 pages an interval.
func (b *bench) checkpoints(mons []string) error {
	fmt.Printf("\ncheckpoints every 10 ms, program dirties 100 pages an interval: slower than without by\n")
	for _, m := range mons {
		best, err := b.least([]engine{{"off", b.run(m, "--checkpoint", "1h")}, {"10ms", b.run(m, "--checkpoint", "10ms")}}, "dirty")
		if err != nil {
			return err
		}
		fmt.Printf("%-8s %6.1f %%  (%.1f ms, %.1f ms)\n", m, 100*(best[1]/best[0]-1), best[0], best[1])
	}
	return nil
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
