package objectvm

import "fmt"

// Output and input. What the program prints lies in a ring per stream in META until whoever shows it has synced it and calls
// Trim; positions count bytes since the instance began. A full ring parks the writer. The last part of a
// ring is kept for fatal messages.

const (
	ringSize    = 256 << 10
	ringReserve = 64 << 10
)

// InputSource is the program's standard input, by position; n = 0 without an error means its end.
type InputSource interface {
	ReadAt(p []byte, off int64) (n int, err error)
}

func ringAddr(stream int) Addr { return metaRings + Addr(stream-1)*ringSize }

// output appends to a stream (1 stdout, 2 stderr) and returns the number of bytes taken, 0 if the ring is full.
func (vm *VM) output(stream int, p []byte) int { return vm.put(stream, p, ringSize-ringReserve) }

// fatalText writes to standard error, into the reserve too.
func (vm *VM) fatalText(p []byte) { vm.put(2, p, ringSize) }

func (vm *VM) put(stream int, p []byte, limit uint64) int {
	from, to := hget(hdrOutFrom+stream-1), hget(hdrOutTo+stream-1)
	if to-from >= limit {
		return 0
	}
	p = p[:min(uint64(len(p)), limit-(to-from))]
	for rest := p; len(rest) > 0; {
		at := to % ringSize
		n := min(uint64(len(rest)), ringSize-at)
		vm.touch(ringAddr(stream)+Addr(at), n)
		copy(bytesAt(ringAddr(stream)+Addr(at), n), rest)
		rest, to = rest[n:], to+n
	}
	vm.hset(hdrOutTo+stream-1, to)
	return len(p)
}

// parkOutput parks the running goroutine until Trim makes room; the caller returns Blocked.
func (vm *VM) parkOutput(stream int) {
	vm.park(whyOutput, uint64(stream))
	vm.waitIO(stream)
}

func (vm *VM) outputBlocked() bool { return hget(hdrWaitIO+1)|hget(hdrWaitIO+2) != 0 }

// OutputRange returns the positions between which output of the stream is kept.
func (vm *VM) OutputRange(stream int) (from, to uint64) {
	return hget(hdrOutFrom + stream - 1), hget(hdrOutTo + stream - 1)
}

// Output returns a copy of the stream's output from position from on; an error if it is not kept any more or not yet written.
func (vm *VM) Output(stream int, from uint64) ([]byte, error) {
	if stream != 1 && stream != 2 {
		return nil, fmt.Errorf("output stream %d", stream)
	}
	lo, hi := vm.OutputRange(stream)
	if from < lo || from > hi {
		return nil, fmt.Errorf("output position %d of stream %d, kept are %d to %d", from, stream, lo, hi)
	}
	out := make([]byte, 0, hi-from)
	for from < hi {
		at := from % ringSize
		n := min(hi-from, ringSize-at)
		out = append(out, bytesAt(ringAddr(stream)+Addr(at), n)...)
		from += n
	}
	return out, nil
}

// Trim forgets the stream's output before position upto and wakes goroutines that wait for room.
func (vm *VM) Trim(stream int, upto uint64) error {
	if stream != 1 && stream != 2 {
		return fmt.Errorf("output stream %d", stream)
	}
	lo, hi := vm.OutputRange(stream)
	if upto < lo || upto > hi {
		return fmt.Errorf("trim stream %d to %d, kept are %d to %d", stream, upto, lo, hi)
	}
	vm.hset(hdrOutFrom+stream-1, upto)
	if hi-upto < ringSize-ringReserve {
		vm.wakeIO(stream)
	}
	return nil
}

// Goroutines that wait for input (list 0) or for room in a stream (1, 2) are linked by gNext in order of arrival. Waking a list takes
// as many slices as it needs.

const wokenAtOnce = 256

// waitIO puts the running goroutine, which was parked, at the end of a list.
func (vm *VM) waitIO(list int) {
	head := hdrAddr(hdrWaitIO + list)
	vm.gSet(vm.cur, gNext, 0)
	first, last := ld32(head), ld32(head+4)
	if first == 0 {
		first = uint32(vm.cur)
	} else if vm.waitsIO(last, list) {
		vm.gSet(GID(last), gNext, uint64(vm.cur))
	}
	vm.set(head, uint64(first)|uint64(vm.cur)<<32)
}

// waitsIO says whether a link of a list names a goroutine that can be in it.
func (vm *VM) waitsIO(n uint32, list int) bool {
	g, want := GID(n), [...]waitReason{whyInput, whyOutput, whyOutput}[list]
	if n == 0 || uint64(n) > hget(hdrGHigh) || gGet(g, gStatus) != gWaiting || waitReason(gGet(g, gReason)) != want {
		vm.damaged("goroutine record %d in list %d of those that wait for input or output", n, list)
		return false
	}
	return true
}

// wakeIO makes all goroutines runnable that are in a list now.
func (vm *VM) wakeIO(list int) {
	vm.waking[list] = ld32(hdrAddr(hdrWaitIO+list) + 4)
	vm.wakeSome()
}

// wakeSome goes on with what wakeIO has begun.
func (vm *VM) wakeSome() {
	left := wokenAtOnce
	for list := range vm.waking {
		head := hdrAddr(hdrWaitIO + list)
		for ; vm.waking[list] != 0 && left > 0; left-- {
			n := ld32(head)
			if !vm.waitsIO(n, list) {
				vm.waking[list] = 0
				return
			}
			next, last := uint32(gGet(GID(n), gNext)), ld32(head+4)
			if next == 0 {
				last = 0
			}
			vm.set(head, uint64(next)|uint64(last)<<32)
			if n == vm.waking[list] {
				vm.waking[list] = 0
			}
			vm.ready(GID(n))
		}
	}
}

// attachIO goes on with what an earlier VM may have left undone: requests for input went with it, and there may be room for output.
func (vm *VM) attachIO() {
	vm.wakeIO(0)
	for s := 1; s <= 2; s++ {
		if from, to := vm.OutputRange(s); to-from < ringSize-ringReserve {
			vm.wakeIO(s)
		}
	}
}
