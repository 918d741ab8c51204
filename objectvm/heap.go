package objectvm

import (
	"fmt"
	"math/bits"
)

// The heap: DATA behind the globals segment, cut into pages of 8 KiB. A span is a run of pages that holds objects of one size
// and one pointer pattern, so that objects need no header. In META lie
//
//	page table    4 bytes per heap page: number of the span that it belongs to, 0 for a free page
//	span records  spanSize bytes each, see below
//	bitmaps       bitmapBytes per heap page; bit i of a span's first pages' bitmap says that its object i is allocated
//
// The pattern of an object is a mask of its first 64 words, repeated each unit bytes (unit 0: once); or, for larger
// units, that of a type, given by its descriptor's address. Free objects hold garbage: allocation zeroes.
//
// Volatile, rebuilt by attachHeap: lists of spans with room by (size, pattern), and free runs of pages.

const (
	heapShift   = 13
	heapPage    = 1 << heapShift
	bitmapBytes = heapPage / 8 / 8 // the smallest object has 8 bytes
	maxSpans    = DataSize / heapPage
	maxSmall    = 32 << 10

	metaSpans = metaHeap + 64<<20

	// zeroBase is the address of zero-size objects: zero bytes at the start of RO.
	zeroBase = ROBase + 32
)

// Words of a span record.
const (
	spanBase  = 8 * iota // address
	spanPages            // number of heap pages, 0 for a free record
	spanElem             // object size in bytes
	spanCount            // number of objects
	spanMask             // pointer mask
	spanUnit             // bytes after which the mask repeats, 0: not
	spanType             // descriptor's address if the mask is that of a type
	spanUsed             // allocated objects
	spanSize             // of the record
)

// spanKey is what objects of one span have in common.
type spanKey struct {
	size, mask, unit uint64
	typ              Addr
}

// spanList holds the spans of one key that may have room.
type spanList struct {
	key  spanKey
	cur  uint32 // span that is allocated from
	next uint64 // first object of cur that may be free
	room []uint32
}

// pageRun is a run of free heap pages.
type pageRun struct{ first, n uint64 }

type heap struct {
	base   Addr // of page 0
	lists  map[spanKey]*spanList
	byType []*spanList // by TypeID, for single objects
	free   []pageRun
	spares []uint32 // free span records
	bytes  uint64   // allocated since the last collection
	live   uint64   // bytes that survived it
	goal   uint64   // of bytes
}

func spanAddr(s uint32) Addr { return metaSpans + Addr(s)*spanSize }

func (h *heap) pageEntry(p uint64) Addr { return metaHeap + Addr(p)*4 }

// bitmap is the address of a span's allocation bitmap.
func (h *heap) bitmap(base Addr) Addr { return metaAllocMap + (base-h.base)>>heapShift*bitmapBytes }

// marks is the address of a span's mark bits.
func (h *heap) marks(base Addr) Addr { return markBase + (base-h.base)>>heapShift*bitmapBytes }

// sizeClass rounds the size of a small object up.
func sizeClass(n uint64) uint64 {
	switch {
	case n <= 8:
		return 8
	case n <= 128:
		return alignUp(n, 16)
	}
	return alignUp(n, 1<<(bits.Len64(n-1)-4))
}

// keyOf finds the span key for an array of n elements of type t (n >= 1, size > 0).
func keyOf(t *TypeInfo, n uint64) spanKey {
	size := t.Size * n
	k := spanKey{size: size}
	if size <= maxSmall {
		k.size = sizeClass(size)
	}
	if t.PtrBytes == 0 {
		return k
	}
	if k.size < 16 {
		k.size = 16
	}
	unit := t.Unit
	switch {
	case unit > 512:
		k.typ = t.Addr
		if t.Count == 1 && n == 1 {
			k.unit = 0
		} else {
			k.unit = unit
		}
		return k
	case t.Count == 1 && n == 1:
		k.mask = t.Mask[0]
		return k
	}
	k.mask, k.unit = t.Mask[0], unit
	if k.size <= 512 { // spelled out, so that arrays and structs of the same shape share spans
		words := k.size / 8
		for o := unit / 8; o < words; o += unit / 8 {
			k.mask |= t.Mask[0] << o
		}
		if words < 64 {
			k.mask &= 1<<words - 1
		}
		k.unit = 0
	}
	return k
}

