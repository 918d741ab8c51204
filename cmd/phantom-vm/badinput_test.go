package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestBadPrograms(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(p, []byte(text), 0o600))
		return p
	}
	good, err := os.ReadFile(module(t, "./examples/life"))
	require.NoError(t, err)
	flipped := append([]byte(nil), good...)
	flipped[len(flipped)/2] ^= 1
	for name, c := range map[string]struct {
		arg, want string
		code      int
	}{
		"no Go file":       {t.TempDir(), "no Go files", exitCompile},
		"no such file":     {filepath.Join(dir, "missing.go"), "no such file", exitCompile},
		"type error":       {write("type.go", "package main\n\nfunc main() {\n\tvar x int = \"s\"\n}\n"), "type.go:4:", exitCompile},
		"syntax error":     {write("syntax.go", "package main\n\nfunc main() {\n\tif {\n}\n"), "syntax.go:4:", exitCompile},
		"cgo":              {write("cgo.go", "package main\n\nimport \"C\"\n\nfunc main() {}\n"), "cgo.go:3:", exitCompile},
		"empty module":     {write("empty.pbc", ""), "empty.pbc", exitData},
		"truncated module": {write("short.pbc", string(good[:len(good)/2])), "short.pbc", exitData},
		"flipped bit":      {write("flip.pbc", string(flipped)), "flip.pbc", exitData},
		"not a module":     {write("text.pbc", strings.Repeat("hello ", 100)), "text.pbc", exitData},
	} {
		t.Run(name, func(t *testing.T) {
			r := vmIn(t, dir, "run", "--dir", filepath.Join(t.TempDir(), "i.phantom"), c.arg)
			require.Equal(t, c.code, r.code, r.stderr)
			require.Contains(t, r.stderr, c.want)
			require.NotContains(t, r.stderr, "goroutine ", "the command itself crashed")
		})
	}
}

// stopped makes an instance that has run for a while and can go on, and returns its directory.
func stopped(t *testing.T) string {
	dir := filepath.Join(t.TempDir(), "i.phantom")
	r := vm(t, "run", "--detach", "--monitor", "process", "--dir", dir, module(t, program0(t, sleeper)))
	require.Zero(t, r.code, r.stderr)
	eventually(t, "output", func() bool { return strings.Contains(readFile(t, filepath.Join(dir, "console.log")), "tick 3\n") })
	require.Zero(t, vm(t, "stop", dir).code)
	return dir
}

func TestDamagedImages(t *testing.T) {
	patch := func(t *testing.T, dir string, off int64, f func([]byte)) {
		img, err := os.OpenFile(filepath.Join(dir, "disk.img"), os.O_RDWR, 0)
		require.NoError(t, err)
		defer img.Close()
		b := make([]byte, 4096)
		_, err = img.ReadAt(b, off)
		require.NoError(t, err)
		f(b)
		_, err = img.WriteAt(b, off)
		require.NoError(t, err)
	}
	garbage := func(b []byte) {
		for i := range b {
			b[i] ^= 0x5a
		}
	}
	for name, damage := range map[string]func(t *testing.T, dir string){
		"empty":     func(t *testing.T, dir string) { require.NoError(t, os.Truncate(filepath.Join(dir, "disk.img"), 0)) },
		"truncated": func(t *testing.T, dir string) { require.NoError(t, os.Truncate(filepath.Join(dir, "disk.img"), 1<<20)) },
		"flipped bits everywhere": func(t *testing.T, dir string) {
			for off := int64(0); off < 64<<10; off += 4096 {
				patch(t, dir, off, garbage)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := stopped(t)
			damage(t, dir)
			for _, args := range [][]string{{"run", dir}, {"status", dir}, {"fsck", dir}} {
				r := vm(t, args...)
				require.Equal(t, exitData, r.code, "%v: %s%s", args, r.stdout, r.stderr)
				require.NotContains(t, r.stderr, "goroutine ", "the command itself crashed")
			}
		})
	}
}

