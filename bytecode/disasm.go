package bytecode

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strconv"
	"strings"
)

// Disassemble writes the module's text form, from which Assemble makes the same module again if it is valid (but for zero words at the end of
// bitmaps). Of modules that Verify refuses the text shows what it can. What stands behind a semicolon is for the reader.
func Disassemble(m *Module, w io.Writer) error {
	d := &disassembler{m: m, w: bufio.NewWriter(w)}
	d.types = uniqueNames(1, len(m.Types), func(i int) string { return m.Types[i].Name })
	d.funcs = uniqueNames(1, len(m.Funcs), func(i int) string { return m.Funcs[i].Name })
	d.natives = uniqueNames(0, len(m.Natives), func(i int) string { return m.Natives[i].Name })
	d.module()
	for i := 1; i < len(m.Types); i++ {
		d.typ(TypeID(i))
	}
	for i := range m.Globals {
		g := &m.Globals[i]
		d.line("global %s %s at=%d", quote(g.Name), d.typeRef(g.Type), g.Offset)
	}
	for i, it := range m.Itabs {
		d.line("itab %s %s ; #%d", d.typeRef(it.Iface), d.typeRef(it.Type), i)
	}
	for i := 1; i < len(m.Funcs); i++ {
		d.function(FuncID(i))
	}
	if err := d.w.Flush(); err != nil {
		return fmt.Errorf("disassemble: %w", err)
	}
	return nil
}

type disassembler struct {
	m *Module
	w *bufio.Writer // keeps the first error
	// How to refer to each.
	types, funcs, natives []string
}

func (d *disassembler) line(format string, args ...any) {
	fmt.Fprintf(d.w, format, args...)
	d.w.WriteByte('\n')
}

// uniqueNames returns for every index from first on the name if no other has it, else #index.
func uniqueNames(first, n int, name func(int) string) []string {
	count := make(map[string]int, n)
	for i := first; i < n; i++ {
		count[name(i)]++
	}
	refs := make([]string, n)
	for i := range refs {
		if i >= first && count[name(i)] == 1 {
			refs[i] = quote(name(i))
		} else {
			refs[i] = "#" + strconv.Itoa(i)
		}
	}
	return refs
}

// quote returns a name as it may stand in the text: bare if it can't be taken for anything else.
func quote(s string) string {
	if s == "" || s == "_" || !isLetter(s[0]) {
		return strconv.Quote(s)
	}
	for i := range len(s) {
		if c := s[i]; !isLetter(c) && (c < '0' || c > '9') && strings.IndexByte("./*-[]$", c) < 0 {
			return strconv.Quote(s)
		}
	}
	return s
}

func isLetter(c byte) bool { return c == '_' || c|0x20 >= 'a' && c|0x20 <= 'z' }

func (d *disassembler) typeRef(id TypeID) string {
	if id == 0 {
		return "_"
	}
	if int64(id) < int64(len(d.types)) {
		return d.types[id]
	}
	return fmt.Sprintf("#%d", id)
}

func (d *disassembler) funcRef(id FuncID) string {
	if id == 0 {
		return "_"
	}
	if int64(id) < int64(len(d.funcs)) {
		return d.funcs[id]
	}
	return fmt.Sprintf("#%d", id)
}

// roLine is the number of bytes of the read-only blob on a line.
const roLine = 64

func (d *disassembler) module() {
	m := d.m
	d.line("module %s go=%s source=%s", quote(m.Name), strconv.Quote(m.GoVersion), strconv.Quote(hex.EncodeToString(m.SourceHash[:])))
	d.line("globals %d", m.GlobalsSize)
	for i, f := range m.Files {
		d.line("file %s ; %d", strconv.Quote(f), i)
	}
	for _, hook := range []struct {
		name string
		id   FuncID
	}{{"entry", m.Entry}, {"trap", m.Trap}, {"fatalpanic", m.FatalPanic}, {"timerfire", m.TimerFire}} {
		if hook.id != 0 {
			d.line("%s %s", hook.name, d.funcRef(hook.id))
		}
	}
	for i := 0; i < len(m.RO); i += roLine {
		d.line("ro %s ; %d", strconv.Quote(string(m.RO[i:min(i+roLine, len(m.RO))])), i)
	}
	for i := range m.Natives {
		n := &m.Natives[i]
		d.line("native %s %d %d ; #%d", quote(n.Name), n.Args, n.Results, i)
	}
}

// attr returns ` key=value`, or nothing if the value is zero.
func attr[T comparable](key string, v T, show func(T) string) string {
	var zero T
	if v == zero {
		return ""
	}
	return " " + key + "=" + show(v)
}

func flagAttr(word string, set bool) string {
	if set {
		return " " + word
	}
	return ""
}

func decimal[T ~uint8 | ~uint16 | ~uint32 | ~uint64](v T) string {
	return strconv.FormatUint(uint64(v), 10)
}

func (d *disassembler) typ(id TypeID) {
	t := &d.m.Types[id]
	head := fmt.Sprintf("type %s %v size=%d align=%d", quote(t.Name), t.Kind, t.Size, t.Align) +
		flagAttr("comparable", t.Comparable) + flagAttr("named", t.Named) + attr("pkg", t.PkgPath, quote) +
		attr("elem", t.Elem, d.typeRef) + attr("key", t.Key, d.typeRef) + attr("len", t.Len, decimal) +
		attr("dir", t.Dir, decimal) + d.list("in", t.In) + d.list("out", t.Out) + flagAttr("variadic", t.Variadic) +
		attr("ptrto", t.PtrTo, d.typeRef)
	if len(t.Fields)+len(t.IMethods)+len(t.Methods) == 0 {
		d.line("%s ; #%d", head, id)
		return
	}
	d.line("%s { ; #%d", head, id)
	for i := range t.Fields {
		f := &t.Fields[i]
		d.line("\tfield %s %s at=%d%s%s%s", quote(f.Name), d.typeRef(f.Type), f.Offset,
			attr("pkg", f.PkgPath, quote), attr("tag", f.Tag, strconv.Quote), flagAttr("embedded", f.Embedded))
	}
	for i := range t.IMethods {
		im := &t.IMethods[i]
		d.line("\timethod %s %s%s", quote(im.Name), d.typeRef(im.Type), attr("pkg", im.PkgPath, quote))
	}
	for i := range t.Methods {
		me := &t.Methods[i]
		d.line("\tmethod %s %s%s%s%s", quote(me.Name), d.typeRef(me.Type), attr("pkg", me.PkgPath, quote),
			attr("ifn", me.Ifn, d.funcRef), attr("tfn", me.Tfn, d.funcRef))
	}
	d.line("}")
}

func (d *disassembler) list(key string, types []TypeID) string {
	if len(types) == 0 {
		return ""
	}
	refs := make([]string, len(types))
	for i, t := range types {
		refs[i] = d.typeRef(t)
	}
	return " " + key + "=(" + strings.Join(refs, ", ") + ")"
}
