package objectvm

import "phantomvm/bytecode"

// Deferred calls, panics, recover, Goexit.
//
//  1. DEFER links a record (funcval, frame) to the goroutine's list. RUNDEFERS calls the newest record of its frame.
//  2. A panic links a panic record to the goroutine's list and runs the goroutine's deferred calls, newest first, each above the
//     panicking frame: nothing is unwound yet. A trampoline of stubPanic below the deferred function names the panic.
//  3. RECOVER marks the newest panic as recovered if its frame, or behind wrappers its caller, was called from such a trampoline.
//  4. When a deferred function returns to the trampoline: if the panic was recovered, the stack is unwound to the frame that had
//     deferred the call, which goes on at its recover point; else the next deferred call runs.
//  5. Unwinding past the trampoline of an older panic ends that panic too. If it was a Goexit, that goes on instead.
//  6. When no deferred call is left, a Goexit ends the goroutine; a panic calls Module.FatalPanic.
//
// Records lie in a pool in META; numbers start at 1.

const (
	poolRecord = 64
	maxPool    = 4 << 30 / poolRecord
)

// Words of a record.
const (
	poolNext = iota
	poolKind // poolDefer, poolPanic, 0 for a free record

	poolOwner = 7 // GID: no record is in the lists of two goroutines
)

// Words of a deferred call.
const (
	deferFn    = 2 + iota // funcval
	deferFrame            // frame that deferred it
)

// Words of a panic.
const (
	panicValue = 2 + iota // interface value
	_
	panicFlags
	panicFrame // frame whose deferred call runs, or ran last
)

const (
	poolDefer = 1
	poolPanic = 2
)

// Panic flags.
const (
	panicRecovered = 1 << iota
	panicGoexit
	panicAborted
)

func poolAddr(n uint64) Addr { return metaPools + Addr(n)*poolRecord }

func poolGet(n uint64, w int) uint64 { return ld64(poolAddr(n) + Addr(w)*8) }

func (vm *VM) poolSet(n uint64, w int, v uint64) { vm.set(poolAddr(n)+Addr(w)*8, v) }

// newRecord takes a record from the pool, 0 if it is full.
func (vm *VM) newRecord(kind uint64) uint64 {
	n := hget(hdrPoolFree)
	if n != 0 {
		if n > hget(hdrPoolHigh) || poolGet(n, poolKind) != 0 {
			vm.damaged("free record %d", n)
			return 0
		}
		vm.hset(hdrPoolFree, poolGet(n, poolNext))
	} else {
		if n = hget(hdrPoolHigh) + 1; n >= maxPool {
			return 0
		}
		vm.hset(hdrPoolHigh, n)
	}
	vm.touch(poolAddr(n), poolRecord)
	clear(bytesAt(poolAddr(n), poolRecord))
	vm.poolSet(n, poolKind, kind)
	vm.poolSet(n, poolOwner, uint64(vm.cur))
	return n
}

func (vm *VM) freeRecord(n uint64) {
	vm.poolSet(n, poolKind, 0)
	vm.poolSet(n, poolNext, hget(hdrPoolFree))
	vm.hset(hdrPoolFree, n)
}

func (vm *VM) opGo(in *instr) Outcome {
	fn := Addr(vm.slot(int(in.a)))
	if _, ok := vm.calleeOf(fn, 0, 0); !ok {
		if fn == 0 {
			return vm.throw("go of nil func value")
		}
		return vm.nilTrap()
	}
	if _, ok := vm.newG(fn); !ok {
		return vm.throw("too many goroutines")
	}
	return Done
}

func (vm *VM) opDefer(in *instr) Outcome {
	d := vm.newRecord(poolDefer)
	if d == 0 {
		return vm.throw("too many deferred calls")
	}
	vm.poolSet(d, deferFn, vm.slot(int(in.a)))
	vm.poolSet(d, deferFrame, uint64(hot().fp))
	vm.poolSet(d, poolNext, gGet(vm.cur, gDefer))
	vm.gSet(vm.cur, gDefer, d)
	return Done
}

// opRunDefers calls the newest deferred call of this frame; pc+2 comes back here, pc+3 goes on when none is left.
func (vm *VM) opRunDefers(in *instr) Outcome {
	h := hot()
	d := gGet(vm.cur, gDefer)
	if d == 0 || Addr(poolGet(d, deferFrame)) != h.fp {
		h.pc += 3 * 8
		return Trapped
	}
	fn := Addr(poolGet(d, deferFn))
	vm.gSet(vm.cur, gDefer, poolGet(d, poolNext))
	vm.freeRecord(d)
	f, ok := vm.calleeOf(fn, 0, 0)
	if !ok {
		return vm.nilTrap()
	}
	call := instr{op: uint8(bytecode.OpCALL), a: in.c, c: in.c, ext: uint64(vm.code.base[f])}
	out := vm.callSlow(&call)
	if vm.cur != 0 && hget(hdrState) == stateRunning {
		stAddr(h.fp+bytecode.FrameCtx*8, fn)
	}
	return out
}

// startPanic begins a panic, or a Goexit.
func (vm *VM) startPanic(v0, v1 uint64, goexit bool) Outcome {
	p := vm.newRecord(poolPanic)
	if p == 0 {
		return vm.throw("too many panics")
	}
	vm.poolSet(p, panicValue, v0)
	vm.poolSet(p, panicValue+1, v1)
	if goexit {
		vm.poolSet(p, panicFlags, panicGoexit)
	}
	vm.poolSet(p, poolNext, gGet(vm.cur, gPanic))
	vm.gSet(vm.cur, gPanic, p)
	return vm.runPanic()
}

