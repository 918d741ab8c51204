package objectvm

import (
	"fmt"

	"phantomvm/bytecode"
)

// Goroutine records: gSize bytes each at metaG, from number 1 on. Words that are not listed are zero.

// GID is the number of a goroutine's record; records are used again, Go's goroutine numbers (gID) are not. 0 is none.
type GID uint32

const (
	gSize = 512
	maxG  = 8 << 20
)

// Words of a goroutine record.
const (
	gID      = iota // Go's goroutine number
	gStatus         // gFree..gWaiting
	gPC             // where it goes on, a safepoint; not valid while it runs
	gFP             // its frame
	gChunk          // its newest stack chunk
	gSpare          // a chunk kept so that a call at a chunk's end does not allocate each time
	gNext           // next in the run queue, in the list of free records, or of those in phantom.Sync
	gReason         // waitReason
	gObj            // what it waits for
	gSince          // monotonic time since when it waits
	gDefer          // newest deferred call, a pool record
	gPanic          // newest panic, a pool record
	gCreator        // pc of the GO instruction
	gParent         // goroutine number of the creator
	gFn             // funcval of its first function
	gRetries        // collections made for the current instruction
	gUser    = 32
	gWords   = 64
)

// Goroutine states.
const (
	gFree = iota
	gRunnable
	gRunning
	gWaiting
)

// waitReason says why a goroutine is parked.
type waitReason uint8

// Wait reasons.
const (
	whyNone waitReason = iota
	whyChanRecv
	whyChanSend
	whyChanRecvNil
	whyChanSendNil
	whySelect
	whySelectNone
	whySleep
	whySema
	whyMutex
	whyRWMutexR
	whyRWMutexW
	whyCond
	whyGroup
	whyIO
	whyOutput
	whyFinalizer
	whyInput
	whyOther
	whySync
)

var waitNames = [...]string{
	"waiting", "chan receive", "chan send", "chan receive (nil chan)", "chan send (nil chan)", "select", "select (no cases)", "sleep",
	"semacquire", "sync.Mutex.Lock", "sync.RWMutex.RLock", "sync.RWMutex.Lock", "sync.Cond.Wait", "sync.WaitGroup.Wait", "IO wait", "IO wait", "finalizer wait", "IO wait", "waiting",
	"phantom.Sync",
}

func (r waitReason) String() string {
	if int(r) < len(waitNames) {
		return waitNames[r]
	}
	return "waiting"
}

func gAddr(g GID) Addr { return metaG + Addr(g)*gSize }

// gWord is the address of word i of a goroutine's record.
func (vm *VM) gWord(g GID, i int) Addr { return gAddr(g) + Addr(i)*8 }

func gGet(g GID, i int) uint64 { return ld64(gAddr(g) + Addr(i)*8) }

func (vm *VM) gSet(g GID, i int, v uint64) { vm.set(gAddr(g)+Addr(i)*8, v) }

// goID is Go's number of the goroutine.
func (vm *VM) goID(g GID) uint64 { return gGet(g, gID) }

// newG makes a goroutine that calls the funcval fn with args, one slot each, and without results; it is put at the end of the run queue.
func (vm *VM) newG(fn Addr, args ...uint64) (GID, bool) {
	f, ok := vm.calleeOf(fn, len(args), 0)
	if !ok {
		return 0, false
	}
	frame := uint64(vm.mod.Funcs[f].Frame) * 8
	tramp := uint64(stubFrames[stubBottom].slots) * 8
	chunk, size, ok := vm.newChunk(max(chunkHeader+tramp+frame, 1<<minChunk))
	if !ok {
		return 0, false
	}
	g, ok := vm.takeRecord()
	if !ok {
		vm.freeChunk(chunk)
		return 0, false
	}
	vm.initChunk(chunk, 0, size, g)
	base := chunk + chunkHeader
	fp := base + Addr(tramp)
	vm.touch(base, tramp+frame)
	st64(base+trampPC*8, 0)
	st64(base+trampFP*8, 0)
	stAddr(fp, stubRet(stubBottom))
	stAddr(fp+8, base)
	stAddr(fp+16, fn)
	copy(wordsAt(fp+bytecode.FrameArgs*8, uint64(len(args))), args)
	id := hget(hdrGoID) + 1
	vm.hset(hdrGoID, id)
	vm.hset(hdrGLive, hget(hdrGLive)+1)
	vm.gSet(g, gID, id)
	vm.gSet(g, gPC, uint64(vm.code.entry(f)))
	vm.gSet(g, gFP, uint64(fp))
	vm.gSet(g, gChunk, uint64(chunk))
	vm.gSet(g, gFn, uint64(fn))
	if vm.cur != 0 {
		vm.gSet(g, gCreator, uint64(hot().pc))
		vm.gSet(g, gParent, gGet(vm.cur, gID))
	}
	vm.setChecked(g)
	vm.enqueue(g)
	return g, true
}

