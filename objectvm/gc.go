package objectvm

import (
	"math/bits"
	"slices"
	"time"

	"phantomvm/bytecode"
)

// The collector: precise, not moving, all at once, between instructions.
//
//  1. Every goroutine stands at a safepoint; the running one's registers are in its record.
//  2. Roots: globals by their types, frames by their stack maps, records of goroutines, deferred calls and panics,
//     and what the natives name.
//  3. Marking follows pointers, interior ones too, through the spans' patterns. A word that is no pointer to an
//     allocated object is ignored, whatever it is.
//  4. Natives sweep what hangs on dead objects.
//  5. Sweeping: allocation bits of unmarked objects are cleared, empty spans are freed.
//
// Mark bits are volatile; allocation bitmaps and span records pass the write barrier only if they change.

const (
	minGoal = 4 << 20
	poison  = 0xdb
)

// collect runs a whole collection. Precondition: no goroutine's registers are outside its record.
func (vm *VM) collect() {
	defer vm.countGC(time.Now())
	vm.gcWanted = false
	vm.hset(hdrGCCount, hget(hdrGCCount)+1)
	h := &vm.heap
	for p := uint64(0); p < hget(hdrHeapPages); {
		s := ld32(h.pageEntry(p))
		if s == 0 {
			p++
			continue
		}
		r := spanAddr(s)
		clear(bytesAt(h.marks(ldAddr(r+spanBase)), (ld64(r+spanCount)+63)/64*8))
		p += ld64(r + spanPages)
	}
	vm.markRoots()
	vm.drain()
	vm.sweepRuntime()
	vm.drain()
	vm.dropBatches()
	vm.sweep()
	if vm.stop.err == nil && vm.cur != 0 {
		vm.openFrame()
	}
}

// countGC counts a collection that began then.
func (vm *VM) countGC(began time.Time) {
	vm.gcCycles++
	vm.gcNanos += uint64(time.Since(began))
}

// find resolves an address to span record, object number and object; ok is false for anything but an allocated object.
func (vm *VM) find(a Addr) (r Addr, i uint64, ok bool) {
	h := &vm.heap
	off := uint64(a - h.base)
	p := off >> heapShift
	if a < h.base || p >= hget(hdrHeapPages) {
		return 0, 0, false
	}
	s := ld32(h.pageEntry(p))
	if s == 0 {
		return 0, 0, false
	}
	r = spanAddr(s)
	base := ldAddr(r + spanBase)
	i = uint64(a-base) / ld64(r+spanElem)
	if i >= ld64(r+spanCount) {
		return 0, 0, false
	}
	return r, i, ld64(h.bitmap(base)+Addr(i/64)*8)>>(i%64)&1 == 1
}

// mark marks the object that a points into.
func (vm *VM) mark(a Addr) {
	r, i, ok := vm.find(a)
	if !ok {
		return
	}
	w := vm.heap.marks(ldAddr(r+spanBase)) + Addr(i/64)*8
	if v := ld64(w); v>>(i%64)&1 == 0 {
		st64(w, v|1<<(i%64))
		if ld64(r+spanMask) != 0 || ld64(r+spanType) != 0 {
			vm.markStack = append(vm.markStack, markItem{r, ldAddr(r+spanBase) + Addr(i*ld64(r+spanElem))})
		}
	}
}

type markItem struct{ span, obj Addr }

// isMarked says whether the object that a points into survives; true for addresses outside the heap.
func (vm *VM) isMarked(a Addr) bool {
	r, i, ok := vm.find(a)
	if !ok {
		return a < vm.heap.base
	}
	return ld64(vm.heap.marks(ldAddr(r+spanBase))+Addr(i/64)*8)>>(i%64)&1 == 1
}

func (vm *VM) drain() {
	for n := len(vm.markStack); n > 0; n = len(vm.markStack) {
		it := vm.markStack[n-1]
		vm.markStack = vm.markStack[:n-1]
		vm.scan(it)
	}
}

// scan marks what an object points to.
func (vm *VM) scan(it markItem) {
	size, unit := ld64(it.span+spanElem), ld64(it.span+spanUnit)
	mask := []uint64{ld64(it.span + spanMask)}
	if ta := ld64(it.span + spanType); ta != 0 {
		t := vm.placedType(ta)
		if t == nil || len(t.Mask) == 0 { // a damaged record: every word may be a pointer
			vm.scanWords(it.obj, size)
			return
		}
		mask = t.Mask
	}
	if unit == 0 {
		unit = size
	}
	for o := uint64(0); o+8 <= size; o += unit {
		for w, m := range mask {
			for ; m != 0; m &= m - 1 {
				at := o + (uint64(w)*64+uint64(bits.TrailingZeros64(m)))*8
				if at+8 > size {
					break
				}
				vm.mark(ldAddr(it.obj + Addr(at)))
			}
		}
	}
}