// alloc returns a zeroed object of type t; false: the collector must run first.
func (vm *VM) alloc(t *TypeInfo) (Addr, bool) {
	if t.Size == 0 {
		return zeroBase, true
	}
	if id := int(t.ID); id != 0 && id < len(vm.heap.byType) {
		l := vm.heap.byType[id]
		if l == nil {
			if l = vm.spanListOf(keyOf(t, 1)); l.key.size <= maxSmall {
				vm.heap.byType[id] = l
			}
		}
		return vm.allocFrom(l)
	}
	return vm.allocFrom(vm.spanListOf(keyOf(t, 1)))
}

// allocArray returns n zeroed elements of type t.
func (vm *VM) allocArray(t *TypeInfo, n uint64) (Addr, bool) {
	if t.Size == 0 || n == 0 {
		return zeroBase, true
	}
	return vm.allocFrom(vm.spanListOf(keyOf(t, n)))
}

// allocBytes returns n zeroed bytes that hold no pointers.
func (vm *VM) allocBytes(n uint64) (Addr, bool) {
	if n == 0 {
		return zeroBase, true
	}
	k := spanKey{size: n}
	if n <= maxSmall {
		k.size = sizeClass(n)
	}
	return vm.allocFrom(vm.spanListOf(k))
}

func (vm *VM) spanListOf(k spanKey) *spanList {
	if k.size > maxSmall {
		return &spanList{key: k} // a large object has its own span
	}
	l := vm.heap.lists[k]
	if l == nil {
		l = &spanList{key: k}
		vm.heap.lists[k] = l
	}
	return l
}

// allocFrom takes an object of the list's first span with room.
func (vm *VM) allocFrom(l *spanList) (Addr, bool) {
	h := &vm.heap
	for {
		if l.cur != 0 {
			if a, ok := vm.takeObject(l); ok {
				if h.bytes += l.key.size; h.bytes > h.goal {
					vm.gcWanted = true
				}
				return a, true
			}
			l.cur = 0
		}
		if n := len(l.room); n > 0 {
			l.cur, l.next, l.room = l.room[n-1], 0, l.room[:n-1]
			continue
		}
		s, ok := vm.newSpan(l.key)
		if !ok {
			return 0, false
		}
		l.cur, l.next = s, 0
	}
}

// takeObject allocates in the list's current span.
func (vm *VM) takeObject(l *spanList) (Addr, bool) {
	r := spanAddr(l.cur)
	base, count, size := ldAddr(r+spanBase), ld64(r+spanCount), l.key.size
	bm := vm.heap.bitmap(base)
	for i := l.next; i < count; {
		w := ^ld64(bm+Addr(i/64)*8) >> (i % 64)
		if w == 0 {
			i = (i/64 + 1) * 64
			continue
		}
		if i += uint64(bits.TrailingZeros64(w)); i >= count {
			break
		}
		word := bm + Addr(i/64)*8
		vm.touch(word, 8)
		vm.touch(r, spanSize)
		a := base + Addr(i*size)
		vm.touch(a, size)
		st64(word, ld64(word)|1<<(i%64))
		st64(r+spanUsed, ld64(r+spanUsed)+1)
		clear(bytesAt(a, size))
		l.next = i + 1
		return a, true
	}
	return 0, false
}

// newSpan makes a span for objects of the key.
func (vm *VM) newSpan(k spanKey) (uint32, bool) {
	h := &vm.heap
	pages := (k.size + heapPage - 1) / heapPage
	if k.size > 1024 && k.size <= maxSmall {
		pages = (k.size*8 + heapPage - 1) / heapPage
	}
	first, ok := vm.takePages(pages)
	if !ok {
		return 0, false
	}
	var s uint32
	if n := len(h.spares); n > 0 {
		s, h.spares = h.spares[n-1], h.spares[:n-1]
	} else {
		high := hget(hdrSpanHigh) + 1
		vm.hset(hdrSpanHigh, high)
		s = uint32(high)
	}
	base := h.base + Addr(first)<<heapShift
	count := pages * heapPage / k.size
	if k.size > maxSmall {
		count = 1
	}
	r := spanAddr(s)
	vm.touch(r, spanSize)
	for i, v := range [...]uint64{uint64(base), pages, k.size, count, k.mask, k.unit, uint64(k.typ), 0} {
		st64(r+Addr(i)*8, v)
	}
	vm.touch(h.pageEntry(first), pages*4)
	for p := first; p < first+pages; p++ {
		st32(h.pageEntry(p), s)
	}
	bm, n := h.bitmap(base), (count+63)/64*8
	for o := uint64(0); o < n; o += 8 {
		vm.set(bm+Addr(o), 0)
	}
	return s, true
}

