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
//  3. A stack block's count of chunks is that of its bitmap.
//  4. The list of goroutines in phantom.Sync is as long as the VM thinks.
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
	if err := vm.attachQueue(); err != nil {
		vm.broken("%v", err)
	}
	queued := uint64(0)
	for g := hget(hdrRunHead); g != 0; g = gGet(GID(g), gNext) {
		queued++
	}
	if queued != runnable {
		vm.broken("%d runnable goroutines, %d in the queue", runnable, queued)
	}
	if n, err := syncList(); err != nil || n != vm.Syncing() {
		vm.broken("%d goroutines are in phantom.Sync, %d are known: %v", n, vm.Syncing(), err)
	}
	vm.checkHeap()
	for b := range uint32(hget(hdrBlockHigh)) {
		used := 0
		for w := range Addr(8) {
			used += bits.OnesCount64(ld64(blockAddr(b) + 16 + w*8))
		}
		if ld64(blockAddr(b)) != 0 && uint64(used) != ld64(blockAddr(b)+8) {
			vm.broken("stack block %d", b)
		}
	}
}

func (vm *VM) checkHeap() {
	h := &vm.heap
	covered := uint64(0)
	for s := uint32(1); uint64(s) <= hget(hdrSpanHigh); s++ {
		r := spanAddr(s)
		n := ld64(r + spanPages)
		if n == 0 {
			continue
		}
		if err := vm.checkSpan(s, hget(hdrHeapPages)); err != nil {
			vm.broken("%v", err)
		}
		covered += n
		used, bm := 0, h.bitmap(ldAddr(r+spanBase))
		for i := uint64(0); i < ld64(r+spanCount); i += 64 {
			used += bits.OnesCount64(ld64(bm + Addr(i/8)))
		}
		if uint64(used) != ld64(r+spanUsed) {
			vm.broken("span %d has %d objects, its record says %d", s, used, ld64(r+spanUsed))
		}
	}
	for _, run := range h.free {
		covered += run.n
	}
	if covered != hget(hdrHeapPages) {
		vm.broken("%d of %d heap pages are accounted for", covered, hget(hdrHeapPages))
	}
}

func (vm *VM) broken(format string, args ...any) {
	panic("objectvm: invariant: " + fmt.Sprintf(format, args...))
}
