package objectvm

import "phantomvm/bytecode"

// opAssert executes ASSERT: the conversion of an interface value to another interface type.
// n bit 0: the source has methods, so that its first word is an itab; bit 1: the comma-ok form.
func (vm *VM) opAssert(in *instr) Outcome {
	target := vm.types[in.ext]
	word, data := vm.slot(int(in.b)), vm.slot(int(in.b)+1)
	commaOK := in.n&2 != 0
	var first Addr
	var dyn *TypeInfo
	if word != 0 {
		if dyn = vm.dynamicOf(word, in.n&1 != 0); dyn == nil {
			return vm.nilTrap()
		}
		if len(target.methods) == 0 {
			first = dyn.Addr
		} else {
			first = vm.itabFor(target, dyn)
		}
	}
	if first == 0 {
		if !commaOK {
			return vm.assertPanic(target, dyn)
		}
		data = 0
	}
	vm.setSlot(int(in.a), uint64(first))
	vm.setSlot(int(in.a)+1, data)
	if commaOK {
		vm.setSlot(int(in.a)+2, b2w(first != 0))
	}
	return Done
}

// assertPanic raises the panic of a failed conversion to an interface type; dyn is nil for a nil interface.
func (vm *VM) assertPanic(target, dyn *TypeInfo) Outcome {
	if dyn == nil {
		return vm.trap(bytecode.TrapAssert, 0, 0, 0, 0, uint64(target.Addr))
	}
	var name string
	var at Addr
	if dyn.ID != 0 {
		name, at = vm.rt.ro.missingMethod(target.ID, dyn.ID)
	}
	return vm.trap(bytecode.TrapAssert, uint64(at), uint64(len(name)), 0, uint64(dyn.Addr), uint64(target.Addr))
}
