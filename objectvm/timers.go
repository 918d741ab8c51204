package objectvm

import (
	"fmt"

	"phantomvm/bytecode"
)

// Timers. Pending timers and sleeping goroutines are records in META, ordered by
// a binary heap of record numbers, in META as well; programs reach neither. A
// program names a timer by the address of its own object, which a table (lists.go) maps to the record.
//
// Record, 96 bytes, number n at rtTimers + 96n (number 0 is unused). Timers that
// are due at the same time fire in the order in which they were started.

const (
	tmKind  = 8 * iota // 0 free (then tmWhen is the next free one)
	tmWhen             // monotonic time
	tmKey              // address of the program's object, or the goroutine that sleeps
	tmF                // what Module.TimerFire gets: the function,
	tmArgT             // an interface value,
	tmArgD             //
	tmSeq              // and a number
	tmOrder            // order of starting
	tmPos              // place in the heap
	tmChain            // link of the table
	tmSize  = 96
)

// Kinds of records.
const (
	tmFree = iota
	tmCall
	tmSleep
)

func tmAddr(n uint32) Addr   { return rtTimers + Addr(n)*tmSize }
func heapAddr(i uint64) Addr { return rtHeap + Addr(i)*4 }

// timerKeys finds pending timers by their keys.
var timerKeys = &chainTable{
	head: rtTimerKeys, buckets: rtTimerBuckets, base: rtTimers, size: tmSize, link: tmChain, high: rtTimerTop,
	hash: func(n uint32) uint64 { return hashKey(ld64(tmAddr(n) + tmKey)) },
}

// timerOf is the pending timer with the key, 0 if there is none.
func (vm *VM) timerOf(key Addr) uint32 {
	return vm.lookup(timerKeys, hashKey(uint64(key)), func(n uint32) bool { return ldAddr(tmAddr(n)+tmKey) == key })
}

// attachTimers checks what is not checked when a record is used.
func (vm *VM) attachTimers() error {
	n, top := ld64(rtHeapLen), ld64(rtTimerTop)
	if top > maxTimer || n > top || ld64(rtTimerFree) > top || timerKeys.damaged(maxTimer) {
		return fmt.Errorf("%w: %d of %d timers", ErrBadRecord, n, top)
	}
	return nil
}

// timerAt is the record at place i of the heap. 0 after damage, whose record nobody uses.
func (vm *VM) timerAt(i uint64) uint32 {
	n := ld32(heapAddr(i))
	if n == 0 || uint64(n) > ld64(rtTimerTop) || ld64(tmAddr(n)+tmPos) != i || ld64(tmAddr(n)+tmKind) == tmFree {
		vm.damaged("timer heap at %d", i)
		return 0
	}
	return n
}

// newTimer takes a free record. 0: too many timers.
func (vm *VM) newTimer(kind uint64, when int64, key uint64) uint32 {
	n := uint32(ld64(rtTimerFree))
	vm.touch(rtTimerFree, 24)
	if n != 0 {
		if uint64(n) > ld64(rtTimerTop) || ld64(tmAddr(n)+tmKind) != tmFree {
			vm.damaged("free timer %d", n)
			return 0
		}
		st64(rtTimerFree, ld64(tmAddr(n)+tmWhen))
	} else {
		top := ld64(rtTimerTop) + 1
		if top >= maxTimer {
			return 0
		}
		n = uint32(top)
		st64(rtTimerTop, top)
	}
	a := tmAddr(n)
	vm.touch(a, tmSize)
	clear(bytesAt(a, tmSize))
	st64(a+tmKind, kind)
	st64(a+tmWhen, uint64(max(when, 0)))
	st64(a+tmKey, key)
	st64(a+tmOrder, vm.nextSeq())
	return n
}

// schedule puts a record into the heap.
func (vm *VM) schedule(n uint32) {
	i := ld64(rtHeapLen)
	vm.touch(rtHeapLen, 8)
	st64(rtHeapLen, i+1)
	vm.place(i, n)
	vm.siftUp(i)
}

// place stores a record at a place of the heap.
func (vm *VM) place(i uint64, n uint32) {
	vm.touch(heapAddr(i), 4)
	st32(heapAddr(i), n)
	vm.touch(tmAddr(n)+tmPos, 8)
	st64(tmAddr(n)+tmPos, i)
}

// before says whether the record at place i is due before the one at place j.
func (vm *VM) before(i, j uint64) bool {
	a, b := tmAddr(vm.timerAt(i)), tmAddr(vm.timerAt(j))
	if wa, wb := ld64(a+tmWhen), ld64(b+tmWhen); wa != wb {
		return wa < wb
	}
	return ld64(a+tmOrder) < ld64(b+tmOrder)
}

func (vm *VM) swapTimers(i, j uint64) {
	a, b := vm.timerAt(i), vm.timerAt(j)
	vm.place(i, b)
	vm.place(j, a)
}

func (vm *VM) siftUp(i uint64) {
	for i > 0 && vm.before(i, (i-1)/2) {
		vm.swapTimers(i, (i-1)/2)
		i = (i - 1) / 2
	}
}

