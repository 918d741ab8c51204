package objectvm

import "phantomvm/bytecode"

// Maps. A map is three heap objects in DATA:
//
//	map object   count, entries, capacity, used, index, index size, clears
//	entries      array of {hash word, key, element} in order of insertion; a hash word of 0 marks a free or deleted entry
//	index        uint32 per bucket: 0 free, 1 deleted, else entry number + 2; open addressing with linear probing. Absent up to 8 entries.
//
// Deleting clears the entry in place. When the array is full, the live entries
// move to a new one, twice as large if most are live, so that a program that
// holds the old one (an iterator) can go on with it.
//
// Iteration (maps_iter.go) walks the array cyclically from a random entry.
//
// The program can forge all of it: view checks every address and number that is
// read back, so that nothing outside DATA is touched; loops are bounded by sizes
// that were checked. What a forged map means is the program's business.

// Layout of the map object.
const (
	mapCount   = 0
	mapEntries = 8
	mapCap     = 16
	mapUsed    = 24
	mapIndex   = 32
	mapBuckets = 40 // size of the index, a power of two
	mapClears  = 48 // how often the map was cleared
	mapObjSize = 56
)

const (
	mapSmall  = 8       // up to so many entries there is no index
	mapMaxCap = 1 << 31 // entry numbers + 2 fit an index word
	liveBit   = 1 << 63 // set in every live entry's hash word
)

// longProbe is how many buckets are looked at for the price of the instruction.
const longProbe = 256

// Kinds of keys with their own probing loop.
const (
	keyAny    = iota
	key64     // 8 bytes compared as a word
	key32     // 4 bytes
	keyString // string
)

func mapFast(k *TypeInfo) uint8 {
	switch {
	case k.Regular && k.Size == 8:
		return key64
	case k.Regular && k.Size == 4:
		return key32
	case k.Kind == bytecode.String:
		return keyString
	}
	return keyAny
}

// mapView is a checked copy of a map object's numbers.
type mapView struct {
	obj     Addr
	entries Addr
	index   Addr
	used    uint64
	cap     uint64
	buckets uint64
	et      *entryType
}

// entriesOf returns the layout of a map type's entries; nil if the type is not a usable map type.
func (vm *VM) entriesOf(t *TypeInfo) *entryType {
	if t == nil || t.Kind != bytecode.Map {
		return nil
	}
	if t.ID == 0 {
		return vm.dynamicEntry(t)
	}
	return vm.rt.own.entries[t.ID]
}

// view reads a map object. ok is false if it can't be one.
func (vm *VM) view(obj Addr, et *entryType, v *mapView) bool {
	if !vm.checkRange(obj, mapObjSize) || et == nil {
		return false
	}
	v.obj, v.et = obj, et
	v.entries, v.index = ldAddr(obj+mapEntries), ldAddr(obj+mapIndex)
	v.used, v.cap, v.buckets = ld64(obj+mapUsed), ld64(obj+mapCap), ld64(obj+mapBuckets)
	if v.cap > mapMaxCap || v.used > v.cap || v.cap != 0 && !vm.checkRange(v.entries, v.cap*et.t.Size) {
		return false
	}
	if v.buckets == 0 {
		return v.cap <= mapSmall
	}
	return v.buckets&(v.buckets-1) == 0 && v.buckets <= 4*mapMaxCap && vm.checkRange(v.index, v.buckets*4)
}

func (v *mapView) entry(i uint64) Addr { return v.entries + Addr(i*v.et.t.Size) }

// key is the address of a key as stored; for a boxed key that of the copy.
func (vm *VM) entryKey(et *entryType, e Addr) (Addr, bool) {
	k := e + Addr(et.keyOff)
	if !et.key.Boxed {
		return k, true
	}
	k = ldAddr(k)
	return k, vm.checkRange(k, et.key.Size)
}

