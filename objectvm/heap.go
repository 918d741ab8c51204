package objectvm

import (
	"fmt"
	"math/bits"

	"phantomvm/bytecode"
)

// The heap: DATA behind the globals segment, cut into pages of 8 KiB. A span is a run of pages that holds objects of one size
// and one pointer pattern, so that objects need no header; a run of free pages is a span, too. In META lie
//
//	page table    4 bytes per heap page: number of the span that it belongs to. Of a free run only the first and the last page's are right
//	span records  spanSize bytes each, see below
//	bitmaps       bitmapBytes per heap page; bit i of a span's first pages' bitmap says that its object i is allocated
//	classes       what spans of small objects have in common, and the list of those with room
//
// The pattern of an object is a mask of its first 64 words, repeated each unit bytes (unit 0: once); or, for larger
// units, that of a type, given by its descriptor's address. Free objects hold garbage: allocation zeroes.
//
// Lists, tables and free runs need no rebuilding: a VM that is built on the arena reads what it uses (spans.go).

const (
	heapShift   = 13
	heapPage    = 1 << heapShift
	bitmapBytes = heapPage / 8 / 8 // the smallest object has 8 bytes
	maxSpans    = DataSize / heapPage
	maxSmall    = 32 << 10

	metaSpans      = metaHeap + 64<<20
	metaClasses    = metaHeap + 1<<30
	metaClassTable = metaHeap + 1<<30 + 512<<20
	maxClasses     = 1 << 22

	// zeroBase is the address of zero-size objects: zero bytes at the start of RO.
	zeroBase = ROBase + 32
)

// Words of a span record.
const (
	spanBase  = 8 * iota // address
	spanPages            // number of heap pages, 0 for a free record
	spanElem             // object size in bytes, 0 for a free run
	spanMask             // pointer mask
	spanUnit             // bytes after which the mask repeats, 0: not
	spanType             // descriptor's address if the mask is that of a type
	spanUsed             // allocated objects
	spanLink             // of the list that the span is in, see lists.go
	spanSize             // of the record
)

// Words of a class: those of a spanKey, the list of its spans with room, the link of the table of classes.
const (
	classKey  = 0
	classRoom = 32
	classLink = 40
	classSize = 64
)

// spanKey is what objects of one span have in common.
type spanKey struct {
	size, mask, unit uint64
	typ              Addr
}

// spanList is where objects of one key are allocated.
type spanList struct {
	key   spanKey
	class uint32 // 0: a large object
	cur   uint32 // span that is allocated from, the first of the class's list
	next  uint64 // first object of cur that may be free
}

type heap struct {
	base    Addr // of page 0
	lists   map[spanKey]*spanList
	byType  []*spanList        // by TypeID, for single objects
	globals []*bytecode.Global // that hold pointers, by offset
	batches []Addr             // that may hold something
	used    uint64             // bytes of all objects, live or not yet found to be dead
	bytes   uint64             // of those allocated since the newest cycle began
	most    uint64             // of bytes in this slice while a cycle is wanted or goes on
	goal    uint64             // of bytes: then the next cycle is to begin
	major   uint64             // of used: then that will be a major one
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
		l = &spanList{key: k, class: vm.classOf(k)}
		vm.heap.lists[k] = l
	}
	return l
}

// allocFrom takes an object of the list's first span with room.
func (vm *VM) allocFrom(l *spanList) (Addr, bool) {
	for {
		if l.cur != 0 {
			if a, ok := vm.takeObject(l); ok {
				vm.allocated(l.key.size)
				return a, true
			}
			if listed(spanLists, l.cur) && !vm.remove(spanLists, classAddr(l.class)+classRoom, l.cur) { // full, but for what is set aside
				return 0, false
			}
			l.cur = 0
		}
		s := vm.spanWithRoom(l)
		if s == 0 {
			var ok bool
			if s, ok = vm.newSpan(l); !ok {
				return 0, false
			}
		}
		l.cur, l.next = s, 0
		if v := viewOf(s); v.young != vm.gc.cycle {
			v.young = vm.gc.cycle
			vm.gc.young = append(vm.gc.young, s)
		}
	}
}

// allocated counts bytes.
func (vm *VM) allocated(n uint64) {
	h := &vm.heap
	h.used += n
	if h.bytes += n; h.bytes > h.goal {
		vm.gcWanted = true
	}
	if (vm.gcWanted || vm.gc.phase != gcIdle) && h.bytes > h.most { // the collector and flips come between slices
		hot().fuel = -1
	}
}

// takeObject allocates in the list's current span.
func (vm *VM) takeObject(l *spanList) (Addr, bool) {
	v := viewOf(l.cur)
	r, base, count, size := spanAddr(l.cur), v.base, uint64(v.count), v.elem
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
		if vm.gc.phase != gcIdle {
			vm.blacken(v, i, 1)
		}
		l.next = i + 1
		return a, true
	}
	return 0, false
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
	vm.heap = heap{base: DataBase + Addr(globals), lists: map[spanKey]*spanList{}, byType: make([]*spanList, len(vm.types))}
	vm.initGC()
	vm.setGoals(0)
	vm.setLimits()
}

// attachHeap checks what is not checked when a record is used.
func (vm *VM) attachHeap() error {
	vm.initHeap()
	h := &vm.heap
	pages := hget(hdrHeapPages)
	if uint64(h.base-DataBase)+pages<<heapShift >= DataSize { // loads of several words read up to two words past the end
		return fmt.Errorf("%w: heap of %d pages", ErrArena, pages)
	}
	if hget(hdrSpareSpan) > hget(hdrSpanHigh) || classTable.damaged(maxClasses) {
		return fmt.Errorf("%w: tables of the heap", ErrArena)
	}
	h.used, vm.gc.debt = hget(hdrUsed), hget(hdrRecent)
	vm.setGoals(hget(hdrLive))
	return nil
}
