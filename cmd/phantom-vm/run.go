package main

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"phantomvm/bytecode"
	"phantomvm/cmd/phantom-vm/internal/disk"
	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/cmd/phantom-vm/internal/monitor"
	"phantomvm/hypervisor/tender"
	"phantomvm/objectvm/machine"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
	"phantomvm/persist/filedev"
	"phantomvm/persist/nbddev"
)

// defaultArena is half of this machine's memory, at most 32 GiB: a program that allocates without end gets Go's
// out-of-memory error before the machine has none left.
func defaultArena() size {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 1 << 30
	}
	return max(minArena, min(size(info.Totalram)*size(info.Unit)/2, 32<<30)) &^ (1<<20 - 1)
}

// runFlags are the flags of run.
type runFlags struct {
	dir      string
	monitor  string
	memory   size
	disk     diskFlag
	arena    size
	interval time.Duration
	fresh    bool
	input    string
	detach   bool
	quiet    bool
	metrics  string
	public   bool

	force, unsafeDisk bool
}

func newRun() *cobra.Command {
	f := &runFlags{disk: diskFlag{size: 64 << 30}, arena: defaultArena()}
	cmd := &cobra.Command{
		Use:   "run [flags] PACKAGE|FILES|FILE.pbc|INSTANCE [-- ARGS]",
		Short: "Run a program, or go on with an instance",
		Long: `Run compiles a Go program (a package, .go files, or a module built before) and runs it
in an instance directory, by default NAME.phantom here. If the instance exists, the
program goes on from its newest checkpoint. Given an instance directory, run goes on with it.

Output is shown when the checkpoint that covers it is durable. console.log and stderr.log in
the instance directory hold every byte once, however often the command is killed.

The arena lies in the instance's disk.img, or where --disk says. A new instance takes only a disk that holds
zeros, unless --force. For an instance that exists, --disk says where its disk is now.`,
		Example: `  phantom-vm run ./examples/counter
  phantom-vm run --input book.txt ./examples/wordfreq
  phantom-vm run --monitor process --checkpoint 1ms prog.go -- -v one two
  phantom-vm run --detach --dir /srv/ledger ./examples/ledger
  phantom-vm run --disk /dev/vdb ./examples/ledger
  phantom-vm run --disk nbd://storage.local/ledger ./examples/ledger
  phantom-vm run --disk 'nbd+unix:///ledger?socket=/run/nbd.sock' ledger.phantom   # it was moved there
  phantom-vm run --metrics 127.0.0.1:9464 ./examples/counter   # and curl it`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var progArgs []string
			if n := cmd.ArgsLenAtDash(); n >= 0 {
				args, progArgs = args[:n], args[n:]
			}
			if len(args) == 0 {
				return fail(exitUsage, "run needs a program or an instance")
			}
			return run(cmd.Context(), f, args, progArgs)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.dir, "dir", "", "instance directory (default NAME.phantom)")
	fl.StringVar(&f.monitor, "monitor", "auto", "auto, kvm or process")
	fl.Var(&f.memory, "mem", "memory of the guest (default 256M), or what the process may take, about (default: half of this machine's); the arena may be larger")
	fl.Var(&f.disk, "disk", "capacity of a new instance's disk image (sparse), or where its disk is: a file, /dev/..., nbd://host/export")
	fl.BoolVar(&f.force, "force", false, "overwrite what a disk given by place holds")
	fl.BoolVar(&f.unsafeDisk, "unsafe-disk", false, "take an NBD server without FLUSH: only its process may die, not its host")
	fl.Var(&f.arena, "arena", "limit of a new instance's data")
	fl.DurationVar(&f.interval, "checkpoint", machine.DefaultInterval, "interval between checkpoints")
	fl.BoolVar(&f.fresh, "fresh", false, "start anew; an instance that exists is kept as NAME.old-N")
	fl.StringVar(&f.input, "input", "", "`file` that becomes a new instance's standard input (copied)")
	fl.BoolVar(&f.detach, "detach", false, "run in the background")
	fl.StringVar(&f.metrics, "metrics", "", "serve numbers for Prometheus at http://`ADDR`/metrics: HOST:PORT, or PORT on 127.0.0.1; 0 takes a free one")
	fl.BoolVar(&f.public, "metrics-public", false, "let --metrics listen where other machines can reach it")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "no messages about the run on stderr")
	return cmd
}

