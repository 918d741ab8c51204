package objectvm

import (
	"errors"
	"fmt"

	"phantomvm/bytecode"
)

// Types. The module lists types by TypeID; TypeInfo is what the VM derives
// from one of them, by gc's amd64 rules, and never from program memory:
//
//  1. layoutTypes computes size, alignment and pointer words of every type,
//     children first, and refuses a module whose own numbers differ;
//  2. it derives what equality, hashing, slots and interfaces need to know;
//  3. the RO builder (ro.go) gives each type an address. A type word that comes
//     from program memory is looked up by address (VM.typeAt), never trusted.

// ErrBadType says that a module's type table contradicts itself or the ABI.
var ErrBadType = errors.New("bad type")

// Limits that keep a hostile module from using up the host's memory.
const (
	maxTypeSize  = 1 << 46
	maxMaskWords = 1 << 24 // words of all pointer masks together
)

// FieldInfo is a struct field as equality, hashing and reflect's call need it.
type FieldInfo struct {
	Type   *TypeInfo
	Offset uint64
	Blank  bool
}

// TypeInfo is the VM's view of a type. It is immutable once built.
type TypeInfo struct {
	ID       bytecode.TypeID // 0 for a type that the program made at run time
	Kind     bytecode.Kind
	Align    uint8
	Boxed    bool // a value is never in slots: the slot holds a copy's address
	Direct   bool // an interface's data word holds the value itself
	Regular  bool // equality and hash are those of the bytes
	Equal    bool // comparable
	MayPanic bool // contains an interface: comparing or hashing may panic
	Variadic bool
	Dir      uint8
	Hash     uint32
	Size     uint64
	PtrBytes uint64 // bytes up to the end of the last pointer word
	Slots    int    // slots of a value
	Addr     Addr   // of the descriptor
	Len      uint64 // array
	Elem     *TypeInfo
	Key      *TypeInfo
	Fields   []FieldInfo
	In, Out  []*TypeInfo

	// Pointer words: bit i of Mask stands for word i of a unit of Unit bytes;
	// the unit is repeated Count times. Mask is empty for pointer-free types.
	Mask  []uint64
	Unit  uint64
	Count uint64

	methods []bytecode.IMethod // interface
	name    string
}

// Name is the type's name as reflect's Type.String gives it.
func (t *TypeInfo) Name() string { return t.name }

// basicLayout holds size, alignment of the kinds that have a fixed layout.
var basicLayout = [...]struct{ size, align uint8 }{
	bytecode.Bool: {1, 1}, bytecode.Int: {8, 8}, bytecode.Int8: {1, 1}, bytecode.Int16: {2, 2}, bytecode.Int32: {4, 4},
	bytecode.Int64: {8, 8}, bytecode.Uint: {8, 8}, bytecode.Uint8: {1, 1}, bytecode.Uint16: {2, 2}, bytecode.Uint32: {4, 4},
	bytecode.Uint64: {8, 8}, bytecode.Uintptr: {8, 8}, bytecode.Float32: {4, 4}, bytecode.Float64: {8, 8},
	bytecode.Complex64: {8, 4}, bytecode.Complex128: {16, 8}, bytecode.Chan: {8, 8}, bytecode.FuncKind: {8, 8},
	bytecode.Interface: {16, 8}, bytecode.Map: {8, 8}, bytecode.Pointer: {8, 8}, bytecode.Slice: {24, 8},
	bytecode.String: {16, 8}, bytecode.UnsafePointer: {8, 8},
}

// layouter computes TypeInfos in dependency order.
type layouter struct {
	mod   *bytecode.Module
	types []*TypeInfo
	state []uint8 // 0 new, 1 being laid out, 2 done
	words uint64  // mask words used so far
}

// layoutTypes derives the TypeInfo of every type of the module, by TypeID; [0] is nil.
func layoutTypes(m *bytecode.Module) ([]*TypeInfo, error) {
	l := &layouter{mod: m, types: make([]*TypeInfo, len(m.Types)), state: make([]uint8, len(m.Types))}
	for id := 1; id < len(m.Types); id++ {
		l.types[id] = &TypeInfo{ID: bytecode.TypeID(id)}
	}
	for id := 1; id < len(m.Types); id++ {
		if err := l.layout(bytecode.TypeID(id)); err != nil {
			return nil, err
		}
	}
	return l.types, nil
}

func (l *layouter) ref(owner, id bytecode.TypeID) (*TypeInfo, error) {
	if id == 0 || int(id) >= len(l.types) {
		return nil, fmt.Errorf("%w %d: refers to type %d of %d", ErrBadType, owner, id, len(l.types))
	}
	return l.types[id], nil
}

