package load

import (
	"fmt"
	"go/ast"
	"go/token"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"
)

// embedFiles replaces go:embed directives of a package by initial values:
//
//	//go:embed hello.txt          var s string = string("...")
//	var s string              ->
//	//go:embed static             var fs embed.FS = embed.PhantomFiles("static/a", "...", ...)
//	var fs embed.FS           ->
//
// The go command has checked the patterns and listed the files. What the
// variables may be is checked by the compiler's rules for conversions.
func (l *loader) embedFiles(p *Package, u *listed) error {
	contents := map[string]string{}
	for _, name := range u.EmbedFiles {
		b, err := os.ReadFile(filepath.Join(u.Dir, filepath.FromSlash(name)))
		if err != nil {
			return fmt.Errorf("embedded file: %w", err)
		}
		contents[name] = string(b)
		p.names = append(p.names, p.Path+"/embed/"+name)
		p.contents = append(p.contents, b)
	}
	for _, f := range p.Files {
		for _, d := range f.Decls {
			g, ok := d.(*ast.GenDecl)
			if !ok || g.Tok != token.VAR {
				continue
			}
			for _, s := range g.Specs {
				v := s.(*ast.ValueSpec)
				doc := v.Doc
				if doc == nil && !g.Lparen.IsValid() {
					doc = g.Doc
				}
				if patterns := embedPatterns(doc); patterns != nil {
					if err := l.embedVar(v, patterns, contents); err != nil {
						return err
					}
				}
			}
		}
	}
	return nil
}

// embedPatterns reads the directives of a doc comment.
func embedPatterns(doc *ast.CommentGroup) []string {
	if doc == nil {
		return nil
	}
	var list []string
	for _, c := range doc.List {
		rest, ok := strings.CutPrefix(c.Text, "//go:embed ")
		for ok {
			rest = strings.TrimSpace(rest)
			if rest == "" {
				break
			}
			var word string
			if q, err := strconv.QuotedPrefix(rest); err == nil {
				rest = rest[len(q):]
				word, _ = strconv.Unquote(q)
			} else {
				word, rest, _ = strings.Cut(rest, " ")
			}
			list = append(list, word)
		}
	}
	return list
}

// embedVar gives one variable its value.
func (l *loader) embedVar(v *ast.ValueSpec, patterns []string, contents map[string]string) error {
	fail := func(text string) error {
		pos := l.fset.Position(v.Pos())
		return compileErrorf("%s:%d:%d: %s", l.rel(pos.Filename), pos.Line, pos.Column, text)
	}
	if len(v.Names) != 1 || len(v.Values) > 0 || v.Type == nil {
		return fail("go:embed cannot apply to multiple vars or vars with a value")
	}
	var names []string
	for _, name := range sortedKeys(contents) {
		for _, pattern := range patterns {
			if embedMatches(pattern, name) {
				names = append(names, name)
				break
			}
		}
	}
	literal := func(s string) ast.Expr {
		return &ast.BasicLit{ValuePos: v.Pos(), Kind: token.STRING, Value: strconv.Quote(s)}
	}
	call := &ast.CallExpr{Fun: v.Type, Lparen: v.Pos(), Rparen: v.Pos()}
	if sel, ok := v.Type.(*ast.SelectorExpr); ok && sel.Sel.Name == "FS" {
		call.Fun = &ast.SelectorExpr{X: sel.X, Sel: &ast.Ident{NamePos: sel.Sel.Pos(), Name: "PhantomFiles"}}
		for _, name := range names {
			call.Args = append(call.Args, literal(name), literal(contents[name]))
		}
	} else {
		if len(names) != 1 {
			return fail("go:embed cannot use several files for a variable of this type")
		}
		call.Args = []ast.Expr{literal(contents[names[0]])}
	}
	v.Values = []ast.Expr{call}
	return nil
}

// embedMatches says whether a file belongs to a pattern: it matches, or a
// directory above it does; then names that begin with . or _ below that
// directory count only for patterns that begin with "all:".
func embedMatches(pattern, name string) bool {
	pattern, all := strings.CutPrefix(pattern, "all:")
	for dir := name; dir != "." && dir != "/"; dir = path.Dir(dir) {
		if ok, err := path.Match(pattern, dir); (err != nil || !ok) && pattern != "." {
			continue
		}
		below := strings.TrimPrefix(strings.TrimPrefix(name, dir), "/")
		for elem := range strings.SplitSeq(below, "/") {
			if !all && (strings.HasPrefix(elem, ".") || strings.HasPrefix(elem, "_")) {
				return false
			}
		}
		return true
	}
	return false
}