func run(ctx context.Context, f *runFlags, what, progArgs []string) error {
	if err := f.check(); err != nil {
		return err
	}
	kind := monitor.Kind(f.monitor)
	if kind == monitor.KVM {
		if err := tender.Available(); err != nil {
			return &exitError{exitUnavailable, err}
		}
	}
	if err := clearAddresses(); err != nil {
		return &exitError{exitUnavailable, err}
	}
	var exporter *exporter
	if f.metrics != "" {
		var err error
		if exporter, err = listenMetrics(f.metrics, f.public); err != nil {
			return err
		}
		defer exporter.close()
	}
	if f.detach {
		if exporter != nil {
			exporter.close() // the other process takes the address again
		}
		return detach(f, what, progArgs)
	}
	inst, isNew, err := prepare(f, what, progArgs)
	if err != nil {
		return err
	}
	defer inst.Close()
	return resume(ctx, f, kind, inst, isNew, exporter)
}

// Bounds of flags. The unikernel's image takes some 8 MiB of the guest's memory.
const (
	minMemory, maxMemory = 64 << 20, 4 << 30
	minDisk              = 16 << 20
	minArena, maxArena   = 4 << 20, 64 << 30
)

// guestMemory is what a guest gets.
func (f *runFlags) guestMemory() size {
	if f.memory == 0 {
		return 256 << 20
	}
	return f.memory
}

// processMemory is what a process should take at most.
func (f *runFlags) processMemory() size {
	var info unix.Sysinfo_t
	if f.memory != 0 {
		return f.memory
	}
	if err := unix.Sysinfo(&info); err != nil {
		return 1 << 30
	}
	return max(minMemory, size(info.Totalram)*size(info.Unit)/2)
}

// check refuses flags that can't work, before anything is made or moved.
func (f *runFlags) check() error {
	switch kind := monitor.Kind(f.monitor); {
	case kind != monitor.Auto && kind != monitor.KVM && kind != monitor.Process:
		return fail(exitUsage, "--monitor %s: auto, kvm or process", f.monitor)
	case f.interval < 100*time.Microsecond:
		return fail(exitUsage, "--checkpoint %v: at least 100us", f.interval)
	case f.memory != 0 && (f.memory < minMemory || f.memory > maxMemory):
		return fail(exitUsage, "--mem %v: 64M to 4G", &f.memory)
	case f.arena < minArena || f.arena > maxArena:
		return fail(exitUsage, "--arena %v: 4M to 64G", &f.arena)
	}
	if f.metrics != "" {
		if _, err := metricsAddress(f.metrics, f.public); err != nil {
			return err
		}
	} else if f.public {
		return fail(exitUsage, "--metrics-public needs --metrics")
	}
	if f.input != "" {
		in, err := os.Open(f.input)
		if err != nil {
			return &exitError{exitUsage, err}
		}
		in.Close()
	}
	return f.disk.check()
}

// prepare returns the locked instance that is to be run, made if need be.
func prepare(f *runFlags, what, progArgs []string) (inst *instance.Instance, isNew bool, err error) {
	if len(what) == 1 && instance.Exists(what[0]) {
		if f.dir != "" && filepath.Clean(f.dir) != filepath.Clean(what[0]) {
			return nil, false, fail(exitUsage, "%s is an instance; --dir names another one", what[0])
		}
		if f.fresh {
			return nil, false, fail(exitUsage, "--fresh needs the program, not an instance")
		}
		if f.input != "" || progArgs != nil {
			return nil, false, fail(exitUsage, "%s exists: its input and arguments can't change", what[0])
		}
		inst, err := openLocked(what[0])
		if err == nil {
			if err = relocate(f, inst); err != nil {
				inst.Close()
			}
		}
		return inst, false, err
	}
	mod, code, err := loadProgram(what)
	if err != nil {
		return nil, false, err
	}
	dir := f.dir
	if dir == "" {
		dir = programName(what) + ".phantom"
	}
	if f.fresh && instance.Exists(dir) {
		if err := moveAside(f, dir); err != nil {
			return nil, false, err
		}
	}
	if !instance.Exists(dir) {
		inst, err := create(f, dir, mod, code, append([]string{programName(what)}, progArgs...))
		return inst, true, err
	}
	if inst, err = openLocked(dir); err != nil {
		return nil, false, err
	}
	if inst.Record.ModuleHash != sha256.Sum256(code) {
		inst.Close()
		return nil, false, fail(exitUnavailable,
			"the program was changed since %s began; `run %s` goes on with the old one, --fresh starts anew", dir, dir)
	}
	if f.input != "" || progArgs != nil && !slices.Equal(progArgs, inst.Record.Args[1:]) {
		inst.Close()
		return nil, false, fail(exitUsage, "%s exists: its input and arguments can't change; --fresh starts anew", dir)
	}
	if err := relocate(f, inst); err != nil {
		inst.Close()
		return nil, false, err
	}
	return inst, false, nil
}

