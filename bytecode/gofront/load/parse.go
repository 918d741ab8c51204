package load

import (
	"fmt"
	"go/parser"
	"os"
	"path/filepath"
	"slices"
	"sort"
	"strconv"
	"strings"
)

// alwaysLoaded are packages of the library that every program needs, whether
// it imports them or not.
var alwaysLoaded = []string{"runtime"}

// parseAll parses the named packages, the runtime and everything they import.
func (l *loader) parseAll(roots []string) error {
	l.mu.Lock()
	for _, path := range append(append([]string(nil), alwaysLoaded...), roots...) {
		l.request(path)
	}
	l.mu.Unlock()
	l.pending.Wait()
	if l.ioErr != nil {
		return l.ioErr
	}
	if err := l.syntaxReport(); err != nil {
		return err
	}
	for _, p := range l.pkgs {
		for path := range p.importPos {
			if q := l.pkgs[p.resolve(path)]; q != nil {
				p.Imports = append(p.Imports, q)
			}
		}
		slices.SortFunc(p.Imports, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	}
	return l.findCycle()
}

// request starts parsing of a package. The caller holds l.mu.
func (l *loader) request(path string) *Package {
	if p := l.pkgs[path]; p != nil {
		return p
	}
	p := &Package{Path: path, done: make(chan struct{})}
	l.pkgs[path] = p
	l.pending.Add(1)
	go func() {
		defer l.pending.Done()
		l.sem <- struct{}{}
		err := l.parse(p)
		<-l.sem
		l.mu.Lock()
		defer l.mu.Unlock()
		if err != nil && l.ioErr == nil {
			l.ioErr = err
		}
		for im := range p.importPos {
			if im := p.resolve(im); im != "unsafe" {
				l.request(im)
			}
		}
	}()
	return p
}

// resolve maps an import path as written to a package's path.
func (p *Package) resolve(path string) string {
	if q, ok := p.importMap[path]; ok {
		return q
	}
	if p.Std && strings.HasPrefix(path, "golang.org/x/") {
		return "vendor/" + path
	}
	return path
}

// parse reads and parses the files of one package.
func (l *loader) parse(p *Package) error {
	srcs, err := l.sources(p)
	if err != nil {
		return err
	}
	p.importPos = map[string]tokenPosition{}
	for _, s := range srcs {
		f, err := parser.ParseFile(l.fset, s.name, s.content, parser.ParseComments|parser.SkipObjectResolution|parser.AllErrors)
		if err != nil {
			p.parseErrs = append(p.parseErrs, err)
			continue
		}
		p.Files = append(p.Files, f)
		p.names = append(p.names, s.hashName)
		p.contents = append(p.contents, s.content)
		if p.Name == "" {
			p.Name = f.Name.Name
		}
	}
	if p.overlaid {
		dropReplaced(p, srcs)
	}
	if u := l.user[p.Path]; u != nil && len(u.EmbedFiles) > 0 {
		if err := l.embedFiles(p, u); err != nil {
			return err
		}
	}
	for _, f := range p.Files {
		for _, im := range f.Imports {
			path, err := strconv.Unquote(im.Path.Value)
			if err != nil {
				continue
			}
			if _, ok := p.importPos[path]; !ok {
				p.importPos[path] = l.fset.Position(im.Path.Pos())
			}
		}
	}
	return nil
}

// source is one file to compile.
type source struct {
	name     string // in positions
	hashName string // independent of where things lie on this computer
	content  []byte
	overlay  bool
}

// sources finds and reads the files of a package.
func (l *loader) sources(p *Package) ([]source, error) {
	u := l.user[p.Path]
	if u == nil {
		return l.stdSources(p)
	}
	p.Dir, p.importMap, p.asmFiles = u.Dir, u.ImportMap, u.SFiles
	if u.Module != nil && u.Module.GoVersion != "" {
		p.goVersion = "go" + u.Module.GoVersion
	} else {
		p.goVersion = goSeries
	}
	var srcs []source
	for _, name := range u.GoFiles {
		file := absIn(u.Dir, name)
		b, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("read source: %w", err)
		}
		srcs = append(srcs, source{name: file, hashName: p.Path + "/" + filepath.Base(name), content: b})
	}
	sort.Slice(srcs, func(i, j int) bool { return srcs[i].name < srcs[j].name })
	return srcs, nil
}

// findCycle reports an import cycle; type checking would wait for ever in it.
func (l *loader) findCycle() error {
	state := map[*Package]int{}
	var visit func(p *Package, path []string) error
	visit = func(p *Package, path []string) error {
		path = append(path, p.Path)
		switch state[p] {
		case 1:
			return compileErrorf("import cycle not allowed:\n\t%s", strings.Join(path, "\n\timports "))
		case 2:
			return nil
		}
		state[p] = 1
		for _, q := range p.Imports {
			if err := visit(q, path); err != nil {
				return err
			}
		}
		state[p] = 2
		return nil
	}
	for _, path := range sortedKeys(l.pkgs) {
		if err := visit(l.pkgs[path], nil); err != nil {
			return err
		}
	}
	return nil
}

func sortedKeys[V any](m map[string]V) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
