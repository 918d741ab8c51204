package gofront_test

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront"
	"phantomvm/objectvm"
)

// The differential tests compile every program under testdata/go, run it in the
// VM and natively, and compare output, exit code and the text of an uncaught panic.

type wallClock struct{}

func (wallClock) Now() int64 { return time.Now().UnixNano() }

type result struct {
	stdout, stderr string
	code           int
}

// runVM runs a module until it ends.
func runVM(m *bytecode.Module, limit time.Duration) (result, error) {
	var r result
	data, err := bytecode.Encode(m)
	if err != nil {
		return r, err
	}
	a, err := objectvm.MapArena()
	if err != nil {
		return r, err
	}
	defer a.Unmap()
	vm, err := objectvm.New(a, data, objectvm.Config{Clock: wallClock{}, Barrier: openAll{}, Args: []string{"prog"}, GCStress: os.Getenv("GOFRONT_GCSTRESS") != ""})
	if err != nil {
		return r, err
	}
	defer vm.Close()
	var out [3]bytes.Buffer
	drain := func() error {
		for s := 1; s <= 2; s++ {
			from, to := vm.OutputRange(s)
			if from == to {
				continue
			}
			b, err := vm.Output(s, from)
			if err != nil {
				return err
			}
			out[s].Write(b)
			if err := vm.Trim(s, from+uint64(len(b))); err != nil {
				return err
			}
		}
		return nil
	}
	for end := time.Now().Add(limit); ; {
		st := vm.RunSlice(100_000)
		if err := drain(); err != nil {
			return r, err
		}
		switch st.Kind {
		case objectvm.Running:
		case objectvm.Idle:
			time.Sleep(min(time.Until(time.Unix(0, st.Until)), 10*time.Millisecond))
		case objectvm.Exited:
			return result{out[1].String(), out[2].String(), st.Code}, nil
		default:
			return r, errors.Join(errors.New("the VM can't go on; stderr: "+out[2].String()), st.Err)
		}
		if time.Now().After(end) {
			return r, errors.New("timeout; stdout: " + out[1].String() + " stderr: " + out[2].String())
		}
	}
}

// runGo runs a program with the Go toolchain.
func runGo(t *testing.T, bin string, files ...string) result {
	t.Helper()
	build := exec.Command("go", append([]string{"build", "-o", bin}, files...)...)
	text, err := build.CombinedOutput()
	require.NoError(t, err, "%s", text)
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	r := result{stdout: stdout.String(), stderr: stderr.String()}
	var ee *exec.ExitError
	if errors.As(err, &ee) {
		r.code = ee.ExitCode()
	} else {
		require.NoError(t, err)
	}
	return r
}

// message is the part of standard error before the first goroutine's stack.
func message(s string) string {
	if i := strings.Index(s, "\ngoroutine "); i >= 0 {
		s = s[:i]
	}
	return s
}

func TestDifferential(t *testing.T) {
	dir := "../../testdata/go"
	if d := os.Getenv("GOFRONT_DIFF"); d != "" {
		dir = d
	}
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			m, err := gofront.Compile(gofront.Config{Patterns: []string{f}})
			require.NoError(t, err)
			require.NoError(t, bytecode.Verify(m))
			got, err := runVM(m, 60*time.Second)
			require.NoError(t, err)
			want := runGo(t, filepath.Join(t.TempDir(), "prog"), f)
			require.Equal(t, want.stdout, got.stdout)
			require.Equal(t, message(want.stderr), message(got.stderr))
			require.Equal(t, want.code, got.code)
		})
	}
}
