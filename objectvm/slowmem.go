package objectvm

import (
	"math"
	"math/bits"

	"phantomvm/bytecode"
)

// Memory instructions whose fast path failed, and arithmetic that the loop leaves out.
//
// A load or store outside the loop checks the range of its address byte by byte wide; a store opens the pages; unaligned
// accesses are executed here. What is not accessible traps as a nil dereference.

// memOp describes a load or store of up to three words; size is 0 for other instructions.
type memOp struct {
	size   uint8 // bytes
	store  bool
	signed bool
	index  bool // base and length in slots b, b+1, index in slot c
}

var memOps = [256]memOp{
	bytecode.OpLD8U: {size: 1}, bytecode.OpLD8S: {size: 1, signed: true}, bytecode.OpLD16U: {size: 2}, bytecode.OpLD16S: {size: 2, signed: true},
	bytecode.OpLD32U: {size: 4}, bytecode.OpLD32S: {size: 4, signed: true}, bytecode.OpLD64: {size: 8}, bytecode.OpLD128: {size: 16}, bytecode.OpLD192: {size: 24},
	bytecode.OpST8: {size: 1, store: true}, bytecode.OpST16: {size: 2, store: true}, bytecode.OpST32: {size: 4, store: true},
	bytecode.OpST64: {size: 8, store: true}, bytecode.OpST128: {size: 16, store: true}, bytecode.OpST192: {size: 24, store: true},
	bytecode.OpLDX8U: {size: 1, index: true}, bytecode.OpLDX8S: {size: 1, signed: true, index: true},
	bytecode.OpLDX16U: {size: 2, index: true}, bytecode.OpLDX16S: {size: 2, signed: true, index: true},
	bytecode.OpLDX32U: {size: 4, index: true}, bytecode.OpLDX32S: {size: 4, signed: true, index: true},
	bytecode.OpLDX64: {size: 8, index: true}, bytecode.OpLDX128: {size: 16, index: true}, bytecode.OpLDX192: {size: 24, index: true},
	bytecode.OpSTX8: {size: 1, store: true, index: true}, bytecode.OpSTX16: {size: 2, store: true, index: true}, bytecode.OpSTX32: {size: 4, store: true, index: true},
	bytecode.OpSTX64: {size: 8, store: true, index: true}, bytecode.OpSTX128: {size: 16, store: true, index: true}, bytecode.OpSTX192: {size: 24, store: true, index: true},
}

func (vm *VM) nilTrap() Outcome { return vm.trap(bytecode.TrapNil, 0, 0, 0, 0, 0) }

func (vm *VM) indexTrap(i, n uint64) Outcome { return vm.trap(bytecode.TrapIndex, i, n, 0, 0, 0) }

func (vm *VM) accessSlow(in *instr, m memOp) Outcome {
	a, b := int(in.a), int(in.b)
	p := Addr(vm.slot(b))
	if m.index {
		i, n := vm.slot(int(in.c)), vm.slot(b+1)
		if i >= n {
			return vm.indexTrap(i, n)
		}
		p += Addr(i * uint64(m.size))
	} else {
		p += Addr(in.c)
	}
	size := uint64(m.size)
	if m.store {
		if !vm.checkStore(p, size) {
			return vm.nilTrap()
		}
		for o := uint64(0); o < size; o += 8 {
			storeN(p+Addr(o), vm.slot(a+int(o/8)), min(size-o, 8))
		}
		return Done
	}
	if !vm.checkRange(p, size) {
		return vm.nilTrap()
	}
	var v [3]uint64
	for o := uint64(0); o < size; o += 8 {
		v[o/8] = loadN(p+Addr(o), min(size-o, 8), m.signed)
	}
	for i := range (size + 7) / 8 {
		vm.setSlot(a+int(i), v[i])
	}
	return Done
}

func loadN(p Addr, n uint64, signed bool) uint64 {
	switch {
	case n == 8:
		return ld64(p)
	case n == 4 && signed:
		return uint64(int32(ld32(p)))
	case n == 4:
		return uint64(ld32(p))
	case n == 2 && signed:
		return uint64(int16(ld16(p)))
	case n == 2:
		return uint64(ld16(p))
	case signed:
		return uint64(int8(ld8(p)))
	}
	return uint64(ld8(p))
}

