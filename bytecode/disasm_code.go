package bytecode

import (
	"fmt"
	"math/bits"
	"sort"
	"strconv"
	"strings"
)

// funcDis writes one function.
type funcDis struct {
	*disassembler
	f      *Func
	labels map[int]bool
	vars   map[uint16][]*Var // by slot
}

func (d *disassembler) function(id FuncID) {
	f := &d.m.Funcs[id]
	fd := &funcDis{disassembler: d, f: f, labels: map[int]bool{}, vars: map[uint16][]*Var{}}
	fd.findLabels()
	recoverAt := ""
	if f.Flags&FuncRecover != 0 {
		recoverAt = fmt.Sprintf(" recover=%d", f.RecoverPC)
	}
	d.line("\nfunc %s frame=%d args=%d results=%d%s%s%s%s%s%s { ; #%d", quote(f.Name), f.Frame, f.Args, f.Results,
		flagAttr("wrapper", f.Flags&FuncWrapper != 0), flagAttr("closure", f.Flags&FuncClosure != 0), recoverAt,
		attr("type", f.Type, d.typeRef), attr("file", f.File, decimal), attr("line", f.Line, decimal), id)
	fd.tables()
	fd.code()
	d.line("}")
}

// tables writes what doesn't stand at a pc.
func (d *funcDis) tables() {
	f := d.f
	for _, list := range []struct {
		word string
		vars []Var
	}{{"param", f.Params}, {"local", f.Locals}} {
		for i := range list.vars {
			v := &list.vars[i]
			d.line("\t%s %s slot=%d%s from=%d to=%d", list.word, quote(v.Name), v.Slot, attr("type", v.Type, d.typeRef), v.From, v.To)
			if len(d.vars[v.Slot]) < 8 { // comments only; keeps the work linear
				d.vars[v.Slot] = append(d.vars[v.Slot], v)
			}
		}
	}
	if bitmapWords(f.Always) > 0 {
		d.line("\talways%s", slotNumbers(f.Always))
	}
	for i, b := range f.Bitmaps {
		d.line("\tmap%s ; #%d", slotNumbers(b), i)
	}
}

func slotNumbers(b []uint64) string {
	var s strings.Builder
	for i, w := range b {
		for ; w != 0; w &= w - 1 {
			fmt.Fprintf(&s, " %d", 64*i+bits.TrailingZeros64(w))
		}
	}
	return s.String()
}

// findLabels notes the targets of branches that lie at instructions.
func (d *funcDis) findLabels() {
	starts := map[int]bool{}
	var targets []int
	for pc := 0; pc < len(d.f.Code); {
		starts[pc] = true
		w := d.f.Code[pc]
		if op := WordOp(w); op.Defined() && Info(op).Flags&FlagBranch != 0 {
			targets = append(targets, pc+RelOf(w))
		}
		pc += max(WordOp(w).Len(), 1)
	}
	for _, t := range targets {
		d.labels[t] = starts[t]
	}
}

func (d *funcDis) code() {
	f := d.f
	points, calls, lines := f.Points, f.Calls, f.Lines
	for pc := 0; pc < len(f.Code); {
		for len(lines) > 0 && int64(lines[0].PC) <= int64(pc) {
			d.line("\tline %d:%d%s", lines[0].File, lines[0].Line, d.fileComment(lines[0].File))
			lines = lines[1:]
		}
		if d.labels[pc] {
			d.line("L%d:", pc)
		}
		for len(points) > 0 && int64(points[0].PC) <= int64(pc) {
			d.line("\tpoint #%d%s", points[0].Index, d.mapComment(points[0].Index))
			points = points[1:]
		}
		for len(calls) > 0 && int64(calls[0].PC) <= int64(pc) {
			d.line("\tcallmap #%d%s", calls[0].Index, d.mapComment(calls[0].Index))
			calls = calls[1:]
		}
		pc += d.instruction(pc)
	}
	if n := len(points) + len(calls) + len(lines); n > 0 {
		d.line("\t; %d table entries beyond the code are not shown", n)
	}
}

func (d *funcDis) fileComment(file uint32) string {
	if int64(file) < int64(len(d.m.Files)) {
		return " ; " + strconv.Quote(d.m.Files[file])
	}
	return ""
}

func (d *funcDis) mapComment(index uint32) string {
	if int64(index) < int64(len(d.f.Bitmaps)) {
		if bitmapWords(d.f.Bitmaps[index]) == 0 {
			return " ; no pointers"
		}
		return " ; pointers:" + slotNumbers(d.f.Bitmaps[index])
	}
	return ""
}

