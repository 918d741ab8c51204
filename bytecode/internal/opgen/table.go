package main

import (
	"fmt"
	"go/ast"
	"go/constant"
	"go/parser"
	"go/token"
	"go/types"
	"sort"
	"strings"
)

// opTable is the content of optable.go.
type opTable struct {
	version  int64
	operands []named // constants of type Operand in order of value
	exts     []named
	flags    []named
	rows     []row
}

type named struct {
	name  string
	value int64
	doc   string
}

type row struct {
	section    string // the comment above, if the row is the first below it
	num        int64
	name       string
	n, a, b, c string // names of the Operand constants
	ext        string // name of the ExtKind constant
	flags      int64
	since      int64
	synopsis   string
}

// readTable type-checks the file, which imports nothing, and evaluates its constants and rows.
func readTable(path string) (*opTable, error) {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, parser.ParseComments)
	if err != nil {
		return nil, fmt.Errorf("parse instruction table: %w", err)
	}
	info := &types.Info{Types: map[ast.Expr]types.TypeAndValue{}, Defs: map[*ast.Ident]types.Object{}}
	if _, err := new(types.Config).Check("bytecode", fset, []*ast.File{file}, info); err != nil {
		return nil, fmt.Errorf("check instruction table: %w", err)
	}
	t := &opTable{}
	var lit *ast.CompositeLit
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		for i, id := range spec.Names {
			if id.Name == "Table" && len(spec.Values) > i {
				lit, _ = spec.Values[i].(*ast.CompositeLit)
			}
			t.addConstant(info.Defs[id], id.Name, spec)
		}
		return true
	})
	if lit == nil {
		return nil, fmt.Errorf("%s has no variable Table with a composite literal", path)
	}
	if err := t.addRows(lit, file, info); err != nil {
		return nil, err
	}
	return t, t.check()
}

func (t *opTable) addConstant(obj types.Object, name string, spec *ast.ValueSpec) {
	c, ok := obj.(*types.Const)
	if !ok {
		return
	}
	v, _ := constant.Int64Val(constant.ToInt(c.Val()))
	n := named{name, v, strings.TrimSpace(spec.Comment.Text())}
	if name == "InstructionSet" {
		t.version = v
	}
	if !ast.IsExported(name) {
		return
	}
	switch types.TypeString(c.Type(), func(*types.Package) string { return "" }) {
	case "Operand":
		t.operands = append(t.operands, n)
	case "ExtKind":
		t.exts = append(t.exts, n)
	case "OpFlags":
		t.flags = append(t.flags, n)
	}
}

func (t *opTable) addRows(lit *ast.CompositeLit, file *ast.File, info *types.Info) error {
	sections := sectionComments(lit, file)
	for _, e := range lit.Elts {
		fields, ok := e.(*ast.CompositeLit)
		if !ok || len(fields.Elts) != 10 {
			return fmt.Errorf("a row of the instruction table does not list its ten columns")
		}
		num := func(i int) int64 {
			v, _ := constant.Int64Val(constant.ToInt(info.Types[fields.Elts[i]].Value))
			return v
		}
		str := func(i int) string { return constant.StringVal(info.Types[fields.Elts[i]].Value) }
		for i, f := range fields.Elts {
			if info.Types[f].Value == nil {
				return fmt.Errorf("column %d of a row of the instruction table is not constant", i)
			}
		}
		r := row{
			num: num(0), name: str(1),
			n: nameOf(t.operands, num(2)), a: nameOf(t.operands, num(3)),
			b: nameOf(t.operands, num(4)), c: nameOf(t.operands, num(5)),
			ext: nameOf(t.exts, num(6)), flags: num(7), since: num(8), synopsis: str(9),
		}
		for len(sections) > 0 && sections[0].pos < e.Pos() {
			r.section = sections[0].text
			sections = sections[1:]
		}
		t.rows = append(t.rows, r)
	}
	return nil
}

type section struct {
	pos  token.Pos
	text string
}

func sectionComments(lit *ast.CompositeLit, file *ast.File) []section {
	var out []section
	for _, g := range file.Comments {
		if g.Pos() > lit.Pos() && g.End() < lit.End() {
			out = append(out, section{g.Pos(), strings.Join(strings.Fields(g.Text()), " ")})
		}
	}
	sort.Slice(out, func(i, j int) bool { return out[i].pos < out[j].pos })
	return out
}

func nameOf(list []named, v int64) string {
	for _, n := range list {
		if n.value == v {
			return n.name
		}
	}
	return fmt.Sprintf("?%d", v)
}

// check enforces what no row may break: ascending numbers, distinct names, versions that exist.
func (t *opTable) check() error {
	names := map[string]bool{}
	last := int64(-1)
	for _, r := range t.rows {
		switch {
		case r.num <= last || r.num > 255:
			return fmt.Errorf("instruction %s: number %d is out of order or of range", r.name, r.num)
		case names[r.name]:
			return fmt.Errorf("instruction %s is defined twice", r.name)
		case r.since < 1 || r.since > t.version:
			return fmt.Errorf("instruction %s: since %d, but the instruction set is %d", r.name, r.since, t.version)
		}
		names[r.name] = true
		last = r.num
	}
	return nil
}

func (t *opTable) flagNames(flags int64) []string {
	var out []string
	for _, f := range t.flags {
		if flags&f.value != 0 {
			out = append(out, strings.ToLower(strings.TrimPrefix(f.name, "Flag")))
		}
	}
	return out
}
