package bytecode

import (
	"fmt"
	"math"
	"unicode"
	"unicode/utf8"
)

// Layout computes what follows from a module's types: sizes, alignments and
// offsets by the rules of gc on amd64, slots, pointer-shapedness and where
// pointers lie.
//
//  1. Layouts walks every type once, depth first, through arrays and structs
//     only; a type met again while it is open contains itself, which is an error.
//  2. Everything about a type is computed from what is stored of its parts, so the
//     whole takes time linear in the number of types and fields.
//  3. Pointer maps of huge types are never spelled out: PtrRuns gives patterns
//     with repeat counts.

// Limits of types.
const (
	MaxTypeSize  = 1 << 50 // bytes, as gc
	MaxTypeDepth = 500     // arrays and structs within each other
)

// Layout is what the module's description of a type must agree with, and what loader and compiler need.
type Layout struct {
	Size       uint64
	Align      uint8
	Comparable bool
	Direct     bool   // pointer-shaped: an interface's data word holds the value itself
	PtrBytes   uint64 // the part of the value, from its start, that contains pointers
	Slots      uint16 // slots that a value takes in a frame
	Offsets    []uint64
}

// Boxed says whether values of the type lie in slots as the address of a heap copy.
func (l *Layout) Boxed() bool { return l.Size > MaxByValue }

// SlotsOf returns how many frame slots a value of the type takes. It trusts Type.Size.
func (m *Module) SlotsOf(id TypeID) int {
	size := m.Types[id].Size
	if size > MaxByValue {
		return 1
	}
	return int((size + 7) / 8)
}

// Boxed says whether values of the type lie in slots as the address of a heap copy. It trusts Type.Size.
func (m *Module) Boxed(id TypeID) bool { return m.Types[id].Size > MaxByValue }

// IsDirect says whether the type is pointer-shaped, that is one pointer and nothing else that has a size: then an
// interface's data word holds the value itself. It trusts Type.Size.
func (m *Module) IsDirect(id TypeID) bool {
	if m.Types[id].Size != 8 {
		return false
	}
	bits := m.SlotPointers(id)
	return bits[0]&1 != 0
}

// SlotPointers returns which slots of a value hold pointers, bit i of word i/64 for slot i; a boxed value is one pointer.
// The types must not contain themselves.
func (m *Module) SlotPointers(id TypeID) (bits [MaxByValue / 8 / 64]uint64) {
	if m.Boxed(id) {
		bits[0] = 1
		return bits
	}
	m.slotPointers(id, 0, bits[:])
	return bits
}

func (m *Module) slotPointers(id TypeID, offset uint64, bits []uint64) {
	t := &m.Types[id]
	if t.Size == 0 {
		return
	}
	switch t.Kind {
	case Array:
		step := m.Types[t.Elem].Size
		for i := uint64(0); i < t.Len && i*step < t.Size; i++ {
			m.slotPointers(t.Elem, offset+i*step, bits)
		}
	case Struct:
		for i := range t.Fields {
			m.slotPointers(t.Fields[i].Type, offset+t.Fields[i].Offset, bits)
		}
	default:
		word := offset / 8
		for _, w := range pointerWords(t.Kind) {
			if i := (word + uint64(w)) / 64; i < uint64(len(bits)) {
				bits[i] |= 1 << ((word + uint64(w)) % 64)
			}
		}
	}
}

// MethodLess is the order of Type.Methods and Type.IMethods: exported names first, then by name, then by package path.
func MethodLess(name1, pkg1, name2, pkg2 string) bool {
	if e1, e2 := exported(name1), exported(name2); e1 != e2 {
		return e1
	}
	if name1 != name2 {
		return name1 < name2
	}
	return pkg1 < pkg2
}

func exported(name string) bool {
	if name == "" || name[0] < utf8.RuneSelf {
		return name != "" && name[0] >= 'A' && name[0] <= 'Z'
	}
	r, _ := utf8.DecodeRuneInString(name)
	return unicode.IsUpper(r)
}

// pointerWords lists the words of a value that hold pointers, for kinds other than Array and Struct.
func pointerWords(k Kind) []int {
	switch k {
	case Pointer, UnsafePointer, Map, Chan, FuncKind, String, Slice:
		return []int{0}
	case Interface:
		return []int{0, 1}
	}
	return nil
}

// kindSizes gives size and alignment of every kind but Array and Struct.
var kindSizes = [...]struct{ size, align uint8 }{
	Bool: {1, 1}, Int: {8, 8}, Int8: {1, 1}, Int16: {2, 2}, Int32: {4, 4}, Int64: {8, 8},
	Uint: {8, 8}, Uint8: {1, 1}, Uint16: {2, 2}, Uint32: {4, 4}, Uint64: {8, 8}, Uintptr: {8, 8},
	Float32: {4, 4}, Float64: {8, 8}, Complex64: {8, 4}, Complex128: {16, 8},
	Chan: {8, 8}, FuncKind: {8, 8}, Interface: {16, 8}, Map: {8, 8}, Pointer: {8, 8},
	Slice: {24, 8}, String: {16, 8}, UnsafePointer: {8, 8},
}

