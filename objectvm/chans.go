package objectvm

import (
	"math/bits"

	"phantomvm/bytecode"
)

// Channels. A channel is an object in DATA and a ring of elements; who waits
// stands in META (chans_wait.go). An operation runs to completion inside one
// instruction:
//
//  1. A value goes straight from sender to receiver if one of them waits: into the slots or the memory that the waiter named.
//  2. Else it goes through the ring, if there is room.
//  3. Else the goroutine is parked. A RECV is over when it parks (Parked): its result slots hold the zero value, which whoever wakes
//     it overwrites. SEND, SELECT and the natives are executed again when they go on (Blocked), and find in gwState how they ended.
//     The value to send stays where the stack map at the instruction keeps it alive.
//
// A boxed element (over 1024 bytes) is stored and handed over as the address of its copy, to which nobody writes.

// Layout of the channel object.
const (
	chanCount   = 0
	chanCap     = 8
	chanBuf     = 16
	chanHead    = 24
	chanElem    = 32 // TypeID
	chanClosed  = 40
	chanObjSize = 48
)

// chanView is a checked copy of a channel object.
type chanView struct {
	obj              Addr
	buf              Addr
	count, cap, head uint64
	size             uint64 // of an element as stored
	elem             *TypeInfo
	closed           bool
}

// viewChan reads a channel object as one with elements of type elem (nil: what the object says). False: it can't be one.
func (vm *VM) viewChan(obj Addr, elem *TypeInfo, v *chanView) bool {
	if !vm.checkRange(obj, chanObjSize) {
		return false
	}
	if elem == nil {
		if elem = vm.typeByID(ld64(obj + chanElem)); elem == nil {
			return false
		}
	}
	v.obj, v.elem, v.size = obj, elem, storedSize(elem)
	v.count, v.cap, v.head, v.buf = ld64(obj+chanCount), ld64(obj+chanCap), ld64(obj+chanHead), ldAddr(obj+chanBuf)
	v.closed = ld64(obj+chanClosed) != 0
	if v.cap == 0 {
		return v.count == 0
	}
	hi, n := bits.Mul64(v.cap, v.size)
	return hi == 0 && v.count <= v.cap && v.head < v.cap && (n == 0 || vm.checkRange(v.buf, n))
}

// chanMake allocates a channel; the caller has checked size.
func (vm *VM) chanMake(elem *TypeInfo, size uint64) (Addr, bool) {
	c, ok := vm.newObject(vm.rt.own.chanObj)
	if !ok {
		return 0, false
	}
	if size != 0 && elem.Size != 0 {
		buf, ok := vm.newArray(vm.rt.own.stored(elem), size)
		if !ok {
			return 0, false
		}
		stAddr(c+chanBuf, buf)
	}
	st64(c+chanCap, size)
	st64(c+chanElem, uint64(elem.ID))
	return c, true
}

// makeChan is make(chan T, size) with Go's checks.
func (vm *VM) makeChan(t *TypeInfo, size uint64) (Addr, Outcome) {
	if t == nil || t.Kind != bytecode.Chan || t.Elem.ID == 0 {
		return 0, vm.nilTrap()
	}
	if s := storedSize(t.Elem); int64(size) < 0 || s != 0 && size > (1<<47)/s {
		return 0, vm.trap(bytecode.TrapMakeChan, 0, 0, 0, 0, 0)
	}
	c, ok := vm.chanMake(t.Elem, size)
	if !ok {
		return 0, Retry
	}
	return c, Done
}

// place is where a value to be sent or received lies.
type place struct {
	mode uint64 // wait*
	addr Addr   // of the slots or the memory; 0 with waitRecvMem: discard
	slot int    // for slots
	ok   int    // slot of RECV's ok, 0 none
}

// placeSource gives the address of the value as stored (a boxed one by address). False: not readable, or no memory to box it.
func (vm *VM) placeSource(p *place, elem *TypeInfo) (Addr, Outcome) {
	if p.mode != waitSendMem {
		return p.addr, Done
	}
	if elem.Size != 0 && !vm.checkRange(p.addr, elem.Size) {
		return 0, vm.nilTrap()
	}
	if !elem.Boxed {
		return p.addr, Done
	}
	a, ok := vm.newObject(elem)
	if !ok {
		return 0, Retry
	}
	copy(bytesAt(a, elem.Size), bytesAt(p.addr, elem.Size))
	vm.rt.box = a
	return Addr(addrOf(&vm.rt.box)), Done
}

