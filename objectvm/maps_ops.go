package objectvm

import "phantomvm/bytecode"

// The map instructions. Keys and elements lie in slots, whose bytes are those
// of memory, so that maps.go can take a slot's address for the address of a value.

// loadSlots writes the value of type t stored at src (a boxed one by address) to the slots at dst.
func loadSlots(t *TypeInfo, src, dst Addr) {
	switch {
	case t.Boxed || t.Size == 8:
		st64(dst, ld64(src))
	case t.Size == 0:
	case t.Size < 8 && t.Kind < bytecode.Array:
		st64(dst, loadSmall(t.Kind, src))
	default:
		end := alignUp(t.Size, 8)
		if t.Size != end {
			st64(dst+Addr(end)-8, 0)
		}
		moveBytes(dst, src, t.Size)
	}
}

// loadSmall loads a number of less than 8 bytes as a slot holds it.
func loadSmall(k bytecode.Kind, src Addr) uint64 {
	switch k {
	case bytecode.Int8:
		return uint64(int8(ld8(src)))
	case bytecode.Int16:
		return uint64(int16(ld16(src)))
	case bytecode.Int32:
		return uint64(int32(ld32(src)))
	case bytecode.Uint16:
		return uint64(ld16(src))
	case bytecode.Uint32, bytecode.Float32:
		return uint64(ld32(src))
	}
	return uint64(ld8(src))
}

// storedSize is the number of bytes that a value takes in an entry or a buffer.
func storedSize(t *TypeInfo) uint64 {
	if t.Boxed {
		return 8
	}
	return t.Size
}

// valueAddr is the address of the value whose slots begin at s: the slots themselves, or the boxed copy.
func (vm *VM) valueAddr(t *TypeInfo, s Addr) (Addr, bool) {
	if !t.Boxed {
		return s, true
	}
	p := ldAddr(s)
	return p, vm.checkRange(p, t.Size)
}

// zeroSlots makes slots hold the zero value of type t. False: no memory for a boxed one.
func (vm *VM) zeroSlots(t *TypeInfo, dst Addr) bool {
	if !t.Boxed {
		clear(wordsAt(dst, uint64(t.Slots)))
		return true
	}
	p, ok := vm.newObject(t)
	if ok {
		stAddr(dst, p)
	}
	return ok
}

// opMkMap executes MKMAP.
func (vm *VM) opMkMap(in *instr) Outcome {
	et := vm.entriesOf(vm.types[in.ext])
	if et == nil {
		return vm.nilTrap()
	}
	m, ok := vm.mapMake(et, vm.slot(int(in.b)))
	if !ok {
		return Retry
	}
	vm.setSlot(int(in.a), uint64(m))
	return Done
}

// opMapGet executes MAPGET.
func (vm *VM) opMapGet(in *instr) Outcome {
	et := vm.entriesOf(vm.types[in.ext])
	if et == nil {
		return vm.nilTrap()
	}
	k, ok := vm.valueAddr(et.key, vm.slotAddr(int(in.c)))
	if !ok {
		return vm.nilTrap()
	}
	e, res := vm.mapLookup(et, Addr(vm.slot(int(in.b))), k)
	dst := vm.slotAddr(int(in.a))
	switch res {
	case faulted:
		return vm.raise()
	case missing:
		if !vm.zeroSlots(et.elem, dst) {
			return Retry
		}
	default:
		loadSlots(et.elem, e+Addr(et.elOff), dst)
	}
	if in.n == 1 {
		st64(dst+Addr(et.elem.Slots)*8, b2w(res == found))
	}
	return Done
}

// opMapSet executes MAPSET.
func (vm *VM) opMapSet(in *instr) Outcome {
	et := vm.entriesOf(vm.types[in.ext])
	if et == nil {
		return vm.nilTrap()
	}
	m := Addr(vm.slot(int(in.a)))
	if m == 0 {
		return vm.trap(bytecode.TrapNilMap, 0, 0, 0, 0, 0)
	}
	s := vm.slotAddr(int(in.b))
	k, ok := vm.valueAddr(et.key, s)
	if !ok {
		return vm.nilTrap()
	}
	return vm.mapInsert(et, m, k, s, vm.slotAddr(int(in.c)))
}

// opMapDel executes MAPDEL.
func (vm *VM) opMapDel(in *instr) Outcome {
	et := vm.entriesOf(vm.types[in.ext])
	if et == nil {
		return vm.nilTrap()
	}
	k, ok := vm.valueAddr(et.key, vm.slotAddr(int(in.b)))
	if !ok {
		return vm.nilTrap()
	}
	return vm.mapDelete(et, Addr(vm.slot(int(in.a))), k)
}

// opMapClr executes MAPCLR.
func (vm *VM) opMapClr(in *instr) Outcome {
	et := vm.entriesOf(vm.types[in.ext])
	if et == nil {
		return vm.nilTrap()
	}
	return vm.mapClear(et, Addr(vm.slot(int(in.a))))
}

// opMapLen executes MAPLEN.
func (vm *VM) opMapLen(in *instr) Outcome {
	n, ok := vm.mapLen(Addr(vm.slot(int(in.b))))
	if !ok {
		return vm.nilTrap()
	}
	vm.setSlot(int(in.a), n)
	return Done
}
