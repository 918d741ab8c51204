//go:build phantomdebug

package objectvm

import (
	"fmt"
	"math/bits"
)

// check proves between slices what the rest of the package relies on; a broken invariant panics. It reads the whole of
// the VM's records, so it is compiled in with the tag phantomdebug only.
//
//  1. Every goroutine's chunks, frames and records are valid; as many exist as the header says; those in the run queue are runnable.
//  2. A span's count of objects is that of its bitmap; spans and free runs cover the heap's pages.
//  3. A stack block's count of chunks is that of its bitmap, and it is in a list if it has room.
//  4. Waiters and timers are found by their keys.
//  5. The list of goroutines in phantom.Sync is as long as the header says.
func (vm *VM) check() {
	live, runnable := uint64(0), uint64(0)
	for g := GID(1); uint64(g) <= hget(hdrGHigh); g++ {
		s := gGet(g, gStatus)
		if s == gFree {
			continue
		}
		live++
		if s == gRunnable {
			runnable++
		}
		if s == gRunning && hget(hdrState) == stateRunning && vm.stop.err == nil {
			vm.broken("goroutine %d runs between slices", g)
		}
		if hget(hdrState) == stateRunning {
			if err := vm.validateG(g); err != nil {
				vm.broken("goroutine %d: %v", g, err)
			}
		}
	}
	if live != hget(hdrGLive) {
		vm.broken("%d goroutines, the header says %d", live, hget(hdrGLive))
	}
	queued, last := uint64(0), uint64(0)
	for g := hget(hdrRunHead); g != 0 && queued <= runnable; g = gGet(GID(g), gNext) {
		queued, last = queued+1, g
	}
	if last != hget(hdrRunTail) {
		vm.broken("the run queue ends with %d, its tail is %d", last, hget(hdrRunTail))
	}
	if queued != runnable {
		vm.broken("%d runnable goroutines, %d in the queue", runnable, queued)
	}
	syncing := 0
	for g := hget(hdrSyncHead); g != 0 && syncs(g) && syncing <= vm.Syncing(); g = gGet(GID(g), gNext) {
		syncing++
	}
	if syncing != vm.Syncing() || uint64(syncing) != hget(hdrSyncLen) {
		vm.broken("%d goroutines are in phantom.Sync, %d are known, the header says %d", syncing, vm.Syncing(), hget(hdrSyncLen))
	}
	vm.checkHeap()
	vm.checkOld()
	for b := range uint32(hget(hdrBlockHigh)) {
		used := 0
		for w := range Addr(8) {
			used += bits.OnesCount64(ld64(blockAddr(b) + 16 + w*8))
		}
		class := int(ld64(blockAddr(b))) - 1
		if class >= 0 && uint64(used) != ld64(blockAddr(b)+8) || listed(blockLists, b+1) != (class < 0 || used < 1<<(blockShift-minChunk-class)) {
			vm.broken("stack block %d", b)
		}
	}
	vm.checkRecords()
	if vm.stop.err != nil && hget(hdrState) == stateRunning {
		vm.broken("%v", vm.stop.err)
	}
}

// checkRecords looks at the records of waiters and timers.
func (vm *VM) checkRecords() {
	queues, top := uint64(0), ld64(rtWaitTop)
	for n := uint32(1); uint64(n) <= top; n++ {
		a := wrAddr(n)
		if ld64(a+wrG) == 0 {
			continue
		}
		key, first := ld64(a+wrKey), n
		for step := uint64(0); ld32(wrAddr(first)+wrLinks) != 0; step++ {
			if first = ld32(wrAddr(first) + wrLinks); uint64(first) > top || step > top {
				vm.broken("links of waiter %d", n)
			}
		}
		if first == n {
			queues++
		}
		if vm.queueOf(key) != first {
			vm.broken("waiter %d: the table knows %d as the first of the queue, the links %d", n, vm.queueOf(key), first)
		}
		if last := ld32(wrAddr(first) + wrChain + 4); ld32(a+wrLinks+4) == 0 && last != n {
			vm.broken("waiter %d is the last, its queue says %d", n, last)
		}
	}
	if queues != ld64(rtWaitTable) {
		vm.broken("%d queues of waiters, the table says %d", queues, ld64(rtWaitTable))
	}
	timers := uint64(0)
	for n := uint32(1); uint64(n) <= ld64(rtTimerTop); n++ {
		switch a := tmAddr(n); ld64(a + tmKind) {
		case tmCall:
			if vm.timerOf(ldAddr(a+tmKey)) != n {
				vm.broken("timer %d is not found by its key", n)
			}
			fallthrough
		case tmSleep:
			timers++
			if ld32(heapAddr(ld64(a+tmPos))) != n {
				vm.broken("timer %d is not at its place", n)
			}
		}
	}
	if timers != ld64(rtHeapLen) {
		vm.broken("%d timers, %d in the heap", timers, ld64(rtHeapLen))
	}
}

func (vm *VM) checkHeap() {
	h := &vm.heap
	covered, runs := uint64(0), 0
	for s := uint32(1); uint64(s) <= hget(hdrSpanHigh); s++ {
		r := spanAddr(s)
		n := ld64(r + spanPages)
		if n == 0 {
			continue
		}
		v := vm.viewSpan(s)
		if v == nil {
			vm.broken("%v", vm.stop.err)
		}
		r2 := [...]uint64{ld64(r + spanBase), ld64(r + spanElem), ld64(r + spanMask), ld64(r + spanUnit), ld64(r + spanType), n}
		if r2 != [...]uint64{uint64(v.base), v.elem, v.mask, v.unit, uint64(v.typ), uint64(v.pages)} {
			vm.broken("span %d: %+v, its record says %x", s, *v, r2)
		}
		covered += n
		first := uint64(v.base-h.base) >> heapShift
		if v.elem == 0 {
			runs++
			if vm.runAt(first) != s || vm.runAt(first+n-1) != s {
				vm.broken("free run %d", s)
			}
			continue
		}
		for p := first; p < first+n; p++ {
			if vm.spanAt(p) != s {
				vm.broken("page %d of span %d belongs to %d", p, s, vm.spanAt(p))
			}
		}
		used, bm := uint64(0), h.bitmap(v.base)
		for i := uint64(0); i < uint64(v.count); i += 64 {
			used += uint64(bits.OnesCount64(ld64(bm + Addr(i/8))))
		}
		if used != ld64(r+spanUsed) {
			vm.broken("span %d has %d objects, its record says %d", s, used, ld64(r+spanUsed))
		}
	}
	if covered != hget(hdrHeapPages) {
		vm.broken("%d of %d heap pages are accounted for", covered, hget(hdrHeapPages))
	}
	for bin := range freeBins {
		for s := vm.first(spanLists, hdrAddr(hdrFreeRuns+bin)); s != 0; s = vm.next(spanLists, s) {
			runs--
		}
	}
	if runs != 0 {
		vm.broken("%d free runs more than in the lists", runs)
	}
}

func (vm *VM) broken(format string, args ...any) {
	panic("objectvm: invariant: " + fmt.Sprintf(format, args...))
}
