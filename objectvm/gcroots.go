package objectvm

import (
	"math/bits"
	"slices"
	"sort"

	"phantomvm/bytecode"
)

// Roots, a few at a time. A major cycle looks at all globals, goroutines, waiters and timers; a minor one at those that lie
// on pages noted since the last cycle began, and at the old objects on such pages. All are read as they were when the cycle began.
//
// A goroutine's stack is walked from its newest frame. A minor cycle stops where no page of a frame was noted: nothing below it was
// executed since, and what it holds is old.

// Kinds of roots, in the order in which a major cycle looks at them.
const (
	rootPages = iota // noted pages, of a minor cycle
	rootGlobals
	rootGs
	rootWaits
	rootTimers
	rootEnd
)

// rootCursor says which roots are left.
type rootCursor struct {
	kind   int
	next   uint64 // number of the next root of the kind
	off    uint64 // in a global
	gHigh  uint64
	waits  uint64
	timers uint64
	done   bool

	from, last GID // goroutine records of a noted page that are left
	g          GID // whose stack is being walked, 0 none
	list       uint64
	listKind   uint64
	left       uint64 // records that its list may still have
	walk       bool
	it         frameIter
}

func (vm *VM) beginRoots() {
	c := &vm.gc.roots
	*c = rootCursor{gHigh: hget(hdrGHigh), waits: ld64(rtWaitTop), timers: ld64(rtTimerTop)}
	if vm.gc.major {
		c.kind = rootGlobals
	}
	if vm.heap.globals == nil {
		vm.heap.globals = vm.pointerGlobals()
	}
}

// rootStep looks at one root, or a part of it; false when none is left.
func (vm *VM) rootStep() bool {
	c := &vm.gc.roots
	vm.gc.work += 4
	if c.g != 0 {
		vm.stepG()
		return true
	}
	switch c.kind {
	case rootPages:
		if g := c.from; g != 0 {
			if c.from++; c.from > c.last {
				c.from = 0
			}
			vm.startG(g)
			return true
		}
		if c.next >= uint64(len(vm.gc.rescan)) {
			return false
		}
		vm.rescanPage(ArenaBase + Addr(vm.gc.rescan[c.next])<<PageShift)
		c.next++
		vm.gc.stats.Rescanned++
		return true
	case rootGlobals:
		if c.next < uint64(len(vm.heap.globals)) {
			vm.stepGlobal(vm.heap.globals[c.next])
			return true
		}
	case rootGs:
		if c.next++; c.next <= c.gHigh {
			vm.startG(GID(c.next))
			return true
		}
	case rootWaits:
		if c.next++; c.next <= c.waits {
			vm.markWaiter(uint32(c.next))
			return true
		}
	case rootTimers:
		if c.next++; c.next <= c.timers {
			vm.markTimer(uint32(c.next))
			return true
		}
	default:
		return false
	}
	c.kind++
	c.next = 0
	return true
}

// pointerGlobals lists the globals that hold pointers, by offset.
func (vm *VM) pointerGlobals() []*bytecode.Global {
	list := []*bytecode.Global{}
	for i := range vm.mod.Globals {
		if g := &vm.mod.Globals[i]; vm.types[g.Type].PtrBytes != 0 {
			list = append(list, g)
		}
	}
	slices.SortFunc(list, func(a, b *bytecode.Global) int { return int(int64(a.Offset) - int64(b.Offset)) })
	return list
}

// stepGlobal scans a piece of a global.
func (vm *VM) stepGlobal(g *bytecode.Global) {
	c, t := &vm.gc.roots, vm.types[g.Type]
	end := min(c.off+pieceBytes, t.Unit*t.Count)
	vm.scan(DataBase+Addr(g.Offset), t.Unit, t.Mask, c.off, end)
	if c.off = end; end == t.Unit*t.Count {
		c.next, c.off = c.next+1, 0
	}
}

// rescanPage looks at what lies on a noted page.
func (vm *VM) rescanPage(page Addr) {
	h, c := &vm.heap, &vm.gc.roots
	switch {
	case page >= h.base:
		s := vm.spanAt(uint64(page-h.base) >> heapShift)
		if s == 0 {
			return
		}
		if v := viewOf(s); v.elem != 0 && (v.mask != 0 || v.typ != 0) && v.born != vm.gc.cycle {
			vm.scanOld(page, v)
		}
	case page >= DataBase:
		gs := h.globals
		off := uint64(page - DataBase)
		for i := sort.Search(len(gs), func(i int) bool { return gs[i].Offset+vm.types[gs[i].Type].Size > off }); i < len(gs) && gs[i].Offset < off+PageSize; i++ {
			t, at := vm.types[gs[i].Type], gs[i].Offset
			lo := uint64(0)
			if at < off {
				lo = off - at
			}
			vm.scan(DataBase+Addr(at), t.Unit, t.Mask, lo, min(t.Unit*t.Count, off+PageSize-at))
		}
	case page >= rtTimers:
		for n := uint32((page - rtTimers) / tmSize); tmAddr(n) < page+PageSize; n++ {
			if n != 0 && uint64(n) <= c.timers {
				vm.markTimer(n)
			}
		}
	case page >= rtWaits:
		for n := uint32((page - rtWaits) / wrSize); wrAddr(n) < page+PageSize; n++ {
			if n != 0 && uint64(n) <= c.waits {
				vm.markWaiter(n)
			}
		}
	default:
		c.from = max(1, GID((page-metaG)/gSize))
		c.last = GID((page-metaG)/gSize) + PageSize/gSize - 1
	}
}