func (vm *VM) takeRecord() (GID, bool) {
	g := hget(hdrGFree)
	if g != 0 {
		if g > hget(hdrGHigh) || gGet(GID(g), gStatus) != gFree {
			vm.damaged("free goroutine record %d", g)
			return 0, false
		}
		vm.hset(hdrGFree, gGet(GID(g), gNext))
	} else {
		if g = hget(hdrGHigh) + 1; g > maxG {
			return 0, false
		}
		vm.hset(hdrGHigh, g)
	}
	vm.touch(gAddr(GID(g)), gSize)
	clear(bytesAt(gAddr(GID(g)), gSize)) // of a damaged arena not even a new record is empty
	return GID(g), true
}

// endG frees all that belongs to a goroutine.
func (vm *VM) endG(g GID) {
	for c := Addr(gGet(g, gChunk)); c != 0; {
		prev := ldAddr(c + chunkPrev)
		vm.freeChunk(c)
		c = prev
	}
	if c := Addr(gGet(g, gSpare)); c != 0 {
		vm.freeChunk(c)
	}
	vm.unlinkAll(g)
	vm.unpend(g)
	vm.touch(gAddr(g), gSize)
	clear(bytesAt(gAddr(g), gSize))
	vm.gSet(g, gNext, hget(hdrGFree))
	vm.hset(hdrGFree, uint64(g))
	vm.hset(hdrGLive, hget(hdrGLive)-1)
	if vm.cur == g {
		vm.cur = 0
	}
}

func (vm *VM) initChunk(c, prev Addr, size uint64, g GID) {
	depth := size
	if prev != 0 {
		depth += ld64(prev + chunkDepth)
	}
	vm.touch(c, chunkHeader)
	st64(c+chunkSize, size)
	stAddr(c+chunkPrev, prev)
	st64(c+chunkDepth, depth)
	st64(c+chunkOwner, uint64(g))
}

// enqueue puts a goroutine at the end of the run queue.
func (vm *VM) enqueue(g GID) {
	vm.gSet(g, gStatus, gRunnable)
	vm.gSet(g, gNext, 0)
	if tail := hget(hdrRunTail); tail != 0 {
		if tail > hget(hdrGHigh) || gGet(GID(tail), gStatus) != gRunnable {
			vm.damaged("run queue ends with %d", tail)
			return
		}
		vm.gSet(GID(tail), gNext, uint64(g))
	} else {
		vm.hset(hdrRunHead, uint64(g))
	}
	vm.hset(hdrRunTail, uint64(g))
}

// dequeue takes the first goroutine of the run queue, 0 if it is empty.
func (vm *VM) dequeue() GID {
	g := GID(hget(hdrRunHead))
	if g == 0 {
		return 0
	}
	if uint64(g) > hget(hdrGHigh) || gGet(g, gStatus) != gRunnable {
		vm.damaged("run queue at %d", g)
		return 0
	}
	next := gGet(g, gNext)
	vm.hset(hdrRunHead, next)
	if next == 0 {
		vm.hset(hdrRunTail, 0)
	}
	return g
}

// park takes the running goroutine off the processor; the caller returns Blocked or Parked.
func (vm *VM) park(reason waitReason, obj uint64) {
	g := vm.cur
	vm.gSet(g, gStatus, gWaiting)
	vm.gSet(g, gReason, uint64(reason))
	vm.gSet(g, gObj, obj)
	vm.gSet(g, gSince, uint64(vm.lastMono()))
}

// ready makes a parked goroutine runnable.
func (vm *VM) ready(g GID) {
	if g == 0 || uint64(g) > hget(hdrGHigh) || gGet(g, gStatus) != gWaiting {
		return // a forged or stale record woke it
	}
	vm.gSet(g, gReason, uint64(whyNone))
	vm.enqueue(g)
}

// setSlotOf stores to a slot of a parked goroutine's frame.
func (vm *VM) setSlotOf(g GID, i int, v uint64) {
	if vm.cur == g {
		vm.setSlot(i, v)
		return
	}
	if vm.checkG(g) != nil {
		return
	}
	fp := Addr(gGet(g, gFP))
	if f := vm.code.find(Addr(gGet(g, gPC))); i < bytecode.FrameArgs || i >= int(vm.mod.Funcs[f].Frame) {
		return
	}
	vm.set(fp+Addr(i)*8, v)
}

// checkG validates a goroutine at its first use in this incarnation.
func (vm *VM) checkG(g GID) error {
	if vm.isChecked(g) && gGet(g, gStatus) != gFree {
		return nil
	}
	if err := vm.validateG(g); err != nil {
		return fmt.Errorf("%w: goroutine record %d: %w", ErrArena, g, err)
	}
	vm.setChecked(g)
	return nil
}

func (vm *VM) isChecked(g GID) bool {
	w := int(g / 64)
	return w < len(vm.checked) && vm.checked[w]>>(g%64)&1 == 1
}

func (vm *VM) setChecked(g GID) {
	w := int(g / 64)
	if w >= len(vm.checked) {
		vm.checked = append(vm.checked, make([]uint64, w+1-len(vm.checked))...)
	}
	vm.checked[w] |= 1 << (g % 64)
}
