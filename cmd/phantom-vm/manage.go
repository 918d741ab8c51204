package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"phantomvm/cmd/phantom-vm/internal/disk"
	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
	"phantomvm/persist/nbddev"
)

func newStop() *cobra.Command {
	return &cobra.Command{
		Use:     "stop INSTANCE",
		Short:   "Make a last checkpoint and end a running instance",
		Example: "  phantom-vm stop counter.phantom && phantom-vm run counter.phantom",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			inst, err := instance.Open(args[0])
			if err != nil {
				return classify(err)
			}
			if !inst.Locked() {
				fmt.Fprintf(os.Stderr, "phantom-vm: %s does not run\n", inst.Dir)
				return nil
			}
			if _, err := inst.Ask(instance.Request{Op: "stop"}); err != nil {
				return &exitError{exitUnavailable, err}
			}
			for deadline := time.Now().Add(time.Minute); inst.Locked(); time.Sleep(5 * time.Millisecond) {
				if time.Now().After(deadline) {
					return fail(exitUnavailable, "%s still runs after a minute", inst.Dir)
				}
			}
			return nil
		},
	}
}

func newConsole() *cobra.Command {
	var follow, stderr bool
	cmd := &cobra.Command{
		Use:     "console [-f] INSTANCE",
		Short:   "Print what an instance's program has printed",
		Example: "  phantom-vm console -f counter.phantom",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inst, err := instance.Open(args[0])
			if err != nil {
				return classify(err)
			}
			stream := wire.Stdout
			if stderr {
				stream = wire.Stderr
			}
			f, err := os.Open(inst.Path(instance.LogNames[stream]))
			if errors.Is(err, os.ErrNotExist) && !follow {
				return nil
			} else if err != nil {
				return classify(err)
			}
			defer f.Close()
			for {
				running := follow && inst.Locked()
				if _, err := io.Copy(cmd.OutOrStdout(), f); err != nil {
					return classify(err)
				}
				if !running {
					return nil
				}
				time.Sleep(20 * time.Millisecond)
			}
		},
	}
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on while the instance runs")
	cmd.Flags().BoolVar(&stderr, "stderr", false, "standard error instead")
	return cmd
}

func newFsck() *cobra.Command {
	var asJSON bool
	var back uint64
	cmd := &cobra.Command{
		Use:   "fsck INSTANCE|IMAGE|DEVICE|URI",
		Short: "Check an instance's disk",
		Example: `  phantom-vm fsck counter.phantom --json
  phantom-vm fsck --go-back 41 counter.phantom     # the newest state is damaged: forget what came after epoch 41
  phantom-vm fsck /dev/vdb
  phantom-vm fsck nbd://storage.local/ledger`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			path := args[0]
			if back != 0 {
				return goBack(cmd.OutOrStdout(), path, back)
			}
			if instance.Exists(path) {
				inst, err := openLocked(path)
				if err != nil {
					return err
				}
				defer inst.Close()
				path = inst.Disk()
			} else if st, err := os.Stat(path); err == nil && st.IsDir() {
				return classify(fmt.Errorf("%s: %w", path, instance.ErrNotInstance))
			}
			at, err := disk.Parse(path)
			if errors.Is(err, nbddev.ErrTarget) {
				return &exitError{exitUsage, err}
			} else if err != nil {
				return classify(err)
			}
			dev, err := disk.Open(cmd.Context(), at, disk.Options{ReadOnly: true})
			if err != nil {
				return classify(err)
			}
			defer dev.Close()
			text := cmd.OutOrStdout()
			if asJSON {
				text = nil
			}
			rep, err := persist.Fsck(dev, text)
			if err != nil {
				return classify(fmt.Errorf("%s: %w", path, err))
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				err = e.Encode(rep)
			}
			if e := olderEpoch(rep); err == nil && e != 0 {
				err = fail(exitData, "%s is damaged; epoch %d is whole, and fsck --go-back %[2]d opens it", path, e)
			} else if err == nil && !rep.OK() {
				err = fail(exitData, "%s is damaged", path)
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().Uint64Var(&back, "go-back", 0, "make this `epoch` the newest of an instance, for ever, and cut its log files to it")
	return cmd
}

// detach starts the same command in a session of its own and returns when the program runs.
func detach(f *runFlags, what, progArgs []string) error {
	inst, _, err := prepare(f, what, progArgs)
	if err != nil {
		return err
	}
	dir := inst.Dir
	inst.Close()
	self, err := os.Executable()
	if err != nil {
		return &exitError{exitFailed, err}
	}
	args := []string{"run", "--quiet", "--monitor", f.monitor, "--checkpoint", f.interval.String()}
	if f.memory != 0 {
		args = append(args, "--mem", f.memory.String())
	}
	if f.metrics != "" {
		args = append(args, "--metrics", f.metrics, fmt.Sprintf("--metrics-public=%t", f.public))
	}
	cmd := exec.Command(self, append(args, dir)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	r, w, err := os.Pipe()
	if err != nil {
		return &exitError{exitFailed, err}
	}
	defer r.Close()
	cmd.ExtraFiles, cmd.Stderr = []*os.File{w}, w
	cmd.Env = append(os.Environ(), readyEnv+"=3")
	if err := cmd.Start(); err != nil {
		w.Close()
		return &exitError{exitFailed, err}
	}
	w.Close()
	var said []string
	started := false
	for lines := bufio.NewScanner(r); !started && lines.Scan(); {
		if started = lines.Text() == ready; !started {
			said = append(said, lines.Text())
		}
	}
	if !started {
		err := cmd.Wait()
		return fail(exitFailed, "%s did not start: %s (%v)", dir, strings.Join(said, "; "), err)
	}
	say(f, "%s runs in the background, pid %d", dir, cmd.Process.Pid)
	return nil
}

// ready is what a detached command says when the program runs.
const ready = "ready"

// readyEnv names the file descriptor on which a detached command says that the program runs.
const readyEnv = "PHANTOM_READY_FD"
