package bytecode

import (
	"encoding/binary"
	"fmt"
	"math"
)

// maxText is the longest string in bytes; paths, names, tags.
const maxText = 1 << 20

// Encode returns the module's container. Equal modules give equal bytes; zero words at the end of bitmaps don't count. It doesn't verify: what it
// can't express is an ErrLimit.
func Encode(m *Module) ([]byte, error) {
	e := &encoder{index: map[string]uint64{}}
	var s [numSections][]byte
	s[secTypes] = e.section(func(w *writer) { e.types(w, m) })
	s[secGlobals] = e.section(func(w *writer) {
		e.limit(uint64(len(m.Globals)), maxGlobals, "globals")
		w.array(3 * len(m.Globals))
		for i := range m.Globals {
			e.text(w, m.Globals[i].Name)
			w.uint(uint64(m.Globals[i].Type))
			w.uint(m.Globals[i].Offset)
		}
	})
	s[secItabs] = e.section(func(w *writer) {
		e.limit(uint64(len(m.Itabs)), maxItabs, "itabs")
		w.array(2 * len(m.Itabs))
		for _, it := range m.Itabs {
			w.uint(uint64(it.Iface))
			w.uint(uint64(it.Type))
		}
	})
	s[secNatives] = e.section(func(w *writer) {
		e.limit(uint64(len(m.Natives)), MaxNatives, "natives")
		w.array(3 * len(m.Natives))
		for i := range m.Natives {
			e.text(w, m.Natives[i].Name)
			w.uint(uint64(m.Natives[i].Args))
			w.uint(uint64(m.Natives[i].Results))
		}
	})
	s[secFuncs] = e.section(func(w *writer) { e.funcs(w, m) })
	s[secMeta] = e.section(func(w *writer) { e.meta(w, m) })
	s[secStrings] = e.section(func(w *writer) {
		e.limit(uint64(len(e.strings)), maxStrings, "names")
		w.array(len(e.strings))
		for _, text := range e.strings {
			w.str(text)
		}
	})
	s[secCode] = e.section(func(w *writer) { e.code(w, m) })
	s[secRO] = e.section(func(w *writer) {
		e.limit(uint64(len(m.RO)), MaxRO, "bytes of read-only data")
		w.bin(m.RO)
	})
	if e.err != nil {
		return nil, e.err
	}
	return seal(&s)
}

// encoder gathers the module's strings: each occurs once, in order of first use.
type encoder struct {
	strings []string
	index   map[string]uint64
	err     error
	scratch []byte
}

func (e *encoder) section(write func(*writer)) []byte {
	w := &writer{}
	write(w)
	return w.data
}

func (e *encoder) limit(n, most uint64, what string) {
	if n > most && e.err == nil {
		e.err = fmt.Errorf("%w: %d %s, at most %d", ErrLimit, n, what, most)
	}
}

func (e *encoder) id(s string) uint64 {
	if i, ok := e.index[s]; ok {
		return i
	}
	e.limit(uint64(len(s)), maxText, "bytes in a name")
	i := uint64(len(e.strings))
	e.index[s] = i
	e.strings = append(e.strings, s)
	return i
}

func (e *encoder) text(w *writer, s string) { w.uint(e.id(s)) }

func (e *encoder) meta(w *writer, m *Module) {
	w.array(9)
	e.text(w, m.Name)
	w.bin(m.SourceHash[:])
	e.text(w, m.GoVersion)
	w.uint(m.GlobalsSize)
	for _, f := range []FuncID{m.Entry, m.Trap, m.FatalPanic, m.TimerFire} {
		w.uint(uint64(f))
	}
	e.limit(uint64(len(m.Files)), maxFiles, "files")
	w.array(len(m.Files))
	for _, f := range m.Files {
		e.text(w, f)
	}
}

// Bits of a type's flags.
const (
	typeComparable = 1 << iota
	typeNamed
	typeVariadic
)

