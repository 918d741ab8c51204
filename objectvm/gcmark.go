package objectvm

import "math/bits"

// Marking. A mark bit says that an object is marked in this cycle, or old. The mark bits of a span lie in volatile memory with the
// geometry of its allocation bitmap; they count only if the span's view says that they belong to the newest major cycle.

const pieceBytes = PageSize // of an object that are scanned at a time

// loadMarks fills the mark bits of a span that this VM looks at for the first time: what exists is old, unless a major cycle
// is deciding that.
func (vm *VM) loadMarks(v *view) {
	g := &vm.gc
	v.epoch = g.epoch
	mk, bm := vm.heap.marks(v.base), vm.heap.bitmap(v.base)
	for o := Addr(0); o < v.bits(); o += 8 {
		if g.phase != gcIdle && g.major {
			st64(mk+o, 0)
		} else {
			st64(mk+o, ld64(bm+o))
		}
	}
}

// marksOf is the address of a span's mark bits. Those of an earlier major cycle are cleared.
func (vm *VM) marksOf(v *view) Addr {
	mk := vm.heap.marks(v.base)
	if v.epoch != vm.gc.epoch {
		v.epoch = vm.gc.epoch
		clear(bytesAt(mk, uint64(v.bits())))
	}
	return mk
}

// blacken marks n objects of a word of a span's bitmap, which are allocated or set aside while a cycle goes on.
func (vm *VM) blacken(v *view, i, n uint64) {
	w := vm.marksOf(v) + Addr(i/64)*8
	st64(w, ld64(w)|(1<<n-1)<<(i%64))
}

// mark marks the object that a points into, if there is one. Minor cycles ignore spans that nobody has looked at: they are old.
func (vm *VM) mark(a Addr) {
	h, g := &vm.heap, &vm.gc
	g.work++
	p := uint64(a-h.base) >> heapShift
	if a < h.base || p >= hget(hdrHeapPages) {
		return
	}
	s := ld32(viewPages + Addr(p)*4)
	if s == 0 && !g.major {
		return
	}
	v := viewOf(s)
	if s == 0 || !vm.has(v, p) {
		if s = vm.spanAt(p); s == 0 {
			return
		}
		v = viewOf(s)
	}
	i := v.object(uint64(a - v.base))
	if i >= uint64(v.count) || ld64(h.bitmap(v.base)+Addr(i/64)*8)>>(i%64)&1 == 0 {
		return
	}
	w := vm.marksOf(v) + Addr(i/64)*8
	m := ld64(w)
	if m>>(i%64)&1 == 1 {
		return
	}
	st64(w, m|1<<(i%64))
	g.stats.Marked++
	if v.mask != 0 || v.typ != 0 {
		g.stack = append(g.stack, markItem{v: v, obj: v.base + Addr(i*v.elem)})
	}
}

// isMarked says, when marking is over, whether the object that a points into survives; true for addresses outside the heap.
func (vm *VM) isMarked(a Addr) bool {
	h := &vm.heap
	p := uint64(a-h.base) >> heapShift
	if a < h.base {
		return true
	}
	if p >= hget(hdrHeapPages) {
		return false
	}
	s := vm.spanAt(p)
	if s == 0 {
		return false
	}
	v := viewOf(s)
	i := v.object(uint64(a - v.base))
	return i < uint64(v.count) && ld64(h.bitmap(v.base)+Addr(i/64)*8)&ld64(vm.marksOf(v)+Addr(i/64)*8)>>(i%64)&1 == 1
}

// scanItem scans a piece of an object and leaves the rest for later.
func (vm *VM) scanItem(it markItem) {
	end := min(uint64(it.off)+pieceBytes, it.v.elem)
	if it.v.unit == 0 && it.v.typ == 0 {
		end = min(it.v.elem, 512)
	} else if end < it.v.elem {
		vm.gc.stack = append(vm.gc.stack, markItem{it.v, it.obj, Addr(end)})
	}
	vm.scanSpan(it.v, it.obj, uint64(it.off), end)
}

// scanOn scans the words of an object that lie on a page.
func (vm *VM) scanOn(v *view, obj, page Addr) {
	lo, hi := uint64(0), min(v.elem, uint64(page+PageSize-obj))
	if obj < page {
		lo = uint64(page - obj)
	}
	vm.scanSpan(v, obj, lo, hi)
}

var everyWord = []uint64{1}

// scanSpan scans the words from lo to hi of an object of a span.
func (vm *VM) scanSpan(v *view, obj Addr, lo, hi uint64) {
	unit := v.unit
	if unit == 0 {
		unit = v.elem
	}
	if v.typ == 0 {
		one := [1]uint64{v.mask}
		vm.scan(obj, unit, one[:], lo, hi)
		return
	}
	if t := vm.placedType(uint64(v.typ)); t != nil && len(t.Mask) != 0 {
		vm.scan(obj, unit, t.Mask, lo, hi)
		return
	}
	vm.scan(obj, 8, everyWord, lo, hi) // a damaged record: every word may be a pointer
}

// scan marks what the words from lo to hi of an object at obj point to, as they were when the cycle began. mask names the pointer words of
// each unit bytes.
func (vm *VM) scan(obj Addr, unit uint64, mask []uint64, lo, hi uint64) {
	page, delta := Addr(1), Addr(0)
	u := uint64(0)
	if lo != 0 {
		u = lo - lo%unit
	}
	for ; u+8 <= hi; u += unit {
		k := uint64(0)
		if lo > u {
			k = (lo - u) / 512
		}
		for ; k < uint64(len(mask)) && u+k*512 < hi; k++ {
			for m := mask[k]; m != 0; m &= m - 1 {
				at := u + k*512 + uint64(bits.TrailingZeros64(m))*8
				if at+8 > hi {
					break
				}
				if at < lo {
					continue
				}
				a := obj + Addr(at)
				if a&^(PageSize-1) != page {
					page = a &^ (PageSize - 1)
					delta = vm.delta(page)
				}
				vm.mark(ldAddr(a + delta))
			}
		}
		vm.gc.work++
	}
}
