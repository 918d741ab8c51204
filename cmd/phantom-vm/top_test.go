package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"phantomvm/objectvm/machine/wire"
)

func TestTexts(t *testing.T) {
	for v, want := range map[float64]string{0: "0", 1: "1 ns", 999: "999 ns", 1500: "1.5 µs", 123456: "123 µs", 2.5e6: "2.5 ms", 61e9: "61 s"} {
		require.Equal(t, want, durationText(v))
	}
	for v, want := range map[float64]string{0: "0 B", 1023: "1023 B", 1536: "1.5 KiB", 5 << 30: "5 GiB", 3 << 40: "3 TiB"} {
		require.Equal(t, want, bytesText(&v))
	}
	require.Equal(t, "-", bytesText(nil))
	require.Equal(t, "-", millis(nil))
	require.Equal(t, "▁▅█", curve([]float64{0, 5, 10}))
	require.Equal(t, "▁▁", curve([]float64{0, 0}))
	require.Equal(t, "ab…", cut("abcd", 3))
	require.Equal(t, "▁▂", cut("▁▂", 2))
}

func testSamples() []sample {
	s := &wire.Stats{At: 20e9, Began: 10e9, Checkpoints: 990, Pages: 99000, DeviceBytes: 99000 * 4096 * 5 / 4, Interval: 10e6}
	for i := range uint64(100) {
		s.Flip.Record(10_000 + i)
		s.Commit.Record(2_000_000 + i)
	}
	live := &statusReport{State: "running", Monitor: "kvm", Epoch: 1234567, PID: 42, liveNumbers: newLiveNumbers(s, 5e9, 0)}
	return []sample{
		{Dir: "live\x1b[2J.phantom", statusReport: live, rates: []float64{45, 99}},
		{Dir: "dead", statusReport: &statusReport{State: "exited", Epoch: 9, ArenaPages: 77}},
		{Dir: "gone", Error: "no such file"},
	}
}

func TestRender(t *testing.T) {
	all := testSamples()
	text := strings.Join(render(all, 0, 200, 100), "\n")
	for _, want := range []string{"99.0/s", "1234567", "pid 42", "up 15s", "amplification 1.25", "2 ms", "9.98 µs", "▄█", "exited", "no such file", "▸ live\uFFFD[2J"} {
		require.Contains(t, text, want)
	}
	require.NotContains(t, text, "\x1b", "nothing a terminal would obey")
	require.Contains(t, strings.Join(render(all, 1, 200, 100), "\n"), "77 pages")
	require.Contains(t, strings.Join(render(all, 2, 200, 100), "\n"), "gone: no such file")
	require.NotContains(t, strings.Join(render(all[:1], 0, 200, 100), "\n"), "RESIDENT", "one instance needs no table")
	require.Contains(t, strings.Join(render(nil, 0, 80, 24), "\n"), "no answer yet")
	for _, size := range [][2]int{{1, 1}, {10, 3}, {40, 10}, {0, 0}} {
		lines := render(all, 0, size[0], size[1])
		require.LessOrEqual(t, len(lines), max(size[1], 1))
		for _, l := range lines {
			require.LessOrEqual(t, utf8.RuneCountInString(l), max(size[0], 1))
		}
	}
}

// startWorker runs an instance in the background until the test ends.
func startWorker(t *testing.T, mon string) string {
	dir := filepath.Join(t.TempDir(), "i.phantom")
	r := vm(t, "run", "--detach", "--monitor", mon, "--dir", dir, module(t, program0(t, worker)))
	require.Zero(t, r.code, r.stderr)
	t.Cleanup(func() { vm(t, "stop", dir) })
	return dir
}

func TestTopJSON(t *testing.T) {
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			dir := startWorker(t, mon)
			idle := stopped(t)
			cmd := exec.Command(command(t), "top", "--json", "--interval", "300ms", dir, idle)
			out, err := cmd.StdoutPipe()
			require.NoError(t, err)
			require.NoError(t, cmd.Start())
			defer func() { cmd.Process.Kill(); cmd.Wait() }() //nolint:errcheck // it is only cleared away
			epoch := 0.0
			lines := bufio.NewScanner(out)
			for round := range 4 {
				for _, want := range []string{dir, idle} {
					require.True(t, lines.Scan())
					var s map[string]any
					require.NoError(t, json.Unmarshal(lines.Bytes(), &s))
					require.Equal(t, want, s["dir"])
					if want == idle {
						require.Equal(t, "stopped", s["state"])
						require.NotContains(t, s, "checkpoints_per_second")
						continue
					}
					require.Equal(t, "running", s["state"])
					require.GreaterOrEqual(t, s["epoch"], epoch)
					epoch, _ = s["epoch"].(float64)
					if round > 0 {
						require.Greater(t, s["window_seconds"], 0.1, "since the line before")
						require.Less(t, s["window_seconds"], s["uptime_seconds"])
					}
				}
			}
			require.NoError(t, cmd.Process.Signal(syscall.SIGINT))
			require.NoError(t, cmd.Wait())
		})
	}
}

