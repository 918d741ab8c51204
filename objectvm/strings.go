package objectvm

import (
	"math/bits"
	"unicode/utf8"

	"phantomvm/bytecode"
)

// Strings and slices: the conversions and the growth rule of gc's runtime, on
// slots that hold addresses and lengths. Every length and address is checked
// before it is used, because programs can forge them.

// maxAlloc bounds a single object.
const maxAlloc = maxTypeSize

// charge makes work on n bytes use fuel, so that a slice ends soon after a large copy.
// The bound keeps the sum over a function without branches from overflowing.
func (vm *VM) charge(n uint64) { hot().fuel -= int64(min(n>>8, 1<<40)) }

// memBytes is a view of n bytes that the program may read, to work on all of them; false if it may not.
func (vm *VM) memBytes(p, n uint64) ([]byte, bool) {
	if n == 0 {
		return nil, true
	}
	if !vm.checkRange(Addr(p), n) {
		return nil, false
	}
	vm.charge(n)
	return bytesAt(Addr(p), n), true
}

// stringBytes is a view of the string in two slots.
func (vm *VM) stringBytes(s []uint64) ([]byte, bool) { return vm.memBytes(s[0], s[1]) }

// newBytes makes a heap copy of b; the empty one needs no memory.
func (vm *VM) newBytes(b []byte) (Addr, bool) {
	if len(b) == 0 {
		return 0, true
	}
	p, ok := vm.allocBytes(uint64(len(b)))
	if ok {
		copy(bytesAt(p, uint64(len(b))), b)
	}
	return p, ok
}

// retString stores a new string with b's bytes in res.
func (vm *VM) retString(res []uint64, b []byte) Outcome {
	p, ok := vm.newBytes(b)
	if !ok {
		return Retry
	}
	res[0], res[1] = uint64(p), uint64(len(b))
	return Done
}

// concat joins the strings in args, two slots each. A single non-empty operand is returned as it is.
func (vm *VM) concat(args, res []uint64) Outcome {
	var total, last uint64
	parts := 0
	for i := 0; i < len(args); i += 2 {
		n := args[i+1]
		if n == 0 {
			continue
		}
		if _, ok := vm.memBytes(args[i], n); !ok {
			return vm.nilTrap()
		}
		total, parts, last = total+n, parts+1, uint64(i)
		if total > maxAlloc {
			return vm.throw("string concatenation too long")
		}
	}
	if parts <= 1 {
		if parts == 1 {
			res[0], res[1] = args[last], args[last+1]
		}
		return Done
	}
	p, ok := vm.allocBytes(total)
	if !ok {
		return Retry
	}
	out := bytesAt(p, total)
	for i := 0; i < len(args); i += 2 {
		if n := args[i+1]; n != 0 {
			out = out[copy(out, bytesAt(Addr(args[i]), n)):]
		}
	}
	res[0], res[1] = uint64(p), total
	return Done
}

func nativeConcat(vm *VM, args, res []uint64) Outcome { return vm.concat(args, res) }

// nativeConcatN joins a slice of strings.
func nativeConcatN(vm *VM, args, res []uint64) Outcome {
	n := args[1]
	if n > maxAlloc/16 || !vm.checkRange(Addr(args[0]), n*16) && n != 0 {
		return vm.nilTrap()
	}
	vm.charge(n * 16)
	return vm.concat(wordsAt(Addr(args[0]), n*2), res)
}

// opStrNext executes STRNEXT: one step of range over a string.
func (vm *VM) opStrNext(in *instr) Outcome {
	it := vm.slots(int(in.b), 3)
	s, ok := vm.stringBytes(it)
	if !ok {
		return vm.nilTrap()
	}
	pos := it[2]
	if pos >= uint64(len(s)) {
		for i := range 3 {
			vm.setSlot(int(in.a)+i, 0)
		}
		return Done
	}
	r, size := rune(s[pos]), 1
	if r >= utf8.RuneSelf {
		r, size = utf8.DecodeRune(s[pos:])
	}
	it[2] = pos + uint64(size)
	vm.setSlot(int(in.a), 1)
	vm.setSlot(int(in.a)+1, pos)
	vm.setSlot(int(in.a)+2, uint64(int64(r)))
	return Done
}

func nativeStr2Bytes(vm *VM, args, res []uint64) Outcome {
	s, ok := vm.stringBytes(args)
	if !ok {
		return vm.nilTrap()
	}
	n := roundupSize(uint64(len(s)), false)
	if len(s) == 0 {
		n = 0
	}
	return vm.retByteSlice(res, s, n)
}

// retByteSlice stores a new byte slice with b's bytes and capacity c. A slice of length 0 is not nil.
func (vm *VM) retByteSlice(res []uint64, b []byte, c uint64) Outcome {
	p, ok := vm.allocBytes(max(c, uint64(len(b))))
	if !ok {
		return Retry
	}
	copy(bytesAt(p, uint64(len(b))), b)
	res[0], res[1], res[2] = uint64(p), uint64(len(b)), max(c, uint64(len(b)))
	return Done
}

func nativeBytes2Str(vm *VM, args, res []uint64) Outcome {
	b, ok := vm.memBytes(args[0], args[1])
	if !ok {
		return vm.nilTrap()
	}
	return vm.retString(res, b)
}

