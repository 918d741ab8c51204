package objectvm

import "phantomvm/bytecode"

// Iteration over maps. An iterator is 8 words, in slots or (for reflect) in memory:
//
//	0 map object   1 entry array   2 next entry   3 entry at which it began
//	4 entries of the array when it was left behind   5 state   6 clears of the map at the start   7 unused
//
//  1. It walks its array cyclically from a random entry; what is appended meanwhile is met or not, as Go allows.
//  2. An entry deleted before it is reached has lost its live bit and is skipped.
//  3. When the map has moved to another array (growth, clear), the iterator goes on over the array it has, and looks
//     each key up in the map: what was deleted is skipped, what was changed is met with its present value. A key that
//     equals nothing (NaN) can be removed by clear alone, which the count of clears tells.
//
// Each entry of the array is visited at most once, so an entry of the map is, too, and forged numbers end the loop early.

// Words of an iterator.
const (
	itMap = 8 * iota
	itEntries
	itNext
	itStart
	itLimit
	itState
	itClears
	itWords = 8
)

// States of an iterator.
const (
	itEnd     = 0
	itFirst   = 1 // between the start and the end of the array
	itWrapped = 2 // between the array's begin and the start
)

// iterInit starts an iterator, 8 writable words at it, over map m, which may be nil.
func (vm *VM) iterInit(et *entryType, m, it Addr) Outcome {
	clear(wordsAt(it, itWords))
	if m == 0 {
		return Done
	}
	var v mapView
	if !vm.view(m, et, &v) {
		return vm.nilTrap()
	}
	stAddr(it+itMap, m)
	stAddr(it+itEntries, v.entries)
	st64(it+itClears, ld64(m+mapClears))
	if v.used == 0 {
		return Done
	}
	start := vm.rand64() % v.used
	st64(it+itNext, start)
	st64(it+itStart, start)
	st64(it+itLimit, v.used)
	st64(it+itState, itFirst)
	return Done
}

// iterNext advances an iterator. It returns the addresses of the key and the element as stored, 0 at the end.
func (vm *VM) iterNext(et *entryType, it Addr) (key, elem Addr, out Outcome) {
	if ld64(it+itState) == itEnd {
		return 0, 0, Done
	}
	var v mapView
	if !vm.view(ldAddr(it+itMap), et, &v) {
		return 0, 0, vm.nilTrap()
	}
	old := ldAddr(it + itEntries)
	moved := old != v.entries
	if !moved {
		st64(it+itLimit, v.used)
	}
	next, start, limit, state := ld64(it+itNext), ld64(it+itStart), ld64(it+itLimit), ld64(it+itState)
	if limit > mapMaxCap || limit != 0 && !vm.checkRange(old, limit*et.t.Size) {
		return 0, 0, vm.nilTrap()
	}
	least := hot().fuel - int64(limit+v.buckets) - 1<<20
	for {
		if hot().fuel < least { // each lookup was long: forged
			return 0, 0, vm.throw("map iteration does not end")
		}
		if state == itFirst && next >= limit {
			state, next = itWrapped, 0
		}
		if next >= limit || state != itFirst && next >= start {
			st64(it+itState, itEnd)
			return 0, 0, Done
		}
		e := old + Addr(next*et.t.Size)
		next++
		if ld64(e)>>63 == 0 {
			continue
		}
		if moved {
			var ok bool
			if e, ok = vm.relocated(&v, it, e); !ok {
				return 0, 0, vm.raise()
			}
			if e == 0 {
				continue
			}
		}
		st64(it+itNext, next)
		st64(it+itState, state)
		return e + Addr(et.keyOff), e + Addr(et.elOff), Done
	}
}

// relocated finds in the map's present array the entry that e of an older array stands for; 0 if it was removed.
func (vm *VM) relocated(v *mapView, it, e Addr) (Addr, bool) {
	k, ok := vm.entryKey(v.et, e)
	if !ok {
		vm.fail(bytecode.TrapNil, 0)
		return 0, false
	}
	now, _, res := vm.mapFind(v, ld64(e), k)
	switch res {
	case faulted:
		return 0, false
	case found:
		return now, true
	}
	if v.et.key.Regular || v.et.fast == keyString || ld64(it+itClears) != ld64(v.obj+mapClears) {
		return 0, true
	}
	if eq, ok := vm.equalAt(v.et.key, k, k); eq || !ok {
		return 0, ok
	}
	return e, true
}

// opMapIter executes MAPITER.
func (vm *VM) opMapIter(in *instr) Outcome {
	et := vm.entriesOf(vm.types[in.ext])
	if et == nil {
		return vm.nilTrap()
	}
	return vm.iterInit(et, Addr(vm.slot(int(in.b))), vm.slotAddr(int(in.a)))
}

// opMapNext executes MAPNEXT.
func (vm *VM) opMapNext(in *instr) Outcome {
	et := vm.entriesOf(vm.types[in.ext])
	if et == nil {
		return vm.nilTrap()
	}
	it, dst := vm.slotAddr(int(in.b)), vm.slotAddr(int(in.a))
	k, e, out := vm.iterNext(et, it)
	if out != Done {
		return out
	}
	if k == 0 {
		// The code behind the loop does not read key and element, but a map may name their slots.
		clear(wordsAt(dst, uint64(1+et.key.Slots+et.elem.Slots)))
		return Done
	}
	st64(dst, 1)
	loadSlots(et.key, k, dst+8)
	loadSlots(et.elem, e, dst+8+Addr(et.key.Slots)*8)
	return Done
}
