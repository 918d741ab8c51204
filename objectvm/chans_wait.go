package objectvm

import (
	"fmt"

	"phantomvm/bytecode"
)

// Waiters. A goroutine that waits on a channel or a semaphore has one record per
// channel it waits on (several in a select) in META, where programs can't reach
// them. Records with the same key are a doubly linked queue in order of arrival; a table (lists.go) finds
// the first record of the queue by its key.
//
// Record, 64 bytes, number n at rtWaits + 64n (number 0 is unused):
//
//	0   goroutine, 0 for a free record (then word 8 is the next free one)
//	8   key: 2 * address of the channel object or the semaphore, + 1 for senders
//	16  mode, see below; case number << 8
//	24  previous record of the queue | next << 32
//	32  slot number or address of the value
//	40  TypeID of the element (number of the VM's table), ok slot + 1 << 32 (RECV with ok)
//	48  next record of the same goroutine
//	56  first record of a queue: next queue in the table's chain | last record of this queue << 32
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
	wrChain
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
	gwTimer                   // wake-up timer's number
)

// Values of gwState.
const (
	gwIdle    = iota
	gwWaiting // parked
	gwDone    // the operation was completed by another goroutine
	gwClosed  // the channel was closed meanwhile
)

// waitKey names a queue: dir is 0 for receivers and semaphores, 1 for senders.
func waitKey(key Addr, send bool) uint64 { return uint64(key)<<1 | b2w(send) }

func wrAddr(n uint32) Addr { return rtWaits + Addr(n)*wrSize }

func isSend(mode uint64) bool { return mode == waitSendSlot || mode == waitSendMem }

// waitTable finds queues by their keys.
var waitTable = &chainTable{
	head: rtWaitTable, buckets: rtWaitBuckets, base: rtWaits, size: wrSize, link: wrChain, high: rtWaitTop,
	hash: func(n uint32) uint64 { return hashKey(ld64(wrAddr(n) + wrKey)) },
}

func hashKey(key uint64) uint64 { return mix(ld64(rtHashSeed), key) }

// attachWaits checks what is not checked when a record is used.
func (vm *VM) attachWaits() error {
	if top := ld64(rtWaitTop); top >= maxWaits || ld64(rtWaitFree) > top || waitTable.damaged(maxWaits) {
		return fmt.Errorf("%w: %d waiters", ErrBadRecord, top)
	}
	return nil
}

// soundWaiter says whether record n, which a link named, is one that waits.
func (vm *VM) soundWaiter(n uint32) bool {
	a := wrAddr(n)
	g, mode, typ := ld64(a+wrG), ld64(a+wrMode)&0xff, ld32(a+wrType)
	bad := uint64(n) > ld64(rtWaitTop) || g == 0 || g > hget(hdrGHigh) || mode == 0 || mode > waitSema ||
		uint64(typ) >= uint64(len(vm.types)) || mode != waitSema && typ == 0 || isSend(mode) != (ld64(a+wrKey)&1 == 1)
	if bad {
		vm.damaged("waiter %d", n)
	}
	return !bad
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
	if n != 0 && (uint64(n) > ld64(rtWaitTop) || ld64(wrAddr(n)+wrG) != 0) {
		vm.damaged("free waiter %d", n)
		return false
	}
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
	st64(a+wrKey, waitKey(w.key, isSend(w.mode)))
	st64(a+wrMode, w.mode|uint64(w.index)<<8)
	st64(a+wrValue, w.value)
	id := bytecode.TypeID(0)
	if w.elem != nil {
		id = w.elem.ID
	}
	st64(a+wrType, uint64(id)|uint64(w.ok)<<32)
	st64(a+wrNextOfG, vm.gWait(g, gwWaits))
	vm.setGWait(g, gwWaits, uint64(n))
	vm.link(n, w.front)
	return true
}

// link puts a record into its key's queue.
func (vm *VM) link(n uint32, front bool) {
	a := wrAddr(n)
	st64(a+wrLinks, 0)
	st64(a+wrChain, 0)
	f := vm.queueOf(ld64(a + wrKey))
	switch {
	case f == 0:
		st32(a+wrChain+4, n)
		vm.chain(waitTable, n)
	case front:
		st64(a+wrLinks, uint64(f)<<32)
		st32(a+wrChain+4, ld32(wrAddr(f)+wrChain+4))
		setLink(vm, f, n, false)
		vm.unchain(waitTable, f, n)
	default:
		last := ld32(wrAddr(f) + wrChain + 4)
		if uint64(last) > ld64(rtWaitTop) || ld32(wrAddr(last)+wrLinks+4) != 0 {
			vm.damaged("queue of waiter %d", f)
			return
		}
		st64(a+wrLinks, uint64(last))
		setLink(vm, last, n, true)
		vm.set32(wrAddr(f)+wrChain+4, n)
	}
}

// queueOf is the first record of the queue with the key, 0 if there is none.
func (vm *VM) queueOf(key uint64) uint32 {
	if ld64(rtWaitTable) == 0 {
		return 0
	}
	n := vm.lookup(waitTable, hashKey(key), func(n uint32) bool { return ld64(wrAddr(n)+wrKey) == key })
	if n == 0 || !vm.soundWaiter(n) {
		return 0
	}
	return n
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
	a, top := wrAddr(n), ld64(rtWaitTop)
	prev, next := ld32(a+wrLinks), ld32(a+wrLinks+4)
	if uint64(prev) > top || uint64(next) > top || prev != 0 && ld32(wrAddr(prev)+wrLinks+4) != n || next != 0 && ld32(wrAddr(next)+wrLinks) != n {
		vm.damaged("links of waiter %d", n)
		return
	}
	if next != 0 {
		setLink(vm, next, prev, false)
	}
	switch {
	case prev == 0 && next == 0:
		vm.unchain(waitTable, n, 0)
	case prev == 0:
		vm.set32(wrAddr(next)+wrChain+4, ld32(a+wrChain+4))
		vm.unchain(waitTable, n, next)
	default:
		setLink(vm, prev, next, true)
		if f := vm.queueOf(ld64(a + wrKey)); next == 0 && f != 0 {
			vm.set32(wrAddr(f)+wrChain+4, prev)
		}
	}
}

// firstWaiter is the number of the first record in a queue, 0 if it is empty.
func (vm *VM) firstWaiter(key Addr, send bool) uint32 { return vm.queueOf(waitKey(key, send)) }

// wake ends the waiting of goroutine g with the given state and case.
func (vm *VM) wake(g GID, state uint64, index uint64) {
	vm.unlinkAll(g)
	vm.setGWait(g, gwState, state)
	vm.setGWait(g, gwCase, index)
	vm.ready(g)
}

// pend records that slots of a select's goroutine hold a value that no stack map names yet.
func (vm *VM) pend(g GID, slot, n int) {
	vm.setGWait(g, gwPendSlot, uint64(slot))
	vm.setGWait(g, gwPendLen, uint64(n))
}

// unpend undoes pend once the select has gone on.
func (vm *VM) unpend(g GID) { vm.setGWait(g, gwPendLen, 0) }
