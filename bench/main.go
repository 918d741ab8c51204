// Command bench measures phantom-vm and its parts beside their peers, in one run: `make bench`. Times that are
// compared come from interleaved runs, and what counts are ratios.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"phantomvm/bench/result"
)

// group is one group of benchmarks.
type group struct {
	name, title string
	run         func(b *bench, g *result.Group) error
}

var groups = []group{
	{"speed", "Programs beside native code and Lua", (*bench).speed},
	{"engine", "The checkpoint engine alone", (*bench).engine},
	{"space", "Write amplification with cleaning", (*bench).space},
	{"machine", "Checkpoints of a running machine", (*bench).machine},
	{"cost", "What checkpoints cost a program", (*bench).cost},
	{"idle", "An idle program", (*bench).idle},
	{"start", "From start to the first instruction", (*bench).start},
	{"heap", "Pages that an allocating program writes", (*bench).heap},
	{"paging", "An arena larger than memory", (*bench).paging},
	{"peers", "Durable commits beside other stores", (*bench).peers},
}

// bench is one run of the command.
type bench struct {
	ctx      context.Context
	vm       string // phantom-vm
	tmp      string
	runs     int
	quick    bool
	fill     int64 // bytes of the largest arena that is really filled
	monitors []string
	suite    string // bench/suite as a module
	progress *progress
}

func main() {
	b := &bench{}
	only := flag.String("run", "", "comma-separated `groups`; none: all of "+names())
	asJSON := flag.Bool("json", false, "print JSON instead of tables")
	save := flag.String("save", "", "put the results into this JSON `file`, in place of older ones of the same groups")
	dir := flag.String("dir", os.TempDir(), "where images are made; its file system is what is measured")
	flag.IntVar(&b.runs, "runs", 5, "interleaved runs of each program")
	flag.BoolVar(&b.quick, "quick", false, "less of everything: does it work?")
	fill := flag.Int64("fill", 4, "GiB of the largest arena that is really filled, by the group start")
	flag.Usage = usage
	flag.Parse()
	b.fill = *fill << 30
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	b.ctx = ctx
	if err := b.main(*dir, *only, *asJSON, *save); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1) //nolint:gocritic // nothing is deferred that matters
	}
}

func usage() {
	fmt.Fprint(os.Stderr, `Bench measures phantom-vm. It takes about ten minutes; run it on a quiet machine.

Usage:
  go run ./bench [flags]

Examples:
  make bench
  go run ./bench -run engine,peers
  go run ./bench -run start -fill 32 -json

Groups:
`)
	for _, g := range groups {
		fmt.Fprintf(os.Stderr, "  %-8s %s\n", g.name, g.title)
	}
	fmt.Fprint(os.Stderr, "\nFlags:\n")
	flag.PrintDefaults()
}

func names() string {
	var s []string
	for _, g := range groups {
		s = append(s, g.name)
	}
	return strings.Join(s, ", ")
}

func (b *bench) main(dir, only string, asJSON bool, save string) error {
	chosen := groups
	if only != "" {
		chosen = nil
		for _, n := range strings.Split(only, ",") {
			i := slices.IndexFunc(groups, func(g group) bool { return g.name == n })
			if i < 0 {
				return fmt.Errorf("no group %q; there are %s", n, names())
			}
			chosen = append(chosen, groups[i])
		}
	}
	tmp, err := os.MkdirTemp(dir, "phantom-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b.tmp = tmp
	if b.quick {
		b.runs = 1
	}
	if err := b.prepare(); err != nil {
		return err
	}
	var done []result.Group
	var failed error
	machine, commit := machineClass(tmp), commit()
	for _, c := range chosen {
		g := result.Group{
			Name: c.name, Title: c.title, Command: "make bench GROUPS=" + c.name,
			Date: time.Now().UTC().Format("2006-01-02 15:04 UTC"), Commit: commit, Machine: machine,
		}
		b.progress = newProgress(c.name)
		began, others := time.Now(), newOthers()
		err := c.run(b, &g)
		b.progress.end()
		if err != nil {
			failed = errors.Join(failed, fmt.Errorf("%s: %w", c.name, err))
			if b.ctx.Err() != nil {
				break
			}
			continue // the others may work
		}
		g.Seconds, g.Others = time.Since(began).Seconds(), others.share()
		if len(g.Tables) == 0 {
			fmt.Fprintf(os.Stderr, "bench: %s: left out: %s\n", c.name, strings.Join(g.Notes, "; "))
			continue
		}
		done = append(done, g)
		if !asJSON {
			g.Text(os.Stdout)
		}
		if save != "" {
			if err := result.Save(save, []result.Group{g}); err != nil {
				return err
			}
		}
	}
	if asJSON {
		failed = errors.Join(failed, json.NewEncoder(os.Stdout).Encode(done))
	}
	return failed
}

// prepare finds the command and the monitors that work here, and compiles the suite.
func (b *bench) prepare() error {
	if b.vm = os.Getenv("PHANTOM_VM"); b.vm == "" {
		b.vm = "bin/phantom-vm"
	}
	b.monitors = []string{"process"}
	if out, err := exec.Command(b.vm, "doctor", "--json").Output(); err == nil && kvmWorks(out) {
		b.monitors = append(b.monitors, "kvm")
	} else {
		fmt.Fprintln(os.Stderr, "bench: kvm: skipped, /dev/kvm can't be used")
	}
	b.suite = filepath.Join(b.tmp, "suite.pbc")
	return b.command(io.Discard, b.vm, "build", "-o", b.suite, "./bench/suite")
}

// command runs a command; its error has what it said.
func (b *bench) command(stdout io.Writer, argv ...string) error {
	var stderr strings.Builder
	cmd := exec.CommandContext(b.ctx, argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr = stdout, &stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(argv[:2], " "), err, stderr.String())
	}
	return nil
}

// why is the error without this run's paths.
func (b *bench) why(err error) string {
	text := strings.NewReplacer(b.tmp+"/", "", b.vm, "phantom-vm").Replace(err.Error())
	return strings.Join(strings.Fields(text), " ")
}
