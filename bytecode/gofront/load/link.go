package load

import (
	"go/ast"
	"go/types"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// linkTable joins go:linkname directives. Every function and variable has a
// symbol: PKG.NAME, PKG.T.M or PKG.(*T).M, or what a directive in its own file says.
// A function without a body is the function with a body that has the same symbol.
type linkTable struct {
	renamed map[string]string        // own name -> symbol
	bodies  map[string]*ssa.Function // symbol -> function with a body
	globals map[string]*ssa.Global   // symbol -> variable that is not itself renamed
}

// directive is one //go:linkname with two operands.
type directive struct{ local, symbol string }

func directives(f *ast.File) []directive {
	var list []directive
	for _, g := range f.Comments {
		for _, c := range g.List {
			if !strings.HasPrefix(c.Text, "//go:linkname ") {
				continue
			}
			if w := strings.Fields(c.Text); len(w) == 3 {
				list = append(list, directive{w[1], w[2]})
			}
		}
	}
	return list
}

func newLinkTable(pkgs []*Package) linkTable {
	t := linkTable{renamed: map[string]string{}, bodies: map[string]*ssa.Function{}, globals: map[string]*ssa.Global{}}
	for _, p := range pkgs {
		for _, f := range p.Files {
			for _, d := range directives(f) {
				t.renamed[p.Types.Path()+"."+d.local] = d.symbol
			}
		}
	}
	for _, p := range pkgs {
		for _, m := range p.SSA.Members {
			switch m := m.(type) {
			case *ssa.Function:
				t.addFunc(m)
			case *ssa.Global:
				own := p.Types.Path() + "." + m.Name()
				if _, ok := t.renamed[own]; !ok {
					t.globals[own] = m
				}
			case *ssa.Type:
				t.addMethods(p, m)
			}
		}
	}
	return t
}

func (t *linkTable) addFunc(f *ssa.Function) {
	if f == nil || f.Blocks == nil || f.TypeParams().Len() > 0 {
		return
	}
	own := f.RelString(nil)
	sym, pushed := t.renamed[own]
	if pushed {
		t.bodies[sym] = f
	}
	if _, ok := t.bodies[own]; !ok {
		t.bodies[own] = f
	}
}

func (t *linkTable) addMethods(p *Package, typ *ssa.Type) {
	named, ok := typ.Type().(*types.Named)
	if !ok || named.TypeParams().Len() > 0 {
		return
	}
	for i := range named.NumMethods() {
		f := p.SSA.Prog.FuncValue(named.Method(i))
		if f == nil || f.Blocks == nil {
			continue
		}
		t.bodies[symbolOf(f)] = f
	}
}

// symbolOf is a function's name in the linker's form: PKG.F, PKG.T.M, PKG.(*T).M.
func symbolOf(f *ssa.Function) string {
	recv := f.Signature.Recv()
	if recv == nil || f.Pkg == nil {
		return f.RelString(nil)
	}
	path := f.Pkg.Pkg.Path()
	switch t := types.Unalias(recv.Type()).(type) {
	case *types.Pointer:
		if n, ok := types.Unalias(t.Elem()).(*types.Named); ok {
			return path + ".(*" + n.Obj().Name() + ")." + f.Name()
		}
	case *types.Named:
		return path + "." + t.Obj().Name() + "." + f.Name()
	}
	return f.RelString(nil)
}

// Link returns the function that a call of f reaches: f itself if it has a
// body, the function that go:linkname gives it, or nil. With nil the VM must
// provide the function, under the name that Symbol returns.
func (p *Program) Link(f *ssa.Function) *ssa.Function {
	if f.Blocks != nil {
		return f
	}
	return p.links.bodies[p.Symbol(f)]
}

// Symbol is the name under which the linker, and the VM's table of natives, know the function.
func (p *Program) Symbol(f *ssa.Function) string {
	own := symbolOf(f)
	if s, ok := p.links.renamed[own]; ok {
		return s
	}
	return own
}

// LinkGlobal returns the variable that g stands for: itself, or the one that go:linkname names.
func (p *Program) LinkGlobal(g *ssa.Global) *ssa.Global {
	if g.Pkg == nil {
		return g
	}
	if s, ok := p.links.renamed[g.Pkg.Pkg.Path()+"."+g.Name()]; ok {
		if h := p.links.globals[s]; h != nil {
			return h
		}
	}
	return g
}