// trySend sends without waiting. done is false if the goroutine would have to wait.
func (vm *VM) trySend(v *chanView, p *place) (done bool, out Outcome) {
	if v.closed {
		return true, vm.trap(bytecode.TrapSendClosed, 0, 0, 0, 0, 0)
	}
	n := vm.firstWaiter(v.obj, false)
	if n == 0 && v.count >= v.cap {
		return false, Done
	}
	src, out := vm.placeSource(p, v.elem)
	if out != Done {
		return true, out
	}
	if n != 0 {
		return true, vm.handOver(n, v.elem, src)
	}
	dst := v.buf + Addr((v.head+v.count)%v.cap*v.size)
	if v.size != 0 && !vm.checkStore(dst, v.size) || !vm.checkStore(v.obj, chanObjSize) {
		return true, vm.nilTrap()
	}
	moveBytes(dst, src, v.size)
	st64(v.obj+chanCount, v.count+1)
	return true, Done
}

// handOver gives the value at src (as stored) to the waiting receiver of record n and wakes it.
func (vm *VM) handOver(n uint32, elem *TypeInfo, src Addr) Outcome {
	a := wrAddr(n)
	g, mode := GID(ld64(a+wrG)), ld64(a+wrMode)
	value, typ := ld64(a+wrValue), ld64(a+wrType)
	if vm.types[uint32(typ)] != elem { // two types on one channel: forged
		return vm.nilTrap()
	}
	if m := mode & 0xff; m != waitRecvMem && !vm.waiterFrame(g, value, elem.Slots) {
		return vm.throw("waiting goroutine damaged")
	}
	switch mode & 0xff {
	case waitRecvSlot:
		loadSlots(elem, src, vm.openSlots(g, int(value), elem.Slots))
		if okSlot := typ >> 32; okSlot != 0 {
			vm.setSlotOf(g, int(okSlot)-1, 1)
		}
		vm.wake(g, gwIdle, 0)
		return Done
	case waitRecvCase:
		loadSlots(elem, src, vm.openSlots(g, int(value), elem.Slots))
		vm.pend(g, int(value), elem.Slots)
	case waitRecvMem:
		if value != 0 && !vm.storeValue(elem, src, Addr(value)) {
			vm.wake(g, gwClosed, mode>>8) // its memory is gone: forged
			return Done
		}
	}
	vm.wake(g, gwDone, mode>>8)
	return Done
}

// openSlots is the address of n slots of a parked goroutine's frame, made writable.
func (vm *VM) openSlots(g GID, slot, n int) Addr {
	a := vm.slotAddrOf(g, slot)
	vm.touch(a, uint64(n)*8)
	return a
}

// storeValue writes the value at src (as stored) to program memory.
func (vm *VM) storeValue(t *TypeInfo, src, dst Addr) bool {
	if t.Size == 0 {
		return true
	}
	if t.Boxed {
		if src = ldAddr(src); !vm.checkRange(src, t.Size) {
			return false
		}
	}
	if !vm.checkStore(dst, t.Size) {
		return false
	}
	moveBytes(dst, src, t.Size)
	return true
}

// take delivers the value at src (as stored) to the running goroutine's place p.
func (vm *VM) take(t *TypeInfo, src Addr, p *place) bool {
	if p.mode == waitRecvMem {
		return p.addr == 0 || vm.storeValue(t, src, p.addr)
	}
	loadSlots(t, src, p.addr)
	return true
}

// tryRecv receives without waiting. done is false if the goroutine would have to wait.
func (vm *VM) tryRecv(v *chanView, p *place) (done, ok bool, out Outcome) {
	n := vm.firstWaiter(v.obj, true)
	switch {
	case v.count > 0:
		return true, true, vm.recvBuffered(v, n, p)
	case n != 0:
		return true, true, vm.recvDirect(v, n, p)
	case !v.closed:
		return false, false, Done
	case p.mode == waitRecvMem:
		return true, false, vm.zeroMem(v.elem, p.addr)
	case !vm.zeroSlots(v.elem, p.addr):
		return true, false, Retry
	}
	return true, false, Done
}

func (vm *VM) zeroMem(t *TypeInfo, dst Addr) Outcome {
	if dst == 0 || t.Size == 0 {
		return Done
	}
	if !vm.checkStore(dst, t.Size) {
		return vm.nilTrap()
	}
	clear(bytesAt(dst, t.Size))
	return Done
}

// recvBuffered takes the oldest element of the ring; the first waiting sender's value, if any, takes its place at the end.
func (vm *VM) recvBuffered(v *chanView, sender uint32, p *place) Outcome {
	src := v.buf + Addr(v.head*v.size)
	if v.size != 0 && !vm.checkStore(src, v.size) || !vm.checkStore(v.obj, chanObjSize) {
		return vm.nilTrap()
	}
	var next Addr
	if sender != 0 {
		var out Outcome
		if next, out = vm.sentValue(sender, v.elem); out != Done {
			return out
		}
	}
	if !vm.take(v.elem, src, p) {
		return vm.nilTrap()
	}
	st64(v.obj+chanHead, (v.head+1)%v.cap)
	if sender == 0 {
		clear(bytesAt(src, v.size))
		st64(v.obj+chanCount, v.count-1)
		return Done
	}
	dst := v.buf + Addr((v.head+v.count)%v.cap*v.size) // = src when the ring is full, as it is unless forged
	if v.size != 0 && !vm.checkStore(dst, v.size) {
		return vm.nilTrap()
	}
	moveBytes(dst, next, v.size)
	vm.sendDone(sender)
	return Done
}

