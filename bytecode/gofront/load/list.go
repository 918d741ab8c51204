package load

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
)

// loader is the state of one Load.
type loader struct {
	cfg     Config
	dir     string // absolute
	workDir string // where the go command runs
	goroot  string
	version string
	fset    *token.FileSet
	sizes   types.Sizes
	ctx     build.Context
	sem     chan struct{} // one token per processor

	mu      sync.Mutex
	pkgs    map[string]*Package
	user    map[string]*listed // by import path, from the go command
	ioErr   error
	pending sync.WaitGroup
}

func newLoader(cfg Config) (*loader, error) {
	if len(cfg.Args) == 0 {
		return nil, compileErrorf("no Go files or package named")
	}
	dir, err := filepath.Abs(cfg.Dir)
	if err != nil {
		return nil, fmt.Errorf("working directory: %w", err)
	}
	l := &loader{
		cfg: cfg, dir: dir, workDir: dir, fset: token.NewFileSet(), sizes: types.SizesFor("gc", "amd64"),
		sem:  make(chan struct{}, max(2, runtime.NumCPU())),
		pkgs: map[string]*Package{}, user: map[string]*listed{},
	}
	if err := l.findToolchain(); err != nil {
		return nil, err
	}
	l.ctx = build.Default
	l.ctx.GOOS, l.ctx.GOARCH, l.ctx.GOROOT = GOOS, GOARCH, l.goroot
	l.ctx.CgoEnabled = false
	l.ctx.Compiler = "gc"
	l.ctx.ToolTags = nil
	l.ctx.BuildTags = append(append([]string(nil), buildTags...), cfg.Tags...)
	return l, nil
}

// otherModule returns the directory that the command line names if the go
// command failed only because it belongs to another module than the working
// directory; it works from there.
func (l *loader) otherModule(err error) (string, bool) {
	if err == nil || len(l.cfg.Args) != 1 {
		return "", false
	}
	dir := absIn(l.dir, l.cfg.Args[0])
	if info, e := os.Stat(dir); e != nil || !info.IsDir() || dir == l.dir {
		return "", false
	}
	for _, s := range []string{"outside main module", "cannot find main module", "go.mod file not found", "outside modules listed in go.work"} {
		if strings.Contains(err.Error(), s) {
			return dir, true
		}
	}
	return "", false
}

// listed is what the go command says about a package.
type listed struct {
	Dir, ImportPath, Name                       string
	Standard, DepOnly, Incomplete               bool
	GoFiles, SFiles, IgnoredGoFiles, EmbedFiles []string
	ImportMap                                   map[string]string
	Module                                      *struct{ GoVersion string }
	Error                                       *listError
}

type listError struct {
	ImportStack []string
	Pos, Err    string
}

func (e *listError) String() string {
	if e.Pos != "" && !strings.HasPrefix(e.Err, e.Pos) {
		return e.Pos + ": " + e.Err
	}
	return e.Err
}

// listUser asks the go command for the program's packages and returns the
// import paths of those named on the command line.
func (l *loader) listUser() ([]string, error) {
	if msg := l.argsUseC(); msg != "" {
		return nil, compileErrorf("%s", msg)
	}
	roots, err := l.list(l.cfg.Args)
	if dir, ok := l.otherModule(err); ok {
		l.workDir = dir
		roots, err = l.list([]string{"."})
	}
	switch {
	case err != nil:
		return nil, err
	case len(roots) == 0:
		return nil, compileErrorf("no packages match %s", strings.Join(l.cfg.Args, " "))
	case len(roots) > 1:
		return nil, compileErrorf("%s names %d packages, and one can be run", strings.Join(l.cfg.Args, " "), len(roots))
	}
	return roots, nil
}

// list runs go list and keeps what it says about packages outside of the library.
func (l *loader) list(patterns []string) ([]string, error) {
	args := []string{
		"list", "-e", "-deps", "-tags=" + strings.Join(l.ctx.BuildTags, ","),
		"-json=Dir,ImportPath,Name,Standard,DepOnly,Incomplete,GoFiles,SFiles,IgnoredGoFiles,EmbedFiles,ImportMap,Module,Error", "--",
	}
	out, err := l.goCommand(append(args, patterns...)...)
	if err != nil {
		return nil, compileErrorf("%s", err)
	}
	var roots, errs []string
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		p := new(listed)
		if err := dec.Decode(p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return nil, fmt.Errorf("output of go list: %w", err)
		}
		if p.ImportPath == phantomPackage && p.DepOnly {
			continue // whatever the go command thinks of it
		}
		if !p.DepOnly {
			roots = append(roots, p.ImportPath)
		}
		if msg := l.listProblem(p); msg != "" {
			errs = append(errs, msg)
		}
		if !p.Standard {
			l.user[p.ImportPath] = p
		}
	}
	return roots, compileErrors(errs)
}

// listProblem says what makes a listed package unusable, or "". Syntax errors
// are left to the parser, which reports all of them.
func (l *loader) listProblem(p *listed) string {
	if msg := l.usesC(p); msg != "" {
		return msg
	}
	if p.Error == nil || p.Standard {
		return ""
	}
	if len(p.GoFiles) > 0 && l.syntaxErrors(p) {
		return ""
	}
	return p.Error.String()
}

// usesC returns the position of an import of "C" in a package of the user.
func (l *loader) usesC(p *listed) string {
	if p.Standard {
		return ""
	}
	// Without cgo the go command ignores files that import "C"; of the ignored ones those count that nothing else excludes.
	ctx := l.ctx
	ctx.CgoEnabled = true
	for _, name := range p.IgnoredGoFiles {
		if ok, err := ctx.MatchFile(p.Dir, name); err != nil || !ok {
			continue
		}
		if msg := l.fileUsesC(filepath.Join(p.Dir, name)); msg != "" {
			return msg
		}
	}
	return ""
}

// argsUseC is usesC for files that are named on the command line: of those that import "C" the go command only
// says that they are no Go files.
func (l *loader) argsUseC() string {
	for _, a := range l.cfg.Args {
		if strings.HasSuffix(a, ".go") {
			if msg := l.fileUsesC(absIn(l.dir, a)); msg != "" {
				return msg
			}
		}
	}
	return ""
}

func (l *loader) fileUsesC(file string) string {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, nil, parser.ImportsOnly)
	if err != nil {
		return "" // the go command says what is wrong
	}
	for _, im := range f.Imports {
		if path, _ := strconv.Unquote(im.Path.Value); path == "C" {
			pos := fset.Position(im.Pos())
			return fmt.Sprintf("%s:%d:%d: import \"C\" is not supported", l.rel(file), pos.Line, pos.Column)
		}
	}
	return ""
}

// syntaxErrors reports whether a package has a file that does not parse.
func (l *loader) syntaxErrors(p *listed) bool {
	for _, name := range p.GoFiles {
		if _, err := parser.ParseFile(token.NewFileSet(), absIn(p.Dir, name), nil, parser.SkipObjectResolution); err != nil {
			return true
		}
	}
	return false
}

func absIn(dir, name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(dir, name)
}

// rel shortens a file name for messages as the go command does.
func (l *loader) rel(file string) string {
	if r, err := filepath.Rel(l.dir, file); err == nil && len(r) < len(file) {
		if !strings.HasPrefix(r, "..") {
			return "./" + r
		}
		return r
	}
	return file
}
