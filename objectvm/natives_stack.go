package objectvm

import "phantomvm/bytecode"

// Natives about stacks and panics, and about the VM itself.

// Flags of panicinfo.
const (
	infoExists = 1 << iota
	infoRecovered
	infoGoexit
)

func nativePanicInfo(vm *VM, args, res []uint64) Outcome {
	ps := vm.panics(vm.cur)
	if args[0] >= uint64(len(ps)) {
		return Done
	}
	p := ps[args[0]]
	res[0], res[1], res[2] = p.value[0], p.value[1], infoExists
	if p.recovered {
		res[2] |= infoRecovered
	}
	if p.goexit {
		res[2] |= infoGoexit
	}
	return Done
}

// stackText is the traceback of the running goroutine, and of all others if asked for.
func (vm *VM) stackText(all bool) []byte {
	vm.saveRegs()
	text := vm.tracebackText(vm.cur)
	if !all {
		return text
	}
	shown := 0
	for g := GID(1); uint64(g) <= hget(hdrGHigh) && shown < maxTraced; g++ {
		if g == vm.cur || gGet(g, gStatus) == gFree || vm.checkG(g) != nil {
			continue
		}
		text = append(append(text, '\n'), vm.tracebackText(g)...)
		shown++
	}
	return text
}

const maxTraced = 100 // goroutines in a traceback of all

func nativeTraceback(vm *VM, args, _ []uint64) Outcome {
	return vm.writeAll(2, vm.stackText(args[0]&0xff != 0))
}

// nativeStack: buf (3), all; bytes written.
func nativeStack(vm *VM, args, res []uint64) Outcome {
	n := args[1]
	if n == 0 {
		return Done
	}
	if !vm.checkStore(Addr(args[0]), n) {
		return vm.nilTrap()
	}
	res[0] = uint64(copy(bytesAt(Addr(args[0]), n), vm.stackText(args[3]&0xff != 0)))
	return Done
}

// nativeCallers: skip, buf, n; number of return pcs stored.
func nativeCallers(vm *VM, args, res []uint64) Outcome {
	n := min(args[2], maxFrames)
	if n == 0 || int64(args[2]) < 0 {
		return Done
	}
	if !vm.checkStore(Addr(args[1]), n*8) {
		return vm.nilTrap()
	}
	skip := max(int64(args[0]), 0)
	for _, f := range vm.frames(vm.cur, 0) {
		if f.Wrapper {
			continue
		}
		if skip > 0 {
			skip--
			continue
		}
		if res[0] == n {
			break
		}
		pc := f.PC
		if f.Faulting {
			pc += 8 // as if the instruction had been a call: pcinfo looks at the word before
		}
		stAddr(Addr(args[1]+8*res[0]), pc)
		res[0]++
	}
	return Done
}

// nativePCInfo: a return pc, a function's entry or its code word; name, file, line, entry.
func nativePCInfo(vm *VM, args, res []uint64) Outcome {
	var f frameInfo
	pc := Addr(args[0])
	switch fn := vm.code.find(pc); {
	case args[0] != 0 && args[0] < uint64(len(vm.mod.Funcs)):
		id := bytecode.FuncID(args[0])
		f = vm.frameAt(id, vm.code.entry(id), false)
	case fn != 0:
		f = vm.frameAt(fn, pc, true)
	default:
		before := vm.code.find(pc - 8) // a call may be a function's last instruction
		if before == 0 {
			return Done
		}
		f = vm.frameAt(before, pc-8, false)
	}
	name, ok1 := vm.newBytes([]byte(f.Name))
	file, ok2 := vm.newBytes([]byte(f.File))
	if !ok1 || !ok2 {
		return Retry
	}
	res[0], res[1] = uint64(name), uint64(len(f.Name))
	res[2], res[3] = uint64(file), uint64(len(f.File))
	res[4], res[5] = uint64(f.Line), uint64(f.Entry)
	return Done
}

// nativeGC asks for a collection, which comes before the goroutine goes on: the slice ends here.
func nativeGC(vm *VM, _, _ []uint64) Outcome {
	vm.gc.force = true
	hot().fuel = -1
	return Yielded
}

// nativeMemStats fills 8 words.
func nativeMemStats(vm *VM, args, _ []uint64) Outcome {
	a := Addr(args[0])
	if !vm.checkStore(a, 64) {
		return vm.nilTrap()
	}
	h := &vm.heap
	for i, v := range [...]uint64{h.used, h.used, 0, 0, hget(hdrHeapPages) << heapShift, hget(hdrGCCount), 0, h.used + h.goal} {
		st64(a+Addr(i)*8, v)
	}
	return Done
}

// sweepRuntime is called after marking, before sweeping: types that the program made and lost are forgotten, because their
// addresses may be used again.
func (vm *VM) sweepRuntime() {
	for a := range vm.rt.dyn {
		if !vm.isMarked(a) {
			delete(vm.rt.dyn, a)
			delete(vm.rt.dynEntries, a)
		}
	}
}
