package objectvm

import (
	"cmp"
	"fmt"
	"slices"
	"unicode"
	"unicode/utf8"

	"phantomvm/bytecode"
)

// Type descriptors. placeType fixes a descriptor's address, so that others can
// refer to it, and writeType fills it and appends the tables it points to.
//
// Equal and Hasher are funcvals of function 0: they tell whether a type is
// comparable, and calling them panics. What the library calls them for, the overlay has natives for (runtime.typehash).

// Layout of internal/abi's structures (go1.26).
const (
	abiSize      = 0
	abiPtrBytes  = 8
	abiHash      = 16
	abiTFlag     = 20
	abiAlign     = 21
	abiFieldAl   = 22
	abiKind      = 23
	abiEqual     = 24
	abiGCData    = 32
	abiStr       = 40
	abiPtrToThis = 44
	abiTypeSize  = 48 // internal/abi.Type; kind-specific fields follow
	abiUncommon  = 16

	tflagUncommon   = 1 << 0
	tflagNamed      = 1 << 2
	tflagRegular    = 1 << 3
	tflagGCOnDemand = 1 << 4
	tflagDirect     = 1 << 5

	maxStaticMask = 2048 // bytes of GCData that are laid out; larger types get tflagGCOnDemand

)

// abiExtra is the size of the kind-specific part of a descriptor.
func abiExtra(k bytecode.Kind) uint64 {
	switch k {
	case bytecode.Array:
		return 24
	case bytecode.Chan:
		return 16
	case bytecode.FuncKind, bytecode.Pointer, bytecode.Slice:
		return 8
	case bytecode.Interface, bytecode.Struct:
		return 32
	case bytecode.Map:
		return 64
	}
	return 0
}

func hasUncommon(src *bytecode.Type) bool { return src.Named || len(src.Methods) > 0 }

// placeType reserves the descriptor and its inseparable tail: uncommon part, parameter list.
func (r *roImage) placeType(t *TypeInfo) error {
	src := &r.mod.Types[t.ID]
	r.align(8)
	if r.places == nil {
		r.places = make([]uint64, len(r.types))
	}
	off := r.off()
	r.places[t.ID] = off
	n := abiTypeSize + abiExtra(t.Kind)
	if hasUncommon(src) {
		n += abiUncommon
	}
	if len(src.Methods) > 1<<16-1 || len(src.IMethods) > 1<<16-1 {
		return fmt.Errorf("%w %d: too many methods", ErrBadType, t.ID)
	}
	n += 8 * uint64(len(t.In)+len(t.Out))
	r.data = append(r.data, make([]byte, n)...)
	t.Addr, t.Hash = r.addr(off), typeHash(src)
	return nil
}

// placeOwn gives one of the VM's own types an address, under which the collector finds its pointer mask. The words there stay zero.
func (r *roImage) placeOwn(t *TypeInfo) {
	r.align(8)
	t.Addr = r.addr(r.off())
	r.word(0)
	r.index = append(r.index, make([]uint32, int(r.off()/8)-len(r.index))...)
	r.index[r.off()/8-1] = uint32(t.ID)
}

func (r *roImage) typeOff(id bytecode.TypeID) uint32 {
	if id == 0 || int(id) >= len(r.places) {
		return 0
	}
	return uint32(r.places[id])
}

func (r *roImage) writeType(t *TypeInfo) {
	src, off := &r.mod.Types[t.ID], r.places[t.ID]
	r.put64(off+abiSize, t.Size)
	r.put64(off+abiPtrBytes, t.PtrBytes)
	r.put32(off+abiHash, t.Hash)
	r.data[off+abiAlign], r.data[off+abiFieldAl], r.data[off+abiKind] = t.Align, t.Align, byte(t.Kind)
	var flags byte
	if hasUncommon(src) {
		flags |= tflagUncommon
	}
	if src.Named {
		flags |= tflagNamed
	}
	if t.Regular {
		flags |= tflagRegular
	}
	if t.Direct {
		flags |= tflagDirect
	}
	if t.Equal {
		r.put64(off+abiEqual, uint64(r.addr(r.funcvals)))
	}
	if t.PtrBytes != 0 {
		if t.PtrBytes/64 > maxStaticMask {
			flags |= tflagGCOnDemand
			r.put64(off+abiGCData, uint64(ROBase)) // a null mask pointer; the VM never reads it
		} else {
			r.put64(off+abiGCData, r.gcMask(t))
		}
	}
	r.data[off+abiTFlag] = flags
	r.put32(off+abiStr, uint32(r.name(nameKey{name: src.Name, flags: exportedFlag(typeBaseName(src))})))
	r.put32(off+abiPtrToThis, r.typeOff(src.PtrTo))
	r.writeKind(t, src, off+abiTypeSize)
	if hasUncommon(src) {
		r.writeUncommon(src, off+abiTypeSize+abiExtra(t.Kind))
	}
}

