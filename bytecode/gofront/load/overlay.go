package load

import (
	"embed"
	"errors"
	"fmt"
	"go/ast"
	"io/fs"
	"path"
	"strings"
)

// The overlay: source of ours that stands in for parts of the standard
// library. A file overlay/PKG/NAME.go.txt belongs to package PKG. Three degrees:
//
//   - the package's rule says whole: nothing of the library's package is used;
//   - the rule drops named files of it, and a file of the overlay replaces the
//     library's file of the same name;
//   - a function, type or variable declared in the overlay replaces the one of that name in
//     the library's files.
//
// Positions in overlay files are shown as $PHANTOM/PKG/NAME.go.
//
// One package of ours, phantomvm/phantom, is found in the same way by programs of any module.
//
//go:embed all:overlay
var overlayFS embed.FS

// phantomPackage is the package through which a program speaks to its machine.
const phantomPackage = "phantomvm/phantom"

// overlayRule says what of a library package is left out.
type overlayRule struct {
	whole bool
	drop  []string
}

// overlayRules lists packages that are replaced more coarsely than by declaration.
var overlayRules = map[string]overlayRule{
	"runtime":                 {whole: true},
	phantomPackage:            {whole: true},
	"internal/runtime/atomic": {drop: []string{"stubs.go", "atomic_andor_generic.go", "unaligned.go", "xchg8.go"}},
	"internal/godebug":        {whole: true},
	"internal/runtime/maps":   {whole: true},
	"reflect":                 {drop: []string{"makefunc.go"}},
	"sync":                    {drop: []string{"poolqueue.go"}},
}

// overlayFiles returns the overlay's files for a package.
func overlayFiles(pkg string) ([]source, error) {
	dir := path.Join("overlay", pkg)
	entries, err := overlayFS.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("overlay: %w", err)
	}
	var srcs []source
	for _, e := range entries {
		name, ok := strings.CutSuffix(e.Name(), ".txt")
		if !ok || e.IsDir() {
			continue
		}
		b, err := overlayFS.ReadFile(path.Join(dir, e.Name()))
		if err != nil {
			return nil, fmt.Errorf("overlay: %w", err)
		}
		srcs = append(srcs, source{name: "$PHANTOM/" + path.Join(pkg, name), hashName: path.Join(pkg, name), content: b, overlay: true})
	}
	return srcs, nil
}

// dropReplaced removes from the library's files what the overlay declares.
func dropReplaced(p *Package, srcs []source) {
	isOverlay := map[string]bool{}
	for _, s := range srcs {
		isOverlay[s.hashName] = s.overlay
	}
	replaced := map[string]bool{}
	for i, f := range p.Files {
		if isOverlay[p.names[i]] {
			for _, name := range declaredNames(f) {
				replaced[name] = true
			}
		}
	}
	for i, f := range p.Files {
		if !isOverlay[p.names[i]] {
			f.Decls = keepDecls(f.Decls, replaced)
		}
	}
}

// declaredNames returns the names of package-level declarations; methods are "T.m".
func declaredNames(f *ast.File) []string {
	var names []string
	for _, d := range f.Decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if n := funcKey(d); n != "" {
				names = append(names, n)
			}
		case *ast.GenDecl:
			for _, s := range d.Specs {
				switch s := s.(type) {
				case *ast.TypeSpec:
					names = append(names, s.Name.Name)
				case *ast.ValueSpec:
					for _, n := range s.Names {
						if n.Name != "_" {
							names = append(names, n.Name)
						}
					}
				}
			}
		}
	}
	return names
}

// funcKey names a function for replacement; "" for those that can be declared repeatedly.
func funcKey(d *ast.FuncDecl) string {
	if d.Recv == nil || len(d.Recv.List) == 0 {
		if d.Name.Name == "init" || d.Name.Name == "_" {
			return ""
		}
		return d.Name.Name
	}
	return recvName(d.Recv.List[0].Type) + "." + d.Name.Name
}

func recvName(t ast.Expr) string {
	switch t := t.(type) {
	case *ast.StarExpr:
		return recvName(t.X)
	case *ast.ParenExpr:
		return recvName(t.X)
	case *ast.IndexExpr:
		return recvName(t.X)
	case *ast.IndexListExpr:
		return recvName(t.X)
	case *ast.Ident:
		return t.Name
	}
	return ""
}

// keepDecls returns the declarations without those whose name is replaced.
func keepDecls(decls []ast.Decl, replaced map[string]bool) []ast.Decl {
	var kept []ast.Decl
	for _, d := range decls {
		switch d := d.(type) {
		case *ast.FuncDecl:
			if replaced[funcKey(d)] {
				continue
			}
		case *ast.GenDecl:
			had := len(d.Specs)
			d.Specs = keepSpecs(d.Specs, replaced)
			if had > 0 && len(d.Specs) == 0 {
				continue
			}
		}
		kept = append(kept, d)
	}
	return kept
}

func keepSpecs(specs []ast.Spec, replaced map[string]bool) []ast.Spec {
	var kept []ast.Spec
	for _, s := range specs {
		switch s := s.(type) {
		case *ast.TypeSpec:
			if replaced[s.Name.Name] {
				continue
			}
		case *ast.ValueSpec:
			// A group of constants may count with iota: blank the names instead of dropping the row.
			gone := 0
			for _, n := range s.Names {
				if replaced[n.Name] {
					gone++
				}
			}
			if gone > 0 && gone == len(s.Names) {
				for i, n := range s.Names {
					c := *n
					c.Name = "_"
					s.Names[i] = &c
				}
			}
		}
		kept = append(kept, s)
	}
	return kept
}
