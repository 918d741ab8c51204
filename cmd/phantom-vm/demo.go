package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/cmd/phantom-vm/internal/monitor"
)

// demo is one demonstration: a program is run, killed and resumed, and what
// it printed is compared with an undisturbed run.
type demo struct {
	out     io.Writer
	self    string // this command
	module  string
	dir     string // of the instance
	monitor string
	kills   int
}

func newDemo() *cobra.Command {
	var mon string
	var kills int
	cmd := &cobra.Command{
		Use:   "demo [PACKAGE|FILE.pbc]",
		Short: "Run a program, kill it with -9, resume it, and prove that nothing was lost",
		Example: `  phantom-vm demo ./examples/counter
  phantom-vm demo --monitor process --kills 3 ./examples/counter`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"./examples/counter"}
			}
			tmp, err := os.MkdirTemp("", "phantom-demo-")
			if err != nil {
				return &exitError{exitFailed, err}
			}
			defer os.RemoveAll(tmp)
			d := &demo{out: cmd.OutOrStdout(), monitor: mon, kills: kills, dir: filepath.Join(tmp, "demo.phantom")}
			if d.self, err = os.Executable(); err != nil {
				return &exitError{exitFailed, err}
			}
			return d.run(args[0], tmp)
		},
	}
	cmd.Flags().StringVar(&mon, "monitor", "auto", "auto, kvm or process")
	cmd.Flags().IntVar(&kills, "kills", 1, "how often the program is killed")
	return cmd
}

func (d *demo) run(what, tmp string) error {
	mod, code, err := loadProgram([]string{what})
	if err != nil {
		return err
	}
	d.module = filepath.Join(tmp, "demo.pbc")
	if err := os.WriteFile(d.module, code, 0o600); err != nil {
		return &exitError{exitFailed, err}
	}
	fmt.Fprintf(d.out, "built  %s  ->  phantom bytecode (%d functions, %d instructions)\n", what, len(mod.Funcs)-1, instructions(mod))

	want, err := d.undisturbed(tmp)
	if err != nil {
		return err
	}
	if d.kills < 1 {
		return fail(exitUsage, "--kills %d: at least 1", d.kills)
	}
	for n := range d.kills {
		done, err := d.incarnation(true)
		if err != nil {
			return err
		}
		if done {
			return fail(exitFailed, "the program ended after %d of %d kills: it is too short for so many", n, d.kills)
		}
	}
	if _, err := d.incarnation(false); err != nil {
		return err
	}
	return d.verify(want)
}

// undisturbed runs the program to its end in another instance and returns what it prints.
func (d *demo) undisturbed(tmp string) ([]byte, error) {
	cmd := exec.Command(d.self, "run", "--quiet", "--monitor", "process", "--dir", filepath.Join(tmp, "undisturbed.phantom"), d.module)
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return nil, &exitError{exitFailed, err}
	}
	if len(out) == 0 {
		return nil, fail(exitFailed, "the undisturbed run printed nothing: %v", err)
	}
	return out, nil
}

// killAfter is how long the program is let run after its first output, before it is killed.
const killAfter = 300 * time.Millisecond

// incarnation runs the program once; if kill is set it is killed after a while. done: it came to its end.
func (d *demo) incarnation(kill bool) (done bool, err error) {
	cmd := exec.Command(d.self, "run", "--monitor", d.monitor, "--dir", d.dir, d.module)
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return false, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return false, err
	}
	if err := cmd.Start(); err != nil {
		return false, &exitError{exitFailed, err}
	}
	go d.showMessages(stderr)
	var killed chan struct{}
	var timer *time.Timer
	first, last := firstAndLast(stdout, func() {
		if !kill { // what was shown is durable: from now on there is something to go on with
			return
		}
		killed = make(chan struct{})
		timer = time.AfterFunc(killAfter+rand.N(killAfter), func() {
			close(killed)
			cmd.Process.Kill() //nolint:errcheck // it may have ended by itself
		})
	})
	if timer != nil {
		defer timer.Stop()
	}
	if first != "" {
		fmt.Fprintf(d.out, "%s … %s\n", first, last)
	}
	err = cmd.Wait()
	select {
	case <-killed:
		inst, err := instance.Open(d.dir)
		if err != nil {
			return false, &exitError{exitFailed, err}
		}
		r, err := report(inst, false)
		if err != nil {
			return false, err
		}
		fmt.Fprintf(d.out, "kill -9 (pid %d), last durable epoch %d\n", cmd.Process.Pid, r.Epoch)
		return false, nil
	default:
	}
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || exit.ExitCode() >= exitUsage) {
		return false, fail(exitFailed, "the program did not end well: %v", err)
	}
	return true, nil
}

// showMessages prints how the machine started.
func (d *demo) showMessages(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		text := strings.TrimPrefix(lines.Text(), "phantom-vm: ")
		if strings.HasPrefix(text, "monitor: ") && !strings.Contains(text, "(") {
			continue // the next line names it too
		}
		for kind, name := range map[monitor.Kind]string{monitor.KVM: "Solo5/KVM guest", monitor.Process: "process"} {
			text = strings.Replace(text, "boot "+string(kind), "boot   "+name, 1)
			text = strings.Replace(text, "resume "+string(kind), "resume "+name, 1)
		}
		fmt.Fprintln(d.out, text)
	}
}

// firstAndLast reads lines to the end and calls began at the first.
func firstAndLast(r io.Reader, began func()) (first, last string) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		if first == "" {
			first = lines.Text()
			began()
		}
		last = lines.Text()
	}
	return first, last
}

// verify compares the console with the undisturbed run's.
func (d *demo) verify(want []byte) error {
	got, err := os.ReadFile(filepath.Join(d.dir, instance.LogNames[0]))
	if err != nil {
		return &exitError{exitFailed, err}
	}
	if !bytes.Equal(got, want) {
		n := 0
		for n < len(got) && n < len(want) && got[n] == want[n] {
			n++
		}
		return fail(exitFailed, "console.log differs from the undisturbed run at byte %d (%d bytes, expected %d)", n, len(got), len(want))
	}
	fmt.Fprintf(d.out, "verified after %d kill(s): console.log has all %d bytes, %d lines, of an undisturbed run, nothing missing, nothing twice\n",
		d.kills, len(got), bytes.Count(got, []byte("\n")))
	return nil
}