// typeBaseName is a defined type's name without its package, "" for others.
func typeBaseName(src *bytecode.Type) string {
	if !src.Named {
		return ""
	}
	name := src.Name
	for i := 0; i < len(name) && name[i] != '['; i++ {
		if name[i] == '.' {
			return name[i+1:]
		}
	}
	return name
}

func exportedFlag(name string) byte {
	if c, _ := utf8.DecodeRuneInString(name); unicode.IsUpper(c) {
		return nameExported
	}
	return 0
}

func (r *roImage) gcMask(t *TypeInfo) uint64 {
	r.align(8)
	off := r.off()
	r.data = append(r.data, make([]byte, alignUp((t.PtrBytes/8+7)/8, 8))...)
	t.eachPtr(0, func(o uint64) { r.data[off+o/64] |= 1 << (o / 8 % 8) })
	return uint64(r.addr(off))
}

// writeKind fills the kind-specific part, which begins at off.
func (r *roImage) writeKind(t *TypeInfo, src *bytecode.Type, off uint64) {
	switch t.Kind {
	case bytecode.Array:
		r.put64(off, uint64(t.Elem.Addr))
		r.put64(off+8, r.sliceOf(t.Elem))
		r.put64(off+16, t.Len)
	case bytecode.Chan:
		r.put64(off, uint64(t.Elem.Addr))
		r.put64(off+8, uint64(t.Dir))
	case bytecode.FuncKind:
		r.writeFunc(t, src, off)
	case bytecode.Interface:
		r.writeInterface(src, off)
	case bytecode.Map:
		r.writeMap(t, off)
	case bytecode.Pointer, bytecode.Slice:
		r.put64(off, uint64(t.Elem.Addr))
	case bytecode.Struct:
		r.writeStruct(t, src, off)
	}
}

// sliceOf finds []elem among the module's types; reflect makes it if there is none.
func (r *roImage) sliceOf(elem *TypeInfo) uint64 {
	if r.sliceTypes == nil {
		r.sliceTypes = map[bytecode.TypeID]bytecode.TypeID{}
		for id := len(r.types) - 1; id > 0; id-- {
			if t := r.types[id]; t.Kind == bytecode.Slice && !r.mod.Types[id].Named {
				r.sliceTypes[t.Elem.ID] = t.ID
			}
		}
	}
	if id := r.sliceTypes[elem.ID]; id != 0 {
		return uint64(r.types[id].Addr)
	}
	return 0
}

func (r *roImage) writeFunc(t *TypeInfo, src *bytecode.Type, off uint64) {
	out := uint16(len(t.Out))
	if t.Variadic {
		out |= 1 << 15
	}
	r.put16(off, uint16(len(t.In)))
	r.put16(off+2, out)
	off += 8
	if hasUncommon(src) {
		off += abiUncommon
	}
	for i, p := range slices.Concat(t.In, t.Out) {
		r.put64(off+8*uint64(i), uint64(p.Addr))
	}
}

func (r *roImage) writeInterface(src *bytecode.Type, off uint64) {
	r.put64(off, uint64(r.addr(r.name(nameKey{name: src.PkgPath}))))
	type row struct{ name, typ uint32 }
	rows := make([]row, len(src.IMethods))
	for i, m := range src.IMethods {
		rows[i] = row{r.methodName(m.Name, m.PkgPath), r.typeOff(m.Type)}
	}
	r.align(8)
	tab := r.off()
	for _, m := range rows {
		r.half(m.name)
		r.half(m.typ)
	}
	r.putSlice(off+8, tab, len(rows))
}

// putSlice writes a slice header whose array lies at tab.
func (r *roImage) putSlice(off, tab uint64, n int) {
	r.put64(off, uint64(r.addr(tab)))
	r.put64(off+8, uint64(n))
	r.put64(off+16, uint64(n))
}

func (r *roImage) methodName(name, pkg string) uint32 {
	k := nameKey{name: name, flags: exportedFlag(name)}
	if k.flags == 0 {
		k.pkg = pkg
	}
	return uint32(r.name(k))
}

