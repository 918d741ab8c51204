package bytecode

import (
	"encoding/binary"
	"math"
)

// Bounds on what all functions' tables have together, and on tables of the module that Verify doesn't bound.
const (
	maxMaps    = 1 << 26
	maxBitmaps = 1 << 23
	maxBits    = 1 << 24 // words of bitmaps
	maxLines   = 1 << 25
	maxVars    = 1 << 23
	maxStrings = 1 << 23
	maxGlobals = 1 << 20
	maxItabs   = 1 << 20
	maxFiles   = 1 << 16
)

// Decode reads a module from its container. Whatever the bytes, it neither panics nor hangs, and what it allocates is at
// most a small multiple of what it is given. The module still needs Verify. The module does not refer to data afterwards.
func Decode(data []byte) (*Module, error) {
	sections, err := unseal(data)
	if err != nil {
		return nil, err
	}
	d := &decoder{m: &Module{}, sections: sections}
	for _, step := range []struct {
		section int
		decode  func(*reader)
	}{
		{secStrings, d.strings},
		{secMeta, d.meta},
		{secTypes, d.types},
		{secGlobals, d.globals},
		{secItabs, d.itabs},
		{secNatives, d.natives},
		{secCode, d.code},
		{secFuncs, d.funcs},
		{secRO, d.ro},
	} {
		r := &reader{data: sections[step.section], section: sectionNames[step.section]}
		step.decode(r)
		r.end()
		if r.err != nil {
			return nil, r.err
		}
	}
	return d.m, nil
}

type decoder struct {
	m        *Module
	sections [numSections][]byte
	text     []string
	words    []uint64 // all code that no function has taken yet

	// What is left of the slabs for the tables of functions.
	maps    []StackMap
	bitmaps [][]uint64
	bits    []uint64
	lines   []Line
	vars    []Var
}

// take cuts n elements off a slab; ok is false if they are not there.
func take[T any](slab *[]T, n int) (part []T, ok bool) {
	if n > len(*slab) {
		return nil, false
	}
	if n > 0 {
		part = (*slab)[:n:n]
		*slab = (*slab)[n:]
	}
	return part, true
}

func (d *decoder) strings(r *reader) {
	r.text = string(r.data)
	n := r.array(maxStrings)
	d.text = make([]string, n)
	for i := range d.text {
		d.text[i] = r.str()
		if len(d.text[i]) > maxText {
			r.fail(ErrLimit, "text too long")
		}
	}
}

func (d *decoder) str(r *reader) string {
	i := r.uint(math.MaxUint32)
	if i >= uint64(len(d.text)) {
		r.fail(ErrMalformed, "string number out of range")
		return ""
	}
	return d.text[i]
}

func id32[T ~uint32](r *reader) T { return T(r.uint(math.MaxUint32)) }

func (d *decoder) meta(r *reader) {
	m := d.m
	r.tuple(9)
	m.Name = d.str(r)
	if hash := r.bin(); len(hash) == len(m.SourceHash) {
		m.SourceHash = [32]byte(hash)
	} else {
		r.fail(ErrMalformed, "source hash")
	}
	m.GoVersion = d.str(r)
	m.GlobalsSize = r.uint(math.MaxUint64)
	m.Entry, m.Trap, m.FatalPanic, m.TimerFire = id32[FuncID](r), id32[FuncID](r), id32[FuncID](r), id32[FuncID](r)
	if n := r.array(maxFiles); n > 0 {
		m.Files = make([]string, n)
	}
	for i := range m.Files {
		m.Files[i] = d.str(r)
	}
}

func (d *decoder) types(r *reader) {
	n := r.array(MaxTypes - 1)
	if n > len(r.data)/16 {
		r.fail(ErrMalformed, "more types than the section has room for")
		n = 0
	}
	d.m.Types = make([]Type, n+1)
	for i := 1; i <= n && r.err == nil; i++ {
		d.oneType(r, &d.m.Types[i])
	}
}