func (e *encoder) types(w *writer, m *Module) {
	e.limit(uint64(len(m.Types)), MaxTypes, "types")
	w.array(max(len(m.Types), 1) - 1)
	for i := 1; i < len(m.Types); i++ {
		t := &m.Types[i]
		e.limit(uint64(max(len(t.Fields), len(t.In), len(t.Out), len(t.IMethods), len(t.Methods))), MaxTypeParts, "fields, parameters or methods of a type")
		w.array(16)
		flags := bit(t.Comparable, typeComparable) | bit(t.Named, typeNamed) | bit(t.Variadic, typeVariadic)
		for _, v := range [...]uint64{
			uint64(t.Kind), t.Size, uint64(t.Align), flags, e.id(t.Name), e.id(t.PkgPath),
			uint64(t.Elem), uint64(t.Key), t.Len, uint64(t.Dir), uint64(t.PtrTo),
		} {
			w.uint(v)
		}
		w.array(6 * len(t.Fields))
		for k := range t.Fields {
			f := &t.Fields[k]
			for _, v := range [...]uint64{e.id(f.Name), e.id(f.PkgPath), e.id(f.Tag), uint64(f.Type), f.Offset, bit(f.Embedded, 1)} {
				w.uint(v)
			}
		}
		for _, list := range [...][]TypeID{t.In, t.Out} {
			w.array(len(list))
			for _, p := range list {
				w.uint(uint64(p))
			}
		}
		w.array(3 * len(t.IMethods))
		for k := range t.IMethods {
			im := &t.IMethods[k]
			for _, v := range [...]uint64{e.id(im.Name), e.id(im.PkgPath), uint64(im.Type)} {
				w.uint(v)
			}
		}
		w.array(5 * len(t.Methods))
		for k := range t.Methods {
			me := &t.Methods[k]
			for _, v := range [...]uint64{e.id(me.Name), e.id(me.PkgPath), uint64(me.Type), uint64(me.Ifn), uint64(me.Tfn)} {
				w.uint(v)
			}
		}
	}
}

func bit(set bool, value uint64) uint64 {
	if set {
		return value
	}
	return 0
}

// funcs writes the totals of all functions' tables first, so that the decoder allocates each kind once.
func (e *encoder) funcs(w *writer, m *Module) {
	e.limit(uint64(len(m.Funcs)), MaxFuncs, "functions")
	var maps, bitmaps, words, lines, vars uint64
	for i := 1; i < len(m.Funcs); i++ {
		f := &m.Funcs[i]
		maps += uint64(len(f.Points) + len(f.Calls))
		bitmaps += uint64(len(f.Bitmaps))
		words += bitmapWords(f.Always)
		for _, b := range f.Bitmaps {
			words += bitmapWords(b)
		}
		lines += uint64(len(f.Lines))
		vars += uint64(len(f.Params) + len(f.Locals))
	}
	w.array(6)
	for _, t := range [...]struct{ n, limit uint64 }{
		{maps, maxMaps}, {bitmaps, maxBitmaps}, {words, maxBits}, {lines, maxLines}, {vars, maxVars},
	} {
		e.limit(t.n, t.limit, "entries in the tables of functions")
		w.uint(t.n)
	}
	w.array(max(len(m.Funcs), 1) - 1)
	for i := 1; i < len(m.Funcs); i++ {
		f := &m.Funcs[i]
		e.limit(uint64(len(f.Code)), MaxFuncWords, "words of code in a function")
		w.array(17)
		for _, v := range [...]uint64{
			e.id(f.Name), uint64(f.Flags), uint64(f.Frame), uint64(f.Args), uint64(f.Results), uint64(f.RecoverPC),
			uint64(len(f.Code)), uint64(f.Type), uint64(f.File), uint64(f.Line),
		} {
			w.uint(v)
		}
		e.blob(w, func(b []byte) []byte { return appendMaps(b, f.Points) })
		e.blob(w, func(b []byte) []byte { return appendMaps(b, f.Calls) })
		e.blob(w, func(b []byte) []byte { return appendBitmap(b, f.Always) })
		e.blob(w, func(b []byte) []byte {
			b = binary.AppendUvarint(b, uint64(len(f.Bitmaps)))
			for _, bits := range f.Bitmaps {
				b = appendBitmap(b, bits)
			}
			return b
		})
		e.blob(w, func(b []byte) []byte { return appendLines(b, f.Lines) })
		e.blob(w, func(b []byte) []byte { return e.appendVars(b, f.Params) })
		e.blob(w, func(b []byte) []byte { return e.appendVars(b, f.Locals) })
	}
}

