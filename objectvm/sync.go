package objectvm

import "fmt"

// phantom.Sync. A goroutine in it is parked, in a list in order of arrival whose links are the goroutines' gNext and
// whose ends and length are in the header. Whoever makes checkpoints of the arena tells how far they have come:
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
	vm.hset(hdrSyncLen, hget(hdrSyncLen)+1)
	vm.sync.waiting++
	return Parked
}

// SyncWanted says whether goroutines are in phantom.Sync that no flip covers.
func (vm *VM) SyncWanted() bool { return vm.sync.waiting > 0 }

// Syncing is the number of goroutines in phantom.Sync.
func (vm *VM) Syncing() int { return vm.sync.covered + vm.sync.waiting }

// SyncFlipped says that the arena as it is now will be made durable, and that all its pages are frozen.
func (vm *VM) SyncFlipped() {
	vm.flipped()
	vm.sync.covered += vm.sync.waiting
	vm.sync.waiting = 0
}

// SyncDurable says that the arena is durable as it was at the last SyncFlipped. It returns how many goroutines go on.
func (vm *VM) SyncDurable() int {
	n := vm.sync.covered
	for range n {
		g := GID(hget(hdrSyncHead))
		if !syncs(uint64(g)) {
			vm.damaged("list of goroutines in phantom.Sync at %d", g)
			break
		}
		next, left := gGet(g, gNext), hget(hdrSyncLen)-1
		if (next == 0) != (left == 0) || next == 0 && uint64(g) != hget(hdrSyncTail) {
			vm.damaged("list of goroutines in phantom.Sync: its end")
			break
		}
		vm.hset(hdrSyncHead, next)
		vm.hset(hdrSyncLen, left)
		if next == 0 {
			vm.hset(hdrSyncTail, 0)
		}
		vm.ready(g)
	}
	vm.sync.covered = 0
	return n
}

// syncs says whether a number can be that of a goroutine in the list.
func syncs(g uint64) bool {
	return g != 0 && g <= hget(hdrGHigh) && gGet(GID(g), gStatus) == gWaiting && waitReason(gGet(GID(g), gReason)) == whySync
}

// attachSync finds the list of an arena that comes from a device; its members are looked at when they go on.
func (vm *VM) attachSync() error {
	n := hget(hdrSyncLen)
	if n > hget(hdrGHigh) || (n == 0) != (hget(hdrSyncHead) == 0) || n != 0 && (!syncs(hget(hdrSyncHead)) || !syncs(hget(hdrSyncTail))) {
		return fmt.Errorf("%w: list of goroutines in phantom.Sync", ErrArena)
	}
	vm.sync = syncState{waiting: int(n)}
	return nil
}
