package monitor

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront"
	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/hypervisor/tender"
	"phantomvm/objectvm/machine"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist/filedev"
)

// cat copies its input to its output, and says so.
const cat = `package main

import "syscall"

func main() {
	println("ready")
	b := make([]byte, 1000)
	for {
		n, err := syscall.Read(0, b)
		if n <= 0 || err != nil {
			break
		}
		syscall.Write(1, b[:n])
	}
	println("end")
	syscall.Exit(4)
}
`

var compiled = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "phantom-test-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "cat.go")
	if err := os.WriteFile(path, []byte(cat), 0o600); err != nil {
		return nil, err
	}
	m, err := gofront.Compile(gofront.Config{Patterns: []string{path}})
	if err != nil {
		return nil, err
	}
	return bytecode.Encode(m)
})

// newCat makes an instance of cat.
func newCat(t *testing.T) *instance.Instance {
	code, err := compiled()
	require.NoError(t, err)
	return newInstance(t, func(i *instance.Instance) error {
		dev, err := filedev.Create(i.Path("disk.img"), 1<<30)
		if err != nil {
			return err
		}
		defer dev.Close()
		return machine.Create(dev, code, machine.Options{InstanceID: i.Record.ID, ArenaLimit: 64 << 20})
	})
}

func kinds(t *testing.T) []Kind {
	if err := errors.Join(tender.Available(), KernelPresent()); err != nil {
		t.Logf("SKIPPED under kvm: %v", err)
		return []Kind{Process}
	}
	return []Kind{Process, KVM}
}

type run struct {
	res *Result
	err error
}

func start(ctx context.Context, inst *instance.Instance, opts Options) <-chan run {
	opts.Interval, opts.Memory, opts.Log = time.Millisecond, 256<<20, io.Discard
	done := make(chan run, 1)
	go func() {
		res, err := Run(ctx, inst, opts)
		done <- run{res, err}
	}()
	return done
}

func await(t *testing.T, done <-chan run) run {
	select {
	case r := <-done:
		return r
	case <-time.After(20 * time.Second):
		b := make([]byte, 1<<16)
		t.Fatalf("the run does not end\n%s", b[:runtime.Stack(b, true)])
		return run{}
	}
}

func until(t *testing.T, what string, f func() bool) {
	for deadline := time.Now().Add(20 * time.Second); !f(); time.Sleep(time.Millisecond) {
		require.True(t, time.Now().Before(deadline), "%s: not within 20 s", what)
	}
}

func read(t *testing.T, inst *instance.Instance, name string) string {
	b, err := os.ReadFile(inst.Path(name))
	require.NoError(t, err)
	return string(b)
}

// TestStopAndGoOn: a stop while the program waits for input, by the socket and by the context; then the rest of
// the input comes.
func TestStopAndGoOn(t *testing.T) {
	for _, kind := range kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			inst := newCat(t)
			before := runtime.NumGoroutine()
			in, feed := io.Pipe()
			done := start(context.Background(), inst, Options{Kind: kind, Stdin: in, Stdout: io.Discard, Stderr: io.Discard})
			_, err := feed.Write([]byte("one "))
			require.NoError(t, err)
			until(t, "output", func() bool { return read(t, inst, "console.log") == "one " })
			_, err = inst.Ask(instance.Request{Op: "frobnicate"})
			require.ErrorContains(t, err, "unknown request")
			r, err := inst.Ask(instance.Request{Op: "status"})
			require.NoError(t, err)
			require.Equal(t, string(kind), r.Monitor)
			require.Equal(t, wire.Running, r.Status.State)
			_, err = inst.Ask(instance.Request{Op: "stop"})
			require.NoError(t, err)
			ended := await(t, done)
			require.NoError(t, ended.err)
			require.Equal(t, wire.Stopped, ended.res.Status.State)
			require.NoError(t, feed.Close())

			ctx, cancel := context.WithCancel(context.Background())
			cancel() // before anything began
			ended = await(t, start(ctx, inst, Options{Kind: kind, Stdout: io.Discard, Stderr: io.Discard, Stdin: strings.NewReader("lost?")}))
			require.NoError(t, ended.err)
			require.Equal(t, wire.Stopped, ended.res.Status.State)

			for range 2 { // the second time there is nothing to execute
				ended = await(t, start(context.Background(), inst, Options{
					Kind: kind, Stdout: io.Discard, Stderr: io.Discard, Stdin: strings.NewReader("two"),
				}))
				require.NoError(t, ended.err)
				require.Equal(t, wire.Exited, ended.res.Status.State)
				require.Equal(t, 4, ended.res.Status.ExitCode)
			}
			want := "one two"
			if strings.Contains(read(t, inst, "console.log"), "lost?") {
				want = "one lost?two" // the program asked for it before it was stopped
			}
			require.Equal(t, want, read(t, inst, "console.log"))
			require.Equal(t, "ready\nend\n", read(t, inst, "stderr.log"))
			until(t, "goroutines end", func() bool { return runtime.NumGoroutine() <= before })
		})
	}
}