func TestTopOnce(t *testing.T) {
	dir, idle := startWorker(t, "process"), stopped(t)
	for _, args := range [][]string{{"top", dir, idle}, {"top", "--once", dir, idle}} { // the first finds no terminal
		r := vm(t, args...)
		require.Zero(t, r.code, r.stderr)
		require.Contains(t, r.stdout, dir+": running")
		require.Contains(t, r.stdout, "checkpoints ")
		require.Contains(t, r.stdout, idle+": stopped")
	}
	r := vmIn(t, filepath.Dir(idle), "top", "--json", "--once")
	require.Zero(t, r.code, r.stderr)
	require.Contains(t, r.stdout, `"dir":"i.phantom"`)
	for _, c := range []struct {
		args []string
		code int
	}{
		{[]string{"top", t.TempDir()}, exitData},
		{[]string{"top", "/nowhere"}, exitData},
		{[]string{"top", "--interval", "1ms", idle}, exitUsage},
		{[]string{"top", "--interval", "soon", idle}, exitUsage},
	} {
		require.Equal(t, c.code, vm(t, c.args...).code, "%v", c.args)
	}
	r = vmIn(t, t.TempDir(), "top")
	require.Equal(t, exitUsage, r.code)
	require.Contains(t, r.stderr, "name an instance")
}

// pty is a pseudo terminal.
func pty(t *testing.T) (master, slave *os.File) {
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skipf("no pseudo terminals here: %v", err)
	}
	t.Cleanup(func() { master.Close() })
	require.NoError(t, unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0))
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	require.NoError(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { slave.Close() })
	require.NoError(t, unix.IoctlSetWinsize(int(master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 30, Col: 160}))
	return master, slave
}

// TestTopOnTerminal watches an instance on a terminal, presses keys, and finds the terminal as it was afterwards.
func TestTopOnTerminal(t *testing.T) {
	dir, idle := startWorker(t, "process"), stopped(t)
	for name, end := range map[string]func(t *testing.T, master *os.File, p *os.Process){
		"q": func(t *testing.T, master *os.File, _ *os.Process) {
			_, err := master.WriteString("q")
			require.NoError(t, err)
		},
		"Ctrl-C": func(t *testing.T, _ *os.File, p *os.Process) { require.NoError(t, p.Signal(syscall.SIGINT)) },
	} {
		t.Run(name, func(t *testing.T) {
			master, slave := pty(t)
			before, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			require.NoError(t, err)
			cmd := exec.Command(command(t), "top", "--interval", "100ms", dir, idle)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			cmd.Env = append(os.Environ(), "TERM=xterm")
			require.NoError(t, cmd.Start())
			var mu sync.Mutex
			var screen bytes.Buffer
			go func() {
				b := make([]byte, 4096)
				for {
					n, err := master.Read(b)
					if err != nil {
						return
					}
					mu.Lock()
					screen.Write(b[:n])
					mu.Unlock()
				}
			}()
			shows := func(what string) bool {
				mu.Lock()
				defer mu.Unlock()
				return strings.Contains(screen.String(), what)
			}
			eventually(t, "the first picture", func() bool { return shows(enterScreen) && shows("amplification") && shows("RESIDENT") })
			require.False(t, shows("durable at"))
			_, err = master.WriteString("\x1b[B\x1b[B\x1b[Bx")
			require.NoError(t, err)
			eventually(t, "the other instance", func() bool { return shows("durable at") })
			end(t, master, cmd.Process)
			done := make(chan error, 1)
			go func() { done <- cmd.Wait() }()
			select {
			case err := <-done:
				require.NoError(t, err)
			case <-time.After(20 * time.Second):
				cmd.Process.Kill() //nolint:errcheck // it is only cleared away
				t.Fatal("it does not end")
			}
			eventually(t, "the old screen", func() bool { return shows(leaveScreen) })
			after, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			require.NoError(t, err)
			require.Equal(t, before, after)
		})
	}
}