// scanWords takes every word of [a, a+n) for a possible pointer.
func (vm *VM) scanWords(a Addr, n uint64) {
	for o := uint64(0); o+8 <= n; o += 8 {
		vm.mark(ldAddr(a + Addr(o)))
	}
}

func (vm *VM) markRoots() {
	for i := range vm.mod.Globals {
		g := &vm.mod.Globals[i]
		vm.types[g.Type].eachPtr(uint64(DataBase)+g.Offset, func(at uint64) { vm.mark(ldAddr(Addr(at))) })
	}
	for g := GID(1); uint64(g) <= hget(hdrGHigh); g++ {
		if gGet(g, gStatus) == gFree {
			continue
		}
		if err := vm.checkG(g); err != nil {
			vm.stop.err = err // nothing is swept of a heap whose roots are not known
			return
		}
		vm.markG(g)
		vm.drain()
	}
	vm.markRuntime(vm.mark)
}

// markG marks what a goroutine holds.
func (vm *VM) markG(g GID) {
	vm.mark(Addr(gGet(g, gFn)))
	for d := gGet(g, gDefer); d != 0; d = poolGet(d, poolNext) {
		vm.mark(Addr(poolGet(d, deferFn)))
	}
	for p := gGet(g, gPanic); p != 0; p = poolGet(p, poolNext) {
		vm.mark(Addr(poolGet(p, panicValue)))
		vm.mark(Addr(poolGet(p, panicValue+1)))
	}
	it := vm.frameIter(g)
	for it.next() {
		if it.fn == 0 {
			continue
		}
		f := &vm.mod.Funcs[it.fn]
		if f.Flags&bytecode.FuncClosure != 0 {
			vm.mark(ldAddr(it.fp + bytecode.FrameCtx*8))
		}
		vm.markSlots(it.fp, f.Always, int(f.Frame))
		if m, ok := it.stackMap(); ok {
			vm.markSlots(it.fp, m, int(f.Frame))
		}
	}
}

func (vm *VM) markSlots(fp Addr, bitmap []uint64, slots int) {
	for w, m := range bitmap {
		for ; m != 0; m &= m - 1 {
			if s := w*64 + bits.TrailingZeros64(m); s < slots {
				vm.mark(ldAddr(fp + Addr(s)*8))
			}
		}
	}
}

// sweep frees what is not marked and rebuilds the lists of spans with room.
func (vm *VM) sweep() {
	vm.markStack = vm.markStack[:0]
	if vm.stop.err != nil {
		return
	}
	h := &vm.heap
	for _, l := range h.lists {
		l.cur, l.room = 0, l.room[:0]
	}
	h.free, h.live, h.bytes = h.free[:0], 0, 0
	pages := hget(hdrHeapPages)
	for p := uint64(0); p < pages; {
		s := ld32(h.pageEntry(p))
		if s == 0 {
			h.addFree(p, 1)
			p++
			continue
		}
		n := ld64(spanAddr(s) + spanPages)
		if !vm.sweepSpan(s) {
			h.addFree(p, n)
		}
		p += n
	}
	slices.Reverse(h.free) // takePages looks from the end: low addresses first
	for l := range h.lists {
		slices.Reverse(h.lists[l].room)
	}
	h.goal = max(minGoal, h.live)
}

func (h *heap) addFree(first, n uint64) {
	if k := len(h.free); k > 0 && h.free[k-1].first+h.free[k-1].n == first {
		h.free[k-1].n += n
		return
	}
	h.free = append(h.free, pageRun{first, n})
}

// sweepSpan clears the allocation bits of dead objects; it frees the span and returns false if none is left.
func (vm *VM) sweepSpan(s uint32) bool {
	h := &vm.heap
	r := spanAddr(s)
	base, n, size, count := ldAddr(r+spanBase), ld64(r+spanPages), ld64(r+spanElem), ld64(r+spanCount)
	bm, mk := h.bitmap(base), h.marks(base)
	used := uint64(0)
	for i := uint64(0); i < count; i += 64 {
		at := Addr(i / 8)
		old := ld64(bm + at)
		if count-i < 64 {
			old &= 1<<(count-i) - 1
		}
		live := old & ld64(mk+at)
		used += uint64(bits.OnesCount64(live))
		if vm.cfg.GCStress {
			vm.poisonDead(base, size, i, old&^live)
		}
		vm.set(bm+at, live)
	}
	vm.set(r+spanUsed, used)
	if used == 0 {
		vm.set(r+spanPages, 0)
		h.spares = append(h.spares, s)
		first := uint64(base-h.base) >> heapShift
		vm.touch(h.pageEntry(first), n*4)
		clear(bytesAt(h.pageEntry(first), n*4))
		return false
	}
	h.live += used * size
	vm.listSpan(s)
	return true
}

func (vm *VM) poisonDead(base Addr, size, first, dead uint64) {
	for ; dead != 0; dead &= dead - 1 {
		a := base + Addr((first+uint64(bits.TrailingZeros64(dead)))*size)
		vm.touch(a, size)
		for o := range size {
			st8(a+Addr(o), poison)
		}
	}
}
