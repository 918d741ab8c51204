package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist/nbddev/nbdtest"
)

// loopDevice makes a block device of size bytes, or skips the test aloud.
func loopDevice(t testing.TB, size int64) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "disk")
	require.NoError(t, os.WriteFile(file, nil, 0o600))
	require.NoError(t, os.Truncate(file, size))
	out, err := exec.Command("losetup", "-f", "--show", file).CombinedOutput()
	if err != nil {
		fmt.Fprintf(os.Stderr, "SKIPPED without a loop device: %s: %v: %s\n", t.Name(), err, out)
		t.Skipf("losetup: %v: %s", err, out)
	}
	dev := strings.TrimSpace(string(out))
	t.Cleanup(func() { exec.Command("losetup", "-d", dev).Run() }) //nolint:errcheck // as well as can be
	return dev
}

// TestDisks runs a program on every kind of disk, kills it on the way, and looks at it.
func TestDisks(t *testing.T) {
	want := goRun(t, "./examples/counter", "")
	for kind, place := range map[string]func(t *testing.T) string{
		"file": func(t *testing.T) string {
			p := filepath.Join(t.TempDir(), "image")
			require.NoError(t, os.WriteFile(p, make([]byte, 64<<20), 0o600))
			return p
		},
		"block":    func(t *testing.T) string { return loopDevice(t, 64<<20) },
		"nbdkit":   func(t *testing.T) string { return nbdtest.Start(t, nbdtest.Nbdkit, 64<<20).URI },
		"qemu-nbd": func(t *testing.T) string { return nbdtest.Start(t, nbdtest.Qemu, 64<<20).URI },
	} {
		t.Run(kind, func(t *testing.T) {
			mod := module(t, "./examples/counter")
			at := place(t)
			for _, mon := range monitors(t) {
				dir := filepath.Join(t.TempDir(), "i.phantom")
				args := []string{"run", "--quiet", "--monitor", mon, "--disk", at, "--dir", dir, mod}
				first := args
				if mon != monitors(t)[0] {
					r := vm(t, args...)
					require.Equal(t, exitData, r.code, r.stderr)
					require.Contains(t, r.stderr, "it holds the image of instance")
					require.NoDirExists(t, dir)
					first = append([]string{"run", "--force"}, args[1:]...)
				}
				cmd := exec.Command(command(t), first...)
				require.NoError(t, cmd.Start())
				eventually(t, "output", func() bool { return strings.Count(readFile(t, filepath.Join(dir, "console.log")), "\n") > 100 })
				require.NoError(t, cmd.Process.Kill())
				cmd.Wait() //nolint:errcheck // it was killed
				require.Equal(t, "stopped", statusOf(t, dir).State)
				r := vm(t, "fsck", dir)
				require.Zero(t, r.code, r.stdout+r.stderr)
				require.Zero(t, vm(t, "fsck", at).code)

				// The same line again, as with an image; then only the directory.
				r = vm(t, args...)
				require.Zero(t, r.code, r.stderr)
				require.Equal(t, want.stdout, readFile(t, filepath.Join(dir, "console.log")))
				require.Equal(t, "exited", statusOf(t, dir).State)
				require.NoFileExists(t, filepath.Join(dir, "disk.img"))
			}
		})
	}
}

