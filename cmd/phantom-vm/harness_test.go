package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/hypervisor/tender"
)

// These tests drive the built command, as a user does. `make test` names it in PHANTOM_VM.

// command returns the path of bin/phantom-vm.
func command(t testing.TB) string {
	path := os.Getenv("PHANTOM_VM")
	if path == "" {
		path = filepath.Join(repoRoot(t), "bin", "phantom-vm")
	}
	if _, err := os.Stat(path); err != nil {
		t.Skipf("%s is not built; `make build` builds it", path)
	}
	return path
}

func repoRoot(t testing.TB) string {
	wd, err := os.Getwd()
	require.NoError(t, err)
	return filepath.Dir(filepath.Dir(wd))
}

// monitors are those that can be tested here. KVM is skipped aloud, unless PHANTOM_REQUIRE_KVM=1.
func monitors(t testing.TB) []string {
	if err := tender.Available(); err != nil {
		if os.Getenv("PHANTOM_REQUIRE_KVM") == "1" {
			t.Fatalf("PHANTOM_REQUIRE_KVM=1, but: %v", err)
		}
		t.Logf("SKIPPED under kvm: %v", err)
		return []string{"process"}
	}
	return []string{"kvm", "process"}
}

// result of one command.
type result struct {
	stdout, stderr string
	code           int
}

// vm runs the command to its end.
func vm(t testing.TB, args ...string) result {
	return vmIn(t, "", args...)
}

func vmIn(t testing.TB, dir string, args ...string) result {
	cmd := exec.Command(command(t), args...)
	cmd.Dir = dir
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

var modules sync.Map // source -> *sync.OnceValues

// module compiles an example (or any package) once for all tests.
func module(t testing.TB, pkg string) string {
	once, _ := modules.LoadOrStore(pkg, sync.OnceValues(func() (string, error) {
		f, err := os.CreateTemp("", "phantom-test-*.pbc")
		if err != nil {
			return "", err
		}
		f.Close()
		cmd := exec.Command(command(t), "build", "-o", f.Name(), pkg)
		cmd.Dir = repoRoot(t)
		if out, err := cmd.CombinedOutput(); err != nil {
			return "", errors.New(string(out))
		}
		return f.Name(), nil
	}))
	path, err := once.(func() (string, error))()
	require.NoError(t, err)
	return path
}

// instanceStatus is the part of `status --json` that tests look at.
type instanceStatus struct {
	State       string `json:"state"`
	ExitCode    int    `json:"exit_code"`
	Epoch       uint64 `json:"epoch"`
	Incarnation uint64 `json:"incarnation"`
	Monitor     string `json:"monitor"`
	DurableAt   string `json:"durable_at"`
	PID         int    `json:"pid"`
}

func statusOf(t testing.TB, dir string) (s instanceStatus) {
	r := vm(t, "status", "--json", dir)
	require.Zero(t, r.code, r.stderr)
	require.NoError(t, json.Unmarshal([]byte(r.stdout), &s))
	return s
}

// readFile returns a file's text, "" if it is not there.
func readFile(t testing.TB, path string) string {
	b, err := os.ReadFile(path)
	if !errors.Is(err, os.ErrNotExist) {
		require.NoError(t, err)
	}
	return string(b)
}

// eventually polls until f is true.
func eventually(t testing.TB, what string, f func() bool) {
	for deadline := time.Now().Add(30 * time.Second); !f(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within 30 s", what)
		}
	}
}

// goRun is what the ordinary toolchain makes of a package: stdout, stderr and exit code.
func goRun(t testing.TB, pkg string, stdin string) result {
	bin := filepath.Join(t.TempDir(), "native")
	build := exec.Command("go", "build", "-o", bin, pkg)
	build.Dir = repoRoot(t)
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	cmd := exec.Command(bin)
	cmd.Stdin = strings.NewReader(stdin)
	var so, se bytes.Buffer
	cmd.Stdout, cmd.Stderr = &so, &se
	err = cmd.Run()
	var exit *exec.ExitError
	if err != nil {
		require.ErrorAs(t, err, &exit)
	}
	return result{so.String(), se.String(), cmd.ProcessState.ExitCode()}
}