func (e *encoder) blob(w *writer, fill func([]byte) []byte) {
	e.scratch = fill(e.scratch[:0])
	w.bin(e.scratch)
}

// Differences are taken modulo 2^32, so that tables that are out of order survive as well.
func appendDelta(b []byte, v, prev uint32) []byte { return binary.AppendUvarint(b, uint64(v-prev)) }

func appendSigned(b []byte, v, prev uint32) []byte {
	d := int32(v - prev)
	return binary.AppendUvarint(b, uint64(uint32(d<<1)^uint32(d>>31)))
}

func appendMaps(b []byte, table []StackMap) []byte {
	b = binary.AppendUvarint(b, uint64(len(table)))
	pc := uint32(0)
	for _, s := range table {
		b = appendDelta(b, s.PC, pc)
		b = binary.AppendUvarint(b, uint64(s.Index))
		pc = s.PC
	}
	return b
}

// bitmapWords is the number of words up to the last that is not zero.
func bitmapWords(bits []uint64) uint64 {
	n := len(bits)
	for n > 0 && bits[n-1] == 0 {
		n--
	}
	return uint64(n)
}

// appendBitmap writes the number of bytes up to the last that is not zero, and those bytes.
func appendBitmap(b []byte, bits []uint64) []byte {
	var raw []byte
	for _, w := range bits[:bitmapWords(bits)] {
		raw = binary.LittleEndian.AppendUint64(raw, w)
	}
	for len(raw) > 0 && raw[len(raw)-1] == 0 {
		raw = raw[:len(raw)-1]
	}
	return append(binary.AppendUvarint(b, uint64(len(raw))), raw...)
}

func appendLines(b []byte, lines []Line) []byte {
	b = binary.AppendUvarint(b, uint64(len(lines)))
	var prev Line
	for _, l := range lines {
		b = appendDelta(b, l.PC, prev.PC)
		b = appendSigned(b, l.File, prev.File)
		b = appendSigned(b, l.Line, prev.Line)
		prev = l
	}
	return b
}

func (e *encoder) appendVars(b []byte, vars []Var) []byte {
	b = binary.AppendUvarint(b, uint64(len(vars)))
	for i := range vars {
		v := &vars[i]
		for _, x := range [...]uint64{e.id(v.Name), uint64(v.Type), uint64(v.Slot), uint64(v.From), uint64(v.To)} {
			b = binary.AppendUvarint(b, x)
		}
	}
	return b
}

// code writes the words of all functions as one byte string.
func (e *encoder) code(w *writer, m *Module) {
	words := 0
	for i := 1; i < len(m.Funcs); i++ {
		words += len(m.Funcs[i].Code)
	}
	e.limit(uint64(words), min(MaxCodeWords, math.MaxUint32/8), "words of code")
	if e.err != nil {
		return
	}
	w.data = make([]byte, 0, 5+8*words)
	w.length(8*words, mpBin8, mpBin16, mpBin32)
	for i := 1; i < len(m.Funcs); i++ {
		for _, word := range m.Funcs[i].Code {
			w.data = binary.LittleEndian.AppendUint64(w.data, word)
		}
	}
}
