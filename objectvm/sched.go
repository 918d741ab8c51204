package objectvm

import (
	"fmt"
	"math"
	"time"
)

// Slices. RunSlice runs goroutines from the head of the run queue until the fuel is used up, the program ends, or
// nothing can run. Between calls the whole state of the program is in the arena: pc and frame of the goroutine that ran are in
// its record, at a safepoint.

// StatusKind says how a slice ended.
type StatusKind uint8

// Status kinds.
const (
	Running StatusKind = iota // there is more to do
	Idle                      // nothing can run before Until, or before output is trimmed, input comes, or a checkpoint is durable
	Exited                    // the program ended with Code
	Fatal                     // the VM cannot go on: Err
)

func (k StatusKind) String() string {
	return [...]string{"running", "idle", "exited", "fatal"}[k&3]
}

// Status is the result of a slice.
type Status struct {
	Kind    StatusKind
	Until   int64 // Idle: wall time in nanoseconds at which a timer is due; math.MaxInt64 if only output, input or a checkpoint is waited for
	Code    int   // Exited
	Crashed bool  // Exited: by an uncaught panic or a fatal error
	Err     error // Fatal
}

type stopInfo struct{ err error }

const (
	stateRunning = iota
	stateExited
)

// EndSlice makes the slice that runs end soon. It may be called by the barrier.
func (vm *VM) EndSlice() { hot().fuel = -1 }

// RunSlice runs the program for about fuel backward branches and calls.
func (vm *VM) RunSlice(fuel int64) Status {
	h := hot()
	fuel = vm.shorten(fuel)
	h.fuel = fuel
	vm.heap.most = vm.heap.bytes + vm.heap.goal/4
	vm.ran = false
	began := time.Now()
	for h.fuel >= 0 {
		if st, over := vm.ended(); over {
			return st
		}
		if vm.waking != [3]uint32{} {
			vm.wakeSome()
		}
		if due, ok := vm.timersNext(); ok && due <= vm.mono() {
			vm.timersFire(vm.lastMono())
		}
		g := vm.dequeue()
		if g == 0 {
			if vm.stop.err != nil || vm.waking != [3]uint32{} {
				continue
			}
			st, idle := vm.idle()
			if idle && vm.gc.phase != gcIdle {
				break // the cycle goes on first
			}
			if idle {
				vm.afterSlice()
				return st
			}
			continue
		}
		if err := vm.resume(g); err != nil {
			vm.stop.err = err
			break
		}
		for vm.interpret() && vm.slow() {
		}
		vm.suspend()
	}
	if st, over := vm.ended(); over {
		return st
	}
	vm.measured(fuel-h.fuel, time.Since(began))
	vm.afterSlice()
	vm.check()
	return Status{Kind: Running}
}

func (vm *VM) ended() (Status, bool) {
	if vm.stop.err != nil {
		return Status{Kind: Fatal, Err: vm.stop.err}, true
	}
	if hget(hdrState) == stateExited {
		return Status{Kind: Exited, Code: int(int64(hget(hdrExit))), Crashed: hget(hdrCrashed) != 0}, true
	}
	return Status{}, false
}

// idle decides what it means that no goroutine can run.
func (vm *VM) idle() (Status, bool) {
	if due, ok := vm.timersNext(); ok {
		return Status{Kind: Idle, Until: vm.wallOf(due)}, true
	}
	if vm.outputBlocked() || hget(hdrWaitIO) != 0 || vm.Syncing() > 0 {
		return Status{Kind: Idle, Until: math.MaxInt64}, true
	}
	if main := GID(hget(hdrMainG)); main == 0 {
		vm.throw("no goroutines (main called runtime.Goexit) - deadlock!")
	} else {
		vm.throw("all goroutines are asleep - deadlock!")
	}
	return Status{}, false
}

// resume makes g the running goroutine.
func (vm *VM) resume(g GID) error {
	if err := vm.checkG(g); err != nil {
		return err
	}
	vm.gSet(g, gStatus, gRunning)
	h := hot()
	vm.cur, vm.ran = g, true
	h.pc, h.fp = Addr(gGet(g, gPC)), Addr(gGet(g, gFP))
	c := Addr(gGet(g, gChunk))
	h.stackLimit = c + Addr(ld64(c+chunkSize))
	vm.openFrame()
	return nil
}

// openFrame opens the pages of the current frame, so that stores to its slots need no barrier.
func (vm *VM) openFrame() {
	h := hot()
	n := Addr(PageSize)
	if f := vm.code.find(h.pc); f != 0 {
		n = frameBytes(&vm.mod.Funcs[f])
	}
	vm.touch(h.fp, uint64(min(n, h.stackLimit-h.fp)))
}

// suspend writes the running goroutine's registers to its record and puts it at the end of the queue if it can run.
func (vm *VM) suspend() {
	g := vm.cur
	if g == 0 {
		return
	}
	vm.saveRegs()
	vm.keepMono()
	vm.cur = 0
	if gGet(g, gStatus) == gRunning {
		vm.enqueue(g)
	}
}

func (vm *VM) saveRegs() {
	vm.gSet(vm.cur, gPC, uint64(hot().pc))
	vm.gSet(vm.cur, gFP, uint64(hot().fp))
}

// exit ends the program.
func (vm *VM) exit(code int) Outcome {
	vm.hset(hdrState, stateExited)
	vm.hset(hdrExit, uint64(code))
	return Stopped
}

// throw ends the program with a fatal error, as Go's runtime does.
func (vm *VM) throw(msg string) Outcome {
	vm.fatalText([]byte("fatal error: " + msg + "\n"))
	return vm.die()
}

// die writes the tracebacks of all goroutines, the running one first, and exits 2.
func (vm *VM) die() Outcome {
	vm.hset(hdrCrashed, 1)
	if vm.cur != 0 {
		vm.saveRegs()
		vm.fatalText(append([]byte("\n"), vm.tracebackText(vm.cur)...))
	}
	shown := 0
	for g := GID(1); uint64(g) <= hget(hdrGHigh) && shown < 100; g++ {
		if s := gGet(g, gStatus); g == vm.cur || s == gFree {
			continue
		}
		if vm.checkG(g) == nil {
			vm.fatalText(append([]byte("\n"), vm.tracebackText(g)...))
			shown++
		}
	}
	return vm.exit(2)
}

// stackOverflow is Go's fatal error for a stack over its limit. The text names Go's limit even where a small arena has a lower one.
func (vm *VM) stackOverflow() Outcome {
	vm.fatalText(fmt.Appendf(nil, "runtime: goroutine stack exceeds %d-byte limit\nfatal error: stack overflow\n", maxStack))
	return vm.die()
}

// outOfMemory is Go's fatal error for a full heap.
func (vm *VM) outOfMemory() Outcome {
	vm.fatalText([]byte("fatal error: runtime: out of memory\n"))
	return vm.die()
}
