package objectvm

// Goroutines is the number of goroutines that exist.
func (vm *VM) Goroutines() uint64 { return hget(hdrGLive) }

// Ran says whether a goroutine has run in the last slice.
func (vm *VM) Ran() bool { return vm.ran }

// HeapBytes is how many bytes the objects take that live, or that no cycle of the collector has found to be dead yet.
func (vm *VM) HeapBytes() uint64 { return vm.heap.used }

// GCCycles is the number of the collector's cycles that were completed since Attach.
func (vm *VM) GCCycles() uint64 { return vm.gc.stats.Minor + vm.gc.stats.Major }

// GCTime is the time that this VM has spent in the collector since Attach, in nanoseconds.
func (vm *VM) GCTime() uint64 { return vm.gc.stats.Nanos }

// OutputBlocked tells whether goroutines wait for room in an output ring.
func (vm *VM) OutputBlocked() bool { return vm.outputBlocked() }

// PageBytes is the memory of a page of the mapped arena.
// Preconditions: p < ArenaPages and an Arena is mapped.
func PageBytes(p PageID) []byte { return bytesAt(ArenaBase+Addr(p)<<PageShift, PageSize) }
