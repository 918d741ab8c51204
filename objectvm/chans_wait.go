package objectvm

import (
	"fmt"

	"phantomvm/bytecode"
)

// Waiters. A goroutine that waits on a channel or a semaphore has one record per
// channel it waits on (several in a select) in META, where programs can't reach
// them. Records with the same key are a doubly linked queue in order of arrival;
// the heads of the queues are a cache that attachWaits rebuilds from the links.
//
// Record, 64 bytes, number n at rtWaits + 64n (number 0 is unused):
//
//	0   goroutine, 0 for a free record (then word 8 is the next free one)
//	8   key: address of the channel object or the semaphore
//	16  mode, see below; case number << 8
//	24  previous record of the queue | next << 32
//	32  slot number or address of the value
//	40  TypeID of the element (number of the VM's table), ok slot + 1 << 32 (RECV with ok)
//	48  next record of the same goroutine
//
// What the goroutine itself must know when it goes on lies in its record's words (gw*).

const (
	wrG = 8 * iota
	wrKey
	wrMode
	wrLinks
	wrValue
	wrType
	wrNextOfG
	wrSize = 64
)

// Modes of a waiter: what it waits for and where its value is.
const (
	waitSendSlot = 1 + iota // sends the value in its frame slots
	waitSendMem             // sends the value in memory
	waitRecvSlot            // RECV: the instruction is over, the value goes to the slots after it
	waitRecvCase            // select: the value goes to slots, the instruction will be executed again
	waitRecvMem             // the value goes to memory
	waitSema                // semaphore
)

// Words of the goroutine's record that belong to waiting.
const (
	gwWaits    = gUser + iota // first waiter record
	gwState                   // see below
	gwCase                    // number of the case that was chosen
	gwPendSlot                // slots that hold a value handed over to a select that has not gone on yet:
	gwPendLen                 // the stack map does not name them yet
	gwPendPrev
	gwPendNext
	gwTimer // wake-up timer's number
)

// Values of gwState.
const (
	gwIdle    = iota
	gwWaiting // parked
	gwDone    // the operation was completed by another goroutine
	gwClosed  // the channel was closed meanwhile
)

// waitKey names a queue: dir is 0 for receivers and semaphores, 1 for senders.
type waitKey struct {
	addr Addr
	send bool
}

type waitQueue struct{ first, last uint32 }

func wrAddr(n uint32) Addr { return rtWaits + Addr(n)*wrSize }

func isSend(mode uint64) bool { return mode == waitSendSlot || mode == waitSendMem }

// attachWaits checks the records and rebuilds the queues from their links.
func (vm *VM) attachWaits() error {
	vm.rt.queues = map[waitKey]waitQueue{}
	top := ld64(rtWaitTop)
	if top >= maxWaits {
		return fmt.Errorf("%w: %d waiters", ErrBadRecord, top)
	}
	active, chained := uint64(0), uint64(0)
	for n := uint32(1); uint64(n) <= top; n++ {
		if ld64(wrAddr(n)+wrG) == 0 {
			continue
		}
		if err := vm.attachWait(n, uint32(top)); err != nil {
			return err
		}
		active++
		if g := GID(ld64(wrAddr(n) + wrG)); uint64(n) == vm.gWait(g, gwWaits) { // the first of its goroutine's records
			for m := uint64(n); m != 0; m = ld64(wrAddr(uint32(m)) + wrNextOfG) {
				if chained++; m > top || chained > top || ld64(wrAddr(uint32(m))+wrG) != uint64(g) {
					return fmt.Errorf("%w: waiters of goroutine record %d", ErrBadRecord, g)
				}
			}
		}
	}
	if active != chained { // one that its goroutine does not know would never be removed
		return fmt.Errorf("%w: %d waiters, %d of goroutines", ErrBadRecord, active, chained)
	}
	free := uint64(0)
	for n := ld64(rtWaitFree); n != 0; n = ld64(wrAddr(uint32(n)) + 8) {
		if free++; n > top || free > top || ld64(wrAddr(uint32(n))+wrG) != 0 {
			return fmt.Errorf("%w: free waiter %d", ErrBadRecord, n)
		}
	}
	return vm.checkPending()
}

