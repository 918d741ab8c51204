package objectvm

// The channel instructions; chans.go has the algorithm.

// opMkChan executes MKCHAN.
func (vm *VM) opMkChan(in *instr) Outcome {
	c, out := vm.makeChan(vm.types[in.ext], vm.slot(int(in.b)))
	if out == Done {
		vm.setSlot(int(in.a), uint64(c))
	}
	return out
}

// opSend executes SEND.
func (vm *VM) opSend(in *instr) Outcome {
	p := place{mode: waitSendSlot, addr: vm.slotAddr(int(in.b)), slot: int(in.b)}
	_, out := vm.send(Addr(vm.slot(int(in.a))), vm.types[in.ext].Elem, &p, false)
	return out
}

// opRecv executes RECV.
func (vm *VM) opRecv(in *instr) Outcome {
	elem := vm.types[in.ext].Elem
	c := Addr(vm.slot(int(in.b)))
	if c == 0 {
		return vm.parkForever(whyChanRecvNil)
	}
	var v chanView
	if !vm.viewChan(c, elem, &v) {
		return vm.nilTrap()
	}
	p := place{mode: waitRecvSlot, addr: vm.slotAddr(int(in.a)), slot: int(in.a)}
	okAddr := p.addr + Addr(elem.Slots)*8
	if in.n == 1 {
		p.ok = int(in.a) + elem.Slots + 1
	}
	done, ok, out := vm.tryRecv(&v, &p)
	if out != Done {
		return out
	}
	if !done {
		if !vm.zeroSlots(elem, p.addr) {
			return Retry
		}
		out = vm.await(&v, &p, Parked)
	}
	if in.n == 1 {
		st64(okAddr, b2w(ok))
	}
	return out
}

// opClose executes CLOSE.
func (vm *VM) opClose(in *instr) Outcome { return vm.chanClose(Addr(vm.slot(int(in.a)))) }

// opChLen executes CHLEN.
func (vm *VM) opChLen(in *instr) Outcome { return vm.chanWord(in, chanCount) }

// opChCap executes CHCAP.
func (vm *VM) opChCap(in *instr) Outcome { return vm.chanWord(in, chanCap) }

func (vm *VM) chanWord(in *instr, off Addr) Outcome {
	c := Addr(vm.slot(int(in.b)))
	if c == 0 {
		vm.setSlot(int(in.a), 0)
		return Done
	}
	if !vm.checkRange(c, chanObjSize) {
		return vm.nilTrap()
	}
	vm.setSlot(int(in.a), ld64(c+off))
	return Done
}