// TestDiskMoved: an instance goes on where its disk is now, and nowhere else.
func TestDiskMoved(t *testing.T) {
	tmp := t.TempDir()
	a, b, other := filepath.Join(tmp, "a"), filepath.Join(tmp, "b"), filepath.Join(tmp, "other")
	for _, p := range []string{a, other} {
		require.NoError(t, os.WriteFile(p, make([]byte, 32<<20), 0o600))
	}
	mod := module(t, program0(t, sleeper))
	dir := filepath.Join(tmp, "i.phantom")
	r := vm(t, "run", "--detach", "--monitor", "process", "--disk", a, "--dir", dir, mod)
	require.Zero(t, r.code, r.stderr)
	busy := vm(t, "run", "--disk", a, "--force", "--dir", filepath.Join(tmp, "second.phantom"), mod)
	require.Equal(t, exitUnavailable, busy.code, busy.stderr)
	require.Contains(t, busy.stderr, "in use")
	eventually(t, "output", func() bool { return strings.Contains(readFile(t, filepath.Join(dir, "console.log")), "tick 3\n") })
	require.Zero(t, vm(t, "stop", dir).code)

	require.NoError(t, os.Rename(a, b))
	r = vm(t, "status", dir)
	require.Equal(t, exitData, r.code, r.stderr)
	r = vm(t, "run", "--disk", other, dir)
	require.Equal(t, exitData, r.code, r.stderr)
	r = vm(t, "run", "--detach", "--monitor", "process", "--disk", b, dir)
	require.Zero(t, r.code, r.stderr)
	require.Zero(t, vm(t, "stop", dir).code)
	require.Zero(t, vm(t, "status", dir).code)
}

func TestBadDisks(t *testing.T) {
	dir := t.TempDir()
	mod := module(t, program0(t, sleeper))
	file := func(name string, b []byte) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, b, 0o600))
		return p
	}
	foreign := make([]byte, 32<<20)
	copy(foreign[0x438:], "\x53\xef")
	for name, c := range map[string]struct {
		disk string
		code int
		want string
	}{
		"no such file":  {filepath.Join(dir, "none"), exitUsage, "no such file"},
		"a terminal":    {"/dev/null", exitUsage, "want a file, a block device"},
		"bad URI":       {"nbd://", exitUsage, "bad NBD URI"},
		"TLS":           {"nbds://host/x", exitUsage, "TLS"},
		"no server":     {"nbd://127.0.0.1:1/x", exitDevice, "refused"},
		"no socket":     {"nbd+unix:///x?socket=" + filepath.Join(dir, "sock"), exitDevice, "no such file"},
		"too small":     {file("small", make([]byte, 1<<20)), exitData, "16M"},
		"a file system": {file("ext4", foreign), exitData, "ext4 file system; --force"},
	} {
		t.Run(name, func(t *testing.T) {
			inst := filepath.Join(t.TempDir(), "i.phantom")
			r := vm(t, "run", "--monitor", "process", "--disk", c.disk, "--dir", inst, mod)
			require.Equal(t, c.code, r.code, r.stderr)
			require.Contains(t, r.stderr, c.want)
			require.NotContains(t, r.stderr, "goroutine ")
			require.NoDirExists(t, inst)
		})
	}
	require.Equal(t, exitUsage, vm(t, "fsck", "nbd://h/x?y=1").code)
	require.Equal(t, exitDevice, vm(t, "fsck", "nbd://127.0.0.1:1/x").code)
	b, err := os.ReadFile(filepath.Join(dir, "ext4"))
	require.NoError(t, err)
	require.True(t, bytes.Equal(foreign, b), "nothing was written")
}

// TestServerLost: the NBD server goes away for good in the middle of a run. The run ends with
// its own exit code, and goes on when the server is back.
func TestServerLost(t *testing.T) {
	want := goRun(t, "./examples/counter", "")
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			s := nbdtest.Start(t, nbdtest.Nbdkit, 64<<20)
			dir := filepath.Join(t.TempDir(), "i.phantom")
			cmd := exec.Command(command(t), "run", "--quiet", "--monitor", mon, "--disk", s.URI, "--dir", dir, module(t, "./examples/counter"))
			var errs bytes.Buffer
			cmd.Stderr = &errs
			require.NoError(t, cmd.Start())
			eventually(t, "output", func() bool { return strings.Count(readFile(t, filepath.Join(dir, "console.log")), "\n") > 100 })
			s.Kill()
			cmd.Wait() //nolint:errcheck // the exit code counts
			require.Equal(t, exitDevice, cmd.ProcessState.ExitCode(), errs.String())
			require.Contains(t, errs.String(), "the newest durable checkpoint is kept")
			require.Contains(t, errs.String(), s.URI[:20])
			require.True(t, strings.HasPrefix(want.stdout, readFile(t, filepath.Join(dir, "console.log"))))
			r := vm(t, "status", dir)
			require.Equal(t, exitDevice, r.code, r.stderr)
			s.Restart()
			r = vm(t, "run", "--monitor", mon, dir)
			require.Zero(t, r.code, r.stderr)
			require.Equal(t, want.stdout, readFile(t, filepath.Join(dir, "console.log")))
		})
	}
}

