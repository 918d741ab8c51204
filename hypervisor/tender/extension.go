package tender

import (
	"encoding/binary"
	"fmt"
	"sync"
	"sync/atomic"

	"phantomvm/hypervisor/abi"
)

// extension is the tender's side of the shared area. The guest may write
// anything there at any time, so every value is loaded once and then checked.
type extension struct {
	vm     *VM
	b      []byte // the shared area
	stop   chan struct{}
	wg     sync.WaitGroup
	sleeps map[abi.Hypercall]*doorbell
	failed atomic.Pointer[error] // first breach of the protocol

	sendLock sync.Mutex
	inTail   uint32
	inRoom   chan struct{} // the guest may have made room
}

func (vm *VM) setupExtension(arg uint64) error {
	b, err := vm.mem.span(arg, abi.ExtSetupSize, true)
	if err != nil {
		return err
	}
	le := binary.LittleEndian
	area, size, want := le.Uint64(b), le.Uint64(b[8:]), abi.ExtFeature(le.Uint32(b[16:]))
	if vm.ext != nil || size != abi.SharedSize || area%abi.PageSize != 0 || want&^vm.offered() != 0 {
		le.PutUint32(b[abi.ExtSetupRetOff:], uint32(abi.ResultEINVAL))
		return nil
	}
	shared, err := vm.mem.span(area, size, true)
	if err != nil {
		return err
	}
	e := &extension{
		vm: vm, b: shared, stop: make(chan struct{}), inRoom: make(chan struct{}, 1),
		sleeps: map[abi.Hypercall]*doorbell{},
	}
	for n, off := range map[abi.Hypercall]int{abi.HypercallKickBlock: abi.SharedQueueSleeps, abi.HypercallKickChannel: abi.SharedOutSleeps} {
		e.sleeps[n] = &doorbell{flag: word(shared, off), c: make(chan struct{}, 1)}
	}
	if want&abi.ExtEventKick != 0 {
		// Without it kicks leave KVM_RUN, as they would if the feature was not there.
		_ = e.sleeps[abi.HypercallKickBlock].bind(vm.events, abi.HypercallPort+uint16(abi.HypercallKickBlock))
	}
	if want&abi.ExtBlockQueue != 0 {
		e.wg.Go(e.serveQueue)
	}
	if want&abi.ExtChannel != 0 {
		e.wg.Go(e.serveChannel)
	}
	vm.ext = e
	close(vm.set)
	le.PutUint32(b[abi.ExtSetupRetOff:], uint32(abi.ResultOK))
	return nil
}

func (e *extension) word(off int) *atomic.Uint32 { return word(e.b, off) }

// kick wakes the goroutine that the guest rang for.
func (e *extension) kick(n abi.Hypercall) {
	e.sleeps[n].ring()
	if n == abi.HypercallKickChannel {
		notify(e.inRoom)
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// announce tells the guest that there is news.
func (e *extension) announce() {
	e.word(abi.SharedEvents).Add(1)
	e.vm.waker.wake()
}

// fail ends the guest because it broke the protocol of the shared area.
func (e *extension) fail(format string, args ...any) {
	err := fmt.Errorf("%w: %w: %w", ErrGuest, errSetup, fmt.Errorf(format, args...))
	e.failed.CompareAndSwap(nil, &err)
	e.vm.interrupt()
}

// finish lets both goroutines complete what the guest has submitted.
func (e *extension) finish() {
	close(e.stop)
	for _, d := range e.sleeps {
		d.ring()
	}
	e.wg.Wait()
	for _, d := range e.sleeps {
		d.close()
	}
}
