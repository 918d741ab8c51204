package gofront

import (
	"go/types"

	"phantomvm/bytecode"
)

// rep is how values of a type lie in slots and in memory.
type rep struct {
	size  int64
	align int64
	words int    // slots of a value; 1 for a boxed value
	ptr   bitmap // which of these slots hold pointers
	boxed bool   // the slot holds the address of an immutable heap copy
	kind  repKind
}

// repKind is the class of a value that decides on instructions.
type repKind uint8

const (
	kAgg repKind = iota // struct or array in Go's layout, in slots
	kBool
	kI8
	kI16
	kI32
	kI64
	kU8
	kU16
	kU32
	kU64
	kF32
	kF64
	kC64
	kC128
	kPtr // one pointer word: pointer, map, chan, func, unsafe.Pointer
	kString
	kSlice
	kIface // with or without methods
	kTuple
)

func (k repKind) signed() bool   { return k >= kI8 && k <= kI64 }
func (k repKind) unsigned() bool { return k >= kU8 && k <= kU64 }
func (k repKind) integer() bool  { return k >= kI8 && k <= kU64 }
func (k repKind) float() bool    { return k == kF32 || k == kF64 }

var (
	bits1 = bitmap{1}
	bits2 = bitmap{3}
)

// maxTypeSize is the size of the largest type that the machine loads.
const maxTypeSize = 1 << 46

// layouts computes and caches representations.
type layouts struct {
	sizes types.Sizes
	reps  map[types.Type]*rep
	offs  map[*types.Struct][]int64

	tooLarge func(types.Type) // told about types that no object can have
}

func newLayouts() *layouts {
	return &layouts{
		sizes: types.SizesFor("gc", "amd64"),
		reps:  map[types.Type]*rep{},
		offs:  map[*types.Struct][]int64{},
	}
}

func (l *layouts) of(t types.Type) *rep {
	if r, ok := l.reps[t]; ok {
		return r
	}
	r := l.compute(t)
	l.reps[t] = r
	return r
}

var basicReps = map[types.BasicKind]repKind{
	types.Bool: kBool, types.UntypedBool: kBool,
	types.Int: kI64, types.Int8: kI8, types.Int16: kI16, types.Int32: kI32, types.Int64: kI64,
	types.UntypedInt: kI64, types.UntypedRune: kI32,
	types.Uint: kU64, types.Uint8: kU8, types.Uint16: kU16, types.Uint32: kU32, types.Uint64: kU64, types.Uintptr: kU64,
	types.Float32: kF32, types.Float64: kF64, types.UntypedFloat: kF64,
	types.Complex64: kC64, types.Complex128: kC128, types.UntypedComplex: kC128,
	types.String: kString, types.UntypedString: kString,
	types.UnsafePointer: kPtr, types.UntypedNil: kPtr,
}

func (l *layouts) compute(t types.Type) *rep {
	switch u := t.Underlying().(type) {
	case *types.Basic:
		return l.basic(u)
	case *types.Pointer, *types.Map, *types.Chan, *types.Signature:
		return &rep{size: 8, align: 8, words: 1, ptr: bits1, kind: kPtr}
	case *types.Slice:
		return &rep{size: 24, align: 8, words: 3, ptr: bits1, kind: kSlice}
	case *types.Interface:
		return &rep{size: 16, align: 8, words: 2, ptr: bits2, kind: kIface}
	case *types.Tuple:
		return l.tuple(u)
	case *types.Struct, *types.Array:
		return l.aggregate(t)
	}
	// go/ssa's opaque types (map and string iterators, defer stacks).
	return &rep{size: 8, align: 8, words: 1, ptr: bits1, kind: kPtr}
}

