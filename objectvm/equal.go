package objectvm

import (
	"bytes"
	"math"
	"math/bits"

	"phantomvm/bytecode"
)

// Equality and hashing by type. Both work on addresses: a value in slots has
// the same bytes, little-endian, as in memory, so that a slot's address will do.
//
// Preconditions of eqMem and hashMem: the t.Size bytes at the addresses are
// readable. What these bytes point to (string data, interface data) is
// untrusted and checked here. A forged cycle of interfaces is stopped by a
// bound on depth, a forged lattice by a bound on work.

const (
	maxEqDepth = 50000
	maxEqWork  = uint64(1 << 27)
	workShift  = 8 // bytes of one step of work, as a shift

	tooMuchEq   = "comparison does not end"
	tooMuchHash = "hash does not end"
)

// equalAt compares two values of type t. ok is false if a panic is to be raised.
func (vm *VM) equalAt(t *TypeInfo, p, q Addr) (eq, ok bool) {
	vm.rt.work = maxEqWork
	return vm.eqMem(t, p, q, 0)
}

func (vm *VM) eqMem(t *TypeInfo, p, q Addr, depth int) (eq, ok bool) {
	if t.Regular && t.Size < 1<<workShift || t.Size == 0 && t.Equal {
		return memEqual(p, q, t.Size), true
	}
	if depth > maxEqDepth || !vm.spend(0) {
		vm.rt.fault = fault{thrown: tooMuchEq}
		return false, false
	}
	if t.Regular {
		if !vm.spend(t.Size) {
			vm.rt.fault = fault{thrown: tooMuchEq}
			return false, false
		}
		return memEqual(p, q, t.Size), true
	}
	switch t.Kind {
	case bytecode.String:
		return vm.eqStrings(p, q)
	case bytecode.Interface:
		return vm.eqIface(t, p, q, depth)
	case bytecode.Float32:
		return f32at(p) == f32at(q), true
	case bytecode.Float64:
		return f64at(p) == f64at(q), true
	case bytecode.Complex64:
		return f32at(p) == f32at(q) && f32at(p+4) == f32at(q+4), true
	case bytecode.Complex128:
		return f64at(p) == f64at(q) && f64at(p+8) == f64at(q+8), true
	case bytecode.Array:
		for i := range t.Len {
			o := Addr(i * t.Elem.Size)
			if eq, ok = vm.eqMem(t.Elem, p+o, q+o, depth+1); !eq || !ok {
				return eq, ok
			}
		}
		return true, true
	case bytecode.Struct:
		return vm.eqStruct(t, p, q, depth)
	}
	vm.fail(bytecode.TrapUncomparable, uint64(t.Addr))
	return false, false
}

func (vm *VM) eqStruct(t *TypeInfo, p, q Addr, depth int) (eq, ok bool) {
	for i := range t.Fields {
		f := &t.Fields[i]
		if f.Blank {
			continue
		}
		if eq, ok = vm.eqMem(f.Type, p+Addr(f.Offset), q+Addr(f.Offset), depth+1); !eq || !ok {
			return eq, ok
		}
	}
	return true, true
}

// spend takes a step and the work on n bytes from what is left for one comparison or hash; long work costs fuel, too.
func (vm *VM) spend(n uint64) bool {
	steps := 1 + n>>workShift
	if vm.rt.work < steps {
		return false
	}
	vm.rt.work -= steps
	if n >= 1<<workShift || vm.rt.work&0xfff == 0 {
		vm.charge(n + 1<<16)
	}
	return true
}

// eqStrings compares the strings whose two words lie at p and q, within the work that is left.
func (vm *VM) eqStrings(p, q Addr) (eq, ok bool) {
	n := ld64(p + 8)
	if n >= 1<<workShift && n == ld64(q+8) && ldAddr(p) != ldAddr(q) && !vm.spend(n) {
		vm.rt.fault = fault{thrown: tooMuchEq}
		return false, false
	}
	return vm.eqString(ldAddr(p), n, ldAddr(q), ld64(q+8))
}

func (vm *VM) eqString(p Addr, n uint64, q Addr, m uint64) (eq, ok bool) {
	if n != m {
		return false, true
	}
	if n == 0 || p == q {
		return true, true
	}
	if !vm.checkRange(p, n) || !vm.checkRange(q, n) {
		vm.fail(bytecode.TrapNil, 0)
		return false, false
	}
	return bytes.Equal(bytesAt(p, n), bytesAt(q, n)), true
}

