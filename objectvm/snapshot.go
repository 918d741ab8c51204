package objectvm

// The collector's view of the arena as it was when a cycle began, and what was written since.
//
// The write barrier tells of the first store to each page after a flip. A cycle begins at a flip, when all pages are frozen, so that from
// there on each page's first store passes through note, before it happens:
//
//  1. While the cycle marks, note copies the page aside if the tracer may still read it. snap reads the copy if there is one, else
//     the page: a value as it was when the cycle began. So marking sees one instant's roots, stacks and objects, whatever the
//     program and the natives do meanwhile, and no store needs a barrier of its own.
//  2. The pages noted since a cycle began are what the next minor cycle looks at: nothing else of the arena can point to
//     objects that are younger (gc.go).
//
// A page has a word of volatile memory: number of the cycle it was noted in, above; number of its copy + 1, below. Only the present cycle's
// word counts, so nothing is cleared.
//
// Where nobody flips, a cycle begins with all pages that are open since the last flip noted at once.

const (
	maxCopies  = 1 << 18 // of pages; the space for them is reserved
	copyBudget = 1 << 13 // copies of object pages; beyond them objects are shaded at once
)

// note is told of a page before its first store after a flip.
func (vm *VM) note(p PageID) {
	g := &vm.gc
	g.open = append(g.open, uint32(p))
	w := noteBase + Addr(p)*8
	if ld32(w+4) == g.cycle {
		return
	}
	a := ArenaBase + Addr(p)<<PageShift
	i := uint32(0)
	if g.phase == gcMark && !g.stopped {
		i = vm.preserve(a)
	}
	st64(w, uint64(g.cycle)<<32|uint64(i))
	if a >= DataBase || a >= metaG && a < metaPools || a >= rtWaits && a < metaHeap {
		g.noted = append(g.noted, uint32(p))
	}
}

// preserve copies a page for the tracer if that may need it; the result is the copy's number + 1, or 0.
func (vm *VM) preserve(a Addr) uint32 {
	g := &vm.gc
	roots := a < StacksBase+StacksSize || a < vm.heap.base
	if roots && (g.roots.done || a < metaG || a >= metaHeap && a < StacksBase) {
		return 0
	}
	if !roots {
		s := vm.spanAt(uint64(a-vm.heap.base) >> heapShift)
		if s == 0 {
			return 0
		}
		v := viewOf(s)
		if v.elem == 0 || v.born == g.cycle || v.mask == 0 && v.typ == 0 {
			return 0
		}
		if g.copies >= vm.copyBudget() {
			g.stats.Shaded++
			vm.shadePage(a, v)
			return 0
		}
	} else if g.copies >= maxCopies {
		if !g.finishingRoots { // more goroutines ran than there is room for: look at all roots now
			g.finishingRoots = true
			for vm.stop.err == nil && vm.rootStep() {
			}
			g.roots.done, g.finishingRoots = true, false
		}
		return 0
	}
	to := copyBase + Addr(g.copies)<<PageShift
	copy(bytesAt(to, PageSize), bytesAt(a, PageSize))
	g.copies++
	g.stats.Copies++
	return g.copies
}

func (vm *VM) copyBudget() uint32 {
	if n := vm.cfg.GCCopies; n > 0 {
		return uint32(min(n, maxCopies))
	}
	return copyBudget
}

// delta is what is added to an address of the page to find its content when the cycle began.
func (vm *VM) delta(page Addr) Addr {
	w := ld64(noteOff + page>>PageShift*8)
	if uint32(w>>32) != vm.gc.cycle || uint32(w) == 0 {
		return 0
	}
	return copyBase + Addr(uint32(w)-1)<<PageShift - page
}

// snap loads a word as it was when the cycle began.
func (vm *VM) snap(a Addr) uint64 { return ld64(a + vm.delta(a&^(PageSize-1))) }

func (vm *VM) snapG(g GID, w int) uint64 { return vm.snap(gAddr(g) + Addr(w)*8) }

func (vm *VM) snapPool(n uint64, w int) uint64 { return vm.snap(poolAddr(n) + Addr(w)*8) }

// notedSince says whether a page was noted in the present cycle or the one before.
func (vm *VM) notedSince(a Addr) bool {
	return ld32(noteOff+a>>PageShift*8+4)+1 >= vm.gc.cycle
}

// shadePage marks what all objects on a page point to from there, before the page changes: then it needs no copy.
func (vm *VM) shadePage(page Addr, v *view) {
	first := uint64(0)
	if page > v.base {
		first = v.object(uint64(page - v.base))
	}
	for i := first; i < uint64(v.count); i++ {
		obj := v.base + Addr(i*v.elem)
		if obj >= page+PageSize {
			break
		}
		if ld64(vm.heap.bitmap(v.base)+Addr(i/64)*8)>>(i%64)&1 == 1 {
			vm.scanOn(v, obj, page)
		}
	}
}

// flipped is told that all pages were frozen: a cycle that is wanted begins.
func (vm *VM) flipped() {
	g := &vm.gc
	g.open = g.open[:0]
	g.flips = true
	if (vm.gcWanted || vm.cfg.GCUnits > 0) && g.phase == gcIdle && !vm.cfg.GCStress && hget(hdrState) == stateRunning {
		vm.beginCycle(false)
	}
}