func (l *layouts) basic(b *types.Basic) *rep {
	k, ok := basicReps[b.Kind()]
	if !ok {
		return &rep{align: 1, kind: kAgg} // invalid: the unused part of a Next tuple
	}
	r := &rep{words: 1, kind: k}
	switch k {
	case kBool, kI8, kU8:
		r.size = 1
	case kI16, kU16:
		r.size = 2
	case kI32, kU32, kF32:
		r.size = 4
	case kString:
		r.size, r.words, r.ptr = 16, 2, bits1
	case kC128:
		r.size, r.words = 16, 2
	case kPtr:
		r.size, r.ptr = 8, bits1
	default:
		r.size = 8
	}
	r.align = min(r.size, 8)
	if k == kC64 {
		r.align = 4
	}
	return r
}

func (l *layouts) tuple(t *types.Tuple) *rep {
	r := &rep{align: 8, kind: kTuple}
	for i := range t.Len() {
		e := l.of(t.At(i).Type())
		for w := range e.words {
			if e.ptr.has(w) {
				r.ptr.set(r.words + w)
			}
		}
		r.words += e.words
	}
	r.size = int64(r.words) * 8
	return r
}

// tupleOff is the slot offset of component i of a tuple.
func (l *layouts) tupleOff(t *types.Tuple, i int) int {
	n := 0
	for k := range i {
		n += l.of(t.At(k).Type()).words
	}
	return n
}

func (l *layouts) aggregate(t types.Type) *rep {
	r := &rep{size: l.sizes.Sizeof(t), align: l.sizes.Alignof(t), kind: kAgg}
	if r.size < 0 || r.size > maxTypeSize { // negative: beyond 64 bits
		l.tooLarge(t)
		return &rep{align: 1, kind: kAgg}
	}
	if r.size > bytecode.MaxByValue {
		r.words, r.ptr, r.boxed = 1, bits1, true
		return r
	}
	r.words = int(r.size+7) / 8
	l.memPtrs(t, 0, &r.ptr)
	return r
}

// memPtrs sets the bits of the pointer words of a value of type t that lies at byte off.
func (l *layouts) memPtrs(t types.Type, off int64, b *bitmap) {
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for i, o := range l.offsets(u) {
			l.memPtrs(u.Field(i).Type(), off+o, b)
		}
	case *types.Array:
		es := l.sizes.Sizeof(u.Elem())
		if !l.hasPtrs(u.Elem()) {
			return
		}
		for i := range u.Len() {
			l.memPtrs(u.Elem(), off+i*es, b)
		}
	default:
		e := l.of(t)
		for w := range e.words {
			if e.ptr.has(w) {
				b.set(int(off/8) + w)
			}
		}
	}
}

func (l *layouts) hasPtrs(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Struct:
		for i := range u.NumFields() {
			if l.hasPtrs(u.Field(i).Type()) {
				return true
			}
		}
		return false
	case *types.Array:
		return u.Len() > 0 && l.hasPtrs(u.Elem())
	}
	return !l.of(t).ptr.empty()
}

// offsets are the byte offsets of a struct's fields.
func (l *layouts) offsets(s *types.Struct) []int64 {
	if o, ok := l.offs[s]; ok {
		return o
	}
	fs := make([]*types.Var, s.NumFields())
	for i := range fs {
		fs[i] = s.Field(i)
	}
	o := l.sizes.Offsetsof(fs)
	l.offs[s] = o
	return o
}

// direct says whether an interface's data word holds a value of the type itself.
func direct(t types.Type) bool {
	switch u := t.Underlying().(type) {
	case *types.Pointer, *types.Map, *types.Chan, *types.Signature:
		return true
	case *types.Basic:
		return u.Kind() == types.UnsafePointer
	case *types.Struct:
		if pointerSizes.Sizeof(u) != 8 {
			return false
		}
		for f := range u.Fields() { // one of them is the word, the others have no size
			if pointerSizes.Sizeof(f.Type()) == 8 {
				return direct(f.Type())
			}
		}
	case *types.Array:
		return u.Len() == 1 && direct(u.Elem())
	}
	return false
}

var pointerSizes = types.SizesFor("gc", "amd64")

func elemOf(ptr types.Type) types.Type { return ptr.Underlying().(*types.Pointer).Elem() }

func isEmptyIface(t types.Type) bool {
	i, ok := t.Underlying().(*types.Interface)
	return ok && i.NumMethods() == 0
}
