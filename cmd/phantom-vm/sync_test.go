package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestSyncInAnotherModule: a program of a module that knows nothing of this one runs as it is, and the go command builds
// it, offline, once it is told where the package lies.
func TestSyncInAnotherModule(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":  "module example.com/other\n\ngo 1.26\n",
		"main.go": "package main\n\nimport (\n\t\"fmt\"\n\n\t\"phantomvm/phantom\"\n)\n\nfunc main() {\n\tdefer fmt.Println(\"after\")\n\tfmt.Println(\"before\")\n\tphantom.Sync()\n}\n",
	} {
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600))
	}
	for _, mon := range monitors(t) {
		r := vmIn(t, dir, "run", "--monitor", mon, "--dir", filepath.Join(t.TempDir(), "i.phantom"), ".")
		require.Zero(t, r.code, r.stderr)
		require.Equal(t, "before\nafter\n", r.stdout)
	}
	run := func(args ...string) string {
		cmd := exec.Command("go", args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "GOPROXY=off", "GOFLAGS=", "GOWORK=")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, string(out))
		return string(out)
	}
	run("work", "init", ".", repoRoot(t))
	require.Equal(t, "before\nafter\n", run("run", "."))
	require.NoError(t, os.Remove(filepath.Join(dir, "go.work")))
	run("mod", "edit", "-require", "phantomvm@v0.0.0", "-replace", "phantomvm="+repoRoot(t))
	run("mod", "tidy")
	require.Equal(t, "before\nafter\n", run("run", "."))
	r := vmIn(t, dir, "run", "--monitor", "process", "--dir", filepath.Join(t.TempDir(), "i.phantom"), ".")
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, "before\nafter\n", r.stdout)
}
