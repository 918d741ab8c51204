package load

import (
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// hello is a library package for the user's modules.
const hello = "package hello\n\nimport \"strings\"\n\nfunc Hello() string { return strings.ToUpper(\"hello\") }\n"

const useHello = "package main\n\nimport (\n\t\"fmt\"\n\n\t\"example.org/hello\"\n)\n\nfunc main() { fmt.Println(hello.Hello()) }\n"

func TestReplacedModule(t *testing.T) {
	dir := writeModule(t, map[string]string{
		"app/go.mod":     "module example.com/app\n\ngo 1.26\n\nrequire example.org/hello v1.0.0\n\nreplace example.org/hello => ../hello\n",
		"app/main.go":    useHello,
		"hello/go.mod":   "module example.org/hello\n\ngo 1.20\n",
		"hello/hello.go": hello,
	})
	p, err := Load(Config{Args: []string{"."}, Dir: filepath.Join(dir, "app")})
	require.NoError(t, err)
	require.Equal(t, "go1.20", p.Package("example.org/hello").goVersion)
	require.Equal(t, filepath.Join(dir, "hello"), p.Package("example.org/hello").Dir)
}

func TestVendoredModule(t *testing.T) {
	dir := writeModule(t, map[string]string{
		"go.mod":                            "module example.com/app\n\ngo 1.26\n\nrequire example.org/hello v1.0.0\n",
		"cmd/app/main.go":                   useHello,
		"vendor/modules.txt":                "# example.org/hello v1.0.0\n## explicit; go 1.20\nexample.org/hello\n",
		"vendor/example.org/hello/hello.go": hello,
	})
	p, err := Load(Config{Args: []string{"./cmd/app"}, Dir: dir})
	require.NoError(t, err)
	require.Equal(t, filepath.Join(dir, "vendor/example.org/hello"), p.Package("example.org/hello").Dir)
}

func TestWorkspace(t *testing.T) {
	dir := writeModule(t, map[string]string{
		"go.work":        "go 1.26\n\nuse (\n\t./app\n\t./hello\n)\n",
		"app/go.mod":     "module example.com/app\n\ngo 1.26\n",
		"app/main.go":    useHello,
		"hello/go.mod":   "module example.org/hello\n\ngo 1.26\n",
		"hello/hello.go": hello,
	})
	p, err := Load(Config{Args: []string{"./app"}, Dir: dir})
	require.NoError(t, err)
	require.NotNil(t, p.Package("example.org/hello"))
}

func TestFilesWithoutModule(t *testing.T) {
	dir := writeModule(t, map[string]string{
		"a.go": "package main\n\nfunc main() { other() }\n",
		"b.go": "package main\n\nfunc other() {}\n",
	})
	p, err := Load(Config{Args: []string{"a.go", "b.go"}, Dir: dir})
	require.NoError(t, err)
	require.Equal(t, "main", p.Main.Name)
	require.Equal(t, "main", p.Main.Types.Path())
}

// TestOtherModule names a directory whose module is not that of the working directory.
func TestOtherModule(t *testing.T) {
	dir := writeModule(t, map[string]string{
		"app/go.mod": "module example.com/app\n\ngo 1.26\n", "app/main.go": "package main\n\nfunc main() {}\n",
		"here/go.mod": "module example.com/here\n\ngo 1.26\n", "here/here.go": "package here\n",
	})
	for _, from := range []string{dir, filepath.Join(dir, "here")} {
		_, err := Load(Config{Args: []string{filepath.Join(dir, "app")}, Dir: from})
		require.NoError(t, err)
	}
	_, err := Load(Config{Args: []string{"../nosuch"}, Dir: filepath.Join(dir, "here")})
	require.ErrorIs(t, err, ErrProgram)
}

func TestFileThatUsesC(t *testing.T) {
	dir := writeModule(t, map[string]string{"a.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"})
	_, err := Load(Config{Args: []string{"a.go"}, Dir: dir})
	require.EqualError(t, err, `./a.go:3:8: import "C" is not supported`)
}

// TestErrors compares the messages with what the go command prints. In the
// table: the files of a module, what the message must contain.
func TestErrors(t *testing.T) {
	mod := "module example.com/bad\n\ngo 1.26\n"
	for _, c := range []struct {
		name  string
		files map[string]string
		want  []string
	}{
		{
			"undefined",
			map[string]string{"x.go": "package main\n\nfunc main() {\n\tprintln(1)\n\ty++\n\tz := 1\n}\n"},
			[]string{"# example.com/bad", "./x.go:5:2: undefined: y", "./x.go:6:2: declared and not used: z"},
		},
		{
			"unused import",
			map[string]string{"x.go": "package main\n\nimport \"os\"\n\nfunc main() {}\n"},
			[]string{`./x.go:3:8: "os" imported and not used`},
		},
		{
			"syntax",
			map[string]string{"x.go": "package main\n\nfunc main() {\n\tx := = 1\n}\n"},
			[]string{"./x.go:4:7: syntax error: unexpected =, expected expression"},
		},
		{
			"two packages with errors",
			map[string]string{
				"x.go": "package main\n\nimport \"example.com/bad/q\"\n\nfunc main() { q.F() }\n", "q/q.go": "package q\n\nfunc F() int { return \"\" }\n",
			},
			[]string{"# example.com/bad/q", `q/q.go:3:23: cannot use "" (untyped string constant) as int value in return statement`},
		},
		{
			"missing package",
			map[string]string{"x.go": "package main\n\nimport \"nosuch/pkg\"\n\nfunc main() { pkg.F() }\n"},
			[]string{"x.go:3:8: package nosuch/pkg is not in std ("},
		},
		{
			"missing module",
			map[string]string{"x.go": "package main\n\nimport \"example.org/nosuch\"\n\nfunc main() { nosuch.F() }\n"},
			[]string{"x.go:3:8: no required module provides package example.org/nosuch"},
		},
		{
			"cgo",
			map[string]string{"x.go": "package main\n\nimport \"C\"\n\nfunc main() {}\n"},
			[]string{`./x.go:3:8: import "C" is not supported`},
		},
		{
			"assembly",
			map[string]string{"x.go": "package main\n\nfunc f()\n\nfunc main() { f() }\n", "x_phantom.s": "\n"},
			[]string{"./x.go:3:6: missing function body: functions written in assembly are not supported"},
		},
		{
			"no body",
			map[string]string{"x.go": "package main\n\nfunc f()\n\nfunc main() { f() }\n"},
			[]string{"./x.go:3:6: missing function body"},
		},
		{
			"cycle",
			map[string]string{
				"x.go":   "package main\n\nimport _ \"example.com/bad/a\"\n\nfunc main() {}\n",
				"a/a.go": "package a\n\nimport _ \"example.com/bad/b\"\n", "b/b.go": "package b\n\nimport _ \"example.com/bad/a\"\n",
			},
			[]string{"import cycle not allowed"},
		},
		{"not main", map[string]string{"x.go": "package bad\n"}, []string{"package example.com/bad is not a main package"}},
		{"no go files", map[string]string{"x.txt": ""}, []string{"no Go files in"}},
		{"no main", map[string]string{"x.go": "package main\n"}, []string{"function main is undeclared in the main package"}},
		{
			"many",
			map[string]string{"x.go": "package main\n\nfunc main() {\n" + strings.Repeat("\tundefinedName()\n", 20) + "}\n"},
			[]string{"./x.go:13:2: undefined: undefinedName\ntoo many errors"},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			c.files["go.mod"] = mod
			dir := writeModule(t, c.files)
			_, err := Load(Config{Args: []string{"."}, Dir: dir})
			require.ErrorIs(t, err, ErrProgram)
			for _, w := range c.want {
				require.Contains(t, err.Error(), w)
			}
		})
	}
}