func openLocked(dir string) (*instance.Instance, error) {
	inst, err := instance.Open(dir)
	if err != nil {
		return nil, classify(err)
	}
	// A process that was just killed holds its lock until the kernel has cleared it away.
	err = inst.Lock()
	for end := time.Now().Add(lockPatience); errors.Is(err, instance.ErrLocked) && !answers(inst) && time.Now().Before(end); {
		time.Sleep(20 * time.Millisecond)
		err = inst.Lock()
	}
	if err != nil {
		return nil, &exitError{exitUnavailable, err}
	}
	return inst, nil
}

// lockPatience is how long run waits for the lock of a process that does not answer any more.
const lockPatience = 3 * time.Second

// answers says whether the process that has the lock is alive.
func answers(inst *instance.Instance) bool {
	_, err := inst.Ask(instance.Request{Op: "state"})
	return err == nil
}

func moveAside(f *runFlags, dir string) error {
	inst, err := instance.Open(dir)
	if err == nil {
		if err := inst.Lock(); err != nil {
			return &exitError{exitUnavailable, err}
		}
		defer inst.Close()
	}
	old, err := instance.MoveAside(dir)
	if err != nil {
		return &exitError{exitUnavailable, err}
	}
	say(f, "kept the old instance as %s", old)
	return nil
}

func create(f *runFlags, dir string, mod *bytecode.Module, code []byte, args []string) (*instance.Instance, error) {
	var input *os.File
	if f.input != "" {
		var err error
		if input, err = os.Open(f.input); err != nil {
			return nil, &exitError{exitUsage, err}
		}
		defer input.Close()
	}
	rec := instance.Record{
		Name: mod.Name, ModuleHash: sha256.Sum256(code), SourceHash: mod.SourceHash, Args: args,
		DiskSize: int64(f.disk.size), ArenaLimit: uint64(f.arena), Disk: string(f.disk.at), UnsafeDisk: f.unsafeDisk,
	}
	var elsewhere *disk.Disk
	if f.disk.at != "" {
		var err error
		if elsewhere, err = newDisk(f); err != nil {
			return nil, err
		}
		defer elsewhere.Close()
		rec.DiskSize = elsewhere.Size()
	}
	inst, err := instance.Create(dir, rec, func(i *instance.Instance) error {
		if input != nil {
			if err := i.CopyInput(input); err != nil {
				return err
			}
		}
		opts := machine.Options{InstanceID: i.Record.ID, Args: args, ArenaLimit: i.Record.ArenaLimit}
		if elsewhere != nil {
			if err := elsewhere.Discard(); err != nil {
				return err
			}
			return errors.Join(machine.Create(elsewhere, code, opts), elsewhere.Err())
		}
		dev, err := filedev.Create(i.Path("disk.img"), i.Record.DiskSize)
		if err != nil {
			return err
		}
		defer dev.Close()
		return machine.Create(dev, code, opts)
	})
	if err != nil {
		return nil, classify(fmt.Errorf("create %s: %w", dir, err))
	}
	return inst, nil
}

