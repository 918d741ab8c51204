package objectvm

// Goroutines is the number of goroutines that exist.
func (vm *VM) Goroutines() uint64 { return hget(hdrGLive) }

// OutputBlocked tells whether goroutines wait for room in an output ring.
func (vm *VM) OutputBlocked() bool { return vm.outputBlocked() }

// PageBytes is the memory of a page of the mapped arena.
// Preconditions: p < ArenaPages and an Arena is mapped.
func PageBytes(p PageID) []byte { return bytesAt(ArenaBase+Addr(p)<<PageShift, PageSize) }