// TestConsoleFailsUnderIdleProgram: the host gives up while the program waits for input. Nothing may hang.
func TestConsoleFailsUnderIdleProgram(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	for _, kind := range kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			inst := newCat(t)
			require.NoError(t, os.Symlink("/dev/full", inst.Path("stderr.log")))
			r := await(t, start(context.Background(), inst, Options{Kind: kind, Stdout: io.Discard, Stderr: io.Discard, Stdin: blockedReader{}}))
			require.ErrorContains(t, r.err, "no space")
			require.NoError(t, os.Remove(inst.Path("stderr.log")))
			r = await(t, start(context.Background(), inst, Options{Kind: kind, Stdout: io.Discard, Stderr: io.Discard}))
			require.NoError(t, r.err)
			require.Equal(t, wire.Exited, r.res.Status.State)
			require.Equal(t, "ready\nend\n", read(t, inst, "stderr.log"))
		})
	}
}

type blockedReader struct{}

func (blockedReader) Read([]byte) (int, error) { select {} }

// slowTerminal is a terminal that was paused.
type slowTerminal struct {
	shown
	paused chan struct{}
}

func (s *slowTerminal) Write(b []byte) (int, error) {
	<-s.paused
	return s.shown.Write(b)
}

// TestPausedTerminal: more output than all buffers hold, to a terminal that takes none for a while.
func TestPausedTerminal(t *testing.T) {
	for _, kind := range kinds(t) {
		t.Run(string(kind), func(t *testing.T) {
			inst := newCat(t)
			text := strings.Repeat("0123456789abcde\n", 64<<10)
			require.NoError(t, inst.CopyInput(strings.NewReader(text)))
			out := &slowTerminal{paused: make(chan struct{})}
			done := start(context.Background(), inst, Options{Kind: kind, Stdout: out, Stderr: io.Discard})
			time.Sleep(300 * time.Millisecond)
			require.Less(t, len(read(t, inst, "console.log")), len(text)/2)
			close(out.paused)
			r := await(t, done)
			require.NoError(t, r.err)
			require.Equal(t, wire.Exited, r.res.Status.State)
			require.True(t, text == out.String(), "%d bytes shown, expected %d", len(out.String()), len(text))
			require.True(t, text == read(t, inst, "console.log"))
		})
	}
}

// TestNothingToRun: errors before anything begins.
func TestNothingToRun(t *testing.T) {
	inst := newCat(t)
	_, err := Run(context.Background(), inst, Options{Kind: "cloud"})
	require.ErrorContains(t, err, "cloud")
	require.NoError(t, os.Remove(inst.Path("disk.img")))
	_, err = Run(context.Background(), inst, Options{Kind: Process})
	require.ErrorIs(t, err, os.ErrNotExist)
}
