package objectvm

import "math/bits"

// Making and growing maps; maps.go has the layout.

// mapMake allocates a map with room for hint entries.
func (vm *VM) mapMake(et *entryType, hint uint64) (Addr, bool) {
	m, ok := vm.newObject(vm.rt.own.mapObj)
	if !ok {
		return 0, false
	}
	if int64(hint) <= mapSmall || hint > maxAlloc/et.t.Size/8 || hint > mapMaxCap/2 {
		return m, true
	}
	entries, index, buckets, ok := vm.mapArrays(et, hint)
	if ok {
		setArrays(m, entries, hint, index, buckets)
	}
	return m, ok
}

// mapArrays allocates an entry array and, if it needs one, an index.
func (vm *VM) mapArrays(et *entryType, n uint64) (entries, index Addr, buckets uint64, ok bool) {
	if entries, ok = vm.newArray(et.t, n); !ok || n <= mapSmall {
		return entries, 0, 0, ok
	}
	buckets = 1 << bits.Len64(n+n/2) // 38 to 75 % full when the entries are used up
	index, ok = vm.allocBytes(buckets * 4)
	return entries, index, buckets, ok
}

func setArrays(m, entries Addr, n uint64, index Addr, buckets uint64) {
	stAddr(m+mapEntries, entries)
	st64(m+mapCap, n)
	stAddr(m+mapIndex, index)
	st64(m+mapBuckets, buckets)
}

// freeBucket is the first free or deleted position for a hash. A forged index without one yields the first probed.
func (v *mapView) freeBucket(h uint64) uint64 {
	if v.buckets == 0 {
		return 0
	}
	mask := v.buckets - 1
	for i := range v.buckets {
		if pos := (h + i) & mask; ld32(v.index+Addr(pos*4)) <= 1 {
			return pos
		}
	}
	return h & mask
}

// mapGrow moves the live entries to new arrays. False: no memory, nothing was changed.
func (vm *VM) mapGrow(v *mapView) bool {
	live := uint64(0)
	for i := range v.used {
		live += ld64(v.entry(i)) >> 63
	}
	n := max(mapSmall, v.cap)
	if live > n-n/4 || v.cap == 0 {
		n = max(mapSmall, 2*v.cap)
	}
	for n > 2*mapSmall && live < n/8 {
		n /= 2
	}
	if n > mapMaxCap || n > maxAlloc/v.et.t.Size {
		return false
	}
	entries, index, buckets, ok := vm.mapArrays(v.et, n)
	if !ok || !vm.checkStore(v.obj, mapObjSize) {
		return false
	}
	nv := mapView{obj: v.obj, entries: entries, index: index, cap: n, buckets: buckets, et: v.et}
	size := v.et.t.Size
	vm.charge(v.used * size)
	probes := 64*n + 1<<20 // hashes that are all the same were forged
	for i := range v.used {
		e := v.entry(i)
		h := ld64(e)
		if h>>63 == 0 {
			continue
		}
		moveBytes(nv.entry(nv.used), e, size)
		if buckets != 0 {
			pos := nv.freeBucket(h)
			if d := (pos - h) & (buckets - 1); d > probes {
				return false
			} else {
				probes -= d
			}
			st32(index+Addr(pos*4), uint32(nv.used+2))
		}
		nv.used++
	}
	setArrays(v.obj, entries, n, index, buckets)
	st64(v.obj+mapUsed, nv.used)
	st64(v.obj+mapCount, nv.used)
	*v = nv
	return true
}
