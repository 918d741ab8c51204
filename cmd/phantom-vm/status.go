package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/objectvm/machine"
	"phantomvm/objectvm/machine/wire"
)

// statusReport is what status prints; the names are those of --json. What is not known is left out.
type statusReport struct {
	State       string `json:"state"`
	ExitCode    int    `json:"exit_code"`
	Epoch       uint64 `json:"epoch"`
	Incarnation uint64 `json:"incarnation"`
	Monitor     string `json:"monitor"`
	DurableAt   string `json:"durable_at"`
	PID         int    `json:"pid,omitempty"`
	Program     string `json:"program"`
	InstanceID  string `json:"instance_id"`
	ArenaPages  uint64 `json:"arena_pages"`
	Checkpoints uint64 `json:"checkpoints,omitempty"`
	DirtyPages  uint64 `json:"pages_in_last_checkpoint,omitempty"`
	Goroutines  uint64 `json:"goroutines,omitempty"`
	MetricsURL  string `json:"metrics_url,omitempty"`
	*liveNumbers

	all *wire.Stats // of the incarnation, nil if it does not run
}

// report asks a running instance, or reads a stopped one's image. whole: numbers of the whole incarnation.
func report(inst *instance.Instance, whole bool) (*statusReport, error) {
	r := &statusReport{
		Monitor: inst.Record.Monitor, Program: inst.Record.Name, InstanceID: fmt.Sprintf("%x", inst.Record.ID),
	}
	var st wire.Status
	if inst.Locked() {
		reply, err := inst.Ask(instance.Request{Op: "status"})
		if err != nil {
			return nil, &exitError{exitUnavailable, err}
		}
		st, r.Monitor, r.PID, r.MetricsURL, r.all = reply.Status, reply.Monitor, reply.PID, reply.Metrics, reply.All
		if numbers := reply.Recent; numbers != nil && reply.All != nil {
			if whole {
				numbers = reply.All
			}
			r.liveNumbers = newLiveNumbers(numbers, reply.All.Began, time.Duration(reply.Start))
			st.Epoch, st.DurableAt, st.Goroutines = reply.All.Epoch, reply.All.DurableAt, reply.All.Goroutines
			st.ArenaPages, st.Checkpoints = reply.All.ArenaPages, reply.All.Checkpoints
		}
	} else {
		dev, err := openDisk(inst, true)
		if err != nil {
			return nil, err
		}
		defer dev.Close()
		if st, err = machine.Inspect(dev); err != nil {
			return nil, classify(fmt.Errorf("%s: %w", inst.Disk(), err))
		}
	}
	r.State, r.ExitCode, r.Epoch, r.Incarnation = st.State.String(), st.ExitCode, st.Epoch, st.Incarnation
	r.ArenaPages, r.Checkpoints, r.DirtyPages, r.Goroutines = st.ArenaPages, st.Checkpoints, st.DirtyPages, st.Goroutines
	if st.DurableAt != 0 {
		r.DurableAt = time.Unix(0, st.DurableAt).UTC().Format(time.RFC3339Nano)
	}
	return r, nil
}

func newStatus() *cobra.Command {
	var asJSON, whole bool
	cmd := &cobra.Command{
		Use:   "status INSTANCE",
		Short: "Say how an instance is",
		Long: `Status says how an instance is: of a running one its numbers of the last ten seconds, of
another one what its disk image knows. docs/metrics.md explains them.`,
		Example: `  phantom-vm status counter.phantom
  phantom-vm status counter.phantom --json | jq .commit_ms_p99
  phantom-vm status counter.phantom --json --whole   # since it was started`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			inst, err := instance.Open(args[0])
			if err != nil {
				return classify(err)
			}
			r, err := report(inst, whole)
			if err != nil {
				return err
			}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(r)
			}
			r.print(cmd.OutOrStdout(), inst.Dir)
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	cmd.Flags().BoolVar(&whole, "whole", false, "numbers since the instance was started, not of the last ten seconds")
	return cmd
}

// print writes the report as text.
func (r *statusReport) print(w io.Writer, dir string) {
	state := r.State
	if r.State == wire.Exited.String() || r.State == wire.Crashed.String() {
		state = fmt.Sprintf("%s with exit code %d", r.State, r.ExitCode)
	}
	fmt.Fprintf(w, "%s: %s, epoch %d (durable at %s), incarnation %d, %d arena pages, monitor %s\n",
		dir, state, r.Epoch, r.DurableAt, r.Incarnation, r.ArenaPages, r.Monitor)
	if r.liveNumbers != nil {
		for _, line := range r.lines() {
			fmt.Fprintf(w, "  %s\n", line)
		}
	}
}

// lines are the numbers for people, a topic a line.
func (n *liveNumbers) lines() []string {
	lines := []string{
		fmt.Sprintf("checkpoints  %.1f/s, every %s asked for, %s pages and %s each, %d stretched by %s",
			n.CheckpointRate, millis(&n.Interval), number(n.CheckpointPages), bytesText(n.CheckpointBytes), n.Stretched, millis(&n.StretchedTime)),
		fmt.Sprintf("flip         %s, p99 %s; commit %s, p99 %s; oldest change not durable %s, p99 %s",
			micros(n.FlipP50), micros(n.FlipP99), millis(n.CommitP50), millis(n.CommitP99), millis(n.AgeP50), millis(n.AgeP99)),
		fmt.Sprintf("device       %s/s, write amplification %s", bytesText(&n.WriteRate), number(n.WriteAmp)),
		fmt.Sprintf("slices       %s, p99 %s; collector %d cycles, pause %s, p99 %s",
			micros(n.SliceP50), micros(n.SliceP99), n.GCCycles, micros(n.GCPauseP50), micros(n.GCPauseP99)),
		fmt.Sprintf("memory       %d pages resident, %d dirty, %d faults, waits: %d for pages %s, %d for memory %s",
			n.Resident, n.Dirty, n.MajorFaults, n.PageWaits, millis(&n.PageWaitTime), n.MemoryWaits, millis(&n.MemoryWaitTime)),
		fmt.Sprintf("output       %d bytes, %d held back; %d calls of phantom.Sync, %d waiting", n.OutputBytes, n.HeldBack, n.Syncs, n.SyncWaiting),
	}
	return lines
}

// number is a figure of three digits or a whole number, "-" if there is none.
func number(v *float64) string {
	switch {
	case v == nil:
		return "-"
	case *v >= 100:
		return fmt.Sprintf("%.0f", *v)
	}
	return fmt.Sprintf("%.3g", *v)
}

func micros(us *float64) string {
	if us == nil {
		return "-"
	}
	return durationText(*us * 1e3)
}

func millis(ms *float64) string {
	if ms == nil {
		return "-"
	}
	return durationText(*ms * 1e6)
}

// durationText writes nanoseconds with three digits.
func durationText(ns float64) string {
	for _, u := range []struct {
		size float64
		name string
	}{{1e9, "s"}, {1e6, "ms"}, {1e3, "µs"}} {
		if ns >= u.size {
			v := ns / u.size
			return number(&v) + " " + u.name
		}
	}
	if ns == 0 {
		return "0"
	}
	return fmt.Sprintf("%.0f ns", ns)
}

// bytesText writes a number of bytes with three digits.
func bytesText(v *float64) string {
	if v == nil {
		return "-"
	}
	n := *v
	for _, unit := range []string{"B", "KiB", "MiB", "GiB"} {
		if n < 1024 {
			return strings.TrimSuffix(number(&n), ".0") + " " + unit
		}
		n /= 1024
	}
	return number(&n) + " TiB"
}