func nativeStr2Runes(vm *VM, args, res []uint64) Outcome {
	s, ok := vm.stringBytes(args)
	if !ok {
		return vm.nilTrap()
	}
	n := uint64(utf8.RuneCount(s))
	size := roundupSize(n*4, false)
	if n == 0 {
		size = 0
	}
	p, ok := vm.allocBytes(size)
	if !ok {
		return Retry
	}
	i := Addr(0)
	for len(s) > 0 {
		r, w := utf8.DecodeRune(s)
		st32(p+i*4, uint32(r))
		s, i = s[w:], i+1
	}
	res[0], res[1], res[2] = uint64(p), n, size/4
	return Done
}

func nativeRunes2Str(vm *VM, args, res []uint64) Outcome {
	n := args[1]
	if n > maxAlloc/4 {
		return vm.nilTrap()
	}
	if _, ok := vm.memBytes(args[0], n*4); !ok {
		return vm.nilTrap()
	}
	var size uint64
	for i := range n {
		r := rune(ld32(Addr(args[0] + 4*i)))
		size += uint64(max(utf8.RuneLen(r), 0))
		if !utf8.ValidRune(r) {
			size += 3
		}
	}
	if size == 0 {
		return Done
	}
	p, ok := vm.allocBytes(size)
	if !ok {
		return Retry
	}
	out := bytesAt(p, size)[:0]
	for i := range n {
		out = utf8.AppendRune(out, rune(ld32(Addr(args[0]+4*i))))
	}
	res[0], res[1] = uint64(p), uint64(len(out))
	return Done
}

func nativeRune2Str(vm *VM, args, res []uint64) Outcome {
	r := rune(utf8.RuneError)
	if v := int64(args[0]); v >= 0 && v <= utf8.MaxRune {
		r = rune(v)
	}
	var buf [4]byte
	return vm.retString(res, utf8.AppendRune(buf[:0], r))
}

// nativeCopy is copy(dst, src) by element size, overlap allowed.
func nativeCopy(vm *VM, args, res []uint64) Outcome {
	n := min(args[1], args[3])
	size := args[4]
	if n == 0 || size == 0 {
		res[0] = n
		return Done
	}
	hi, bytes := bits.Mul64(n, size)
	if hi != 0 || bytes > maxAlloc {
		return vm.nilTrap()
	}
	if !vm.checkRange(Addr(args[2]), bytes) || !vm.checkStore(Addr(args[0]), bytes) {
		return vm.nilTrap()
	}
	vm.charge(bytes)
	copy(bytesAt(Addr(args[0]), bytes), bytesAt(Addr(args[2]), bytes))
	res[0] = n
	return Done
}

// newArray allocates n elements of type t; n*size was checked.
func (vm *VM) newArray(t *TypeInfo, n uint64) (Addr, bool) {
	if t.ID == 0 && t.PtrBytes != 0 { // made at run time: the collector takes every word for a pointer
		return vm.allocArray(vm.rt.own.word, (t.Size*n+7)/8)
	}
	if t.PtrBytes == 0 {
		return vm.allocBytes(t.Size * n)
	}
	return vm.allocArray(t, n)
}

// newObject allocates one zeroed value of type t.
func (vm *VM) newObject(t *TypeInfo) (Addr, bool) { return vm.newArray(t, 1) }

// nativeAppendSlice is append(s, src...) with the element's TypeID.
func nativeAppendSlice(vm *VM, args, res []uint64) Outcome {
	t := vm.typeByID(args[5])
	if t == nil {
		return vm.nilTrap()
	}
	n := args[4]
	if int64(n) < 0 || t.Size != 0 && n > maxAlloc/t.Size {
		return vm.nilTrap()
	}
	if _, ok := vm.memBytes(args[3], n*t.Size); !ok {
		return vm.nilTrap()
	}
	inPlace := args[1]+n <= args[2]
	if dst := Addr(args[0] + args[1]*t.Size); inPlace && t.Size != 0 && n != 0 && !vm.checkStore(dst, n*t.Size) {
		return vm.nilTrap()
	}
	base, c, out := vm.growSlice(t, Addr(args[0]), args[1], args[2], n)
	if out != Done {
		return out
	}
	res[0], res[1], res[2] = uint64(base), args[1], c
	if n != 0 && t.Size != 0 {
		copy(bytesAt(Addr(res[0]+res[1]*t.Size), n*t.Size), bytesAt(Addr(args[3]), n*t.Size))
	}
	res[1] += n
	return Done
}

// typeByID is the type that a native's argument names by number, nil for a bad number.
func (vm *VM) typeByID(id uint64) *TypeInfo {
	if id == 0 || id >= uint64(len(vm.mod.Types)) {
		return nil
	}
	return vm.types[id]
}

func nativeMemEqual(vm *VM, args, res []uint64) Outcome {
	p, ok1 := vm.memBytes(args[0], args[2])
	q, ok2 := vm.memBytes(args[1], args[2])
	if !ok1 || !ok2 {
		return vm.nilTrap()
	}
	res[0] = b2w(string(p) == string(q))
	return Done
}

// nativeSlice2Arr converts a slice to a pointer to an array of length n.
func nativeSlice2Arr(vm *VM, args, res []uint64) Outcome {
	if args[1] < args[3] {
		return vm.trap(bytecode.TrapSliceConvert, args[1], args[3], 0, 0, 0)
	}
	res[0] = args[0]
	return Done
}
