package objectvm

import "time"

// The collector: precise, not moving, incremental, with two generations. docs/gc.md explains it; in short:
//
//  1. A cycle begins at a flip and marks what was reachable then, a little after each slice, reading the arena through snapshot.go. Objects
//     allocated while it goes on are marked.
//  2. Marks stay: a marked object is old. A minor cycle takes old objects for live and looks only at what was written since the
//     last cycle began: pages of old objects, of globals, of goroutine and other records.
//  3. A major cycle forgets the marks first and looks at everything.
//  4. Sweeping clears the allocation bits of what is not marked: in a minor cycle in spans where objects were allocated since the last
//     one, in a major one everywhere.
//
// Marks are volatile. A VM that is built on an arena takes all that exists for old; it needs no marks for that, and a cycle that was under way is
// forgotten.
//
// Invariants, which check_debug.go proves:
//
//	I1  When marking is over, everything reachable at that moment is marked or, in a minor cycle, old.
//	I2  Between cycles a pointer to an object that is not marked lies on a page that was noted since the last cycle began, or in an
//	    object that is not marked either.
//	I3  An object set aside in a batch is free; while a cycle goes on it is marked.

const (
	poison = 0xdb

	nursery      = 1 << 20                // bytes allocated between two cycles
	minMajor     = 4 << 20                // used bytes below which no major cycle begins
	pauseGoal    = 150 * time.Microsecond // of work after a slice
	workPerCheck = 400                    // units of work between two looks at the clock
)

// Phases of a cycle.
const (
	gcIdle = iota
	gcMark
	gcSweep
)

// collector is the state of the collector. All of it is volatile.
type collector struct {
	phase        uint8
	major        bool
	stopped      bool // nothing else runs until the cycle is over: no copies are needed
	force        bool // runtime.GC was called
	flips        bool // somebody flips
	cycle        uint32
	epoch        uint32 // number of major cycles begun: marks of an older one are void
	copies       uint32 // pages copied in this cycle
	work         int    // units done since the last look at the clock
	stack        []markItem
	roots        rootCursor
	fuelPerPause int64        // fuel that slices burn in pauseGoal
	clock        func() int64 // nanoseconds, for tests; nil: wall clock
	debt         uint64       // bytes allocated before the cycle that is under way began and since the last one that came to its end
	open         []uint32     // pages whose first store since the last flip was noted
	noted        []uint32     // pages noted since the present cycle began
	rescan       []uint32     // those of the cycle before
	young        []uint32     // spans in which objects were allocated since the present cycle began
	sweepY       []uint32     // those of the cycle before
	sweepAt      uint32
	sweepEnd     uint32
	stats        GCStats

	finishingRoots bool
}

// GCStats counts what the collector did since Attach.
type GCStats struct {
	Minor, Major  uint64 // completed cycles
	Forced        uint64 // of them, those that ran at once: no memory, or runtime.GC
	ByHand        uint64 // cycles that did not begin at a flip
	Nanos         uint64 // time spent
	MaxPause      uint64 // longest time after one slice, in nanoseconds, without those that ran at once
	Marked, Freed uint64 // objects marked, bytes freed
	Copies        uint64 // pages copied because they were written while a cycle marked
	Shaded        uint64 // pages whose objects were shaded instead
	Rescanned     uint64 // pages that minor cycles looked at
}

// GCStats returns the collector's counters.
func (vm *VM) GCStats() GCStats { return vm.gc.stats }

// markItem is the part of an object from off on that is to be scanned.
type markItem struct {
	v        *view
	obj, off Addr
}

func (vm *VM) initGC() { vm.gc = collector{cycle: 1, epoch: 1} }

// setGoals decides when the next cycle begins. live is what survived the last major one.
func (vm *VM) setGoals(live uint64) {
	h := &vm.heap
	h.goal = nursery
	h.major = max(minMajor, 2*live)
	if vm.cfg.OneGeneration {
		h.goal, h.major = max(nursery/2, live), 0
	}
	if limit := hget(hdrArenaLimit); limit != 0 { // a small arena is collected before it is full
		h.goal = min(h.goal, max(limit/16, heapPage))
		h.major = min(h.major, max(limit-limit/4, live+(limit-min(live, limit))/2))
	}
}

// wantsMajor says whether the cycle that begins now should be a major one.
func (vm *VM) wantsMajor() bool {
	h := &vm.heap
	if vm.cfg.OneGeneration {
		return true
	}
	if h.used < h.major {
		return false
	}
	limit := hget(hdrArenaLimit)
	short := uint64(h.base-DataBase)+hget(hdrHeapPages)<<heapShift+stackBytes() > limit-limit/4
	return short || vm.cfg.Memory == 0 || h.used < vm.cfg.Memory // a major cycle reads the whole heap
}

// beginCycle begins a cycle now. byHand: pages may be open.
func (vm *VM) beginCycle(byHand bool) {
	h, g := &vm.heap, &vm.gc
	vm.gcWanted = false
	g.major = g.stopped || vm.wantsMajor() || vm.cfg.GCUnits > 0 && g.cycle%3 == 0
	g.cycle++
	if g.major {
		g.epoch++
	}
	g.phase = gcMark
	g.copies = 0
	g.noted, g.rescan = g.rescan[:0], g.noted
	g.young, g.sweepY = g.sweepY[:0], g.young
	g.sweepAt, g.sweepEnd = 1, uint32(hget(hdrSpanHigh))
	g.stack = g.stack[:0]
	vm.dropBatches()
	for _, l := range h.lists {
		l.cur = 0
	}
	g.debt += h.bytes
	h.bytes = 0
	vm.beginRoots()
	if byHand {
		g.stats.ByHand++
		open := g.open
		g.open = nil
		for _, p := range open {
			vm.note(PageID(p))
		}
	}
}