func (vm *VM) eqIface(t *TypeInfo, p, q Addr, depth int) (eq, ok bool) {
	w := ld64(p)
	if w != ld64(q) {
		return false, true
	}
	if w == 0 {
		return true, true
	}
	return vm.eqDynamic(vm.dynamicOf(w, len(t.methods) > 0), ldAddr(p+8), ldAddr(q+8), depth)
}

// dynamicOf is the dynamic type that an interface's first word names.
func (vm *VM) dynamicOf(word uint64, itab bool) *TypeInfo {
	if itab {
		_, t := vm.itabAt(word)
		return t
	}
	return vm.typeAt(word)
}

// eqDynamic compares the data words of two interfaces of the same dynamic type.
func (vm *VM) eqDynamic(t *TypeInfo, p, q Addr, depth int) (eq, ok bool) {
	if t == nil {
		vm.fail(bytecode.TrapNil, 0)
		return false, false
	}
	if !t.Equal {
		vm.fail(bytecode.TrapUncomparable, uint64(t.Addr))
		return false, false
	}
	if t.Direct || p == q && !t.MayPanic && !mayDiffer(t) {
		return p == q, true
	}
	if !vm.checkRange(p, t.Size) || !vm.checkRange(q, t.Size) {
		vm.fail(bytecode.TrapNil, 0)
		return false, false
	}
	return vm.eqMem(t, p, q, depth+1)
}

// mayDiffer says whether a value may be unequal to itself.
func mayDiffer(t *TypeInfo) bool { return !t.Regular && t.Kind != bytecode.String }

// Hashing. The hash is a function of the persisted seed and the value alone, the same on every machine.

const (
	hashMul1 = 0x9e3779b97f4a7c15
	hashMul2 = 0xd6e8feb86659fd93
)

// mix folds a word into a hash.
func mix(h, w uint64) uint64 {
	hi, lo := bits.Mul64(h^w^hashMul1, hashMul2)
	return hi ^ lo
}

// hashBytes hashes n readable bytes at p.
func hashBytes(p Addr, n, h uint64) uint64 {
	h = mix(h, n)
	for ; n >= 8; n, p = n-8, p+8 {
		h = mix(h, ld64(p))
	}
	if n == 0 {
		return h
	}
	var w uint64
	for i := range n {
		w |= uint64(ld8(p+Addr(i))) << (8 * i)
	}
	return mix(h, w)
}

// hashAt hashes a value of type t; ok is false if a panic is to be raised.
func (vm *VM) hashAt(t *TypeInfo, p Addr, seed uint64) (h uint64, ok bool) {
	vm.rt.work = maxEqWork
	return vm.hashMem(t, p, seed, 0)
}

func (vm *VM) hashMem(t *TypeInfo, p Addr, h uint64, depth int) (uint64, bool) {
	if t.Regular && t.Size < 1<<workShift || t.Size == 0 && t.Equal {
		return hashRegular(t, p, h), true
	}
	n := uint64(0)
	switch {
	case t.Regular:
		n = t.Size
	case t.Kind == bytecode.String:
		n = ld64(p + 8)
	}
	if depth > maxEqDepth || !vm.spend(n) {
		vm.rt.fault = fault{thrown: tooMuchHash}
		return 0, false
	}
	if t.Regular {
		return hashRegular(t, p, h), true
	}
	var ok bool
	switch t.Kind {
	case bytecode.String:
		return vm.hashString(ldAddr(p), ld64(p+8), h)
	case bytecode.Interface:
		return vm.hashIface(t, p, h, depth)
	case bytecode.Float32:
		return vm.hashFloat(float64(f32at(p)), h), true
	case bytecode.Float64:
		return vm.hashFloat(f64at(p), h), true
	case bytecode.Complex64:
		return vm.hashFloat(float64(f32at(p+4)), vm.hashFloat(float64(f32at(p)), h)), true
	case bytecode.Complex128:
		return vm.hashFloat(f64at(p+8), vm.hashFloat(f64at(p), h)), true
	case bytecode.Array:
		for i := range t.Len {
			if h, ok = vm.hashMem(t.Elem, p+Addr(i*t.Elem.Size), h, depth+1); !ok {
				return 0, false
			}
		}
		return h, true
	case bytecode.Struct:
		for i := range t.Fields {
			f := &t.Fields[i]
			if f.Blank {
				continue
			}
			if h, ok = vm.hashMem(f.Type, p+Addr(f.Offset), h, depth+1); !ok {
				return 0, false
			}
		}
		return h, true
	}
	vm.fail(bytecode.TrapUnhashable, uint64(t.Addr))
	return 0, false
}

