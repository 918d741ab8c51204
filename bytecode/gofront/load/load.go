// Package load turns a Go program into type-checked SSA form, together with
// the standard library that it is compiled against.
//
// The algorithm:
//
//  1. The go command is asked once (go list -deps) which packages the program
//     consists of: it knows modules, workspaces, vendor folders and replaced
//     modules. It selects files for GOOS=wasip1 and a GOARCH of our own, so that the
//     portable variant of everything is chosen.
//  2. The standard library is found without the go command: directory under
//     GOROOT/src, files chosen by go/build's rules, changed by the overlay
//     (overlay.go). Package runtime and a few packages below it are ours.
//  3. Parsing follows the imports, as parallel as there are processors; then
//     every package is type-checked as soon as the packages it imports are.
//  4. SSA is built for all packages, and the go:linkname directives of all
//     files are joined into one table (link.go).
//
// Nothing of a program that does not type-check is returned: the error lists
// what is wrong as the go command would print it.
package load

import (
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// The target that the library is compiled for. The architecture's name is
// unknown to Go on purpose: files that are meant for one processor are not
// chosen. The memory layout is that of gc on amd64.
const (
	GOOS   = "wasip1"
	GOARCH = "phantom"
)

// goSeries is the release of Go whose library the overlay fits.
const goSeries = "go1.26"

// buildTags are set for every package.
var buildTags = []string{"purego", "math_big_pure_go", "phantomvm"}

// Config says what to load. Args is all that must be set.
type Config struct {
	Args  []string // a package (path, directory) or .go files
	Dir   string   // directory that Args are relative to; "" is the current one
	Env   []string // environment of the go command; nil is the current one
	GoCmd string   // the go command; "" is "go"
	Tags  []string // build tags besides those of the target
	Debug bool     // keep names of local variables in SSA form (ssa.DebugRef instructions)
}

// Package is one package of a program.
type Package struct {
	Path    string
	Name    string
	Dir     string
	Std     bool
	Files   []*ast.File // in order of file name
	Imports []*Package  // in order of path
	Types   *types.Package
	Info    *types.Info
	SSA     *ssa.Package

	names      []string // file names as shown in positions and hashed
	contents   [][]byte
	importMap  map[string]string
	goVersion  string
	asmFiles   []string
	overlaid   bool
	parseErrs  []error
	importPos  map[string]token.Position
	checkError []types.Error
	failed     bool // it or a package that it imports has errors
	done       chan struct{}
}

// Program is a loaded program. Main is its package main.
type Program struct {
	Fset       *token.FileSet
	SSA        *ssa.Program
	Sizes      types.Sizes
	Main       *Package
	Runtime    *Package   // the runtime package that runs inside the VM
	Packages   []*Package // every package, each after all that it imports, in the order of initialisation that Go prescribes
	GoVersion  string     // for instance "go1.26.8"
	GOROOT     string
	SourceHash [32]byte // SHA-256 over every file that was compiled, in a fixed order

	byPath map[string]*Package
	links  linkTable
}

// Package returns the package with that import path, or nil.
func (p *Program) Package(path string) *Package { return p.byPath[path] }

// Load reads, checks and builds the program. Errors about the program itself
// wrap ErrProgram (CompileError), those about the Go distribution ErrToolchain.
func Load(cfg Config) (*Program, error) {
	l, err := newLoader(cfg)
	if err != nil {
		return nil, err
	}
	roots, err := l.listUser()
	if err != nil {
		return nil, err
	}
	if err := l.parseAll(roots); err != nil {
		return nil, err
	}
	main := l.pkgs[roots[0]]
	if main.Name != "main" {
		return nil, compileErrorf("package %s is not a main package", main.Path)
	}
	if err := l.checkAll(); err != nil {
		return nil, err
	}
	if _, ok := main.Types.Scope().Lookup("main").(*types.Func); !ok {
		return nil, compileErrorf("# %s\nruntime.main_main·f: function main is undeclared in the main package", main.Path)
	}
	return l.build(main)
}

// build makes SSA form of all packages.
func (l *loader) build(main *Package) (*Program, error) {
	mode := ssa.InstantiateGenerics
	if l.cfg.Debug {
		mode |= ssa.GlobalDebug
	}
	p := &Program{
		Fset: l.fset, SSA: ssa.NewProgram(l.fset, mode), Sizes: l.sizes,
		Main: main, Runtime: l.pkgs["runtime"], Packages: initOrder(l.pkgs),
		GoVersion: l.version, GOROOT: l.goroot, byPath: l.pkgs,
	}
	for _, pkg := range p.Packages {
		pkg.SSA = p.SSA.CreatePackage(pkg.Types, pkg.Files, pkg.Info, true)
	}
	// With type information, though empty, the package gets an initialiser that does nothing.
	p.SSA.CreatePackage(types.Unsafe, nil, &types.Info{}, true)
	p.SSA.Build()
	p.links = newLinkTable(p.Packages)
	p.SourceHash = sourceHash(p.Packages)
	for _, pkg := range p.Packages {
		pkg.contents = nil
	}
	return p, nil
}

// findToolchain asks the go command where its library is and refuses another
// release than the overlay is made for.
func (l *loader) findToolchain() error {
	out, err := l.goCommand("env", "GOROOT", "GOVERSION")
	if err != nil {
		return fmt.Errorf("%w: %w", ErrToolchain, err)
	}
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 2 {
		return fmt.Errorf("%w: go env says %q", ErrToolchain, out)
	}
	l.goroot, l.version = strings.TrimSpace(lines[0]), strings.Fields(lines[1] + " ?")[0]
	if l.version != goSeries && !strings.HasPrefix(l.version, goSeries+".") {
		return fmt.Errorf("%w: found %s in %s, but programs are compiled against the library of %s.x", ErrToolchain, l.version, l.goroot, goSeries)
	}
	if _, err := os.Stat(filepath.Join(l.goroot, "src", "fmt", "print.go")); err != nil {
		return fmt.Errorf("%w: no standard library source: %w", ErrToolchain, err)
	}
	return nil
}

// goCommand runs the go command for our target and returns its standard output.
func (l *loader) goCommand(args ...string) ([]byte, error) {
	name := l.cfg.GoCmd
	if name == "" {
		name = "go"
	}
	cmd := exec.Command(name, args...)
	cmd.Dir = l.workDir
	env := l.cfg.Env
	if env == nil {
		env = os.Environ()
	}
	cmd.Env = append(append([]string(nil), env...), "GOOS="+GOOS, "GOARCH="+GOARCH, "CGO_ENABLED=0", "PWD="+l.workDir)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		if s := strings.TrimSpace(stderr.String()); s != "" {
			return nil, errors.New(s)
		}
		return nil, fmt.Errorf("%s %s: %w", name, args[0], err)
	}
	return out, nil
}