func TestWrongToolchain(t *testing.T) {
	dir := t.TempDir()
	script := filepath.Join(dir, "go")
	require.NoError(t, os.WriteFile(script, []byte("#!/bin/sh\necho /opt/go\necho go1.25.3\n"), 0o755))
	_, err := Load(Config{Args: []string{"."}, Dir: dir, GoCmd: script})
	require.ErrorIs(t, err, ErrToolchain)
	require.Contains(t, err.Error(), "go1.25.3")
	_, err = Load(Config{Args: []string{"."}, Dir: dir, GoCmd: filepath.Join(dir, "nosuch")})
	require.ErrorIs(t, err, ErrToolchain)
}

func TestSourceHash(t *testing.T) {
	files := map[string]string{"go.mod": "module example.com/hash\n\ngo 1.26\n", "a.go": "package main\n\nfunc main() {}\n"}
	one, err := Load(Config{Args: []string{"."}, Dir: writeModule(t, files)})
	require.NoError(t, err)
	two, err := Load(Config{Args: []string{"."}, Dir: writeModule(t, files)})
	require.NoError(t, err)
	require.Equal(t, one.SourceHash, two.SourceHash, "the hash depends on where the source lies")
	files["a.go"] += "\n"
	three, err := Load(Config{Args: []string{"."}, Dir: writeModule(t, files)})
	require.NoError(t, err)
	require.NotEqual(t, one.SourceHash, three.SourceHash)
}

