package objectvm

// Time. Monotonic time is wall time plus a persisted base; it counts time during which the instance was down, and never goes back:
// when the wall clock is set back, monotonic time stands still until the base is adjusted.

// now is wall time in nanoseconds since 1970.
func (vm *VM) now() int64 { return vm.clock.Now() }

// mono is monotonic time in nanoseconds since the instance began. It is kept in the header at most once a slice and
// a millisecond, which is enough to never go back: what was given out later in an unsaved slice was never seen.
func (vm *VM) mono() int64 {
	wall := vm.clock.Now()
	m := wall + int64(hget(hdrMonoBase))
	if m < vm.monoLast {
		vm.hset(hdrMonoBase, uint64(vm.monoLast-wall))
		m = vm.monoLast
	}
	vm.monoLast = m
	return m
}

func (vm *VM) lastMono() int64 { return vm.monoLast }

// wallOf converts monotonic to wall time.
func (vm *VM) wallOf(mono int64) int64 { return mono - int64(hget(hdrMonoBase)) }

// keepMono saves monotonic time when a program has looked at it.
func (vm *VM) keepMono() { vm.hset(hdrMono, uint64(vm.monoLast)) }

func (vm *VM) startClock(fresh bool) {
	if fresh {
		vm.hset(hdrMonoBase, uint64(-vm.clock.Now()))
		return
	}
	last := int64(hget(hdrMono))
	vm.monoLast = last
	if wall := vm.clock.Now(); wall+int64(hget(hdrMonoBase)) < last {
		vm.hset(hdrMonoBase, uint64(last-wall))
	}
}
