package objectvm

import "phantomvm/bytecode"

// Natives that reflect and the runtime package need: types, interfaces, maps and
// channels whose values lie in memory, not in slots. A descriptor that the program made at run time is
// known by types_dynamic.go or refused.

func nativeTypeBase(_ *VM, _, res []uint64) Outcome {
	res[0] = uint64(ROBase)
	return Done
}

// nativeTypeAt enumerates the module's descriptors.
func nativeTypeAt(vm *VM, args, res []uint64) Outcome {
	if i := args[0] + 1; i != 0 && i < uint64(len(vm.mod.Types)) {
		res[0] = uint64(vm.types[i].Addr)
	}
	return Done
}

// twoTypes finds the interface and the concrete type that arguments name.
func (vm *VM) twoTypes(args []uint64) (iface, typ *TypeInfo) {
	iface, typ = vm.typeAt(args[0]), vm.typeAt(args[1])
	if iface == nil || typ == nil || iface.Kind != bytecode.Interface {
		return nil, nil
	}
	return iface, typ
}

func nativeGetItab(vm *VM, args, res []uint64) Outcome {
	iface, typ := vm.twoTypes(args)
	if iface == nil {
		return vm.nilTrap()
	}
	res[0] = uint64(vm.itabFor(iface, typ))
	return Done
}

func nativeMissingMethod(vm *VM, args, res []uint64) Outcome {
	iface, typ := vm.twoTypes(args)
	if iface == nil {
		return vm.nilTrap()
	}
	name, at := vm.rt.ro.missingMethod(iface.ID, typ.ID)
	res[0], res[1] = uint64(at), uint64(len(name))
	return Done
}

func nativeTypeHash(vm *VM, args, res []uint64) Outcome {
	t, p := vm.typeAt(args[0]), Addr(args[1])
	if t == nil || t.Size != 0 && !vm.checkRange(p, t.Size) {
		return vm.nilTrap()
	}
	h, ok := vm.hashAt(t, p, args[2]^vm.rt.seed)
	if !ok {
		return vm.raise()
	}
	res[0] = h
	return Done
}

// Maps.

func nativeMakeMap(vm *VM, args, res []uint64) Outcome {
	et := vm.entriesOf(vm.typeAt(args[0]))
	if et == nil {
		return vm.nilTrap()
	}
	m, ok := vm.mapMake(et, args[1])
	if !ok {
		return Retry
	}
	res[0] = uint64(m)
	return Done
}

// keyArg is the layout of the map and the address of the key, if the key is readable.
func (vm *VM) keyArg(typ, key uint64) *entryType {
	et := vm.entriesOf(vm.typeAt(typ))
	if et == nil || et.key.Size != 0 && !vm.checkRange(Addr(key), et.key.Size) {
		return nil
	}
	return et
}

func nativeMapAccess(vm *VM, args, res []uint64) Outcome {
	et := vm.keyArg(args[0], args[2])
	if et == nil {
		return vm.nilTrap()
	}
	e, r := vm.mapLookup(et, Addr(args[1]), Addr(args[2]))
	switch r {
	case faulted:
		return vm.raise()
	case found:
		res[0] = elemAddr(et, e)
	}
	return Done
}

// elemAddr is where the value of an entry's element lies: in the entry, or in the boxed copy.
func elemAddr(et *entryType, e Addr) uint64 {
	if et.elem.Boxed {
		return ld64(e + Addr(et.elOff))
	}
	return uint64(e) + et.elOff
}

func nativeMapAssign(vm *VM, args, _ []uint64) Outcome {
	et := vm.keyArg(args[0], args[2])
	if et == nil || et.elem.Size != 0 && !vm.checkRange(Addr(args[3]), et.elem.Size) {
		return vm.nilTrap()
	}
	if args[1] == 0 {
		return vm.trap(bytecode.TrapNilMap, 0, 0, 0, 0, 0)
	}
	box := &vm.rt.boxes
	k, ok1 := vm.boxed(et.key, Addr(args[2]), &box[0])
	v, ok2 := vm.boxed(et.elem, Addr(args[3]), &box[1])
	if !ok1 || !ok2 {
		return Retry
	}
	return vm.mapInsert(et, Addr(args[1]), Addr(args[2]), k, v)
}

