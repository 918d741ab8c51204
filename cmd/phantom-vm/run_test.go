package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// program writes a one-file program and returns its path.
func program(t testing.TB, src string) string {
	path := filepath.Join(t.TempDir(), "prog.go")
	require.NoError(t, os.WriteFile(path, []byte("package main\n"+src), 0o600))
	return path
}

const sleeper = `
import ("fmt"; "time")
func main() {
	for i := 0; ; i++ {
		fmt.Println("tick", i)
		time.Sleep(20 * time.Millisecond)
	}
}`

func TestExamplesMatchExpected(t *testing.T) {
	for _, mon := range monitors(t) {
		for _, name := range []string{"counter", "ledger", "life", "pipeline", "panics"} {
			t.Run(mon+"/"+name, func(t *testing.T) {
				want, err := os.ReadFile(filepath.Join(repoRoot(t), "examples", name, "expected.txt"))
				require.NoError(t, err)
				dir := filepath.Join(t.TempDir(), "i.phantom")
				r := vm(t, "run", "--quiet", "--monitor", mon, "--dir", dir, module(t, "./examples/"+name))
				require.Equal(t, string(want), r.stdout, r.stderr)
				if name == "panics" {
					require.Equal(t, 2, r.code)
					require.Contains(t, r.stderr, "panic: the end, with 50 deferred calls still to run")
					require.Contains(t, r.stderr, "main.main()")
					require.Equal(t, "crashed", statusOf(t, dir).State)
				} else {
					require.Zero(t, r.code)
				}
			})
		}
	}
}

// TestPagesComeOnDemand: an image file pages in both monitors; the command would say so if it did not.
func TestPagesComeOnDemand(t *testing.T) {
	mod := module(t, program(t, `func main() { println("hi") }`))
	for _, mon := range monitors(t) {
		r := vm(t, "run", "--monitor", mon, "--dir", filepath.Join(t.TempDir(), "i.phantom"), mod)
		require.Zero(t, r.code)
		require.Contains(t, r.stderr, "hi")
		require.NotContains(t, r.stderr, "demand paging")
	}
}

func TestEndedInstanceSaysSo(t *testing.T) {
	mod := module(t, program(t, `import "os"; func main() { println("hi"); os.Exit(7) }`))
	dir := filepath.Join(t.TempDir(), "i.phantom")
	require.Equal(t, 7, vm(t, "run", "--dir", dir, mod).code)
	s := statusOf(t, dir)
	require.Equal(t, "exited", s.State)
	require.Equal(t, 7, s.ExitCode)
	r := vm(t, "run", dir)
	require.Equal(t, 7, r.code)
	require.Contains(t, r.stderr, "ended with exit code 7")
	require.Equal(t, "hi\n", readFile(t, filepath.Join(dir, "stderr.log")))
}

func TestChangedProgramIsRefused(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "i.phantom")
	a, b := module(t, program(t, `func main() { println("a") }`)), module(t, program(t, `func main() { println("b") }`))
	require.Zero(t, vm(t, "run", "--dir", dir, a).code)
	r := vm(t, "run", "--dir", dir, b)
	require.Equal(t, exitUnavailable, r.code)
	require.Contains(t, r.stderr, "changed since")
	r = vm(t, "run", "--fresh", "--dir", dir, b)
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, "b\n", readFile(t, filepath.Join(dir, "stderr.log")))
	require.Equal(t, "a\n", readFile(t, filepath.Join(dir+".old-1", "stderr.log")))
}

func TestSignalsCheckpointAndResume(t *testing.T) {
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "i.phantom")
			for i, sig := range []syscall.Signal{syscall.SIGINT, syscall.SIGTERM, syscall.SIGINT} {
				before := readFile(t, filepath.Join(dir, "console.log"))
				cmd := exec.Command(command(t), "run", "--quiet", "--monitor", mon, "--dir", dir, module(t, program0(t, sleeper)))
				require.NoError(t, cmd.Start())
				eventually(t, "new output", func() bool { return len(readFile(t, filepath.Join(dir, "console.log"))) > len(before) })
				require.NoError(t, cmd.Process.Signal(sig))
				cmd.Wait() //nolint:errcheck // the exit code is looked at
				require.Equal(t, 128+int(sig), cmd.ProcessState.ExitCode(), "run %d", i)
				require.Equal(t, "stopped", statusOf(t, dir).State)
			}
			lines := strings.Split(strings.TrimSpace(readFile(t, filepath.Join(dir, "console.log"))), "\n")
			for i, l := range lines {
				require.Equal(t, "tick "+itoa(i), l)
			}
			require.Equal(t, uint64(3), statusOf(t, dir).Incarnation)
		})
	}
}

// program0 is program with a path that stays the same within a process, so that module compiles it once.
var program0 = func() func(testing.TB, string) string {
	paths := map[string]string{}
	return func(t testing.TB, src string) string {
		if paths[src] == "" {
			d, err := os.MkdirTemp("", "phantom-test-")
			require.NoError(t, err)
			paths[src] = filepath.Join(d, "prog.go")
			require.NoError(t, os.WriteFile(paths[src], []byte("package main\n"+src), 0o600))
		}
		return paths[src]
	}
}()

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func TestDetachStatusConsoleStop(t *testing.T) {
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "i.phantom")
			r := vm(t, "run", "--detach", "--monitor", mon, "--dir", dir, module(t, program0(t, sleeper)))
			require.Zero(t, r.code, r.stderr)
			s := statusOf(t, dir)
			require.Equal(t, "running", s.State)
			require.Equal(t, mon, s.Monitor)
			second := vm(t, "run", dir)
			require.Equal(t, exitUnavailable, second.code)
			require.Contains(t, second.stderr, "running")
			eventually(t, "output", func() bool { return strings.Contains(vm(t, "console", dir).stdout, "tick 3\n") })
			require.Zero(t, vm(t, "stop", dir).code)
			require.Equal(t, "stopped", statusOf(t, dir).State)
			require.Zero(t, vm(t, "fsck", dir).code)
		})
	}
}

