package objectvm

import "phantomvm/bytecode"

// Frames on segmented stacks. A frame never moves. A call whose frame does not fit into the chunk goes, through a
// trampoline, to a new chunk; returning to the trampoline gives the chunk back. One spare chunk is kept.

// maxStack is Go's limit of a goroutine's stack.
const maxStack = 1000000000

func frameBytes(f *bytecode.Func) Addr { return Addr(f.Frame) * 8 }

// calleeOf checks a funcval from program memory and returns its function, if it has the signature.
func (vm *VM) calleeOf(fn Addr, args, results int) (bytecode.FuncID, bool) {
	if fn&7 != 0 || !vm.checkRange(fn, 8) {
		return 0, false
	}
	cw := ld64(fn)
	if cw == 0 || cw >= uint64(len(vm.mod.Funcs)) {
		return 0, false
	}
	f := &vm.mod.Funcs[cw]
	if int(f.Args) != args || int(f.Results) != results {
		return 0, false
	}
	return bytecode.FuncID(cw), true
}

// room returns where a frame of size bytes can lie whose natural place is base: there, or at the start of a new chunk,
// which becomes the current one. ok is false if the stack is full: throw has been called.
func (vm *VM) room(base Addr, size Addr) (at Addr, fresh, ok bool) {
	h := hot()
	g := vm.cur
	old := Addr(gGet(g, gChunk))
	if base >= old && base+size <= h.stackLimit {
		vm.touch(base, uint64(size))
		return base, false, true
	}
	if ld64(old+chunkDepth) >= min(maxStack, hget(hdrArenaLimit)/2) {
		vm.stackOverflow()
		return 0, false, false
	}
	need := max(uint64(size)+chunkHeader, min(2*ld64(old+chunkSize), 1<<blockShift))
	chunk := Addr(gGet(g, gSpare))
	if chunk != 0 && ld64(chunk+chunkSize) >= uint64(size)+chunkHeader {
		vm.gSet(g, gSpare, 0)
		need = ld64(chunk + chunkSize)
	} else if chunk, need, ok = vm.newChunk(need); !ok {
		vm.outOfMemory()
		return 0, false, false
	}
	vm.initChunk(chunk, old, need, g)
	vm.gSet(g, gChunk, uint64(chunk))
	h.stackLimit = chunk + Addr(need)
	vm.touch(chunk+chunkHeader, uint64(size))
	return chunk + chunkHeader, true, true
}

// popTo makes the chunk that holds fp the current one.
func (vm *VM) popTo(fp Addr) {
	g := vm.cur
	c := Addr(gGet(g, gChunk))
	for fp < c || fp >= c+Addr(ld64(c+chunkSize)) {
		prev := ldAddr(c + chunkPrev)
		if spare := Addr(gGet(g, gSpare)); spare == 0 {
			vm.gSet(g, gSpare, uint64(c))
		} else if ld64(spare+chunkSize) < ld64(c+chunkSize) {
			vm.freeChunk(spare)
			vm.gSet(g, gSpare, uint64(c))
		} else {
			vm.freeChunk(c)
		}
		vm.gSet(g, gChunk, uint64(prev))
		c = prev
	}
	hot().stackLimit = c + Addr(ld64(c+chunkSize))
}

// pushTramp pushes a trampoline of stub s above the current frame, and on it a frame of function f with its arguments.
// When f returns, the stub's handler runs; goOn and info are what it finds. It returns the trampoline, 0 if the stack is full.
func (vm *VM) pushTramp(s stub, goOn Addr, info uint64, f bytecode.FuncID, closure Addr, args []uint64) Addr {
	h := hot()
	fn := &vm.mod.Funcs[f]
	tramp := Addr(stubFrames[s].slots) * 8
	base := h.fp + frameBytes(&vm.mod.Funcs[vm.code.find(h.pc)])
	at, _, ok := vm.room(base, tramp+frameBytes(fn))
	if !ok {
		return 0
	}
	clear(wordsAt(at, uint64(stubFrames[s].slots)))
	stAddr(at+trampPC*8, goOn)
	stAddr(at+trampFP*8, h.fp)
	st64(at+trampInfo*8, info)
	fp := at + tramp
	stAddr(fp, stubRet(s))
	stAddr(fp+8, at)
	stAddr(fp+16, closure)
	copy(wordsAt(fp+bytecode.FrameArgs*8, uint64(len(args))), args)
	h.fp, h.pc = fp, vm.code.entry(f)
	return at
}

