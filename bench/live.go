package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// live is an instance that runs beside the bench.
type live struct {
	b     *bench
	cmd   *exec.Cmd
	dir   string
	lines chan string // what it says and prints
	began time.Time
	ended chan struct{}
}

// launch makes a new instance with the flags and arguments.
func (b *bench) launch(monitor, dir string, argv ...string) (*live, error) {
	return b.background(dir, append([]string{"run", "--monitor", monitor, "--dir", dir}, argv...)...)
}

// launchInstance goes on with an instance.
func (b *bench) launchInstance(monitor, dir string, flags ...string) (*live, error) {
	return b.background(dir, append(append([]string{"run", "--monitor", monitor}, flags...), dir)...)
}

func (b *bench) background(dir string, args ...string) (*live, error) {
	l := &live{b: b, dir: dir, cmd: exec.Command(b.vm, args...), lines: make(chan string, 100), ended: make(chan struct{})}
	r, w, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	l.cmd.Stdout, l.cmd.Stderr = w, w
	l.began = time.Now()
	if err := l.cmd.Start(); err != nil {
		return nil, errors.Join(err, r.Close(), w.Close())
	}
	w.Close()
	go func() {
		for s := bufio.NewScanner(r); s.Scan(); {
			l.lines <- s.Text()
		}
		close(l.lines)
		r.Close()
		l.cmd.Wait() //nolint:errcheck // it is killed, or asked to stop
		close(l.ended)
	}()
	return l, nil
}

// until waits for a line with that text and returns it.
func (l *live) until(text string, limit time.Duration) (string, error) {
	var said []string
	timeout := time.After(limit)
	for {
		select {
		case s, ok := <-l.lines:
			if !ok {
				return "", fmt.Errorf("it ended: %s", strings.Join(said, "; "))
			}
			if strings.Contains(s, text) {
				return s, nil
			}
			said = append(said, s)
		case <-timeout:
			return "", errors.Join(fmt.Errorf("no %q after %v: %s", text, limit, strings.Join(said, "; ")), l.kill())
		case <-l.b.ctx.Done():
			return "", errors.Join(l.b.ctx.Err(), l.kill())
		}
	}
}

// kill ends the instance as a power cut of the process would.
func (l *live) kill() error {
	if err := l.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
		return err
	}
	l.end()
	return nil
}

// stop ends it at a last checkpoint.
func (l *live) stop() error {
	if err := l.cmd.Process.Signal(os.Interrupt); err != nil {
		return err
	}
	l.end()
	return nil
}

func (l *live) end() {
	for range l.lines {
	}
	<-l.ended
}

// numbers are those of `status --json` that the bench uses; nil if there was nothing to measure.
type numbers struct {
	Window        float64  `json:"window_seconds"`
	Rate          float64  `json:"checkpoints_per_second"`
	Pages         *float64 `json:"pages_per_checkpoint"`
	Amplification *float64 `json:"write_amplification"`
	FlipP50       *float64 `json:"flip_us_p50"`
	FlipP99       *float64 `json:"flip_us_p99"`
	SliceP50      *float64 `json:"slice_us_p50"`
	SliceP99      *float64 `json:"slice_us_p99"`
	CommitP50     *float64 `json:"commit_ms_p50"`
	CommitP99     *float64 `json:"commit_ms_p99"`
	AgeP99        *float64 `json:"durable_age_ms_p99"`
	FirstTouches  float64  `json:"first_touches"`
	Copied        float64  `json:"copied_pages"`
	Cleaned       float64  `json:"cleaned_pages"`
	Resident      float64  `json:"resident_pages"`
	GCCycles      float64  `json:"gc_cycles"`
	GCPauseP99    *float64 `json:"gc_pause_us_p99"`
}

// status asks the running instance.
func (l *live) status(flags ...string) (*numbers, error) {
	var out bytes.Buffer
	err := errors.New("not asked")
	for try := 0; try < 5 && err != nil; try++ { // on a busy machine an answer may come too late
		out.Reset()
		err = l.b.command(&out, append([]string{l.b.vm, "status", l.dir, "--json"}, flags...)...)
	}
	if err != nil {
		return nil, err
	}
	n := new(numbers)
	return n, json.Unmarshal(out.Bytes(), n)
}

// or0 is the number, 0 if there is none.
func or0(f *float64) float64 {
	if f == nil {
		return 0
	}
	return *f
}

// watch runs a program that does not end in a new instance, and returns its numbers after some time.
func (b *bench) watch(monitor string, d time.Duration, argv ...string) (*numbers, error) {
	defer b.clear()
	l, err := b.launch(monitor, filepath.Join(b.tmp, "i.phantom"), argv...)
	if err != nil {
		return nil, err
	}
	defer l.kill() //nolint:errcheck // it has nothing to lose
	if _, _, err := l.first(); err != nil {
		return nil, err
	}
	select {
	case <-time.After(d):
	case <-b.ctx.Done():
		return nil, b.ctx.Err()
	}
	return l.status()
}

var firstLine = regexp.MustCompile(`first instruction after ([0-9.]+) ms`)

// first waits for the first instruction: ms since the command was started, and ms by the command's own report.
func (l *live) first() (outside, own float64, err error) {
	s, err := l.until("first instruction after", 5*time.Minute)
	if err != nil {
		return 0, 0, err
	}
	outside = time.Since(l.began).Seconds() * 1e3
	m := firstLine.FindStringSubmatch(s)
	if m == nil {
		return 0, 0, fmt.Errorf("no start time in %q", s)
	}
	own, err = strconv.ParseFloat(m[1], 64)
	return outside, own, err
}

// written is how many bytes the command has written to files so far, and how many of them the kernel sent to a disk.
func (l *live) written() (calls, disk int64, err error) {
	b, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(l.cmd.Process.Pid), "io"))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(b)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
		n, _ := strconv.ParseInt(value, 10, 64) //nolint:errcheck // the kernel writes numbers
		switch name {
		case "wchar":
			calls = n
		case "write_bytes":
			disk = n
		}
	}
	return calls, disk, nil
}

// usedMiB is what the file takes on its disk.
func usedMiB(path string) (float64, error) {
	var st unix.Stat_t
	if err := unix.Stat(path, &st); err != nil {
		return 0, err
	}
	return float64(st.Blocks) * 512 / (1 << 20), nil
}
