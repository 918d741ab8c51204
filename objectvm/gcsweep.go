package objectvm

import "math/bits"

// Sweeping, a span at a time.

// sweepStep sweeps a span; false when none is left.
func (vm *VM) sweepStep() bool {
	g := &vm.gc
	g.work += 4
	if !g.major {
		n := len(g.sweepY)
		if n == 0 {
			return false
		}
		s := g.sweepY[n-1]
		g.sweepY = g.sweepY[:n-1]
		vm.sweepSpan(s)
		return true
	}
	if g.sweepAt > g.sweepEnd {
		g.sweepY = g.sweepY[:0]
		return false
	}
	g.sweepAt++
	vm.sweepSpan(g.sweepAt - 1)
	return true
}

// sweepSpan clears the allocation bits of dead objects; it frees the span if none is left.
func (vm *VM) sweepSpan(s uint32) {
	h, g, r := &vm.heap, &vm.gc, spanAddr(s)
	v := vm.viewSpan(s)
	if v == nil || v.elem == 0 || v.born == g.cycle {
		return
	}
	bm, mk := h.bitmap(v.base), vm.marksOf(v)
	freed, used := uint64(0), uint64(0)
	for i := uint64(0); i < uint64(v.count); i += 64 {
		at := Addr(i / 8)
		old := ld64(bm + at)
		if uint64(v.count)-i < 64 {
			old &= 1<<(uint64(v.count)-i) - 1
		}
		marked := ld64(mk + at)
		live := old & marked
		used += uint64(bits.OnesCount64(live))
		freed += uint64(bits.OnesCount64(old &^ live))
		if vm.cfg.GCStress || vm.cfg.GCUnits > 0 {
			vm.poisonDead(v.base, v.elem, i, old&^live)
		}
		if old != live {
			vm.set(bm+at, ld64(bm+at)&^(old&^live))
		}
		if marked != live && v.young != g.cycle { // what was set aside and not used is free
			st64(mk+at, live)
		}
		g.work += 2
	}
	vm.set(r+spanUsed, used)
	g.stats.Freed += freed * v.elem
	h.used -= min(freed*v.elem, h.used)
	if v.young == g.cycle { // it is allocated from, and may have a batch
		return
	}
	in := listed(spanLists, s)
	switch {
	case used == 0:
		if in && !vm.remove(spanLists, classAddr(v.class)+classRoom, s) {
			return
		}
		vm.freeSpan(s)
	case used < uint64(v.count) && !in:
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