func storeN(p Addr, v, n uint64) {
	switch n {
	case 8:
		st64(p, v)
	case 4:
		st32(p, uint32(v))
	case 2:
		st16(p, uint16(v))
	default:
		st8(p, uint8(v))
	}
}

// loadSlots copies n bytes of memory to slots from at on, the last one zero-padded.
func (vm *VM) loadSlots(at int, p Addr, n uint64) {
	if n == 0 {
		return
	}
	vm.setSlot(at+int((n-1)/8), 0)
	copy(bytesAt(hot().fp+Addr(at)*8, n), bytesAt(p, n))
}

// executeRare executes what the loop hands over besides calls and allocations.
func (vm *VM) executeRare(in *instr) Outcome {
	if m := memOps[in.op]; m.size != 0 {
		return vm.accessSlow(in, m)
	}
	a, b, c := int(in.a), int(in.b), int(in.c)
	switch bytecode.Op(in.op) {
	case bytecode.OpDIV, bytecode.OpREM, bytecode.OpDIVU, bytecode.OpREMU:
		return vm.trap(bytecode.TrapDivide, 0, 0, 0, 0, 0)
	case bytecode.OpNILCHK:
		return vm.nilTrap()
	case bytecode.OpBOUND:
		return vm.indexTrap(vm.slot(a), vm.slot(b))
	case bytecode.OpLEAX:
		return vm.indexTrap(vm.slot(c), vm.slot(b+1))
	case bytecode.OpLEAA:
		if i := vm.slot(c); i >= in.ext>>32 {
			return vm.indexTrap(i, in.ext>>32)
		}
		return vm.nilTrap()
	case bytecode.OpIFTYPE:
		p := Addr(vm.slot(b)) + 8
		if !vm.checkRange(p, 8) {
			return vm.nilTrap()
		}
		vm.setSlot(a, ld64(p))
		return Done
	case bytecode.OpLDXX64:
		return vm.loadNested(in)
	case bytecode.OpFADDM, bytecode.OpFSUBM, bytecode.OpFSUBRM, bytecode.OpFMULM,
		bytecode.OpFADDTO, bytecode.OpFSUBTO, bytecode.OpFMULADDTO, bytecode.OpFMULSUBTO:
		return vm.floatMem(in)
	case bytecode.OpFLDX, bytecode.OpFSTX:
		return vm.frameElem(in)
	case bytecode.OpFCOPY:
		fp := hot().fp
		copy(bytesAt(fp+Addr(a), uint64(c)), bytesAt(fp+Addr(b), uint64(c)))
		return Done
	case bytecode.OpLDN, bytecode.OpSTN, bytecode.OpCOPYN, bytecode.OpCLRN:
		return vm.blockOp(in)
	}
	return vm.executeFloat(in)
}

func (vm *VM) loadNested(in *instr) Outcome {
	b := int(in.b)
	i, n := vm.slot(int(in.c)), vm.slot(b+1)
	if i >= n {
		return vm.indexTrap(i, n)
	}
	p := Addr(vm.slot(b) + i*24)
	if !vm.checkRange(p, 24) {
		return vm.nilTrap()
	}
	j, m := vm.slot(int(uint16(in.ext))), ld64(p+8)
	if j >= m {
		return vm.indexTrap(j, m)
	}
	q := ldAddr(p) + Addr(j*8)
	if !vm.checkRange(q, 8) {
		return vm.nilTrap()
	}
	vm.setSlot(int(in.a), ld64(q))
	return Done
}