func (vm *VM) attachWait(n, top uint32) error {
	a := wrAddr(n)
	g, mode := ld64(a+wrG), ld64(a+wrMode)&0xff
	prev, next, ofG := ld32(a+wrLinks), ld32(a+wrLinks+4), ld64(a+wrNextOfG)
	bad := g > hget(hdrGHigh) || mode == 0 || mode > waitSema || prev > top || next > top || ofG > uint64(top)
	bad = bad || uint64(ld32(a+wrType)) >= uint64(len(vm.types)) || mode != waitSema && ld32(a+wrType) == 0
	bad = bad || prev != 0 && ld32(wrAddr(prev)+wrLinks+4) != n || next != 0 && ld32(wrAddr(next)+wrLinks) != n
	if bad {
		return fmt.Errorf("%w: waiter %d", ErrBadRecord, n)
	}
	k := waitKey{ldAddr(a + wrKey), isSend(mode)}
	q := vm.rt.queues[k]
	if prev == 0 {
		q.first = n
	}
	if next == 0 {
		q.last = n
	}
	if prev == 0 || next == 0 {
		vm.rt.queues[k] = q
	}
	return nil
}

// checkPending checks the list of goroutines with a value handed over: whoever has one is in it, once, with the right neighbours.
func (vm *VM) checkPending() error {
	seen, prev := uint64(0), uint64(0)
	for g := ld64(rtPending); g != 0; g = vm.gWait(GID(g), gwPendNext) {
		if seen++; g > hget(hdrGHigh) || seen > hget(hdrGHigh) || vm.gWait(GID(g), gwPendPrev) != prev || vm.gWait(GID(g), gwPendLen) == 0 {
			return fmt.Errorf("%w: pending select of goroutine record %d", ErrBadRecord, g)
		}
		prev = g
	}
	for g := GID(1); uint64(g) <= hget(hdrGHigh); g++ {
		if vm.gWait(g, gwPendLen) != 0 {
			seen--
		}
	}
	if seen != 0 {
		return fmt.Errorf("%w: list of pending selects", ErrBadRecord)
	}
	return nil
}

// waiterFrame checks, before a value is stored into or taken from a parked goroutine's frame, that the goroutine is
// sound and that n slots from slot on lie in the frame.
func (vm *VM) waiterFrame(g GID, slot uint64, n int) bool {
	if vm.checkG(g) != nil {
		return false
	}
	f := vm.code.find(Addr(gGet(g, gPC)))
	return n == 0 || slot >= bytecode.FrameArgs && slot+uint64(n) <= uint64(vm.mod.Funcs[f].Frame)
}

// slotAddrOf is the address of a slot of a parked goroutine's frame.
func (vm *VM) slotAddrOf(g GID, i int) Addr { return Addr(gGet(g, gFP)) + Addr(i)*8 }

// frameSlots is the number of slots of the running goroutine's frame.
func (vm *VM) frameSlots() int { return int(vm.mod.Funcs[vm.code.find(hot().pc)].Frame) }

// gWait and setGWait reach a word of a goroutine's record.
func (vm *VM) gWait(g GID, w int) uint64 { return ld64(vm.gWord(g, w)) }

func (vm *VM) setGWait(g GID, w int, v uint64) {
	vm.set(vm.gWord(g, w), v)
}

// waiter describes a record to be made.
type waiter struct {
	key   Addr
	mode  uint64
	index int    // of the case
	value uint64 // slot or address
	elem  *TypeInfo
	ok    int  // slot + 1 of RECV's ok, 0 none
	front bool // goes to the front of the queue
}

// addWaiter makes a waiter record for goroutine g. False: too many waiters.
func (vm *VM) addWaiter(g GID, w *waiter) bool {
	n := uint32(ld64(rtWaitFree))
	vm.touch(rtWaitFree, 16)
	if n == 0 {
		top := ld64(rtWaitTop)
		if top+1 >= maxWaits {
			return false
		}
		n = uint32(top + 1)
		st64(rtWaitTop, top+1)
	} else {
		st64(rtWaitFree, ld64(wrAddr(n)+8))
	}
	a := wrAddr(n)
	vm.touch(a, wrSize)
	st64(a+wrG, uint64(g))
	stAddr(a+wrKey, w.key)
	st64(a+wrMode, w.mode|uint64(w.index)<<8)
	st64(a+wrValue, w.value)
	id := bytecode.TypeID(0)
	if w.elem != nil {
		id = w.elem.ID
	}
	st64(a+wrType, uint64(id)|uint64(w.ok)<<32)
	st64(a+wrNextOfG, vm.gWait(g, gwWaits))
	vm.setGWait(g, gwWaits, uint64(n))
	vm.link(n, waitKey{w.key, isSend(w.mode)}, w.front)
	return true
}

