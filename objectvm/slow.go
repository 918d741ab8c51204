package objectvm

import "phantomvm/bytecode"

// Instructions outside the dispatch loop: those that call into the VM, and the rare cases of the others (frozen pages, unaligned
// addresses, bad operands). slow executes the instruction at pc from its start; the loop has changed nothing.

// Flags of an opcode that slow needs, from bytecode.Table.
const (
	slowExt   = 1 << iota // two words
	slowPoint             // a safepoint stands before it: the collector may run
)

// slowFuel is what an instruction outside the loop costs besides, so that slices take about the same time whatever they do.
const slowFuel = 8

func opFlags() []uint8 {
	t := make([]uint8, 256)
	for _, info := range bytecode.Table {
		if info.Ext != bytecode.NoExt {
			t[info.Num] |= slowExt
		}
		if info.Flags&bytecode.FlagPoint != 0 {
			t[info.Num] |= slowPoint
		}
	}
	return t
}

// slow returns whether the loop goes on.
func (vm *VM) slow() bool {
	h := hot()
	op := ld8(h.pc)
	if h.fuel < 0 && op <= opStub && vm.retryPC != h.pc {
		return false // a function without branches may be long, and each of its instructions work on gigabytes
	}
	h.fuel -= slowFuel
	flags := vm.code.flags[op]
	if flags&slowPoint != 0 && vm.cfg.GCStress {
		vm.saveRegs()
		vm.collect()
	}
	w := ld64(h.pc)
	in := instr{op: op, n: bytecode.WordN(w), a: bytecode.WordA(w), b: bytecode.WordB(w), c: bytecode.WordC(w)}
	next := h.pc + 8
	if flags&slowExt != 0 {
		in.ext, next = ld64(h.pc+8), next+8
	}
	return vm.conclude(vm.execute(&in), next)
}

// conclude acts on the outcome of an instruction whose successor is next.
func (vm *VM) conclude(out Outcome, next Addr) bool {
	h := hot()
	switch out {
	case Done:
		h.pc = next
		vm.retryPC = 0
		return true
	case Retry:
		return vm.retry()
	case Trapped: // panics and their recovery make loops without a branch or a call, which pay here
		return vm.cur != 0 && hget(hdrState) == stateRunning && h.fuel >= 0
	case Parked, Yielded:
		h.pc = next
	}
	vm.retryPC = 0
	return false
}

// retry collects garbage for an instruction that found no memory; a second time in a row the program is out of memory.
func (vm *VM) retry() bool {
	if vm.retryPC == hot().pc {
		vm.outOfMemory()
		return false
	}
	vm.retryPC = hot().pc
	vm.saveRegs()
	vm.collect()
	hot().fuel = -1 // a program that has little memory left collects once a slice
	return true
}

func (vm *VM) execute(in *instr) Outcome {
	if in.op > opStub {
		return vm.executeStub(stub(in.op - opStub))
	}
	switch bytecode.Op(in.op) {
	case bytecode.OpNEW:
		return vm.newFromBatch(in)
	case bytecode.OpMKSLICE:
		return vm.opMkSlice(in)
	case bytecode.OpSLICE:
		return vm.opSlice(in)
	case bytecode.OpSLICESTR:
		return vm.opSliceStr(in)
	case bytecode.OpSLICEARR:
		return vm.opSliceArr(in)
	case bytecode.OpGROW:
		return vm.opGrow(in)
	case bytecode.OpCALL, bytecode.OpCALLC, bytecode.OpCALLI:
		return vm.callSlow(in)
	case bytecode.OpRET, bytecode.OpRET1, bytecode.OpRETN:
		vm.retSlow()
		return Trapped
	case bytecode.OpGO:
		return vm.opGo(in)
	case bytecode.OpDEFER:
		return vm.opDefer(in)
	case bytecode.OpRUNDEFERS:
		return vm.opRunDefers(in)
	case bytecode.OpPANIC:
		return vm.startPanic(vm.slot(int(in.a)), vm.slot(int(in.a)+1), false)
	case bytecode.OpRECOVER:
		return vm.opRecover(in)
	case bytecode.OpNATIVE:
		return vm.opNative(in)
	case bytecode.OpTRAP:
		return vm.trap(int(in.a), vm.slot(int(in.b)), 0, 0, 0, 0)
	case bytecode.OpSTREQ:
		return vm.opStrEq(in)
	case bytecode.OpSTRCMP:
		return vm.opStrCmp(in)
	case bytecode.OpEQT:
		return vm.opEqT(in)
	case bytecode.OpSTRNEXT:
		return vm.opStrNext(in)
	case bytecode.OpASSERT:
		return vm.opAssert(in)
	}
	if in.op >= uint8(bytecode.OpMKMAP) && in.op <= uint8(bytecode.OpCHCAP) {
		return vm.executeTable(in)
	}
	return vm.executeRare(in)
}

// executeTable executes map and channel instructions.
func (vm *VM) executeTable(in *instr) Outcome {
	switch bytecode.Op(in.op) {
	case bytecode.OpMKMAP:
		return vm.opMkMap(in)
	case bytecode.OpMAPGET:
		return vm.opMapGet(in)
	case bytecode.OpMAPSET:
		return vm.opMapSet(in)
	case bytecode.OpMAPDEL:
		return vm.opMapDel(in)
	case bytecode.OpMAPCLR:
		return vm.opMapClr(in)
	case bytecode.OpMAPLEN:
		return vm.opMapLen(in)
	case bytecode.OpMAPITER:
		return vm.opMapIter(in)
	case bytecode.OpMAPNEXT:
		return vm.opMapNext(in)
	case bytecode.OpMKCHAN:
		return vm.opMkChan(in)
	case bytecode.OpSEND:
		return vm.opSend(in)
	case bytecode.OpRECV:
		return vm.opRecv(in)
	case bytecode.OpSELECT:
		return vm.opSelect(in)
	case bytecode.OpCLOSE:
		return vm.opClose(in)
	case bytecode.OpCHLEN:
		return vm.opChLen(in)
	case bytecode.OpCHCAP:
		return vm.opChCap(in)
	}
	return vm.throw("illegal instruction")
}

// opNative calls a native function: arguments are copied, results stored when it is over.
func (vm *VM) opNative(in *instr) Outcome {
	n := vm.natives[in.ext]
	args, res := vm.argBuf[:n.Args], vm.resBuf[:n.Results]
	copy(args, vm.slots(int(in.b), int(n.Args)))
	clear(res)
	return vm.storeResults(n.Fn(vm, args, res), int(in.a), res)
}

func (vm *VM) storeResults(out Outcome, at int, res []uint64) Outcome {
	if out == Done || out == Parked || out == Yielded {
		copy(vm.slots(at, len(res)), res)
	}
	return out
}

// executeStub goes on after a function that no instruction called has returned; the frame pointer is at the trampoline.
func (vm *VM) executeStub(s stub) Outcome {
	switch s {
	case stubChunk8, stubChunk64, stubChunkMax:
		return vm.returned()
	case stubBottom:
		if GID(hget(hdrMainG)) == vm.cur {
			return vm.exit(0)
		}
		vm.endG(vm.cur)
		return Trapped
	case stubPanic:
		return vm.deferReturned()
	}
	return vm.throw("a function that must not return has returned")
}