func TestDirectoryWithoutRights(t *testing.T) {
	if os.Getuid() == 0 {
		if _, err := exec.LookPath("setpriv"); err != nil {
			t.Skip("root may write everywhere, and there is no setpriv to become somebody else")
		}
	}
	dir := stopped(t)
	bin := filepath.Join("/tmp", "phantom-vm-rights-test")
	b, err := os.ReadFile(command(t))
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(bin, b, 0o755)) //nolint:gosec // somebody else has to run it
	defer os.Remove(bin)
	cmd := exec.Command(bin, "run", dir)
	if os.Getuid() == 0 {
		cmd = exec.Command("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", bin, "run", dir)
	} else {
		require.NoError(t, os.Chmod(dir, 0o500))
		require.NoError(t, os.Chmod(filepath.Join(dir, "disk.img"), 0))
		defer os.Chmod(dir, 0o700) //nolint:errcheck // for the removal of the temporary directory
	}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	require.Error(t, err)
	require.Contains(t, string(out), "permission denied")
	require.NotContains(t, string(out), "goroutine ")
}

// TestDiskFull lets the file system fill up in the middle of a run. The program stops with an error, and goes on
// where it was when there is space.
func TestDiskFull(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("mounting a small file system needs root")
	}
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			mnt := t.TempDir()
			if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", mnt).CombinedOutput(); err != nil {
				t.Skipf("no small file system here: %s", out)
			}
			defer exec.Command("umount", "-l", mnt).Run() //nolint:errcheck // cleared away as well as can be
			dir := filepath.Join(mnt, "i.phantom")
			mod := module(t, program0(t, `
import "fmt"
func main() {
	var keep [][]byte
	for i := 0; i < 400; i++ {
		b := make([]byte, 256<<10)
		for k := range b { b[k] = byte(i + k*7) }
		keep = append(keep[max(0, len(keep)-60):], b)
		if i%20 == 0 { fmt.Println("block", i) }
	}
	fmt.Println("done", len(keep))
}`))
			filler := filepath.Join(mnt, "filler")
			require.NoError(t, os.WriteFile(filler, make([]byte, 40<<20), 0o600))
			r := vm(t, "run", "--monitor", mon, "--checkpoint", "1ms", "--disk", "1G", "--dir", dir, mod)
			require.Equal(t, exitNoSpace, r.code, "%s%s", r.stdout, r.stderr)
			require.Contains(t, r.stderr, "disk is full")
			require.Equal(t, "stopped", statusOf(t, dir).State)
			require.NoError(t, os.Remove(filler))
			require.NoError(t, exec.Command("mount", "-o", "remount,size=1g", mnt).Run())
			r = vm(t, "run", "--monitor", mon, dir)
			require.Zero(t, r.code, r.stderr)
			require.True(t, strings.HasSuffix(readFile(t, filepath.Join(dir, "console.log")), "done 61\n"))
		})
	}
}

func TestUsageErrors(t *testing.T) {
	for _, args := range [][]string{
		{"run"},
		{"run", "--monitor", "cloud", "x.go"},
		{"run", "--mem", "lots", "x.go"},
		{"run", "--checkpoint", "1ns", "x.go"},
		{"frobnicate"},
	} {
		r := vm(t, args...)
		require.Equal(t, exitUsage, r.code, "%v: %s", args, r.stderr)
		require.Empty(t, r.stdout)
	}
	for _, args := range [][]string{{"status", t.TempDir()}, {"fsck", filepath.Join(t.TempDir(), "nothing")}, {"console", "/nowhere"}} {
		require.Equal(t, exitData, vm(t, args...).code, "%v", args)
	}
}

// TestSleepGoesOnWhileDown: a timer whose time passed while the program was down fires at once.
func TestSleepGoesOnWhileDown(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "i.phantom")
	prog := program0(t, `
import ("fmt"; "time")
func main() {
	t := time.Now()
	println("sleeping")
	time.Sleep(3 * time.Second)
	d := time.Since(t)
	fmt.Println(d >= 3*time.Second, d < 6*time.Second)
}`)
	mod := module(t, prog)
	cmd := exec.Command(command(t), "run", "--quiet", "--monitor", "process", "--dir", dir, mod)
	began := time.Now()
	require.NoError(t, cmd.Start())
	eventually(t, "output", func() bool { return readFile(t, filepath.Join(dir, "stderr.log")) != "" })
	require.NoError(t, cmd.Process.Kill())
	cmd.Wait() //nolint:errcheck // it was killed
	time.Sleep(time.Until(began.Add(3500 * time.Millisecond)))
	resumed := time.Now()
	r := vm(t, "run", "--quiet", dir)
	require.Equal(t, "true true\n", r.stdout, r.stderr)
	require.Less(t, time.Since(resumed), 2*time.Second, "the timer's time had passed already")
}