func TestEmbed(t *testing.T) {
	dir := writeModule(t, map[string]string{
		"go.mod": "module example.com/embed\n\ngo 1.26\n", "a.txt": "text", "static/b": "b", "static/_c": "c", "static/d/e": "e",
		"x.go": "package main\n\nimport \"embed\"\n\n//go:embed a.txt\nvar s string\n\n//go:embed a.txt\nvar b []byte\n\n//go:embed static\nvar fs embed.FS\n\n" +
			"//go:embed all:static a.*\nvar all embed.FS\n\nfunc main() { println(s, b, fs, all) }\n",
	})
	_, err := Load(Config{Args: []string{"."}, Dir: dir})
	require.NoError(t, err)
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"a.txt", "a.txt", true},
		{"*.txt", "a.txt", true},
		{"static", "static/b", true},
		{"static", "static/_c", false},
		{"all:static", "static/_c", true},
		{"static/*", "static/_c", true},
		{"static/*", "static/d/e", true},
		{"b", "static/b", false},
	} {
		require.Equal(t, c.want, embedMatches(c.pattern, c.name), "%s, %s", c.pattern, c.name)
	}
}

// TestSyntaxErrorLeavesDevices guards against a compiler that removes what it is told to write to.
func TestSyntaxErrorLeavesDevices(t *testing.T) {
	dir := writeModule(t, map[string]string{"go.mod": "module example.com/bad\n\ngo 1.26\n", "x.go": "package main\n\nfunc main() { := }\n"})
	_, err := Load(Config{Args: []string{"."}, Dir: dir})
	require.ErrorIs(t, err, ErrProgram)
	info, err := os.Stat(os.DevNull)
	require.NoError(t, err)
	require.NotZero(t, info.Mode()&os.ModeCharDevice)
}

// TestInitOrder compares with what Go itself does.
func TestInitOrder(t *testing.T) {
	files := map[string]string{"go.mod": "module example.com/order\n\ngo 1.26\n"}
	for name, imports := range map[string]string{"z": "", "y": "a", "a": "", "m": "z"} {
		text := "package " + name + "\n"
		if imports != "" {
			text += "\nimport _ \"example.com/order/" + imports + "\"\n"
		}
		files[name+"/x.go"] = text + "\nfunc init() { println(\"example.com/order/" + name + "\") }\n"
	}
	files["x.go"] = "package main\n\nimport (\n\t_ \"example.com/order/y\"\n\t_ \"example.com/order/m\"\n\t_ \"example.com/order/z\"\n)\n\nfunc main() {}\n"
	dir := writeModule(t, files)
	cmd := exec.Command("go", "run", ".")
	cmd.Dir = dir
	want, err := cmd.CombinedOutput()
	require.NoError(t, err)
	p, err := Load(Config{Args: []string{"."}, Dir: dir})
	require.NoError(t, err)
	var got strings.Builder
	for _, pkg := range p.Packages {
		if strings.HasPrefix(pkg.Path, "example.com/order/") {
			got.WriteString(pkg.Path + "\n")
		}
	}
	require.Equal(t, string(want), got.String())
}