func (d *decoder) oneType(r *reader, t *Type) {
	r.tuple(16)
	t.Kind, t.Size, t.Align = Kind(r.uint(math.MaxUint8)), r.uint(math.MaxUint64), uint8(r.uint(math.MaxUint8))
	flags := r.uint(typeComparable | typeNamed | typeVariadic)
	t.Comparable, t.Named, t.Variadic = flags&typeComparable != 0, flags&typeNamed != 0, flags&typeVariadic != 0
	t.Name, t.PkgPath = d.str(r), d.str(r)
	t.Elem, t.Key, t.Len = id32[TypeID](r), id32[TypeID](r), r.uint(math.MaxUint64)
	t.Dir, t.PtrTo = uint8(r.uint(math.MaxUint8)), id32[TypeID](r)
	if n := r.records(6, MaxTypeParts); n > 0 {
		t.Fields = make([]Field, n)
	}
	for k := range t.Fields {
		t.Fields[k] = Field{d.str(r), d.str(r), d.str(r), id32[TypeID](r), r.uint(math.MaxUint64), r.uint(1) != 0}
	}
	t.In, t.Out = typeList(r), typeList(r)
	if n := r.records(3, MaxTypeParts); n > 0 {
		t.IMethods = make([]IMethod, n)
	}
	for k := range t.IMethods {
		t.IMethods[k] = IMethod{d.str(r), d.str(r), id32[TypeID](r)}
	}
	if n := r.records(5, MaxTypeParts); n > 0 {
		t.Methods = make([]Method, n)
	}
	for k := range t.Methods {
		t.Methods[k] = Method{d.str(r), d.str(r), id32[TypeID](r), id32[FuncID](r), id32[FuncID](r)}
	}
}

func typeList(r *reader) []TypeID {
	n := r.array(MaxTypeParts)
	if n == 0 {
		return nil
	}
	list := make([]TypeID, n)
	for i := range list {
		list[i] = id32[TypeID](r)
	}
	return list
}

func (d *decoder) globals(r *reader) {
	if n := r.records(3, maxGlobals); n > 0 {
		d.m.Globals = make([]Global, n)
	}
	for i := range d.m.Globals {
		d.m.Globals[i] = Global{d.str(r), id32[TypeID](r), r.uint(math.MaxUint64)}
	}
}

func (d *decoder) itabs(r *reader) {
	if n := r.records(2, maxItabs); n > 0 {
		d.m.Itabs = make([]Itab, n)
	}
	for i := range d.m.Itabs {
		d.m.Itabs[i] = Itab{id32[TypeID](r), id32[TypeID](r)}
	}
}

func (d *decoder) natives(r *reader) {
	if n := r.records(3, MaxNatives); n > 0 {
		d.m.Natives = make([]NativeRef, n)
	}
	for i := range d.m.Natives {
		d.m.Natives[i] = NativeRef{d.str(r), uint16(r.uint(math.MaxUint16)), uint16(r.uint(math.MaxUint16))}
	}
}

func (d *decoder) code(r *reader) {
	raw := r.bin()
	if len(raw)%8 != 0 {
		r.fail(ErrMalformed, "code is not a whole number of words")
		return
	}
	d.words = make([]uint64, len(raw)/8)
	for i := range d.words {
		d.words[i] = binary.LittleEndian.Uint64(raw[8*i:])
	}
}

func (d *decoder) ro(r *reader) {
	if raw := r.bin(); len(raw) > MaxRO {
		r.fail(ErrLimit, "too long")
	} else if len(raw) > 0 {
		d.m.RO = append([]byte(nil), raw...)
	}
}

func (d *decoder) funcs(r *reader) {
	r.tuple(6)
	// No total is believed beyond the entries that the section has room for.
	total := func(size int, limit uint64) int {
		n := r.uint(limit)
		if n > uint64(len(r.data)/size) {
			r.fail(ErrMalformed, "more entries than the section has room for")
			return 0
		}
		return int(n)
	}
	d.maps = make([]StackMap, total(2, maxMaps))
	d.bitmaps = make([][]uint64, total(1, maxBitmaps))
	d.bits = make([]uint64, total(1, maxBits))
	d.lines = make([]Line, total(3, maxLines))
	d.vars = make([]Var, total(5, maxVars))
	n := r.array(MaxFuncs - 1)
	if n > len(r.data)/18 {
		r.fail(ErrMalformed, "more functions than the section has room for")
		n = 0
	}
	d.m.Funcs = make([]Func, n+1)
	for i := 1; i <= n && r.err == nil; i++ {
		d.function(r, &d.m.Funcs[i])
	}
	if r.err == nil && len(d.words)+len(d.maps)+len(d.bitmaps)+len(d.bits)+len(d.lines)+len(d.vars) > 0 {
		r.fail(ErrMalformed, "code or totals exceed the functions")
	}
}

