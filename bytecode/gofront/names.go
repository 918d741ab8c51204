package gofront

import (
	"fmt"
	"go/types"
	"strconv"
	"strings"

	"golang.org/x/tools/go/ssa"
)

// Names of functions as runtime.Func.Name shows them, and of types as reflect does.

// pkgPath is a package's path in names; a program's main package is "main".
func pkgPath(p *types.Package) string {
	if p == nil {
		return ""
	}
	if p.Name() == "main" {
		return "main"
	}
	return p.Path()
}

func (c *linker) funcName(fn *ssa.Function) string {
	if fn == nil {
		return "runtime"
	}
	if p := fn.Parent(); p != nil {
		return c.closureName(p, fn)
	}
	name := fn.Name()
	suffix := ""
	for _, s := range []string{"$bound", "$thunk"} {
		if strings.HasSuffix(name, s) {
			name, suffix = strings.TrimSuffix(name, s), "-fm"
		}
	}
	if i := strings.IndexByte(name, '['); i >= 0 {
		name = name[:i] + "[...]"
	}
	if n, ok := strings.CutPrefix(name, "init#"); ok {
		k, _ := strconv.Atoi(n)
		name = fmt.Sprintf("init.%d", k-1)
	}
	var recv types.Type
	if r := fn.Signature.Recv(); r != nil {
		recv = r.Type()
	} else if suffix != "" && len(fn.FreeVars) > 0 {
		recv = fn.FreeVars[0].Type()
	}
	pkg := ""
	if fn.Pkg != nil {
		pkg = pkgPath(fn.Pkg.Pkg)
	} else if o := fn.Object(); o != nil && o.Pkg() != nil {
		pkg = pkgPath(o.Pkg())
	} else if o := fn.Origin(); o != nil && o.Pkg != nil {
		pkg = pkgPath(o.Pkg.Pkg)
	}
	if recv != nil {
		return recvName(recv, pkg) + "." + name + suffix
	}
	return pkg + "." + name + suffix
}

func recvName(t types.Type, pkg string) string {
	star := ""
	if p, ok := types.Unalias(t).(*types.Pointer); ok {
		star, t = "*", p.Elem()
	}
	n, ok := types.Unalias(t).(*types.Named)
	if !ok {
		return pkg
	}
	name := n.Obj().Name()
	if n.TypeArgs().Len() > 0 {
		name += "[...]"
	}
	if n.Obj().Pkg() != nil {
		pkg = pkgPath(n.Obj().Pkg())
	}
	if star != "" {
		return pkg + ".(*" + name + ")"
	}
	return pkg + "." + name
}

func (c *linker) closureName(p, fn *ssa.Function) string {
	i := 0
	isRange := func(f *ssa.Function) bool { return strings.HasPrefix(f.Synthetic, "range-over-func") }
	for _, f := range p.AnonFuncs {
		if isRange(f) == isRange(fn) {
			i++
		}
		if f == fn {
			break
		}
	}
	base := c.funcName(p)
	switch {
	case isRange(fn):
		return fmt.Sprintf("%s-range%d", base, i)
	case p.Parent() != nil:
		return fmt.Sprintf("%s.%d", base, i)
	}
	return fmt.Sprintf("%s.func%d", base, i)
}

// typeName is reflect's Type.String.
func typeName(t types.Type) string {
	var b strings.Builder
	writeType(&b, t, false)
	return b.String()
}

// writeType writes t; full: with package paths, as in type arguments.
func writeType(b *strings.Builder, t types.Type, full bool) {
	switch t := types.Unalias(t).(type) {
	case *types.Basic:
		b.WriteString(basicName(t))
	case *types.Named:
		writeNamed(b, t, full)
	case *types.Pointer:
		b.WriteByte('*')
		writeType(b, t.Elem(), full)
	case *types.Slice:
		b.WriteString("[]")
		writeType(b, t.Elem(), full)
	case *types.Array:
		fmt.Fprintf(b, "[%d]", t.Len())
		writeType(b, t.Elem(), full)
	case *types.Map:
		b.WriteString("map[")
		writeType(b, t.Key(), full)
		b.WriteByte(']')
		writeType(b, t.Elem(), full)
	case *types.Chan:
		writeChan(b, t, full)
	case *types.Signature:
		b.WriteString("func")
		writeSignature(b, t, full)
	case *types.Struct:
		writeStruct(b, t, full)
	case *types.Interface:
		writeInterface(b, t, full)
	default:
		b.WriteString(t.String())
	}
}