// callSlow executes a call instruction outside the loop: frozen pages, a callee in another chunk, or a bad funcval or itab.
func (vm *VM) callSlow(in *instr) Outcome {
	h := hot()
	var f bytecode.FuncID
	closure, recv, hasRecv := Addr(0), uint64(0), false
	switch bytecode.Op(in.op) {
	case bytecode.OpCALL:
		f = bytecode.FuncID(ld32(Addr(in.ext) + 8))
	default:
		slot := int(uint16(in.ext))
		at := Addr(vm.slot(slot))
		if bytecode.Op(in.op) == bytecode.OpCALLI {
			at += 24 + Addr(uint16(in.ext>>16))*8
			recv, hasRecv = vm.slot(slot+1), true
		} else {
			closure = at
		}
		var ok bool
		if f, ok = vm.calleeOf(at, int(in.ext>>48), int(uint16(in.ext>>32))); !ok {
			return vm.trap(bytecode.TrapNil, 0, 0, 0, 0, 0)
		}
	}
	fn := &vm.mod.Funcs[f]
	nfp := h.fp + Addr(in.a)*8
	if nfp+frameBytes(fn) <= h.stackLimit {
		vm.touch(nfp, uint64(frameBytes(fn)))
		stAddr(nfp, h.pc+16)
		stAddr(nfp+8, h.fp)
	} else {
		s := stubChunk8
		for s < stubChunkMax && int(fn.Results) > int(stubFrames[s].slots-trampData) {
			s++
		}
		tramp := Addr(stubFrames[s].slots) * 8
		at, _, ok := vm.room(nfp+(1<<blockShift), tramp+frameBytes(fn)) // never in this chunk
		if !ok {
			return Stopped
		}
		stAddr(at+trampPC*8, h.pc+16)
		stAddr(at+trampFP*8, h.fp)
		st64(at+trampInfo*8, uint64(fn.Results))
		to := at + tramp
		stAddr(to, stubRet(s))
		stAddr(to+8, at)
		copy(wordsAt(to+bytecode.FrameArgs*8, uint64(fn.Args)), wordsAt(nfp+bytecode.FrameArgs*8, uint64(fn.Args)))
		nfp = to
	}
	stAddr(nfp+16, closure)
	if hasRecv {
		st64(nfp+bytecode.FrameArgs*8, recv)
	}
	h.fp, h.pc = nfp, vm.code.entry(f)
	return vm.fuelCall()
}

// fuelCall pays for a call; the slice may end at the function's entry.
func (vm *VM) fuelCall() Outcome {
	h := hot()
	if h.fuel--; h.fuel < 0 {
		return Stopped
	}
	return Trapped
}

// retSlow executes a return whose caller's pages are frozen: it opens them, the instruction is executed again.
func (vm *VM) retSlow() {
	fp := hot().fp
	ret, up := ldAddr(fp), ldAddr(fp+8)
	vm.touch(up, max(uint64(bytecode.WordC(ld64(ret-16))), 1)*8)
}

// returned handles the return of a callee in another chunk.
func (vm *VM) returned() Outcome {
	h := hot()
	at := h.fp
	ret, up, n := ldAddr(at+trampPC*8), ldAddr(at+trampFP*8), ld64(at+trampInfo*8)
	w := ld64(ret - 16)
	vm.touch(up, uint64(bytecode.WordC(w))*8)
	if n > 0 {
		copy(wordsAt(up+Addr(bytecode.WordB(w))*8, n), wordsAt(at+trampData*8, n))
	}
	h.fp, h.pc = up, ret
	vm.popTo(up)
	return Trapped
}
