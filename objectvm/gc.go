package objectvm

import (
	"math/bits"
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
	for s := uint32(1); uint64(s) <= hget(hdrSpanHigh); s++ {
		if v := vm.viewSpan(s); v != nil && v.elem != 0 {
			clear(bytesAt(h.marks(v.base), (v.count+63)/64*8))
		}
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

// find resolves an address to a span and the number of an object; v is nil for anything but an allocated object.
func (vm *VM) find(a Addr) (v *view, i uint64) {
	h := &vm.heap
	p := uint64(a-h.base) >> heapShift
	if a < h.base || p >= hget(hdrHeapPages) {
		return nil, 0
	}
	s := vm.spanAt(p)
	if s == 0 {
		return nil, 0
	}
	v = viewOf(s)
	i = v.object(uint64(a - v.base))
	if i >= v.count || ld64(h.bitmap(v.base)+Addr(i/64)*8)>>(i%64)&1 == 0 {
		return nil, 0
	}
	return v, i
}

// mark marks the object that a points into.
func (vm *VM) mark(a Addr) {
	v, i := vm.find(a)
	if v == nil {
		return
	}
	w := vm.heap.marks(v.base) + Addr(i/64)*8
	if m := ld64(w); m>>(i%64)&1 == 0 {
		st64(w, m|1<<(i%64))
		if v.mask != 0 || v.typ != 0 {
			vm.markStack = append(vm.markStack, markItem{v, v.base + Addr(i*v.elem)})
		}
	}
}

type markItem struct {
	span *view
	obj  Addr
}

// isMarked says whether the object that a points into survives; true for addresses outside the heap.
func (vm *VM) isMarked(a Addr) bool {
	v, i := vm.find(a)
	if v == nil {
		return a < vm.heap.base
	}
	return ld64(vm.heap.marks(v.base)+Addr(i/64)*8)>>(i%64)&1 == 1
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
	size, unit := it.span.elem, it.span.unit
	mask := []uint64{it.span.mask}
	if ta := it.span.typ; ta != 0 {
		t := vm.placedType(uint64(ta))
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
	vm.markPending(g, vm.mark)
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
		l.cur = 0
	}
	h.live, h.bytes = 0, 0
	for s := uint32(1); uint64(s) <= hget(hdrSpanHigh); s++ {
		if v := vm.viewSpan(s); v != nil && v.elem != 0 {
			vm.sweepSpan(s, v)
		}
	}
	vm.hset(hdrLive, h.live)
	h.goal = max(minGoal, h.live)
}

// sweepSpan clears the allocation bits of dead objects; it frees the span if none is left.
func (vm *VM) sweepSpan(s uint32, v *view) {
	h, r := &vm.heap, spanAddr(s)
	bm, mk := h.bitmap(v.base), h.marks(v.base)
	used := uint64(0)
	for i := uint64(0); i < v.count; i += 64 {
		at := Addr(i / 8)
		old := ld64(bm + at)
		if v.count-i < 64 {
			old &= 1<<(v.count-i) - 1
		}
		live := old & ld64(mk+at)
		used += uint64(bits.OnesCount64(live))
		if vm.cfg.GCStress {
			vm.poisonDead(v.base, v.elem, i, old&^live)
		}
		vm.set(bm+at, live)
	}
	vm.set(r+spanUsed, used)
	h.live += used * v.elem
	in := listed(spanLists, s)
	switch {
	case used == 0:
		if in {
			vm.remove(spanLists, classAddr(v.class)+classRoom, s)
		}
		vm.freeSpan(s)
	case used < v.count && !in:
		vm.pushFront(spanLists, classAddr(v.class)+classRoom, s)
	}
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
