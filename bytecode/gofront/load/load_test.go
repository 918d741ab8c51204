package load

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// writeModule writes files into a new directory and returns it.
func writeModule(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	writeFiles(t, dir, files)
	return dir
}

func writeFiles(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, text := range files {
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
}

func TestLoadSmall(t *testing.T) {
	dir := writeModule(t, map[string]string{
		"go.mod":  "module example.com/small\n\ngo 1.26\n",
		"main.go": "package main\n\nimport \"math/bits\"\n\nfunc main() { println(bits.Len(5)) }\n",
	})
	p, err := Load(Config{Args: []string{"."}, Dir: dir})
	require.NoError(t, err)
	require.NotNil(t, p.Main.SSA.Func("main"))
	require.Equal(t, "runtime", p.Packages[len(p.Runtime.Imports)].Path)
}