// layout fills types[id], laying out first what it contains by value.
func (l *layouter) layout(id bytecode.TypeID) error {
	switch l.state[id] {
	case 2:
		return nil
	case 1:
		return fmt.Errorf("%w %d (%s): contains itself", ErrBadType, id, l.mod.Types[id].Name)
	}
	l.state[id] = 1
	src, t := &l.mod.Types[id], l.types[id]
	t.Kind, t.name, t.Len, t.Dir, t.Variadic = src.Kind, src.Name, src.Len, src.Dir, src.Variadic
	var err error
	switch src.Kind {
	case bytecode.Array:
		err = l.array(t, src)
	case bytecode.Struct:
		err = l.structure(t, src)
	default:
		err = l.simple(t, src)
	}
	if err != nil {
		return err
	}
	if t.Size != src.Size || t.Align != src.Align {
		return fmt.Errorf("%w %d (%s): size %d align %d, by the ABI %d and %d", ErrBadType, id, src.Name, src.Size, src.Align, t.Size, t.Align)
	}
	t.finish()
	l.state[id] = 2
	return nil
}

// finish derives the fields that follow from the layout.
func (t *TypeInfo) finish() {
	t.Boxed = t.Size > bytecode.MaxByValue
	t.Slots = int((t.Size + 7) / 8)
	if t.Boxed {
		t.Slots = 1
	}
	t.Direct = t.Size == 8 && t.PtrBytes == 8
	if t.Count == 0 {
		t.Count, t.Unit = 1, t.Size
	}
}

// simple lays out every kind but arrays and structs.
func (l *layouter) simple(t *TypeInfo, src *bytecode.Type) error {
	if int(src.Kind) >= len(basicLayout) || basicLayout[src.Kind].size == 0 {
		return fmt.Errorf("%w %d: kind %d", ErrBadType, t.ID, src.Kind)
	}
	b := basicLayout[src.Kind]
	t.Size, t.Align, t.Equal = uint64(b.size), b.align, true
	if err := l.refs(t, src); err != nil {
		return err
	}
	t.setBasic()
	return nil
}

// setBasic derives pointer words, equality and hashing of a kind that is neither array nor struct.
func (t *TypeInfo) setBasic() {
	switch t.Kind {
	case bytecode.Interface:
		t.PtrBytes, t.Mask, t.MayPanic = 16, []uint64{2}, true // as gc: types and itabs are not in the heap, or kept by reflect
	case bytecode.String:
		t.PtrBytes, t.Mask = 8, []uint64{1}
	case bytecode.Slice, bytecode.Map, bytecode.FuncKind:
		t.PtrBytes, t.Mask, t.Equal = 8, []uint64{1}, false
	case bytecode.Pointer, bytecode.Chan, bytecode.UnsafePointer:
		t.PtrBytes, t.Mask, t.Regular = 8, []uint64{1}, true
	case bytecode.Float32, bytecode.Float64, bytecode.Complex64, bytecode.Complex128:
	default:
		t.Regular = true
	}
}

// refs resolves the types that src names without containing them by value.
func (l *layouter) refs(t *TypeInfo, src *bytecode.Type) (err error) {
	switch src.Kind {
	case bytecode.Chan, bytecode.Pointer, bytecode.Slice, bytecode.Map:
		if t.Elem, err = l.ref(t.ID, src.Elem); err != nil {
			return err
		}
	case bytecode.Interface:
		t.methods = src.IMethods
		for _, m := range src.IMethods {
			if _, err = l.ref(t.ID, m.Type); err != nil {
				return err
			}
		}
	case bytecode.FuncKind:
		if t.In, err = l.list(t.ID, src.In); err != nil {
			return err
		}
		if t.Out, err = l.list(t.ID, src.Out); err != nil {
			return err
		}
	}
	if src.Kind == bytecode.Chan && (src.Dir == 0 || src.Dir > 3) {
		return fmt.Errorf("%w %d: channel direction %d", ErrBadType, t.ID, src.Dir)
	}
	if src.Kind != bytecode.Map {
		return nil
	}
	if t.Key, err = l.ref(t.ID, src.Key); err != nil {
		return err
	}
	return nil
}

func (l *layouter) list(owner bytecode.TypeID, ids []bytecode.TypeID) ([]*TypeInfo, error) {
	if len(ids) > 1<<14 {
		return nil, fmt.Errorf("%w %d: %d parameters", ErrBadType, owner, len(ids))
	}
	out := make([]*TypeInfo, len(ids))
	for i, id := range ids {
		t, err := l.ref(owner, id)
		if err != nil {
			return nil, err
		}
		out[i] = t
	}
	return out, nil
}

func (l *layouter) array(t *TypeInfo, src *bytecode.Type) error {
	e, err := l.ref(t.ID, src.Elem)
	if err != nil {
		return err
	}
	if err := l.layout(src.Elem); err != nil {
		return err
	}
	return t.setArray(e)
}