// resume runs a locked instance to its end, or until a signal.
func resume(ctx context.Context, f *runFlags, kind monitor.Kind, inst *instance.Instance, isNew bool, exporter *exporter) error {
	kind, why := monitor.Choose(kind)
	ended, err := endedAs(inst)
	if err != nil {
		return err
	}
	if ended != "" {
		say(f, "%s: %s; --fresh with the program starts anew", inst.Dir, ended)
		kind = monitor.Process // nothing to execute: what was not delivered yet is
	} else if why != "" {
		say(f, "monitor: %s (%s)", kind, why)
	} else {
		say(f, "monitor: %s", kind)
	}

	ctx, stop, caught := catchSignals(ctx)
	defer stop()
	began := time.Now()
	opts := monitor.Options{
		Kind: kind, Ended: ended != "", Memory: uint64(f.guestMemory()), ProcessMemory: uint64(f.processMemory()), Interval: f.interval,
		Began: began, Stdin: os.Stdin, Stdout: os.Stdout, Stderr: os.Stderr, Log: os.Stderr,
		OnStart: func(s wire.Status) {
			verb := "resume"
			switch {
			case ended != "":
				return
			case isNew:
				verb = "boot"
			}
			ms := float64(s.FirstInstr-began.UnixNano()) / 1e6
			sayReady()
			say(f, "%s %s, epoch %d, arena %d pages, first instruction after %.1f ms", verb, kind, s.Resumed, s.ArenaPages, ms)
		},
	}
	if exporter != nil {
		say(f, "metrics: %s", exporter.url)
		opts.Metrics = exporter.url
		opts.Serve = func(numbers func() monitor.Numbers) { exporter.serve(inst.Record, kind, numbers) }
	}
	if f.quiet {
		opts.Log = io.Discard
	}
	res, err := monitor.Run(ctx, inst, opts)
	if err != nil {
		return classify(fmt.Errorf("%s: %w", inst.Dir, err))
	}
	switch res.Status.State {
	case wire.Stopped:
		say(f, "stopped at epoch %d; `phantom-vm run %s` goes on", res.Status.Epoch, inst.Dir)
		if s := caught(); s != nil {
			return &exitError{code: 128 + int(s.(syscall.Signal))}
		}
		return nil
	default:
		if res.Status.ExitCode != 0 {
			return &exitError{code: res.Status.ExitCode}
		}
		return nil
	}
}

// endedAs says how the instance's program ended, "" if it did not.
func endedAs(inst *instance.Instance) (string, error) {
	dev, err := openDisk(inst, false)
	if err != nil {
		return "", err
	}
	defer dev.Close()
	st, err := machine.Inspect(dev)
	if err != nil {
		return "", classify(fmt.Errorf("%s: %w", inst.Disk(), errors.Join(err, dev.Err())))
	}
	switch st.State {
	case wire.Exited:
		return fmt.Sprintf("its program ended with exit code %d", st.ExitCode), nil
	case wire.Crashed:
		return fmt.Sprintf("its program crashed with exit code %d", st.ExitCode), nil
	}
	return "", nil
}

// classify gives an error its exit code.
func classify(err error) error {
	code := exitFailed
	switch {
	case errors.Is(err, monitor.ErrNoSpace), errors.Is(err, persist.ErrNoSpace), errors.Is(err, syscall.ENOSPC):
		code = exitNoSpace
	case errors.Is(err, disk.ErrDevice):
		code = exitDevice
	case errors.Is(err, disk.ErrBusy), errors.Is(err, nbddev.ErrNoFlush):
		code = exitUnavailable
	case errors.Is(err, instance.ErrLocked), errors.Is(err, instance.ErrForeign), errors.Is(err, instance.ErrExists), errors.Is(err, os.ErrPermission):
		code = exitUnavailable
	case errors.Is(err, persist.ErrCorrupt), errors.Is(err, persist.ErrRootDamaged), errors.Is(err, persist.ErrVersion),
		errors.Is(err, persist.ErrNotFormatted), errors.Is(err, persist.ErrTooSmall), errors.Is(err, disk.ErrForeign), errors.Is(err, os.ErrNotExist),
		errors.Is(err, instance.ErrNotInstance), errors.Is(err, instance.ErrVersion),
		errors.Is(err, instance.ErrDamaged), errors.Is(err, monitor.ErrDamaged):
		code = exitData
	}
	return &exitError{code, err}
}

// say prints a message about the run.
func say(f *runFlags, format string, args ...any) {
	if !f.quiet {
		fmt.Fprintf(os.Stderr, "phantom-vm: "+format+"\n", args...)
	}
}

// programName is the base of the default instance's name.
func programName(what []string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(filepath.Base(what[0]), ".go"), ".pbc")
	if name == "." || name == ".." || name == "/" {
		if abs, err := filepath.Abs(what[0]); err == nil {
			name = filepath.Base(abs)
		}
	}
	return name
}