// mapHash hashes a key whose bytes lie at k; ok is false if a panic is to be raised.
func (vm *VM) mapHash(et *entryType, k Addr) (uint64, bool) {
	var h uint64
	ok := true
	switch et.fast {
	case key64:
		h = mix(vm.rt.seed, ld64(k))
	case key32:
		h = mix(vm.rt.seed, uint64(ld32(k)))
	case keyString:
		h, ok = vm.hashString(ldAddr(k), ld64(k+8), vm.rt.seed)
	default:
		h, ok = vm.hashAt(et.key, k, vm.rt.seed)
	}
	return h | liveBit, ok
}

// Results of mapFind.
const (
	found = iota
	missing
	faulted
)

// mapFind looks for the key at k with hash h. pos is the index position (entry number without an index).
func (vm *VM) mapFind(v *mapView, h uint64, k Addr) (e Addr, pos uint64, res int) {
	vm.rt.work = maxEqWork
	if v.buckets == 0 {
		for i := range v.used {
			e = v.entry(i)
			if ld64(e) == h {
				if r := vm.sameKey(v.et, e, k); r != missing {
					return e, i, r
				}
			}
		}
		return 0, 0, missing
	}
	mask := v.buckets - 1
	pos = h & mask
	for n := range v.buckets {
		if n%longProbe == longProbe-1 { // nothing but a forged map has so many collisions
			vm.charge(longProbe << 6)
		}
		w := uint64(ld32(v.index + Addr(pos*4)))
		if w == 0 {
			break
		}
		if w -= 2; w < v.used { // a deleted bucket's 1 becomes a huge number
			e = v.entry(w)
			if ld64(e) == h {
				if r := vm.sameKey(v.et, e, k); r != missing {
					return e, pos, r
				}
			}
		}
		pos = (pos + 1) & mask
	}
	return 0, 0, missing
}

// sameKey compares the key of entry e with the one at k.
func (vm *VM) sameKey(et *entryType, e, k Addr) int {
	ek := e + Addr(et.keyOff)
	switch et.fast {
	case key64:
		return 1 - int(b2w(ld64(ek) == ld64(k)))
	case key32:
		return 1 - int(b2w(ld32(ek) == ld32(k)))
	}
	ek, ok := vm.entryKey(et, e)
	eq := false
	if ok {
		if et.fast == keyString {
			eq, ok = vm.eqStrings(ek, k)
		} else {
			eq, ok = vm.eqMem(et.key, ek, k, 0)
		}
	} else {
		vm.fail(bytecode.TrapNil, 0)
	}
	if !ok {
		return faulted
	}
	return 1 - int(b2w(eq))
}

// mapLookup finds the entry of the key at k in map m (which may be nil).
func (vm *VM) mapLookup(et *entryType, m, k Addr) (Addr, int) {
	if et == nil {
		vm.fail(bytecode.TrapNil, 0)
		return 0, faulted
	}
	h, ok := vm.mapHash(et, k)
	if !ok {
		vm.markEmpty(m)
		return 0, faulted
	}
	if m == 0 {
		return 0, missing
	}
	var v mapView
	if !vm.view(m, et, &v) {
		vm.fail(bytecode.TrapNil, 0)
		return 0, faulted
	}
	e, _, res := vm.mapFind(&v, h, k)
	return e, res
}

// markEmpty notes that a key which can't be hashed was looked up in an empty map: Go words that differently.
func (vm *VM) markEmpty(m Addr) {
	if n, ok := vm.mapLen(m); ok && n == 0 {
		vm.rt.fault.x = 1
	}
}