// takePages finds n free heap pages, first fit, and moves the heap's end if there are none.
func (vm *VM) takePages(n uint64) (uint64, bool) {
	h := &vm.heap
	for i := len(h.free) - 1; i >= 0; i-- {
		r := &h.free[i]
		if r.n < n {
			continue
		}
		first := r.first
		if r.first, r.n = r.first+n, r.n-n; r.n == 0 {
			h.free = append(h.free[:i], h.free[i+1:]...)
		}
		return first, true
	}
	used := hget(hdrHeapPages)
	if n > DataSize>>heapShift || uint64(h.base-DataBase)+(used+n)<<heapShift+stackBytes() > hget(hdrArenaLimit) {
		return 0, false
	}
	vm.hset(hdrHeapPages, used+n)
	vm.setLimits()
	return used, true
}

// setLimits tells the loop where DATA ends.
func (vm *VM) setLimits() {
	end := uint64(vm.heap.base-ROBase) + hget(hdrHeapPages)<<heapShift
	for k := range hot().lim {
		hot().lim[k] = end >> k
	}
}

func (vm *VM) initHeap() {
	globals := alignUp(vm.mod.GlobalsSize, heapPage)
	vm.heap = heap{base: DataBase + Addr(globals), lists: map[spanKey]*spanList{}, byType: make([]*spanList, len(vm.types)), goal: minGoal}
	vm.setLimits()
}

// attachHeap checks the span table and rebuilds the lists.
func (vm *VM) attachHeap() error {
	vm.initHeap()
	h := &vm.heap
	pages := hget(hdrHeapPages)
	if uint64(h.base-DataBase)+pages<<heapShift >= DataSize { // loads of several words read up to two words past the end
		return fmt.Errorf("%w: heap of %d pages", ErrArena, pages)
	}
	seen := uint64(0)
	for s := uint32(1); uint64(s) <= hget(hdrSpanHigh); s++ {
		r := spanAddr(s)
		n := ld64(r + spanPages)
		if n == 0 {
			h.spares = append(h.spares, s)
			continue
		}
		if err := vm.checkSpan(s, pages); err != nil {
			return err
		}
		seen += n
		h.live += ld64(r+spanUsed) * ld64(r+spanElem)
		vm.listSpan(s)
	}
	run := pageRun{}
	for p := range pages {
		if ld32(h.pageEntry(p)) != 0 {
			continue
		}
		seen++
		if run.n > 0 && run.first+run.n == p {
			run.n++
			continue
		}
		if run.n > 0 {
			h.free = append(h.free, run)
		}
		run = pageRun{p, 1}
	}
	if run.n > 0 {
		h.free = append(h.free, run)
	}
	if seen != pages {
		return fmt.Errorf("%w: spans cover %d of %d heap pages", ErrArena, seen, pages)
	}
	h.goal = max(minGoal, h.live)
	return nil
}

// listSpan puts a span with room into its list.
func (vm *VM) listSpan(s uint32) {
	r := spanAddr(s)
	if ld64(r+spanUsed) < ld64(r+spanCount) {
		k := spanKey{ld64(r + spanElem), ld64(r + spanMask), ld64(r + spanUnit), ldAddr(r + spanType)}
		l := vm.spanListOf(k)
		l.room = append(l.room, s)
	}
}

// checkSpan validates a span record that came from disk.
func (vm *VM) checkSpan(s uint32, pages uint64) error {
	r := spanAddr(s)
	base, n, size, count := ldAddr(r+spanBase), ld64(r+spanPages), ld64(r+spanElem), ld64(r+spanCount)
	first := uint64(base-vm.heap.base) >> heapShift
	bad := base < vm.heap.base || base&(heapPage-1) != 0 || n > pages || first > pages-n || size == 0 || size > n*heapPage ||
		count == 0 || count > n*heapPage/size || count > n*bitmapBytes*8 || ld64(r+spanUsed) > count || ld64(r+spanUnit)&7 != 0 || size&7 != 0 && count != 1
	if !bad {
		for p := first; p < first+n; p++ {
			bad = bad || ld32(vm.heap.pageEntry(p)) != s
		}
	}
	if bad {
		return fmt.Errorf("%w: span %d", ErrArena, s)
	}
	return nil
}