// afterSlice does the collector's work between two slices.
func (vm *VM) afterSlice() {
	h, g := &vm.heap, &vm.gc
	if vm.stop.err == nil && hget(hdrState) == stateRunning {
		switch {
		case vm.cfg.GCStress || g.force || g.phase == gcIdle && g.debt+h.bytes > 4*h.goal+h.used/2+64<<20:
			// The last case is a VM that never lives long enough to finish a cycle.
			g.force = false
			vm.collect()
		case g.phase == gcIdle && (vm.gcWanted || vm.cfg.GCUnits > 0):
			if !g.flips || h.bytes > max(2*h.goal, h.used/4) { // checkpoints take too long
				vm.beginCycle(true)
			}
		}
		if g.phase != gcIdle {
			vm.gcStep()
		}
	}
	vm.hset(hdrUsed, h.used)
	vm.hset(hdrRecent, g.debt+h.bytes)
}

// shorten gives the fuel of a slice while a cycle goes on: the more was allocated since it began, the less time the program gets for each pause, so
// that the cycle ends before the heap has doubled.
func (vm *VM) shorten(fuel int64) int64 {
	h, g := &vm.heap, &vm.gc
	if g.phase == gcIdle || vm.cfg.GCUnits > 0 || g.fuelPerPause == 0 {
		return fuel
	}
	most := 2 * g.fuelPerPause
	switch part := 8 * h.bytes / (h.goal + h.used); {
	case part >= 8:
		most /= 16
	case part >= 4:
		most /= 8
	case part >= 2:
		most /= 4
	case part >= 1:
		most /= 2
	}
	return min(fuel, most)
}

// measured learns from a slice how much fuel is burnt in the time of a pause.
func (vm *VM) measured(fuel int64, d time.Duration) {
	if fuel >= 1000 && d > 0 {
		now := max(64, int64(float64(fuel)*float64(pauseGoal)/float64(d)))
		vm.gc.fuelPerPause += (now - vm.gc.fuelPerPause) / 4
	}
}

// gcStep works for about pauseGoal.
func (vm *VM) gcStep() {
	g := &vm.gc
	began := vm.gcNow()
	left := vm.cfg.GCUnits
	for g.phase != gcIdle && vm.stop.err == nil {
		vm.gcUnit()
		if left > 0 {
			if left--; left == 0 {
				break
			}
		}
		if vm.cfg.GCUnits == 0 && g.work >= workPerCheck {
			g.work = 0
			if vm.gcNow()-began >= int64(pauseGoal) {
				break
			}
		}
	}
	d := uint64(vm.gcNow() - began)
	g.stats.Nanos += d
	g.stats.MaxPause = max(g.stats.MaxPause, d)
}

var processStart = time.Now()

func (vm *VM) gcNow() int64 {
	if vm.gc.clock != nil {
		return vm.gc.clock()
	}
	return int64(time.Since(processStart))
}

// gcUnit does a small piece of work.
func (vm *VM) gcUnit() {
	g := &vm.gc
	if g.phase == gcSweep {
		if !vm.sweepStep() {
			vm.endCycle()
		}
		return
	}
	switch n := len(g.stack); {
	case !g.roots.done:
		g.roots.done = !vm.rootStep()
	case n > 0:
		it := g.stack[n-1]
		g.stack = g.stack[:n-1]
		vm.scanItem(it)
	default:
		vm.endMarking()
	}
	if vm.stop.err != nil { // nothing is swept of a heap whose roots are not known
		g.phase = gcIdle
	}
}

func (vm *VM) endMarking() {
	vm.sweepRuntime()
	vm.checkMarks()
	vm.gc.phase = gcSweep
}

func (vm *VM) endCycle() {
	h, g := &vm.heap, &vm.gc
	g.phase = gcIdle
	g.copies, g.debt = 0, 0
	vm.hset(hdrGCCount, hget(hdrGCCount)+1)
	live := hget(hdrLive)
	if g.major {
		g.stats.Major++
		live = h.used - min(h.bytes, h.used)
		vm.hset(hdrLive, live)
	} else {
		g.stats.Minor++
	}
	vm.setGoals(live)
}

// collect runs a whole major cycle at once, after the one that is under way. Precondition: no goroutine's registers are outside its record.
func (vm *VM) collect() {
	g := &vm.gc
	began := time.Now()
	g.stopped = true
	for g.phase != gcIdle && vm.stop.err == nil {
		vm.gcUnit()
	}
	if vm.stop.err == nil {
		vm.beginCycle(true)
	}
	for g.phase != gcIdle && vm.stop.err == nil {
		vm.gcUnit()
	}
	g.stopped = false
	g.stats.Forced++
	g.stats.Nanos += uint64(time.Since(began))
	if vm.stop.err == nil && vm.cur != 0 {
		vm.openFrame()
	}
}