func (d *decoder) function(r *reader, f *Func) {
	r.tuple(17)
	f.Name = d.str(r)
	f.Flags, f.Frame = FuncFlags(r.uint(math.MaxUint16)), uint16(r.uint(math.MaxUint16))
	f.Args, f.Results = uint16(r.uint(math.MaxUint16)), uint16(r.uint(math.MaxUint16))
	f.RecoverPC = id32[uint32](r)
	var ok bool
	if f.Code, ok = take(&d.words, int(r.uint(MaxFuncWords))); !ok {
		r.fail(ErrMalformed, "more code than the code section has")
	}
	f.Type, f.File, f.Line = id32[TypeID](r), id32[uint32](r), id32[uint32](r)
	part := func(read func(*reader)) {
		b := r.blob()
		read(&b)
		b.end()
		if r.err == nil {
			r.err = b.err
		}
	}
	part(func(b *reader) { f.Points = d.mapTable(b) })
	part(func(b *reader) { f.Calls = d.mapTable(b) })
	part(func(b *reader) { f.Always = d.bitmap(b) })
	part(func(b *reader) {
		n := b.count(1)
		if f.Bitmaps, ok = take(&d.bitmaps, n); !ok {
			b.fail(ErrMalformed, "more bitmaps than announced")
		}
		for i := range f.Bitmaps {
			f.Bitmaps[i] = d.bitmap(b)
		}
	})
	part(func(b *reader) { f.Lines = d.lineTable(b) })
	part(func(b *reader) { f.Params = d.varTable(b) })
	part(func(b *reader) { f.Locals = d.varTable(b) })
}

func (d *decoder) mapTable(b *reader) []StackMap {
	table, ok := take(&d.maps, b.count(2))
	if !ok {
		b.fail(ErrMalformed, "more stack maps than announced")
	}
	pc := uint32(0)
	for i := range table {
		pc += b.leb()
		table[i] = StackMap{pc, b.leb()}
	}
	return table
}

func (d *decoder) bitmap(b *reader) []uint64 {
	n := b.count(1)
	raw := b.data[b.pos : b.pos+n]
	bits, ok := take(&d.bits, (n+7)/8)
	if !ok || n > 0 && raw[n-1] == 0 {
		b.fail(ErrMalformed, "bitmap too long")
		return nil
	}
	for i, x := range raw {
		bits[i/8] |= uint64(x) << (8 * (i % 8))
	}
	b.pos += n
	return bits
}

func (d *decoder) lineTable(b *reader) []Line {
	table, ok := take(&d.lines, b.count(3))
	if !ok {
		b.fail(ErrMalformed, "more lines than announced")
	}
	signed := func() uint32 {
		z := b.leb()
		return z>>1 ^ -(z & 1)
	}
	var l Line
	for i := range table {
		l.PC += b.leb()
		l.File += signed()
		l.Line += signed()
		table[i] = l
	}
	return table
}

func (d *decoder) varTable(b *reader) []Var {
	table, ok := take(&d.vars, b.count(5))
	if !ok {
		b.fail(ErrMalformed, "more variables than announced")
	}
	for i := range table {
		name, typ, slot := b.leb(), b.leb(), b.leb()
		if int64(name) >= int64(len(d.text)) || slot > math.MaxUint16 {
			b.fail(ErrMalformed, "variable's name or slot out of range")
			return nil
		}
		table[i] = Var{d.text[name], TypeID(typ), uint16(slot), b.leb(), b.leb()}
	}
	return table
}