func hashRegular(t *TypeInfo, p Addr, h uint64) uint64 {
	switch t.Size {
	case 8:
		return mix(h, ld64(p))
	case 4:
		return mix(h, uint64(ld32(p)))
	case 1:
		return mix(h, uint64(ld8(p)))
	}
	return hashBytes(p, t.Size, h)
}

func (vm *VM) hashString(p Addr, n, h uint64) (uint64, bool) {
	if n != 0 && !vm.checkRange(p, n) {
		vm.fail(bytecode.TrapNil, 0)
		return 0, false
	}
	return hashBytes(p, n, h), true
}

// hashFloat gives -0 and 0 the same hash, and NaN, which equals nothing, any.
func (vm *VM) hashFloat(f float64, h uint64) uint64 {
	switch {
	case f == 0:
		return mix(h, 0)
	case f != f:
		return mix(h, vm.rand64())
	}
	return mix(h, math.Float64bits(f))
}

func (vm *VM) hashIface(it *TypeInfo, p Addr, h uint64, depth int) (uint64, bool) {
	w := ld64(p)
	if w == 0 {
		return mix(h, 0), true
	}
	t := vm.dynamicOf(w, len(it.methods) > 0)
	if t == nil {
		vm.fail(bytecode.TrapNil, 0)
		return 0, false
	}
	if !t.Equal {
		vm.fail(bytecode.TrapUnhashable, uint64(t.Addr))
		return 0, false
	}
	h = mix(h, uint64(t.Hash))
	if t.Direct {
		return mix(h, ld64(p+8)), true
	}
	d := ldAddr(p + 8)
	if !vm.checkRange(d, t.Size) {
		vm.fail(bytecode.TrapNil, 0)
		return 0, false
	}
	return vm.hashMem(t, d, h, depth+1)
}

func f32at(p Addr) float32 { return math.Float32frombits(ld32(p)) }
func f64at(p Addr) float64 { return math.Float64frombits(ld64(p)) }

// memEqual compares n readable bytes.
func memEqual(p, q Addr, n uint64) bool {
	switch n {
	case 0:
		return true
	case 1:
		return ld8(p) == ld8(q)
	case 4:
		return ld32(p) == ld32(q)
	case 8:
		return ld64(p) == ld64(q)
	}
	return bytes.Equal(bytesAt(p, n), bytesAt(q, n))
}

// opEqT executes EQT: values of a type in slots. A boxed value's slot holds its address.
func (vm *VM) opEqT(in *instr) Outcome {
	t := vm.types[in.ext]
	p, q := vm.slotAddr(int(in.b)), vm.slotAddr(int(in.c))
	if t.Boxed {
		p, q = ldAddr(p), ldAddr(q)
		if !vm.checkRange(p, t.Size) || !vm.checkRange(q, t.Size) {
			return vm.nilTrap()
		}
	}
	eq, ok := vm.equalAt(t, p, q)
	if !ok {
		return vm.raise()
	}
	vm.setSlot(int(in.a), b2w(eq))
	return Done
}

// opStrEq executes STREQ.
func (vm *VM) opStrEq(in *instr) Outcome {
	b, c := vm.slots(int(in.b), 2), vm.slots(int(in.c), 2)
	vm.charge(min(b[1], c[1]))
	eq, ok := vm.eqString(Addr(b[0]), b[1], Addr(c[0]), c[1])
	if !ok {
		return vm.raise()
	}
	vm.setSlot(int(in.a), b2w(eq))
	return Done
}

// opStrCmp executes STRCMP.
func (vm *VM) opStrCmp(in *instr) Outcome {
	b, ok1 := vm.stringBytes(vm.slots(int(in.b), 2))
	c, ok2 := vm.stringBytes(vm.slots(int(in.c), 2))
	if !ok1 || !ok2 {
		return vm.nilTrap()
	}
	vm.setSlot(int(in.a), uint64(int64(bytes.Compare(b, c))))
	return Done
}

// slotAddr is the address of a slot of the running goroutine's frame.
func (vm *VM) slotAddr(i int) Addr { return hot().fp + Addr(i)*8 }

func b2w(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}
