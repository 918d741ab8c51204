package load

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// stdSources returns the files of a package of the standard library, with the
// overlay applied.
func (l *loader) stdSources(p *Package) ([]source, error) {
	p.Std = true
	p.Dir = filepath.Join(l.goroot, "src", filepath.FromSlash(p.Path))
	rule := overlayRules[p.Path]
	over, err := overlayFiles(p.Path)
	if err != nil {
		return nil, err
	}
	p.overlaid = len(over) > 0
	for i := range over {
		over[i].content = bytes.ReplaceAll(over[i].content, []byte("@GOVERSION@"), []byte(l.version))
	}
	srcs := over
	if !rule.whole {
		names, err := os.ReadDir(p.Dir)
		if err != nil {
			return nil, fmt.Errorf("standard library package %s: %w", p.Path, err)
		}
		for _, e := range names {
			s, ok, err := l.stdSource(p, e.Name(), rule, over)
			if err != nil {
				return nil, err
			}
			if ok {
				srcs = append(srcs, s)
			}
		}
	}
	if len(srcs) == 0 {
		return nil, compileErrorf("package %s of the standard library is not supported: it has no files for this target", p.Path)
	}
	slices.SortFunc(srcs, func(a, b source) int { return strings.Compare(a.hashName, b.hashName) })
	return srcs, nil
}

// stdSource reads one file of a library package if it belongs to the target.
func (l *loader) stdSource(p *Package, name string, rule overlayRule, over []source) (source, bool, error) {
	if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || slices.Contains(rule.drop, name) {
		return source{}, false, nil
	}
	file := filepath.Join(p.Dir, name)
	s := source{name: file, hashName: p.Path + "/" + name}
	if slices.ContainsFunc(over, func(o source) bool { return o.hashName == s.hashName }) {
		return s, false, nil
	}
	b, err := os.ReadFile(file)
	if err != nil {
		return s, false, fmt.Errorf("standard library: %w", err)
	}
	ctx := l.ctx
	ctx.OpenFile = func(string) (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }
	ok, err := ctx.MatchFile(p.Dir, name)
	if err != nil || !ok {
		return s, false, nil
	}
	s.content = b
	return s, true, nil
}

// sourceHash covers every file that was compiled. It does not depend on where
// the files lie, nor on the order in which they were found.
func sourceHash(pkgs []*Package) (sum [32]byte) {
	pkgs = slices.Clone(pkgs)
	slices.SortFunc(pkgs, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
	h := sha256.New()
	var n [8]byte
	write := func(b []byte) {
		binary.LittleEndian.PutUint64(n[:], uint64(len(b)))
		h.Write(n[:])
		h.Write(b)
	}
	for _, p := range pkgs {
		for i, name := range p.names {
			write([]byte(name))
			write(p.contents[i])
		}
	}
	h.Sum(sum[:0])
	return sum
}

// initOrder sorts packages as Go initialises them: of those whose imports are
// all initialised, the one with the least import path comes next. The runtime,
// which everything depends on, is first.
func initOrder(pkgs map[string]*Package) []*Package {
	var order []*Package
	done := map[*Package]bool{}
	var need func(p *Package)
	need = func(p *Package) {
		if done[p] {
			return
		}
		done[p] = true
		for _, q := range p.Imports {
			need(q)
		}
		order = append(order, p)
	}
	need(pkgs["runtime"])
	waiting := map[*Package]int{}
	users := map[*Package][]*Package{}
	var ready []*Package
	for _, path := range sortedKeys(pkgs) {
		p := pkgs[path]
		if done[p] {
			continue
		}
		for _, q := range p.Imports {
			if !done[q] {
				waiting[p]++
				users[q] = append(users[q], p)
			}
		}
		if waiting[p] == 0 {
			ready = append(ready, p)
		}
	}
	for len(ready) > 0 {
		slices.SortFunc(ready, func(a, b *Package) int { return strings.Compare(a.Path, b.Path) })
		p := ready[0]
		ready = ready[1:]
		order = append(order, p)
		for _, u := range users[p] {
			if waiting[u]--; waiting[u] == 0 {
				ready = append(ready, u)
			}
		}
	}
	return order
}