// Layouts computes the layout of every type, without looking at the sizes, alignments and offsets that
// the module states. Fields' Offsets are filled in for structs.
func (m *Module) Layouts() ([]Layout, error) {
	b := &layoutBuilder{m: m, out: make([]Layout, len(m.Types)), state: make([]uint8, len(m.Types))}
	fields := 0
	for i := range m.Types {
		fields += len(m.Types[i].Fields)
	}
	b.offsets = make([]uint64, 0, fields)
	for i := 1; i < len(m.Types); i++ {
		if err := b.visit(TypeID(i), TypeID(i), 0); err != nil {
			return nil, err
		}
	}
	return b.out, nil
}

const (
	layoutOpen = 1
	layoutDone = 2
)

type layoutBuilder struct {
	m       *Module
	out     []Layout
	state   []uint8
	offsets []uint64 // slab for Layout.Offsets
}

// visit computes the layout of a type that lies in owner.
func (b *layoutBuilder) visit(id, owner TypeID, depth int) error {
	if id == 0 || int64(id) >= int64(len(b.m.Types)) {
		return typeError(RuleTypeRef, owner, fmt.Sprintf("part of it is of type %d, which does not exist", id))
	}
	switch {
	case b.state[id] == layoutDone:
		return nil
	case b.state[id] == layoutOpen:
		return typeError(RuleTypeCycle, id, "contains itself")
	case depth > MaxTypeDepth:
		return typeError(RuleTypeCycle, id, "nested too deep")
	}
	b.state[id] = layoutOpen
	t, l := &b.m.Types[id], &b.out[id]
	var err error
	switch {
	case t.Kind == Array:
		err = b.array(id, t, l, depth)
	case t.Kind == Struct:
		err = b.structure(id, t, l, depth)
	case int(t.Kind) < len(kindSizes) && kindSizes[t.Kind].size != 0:
		l.Size, l.Align = uint64(kindSizes[t.Kind].size), kindSizes[t.Kind].align
		l.Comparable = t.Kind != FuncKind && t.Kind != Map && t.Kind != Slice
		l.PtrBytes = 8 * uint64(len(pointerWords(t.Kind)))
	default:
		err = typeError(RuleTypeKind, id, fmt.Sprintf("kind %d", t.Kind))
	}
	if err != nil {
		return err
	}
	l.Direct = l.Size == 8 && l.PtrBytes == 8
	l.Slots = 1
	if l.Size <= MaxByValue {
		l.Slots = uint16((l.Size + 7) / 8)
	}
	b.state[id] = layoutDone
	return nil
}

func (b *layoutBuilder) array(id TypeID, t *Type, l *Layout, depth int) error {
	if err := b.visit(t.Elem, id, depth+1); err != nil {
		return err
	}
	e := &b.out[t.Elem]
	if t.Len > math.MaxInt64 || e.Size > 0 && t.Len > MaxTypeSize/e.Size {
		return typeError(RuleTypeSize, id, "too large")
	}
	l.Size, l.Align, l.Comparable = t.Len*e.Size, e.Align, e.Comparable
	if t.Len > 0 && e.PtrBytes > 0 {
		l.PtrBytes = (t.Len-1)*e.Size + e.PtrBytes
	}
	return nil
}

func (b *layoutBuilder) structure(id TypeID, t *Type, l *Layout, depth int) error {
	for i := range t.Fields {
		if err := b.visit(t.Fields[i].Type, id, depth+1); err != nil {
			return err
		}
	}
	l.Align, l.Comparable = 1, true
	if IsAlign64(t) {
		l.Align = 8
	}
	first := len(b.offsets)
	last := uint64(1)
	for i := range t.Fields {
		f := &b.out[t.Fields[i].Type]
		offset := alignUp(l.Size, uint64(f.Align))
		b.offsets = append(b.offsets, offset)
		if f.PtrBytes > 0 {
			l.PtrBytes = offset + f.PtrBytes
		}
		l.Size, l.Align, last = offset+f.Size, max(l.Align, f.Align), f.Size
		l.Comparable = l.Comparable && f.Comparable
		if l.Size > MaxTypeSize {
			return typeError(RuleTypeSize, id, "too large")
		}
	}
	if l.Size > 0 && last == 0 {
		l.Size++ // the address of a last field without size must not be that of the next object
	}
	l.Size = alignUp(l.Size, uint64(l.Align))
	l.Offsets = b.offsets[first:len(b.offsets):len(b.offsets)]
	return nil
}

// IsAlign64 recognises the types by which the library asks gc for an alignment of 8 bytes.
func IsAlign64(t *Type) bool {
	return t.Named && t.Name == "atomic.align64" && (t.PkgPath == "sync/atomic" || t.PkgPath == "internal/runtime/atomic")
}

func alignUp(n, align uint64) uint64 { return (n + align - 1) &^ (align - 1) }