// TestPhantomPackage: phantomvm/phantom is found by programs of every kind, without a requirement, and is the machine's
// even where the go command knows another one.
func TestPhantomPackage(t *testing.T) {
	const app = "package main\n\nimport \"phantomvm/phantom\"\n\nfunc main() { phantom.Sync() }\n"
	const mod = "module example.com/app\n\ngo 1.26\n"
	for name, files := range map[string]map[string]string{
		"module":    {"go.mod": mod, "main.go": app},
		"no module": {"main.go": app},
		"vendor":    {"go.mod": mod, "main.go": app, "vendor/modules.txt": ""},
		"replaced": {
			"go.mod": mod + "\nrequire phantomvm v0.0.0\n\nreplace phantomvm => ./other\n", "main.go": app,
			"other/go.mod": "module phantomvm\n\ngo 1.26\n", "other/phantom/phantom.go": "package phantom\n\nfunc Sync() {}\n",
		},
		"workspace": {
			"go.work": "go 1.26\n\nuse (\n\t.\n\t./other\n)\n", "go.mod": mod, "main.go": app,
			"other/go.mod": "module phantomvm\n\ngo 1.26\n", "other/phantom/phantom.go": "package phantom\n\nfunc Sync() {}\n",
		},
		"in a dependency": {
			"go.mod": mod + "\nrequire example.org/hello v1.0.0\n\nreplace example.org/hello => ./hello\n", "main.go": useHello,
			"hello/go.mod": "module example.org/hello\n\ngo 1.26\n", "hello/hello.go": "package hello\n\nimport \"phantomvm/phantom\"\n\nfunc Hello() string { phantom.Sync(); return \"\" }\n",
		},
	} {
		t.Run(name, func(t *testing.T) {
			arg := "."
			if name == "no module" {
				arg = "main.go"
			}
			p, err := Load(Config{Args: []string{arg}, Dir: writeModule(t, files)})
			require.NoError(t, err)
			f := p.Package(phantomPackage).SSA.Func("Sync")
			require.Nil(t, f.Blocks)
			require.Nil(t, p.Link(f), "a native of the machine")
			require.Equal(t, "phantomvm/phantom.Sync", p.Symbol(f))
		})
	}
	t.Run("misused", func(t *testing.T) {
		_, err := Load(Config{Args: []string{"."}, Dir: writeModule(t, map[string]string{
			"go.mod": mod, "main.go": "package main\n\nimport (\n\t\"phantomvm/nothing\"\n\t\"phantomvm/phantom\"\n)\n\nfunc main() { phantom.Flush(); nothing.F() }\n",
		})})
		require.ErrorIs(t, err, ErrProgram)
		require.ErrorContains(t, err, "phantomvm/nothing")
		_, err = Load(Config{Args: []string{"."}, Dir: writeModule(t, map[string]string{
			"go.mod": mod, "main.go": "package main\n\nimport \"phantomvm/phantom\"\n\nfunc main() { phantom.Flush() }\n",
		})})
		require.ErrorIs(t, err, ErrProgram)
		require.ErrorContains(t, err, "undefined: phantom.Flush")
	})
}

// TestPhantomStubs: what the machine provides and what the go command builds declare the same.
func TestPhantomStubs(t *testing.T) {
	declared := func(path string, src []byte) (names []string) {
		f, err := parser.ParseFile(token.NewFileSet(), path, src, parser.SkipObjectResolution)
		require.NoError(t, err)
		for _, d := range f.Decls {
			fn, ok := d.(*ast.FuncDecl)
			require.True(t, ok, "only functions so far")
			names = append(names, fn.Name.Name+" "+types.ExprString(fn.Type))
		}
		return names
	}
	ours, err := overlayFiles(phantomPackage)
	require.NoError(t, err)
	require.Len(t, ours, 1)
	stub, err := os.ReadFile("../../../phantom/phantom.go")
	require.NoError(t, err)
	require.Equal(t, declared("stub", stub), declared("ours", ours[0].content))
}