// TestKillStormNBD kills the program, the server, or both, at random moments. A server that comes
// back at once is found again by the run; what the console shows stays that of an undisturbed run.
func TestKillStormNBD(t *testing.T) {
	if testing.Short() {
		t.Skip("kills take a while; not with -short")
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed %d; again: PHANTOM_SEED=%d go test -run TestKillStormNBD ./cmd/phantom-vm", seed, seed)
	rnd := rand.New(rand.NewPCG(seed, 0))
	events := 12
	if os.Getenv("PHANTOM_SOAK") != "" {
		events = 250
	}
	want := goRun(t, "./examples/ledger", "")
	mod := module(t, "./examples/ledger")
	for _, kind := range []nbdtest.Kind{nbdtest.Nbdkit, nbdtest.Qemu} {
		for _, mon := range monitors(t) {
			t.Run(string(kind)+"/"+mon, func(t *testing.T) {
				kills, restarts := 0, 0
				for lives := 0; kills+restarts < events; lives++ {
					require.Less(t, lives, 20+events, "the program ends too soon")
					k, r := stormLife(t, kind, mon, mod, want, rnd, events-kills-restarts)
					kills, restarts = kills+k, restarts+r
				}
				t.Logf("%d kills of the program, %d of the server", kills, restarts)
			})
		}
	}
}

// stormLife is one life of the program on one server, with at most limit disturbances.
func stormLife(t *testing.T, kind nbdtest.Kind, mon, mod string, want result, rnd *rand.Rand, limit int) (kills, restarts int) {
	s := nbdtest.Start(t, kind, 256<<20)
	defer s.Kill()
	dir := filepath.Join(t.TempDir(), "i.phantom")
	for range 10000 {
		cmd := exec.Command(command(t), "run", "--quiet", "--checkpoint", "2ms", "--monitor", mon, "--disk", s.URI, "--dir", dir, mod)
		var errs bytes.Buffer
		cmd.Stderr = &errs
		require.NoError(t, cmd.Start())
		done := make(chan error, 1)
		go func() { done <- cmd.Wait() }()
		before := uint64(0)
		if st, ok := peek(s.Image); ok {
			before = st.Incarnation
		}
		for ended := false; !ended; {
			st, ok := peek(s.Image)
			if ok && st.Incarnation > before && kills+restarts < limit && st.State == wire.Stopped {
				time.Sleep(time.Duration(rnd.Int64N(int64(40 * time.Millisecond))))
				switch rnd.IntN(3) {
				case 0: // the server alone: it is back before the run gives up
					s.Kill()
					s.Restart()
					restarts++
					continue
				case 1:
					s.Kill()
					cmd.Process.Kill() //nolint:errcheck // it may have ended
					s.Restart()
					restarts++
				case 2:
					cmd.Process.Kill() //nolint:errcheck // it may have ended
				}
				kills++
			}
			select {
			case <-done:
				ended = true
			case <-time.After(4 * time.Millisecond):
			}
		}
		code := cmd.ProcessState.ExitCode()
		if code == -1 {
			continue // killed
		}
		// A write group larger than the staging buffer may be answered in part and not flushed when the
		// server dies: that ends the run, too.
		if code == exitDevice && strings.Contains(errs.String(), "not flushed") {
			continue
		}
		require.Equal(t, want.code, code, "after %d kills, %d restarts: %s", kills, restarts, errs.String())
		require.Equal(t, want.stdout, readFile(t, filepath.Join(dir, "console.log")))
		return kills, restarts
	}
	t.Fatal("the program never ends")
	return 0, 0
}