// setArray derives an array's layout from that of its element; t.Len is set.
func (t *TypeInfo) setArray(e *TypeInfo) error {
	if e.Size != 0 && t.Len > maxTypeSize/e.Size {
		return fmt.Errorf("%w %d (%s): too large", ErrBadType, t.ID, t.name)
	}
	t.Elem, t.Align, t.Size = e, e.Align, e.Size*t.Len
	t.Equal, t.MayPanic = e.Equal, e.MayPanic
	t.Regular = e.Regular || t.Equal && t.Size == 0 && e.Size != 0
	if len(e.Mask) > 0 && t.Len > 0 {
		t.Mask, t.Unit, t.Count = e.Mask, e.Unit, e.Count*t.Len
		t.PtrBytes = (t.Len-1)*e.Size + e.PtrBytes
	}
	return nil
}

func (l *layouter) structure(t *TypeInfo, src *bytecode.Type) error {
	if len(src.Fields) > 1<<16 {
		return fmt.Errorf("%w %d: %d fields", ErrBadType, t.ID, len(src.Fields))
	}
	t.Fields = make([]FieldInfo, len(src.Fields))
	for i := range src.Fields {
		f := &src.Fields[i]
		ft, err := l.ref(t.ID, f.Type)
		if err != nil {
			return err
		}
		if err := l.layout(f.Type); err != nil {
			return err
		}
		t.Fields[i] = FieldInfo{Type: ft, Blank: f.Name == "_"}
	}
	if err := t.setStruct(&l.words); err != nil {
		return err
	}
	if bytecode.IsAlign64(src) {
		t.Align = 8
	}
	for i := range src.Fields {
		if got := src.Fields[i].Offset; got != t.Fields[i].Offset {
			return fmt.Errorf("%w %d (%s): field %s at %d, by the ABI at %d", ErrBadType, t.ID, src.Name, src.Fields[i].Name, got, t.Fields[i].Offset)
		}
	}
	return nil
}

// setStruct places the fields as gc does and derives the struct's properties.
// words counts mask words used by all types.
func (t *TypeInfo) setStruct(words *uint64) error {
	t.Align, t.Equal, t.Regular = 1, true, true
	var off, filled uint64
	single := -1
	for i := range t.Fields {
		f := &t.Fields[i]
		ft := f.Type
		off = alignUp(off, uint64(ft.Align))
		f.Offset = off
		off += ft.Size
		if off > maxTypeSize {
			return fmt.Errorf("%w %d (%s): too large", ErrBadType, t.ID, t.name)
		}
		filled += ft.Size
		t.Align = max(t.Align, ft.Align)
		t.Equal = t.Equal && ft.Equal
		t.MayPanic = t.MayPanic || ft.MayPanic && !f.Blank
		t.Regular = t.Regular && ft.Regular && !f.Blank
		if ft.PtrBytes != 0 {
			t.PtrBytes, single = f.Offset+ft.PtrBytes, i
		}
	}
	if n := len(t.Fields); n > 0 && off > 0 && t.Fields[n-1].Type.Size == 0 {
		off++
	}
	t.Size = alignUp(off, uint64(t.Align))
	t.Regular = t.Regular && filled == t.Size
	if single < 0 {
		return nil
	}
	if f := t.Fields[single]; f.Offset == 0 && f.Type.Size == t.Size { // the only field with a size
		t.Mask, t.Unit, t.Count = f.Type.Mask, f.Type.Unit, f.Type.Count
		return nil
	}
	return t.structMask(words)
}

func (t *TypeInfo) structMask(words *uint64) error {
	n := (t.PtrBytes/8 + 63) / 64
	if *words += n; *words > maxMaskWords {
		return fmt.Errorf("%w %d (%s): pointer masks too large", ErrBadType, t.ID, t.name)
	}
	t.Mask = make([]uint64, n)
	for _, f := range t.Fields {
		f.Type.eachPtr(f.Offset, func(o uint64) { t.Mask[o/512] |= 1 << (o / 8 % 64) })
	}
	t.Unit, t.Count = t.Size, 1
	return nil
}

// eachPtr calls fn with base + the offset of every pointer word of t.
func (t *TypeInfo) eachPtr(base uint64, fn func(off uint64)) {
	if len(t.Mask) == 0 {
		return
	}
	for c := range t.Count {
		for w, bits := range t.Mask {
			for b := uint64(0); bits != 0; b, bits = b+1, bits>>1 {
				if bits&1 != 0 {
					fn(base + c*t.Unit + (uint64(w)*64+b)*8)
				}
			}
		}
	}
}

// alignUp rounds n up to a multiple of a, a power of two.
func alignUp(n, a uint64) uint64 { return (n + a - 1) &^ (a - 1) }
