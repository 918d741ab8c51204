package objectvm

import "math/bits"

// Spans. A span record is looked at when something asks for it first; then it is checked, and what can't change while the span exists
// becomes a view in volatile memory, which is trusted and serves all lookups. A span whose view was not made costs nothing.
//
// Free runs are spans without objects. They lie in one list per power of two of their size. A run that is freed joins its
// neighbours, which the page table names.

// view is what the VM knows of a span. The zero value: nothing yet.
type view struct {
	base  Addr
	elem  uint64
	magic uint64 // offset*magic >> magicShift is an object's number; 0 for a large object
	mask  uint64
	unit  uint64
	typ   Addr
	pages uint32
	class uint32
	count uint32 // objects
	epoch uint32 // number of the major cycle that the mark bits belong to
	young uint32 // number of the cycle since whose begin objects were allocated here
	born  uint32 // number of the cycle since whose begin the span exists
}

const (
	viewSize   = 72
	magicShift = 40
	freeBins   = 24
	binTries   = 8 // runs of its own bin that a request looks at
)

var classTable = &chainTable{
	head: hdrClassesAddr, buckets: metaClassTable, base: metaClasses, size: classSize, link: classLink, high: hdrClassHighAddr,
	hash: func(n uint32) uint64 { return classKeyAt(n).hash() },
}

const (
	hdrClassesAddr   = metaHeader + hdrClasses*8
	hdrClassHighAddr = metaHeader + hdrClassHigh*8
)

func classAddr(n uint32) Addr { return metaClasses + Addr(n)*classSize }

func classKeyAt(n uint32) spanKey {
	a := classAddr(n)
	return spanKey{ld64(a), ld64(a + 8), ld64(a + 16), ldAddr(a + 24)}
}

func (k spanKey) hash() uint64 { return mix(mix(k.size, k.mask), mix(k.unit, uint64(k.typ))) }

// classOf finds or makes the class of a key of small objects.
func (vm *VM) classOf(k spanKey) uint32 {
	n := vm.lookup(classTable, k.hash(), func(n uint32) bool { return classKeyAt(n) == k })
	if n != 0 {
		return n
	}
	high := hget(hdrClassHigh) + 1
	if high >= maxClasses {
		vm.damaged("more classes of objects than can be")
		return 1
	}
	vm.hset(hdrClassHigh, high)
	n = uint32(high)
	a := classAddr(n)
	vm.touch(a, classSize)
	clear(bytesAt(a, classSize))
	for i, v := range [...]uint64{k.size, k.mask, k.unit, uint64(k.typ)} {
		st64(a+Addr(i)*8, v)
	}
	vm.chain(classTable, n)
	return n
}

// spanCount is the number of objects in a span.
func spanCount(size, pages uint64) uint64 {
	if size > maxSmall {
		return 1
	}
	return pages * heapPage / size
}

// viewSpan returns the view of span s, nil if there is no such span.
func (vm *VM) viewSpan(s uint32) *view {
	if s == 0 || uint64(s) > hget(hdrSpanHigh) {
		return nil
	}
	v := viewOf(s)
	if v.pages != 0 {
		return v
	}
	r := spanAddr(s)
	base, n, size, unit := ldAddr(r+spanBase), ld64(r+spanPages), ld64(r+spanElem), ld64(r+spanUnit)
	if n == 0 {
		return nil
	}
	pages := hget(hdrHeapPages)
	first := uint64(base-vm.heap.base) >> heapShift
	bad := base < vm.heap.base || base&(heapPage-1) != 0 || n > pages || first > pages-n || size > n*heapPage || unit&7 != 0 || size <= maxSmall && size&7 != 0
	if !bad && size != 0 {
		bad = size <= maxSmall && n > maxSmallPages || ld64(r+spanUsed) > spanCount(size, n)
	}
	if bad {
		vm.damaged("span %d", s)
		return nil
	}
	*v = view{base: base, elem: size, pages: uint32(n), mask: ld64(r + spanMask), unit: unit, typ: ldAddr(r + spanType)}
	if size == 0 {
		return v
	}
	v.count = uint32(spanCount(size, n))
	if size <= maxSmall {
		v.class = vm.classOf(spanKey{size, v.mask, unit, v.typ})
		v.magic = (1<<magicShift + size - 1) / size
		for p := range n {
			st32(viewPages+Addr(first+p)*4, s)
		}
	}
	vm.loadMarks(v)
	return v
}