// goexit is runtime.Goexit.
func (vm *VM) goexit() Outcome { return vm.startPanic(0, 0, true) }

// runPanic makes the newest deferred call of the goroutine for its newest panic.
func (vm *VM) runPanic() Outcome {
	g := vm.cur
	p := gGet(g, gPanic)
	d := gGet(g, gDefer)
	if d == 0 {
		if poolGet(p, panicFlags)&panicGoexit != 0 {
			vm.dropPanics(g)
			if GID(hget(hdrMainG)) == g {
				vm.hset(hdrMainG, 0)
			}
			vm.endG(g)
			return Trapped
		}
		vm.hset(hdrCrashed, 1)
		if vm.mod.FatalPanic == 0 || vm.pushTramp(stubTrap, hot().pc, 0, vm.mod.FatalPanic, 0, nil) == 0 {
			return vm.throw("panic on a goroutine")
		}
		return Trapped
	}
	fn := Addr(poolGet(d, deferFn))
	vm.poolSet(p, panicFrame, poolGet(d, deferFrame))
	vm.gSet(g, gDefer, poolGet(d, poolNext))
	vm.freeRecord(d)
	f, ok := vm.calleeOf(fn, 0, 0)
	if !ok {
		return vm.nilTrap()
	}
	vm.pushTramp(stubPanic, hot().pc, p, f, fn, nil)
	return Trapped
}

func (vm *VM) dropPanics(g GID) {
	for p := gGet(g, gPanic); p != 0; p = gGet(g, gPanic) {
		vm.gSet(g, gPanic, poolGet(p, poolNext))
		vm.freeRecord(p)
	}
}

// deferReturned goes on after a deferred call that a panic made.
func (vm *VM) deferReturned() Outcome {
	h := hot()
	at := h.fp
	p := ld64(at + trampInfo*8)
	h.pc, h.fp = ldAddr(at+trampPC*8), ldAddr(at+trampFP*8)
	vm.popTo(h.fp)
	vm.openFrame()
	if p == 0 || p != gGet(vm.cur, gPanic) {
		return vm.throw("panic records damaged")
	}
	if poolGet(p, panicFlags)&panicRecovered == 0 {
		return vm.runPanic()
	}
	return vm.recovered(p)
}

// recovered unwinds to the frame whose deferred call recovered panic p.
func (vm *VM) recovered(p uint64) Outcome {
	h, g := hot(), vm.cur
	target := Addr(poolGet(p, panicFrame))
	vm.gSet(g, gPanic, poolGet(p, poolNext))
	vm.freeRecord(p)
	vm.saveRegs()
	goexit := false
	it := vm.frameIter(g)
	for it.next() {
		if it.panic != 0 { // an older panic's deferred call is unwound: that panic is over
			old := gGet(g, gPanic)
			if old != it.panic {
				return vm.throw("panic records damaged")
			}
			goexit = goexit || poolGet(old, panicFlags)&panicGoexit != 0
			vm.gSet(g, gPanic, poolGet(old, poolNext))
			vm.freeRecord(old)
		}
		if it.fp == target {
			break
		}
	}
	if it.fp != target || it.fn == 0 {
		return vm.throw("recovered in a frame that is gone")
	}
	f := &vm.mod.Funcs[it.fn]
	h.fp, h.pc = target, it.pc
	vm.popTo(target)
	vm.openFrame()
	if goexit {
		return vm.goexit()
	}
	if f.Flags&bytecode.FuncRecover == 0 {
		return vm.throw("recovered in a function without a recover point")
	}
	h.pc = vm.code.entry(it.fn) + Addr(f.RecoverPC)*8
	return Trapped
}

// opRecover is recover().
func (vm *VM) opRecover(in *instr) Outcome {
	a := int(in.a)
	p := gGet(vm.cur, gPanic)
	vm.setSlot(a, 0)
	vm.setSlot(a+1, 0)
	if p == 0 || poolGet(p, panicFlags)&(panicRecovered|panicGoexit) != 0 {
		return Done
	}
	vm.saveRegs()
	it := vm.frameIter(vm.cur)
	it.next()
	for it.called() == stubNone {
		hot().fuel--
		if !it.next() || it.fn == 0 || vm.mod.Funcs[it.fn].Flags&bytecode.FuncWrapper == 0 {
			return Done
		}
	}
	if it.called() != stubPanic || it.panicBelow() != p {
		return Done
	}
	vm.poolSet(p, panicFlags, poolGet(p, panicFlags)|panicRecovered)
	vm.setSlot(a, poolGet(p, panicValue))
	vm.setSlot(a+1, poolGet(p, panicValue+1))
	return Done
}

// trap raises a run-time panic: Module.Trap is called as if the current instruction had called it.
func (vm *VM) trap(code int, x, y, t1, t2, t3 uint64) Outcome {
	if vm.mod.Trap == 0 {
		return vm.throw("run-time panic in a module without a handler")
	}
	if vm.pushTramp(stubTrap, hot().pc, 0, vm.mod.Trap, 0, []uint64{uint64(code), x, y, t1, t2, t3}) == 0 {
		return Stopped
	}
	return Trapped
}

// panicInfo is a panic as natives see it.
type panicInfo struct {
	value             [2]uint64
	recovered, goexit bool
}

// panics lists a goroutine's panics, newest first.
func (vm *VM) panics(g GID) []panicInfo {
	var out []panicInfo
	for p := gGet(g, gPanic); p != 0; p = poolGet(p, poolNext) {
		fl := poolGet(p, panicFlags)
		hot().fuel--
		out = append(out, panicInfo{[2]uint64{poolGet(p, panicValue), poolGet(p, panicValue+1)}, fl&panicRecovered != 0, fl&panicGoexit != 0})
	}
	return out
}