func (r *roImage) writeStruct(t *TypeInfo, src *bytecode.Type, off uint64) {
	pkg := src.PkgPath
	names := make([]uint64, len(src.Fields))
	for i, f := range src.Fields {
		k := nameKey{name: f.Name, tag: f.Tag, flags: exportedFlag(f.Name)}
		if f.Embedded {
			k.flags |= nameEmbedded
		}
		if f.PkgPath != "" && exportedFlag(f.Name) == 0 {
			pkg = f.PkgPath
		}
		names[i] = r.name(k)
	}
	r.put64(off, uint64(r.addr(r.name(nameKey{name: pkg}))))
	r.align(8)
	tab := r.off()
	for i, f := range t.Fields {
		r.word(uint64(r.addr(names[i])))
		r.word(uint64(f.Type.Addr))
		r.word(f.Offset)
	}
	r.putSlice(off+8, tab, len(names))
}

// Flags of internal/abi.MapType.
const (
	mapFlagKeyUpdate = 1 << iota
	mapFlagHashPanic
	mapFlagIndirectKey
	mapFlagIndirectElem
)

// writeMap fills a map descriptor. Maps are the VM's own (maps.go), so Group stays nil;
// like Equal, Hasher only says that there is one.
func (r *roImage) writeMap(t *TypeInfo, off uint64) {
	r.put64(off, uint64(t.Key.Addr))
	r.put64(off+8, uint64(t.Elem.Addr))
	if t.Key.Equal {
		r.put64(off+24, uint64(r.addr(r.funcvals)))
	}
	k, e := min(t.Key.Size, 128), min(t.Elem.Size, 128)
	ka, ea := uint64(t.Key.Align), uint64(t.Elem.Align)
	flags := uint32(0)
	if needKeyUpdate(t.Key) {
		flags |= mapFlagKeyUpdate
	}
	if t.Key.MayPanic {
		flags |= mapFlagHashPanic
	}
	if t.Key.Size > 128 {
		k, ka, flags = 8, 8, flags|mapFlagIndirectKey
	}
	if t.Elem.Size > 128 {
		e, ea, flags = 8, 8, flags|mapFlagIndirectElem
	}
	elemOff := alignUp(k, ea)
	slot := alignUp(elemOff+max(e, 1), max(ka, ea))
	r.put64(off+32, 8+8*slot)
	r.put64(off+40, slot)
	r.put64(off+48, elemOff)
	r.put32(off+56, flags)
}

// needKeyUpdate says whether equal keys can differ: -0 and 0, strings at other addresses, interfaces.
func needKeyUpdate(t *TypeInfo) bool {
	switch t.Kind {
	case bytecode.Float32, bytecode.Float64, bytecode.Complex64, bytecode.Complex128, bytecode.Interface, bytecode.String:
		return true
	case bytecode.Array:
		return needKeyUpdate(t.Elem)
	case bytecode.Struct:
		return slices.ContainsFunc(t.Fields, func(f FieldInfo) bool { return needKeyUpdate(f.Type) })
	}
	return false
}

func (r *roImage) writeUncommon(src *bytecode.Type, off uint64) {
	pkg := src.PkgPath
	if src.Kind == bytecode.UnsafePointer && src.Named && pkg == "" { // the one predeclared type with a package, for reflect
		pkg = "unsafe"
	}
	if pkg != "" && src.Named {
		r.put32(off, uint32(r.name(nameKey{name: pkg})))
	}
	ms := sortedMethods(src)
	exported := 0
	names := make([]uint32, len(ms))
	for i, m := range ms {
		if exportedFlag(m.Name) != 0 {
			exported++
		}
		names[i] = r.methodName(m.Name, m.PkgPath)
	}
	r.put16(off+4, uint16(len(ms)))
	r.put16(off+6, uint16(exported))
	r.align(8)
	r.put32(off+8, uint32(r.off()-off))
	for i, m := range ms {
		r.half(names[i])
		r.half(r.typeOff(m.Type))
		r.half(uint32(m.Ifn))
		r.half(uint32(m.Tfn))
	}
}

// sortedMethods gives a concrete type's methods as reflect wants them: exported ones first, each part by name, then package.
func sortedMethods(src *bytecode.Type) []bytecode.Method {
	ms := slices.Clone(src.Methods)
	slices.SortStableFunc(ms, func(a, b bytecode.Method) int {
		return cmpMethod(a.Name, a.PkgPath, b.Name, b.PkgPath)
	})
	return ms
}

func cmpMethod(an, ap, bn, bp string) int {
	ax, bx := exportedFlag(an), exportedFlag(bn)
	if ax != bx {
		return cmp.Compare(bx, ax)
	}
	if c := cmp.Compare(an, bn); c != 0 || ax != 0 {
		return c
	}
	return cmp.Compare(ap, bp)
}
