// Package guest makes an ordinary Go program a Solo5 unikernel. A program that
// imports it and is built and linked by package unikernel boots under any
// tender with hvt ABI version 2; built with plain `go build` it stays an ordinary
// program, in which Active is false and nothing here does anything.
//
// Inside the unikernel os.Args are the tender's arguments, os.Stdout and
// os.Stderr are its console, and there is no file system and no network. The
// machine has one processor: goroutines take turns, and a long computation
// calls Yield every millisecond or so.
//
// With the extension of package abi, block requests run on the tender's side
// while the guest computes, a Flush is durable, and there is a Channel to the host.
// The events of the extension travel like this: the tender increments a word in shared
// memory; a computing guest sees that in Yield; an idle guest waits in the
// POLL hypercall, which the tender then ends, and the kernel makes a descriptor
// readable on which a goroutine sleeps in the Go runtime's own poller.
package guest

import (
	"errors"
	"os"
	"runtime"
	"sync"
	"sync/atomic"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/guest/internal/kern"
)

// Errors that the package's errors wrap.
var (
	ErrInactive = errors.New("the program does not run as a unikernel")
	ErrNoDevice = errors.New("no such device")
	ErrRange    = errors.New("outside the device")
	ErrMessage  = errors.New("message too long")
)

// Active tells whether the program runs as a unikernel.
func Active() bool { return kern.Active() }

// Memory gives how many bytes of the guest's memory are free, and how many it
// could hand out at the start. Both are 0 in an ordinary process. Memory that
// was mapped but not touched counts as free. When nothing is free and memory is touched,
// the guest ends with abi.ExitOutOfMemory.
func Memory() (free, total uint64) { return kern.Memory() }

// Cmdline gives the arguments that the tender passed.
func Cmdline() []string { return os.Args[1:] }

// Resync sets the wall clock by the tender's. The kernel does it by itself
// every minute.
func Resync() {
	if kern.Active() {
		kern.Resync()
	}
}

// Yield lets other goroutines run, completes what the tender has finished, and
// lets the runtime's timers fire. It costs some 100 ns if there is nothing to do.
func Yield() {
	if kern.Active() {
		machine().poll()
		machine().yieldThread()
	}
	runtime.Gosched()
}

// hub is the guest's side of the extension, one per machine.
type hub struct {
	area     area
	features abi.ExtFeature

	lock      sync.Mutex
	served    atomic.Uint32
	queue     *queue
	channel   *Channel
	lastYield atomic.Int64
}

// machine is the hub, made at the first use.
var machine = sync.OnceValue(newHub)

func newHub() *hub {
	h := &hub{}
	h.area, h.features = sharedArea()
	if h.features&abi.ExtBlockQueue != 0 {
		h.queue = newQueue(h)
	}
	if h.features&abi.ExtChannel != 0 {
		h.channel = newChannel(h)
	}
	if h.area != nil {
		go h.listen()
	}
	return h
}

// listen serves events when nobody calls Yield.
func (h *hub) listen() {
	bell := os.NewFile(kern.FDDoorbell, "doorbell")
	var b [8]byte
	for {
		if _, err := bell.Read(b[:]); err != nil {
			// The kernel makes the descriptor; without it nothing here works.
			panic("guest: doorbell: " + err.Error())
		}
		h.poll()
	}
}

// poll serves the events since the last call. Nothing in it blocks.
func (h *hub) poll() {
	if h.area == nil || h.area.word(abi.SharedEvents).Load() == h.served.Load() {
		return
	}
	h.lock.Lock()
	defer h.lock.Unlock()
	h.served.Store(h.area.word(abi.SharedEvents).Load())
	if h.queue != nil {
		h.queue.complete()
	}
	if h.channel != nil {
		h.channel.news()
	}
}

// yieldInterval is how often Yield enters the kernel, for the sake of the
// runtime's monitor thread.
const yieldInterval = 1e6

func (h *hub) yieldThread() {
	if now := kern.Nanos(); now-h.lastYield.Load() >= yieldInterval {
		h.lastYield.Store(now)
		kern.YieldThread()
	}
}

func notify(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