// mapInsert finds or makes the entry for the key at k and stores the element at val
// (both as stored: boxed values by address). Outcome Done, Retry or a fault.
func (vm *VM) mapInsert(et *entryType, m, k, keyStored, val Addr) Outcome {
	if et == nil {
		return vm.nilTrap()
	}
	h, ok := vm.mapHash(et, k)
	if !ok {
		return vm.raise()
	}
	var v mapView
	if !vm.view(m, et, &v) {
		return vm.nilTrap()
	}
	e, _, res := vm.mapFind(&v, h, k)
	switch res {
	case faulted:
		return vm.raise()
	case found:
		if !vm.checkStore(e, et.t.Size) {
			return vm.nilTrap()
		}
		if et.keyUpdate {
			moveBytes(e+Addr(et.keyOff), keyStored, et.keySize)
		}
		moveBytes(e+Addr(et.elOff), val, et.elLen)
		return Done
	}
	if v.used == v.cap {
		if !vm.mapGrow(&v) {
			return Retry
		}
	}
	e = v.entry(v.used)
	pos := v.freeBucket(h)
	if !vm.checkStore(e, et.t.Size) || !vm.checkStore(m, mapObjSize) || v.buckets != 0 && !vm.checkStore(v.index+Addr(pos*4), 4) {
		return vm.nilTrap()
	}
	moveBytes(e+Addr(et.keyOff), keyStored, et.keySize)
	moveBytes(e+Addr(et.elOff), val, et.elLen)
	st64(e, h)
	if v.buckets != 0 {
		st32(v.index+Addr(pos*4), uint32(v.used+2))
	}
	st64(m+mapUsed, v.used+1)
	st64(m+mapCount, ld64(m+mapCount)+1)
	return Done
}

// mapDelete removes the key at k.
func (vm *VM) mapDelete(et *entryType, m, k Addr) Outcome {
	if et == nil {
		return vm.nilTrap()
	}
	h, ok := vm.mapHash(et, k)
	if !ok {
		vm.markEmpty(m)
		return vm.raise()
	}
	if m == 0 {
		return Done
	}
	var v mapView
	if !vm.view(m, et, &v) {
		return vm.nilTrap()
	}
	e, pos, res := vm.mapFind(&v, h, k)
	switch res {
	case missing:
		return Done
	case faulted:
		return vm.raise()
	}
	if !vm.checkStore(e, et.t.Size) || !vm.checkStore(m, mapObjSize) || v.buckets != 0 && !vm.checkStore(v.index+Addr(pos*4), 4) {
		return vm.nilTrap()
	}
	clear(bytesAt(e, et.t.Size))
	if v.buckets != 0 {
		st32(v.index+Addr(pos*4), v.deletedMark(pos))
	}
	st64(m+mapCount, ld64(m+mapCount)-1)
	return Done
}

// deletedMark is what a deleted bucket becomes: free if no probe sequence goes on behind it.
func (v *mapView) deletedMark(pos uint64) uint32 {
	if ld32(v.index+Addr(((pos+1)&(v.buckets-1))*4)) == 0 {
		return 0
	}
	return 1
}

// mapClear removes all entries: small arrays are zeroed, large ones dropped.
func (vm *VM) mapClear(et *entryType, m Addr) Outcome {
	if m == 0 {
		return Done
	}
	var v mapView
	if !vm.view(m, et, &v) || !vm.checkStore(m, mapObjSize) {
		return vm.nilTrap()
	}
	keep := v.cap*et.t.Size <= 1<<16
	if keep {
		if v.used != 0 && !vm.checkStore(v.entries, v.used*et.t.Size) || v.buckets != 0 && !vm.checkStore(v.index, v.buckets*4) {
			return vm.nilTrap()
		}
		clear(bytesAt(v.entries, v.used*et.t.Size))
		if v.buckets != 0 {
			clear(bytesAt(v.index, v.buckets*4))
		}
	} else {
		setArrays(m, 0, 0, 0, 0)
	}
	st64(m+mapUsed, 0)
	st64(m+mapCount, 0)
	st64(m+mapClears, ld64(m+mapClears)+1)
	return Done
}

// mapLen is the number of entries that len reports.
func (vm *VM) mapLen(m Addr) (uint64, bool) {
	if m == 0 {
		return 0, true
	}
	if !vm.checkRange(m, mapObjSize) {
		return 0, false
	}
	return ld64(m + mapCount), true
}

// moveBytes copies n bytes between checked or own ranges.
func moveBytes(dst, src Addr, n uint64) {
	switch n {
	case 0:
	case 8:
		st64(dst, ld64(src))
	case 16:
		a, b := ld64(src), ld64(src+8)
		st64(dst, a)
		st64(dst+8, b)
	default:
		copy(bytesAt(dst, n), bytesAt(src, n))
	}
}
