// Package phantomvm holds the tests of the repository as a whole.
package phantomvm

import (
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// layers lists, for each part of the tree, which other parts it may import. A
// part is the longest prefix of the import path. The standard library is
// always allowed; "outside" lists modules from elsewhere.
var layers = map[string]struct{ inside, outside []string }{
	"metrics":                  {nil, nil},
	"bytecode":                 {nil, []string{"github.com/vmihailenco/msgpack/v5"}},
	"bytecode/internal":        {[]string{"bytecode"}, nil},
	"bytecode/gofront":         {[]string{"bytecode", "bytecode/gofront"}, []string{"golang.org/x/tools"}},
	"persist":                  {[]string{"persist", "metrics"}, []string{"golang.org/x/sys"}},
	"objectvm":                 {[]string{"bytecode", "persist", "objectvm", "metrics"}, []string{"golang.org/x/sys"}},
	"objectvm/internal":        {[]string{"bytecode", "objectvm/internal"}, nil},
	"objectvm/machine":         {[]string{"bytecode", "persist", "objectvm", "metrics"}, []string{"github.com/vmihailenco/msgpack/v5"}},
	"hypervisor/abi":           {nil, nil},
	"hypervisor/guest":         {[]string{"hypervisor/abi", "hypervisor/guest"}, nil},
	"hypervisor/tender":        {[]string{"hypervisor/abi"}, []string{"golang.org/x/sys"}},
	"hypervisor":               {[]string{"hypervisor"}, []string{"golang.org/x/sys", "golang.org/x/arch"}},
	"cmd/phantom-vm":           {[]string{"bytecode", "persist", "objectvm", "hypervisor", "metrics", "cmd/phantom-vm"}, []string{"github.com/spf13/cobra", "github.com/vmihailenco/msgpack/v5", "github.com/prometheus/client_golang", "golang.org/x/sys"}},
	"cmd/phantom-vm/unikernel": {[]string{"objectvm", "hypervisor/guest"}, nil},
	"phantom":                  {nil, nil},
	"examples":                 {[]string{"phantom"}, nil},
}

// anyTest may be imported by test files everywhere.
var anyTest = []string{"github.com/stretchr/testify"}

func TestImportDirection(t *testing.T) {
	fset := token.NewFileSet()
	for _, file := range goFiles(t) {
		dir := path.Dir(file)
		layer, rule := "", struct{ inside, outside []string }{}
		for name, r := range layers {
			if within(dir, name) && len(name) > len(layer) {
				layer, rule = name, r
			}
		}
		if layer == "" {
			require.True(t, dir == "." || strings.HasPrefix(dir, "testdata") || strings.HasPrefix(dir, "bench"), "%s: no layer", file)
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		isTest := strings.HasSuffix(file, "_test.go")
		for _, imp := range f.Imports {
			p, err := strconv.Unquote(imp.Path.Value)
			require.NoError(t, err)
			ok := false
			if own, local := strings.CutPrefix(p, "phantomvm/"); local {
				ok = within(own, layer) || anyWithin(own, rule.inside) || isTest
			} else if first, _, _ := strings.Cut(p, "/"); !strings.Contains(first, ".") {
				ok = true
			} else {
				ok = anyWithin(p, rule.outside) || isTest && anyWithin(p, anyTest) || isTest && anyWithin(p, []string{"golang.org/x/sys", "golang.org/x/tools"})
			}
			if !ok {
				t.Errorf("%s: layer %s must not import %s", file, layer, p)
			}
		}
	}
}

// TestUnsafeFiles keeps package unsafe in files whose names say so.
func TestUnsafeFiles(t *testing.T) {
	fset := token.NewFileSet()
	for _, file := range goFiles(t) {
		base := path.Base(file)
		if strings.Contains(base, "_unsafe") || strings.Contains(base, "_gen") || strings.HasSuffix(base, "_test.go") ||
			within(path.Dir(file), "hypervisor/guest") || strings.HasPrefix(file, "testdata/") || strings.HasPrefix(file, "bench/") {
			continue
		}
		f, err := parser.ParseFile(fset, file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, imp := range f.Imports {
			if imp.Path.Value == `"unsafe"` {
				t.Errorf("%s imports unsafe; move that part to a file named *_unsafe.go", file)
			}
		}
	}
}

// TestFileLength keeps files readable. Generated ones and tables may be longer.
func TestFileLength(t *testing.T) {
	const limit = 500
	for _, file := range goFiles(t) {
		if strings.Contains(path.Base(file), "_gen") || strings.HasSuffix(file, "_test.go") {
			continue
		}
		b, err := os.ReadFile(file)
		require.NoError(t, err)
		if n := strings.Count(string(b), "\n"); n > limit {
			t.Errorf("%s has %d lines, at most %d", file, n, limit)
		}
	}
}

func goFiles(t *testing.T) (files []string) {
	err := filepath.WalkDir(".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && p != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "bin" || d.Name() == "testdata" || d.Name() == "overlay") {
			return fs.SkipDir
		}
		if strings.HasSuffix(p, ".go") {
			files = append(files, filepath.ToSlash(p))
		}
		return nil
	})
	require.NoError(t, err)
	require.NotEmpty(t, files)
	return files
}

func within(p, prefix string) bool { return p == prefix || strings.HasPrefix(p, prefix+"/") }

func anyWithin(p string, prefixes []string) bool {
	for _, x := range prefixes {
		if within(p, x) {
			return true
		}
	}
	return false
}
