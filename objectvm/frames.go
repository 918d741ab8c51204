package objectvm

import (
	"fmt"
	"sort"
	"strings"

	"phantomvm/bytecode"
)

// Walking a goroutine's frames, from the newest. Trampolines are looked through: those between chunks are invisible,
// the others show as properties of the frame below.

// mapKind says which stack map tells what lives in a frame.
type mapKind uint8

const (
	mapPoint  mapKind = iota // the newest frame: at a safepoint
	mapCall                  // waits for a call
	mapAlways                // its instruction faulted or panicked: it goes on at its recover point or not at all
)

// frameIter walks frames. After next returned true, pc, fp and fn describe a frame; fn is 0 for a trampoline whose function has returned.
type frameIter struct {
	vm     *VM
	pc, fp Addr
	fn     bytecode.FuncID
	kind   mapKind
	panic  uint64 // the frame below this panic's deferred call

	nextPC, nextFP Addr
	nextKind       mapKind
	started        bool
	snap           bool // as the stack was when the collector's cycle began
	left           int
}

// frameIter starts a walk over the frames of a goroutine whose registers are in its record.
func (vm *VM) frameIter(g GID) *frameIter {
	return &frameIter{vm: vm, nextPC: Addr(gGet(g, gPC)), nextFP: Addr(gGet(g, gFP)), left: maxStack / 24}
}

func (it *frameIter) next() bool {
	if it.started {
		if it.fn == 0 {
			return false
		}
		it.step(it.ld(it.fp), it.ld(it.fp+8))
	} else if s := stubOf(it.nextPC); s != stubNone {
		it.step(it.nextPC, it.nextFP)
	}
	it.started = true
	it.left--
	if it.nextPC == 0 || it.left < 0 {
		it.fn = 0
		return false
	}
	it.pc, it.fp, it.kind = it.nextPC, it.nextFP, it.nextKind
	it.fn = it.vm.code.find(it.pc)
	return it.fn != 0
}

func (it *frameIter) ld(a Addr) Addr {
	if it.snap {
		return Addr(it.vm.snap(a))
	}
	return ldAddr(a)
}

// step finds the frame below one that returns to ret with frame pointer up.
func (it *frameIter) step(ret, up Addr) {
	it.panic = 0
	for {
		s := stubOf(ret)
		switch s {
		case stubNone:
			it.nextPC, it.nextFP, it.nextKind = ret, up, mapCall
			return
		case stubBottom:
			it.nextPC = 0
			return
		case stubChunk8, stubChunk64, stubChunkMax:
			ret, up = it.ld(up+trampPC*8), it.ld(up+trampFP*8)
			continue
		case stubTrap, stubPanic:
			it.nextKind = mapAlways
			if s == stubPanic {
				it.panic = uint64(it.ld(up + trampInfo*8))
			}
		}
		it.nextPC, it.nextFP = it.ld(up+trampPC*8), it.ld(up+trampFP*8)
		return
	}
}

// called says which stub the current frame returns to, chunk trampolines looked through.
func (it *frameIter) called() stub {
	s, _ := it.below()
	return s
}

func (it *frameIter) below() (stub, Addr) {
	ret, up := ldAddr(it.fp), ldAddr(it.fp+8)
	s := stubOf(ret)
	for s == stubChunk8 || s == stubChunk64 || s == stubChunkMax {
		ret, up = ldAddr(up+trampPC*8), ldAddr(up+trampFP*8)
		s = stubOf(ret)
	}
	return s, up
}

// panicBelow is the panic that called the current frame; called() is stubPanic.
func (it *frameIter) panicBelow() uint64 {
	_, up := it.below()
	return ld64(up + trampInfo*8)
}

// stackMap returns the bitmap of pointer slots of the current frame. A pc without a map makes every slot a possible pointer.
func (it *frameIter) stackMap() ([]uint64, bool) {
	f := &it.vm.mod.Funcs[it.fn]
	i := it.vm.code.index(it.fn, it.pc)
	maps := f.Points
	switch it.kind {
	case mapAlways:
		return nil, false
	case mapCall:
		maps = f.Calls
	}
	k := sort.Search(len(maps), func(k int) bool { return maps[k].PC >= i })
	if k == len(maps) || maps[k].PC != i {
		return everySlot[:], true
	}
	return f.Bitmaps[maps[k].Index], true
}

