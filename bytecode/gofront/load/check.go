package load

import (
	"cmp"
	"errors"
	"fmt"
	"go/ast"
	"go/token"
	"go/types"
	"slices"
	"strings"
	"sync"
)

type tokenPosition = token.Position

// maxErrors is how many errors of a package are shown, as in gc.
const maxErrors = 10

// checkAll type-checks every package, each as soon as what it imports is done.
func (l *loader) checkAll() error {
	var wg sync.WaitGroup
	for _, p := range l.pkgs {
		wg.Add(1)
		go func() {
			defer wg.Done()
			defer close(p.done)
			for _, q := range p.Imports {
				<-q.done
				if q.failed {
					p.failed = true
				}
			}
			if p.failed {
				return
			}
			l.sem <- struct{}{}
			l.check(p)
			<-l.sem
		}()
	}
	wg.Wait()
	return l.checkReport()
}

// importerFor resolves the imports of one package to packages checked before.
type importerFor struct {
	l *loader
	p *Package
}

func (i importerFor) Import(path string) (*types.Package, error) {
	path = i.p.resolve(path)
	if path == "unsafe" {
		return types.Unsafe, nil
	}
	if q := i.l.pkgs[path]; q != nil && q.Types != nil {
		return q.Types, nil
	}
	return nil, fmt.Errorf("package %s is not loaded", path)
}

func (l *loader) check(p *Package) {
	p.Info = &types.Info{
		Types:        map[ast.Expr]types.TypeAndValue{},
		Defs:         map[*ast.Ident]types.Object{},
		Uses:         map[*ast.Ident]types.Object{},
		Implicits:    map[ast.Node]types.Object{},
		Instances:    map[*ast.Ident]types.Instance{},
		Scopes:       map[ast.Node]*types.Scope{},
		Selections:   map[*ast.SelectorExpr]*types.Selection{},
		FileVersions: map[*ast.File]string{},
	}
	conf := types.Config{
		Importer: importerFor{l, p}, Sizes: l.sizes, GoVersion: p.goVersion,
		// Replacing a function of a library file may leave an import of that file unused.
		DisableUnusedImportCheck: p.overlaid,
		Error: func(err error) {
			var te types.Error
			if errors.As(err, &te) {
				p.checkError = append(p.checkError, te)
			}
		},
	}
	path := p.Path
	if p.Name == "main" {
		path = "main"
	}
	var err error
	p.Types, err = conf.Check(path, l.fset, p.Files, p.Info)
	if err != nil || len(p.checkError) > 0 {
		p.failed = true
	}
	if p.failed {
		return
	}
	if !p.Std {
		l.missingBodies(p)
	}
	for _, f := range p.Files {
		lengthOnlyRanges(f, p.Info)
	}
}

// lengthOnlyRanges makes range over p of range over *p where p points to an array and no element is
// asked for: *p is not evaluated then, unless it contains a call or receives, but go/ssa always does.
func lengthOnlyRanges(f *ast.File, info *types.Info) {
	ast.Inspect(f, func(n ast.Node) bool {
		r, ok := n.(*ast.RangeStmt)
		if !ok {
			return true
		}
		if id, ok := r.Value.(*ast.Ident); r.Value != nil && (!ok || id.Name != "_") {
			return true
		}
		star, ok := ast.Unparen(r.X).(*ast.StarExpr)
		if !ok || hasEffects(star) {
			return true
		}
		if t := info.TypeOf(star); t != nil {
			if _, ok := t.Underlying().(*types.Array); ok {
				r.X = star.X
			}
		}
		return true
	})
}

// hasEffects: the expression contains a call or receives from a channel.
func hasEffects(e ast.Expr) bool {
	found := false
	ast.Inspect(e, func(n ast.Node) bool {
		switch n := n.(type) {
		case *ast.CallExpr:
			found = true
		case *ast.UnaryExpr:
			found = found || n.Op == token.ARROW
		}
		return !found
	})
	return found
}

// missingBodies reports functions that are declared without a body and get none by go:linkname.
func (l *loader) missingBodies(p *Package) {
	for _, f := range p.Files {
		linked := map[string]bool{}
		for _, d := range directives(f) {
			linked[d.local] = true
		}
		for _, d := range f.Decls {
			fd, ok := d.(*ast.FuncDecl)
			if !ok || fd.Body != nil || fd.Recv == nil && linked[fd.Name.Name] {
				continue
			}
			msg := "missing function body"
			if len(p.asmFiles) > 0 {
				msg = "missing function body: functions written in assembly are not supported"
			}
			p.checkError = append(p.checkError, types.Error{Fset: l.fset, Pos: fd.Name.Pos(), Msg: msg})
			p.failed = true
		}
	}
}

// checkReport joins the type errors of all packages.
func (l *loader) checkReport() error {
	var lines []string
	for _, path := range sortedKeys(l.pkgs) {
		if p := l.pkgs[path]; len(p.checkError) > 0 {
			lines = append(lines, "# "+path)
			lines = append(lines, l.errorLines(p.checkError)...)
		}
	}
	return compileErrors(lines)
}

// errorLines formats errors as gc does: sorted by position, one for a line, at most ten.
func (l *loader) errorLines(errs []types.Error) []string {
	type entry struct {
		pos  token.Position
		text string
	}
	var list []entry
	for _, e := range errs {
		pos := l.fset.Position(e.Pos)
		where := fmt.Sprintf("%s:%d:%d: ", l.rel(pos.Filename), pos.Line, pos.Column)
		if strings.HasPrefix(e.Msg, "\t") && len(list) > 0 {
			list[len(list)-1].text += "\n\t" + where + strings.TrimPrefix(e.Msg, "\t")
			continue
		}
		list = append(list, entry{pos, where + e.Msg})
	}
	slices.SortStableFunc(list, func(a, b entry) int {
		return cmp.Or(cmp.Compare(a.pos.Filename, b.pos.Filename), cmp.Compare(a.pos.Line, b.pos.Line))
	})
	list = slices.CompactFunc(list, func(a, b entry) bool {
		return a.pos.Filename == b.pos.Filename && a.pos.Line == b.pos.Line && a.text == b.text
	})
	var lines []string
	for i, e := range list {
		if i == maxErrors {
			lines = append(lines, "too many errors")
			break
		}
		lines = append(lines, e.text)
	}
	return lines
}