func (vm *VM) link(n uint32, k waitKey, front bool) {
	a := wrAddr(n)
	q, ok := vm.rt.queues[k]
	switch {
	case !ok:
		q = waitQueue{n, n}
		st64(a+wrLinks, 0)
	case front:
		st64(a+wrLinks, uint64(q.first)<<32)
		setLink(vm, q.first, n, false)
		q.first = n
	default:
		st64(a+wrLinks, uint64(q.last))
		setLink(vm, q.last, n, true)
		q.last = n
	}
	vm.rt.queues[k] = q
}

// setLink stores a neighbour in record n's links.
func setLink(vm *VM, n, to uint32, next bool) {
	a := wrAddr(n) + wrLinks
	if next {
		a += 4
	}
	vm.touch(a, 4)
	st32(a, to)
}

// unlinkAll removes all records of goroutine g from their queues and frees them.
func (vm *VM) unlinkAll(g GID) {
	n := uint32(vm.gWait(g, gwWaits))
	for n != 0 && uint64(n) <= ld64(rtWaitTop) && ld64(wrAddr(n)+wrG) == uint64(g) {
		a := wrAddr(n)
		next := uint32(ld64(a + wrNextOfG))
		vm.unlink(n)
		vm.touch(a, wrSize)
		vm.touch(rtWaitFree, 8)
		st64(a+wrG, 0)
		st64(a+8, ld64(rtWaitFree))
		st64(rtWaitFree, uint64(n))
		n = next
	}
	vm.setGWait(g, gwWaits, 0)
}

func (vm *VM) unlink(n uint32) {
	a := wrAddr(n)
	k := waitKey{ldAddr(a + wrKey), isSend(ld64(a+wrMode) & 0xff)}
	prev, next := ld32(a+wrLinks), ld32(a+wrLinks+4)
	q := vm.rt.queues[k]
	if prev != 0 {
		setLink(vm, prev, next, true)
	} else {
		q.first = next
	}
	if next != 0 {
		setLink(vm, next, prev, false)
	} else {
		q.last = prev
	}
	if q.first == 0 {
		delete(vm.rt.queues, k)
	} else {
		vm.rt.queues[k] = q
	}
}

// firstWaiter is the number of the first record in a queue, 0 if it is empty.
func (vm *VM) firstWaiter(key Addr, send bool) uint32 {
	if len(vm.rt.queues) == 0 {
		return 0
	}
	return vm.rt.queues[waitKey{key, send}].first
}

// wake ends the waiting of goroutine g with the given state and case.
func (vm *VM) wake(g GID, state uint64, index uint64) {
	vm.unlinkAll(g)
	vm.setGWait(g, gwState, state)
	vm.setGWait(g, gwCase, index)
	vm.ready(g)
}

// pend records that slots of a select's goroutine hold a value that no stack map names yet.
func (vm *VM) pend(g GID, slot, n int) {
	vm.unpend(g) // a select that did not go on as it should have: forged
	if n == 0 {
		return
	}
	head := GID(ld64(rtPending))
	vm.setGWait(g, gwPendSlot, uint64(slot))
	vm.setGWait(g, gwPendLen, uint64(n))
	vm.setGWait(g, gwPendPrev, 0)
	vm.setGWait(g, gwPendNext, uint64(head))
	if head != 0 {
		vm.setGWait(head, gwPendPrev, uint64(g))
	}
	vm.touch(rtPending, 8)
	st64(rtPending, uint64(g))
}

// unpend undoes pend once the select has gone on.
func (vm *VM) unpend(g GID) {
	if vm.gWait(g, gwPendLen) == 0 {
		return
	}
	prev, next := GID(vm.gWait(g, gwPendPrev)), GID(vm.gWait(g, gwPendNext))
	if prev != 0 {
		vm.setGWait(prev, gwPendNext, uint64(next))
	} else {
		vm.touch(rtPending, 8)
		st64(rtPending, uint64(next))
	}
	if next != 0 {
		vm.setGWait(next, gwPendPrev, uint64(prev))
	}
	vm.setGWait(g, gwPendLen, 0)
}

// markPending reports the pointers in slots that no stack map names yet.
func (vm *VM) markPending(mark func(Addr)) {
	for g := GID(ld64(rtPending)); g != 0; g = GID(vm.gWait(g, gwPendNext)) {
		slot, n := int(vm.gWait(g, gwPendSlot)), int(vm.gWait(g, gwPendLen))
		if !vm.waiterFrame(g, uint64(slot), n) {
			continue
		}
		for i := range n {
			mark(ldAddr(vm.slotAddrOf(g, slot+i)))
		}
	}
}