// everySlot names every slot but the header of a frame.
var everySlot = func() (m [8]uint64) {
	for i := range m {
		m[i] = ^uint64(0)
	}
	m[0] &^= 1<<bytecode.FrameArgs - 1
	return m
}()

// frameInfo is a frame as tracebacks and runtime.Callers see it.
type frameInfo struct {
	PC       Addr // of the instruction after the call, as Go's return addresses
	Func     bytecode.FuncID
	Name     string
	File     string
	Line     int
	Entry    Addr
	Wrapper  bool
	Faulting bool // PC is that of an instruction which faulted, not a return address
}

// frames lists a goroutine's frames, newest first, without the first skip ones.
func (vm *VM) frames(g GID, skip int) []frameInfo {
	if g == vm.cur {
		vm.saveRegs()
	}
	var out []frameInfo
	it := vm.frameIter(g)
	for n := 0; it.next() && len(out) < maxFrames; n++ {
		if n >= skip {
			out = append(out, vm.frameAt(it.fn, it.pc, it.kind == mapCall))
		}
	}
	vm.charge(uint64(len(out)) << 10)
	return out
}

const maxFrames = 10000

// frameAt describes a position in a function; ret says that pc is a return address.
func (vm *VM) frameAt(fn bytecode.FuncID, pc Addr, ret bool) frameInfo {
	f := &vm.mod.Funcs[fn]
	i := vm.code.index(fn, pc)
	if ret && i > 0 {
		i--
	}
	file, line := f.File, f.Line
	if k := sort.Search(len(f.Lines), func(k int) bool { return f.Lines[k].PC > i }); k > 0 {
		file, line = f.Lines[k-1].File, f.Lines[k-1].Line
	}
	name := ""
	if int(file) < len(vm.mod.Files) {
		name = vm.mod.Files[file]
	}
	return frameInfo{PC: pc, Func: fn, Name: f.Name, File: name, Line: int(line), Entry: vm.code.entry(fn), Wrapper: f.Flags&bytecode.FuncWrapper != 0, Faulting: !ret}
}

// hidden says whether tracebacks leave a function out: Go shows none of the runtime's own but its exported ones.
func hidden(name string) bool {
	rest, ok := strings.CutPrefix(name, "runtime.")
	return ok && (rest == "" || rest[0] < 'A' || rest[0] > 'Z')
}

// tracebackText is a goroutine's traceback in the form of Go's runtime.
func (vm *VM) tracebackText(g GID) []byte {
	var b strings.Builder
	state := "running"
	switch gGet(g, gStatus) {
	case gRunnable:
		state = "runnable"
	case gWaiting:
		state = waitReason(gGet(g, gReason)).String()
		if min := (vm.lastMono() - int64(gGet(g, gSince))) / 60e9; min >= 1 {
			state += fmt.Sprintf(", %d minutes", min)
		}
	}
	fmt.Fprintf(&b, "goroutine %d [%s]:\n", gGet(g, gID), state)
	frames := vm.frames(g, 0)
	for n, f := range frames {
		if n == 50 && len(frames) > 100 {
			fmt.Fprintf(&b, "...%d frames elided...\n", len(frames)-100)
		}
		if n >= 50 && n < len(frames)-50 || f.Wrapper || hidden(f.Name) {
			continue
		}
		args := "..."
		if vm.mod.Funcs[f.Func].Args == 0 {
			args = ""
		}
		fmt.Fprintf(&b, "%s(%s)\n\t%s:%d +%#x\n", f.Name, args, f.File, f.Line, uint64(f.PC-f.Entry))
	}
	if pc := Addr(gGet(g, gCreator)); pc != 0 {
		if fn := vm.code.find(pc); fn != 0 {
			f := vm.frameAt(fn, pc+8, true)
			fmt.Fprintf(&b, "created by %s in goroutine %d\n\t%s:%d +%#x\n", f.Name, gGet(g, gParent), f.File, f.Line, uint64(f.PC-f.Entry))
		}
	}
	return []byte(b.String())
}