// floatMem executes arithmetic with an operand in memory.
func (vm *VM) floatMem(in *instr) Outcome {
	float := func(slot uint16) float64 { return math.Float64frombits(vm.slot(int(slot))) }
	p := Addr(vm.slot(int(in.c))) + Addr(in.n)*8
	store := false
	switch bytecode.Op(in.op) {
	case bytecode.OpFADDTO, bytecode.OpFSUBTO:
		p, store = Addr(vm.slot(int(in.b)))+Addr(in.c), true
	case bytecode.OpFMULADDTO, bytecode.OpFMULSUBTO:
		store = true
	}
	if store && !vm.checkStore(p, 8) || !vm.checkRange(p, 8) {
		return vm.nilTrap()
	}
	x := math.Float64frombits(ld64(p))
	switch bytecode.Op(in.op) {
	case bytecode.OpFADDM:
		x = float(in.b) + x
	case bytecode.OpFSUBM:
		x = float(in.b) - x
	case bytecode.OpFSUBRM:
		x -= float(in.b)
	case bytecode.OpFMULM:
		x = float(in.b) * x
	case bytecode.OpFADDTO:
		x += float(in.a)
	case bytecode.OpFSUBTO:
		x -= float(in.a)
	case bytecode.OpFMULADDTO:
		x += float64(float(in.a) * float(in.b))
	case bytecode.OpFMULSUBTO:
		x -= float64(float(in.a) * float(in.b))
	}
	if store {
		st64(p, math.Float64bits(x))
	} else {
		vm.setSlot(int(in.a), math.Float64bits(x))
	}
	return Done
}

// frameElem loads or stores an element of an array that lies in the frame.
func (vm *VM) frameElem(in *instr) Outcome {
	size, n := in.ext&0xffffffff, in.ext>>32
	i := vm.slot(int(in.c))
	if i >= n {
		return vm.indexTrap(i, n)
	}
	p := hot().fp + Addr(in.b) + Addr(i*size)
	if bytecode.Op(in.op) == bytecode.OpFSTX {
		copy(bytesAt(p, size), append([]byte(nil), bytesAt(hot().fp+Addr(in.a)*8, size)...))
		return Done
	}
	if size == 1 || size == 2 || size == 4 {
		vm.setSlot(int(in.a), loadN(p, size, in.n == 1))
		return Done
	}
	tmp := append([]byte(nil), bytesAt(p, size)...)
	if size > 0 {
		vm.setSlot(int(in.a)+int((size-1)/8), 0)
		copy(bytesAt(hot().fp+Addr(in.a)*8, size), tmp)
	}
	return Done
}

// blockOp copies or clears many bytes. The range of a COPYN or CLRN is that of a value of the program's types; it is done in one go.
func (vm *VM) blockOp(in *instr) Outcome {
	n := in.ext
	switch bytecode.Op(in.op) {
	case bytecode.OpLDN:
		p := Addr(vm.slot(int(in.b))) + Addr(in.c)
		if !vm.checkRange(p, n) {
			return vm.nilTrap()
		}
		vm.loadSlots(int(in.a), p, n)
	case bytecode.OpSTN:
		p := Addr(vm.slot(int(in.b))) + Addr(in.c)
		if !vm.checkStore(p, n) {
			return vm.nilTrap()
		}
		copy(bytesAt(p, n), bytesAt(hot().fp+Addr(in.a)*8, n))
	case bytecode.OpCOPYN:
		to, from := Addr(vm.slot(int(in.a))), Addr(vm.slot(int(in.b)))
		if !vm.checkRange(from, n) || !vm.checkStore(to, n) {
			return vm.nilTrap()
		}
		copy(bytesAt(to, n), bytesAt(from, n))
	default:
		p := Addr(vm.slot(int(in.b)))
		if !vm.checkStore(p, n) {
			return vm.nilTrap()
		}
		clear(bytesAt(p, n))
	}
	return Done
}

// executeFloat executes arithmetic that would be a Go call inside the loop.
func (vm *VM) executeFloat(in *instr) Outcome {
	x := math.Float64frombits(vm.slot(int(in.b)))
	switch bytecode.Op(in.op) {
	case bytecode.OpFLOOR:
		x = math.Floor(x)
	case bytecode.OpFCEIL:
		x = math.Ceil(x)
	case bytecode.OpFTRUNC:
		x = math.Trunc(x)
	case bytecode.OpFMA:
		x = math.FMA(x, math.Float64frombits(vm.slot(int(in.c))), math.Float64frombits(vm.slot(int(uint16(in.ext)))))
	case bytecode.OpPOPC:
		vm.setSlot(int(in.a), uint64(bits.OnesCount64(vm.slot(int(in.b)))))
		return Done
	default:
		return vm.throw("illegal instruction")
	}
	vm.setSlot(int(in.a), math.Float64bits(x))
	return Done
}
