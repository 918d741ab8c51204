package objectvm

import "math/bits"

// Batches let the dispatch loop execute NEW itself. When an object of a small type was allocated, up to 63 free objects behind it that
// share its word of the allocation bitmap are set aside for the type. The loop takes one after the other: it zeroes the
// object, sets its bit and counts it in the span record, all in open pages, so that the arena is at every moment as if
// allocFrom had done it. Objects of a batch that were not taken are free; a cycle of the collector drops all batches when it begins.
//
// A batch is volatile and lies at batchAddr(type).

// Words of a batch.
const (
	batchNext  = 8 * iota // the next object
	batchBit              // its bit in the bitmap's word, 0: the batch is empty
	batchEnd              // where the last object ends
	batchWord             // address of the bitmap's word
	batchUsed             // address of the span record's count
	batchElem             // object size
	batchKnown            // 1: it is in heap.batches
	batchSize  = 64       // of the record
)

const (
	batchBase  = volatileBase + 256<<10
	batchTypes = 8192 // types that may have a batch: TypeIDs below
	batchMax   = 128  // bytes of an object; it lies in two pages at most
)

func batchAddr(id uint64) Addr { return batchBase + Addr(id)*batchSize }

// newFromBatch executes a NEW that the loop could not.
func (vm *VM) newFromBatch(in *instr) Outcome {
	id := in.ext
	if id >= batchTypes || vm.cfg.GCStress {
		return vm.opNew(in)
	}
	b := batchAddr(id)
	if ld64(b+batchBit) != 0 { // a page is frozen
		p, size := ldAddr(b+batchNext), ld64(b+batchElem)
		vm.touch(p, size)
		vm.touch(ldAddr(b+batchWord), 8)
		vm.touch(ldAddr(b+batchUsed), 8)
		clear(bytesAt(p, size))
		st64(ldAddr(b+batchWord), ld64(ldAddr(b+batchWord))|ld64(b+batchBit))
		st64(ldAddr(b+batchUsed), ld64(ldAddr(b+batchUsed))+1)
		st64(b+batchBit, ld64(b+batchBit)<<1)
		if stAddr(b+batchNext, p+Addr(size)); p+Addr(size) == ldAddr(b+batchEnd) {
			st64(b+batchBit, 0)
		}
		vm.setSlot(int(in.a), uint64(p))
		return Done
	}
	out := vm.opNew(in)
	if l := vm.heap.byType[id]; out == Done && l != nil && l.cur != 0 && l.key.size <= batchMax {
		vm.setAside(b, l)
	}
	return out
}

// setAside makes a batch of what is free where the list goes on.
func (vm *VM) setAside(b Addr, l *spanList) {
	v := viewOf(l.cur)
	r, i, size, count, base := spanAddr(l.cur), l.next, v.elem, uint64(v.count), v.base
	if i >= count {
		return
	}
	word := vm.heap.bitmap(base) + Addr(i/64)*8
	n := min(uint64(bits.TrailingZeros64(ld64(word)>>(i%64))), 64-i%64, count-i)
	if n == 0 {
		return
	}
	stAddr(b+batchNext, base+Addr(i*size))
	st64(b+batchBit, 1<<(i%64))
	stAddr(b+batchEnd, base+Addr((i+n)*size))
	stAddr(b+batchWord, word)
	stAddr(b+batchUsed, r+spanUsed)
	st64(b+batchElem, size)
	l.next = i + n
	if vm.gc.phase != gcIdle {
		vm.blacken(v, i, n)
	}
	vm.allocated(n * size)
	if ld64(b+batchKnown) == 0 {
		st64(b+batchKnown, 1)
		vm.heap.batches = append(vm.heap.batches, b)
	}
}

// dropBatches forgets what was set aside.
func (vm *VM) dropBatches() {
	h := &vm.heap
	for _, b := range h.batches {
		if ld64(b+batchBit) != 0 {
			rest := ld64(b+batchEnd) - ld64(b+batchNext)
			h.used, h.bytes = h.used-min(rest, h.used), h.bytes-min(rest, h.bytes)
			st64(b+batchBit, 0)
		}
		st64(b+batchKnown, 0)
	}
	h.batches = h.batches[:0]
}