func (vm *VM) siftDown(i uint64) {
	n := ld64(rtHeapLen)
	for {
		c := 2*i + 1
		if c >= n {
			return
		}
		if c+1 < n && vm.before(c+1, c) {
			c++
		}
		if !vm.before(c, i) {
			return
		}
		vm.swapTimers(i, c)
		i = c
	}
}

// cancel removes a record from the heap and frees it.
func (vm *VM) cancel(n uint32) {
	a := tmAddr(n)
	i, last := ld64(a+tmPos), ld64(rtHeapLen)-1
	if i > last || last >= maxTimer || ld32(heapAddr(i)) != n {
		vm.damaged("timer %d", n)
		return
	}
	if i != last {
		vm.swapTimers(i, last)
	}
	vm.touch(rtHeapLen, 8)
	st64(rtHeapLen, last)
	if i != last {
		vm.siftUp(i)
		vm.siftDown(i)
	}
	if ld64(a+tmKind) == tmCall {
		vm.unchain(timerKeys, n, 0)
	}
	vm.touch(a, tmSize)
	vm.touch(rtTimerFree, 8)
	st64(a+tmKind, tmFree)
	st64(a+tmWhen, ld64(rtTimerFree))
	st64(rtTimerFree, uint64(n))
}

// timersNext is the monotonic time at which the next timer is due.
func (vm *VM) timersNext() (int64, bool) {
	if ld64(rtHeapLen) == 0 {
		return 0, false
	}
	return int64(ld64(tmAddr(vm.timerAt(0)) + tmWhen)), vm.stop.err == nil
}

// timersFire wakes and starts everything that is due.
func (vm *VM) timersFire(now int64) {
	collected := false
	for {
		due, ok := vm.timersNext()
		if !ok || due > now || hot().fuel < 0 { // a million may be due at once
			return
		}
		hot().fuel -= slowFuel
		n := vm.timerAt(0)
		a := tmAddr(n)
		if ld64(a+tmKind) == tmSleep {
			g := GID(ld64(a + tmKey))
			vm.cancel(n)
			vm.ready(g)
			continue
		}
		fire := vm.funcval(vm.mod.TimerFire)
		if _, ok := vm.newG(fire, ld64(a+tmF), ld64(a+tmArgT), ld64(a+tmArgD), ld64(a+tmSeq), uint64(now-due)); !ok {
			if collected || vm.mod.TimerFire == 0 {
				vm.throw("no memory for a timer's goroutine")
				return
			}
			vm.collect()
			collected = true
			continue
		}
		vm.cancel(n)
	}
}

// nativeTimerStart: t, when, f, arg (2), seq.
func nativeTimerStart(vm *VM, args, _ []uint64) Outcome {
	key := Addr(args[0])
	if !vm.checkRange(key, 8) {
		return vm.nilTrap()
	}
	if old := vm.timerOf(key); old != 0 {
		vm.cancel(old)
	}
	n := vm.newTimer(tmCall, int64(args[1]), args[0])
	if n == 0 {
		return vm.throw("too many timers")
	}
	a := tmAddr(n)
	st64(a+tmF, args[2])
	st64(a+tmArgT, args[3])
	st64(a+tmArgD, args[4])
	st64(a+tmSeq, args[5])
	vm.chain(timerKeys, n)
	vm.schedule(n)
	return Done
}

func nativeTimerStop(vm *VM, args, res []uint64) Outcome {
	n := vm.timerOf(Addr(args[0]))
	if n != 0 {
		vm.cancel(n)
	}
	res[0] = b2w(n != 0)
	return Done
}

// nativeSleep parks the goroutine until its time has come.
func nativeSleep(vm *VM, args, _ []uint64) Outcome {
	ns := int64(args[0])
	if ns <= 0 {
		return Yielded
	}
	when := vm.mono() + ns
	if when < 0 {
		when = 1<<63 - 1
	}
	n := vm.newTimer(tmSleep, when, uint64(vm.cur))
	if n == 0 {
		return vm.throw("too many timers")
	}
	vm.schedule(n)
	vm.park(whySleep, 0)
	return Parked
}

// Semaphores. A waiter gets the count handed over, so that it need not look again.

// nativeSemacquire: addr, lifo.
func nativeSemacquire(vm *VM, args, _ []uint64) Outcome {
	a := Addr(args[0])
	if !vm.checkStore(a, 4) {
		return vm.nilTrap()
	}
	if n := ld32(a); n > 0 {
		st32(a, n-1)
		return Done
	}
	if !vm.addWaiter(vm.cur, &waiter{key: a, mode: waitSema, front: args[1] != 0}) {
		return vm.throw("too many waiting goroutines")
	}
	vm.park(whySema, uint64(a))
	return Parked
}

func nativeSemrelease(vm *VM, args, _ []uint64) Outcome {
	a := Addr(args[0])
	if !vm.checkStore(a, 4) {
		return vm.nilTrap()
	}
	if n := vm.firstWaiter(a, false); n != 0 {
		w := wrAddr(n)
		if ld64(w+wrMode)&0xff != waitSema { // a channel's address: forged
			return vm.trap(bytecode.TrapNil, 0, 0, 0, 0, 0)
		}
		vm.wake(GID(ld64(w+wrG)), gwIdle, 0)
		return Done
	}
	st32(a, ld32(a)+1)
	return Done
}
