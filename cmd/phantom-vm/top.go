package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/objectvm/machine/wire"
)

// sample is what one instance said in one round.
type sample struct {
	Dir   string    `json:"dir"`
	At    time.Time `json:"at"`
	Error string    `json:"error,omitempty"`
	*statusReport

	rates []float64 // checkpoints per second of the rounds so far, oldest first
}

// watcher asks instances again and again. What was counted between two rounds is shown.
type watcher struct {
	dirs []string
	last []*wire.Stats // of the round before, nil if it did not run then
	past [][]float64
}

// pastRounds is how many rounds are kept for the curve.
const pastRounds = 60

func newWatcher(dirs []string) *watcher {
	return &watcher{dirs: dirs, last: make([]*wire.Stats, len(dirs)), past: make([][]float64, len(dirs))}
}

// round asks all of them at once.
func (w *watcher) round() []sample {
	all := make([]sample, len(w.dirs))
	var wg sync.WaitGroup
	for i := range w.dirs {
		wg.Go(func() { all[i] = w.one(i) })
	}
	wg.Wait()
	return all
}

func (w *watcher) one(i int) sample {
	s := sample{Dir: w.dirs[i], At: time.Now().UTC()}
	before := w.last[i]
	w.last[i] = nil
	inst, err := instance.Open(s.Dir)
	if err == nil {
		s.statusReport, err = report(inst, false)
	}
	if err != nil {
		s.Error = err.Error()
		return s
	}
	if s.all == nil {
		return s
	}
	w.last[i] = s.all
	if before != nil && before.Began == s.all.Began && before.At < s.all.At {
		began, start := s.all.Began, time.Duration(0)
		if s.StartMillis != nil {
			start = time.Duration(*s.StartMillis * 1e6)
		}
		s.liveNumbers = newLiveNumbers(s.all.Since(before), began, start)
	}
	w.past[i] = append(w.past[i], s.CheckpointRate)
	if n := len(w.past[i]); n > pastRounds {
		w.past[i] = w.past[i][n-pastRounds:]
	}
	s.rates = w.past[i]
	return s
}

func newTop() *cobra.Command {
	var once, asJSON bool
	var interval time.Duration
	cmd := &cobra.Command{
		Use:   "top [INSTANCE...]",
		Short: "Watch the numbers of running instances",
		Long: `Top shows the numbers of instances, those of the time since the line before, once a second:
one in full, several as a table (up and down choose the one in full, q ends it). Without
arguments it shows all NAME.phantom here. Where there is no terminal it prints them once.`,
		Example: `  phantom-vm top counter.phantom
  phantom-vm top --once
  phantom-vm top --json a.phantom b.phantom | jq .commit_ms_p99`,
		RunE: func(cmd *cobra.Command, dirs []string) error {
			if interval < 100*time.Millisecond {
				return fail(exitUsage, "--interval %v: at least 100ms", interval)
			}
			if len(dirs) == 0 {
				var err error
				if dirs, err = filepath.Glob("*.phantom"); err != nil || len(dirs) == 0 {
					return fail(exitUsage, "no *.phantom here; name an instance")
				}
			}
			for _, d := range dirs {
				if _, err := instance.Open(d); err != nil {
					return classify(err)
				}
			}
			w := newWatcher(dirs)
			ctx, stop, _ := catchSignals(cmd.Context())
			defer stop()
			tty := openTerminal(os.Stdin, os.Stdout)
			switch {
			case asJSON:
				return streamJSON(ctx, cmd.OutOrStdout(), w, interval, once)
			case once || tty == nil:
				for _, s := range w.round() {
					s.printOnce(cmd.OutOrStdout())
				}
				return nil
			}
			return tty.watch(ctx, w, interval)
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "print one round and end")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a line of JSON for each instance and round")
	cmd.Flags().DurationVar(&interval, "interval", time.Second, "between two rounds")
	return cmd
}

// streamJSON writes rounds as lines until ctx ends, or the reader goes away.
func streamJSON(ctx context.Context, out io.Writer, w *watcher, interval time.Duration, once bool) error {
	enc := json.NewEncoder(out)
	for tick := time.NewTicker(interval); ; {
		for _, s := range w.round() {
			if err := enc.Encode(s); err != nil {
				return &exitError{exitUnavailable, err}
			}
		}
		if once {
			return nil
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// printOnce writes a sample as status does.
func (s *sample) printOnce(w io.Writer) {
	if s.statusReport == nil {
		fmt.Fprintf(w, "%s: %s\n", printableLine(s.Dir), s.Error)
		return
	}
	s.print(w, printableLine(s.Dir))
}
