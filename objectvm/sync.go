package objectvm

import "fmt"

// phantom.Sync. A goroutine in it is parked, in a list in order of arrival whose links are the goroutines' gNext and
// whose ends are in the header. Whoever makes checkpoints of the arena tells how far they have come:
//
//  1. Sync parks; SyncWanted says that a flip should come.
//  2. SyncFlipped, at a flip: the goroutines in the list wait for this checkpoint. Those that come later are not covered.
//  3. SyncDurable, when that checkpoint is durable: they go on.
//
// An arena that comes back from a device holds the list as it was at a flip, and that flip is durable: SyncFlipped
// and SyncDurable follow Attach at once.

// syncState counts the list: the goroutines that the newest flip covers stand before the others.
type syncState struct{ covered, waiting int }

func nativePhantomSync(vm *VM, _, _ []uint64) Outcome {
	g := uint64(vm.cur)
	vm.park(whySync, 0)
	vm.gSet(vm.cur, gNext, 0)
	if tail := hget(hdrSyncTail); tail != 0 {
		vm.gSet(GID(tail), gNext, g)
	} else {
		vm.hset(hdrSyncHead, g)
	}
	vm.hset(hdrSyncTail, g)
	vm.sync.waiting++
	return Parked
}

// SyncWanted says whether goroutines are in phantom.Sync that no flip covers.
func (vm *VM) SyncWanted() bool { return vm.sync.waiting > 0 }

// Syncing is the number of goroutines in phantom.Sync.
func (vm *VM) Syncing() int { return vm.sync.covered + vm.sync.waiting }

// SyncFlipped says that the arena as it is now will be made durable.
func (vm *VM) SyncFlipped() {
	vm.sync.covered += vm.sync.waiting
	vm.sync.waiting = 0
}

// SyncDurable says that the arena is durable as it was at the last SyncFlipped. It returns how many goroutines go on.
func (vm *VM) SyncDurable() int {
	n := vm.sync.covered
	for range n {
		g := GID(hget(hdrSyncHead))
		if g == 0 || uint64(g) > hget(hdrGHigh) {
			break // of a damaged arena
		}
		next := gGet(g, gNext)
		vm.hset(hdrSyncHead, next)
		if next == 0 {
			vm.hset(hdrSyncTail, 0)
		}
		vm.ready(g)
	}
	vm.sync.covered = 0
	return n
}

// attachSync counts the list of an arena that comes from a device.
func (vm *VM) attachSync() error {
	n, err := syncList()
	vm.sync = syncState{waiting: n}
	return err
}

// syncList checks the list and returns its length.
func syncList() (int, error) {
	n, last := uint64(0), uint64(0)
	for g := hget(hdrSyncHead); g != 0; g = gGet(GID(g), gNext) {
		if n++; g > hget(hdrGHigh) || n > hget(hdrGHigh) || gGet(GID(g), gStatus) != gWaiting || waitReason(gGet(GID(g), gReason)) != whySync {
			return 0, fmt.Errorf("%w: list of goroutines in phantom.Sync at %d", ErrArena, g)
		}
		last = g
	}
	if last != hget(hdrSyncTail) {
		return 0, fmt.Errorf("%w: list of goroutines in phantom.Sync: its tail", ErrArena)
	}
	return int(n), nil
}