func basicName(t *types.Basic) string {
	switch t.Kind() {
	case types.Uint8:
		return "uint8"
	case types.Int32:
		return "int32"
	case types.UnsafePointer:
		return "unsafe.Pointer"
	}
	return t.Name()
}

func writeNamed(b *strings.Builder, t *types.Named, full bool) {
	if p := t.Obj().Pkg(); p != nil {
		if full {
			b.WriteString(pkgPath(p))
		} else {
			b.WriteString(p.Name())
		}
		b.WriteByte('.')
	}
	b.WriteString(t.Obj().Name())
	if n := t.TypeArgs().Len(); n > 0 {
		b.WriteByte('[')
		for i := range n {
			if i > 0 {
				b.WriteByte(',')
			}
			writeType(b, t.TypeArgs().At(i), true)
		}
		b.WriteByte(']')
	}
}

func writeChan(b *strings.Builder, t *types.Chan, full bool) {
	switch t.Dir() {
	case types.SendOnly:
		b.WriteString("chan<- ")
	case types.RecvOnly:
		b.WriteString("<-chan ")
	default:
		b.WriteString("chan ")
		if e, ok := types.Unalias(t.Elem()).(*types.Chan); ok && e.Dir() == types.RecvOnly {
			b.WriteByte('(')
			writeType(b, e, full)
			b.WriteByte(')')
			return
		}
	}
	writeType(b, t.Elem(), full)
}

func writeSignature(b *strings.Builder, t *types.Signature, full bool) {
	b.WriteByte('(')
	for i := range t.Params().Len() {
		if i > 0 {
			b.WriteString(", ")
		}
		p := t.Params().At(i).Type()
		if t.Variadic() && i == t.Params().Len()-1 {
			if s, ok := p.(*types.Slice); ok {
				b.WriteString("...")
				p = s.Elem()
			}
		}
		writeType(b, p, full)
	}
	b.WriteByte(')')
	switch n := t.Results().Len(); n {
	case 0:
	case 1:
		b.WriteByte(' ')
		writeType(b, t.Results().At(0).Type(), full)
	default:
		b.WriteString(" (")
		for i := range n {
			if i > 0 {
				b.WriteString(", ")
			}
			writeType(b, t.Results().At(i).Type(), full)
		}
		b.WriteByte(')')
	}
}

func writeStruct(b *strings.Builder, t *types.Struct, full bool) {
	b.WriteString("struct {")
	for i := range t.NumFields() {
		if i > 0 {
			b.WriteByte(';')
		}
		f := t.Field(i)
		b.WriteByte(' ')
		if !f.Embedded() {
			b.WriteString(f.Name())
			b.WriteByte(' ')
		}
		writeType(b, f.Type(), full)
		if tag := t.Tag(i); tag != "" {
			b.WriteByte(' ')
			b.WriteString(strconv.Quote(tag))
		}
	}
	if t.NumFields() > 0 {
		b.WriteByte(' ')
	}
	b.WriteByte('}')
}

func writeInterface(b *strings.Builder, t *types.Interface, full bool) {
	b.WriteString("interface {")
	for i, m := range sortedMethods(t) {
		if i > 0 {
			b.WriteByte(';')
		}
		b.WriteByte(' ')
		if !m.Exported() {
			b.WriteString(m.Pkg().Name() + ".")
		}
		b.WriteString(m.Name())
		writeSignature(b, m.Type().(*types.Signature), full)
	}
	if t.NumMethods() > 0 {
		b.WriteByte(' ')
	}
	b.WriteByte('}')
}
