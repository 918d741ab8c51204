package objectvm

// Goroutines is the number of goroutines that exist.
func (vm *VM) Goroutines() uint64 { return hget(hdrGLive) }

// Ran says whether a goroutine has run in the last slice.
func (vm *VM) Ran() bool { return vm.ran }

// HeapBytes is how many bytes the live objects take: those that survived the last collection, and those allocated since.
func (vm *VM) HeapBytes() uint64 { return vm.heap.live + vm.heap.bytes }

// GCCycles is the number of collections since Attach.
func (vm *VM) GCCycles() uint64 { return vm.gcCycles }

// GCTime is the time that this VM has spent in the collector since Attach, in nanoseconds.
func (vm *VM) GCTime() uint64 { return vm.gcNanos }

// OutputBlocked tells whether goroutines wait for room in an output ring.
func (vm *VM) OutputBlocked() bool { return vm.outputBlocked() }

// PageBytes is the memory of a page of the mapped arena.
// Preconditions: p < ArenaPages and an Arena is mapped.
func PageBytes(p PageID) []byte { return bytesAt(ArenaBase+Addr(p)<<PageShift, PageSize) }