// boxed is the address of the value at p as stored: p, or that of a word with the address of a copy.
func (vm *VM) boxed(t *TypeInfo, p Addr, box *Addr) (Addr, bool) {
	if !t.Boxed {
		return p, true
	}
	a, ok := vm.newObject(t)
	if ok {
		copy(bytesAt(a, t.Size), bytesAt(p, t.Size))
		*box = a
	}
	return Addr(addrOf(box)), ok
}

func nativeMapDelete(vm *VM, args, _ []uint64) Outcome {
	et := vm.keyArg(args[0], args[2])
	if et == nil {
		return vm.nilTrap()
	}
	return vm.mapDelete(et, Addr(args[1]), Addr(args[2]))
}

func nativeMapClear(vm *VM, args, _ []uint64) Outcome {
	et := vm.entriesOf(vm.typeAt(args[0]))
	if et == nil {
		return vm.nilTrap()
	}
	return vm.mapClear(et, Addr(args[1]))
}

func nativeMapIterInit(vm *VM, args, _ []uint64) Outcome {
	et, it := vm.entriesOf(vm.typeAt(args[0])), Addr(args[2])
	if et == nil || !vm.checkStore(it, itWords*8) {
		return vm.nilTrap()
	}
	return vm.iterInit(et, Addr(args[1]), it)
}

func nativeMapIterNext(vm *VM, args, res []uint64) Outcome {
	et, it := vm.entriesOf(vm.typeAt(args[0])), Addr(args[1])
	if et == nil || !vm.checkStore(it, itWords*8) {
		return vm.nilTrap()
	}
	k, e, out := vm.iterNext(et, it)
	if out != Done || k == 0 {
		return out
	}
	res[0], res[1] = uint64(k), uint64(e)
	if et.key.Boxed {
		res[0] = ld64(k)
	}
	if et.elem.Boxed {
		res[1] = ld64(e)
	}
	return Done
}

// Channels.

func nativeMakeChan(vm *VM, args, res []uint64) Outcome {
	c, out := vm.makeChan(vm.typeAt(args[0]), args[1])
	res[0] = uint64(c)
	return out
}

// nativeChanSend: channel, address of the value, nb.
func nativeChanSend(vm *VM, args, res []uint64) Outcome {
	p := place{mode: waitSendMem, addr: Addr(args[1])}
	sent, out := vm.send(Addr(args[0]), nil, &p, args[2]&0xff != 0)
	res[0] = b2w(sent)
	return out
}

// nativeChanRecv: channel, address for the value or 0, nb.
func nativeChanRecv(vm *VM, args, res []uint64) Outcome {
	c, p := Addr(args[0]), place{mode: waitRecvMem, addr: Addr(args[1])}
	nb := args[2]&0xff != 0
	state := vm.gWait(vm.cur, gwState)
	if c == 0 {
		if nb {
			return Done
		}
		return vm.parkForever(whyChanRecvNil)
	}
	var v chanView
	if !vm.viewChan(c, nil, &v) {
		return vm.nilTrap()
	}
	if state != gwIdle {
		vm.resumed()
		res[0], res[1] = 1, b2w(state == gwDone)
		if state == gwClosed {
			return vm.zeroMem(v.elem, p.addr)
		}
		return Done
	}
	done, ok, out := vm.tryRecv(&v, &p)
	if done || nb {
		res[0], res[1] = b2w(done), b2w(ok)
		return out
	}
	if p.addr != 0 && v.elem.Size != 0 && !vm.checkStore(p.addr, v.elem.Size) {
		return vm.nilTrap()
	}
	return vm.await(&v, &p, Blocked)
}

// nativeSelect: cases of 4 words {dir, type, channel, address}, their number, block.
func nativeSelect(vm *VM, args, res []uint64) Outcome {
	n := args[1]
	if n > maxCases || n != 0 && !vm.checkRange(Addr(args[0]), n*32) {
		return vm.nilTrap()
	}
	cases := vm.rt.cases[:0]
	for i := range n {
		a := Addr(args[0] + 32*i)
		c := selectCase{c: ldAddr(a + 16), send: ld64(a) == 1, slots: -1}
		c.place = place{mode: waitRecvMem, addr: ldAddr(a + 24)}
		if c.send {
			c.place.mode = waitSendMem
		}
		cases = append(cases, c)
	}
	vm.rt.cases = cases
	index, ok, out := vm.selectGo(cases, args[2]&0xff != 0)
	res[0], res[1] = uint64(int64(index)), b2w(ok)
	return out
}