const maxSmallPages = maxSmall * 8 / heapPage

// spanAt returns the span that page p of the heap belongs to, 0 for none.
func (vm *VM) spanAt(p uint64) uint32 {
	s := ld32(viewPages + Addr(p)*4)
	if s != 0 && vm.has(viewOf(s), p) {
		return s
	}
	s = ld32(vm.heap.pageEntry(p))
	v := vm.viewSpan(s)
	if v == nil || !vm.has(v, p) {
		return 0
	}
	st32(viewPages+Addr(p)*4, s)
	return s
}

// has says whether a span contains page p.
func (vm *VM) has(v *view, p uint64) bool {
	return p-uint64(v.base-vm.heap.base)>>heapShift < uint64(v.pages)
}

// bits is the size of a span's bitmap in bytes.
func (v *view) bits() Addr { return Addr(v.count+63) / 64 * 8 }

// object is the number of the object that offset off of a span lies in.
func (v *view) object(off uint64) uint64 { return off * v.magic >> magicShift }

// spanWithRoom is the first span of a list's class that has room, 0 if there is none.
func (vm *VM) spanWithRoom(l *spanList) uint32 {
	if l.class == 0 {
		return 0
	}
	head := classAddr(l.class) + classRoom
	for {
		s := vm.first(spanLists, head)
		if s == 0 {
			return 0
		}
		v := vm.viewSpan(s)
		if v == nil || v.class != l.class {
			vm.damaged("span %d in the list of class %d", s, l.class)
			return 0
		}
		if ld64(spanAddr(s)+spanUsed) < uint64(v.count) {
			return s
		}
		if !vm.remove(spanLists, head, s) {
			return 0
		}
	}
}

// newSpan makes a span for objects of the list's key.
func (vm *VM) newSpan(l *spanList) (uint32, bool) {
	k := l.key
	pages := (k.size + heapPage - 1) / heapPage
	if k.size > 1024 && k.size <= maxSmall {
		pages = (k.size*8 + heapPage - 1) / heapPage
	}
	first, ok := vm.takePages(pages)
	if !ok {
		return 0, false
	}
	s := vm.newSpanRecord(first, pages)
	if s == 0 {
		return 0, false
	}
	r := spanAddr(s)
	for i, v := range [...]uint64{k.size, k.mask, k.unit, uint64(k.typ)} {
		st64(r+spanElem+Addr(i)*8, v)
	}
	h := &vm.heap
	vm.touch(h.pageEntry(first), pages*4)
	for p := first; p < first+pages; p++ {
		st32(h.pageEntry(p), s)
	}
	v := vm.viewSpan(s)
	if v == nil {
		return 0, false
	}
	bm, mk := h.bitmap(v.base), h.marks(v.base)
	for o := Addr(0); o < v.bits(); o += 8 {
		vm.set(bm+o, 0)
		st64(mk+o, 0)
	}
	for p := first; p < first+pages; p++ {
		st32(viewPages+Addr(p)*4, s)
	}
	v.born = vm.gc.cycle
	if l.class != 0 {
		vm.pushFront(spanLists, classAddr(l.class)+classRoom, s)
	}
	return s, true
}

// newSpanRecord takes a record and makes it name a run of pages; 0 after damage.
func (vm *VM) newSpanRecord(first, pages uint64) uint32 {
	s := uint32(hget(hdrSpareSpan))
	if s != 0 {
		if uint64(s) > hget(hdrSpanHigh) || ld64(spanAddr(s)+spanPages) != 0 || ld64(spanAddr(s)+spanBase) > hget(hdrSpanHigh) {
			vm.damaged("free span record %d", s)
			return 0
		}
		vm.hset(hdrSpareSpan, ld64(spanAddr(s)+spanBase))
	} else {
		high := hget(hdrSpanHigh) + 1
		if high >= maxSpans {
			vm.damaged("more spans than can be")
			return 0
		}
		vm.hset(hdrSpanHigh, high)
		s = uint32(high)
	}
	r := spanAddr(s)
	vm.touch(r, spanSize)
	clear(bytesAt(r, spanSize))
	stAddr(r+spanBase, vm.heap.base+Addr(first)<<heapShift)
	st64(r+spanPages, pages)
	*viewOf(s) = view{}
	return s
}

