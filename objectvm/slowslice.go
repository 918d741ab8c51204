package objectvm

import (
	"math/bits"

	"phantomvm/bytecode"
)

// Allocation and slicing instructions.

func (vm *VM) opNew(in *instr) Outcome {
	a, ok := vm.alloc(vm.types[in.ext])
	if !ok {
		return Retry
	}
	vm.setSlot(int(in.a), uint64(a))
	return Done
}

func (vm *VM) opMkSlice(in *instr) Outcome {
	t := vm.types[in.ext]
	n, c := vm.slot(int(in.b)), vm.slot(int(in.c))
	hi, size := bits.Mul64(t.Size, c)
	if hi != 0 || size > maxTypeSize || n > c {
		if hi, size := bits.Mul64(t.Size, n); hi != 0 || size > maxTypeSize || int64(n) < 0 {
			return vm.trap(bytecode.TrapMakeSliceLen, 0, 0, 0, 0, 0)
		}
		return vm.trap(bytecode.TrapMakeSliceCap, 0, 0, 0, 0, 0)
	}
	p, ok := vm.allocArray(t, c)
	if !ok {
		return Retry
	}
	vm.setSlot(int(in.a), uint64(p))
	vm.setSlot(int(in.a)+1, n)
	vm.setSlot(int(in.a)+2, c)
	return Done
}

const absent = 0xffff

// bound reads an optional bound of a slice expression.
func (vm *VM) bound(slot uint16, otherwise uint64) uint64 {
	if slot == absent {
		return otherwise
	}
	return vm.slot(int(slot))
}

// reslice checks lo:hi:max against the length (of strings and of the missing hi) and capacity as Go does.
func (vm *VM) reslice(in *instr, base Addr, n, c uint64, isSlice bool) Outcome {
	d, e, f := uint16(in.ext), uint16(in.ext>>16), uint16(in.ext>>32)
	size := vm.slot(int(uint16(in.ext >> 48)))
	lo, hi, limit := vm.bound(d, 0), vm.bound(e, n), vm.bound(f, c)
	if f != absent {
		if limit > c {
			if isSlice {
				return vm.trap(bytecode.TrapSlice3Acap, limit, c, 0, 0, 0)
			}
			return vm.trap(bytecode.TrapSlice3Alen, limit, c, 0, 0, 0)
		}
		if hi > limit {
			return vm.trap(bytecode.TrapSlice3B, hi, limit, 0, 0, 0)
		}
		if lo > hi {
			return vm.trap(bytecode.TrapSlice3C, lo, hi, 0, 0, 0)
		}
	}
	if hi > c {
		if isSlice {
			return vm.trap(bytecode.TrapSliceAcap, hi, c, 0, 0, 0)
		}
		return vm.trap(bytecode.TrapSliceAlen, hi, c, 0, 0, 0)
	}
	if lo > hi {
		return vm.trap(bytecode.TrapSliceB, lo, hi, 0, 0, 0)
	}
	if limit != lo { // an empty rest keeps the base: no pointer past the object's end
		base += Addr(lo * size)
	}
	vm.setSlot(int(in.a), uint64(base))
	vm.setSlot(int(in.a)+1, hi-lo)
	vm.setSlot(int(in.a)+2, limit-lo)
	return Done
}

func (vm *VM) opSlice(in *instr) Outcome {
	b := int(in.b)
	return vm.reslice(in, Addr(vm.slot(b)), vm.slot(b+1), vm.slot(b+2), true)
}

func (vm *VM) opSliceArr(in *instr) Outcome {
	base, n := Addr(vm.slot(int(in.b))), vm.slot(int(in.c))
	if base < PageSize {
		return vm.nilTrap()
	}
	return vm.reslice(in, base, n, n, false)
}

func (vm *VM) opSliceStr(in *instr) Outcome {
	base, n := Addr(vm.slot(int(in.b))), vm.slot(int(in.b)+1)
	lo, hi := vm.bound(uint16(in.ext), 0), vm.bound(uint16(in.ext>>16), n)
	if hi > n {
		return vm.trap(bytecode.TrapSliceAlen, hi, n, 0, 0, 0)
	}
	if lo > hi {
		return vm.trap(bytecode.TrapSliceB, lo, hi, 0, 0, 0)
	}
	if lo != n {
		base += Addr(lo)
	}
	vm.setSlot(int(in.a), uint64(base))
	vm.setSlot(int(in.a)+1, hi-lo)
	return Done
}

func (vm *VM) opGrow(in *instr) Outcome {
	b := int(in.b)
	n := vm.slot(b + 1)
	base, c, out := vm.growSlice(vm.types[in.ext], Addr(vm.slot(b)), n, vm.slot(b+2), vm.slot(int(in.c)))
	if out != Done {
		return out
	}
	vm.setSlot(int(in.a), uint64(base))
	vm.setSlot(int(in.a)+1, n)
	vm.setSlot(int(in.a)+2, c)
	return Done
}

// growSlice returns a base and capacity with room for more elements behind the n of a slice (append's growth).
// The outcome is Done, or what the instruction returns.
func (vm *VM) growSlice(t *TypeInfo, base Addr, n, c, more uint64) (Addr, uint64, Outcome) {
	need := n + more
	if int64(need) < 0 || need < n || int64(n) < 0 || t.Size != 0 && need > maxTypeSize/t.Size {
		return 0, 0, vm.trap(bytecode.TrapMakeSliceLen, 1, 0, 0, 0, 0)
	}
	if need <= c {
		return base, c, Done
	}
	if t.Size == 0 {
		return zeroBase, need, Done
	}
	if n > 0 && !vm.checkRange(base, n*t.Size) {
		return 0, 0, vm.nilTrap()
	}
	newCap := nextCap(need, c)
	if hi, size := bits.Mul64(newCap, t.Size); hi != 0 || size > maxTypeSize {
		newCap = need
	}
	newCap = roundupSize(newCap*t.Size, t.PtrBytes != 0) / t.Size
	p, ok := vm.newArray(t, newCap)
	if !ok {
		return 0, 0, Retry
	}
	copy(bytesAt(p, n*t.Size), bytesAt(base, n*t.Size))
	return p, newCap, Done
}

// nextCap is gc's rule for the new capacity.
func nextCap(need, old uint64) uint64 {
	if need > 2*old {
		return need
	}
	const threshold = 256
	if old < threshold {
		return 2 * old
	}
	c := old
	for c < need {
		c += (c + 3*threshold) >> 2
	}
	return c
}
