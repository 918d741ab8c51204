package objectvm

import (
	"fmt"

	"phantomvm/bytecode"
)

// The VM's view of the read-only region.

// buildRO lays out the region for vm.mod, copies it to its address and fills
// vm.types: the module's types by TypeID, then the VM's own (types_own.go),
// whose ids follow and are as stable as the module's.
func (vm *VM) buildRO() error {
	r, err := buildRO(vm.mod)
	if err != nil {
		return fmt.Errorf("read-only region: %w", err)
	}
	vm.rt = runtimeState{ro: r}
	vm.types = vm.rt.own.add(r.types)
	for _, t := range vm.types[len(r.types):] {
		r.placeOwn(t)
	}
	copy(bytesAt(ROBase, uint64(len(r.data))), r.data)
	return nil
}

// typeAddr is the address of a type's descriptor.
func (vm *VM) typeAddr(id bytecode.TypeID) Addr { return vm.types[id].Addr }

// itabAddr is the address of the itab with this index in Module.Itabs.
func (vm *VM) itabAddr(i int) Addr { return vm.rt.ro.itabs[i] }

// funcval is the address of the function's static funcval.
func (vm *VM) funcval(f bytecode.FuncID) Addr { return vm.rt.ro.funcval(f) }

// trapText raises a run-time error that has a text and no number.
func (vm *VM) trapText(i int) Outcome {
	return vm.trap(bytecode.TrapNilWrap, uint64(vm.rt.ro.addr(vm.rt.ro.texts[i])), uint64(len(texts[i])), 0, 0, 0)
}

// typeAt finds the type whose descriptor lies at the address that a word from program memory holds; nil if there is none.
func (vm *VM) typeAt(word uint64) *TypeInfo {
	if off := word - uint64(ROBase); off < ROSize {
		if t := vm.placedType(word); t != nil && int(t.ID) < len(vm.mod.Types) {
			return t
		}
		return nil
	}
	return vm.dynamicType(Addr(word))
}

// placedType finds the type at an address in RO, the VM's own types included, which no value of a program may claim.
func (vm *VM) placedType(word uint64) *TypeInfo {
	off := word - uint64(ROBase)
	if idx := vm.rt.ro.index; off&7 == 0 && off/8 < uint64(len(idx)) && idx[off/8] != 0 {
		return vm.types[idx[off/8]]
	}
	return nil
}

// itabAt finds the pair of an itab whose address comes from program memory.
func (vm *VM) itabAt(word uint64) (iface, typ *TypeInfo) {
	k, ok := vm.rt.ro.itabKeys[Addr(word)]
	if !ok {
		return nil, nil
	}
	return vm.types[k.iface], vm.types[k.typ]
}

// itabFor returns the itab of a pair, making it if it has not been needed yet; 0 if typ does not implement iface.
// The pair is recorded in META, so that a restart gives the itab the same address.
func (vm *VM) itabFor(iface, typ *TypeInfo) Addr {
	k := itabKey{iface.ID, typ.ID}
	if a, ok := vm.rt.ro.itabOf[k]; ok {
		return a
	}
	if typ.ID == 0 || iface.ID == 0 || vm.rt.noItab[k] || ld64(rtItabCount) >= maxItabs {
		return 0
	}
	before := len(vm.rt.ro.data)
	a, err := vm.rt.ro.addItab(iface.ID, typ.ID)
	if err != nil {
		if vm.rt.noItab == nil {
			vm.rt.noItab = map[itabKey]bool{}
		}
		vm.rt.noItab[k] = true
		return 0
	}
	vm.recordItab(k)
	copy(bytesAt(ROBase+Addr(before), uint64(len(vm.rt.ro.data)-before)), vm.rt.ro.data[before:])
	return a
}

// recordItab appends a pair to the persisted list.
func (vm *VM) recordItab(k itabKey) {
	n := ld64(rtItabCount)
	a := rtItabs + Addr(n)*8
	vm.touch(a, 8)
	vm.touch(rtItabCount, 8)
	st64(a, uint64(k.iface)|uint64(k.typ)<<32)
	st64(rtItabCount, n+1)
}

// attachItabs rebuilds the dynamic itabs from the persisted list.
func (vm *VM) attachItabs() error {
	n := ld64(rtItabCount)
	if n > maxItabs {
		return fmt.Errorf("%w: %d dynamic itabs", ErrBadRecord, n)
	}
	r := vm.rt.ro
	before := len(r.data)
	for i := range n {
		w := ld64(rtItabs + Addr(i)*8)
		if _, err := r.addItab(bytecode.TypeID(uint32(w)), bytecode.TypeID(w>>32)); err != nil {
			return fmt.Errorf("%w: dynamic itab %d: %w", ErrBadRecord, i, err)
		}
	}
	copy(bytesAt(ROBase+Addr(before), uint64(len(r.data)-before)), r.data[before:])
	return nil
}