// instruction writes the instruction at pc and returns its length. A word that no instruction text can stand for is written as a number.
func (d *funcDis) instruction(pc int) int {
	w := d.f.Code[pc]
	op := WordOp(w)
	info := Info(op)
	if !op.Defined() || pc+op.Len() > len(d.f.Code) || !d.plain(w, info) {
		d.line("\tword %#x ; %d", w, pc)
		return 1
	}
	name := info.Name
	if n := WordN(w); n != 0 {
		name += "." + strconv.Itoa(int(n))
	}
	var parts, notes []string
	for i, kind := range [3]Operand{info.A, info.B, info.C} {
		if text := d.field(kind, i, w, pc); text != "" {
			parts = append(parts, text)
		}
		notes = append(notes, d.varNote(kind, [3]uint16{WordA(w), WordB(w), WordC(w)}[i], pc)...)
	}
	if info.Ext != NoExt {
		ext := d.f.Code[pc+1]
		if op == OpRUNDEFERS && ext != 0 {
			d.line("\tword %#x ; %d", w, pc)
			return 1
		}
		text, note := d.extension(info.Ext, ext)
		if op != OpRUNDEFERS {
			parts = append(parts, text)
		}
		if note != "" {
			notes = append(notes, note)
		}
	}
	line := fmt.Sprintf("%-9s %s", name, strings.Join(parts, ", "))
	d.line("\t%-40s ; %s", line, strings.Join(append([]string{strconv.Itoa(pc)}, notes...), " "))
	return op.Len()
}

// plain says whether the fields that the text leaves out have the values that Assemble gives them.
func (d *funcDis) plain(w uint64, info *OpInfo) bool {
	if info.N == None && WordN(w) != 0 {
		return false
	}
	for i, kind := range [3]Operand{info.A, info.B, info.C} {
		x := [3]uint16{WordA(w), WordB(w), WordC(w)}[i]
		if kind == None && x != 0 || kind == Frame && x != d.f.Frame {
			return false
		}
	}
	return true
}

func (d *funcDis) field(kind Operand, i int, w uint64, pc int) string {
	x := [3]uint16{WordA(w), WordB(w), WordC(w)}[i]
	switch kind {
	case None, Frame:
		return ""
	case Imm:
		return strconv.Itoa(int(int16(x)))
	case UImm, Off, FOff, Count:
		return strconv.Itoa(int(x))
	case Rel, Rel32:
		if kind == Rel32 && i == 2 {
			return ""
		}
		if target := pc + RelOf(w); d.labels[target] {
			return "L" + strconv.Itoa(target)
		}
		return fmt.Sprintf("%+d", RelOf(w))
	}
	return "r" + strconv.Itoa(int(x))
}

// varNote names the variable that lies in a slot.
func (d *funcDis) varNote(kind Operand, slot uint16, pc int) []string {
	switch kind {
	case Dst, Dst2, Dst3, DstN, Src, Src2, Src3, SrcN:
		for _, v := range d.vars[slot] {
			if int64(v.From) <= int64(pc) && int64(pc) < int64(v.To) {
				return []string{fmt.Sprintf("r%d=%s", slot, strconv.Quote(v.Name))}
			}
		}
	}
	return nil
}

func (d *funcDis) extension(kind ExtKind, ext uint64) (text, note string) {
	small := func() uint32 { return uint32(min(ext, 0xffffffff)) }
	switch kind {
	case ExtImm:
		if int64(ext) < 0 {
			return strconv.FormatInt(int64(ext), 10), fmt.Sprintf("%#x", ext)
		}
	case ExtFunc:
		return d.funcRef(FuncID(small())), ""
	case ExtType:
		return d.typeRef(TypeID(small())), ""
	case ExtItab:
		if ext < uint64(len(d.m.Itabs)) {
			it := d.m.Itabs[ext]
			note = d.typeRef(it.Iface) + " " + d.typeRef(it.Type)
		}
		return fmt.Sprintf("#%d", ext), note
	case ExtNative:
		if ext < uint64(len(d.natives)) {
			return d.natives[ext], ""
		}
		return fmt.Sprintf("#%d", ext), note
	case ExtGlobal:
		return decimal(ext), d.globalNote(ext)
	case ExtStr:
		offset, length := ext&0xffffffff, ext>>32
		if offset+length <= uint64(len(d.m.RO)) {
			note = strconv.Quote(string(d.m.RO[offset:min(offset+length, offset+40)]))
		}
		return fmt.Sprintf("%d:%d", offset, length), note
	case ExtFIdx:
		return fmt.Sprintf("%d:%d", ext&0xffffffff, ext>>32), "element size:length"
	case ExtSlots:
		return slotWord(ext), ""
	case ExtSig:
		return fmt.Sprintf("r%d, %d, %d, %d", uint16(ext), uint16(ext>>16), ext>>48, uint16(ext>>32)), "method, args, results"
	}
	return decimal(ext), ""
}

// globalNote names the global that contains the offset.
func (d *funcDis) globalNote(offset uint64) string {
	g := d.m.Globals
	i := sort.Search(len(g), func(i int) bool { return g[i].Offset > offset })
	if i == 0 {
		return ""
	}
	return fmt.Sprintf("%s+%d", strconv.Quote(g[i-1].Name), offset-g[i-1].Offset)
}

func slotWord(ext uint64) string {
	var parts []string
	for i := range 4 {
		if x := uint16(ext >> (16 * i)); x == absent {
			parts = append(parts, "_")
		} else {
			parts = append(parts, strconv.Itoa(int(x)))
		}
	}
	for len(parts) > 1 && parts[len(parts)-1] == "0" {
		parts = parts[:len(parts)-1]
	}
	return "{" + strings.Join(parts, " ") + "}"
}