// scanOld scans the words of old objects on a page.
func (vm *VM) scanOld(page Addr, v *view) {
	first := uint64(0)
	if page > v.base {
		first = v.object(uint64(page - v.base))
	}
	mk, bm := vm.marksOf(v), vm.heap.bitmap(v.base)
	for i := first; i < uint64(v.count); i++ {
		obj := v.base + Addr(i*v.elem)
		if obj >= page+PageSize {
			break
		}
		if at := Addr(i/64) * 8; ld64(bm+at)&ld64(mk+at)>>(i%64)&1 == 1 {
			vm.scanOn(v, obj, page)
		}
	}
}

func (vm *VM) markWaiter(n uint32) {
	if a := wrAddr(n); vm.snap(a+wrG) != 0 { // who waits keeps the channel's address from being used again
		vm.mark(Addr(vm.snap(a+wrKey) >> 1))
	}
}

// markTimer marks what a pending timer keeps alive.
func (vm *VM) markTimer(n uint32) {
	if a := tmAddr(n); vm.snap(a+tmKind) == tmCall {
		for _, w := range [...]Addr{tmKey, tmF, tmArgT, tmArgD} {
			vm.mark(Addr(vm.snap(a + w)))
		}
	}
}

// startG begins with a goroutine. One that did not run since Attach is as it was on disk: a minor cycle need not look at it.
func (vm *VM) startG(g GID) {
	c := &vm.gc.roots
	if uint64(g) > c.gHigh || vm.snapG(g, gStatus) == gFree {
		return
	}
	if !vm.isChecked(g) {
		if !vm.gc.major {
			return
		}
		if err := vm.checkG(g); err != nil {
			vm.stop.err = err
			return
		}
	}
	vm.mark(Addr(vm.snapG(g, gFn)))
	pc, fp := Addr(vm.snapG(g, gPC)), Addr(vm.snapG(g, gFP))
	f := &vm.mod.Funcs[vm.code.find(pc)]
	slot, n := vm.snapG(g, gwPendSlot), vm.snapG(g, gwPendLen) // a value handed over, which no stack map names yet
	for i := slot; n != 0 && slot >= bytecode.FrameArgs && i < slot+n && i < uint64(f.Frame); i++ {
		vm.mark(Addr(vm.snap(fp + Addr(i)*8)))
	}
	c.g, c.walk = g, false
	c.list, c.listKind, c.left = vm.snapG(g, gDefer), poolDefer, hget(hdrPoolHigh)
}

// stepG goes on with a goroutine: a deferred call, a panic or a frame.
func (vm *VM) stepG() {
	c := &vm.gc.roots
	switch r := c.list; {
	case r != 0:
		if r > hget(hdrPoolHigh) || c.left == 0 {
			vm.damaged("record %d of goroutine record %d", r, c.g)
			return
		}
		vm.mark(Addr(vm.snapPool(r, deferFn))) // or the first word of a panic's value
		if c.listKind == poolPanic {
			vm.mark(Addr(vm.snapPool(r, panicValue+1)))
		}
		c.left--
		c.list = vm.snapPool(r, poolNext)
		return
	case c.listKind == poolDefer:
		c.list, c.listKind, c.left = vm.snapG(c.g, gPanic), poolPanic, hget(hdrPoolHigh)
		return
	case !c.walk:
		c.walk = true
		c.it = frameIter{vm: vm, snap: true, nextPC: Addr(vm.snapG(c.g, gPC)), nextFP: Addr(vm.snapG(c.g, gFP)), left: maxStack / 24}
	}
	if !c.it.next() {
		c.g = 0
		return
	}
	f := &vm.mod.Funcs[c.it.fn]
	if !vm.gc.major && !vm.notedSince(c.it.fp) && !vm.notedSince(c.it.fp+frameBytes(f)-8) {
		c.g = 0
		return
	}
	if f.Flags&bytecode.FuncClosure != 0 {
		vm.mark(Addr(vm.snap(c.it.fp + bytecode.FrameCtx*8)))
	}
	vm.markSlots(c.it.fp, f.Always, int(f.Frame))
	if m, ok := c.it.stackMap(); ok {
		vm.markSlots(c.it.fp, m, int(f.Frame))
	}
}

func (vm *VM) markSlots(fp Addr, bitmap []uint64, slots int) {
	for w, m := range bitmap {
		for ; m != 0; m &= m - 1 {
			if s := w*64 + bits.TrailingZeros64(m); s < slots {
				vm.mark(Addr(vm.snap(fp + Addr(s)*8)))
			}
		}
	}
}