func TestInstanceMovesBetweenMonitors(t *testing.T) {
	mons := monitors(t)
	if len(mons) < 2 {
		t.Skip("needs both monitors")
	}
	dir := filepath.Join(t.TempDir(), "i.phantom")
	mod := module(t, "./examples/counter")
	for i := 0; ; i++ {
		require.Less(t, i, 50)
		cmd := exec.Command(command(t), "run", "--quiet", "--monitor", mons[i%2], "--dir", dir, mod)
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		select {
		case err := <-done:
			require.NoError(t, err)
		case <-time.After(400 * time.Millisecond):
			require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
			<-done
			continue
		}
		break
	}
	want := readFile(t, filepath.Join(repoRoot(t), "examples", "counter", "expected.txt"))
	require.Equal(t, want, readFile(t, filepath.Join(dir, "console.log")))
}

func TestArgumentsAndInput(t *testing.T) {
	prog := program(t, `
import ("fmt"; "io"; "os")
func main() {
	b, err := io.ReadAll(os.Stdin)
	fmt.Println(len(b), err, os.Args[1:])
}`)
	in := filepath.Join(t.TempDir(), "in.txt")
	require.NoError(t, os.WriteFile(in, []byte(strings.Repeat("0123456789", 30000)), 0o600))
	for _, mon := range monitors(t) {
		dir := filepath.Join(t.TempDir(), mon+".phantom")
		r := vm(t, "run", "--monitor", mon, "--dir", dir, "--input", in, module(t, prog), "--", "-x", "y z")
		require.Equal(t, "300000 <nil> [-x y z]\n", r.stdout, r.stderr)
	}
}

func TestIdleProgramUsesNothing(t *testing.T) {
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "i.phantom")
			prog := program0(t, `import "time"; func main() { println("idle"); time.Sleep(24 * time.Hour) }`)
			cmd := exec.Command(command(t), "run", "--quiet", "--monitor", mon, "--dir", dir, module(t, prog))
			require.NoError(t, cmd.Start())
			defer func() { cmd.Process.Kill(); cmd.Wait() }() //nolint:errcheck // it is only cleared away
			eventually(t, "output", func() bool { return readFile(t, filepath.Join(dir, "stderr.log")) != "" })
			time.Sleep(300 * time.Millisecond)
			cpu, writes, epoch := cpuTicks(t, cmd.Process.Pid), written(t, cmd.Process.Pid), statusOf(t, dir).Epoch
			time.Sleep(2 * time.Second)
			require.Equal(t, epoch, statusOf(t, dir).Epoch, "an idle program makes no checkpoints")
			require.LessOrEqual(t, cpuTicks(t, cmd.Process.Pid)-cpu, 10, "hundredths of a second of CPU in 2 s")
			require.LessOrEqual(t, written(t, cmd.Process.Pid)-writes, 4096, "bytes written in 2 s")
		})
	}
}

// TestReaderGoesAway: `run | head` ends at a checkpoint, and the instance goes on later.
func TestReaderGoesAway(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "i.phantom")
	r, w, err := os.Pipe()
	require.NoError(t, err)
	cmd := exec.Command(command(t), "run", "--quiet", "--monitor", "process", "--dir", dir, module(t, "./examples/counter"))
	cmd.Stdout = w
	require.NoError(t, cmd.Start())
	w.Close()
	_, err = r.Read(make([]byte, 100))
	require.NoError(t, err)
	r.Close()
	cmd.Wait() //nolint:errcheck // the exit code is looked at
	require.Equal(t, 128+int(syscall.SIGPIPE), cmd.ProcessState.ExitCode())
	require.Equal(t, "stopped", statusOf(t, dir).State)
	require.Zero(t, vm(t, "run", dir).code)
	require.Equal(t, readFile(t, filepath.Join(repoRoot(t), "examples", "counter", "expected.txt")), readFile(t, filepath.Join(dir, "console.log")))
}

// cpuTicks is the CPU time of a process in hundredths of a second.
func cpuTicks(t *testing.T, pid int) int {
	text := readFile(t, filepath.Join("/proc", itoa(pid), "stat"))
	f := strings.Fields(text[strings.LastIndex(text, ")")+1:])
	return atoi(f[11]) + atoi(f[12])
}

// written is how many bytes a process has caused to be written.
func written(t *testing.T, pid int) int {
	for _, l := range strings.Split(readFile(t, filepath.Join("/proc", itoa(pid), "io")), "\n") {
		if v, ok := strings.CutPrefix(l, "write_bytes: "); ok {
			return atoi(v)
		}
	}
	t.Fatal("no write_bytes")
	return 0
}

func atoi(s string) (n int) {
	for _, c := range s {
		n = n*10 + int(c-'0')
	}
	return n
}
