package objectvm

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"

	"phantomvm/bytecode"
)

// The read-only region. It is a function of the module alone (and, for the
// dynamic itabs, of the persisted list of pairs), so that it is rebuilt, not
// persisted, and every address in it stays valid across restarts:
//
//	0       a page of zeros: offset 0 is "no type" and the empty name
//	4096    the module's read-only blob
//	        static funcvals: one code word per function, by FuncID
//	        names (internal/abi.Name encoding), each string once
//	        type descriptors by TypeID, then their method, field and mask tables
//	        texts of run-time errors
//	        static itabs by index
//	dyn     dynamic itabs, appended in the order in which the program needed them
//
// All numbers are little-endian; offsets of names and types are relative to the
// region's base. Descriptors have exactly the layout of the library's
// internal/abi, because the library's own reflect reads them.

// ErrROFull says that the module's constants and types do not fit the region.
var ErrROFull = errors.New("read-only region full")

const (
	roBlobOff = PageSize
	roLimit   = 1 << 30
	roDynRoom = 16 << 20 // dynamic itabs
)

// itabKey names a pair of interface type and concrete type.
type itabKey struct{ iface, typ bytecode.TypeID }

// roImage is the built region and the tables that find things in it.
type roImage struct {
	mod      *bytecode.Module
	data     []byte // from the region's base on
	types    []*TypeInfo
	index    []uint32 // TypeID by (offset of a descriptor)/8
	funcvals uint64   // offset of function 0's funcval
	itabs    []Addr   // by index of Module.Itabs
	itabOf   map[itabKey]Addr
	itabKeys map[Addr]itabKey

	texts  [numTexts]uint64 // offsets
	names  map[nameKey]uint64
	places []uint64 // offset of the descriptor by TypeID

	methodSets map[bytecode.TypeID]map[methodKey]*bytecode.Method
	sliceTypes map[bytecode.TypeID]bytecode.TypeID // element to []element
}

type nameKey struct {
	name, tag, pkg string
	flags          byte
}

// buildRO lays out the region of a verified module.
func buildRO(m *bytecode.Module) (*roImage, error) {
	types, err := layoutTypes(m)
	if err != nil {
		return nil, err
	}
	r := &roImage{
		mod: m, types: types,
		itabOf: map[itabKey]Addr{}, itabKeys: map[Addr]itabKey{}, names: map[nameKey]uint64{},
	}
	if len(m.RO) > roLimit/2 {
		return nil, fmt.Errorf("%w: blob of %d bytes", ErrROFull, len(m.RO))
	}
	r.data = make([]byte, roBlobOff, roBlobOff+len(m.RO)+len(m.Funcs)*8+len(types)*256)
	r.data = append(r.data, m.RO...)
	r.align(8)
	r.funcvals = r.off()
	for f := range m.Funcs {
		r.word(uint64(f))
	}
	for id := 1; id < len(types); id++ {
		if err := r.placeType(types[id]); err != nil {
			return nil, err
		}
	}
	r.index = make([]uint32, r.off()/8+1)
	for id := 1; id < len(types); id++ {
		r.index[r.places[id]/8] = uint32(id)
		r.writeType(types[id])
		if len(r.data) > roLimit-roDynRoom {
			return nil, fmt.Errorf("%w: types", ErrROFull)
		}
	}
	r.writeTexts()
	for i, it := range m.Itabs {
		a, err := r.addItab(it.Iface, it.Type)
		if err != nil {
			return nil, fmt.Errorf("itab %d: %w", i, err)
		}
		r.itabs = append(r.itabs, a)
	}
	if len(r.data) > roLimit-roDynRoom {
		return nil, fmt.Errorf("%w: itabs", ErrROFull)
	}
	return r, nil
}

func (r *roImage) off() uint64          { return uint64(len(r.data)) }
func (r *roImage) addr(off uint64) Addr { return ROBase + Addr(off) }
func (r *roImage) word(w uint64)        { r.data = binary.LittleEndian.AppendUint64(r.data, w) }
func (r *roImage) half(w uint32)        { r.data = binary.LittleEndian.AppendUint32(r.data, w) }

func (r *roImage) align(n uint64) {
	for r.off()%n != 0 {
		r.data = append(r.data, 0)
	}
}

func (r *roImage) put64(off, w uint64)        { binary.LittleEndian.PutUint64(r.data[off:], w) }
func (r *roImage) put32(off uint64, w uint32) { binary.LittleEndian.PutUint32(r.data[off:], w) }
func (r *roImage) put16(off uint64, w uint16) { binary.LittleEndian.PutUint16(r.data[off:], w) }

// funcval is the address of a function's static funcval.
func (r *roImage) funcval(f bytecode.FuncID) Addr { return r.addr(r.funcvals + 8*uint64(f)) }

// blob is the address of a byte of the module's read-only blob.

// Texts of run-time errors that have no number of their own; they are raised as panics with a text (TrapNilWrap).
const (
	textSliceLen = iota
	textSliceNil
	textStringLen
	textStringNil
	numTexts
)

var texts = [numTexts]string{
	textSliceLen:  "runtime error: unsafe.Slice: len out of range",
	textSliceNil:  "runtime error: unsafe.Slice: ptr is nil and len is not zero",
	textStringLen: "runtime error: unsafe.String: len out of range",
	textStringNil: "runtime error: unsafe.String: ptr is nil and len is not zero",
}

func (r *roImage) writeTexts() {
	for i, s := range texts {
		r.texts[i] = r.off()
		r.data = append(r.data, s...)
	}
}

// Flags of an encoded name, as internal/abi.Name has them.
const (
	nameExported = 1 << iota
	nameTag
	namePkg
	nameEmbedded
)

// name returns the offset of an encoded name, writing it at its first use.
// The empty name without anything is offset 0, which reads as an empty name.
func (r *roImage) name(k nameKey) uint64 {
	if k == (nameKey{}) {
		return 0
	}
	if k.tag != "" {
		k.flags |= nameTag
	}
	if off, ok := r.names[k]; ok {
		return off
	}
	var pkg uint64
	if k.pkg != "" {
		k.flags |= namePkg
		pkg = r.name(nameKey{name: k.pkg})
	}
	off := r.off()
	r.data = append(r.data, k.flags)
	r.data = binary.AppendUvarint(r.data, uint64(len(k.name)))
	r.data = append(r.data, k.name...)
	if k.tag != "" {
		r.data = binary.AppendUvarint(r.data, uint64(len(k.tag)))
		r.data = append(r.data, k.tag...)
	}
	if k.pkg != "" {
		r.half(uint32(pkg))
	}
	k.flags &^= namePkg
	r.names[k] = off
	return off
}

// typeHash is the descriptor's hash: of what names the type, so that it does not depend on the module.
func typeHash(t *bytecode.Type) uint32 {
	h := fnv.New32a()
	h.Write([]byte(t.PkgPath))
	h.Write([]byte{0})
	h.Write([]byte(t.Name))
	return h.Sum32()
}