// recvDirect takes the value of a waiting sender.
func (vm *VM) recvDirect(v *chanView, sender uint32, p *place) Outcome {
	src, out := vm.sentValue(sender, v.elem)
	if out != Done {
		return out
	}
	if !vm.take(v.elem, src, p) {
		return vm.nilTrap()
	}
	vm.sendDone(sender)
	return Done
}

// sentValue is the address of a waiting sender's value as stored.
func (vm *VM) sentValue(n uint32, elem *TypeInfo) (Addr, Outcome) {
	a := wrAddr(n)
	if vm.types[ld32(a+wrType)] != elem {
		return 0, vm.nilTrap()
	}
	p := place{mode: ld64(a+wrMode) & 0xff, addr: ldAddr(a + wrValue)}
	if p.mode == waitSendSlot {
		if !vm.waiterFrame(GID(ld64(a+wrG)), uint64(p.addr), elem.Slots) {
			return 0, vm.throw("waiting goroutine damaged")
		}
		return vm.slotAddrOf(GID(ld64(a+wrG)), int(p.addr)), Done
	}
	return vm.placeSource(&p, elem)
}

// sendDone wakes the sender of record n after its value was taken.
func (vm *VM) sendDone(n uint32) {
	a := wrAddr(n)
	vm.wake(GID(ld64(a+wrG)), gwDone, ld64(a+wrMode)>>8)
}

// await parks the running goroutine on a channel.
func (vm *VM) await(v *chanView, p *place, out Outcome) Outcome {
	w := waiter{key: v.obj, mode: p.mode, value: uint64(p.addr), elem: v.elem, ok: p.ok}
	if p.mode == waitSendSlot || p.mode == waitRecvSlot {
		w.value = uint64(p.slot)
	}
	if !vm.addWaiter(vm.cur, &w) {
		return vm.throw("too many waiting goroutines")
	}
	vm.setGWait(vm.cur, gwState, gwWaiting)
	reason := whyChanRecv
	if isSend(p.mode) {
		reason = whyChanSend
	}
	vm.park(reason, uint64(v.obj))
	return out
}

// resumed reports how an operation ended for which the running goroutine was parked, and forgets it.
func (vm *VM) resumed() uint64 {
	s := vm.gWait(vm.cur, gwState)
	if s != gwIdle {
		vm.setGWait(vm.cur, gwState, gwIdle)
	}
	return s
}

// parkForever parks the running goroutine on a nil channel.
func (vm *VM) parkForever(r waitReason) Outcome {
	vm.park(r, 0)
	return Blocked
}

// send executes a send on channel c from place p; nb: without waiting, which sent reports.
func (vm *VM) send(c Addr, elem *TypeInfo, p *place, nb bool) (sent bool, out Outcome) {
	switch vm.resumed() {
	case gwDone:
		return true, Done
	case gwClosed:
		return false, vm.trap(bytecode.TrapSendClosed, 0, 0, 0, 0, 0)
	}
	if c == 0 {
		if nb {
			return false, Done
		}
		return false, vm.parkForever(whyChanSendNil)
	}
	var v chanView
	if !vm.viewChan(c, elem, &v) {
		return false, vm.nilTrap()
	}
	done, out := vm.trySend(&v, p)
	if done || nb {
		return done, out
	}
	return false, vm.await(&v, p, Blocked)
}

// chanClose closes a channel and wakes everybody who waits on it.
func (vm *VM) chanClose(c Addr) Outcome {
	if c == 0 {
		return vm.trap(bytecode.TrapCloseNil, 0, 0, 0, 0, 0)
	}
	if !vm.checkStore(c, chanObjSize) {
		return vm.nilTrap()
	}
	if ld64(c+chanClosed) != 0 {
		return vm.trap(bytecode.TrapCloseClosed, 0, 0, 0, 0, 0)
	}
	st64(c+chanClosed, 1)
	for _, send := range [...]bool{false, true} {
		for n := vm.firstWaiter(c, send); n != 0; n = vm.firstWaiter(c, send) {
			a := wrAddr(n)
			mode := ld64(a + wrMode)
			state := uint64(gwClosed)
			if mode&0xff == waitRecvSlot { // its slots hold the zero value already
				state = gwIdle
			}
			vm.wake(GID(ld64(a+wrG)), state, mode>>8)
			if vm.firstWaiter(c, send) == n {
				return vm.throw("waiting goroutine damaged")
			}
		}
	}
	return Done
}