// freeSpanRecord forgets a span that is in no list.
func (vm *VM) freeSpanRecord(s uint32) {
	r := spanAddr(s)
	vm.touch(r, spanSize)
	clear(bytesAt(r, spanSize))
	st64(r+spanBase, hget(hdrSpareSpan)) // the next free record
	vm.hset(hdrSpareSpan, uint64(s))
	*viewOf(s) = view{}
}

func runHead(pages uint64) Addr { return hdrAddr(hdrFreeRuns + bits.Len64(pages) - 1) }

// takePages finds n free heap pages and moves the heap's end if there are none.
func (vm *VM) takePages(n uint64) (uint64, bool) {
	h := &vm.heap
	for bin := bits.Len64(n) - 1; bin < freeBins; bin++ {
		s := vm.first(spanLists, hdrAddr(hdrFreeRuns+bin))
		for tries := 0; s != 0 && tries < binTries; tries++ {
			v := vm.viewSpan(s)
			if v == nil || v.elem != 0 {
				vm.damaged("free run %d", s)
				return 0, false
			}
			if uint64(v.pages) >= n {
				return vm.cutRun(s, n), true
			}
			s = vm.next(spanLists, s)
		}
	}
	used := hget(hdrHeapPages)
	if n > DataSize>>heapShift || uint64(h.base-DataBase)+(used+n)<<heapShift+stackBytes() > hget(hdrArenaLimit) {
		return 0, false
	}
	vm.hset(hdrHeapPages, used+n)
	vm.setLimits()
	return used, true
}

// cutRun takes the first n pages of a free run.
func (vm *VM) cutRun(s uint32, n uint64) uint64 {
	v := viewOf(s)
	first, rest := uint64(v.base-vm.heap.base)>>heapShift, uint64(v.pages)-n
	vm.remove(spanLists, runHead(uint64(v.pages)), s)
	if rest == 0 {
		vm.freeSpanRecord(s)
		return first
	}
	vm.placeRun(s, first+n, rest)
	return first
}

// placeRun makes span record s, which is in no list, a free run.
func (vm *VM) placeRun(s uint32, first, pages uint64) {
	h, r := &vm.heap, spanAddr(s)
	vm.touch(r, spanSize)
	clear(bytesAt(r, spanSize))
	stAddr(r+spanBase, h.base+Addr(first)<<heapShift)
	st64(r+spanPages, pages)
	*viewOf(s) = view{}
	vm.set32(h.pageEntry(first), s)
	vm.set32(h.pageEntry(first+pages-1), s)
	vm.pushFront(spanLists, runHead(pages), s)
}

// freeSpan makes a span, which is in no list, a free run and joins it with its neighbours.
func (vm *VM) freeSpan(s uint32) {
	h, v := &vm.heap, viewOf(s)
	first, pages := uint64(v.base-h.base)>>heapShift, uint64(v.pages)
	if first > 0 {
		if n := vm.runAt(first - 1); n != 0 && uint64(viewOf(n).base-h.base)>>heapShift+uint64(viewOf(n).pages) == first {
			pages += uint64(viewOf(n).pages)
			first -= uint64(viewOf(n).pages)
			vm.takeRun(n)
		}
	}
	if end := first + pages; end < hget(hdrHeapPages) {
		if n := vm.runAt(end); n != 0 && uint64(viewOf(n).base-h.base)>>heapShift == end {
			pages += uint64(viewOf(n).pages)
			vm.takeRun(n)
		}
	}
	vm.placeRun(s, first, pages)
}

// runAt is the free run that begins or ends at page p, 0 for none.
func (vm *VM) runAt(p uint64) uint32 {
	s := ld32(vm.heap.pageEntry(p))
	if v := vm.viewSpan(s); v == nil || v.elem != 0 || !vm.has(v, p) || !listed(spanLists, s) {
		return 0
	}
	return s
}

func (vm *VM) takeRun(s uint32) {
	vm.remove(spanLists, runHead(uint64(viewOf(s).pages)), s)
	vm.freeSpanRecord(s)
}
