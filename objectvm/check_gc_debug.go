//go:build phantomdebug

package objectvm

import (
	"math/bits"

	"phantomvm/bytecode"
)

// Proofs of the collector's invariants, see gc.go.

// liveTrace visits everything that is reachable now.
type liveTrace struct {
	vm    *VM
	seen  map[Addr]bool
	stack []Addr
	visit func(v *view, i uint64, obj Addr)
}

// at resolves an address as mark does, from what the VM has persisted.
func (vm *VM) liveObject(a Addr) (v *view, i uint64) {
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
	if i >= uint64(v.count) || ld64(h.bitmap(v.base)+Addr(i/64)*8)>>(i%64)&1 == 0 {
		return nil, 0
	}
	return v, i
}

func (t *liveTrace) add(a Addr) {
	v, i := t.vm.liveObject(a)
	if v == nil {
		return
	}
	obj := v.base + Addr(i*v.elem)
	if !t.seen[obj] {
		t.seen[obj] = true
		t.visit(v, i, obj)
		t.stack = append(t.stack, obj)
	}
}

func (t *liveTrace) run() {
	vm := t.vm
	for _, g := range vm.pointerGlobals() {
		vm.types[g.Type].eachPtr(uint64(DataBase)+g.Offset, func(at uint64) { t.add(ldAddr(Addr(at))) })
	}
	for g := GID(1); uint64(g) <= hget(hdrGHigh); g++ {
		if gGet(g, gStatus) != gFree && vm.checkG(g) == nil {
			vm.eachOfG(g, func(_, a Addr) { t.add(a) })
		}
	}
	for n := uint32(1); uint64(n) <= ld64(rtWaitTop); n++ {
		if ld64(wrAddr(n)+wrG) != 0 {
			t.add(ldAddr(wrAddr(n)+wrKey) >> 1)
		}
	}
	for n := uint32(1); uint64(n) <= ld64(rtTimerTop); n++ {
		if a := tmAddr(n); ld64(a+tmKind) == tmCall {
			for _, w := range [...]Addr{tmKey, tmF, tmArgT, tmArgD} {
				t.add(ldAddr(a + w))
			}
		}
	}
	for n := len(t.stack); n > 0; n = len(t.stack) {
		obj := t.stack[n-1]
		t.stack = t.stack[:n-1]
		v, _ := vm.liveObject(obj)
		vm.eachWord(v, obj, func(_, a Addr) { t.add(a) })
	}
}

// eachOfG calls f with all that a goroutine holds; at is 0 or where it lies.
func (vm *VM) eachOfG(g GID, f func(at, a Addr)) {
	f(0, Addr(gGet(g, gFn)))
	for d := gGet(g, gDefer); d != 0; d = poolGet(d, poolNext) {
		f(0, Addr(poolGet(d, deferFn)))
	}
	for p := gGet(g, gPanic); p != 0; p = poolGet(p, poolNext) {
		f(0, Addr(poolGet(p, panicValue)))
		f(0, Addr(poolGet(p, panicValue+1)))
	}
	for i := range vm.gWait(g, gwPendLen) {
		at := vm.slotAddrOf(g, int(vm.gWait(g, gwPendSlot)+i))
		f(at, ldAddr(at))
	}
	it := vm.frameIter(g)
	for it.next() {
		fn := &vm.mod.Funcs[it.fn]
		slots := func(bitmap []uint64) {
			for w, m := range bitmap {
				for ; m != 0; m &= m - 1 {
					if s := w*64 + bits.TrailingZeros64(m); s < int(fn.Frame) {
						f(it.fp+Addr(s)*8, ldAddr(it.fp+Addr(s)*8))
					}
				}
			}
		}
		if fn.Flags&bytecode.FuncClosure != 0 {
			f(it.fp+bytecode.FrameCtx*8, ldAddr(it.fp+bytecode.FrameCtx*8))
		}
		slots(fn.Always)
		if m, ok := it.stackMap(); ok {
			slots(m)
		}
	}
}

// eachWord calls f with the pointer words of an object.
func (vm *VM) eachWord(v *view, obj Addr, f func(at, a Addr)) {
	mask, unit := []uint64{v.mask}, v.unit
	if v.typ != 0 {
		t := vm.placedType(uint64(v.typ))
		if t == nil {
			return
		}
		mask = t.Mask
	}
	if unit == 0 {
		unit = v.elem
	}
	for u := uint64(0); u < v.elem; u += unit {
		for w, m := range mask {
			for ; m != 0; m &= m - 1 {
				if o := u + (uint64(w)*64+uint64(bits.TrailingZeros64(m)))*8; o+8 <= v.elem {
					f(obj+Addr(o), ldAddr(obj+Addr(o)))
				}
			}
		}
	}
}

// checkMarks proves I1 at the end of marking.
func (vm *VM) checkMarks() {
	if vm.stop.err != nil || hget(hdrState) != stateRunning {
		return
	}
	t := liveTrace{vm: vm, seen: map[Addr]bool{}}
	t.visit = func(v *view, i uint64, obj Addr) {
		if !vm.isMarked(obj) {
			vm.broken("object %#x (size %d, span born in cycle %d) is reachable and not marked at the end of cycle %d, major %v", uint64(obj), v.elem, v.born, vm.gc.cycle, vm.gc.major)
		}
	}
	t.run()
}

// checkOld proves I2 between cycles.
func (vm *VM) checkOld() {
	g := &vm.gc
	if g.phase != gcIdle || vm.stop.err != nil || hget(hdrState) != stateRunning {
		return
	}
	young := func(what string, at, a Addr) {
		if v, _ := vm.liveObject(a); v == nil || vm.isMarked(a) || at != 0 && ld32(noteOff+at>>PageShift*8+4) == g.cycle {
			return
		}
		vm.broken("%s at %#x points to the young object %#x, and nobody has noted that; cycle %d", what, uint64(at), uint64(a), g.cycle)
	}
	for s := uint32(1); uint64(s) <= hget(hdrSpanHigh); s++ {
		v := viewOf(s)
		if v.elem == 0 {
			continue
		}
		bm, mk := vm.heap.bitmap(v.base), vm.marksOf(v)
		for i := uint64(0); i < uint64(v.count); i++ {
			if at := Addr(i/64) * 8; ld64(bm+at)&ld64(mk+at)>>(i%64)&1 == 1 {
				vm.eachWord(v, v.base+Addr(i*v.elem), func(at, a Addr) { young("an old object", at, a) })
			}
		}
	}
	for _, gl := range vm.pointerGlobals() {
		vm.types[gl.Type].eachPtr(uint64(DataBase)+gl.Offset, func(at uint64) { young("a global", Addr(at), ldAddr(Addr(at))) })
	}
	for g := GID(1); uint64(g) <= hget(hdrGHigh); g++ {
		if gGet(g, gStatus) != gFree && vm.isChecked(g) {
			vm.eachOfG(g, func(at, a Addr) {
				if at == 0 {
					at = gAddr(g)
				}
				young("goroutine", at, a)
			})
		}
	}
}
