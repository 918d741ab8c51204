// Package monitor runs an instance: as a guest under /dev/kvm or in this
// process. Both speak the same messages (objectvm/machine/wire) with the
// host's side in this file.
package monitor

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unicode"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/objectvm/machine/wire"
)

// peer is the host's end of a link.
type peer interface {
	Send(msg []byte) error
	// Messages is closed when the machine is gone.
	Messages() <-chan []byte
}

// host serves one run of an instance.
type host struct {
	logs  [wire.Streams]*instance.Log
	shown [wire.Streams]*display // where the program's output of this run is also written
	log   io.Writer              // messages about the run
	stdin *instance.Stdin

	mu      sync.Mutex
	status  wire.Status
	onStart func(wire.Status)
	peer    peer
	began   time.Time     // when this run began
	start   time.Duration // from then to the machine's first instruction

	stats history
	asks  chan struct{} // room for one: newer numbers are wanted

	got     [wire.Streams]atomic.Int64  // how far output has come in this run; no more is acknowledged
	dirty   [wire.Streams]chan struct{} // room for one: output waits to be synced
	wants   chan int64                  // input is wanted from there on
	failed  chan error                  // room for one: a helper goroutine gave up
	quit    chan struct{}
	helpers sync.WaitGroup

	stopping atomic.Bool
	hurry    atomic.Bool // the machine waits for acknowledgements
}

// Output is synced, and acknowledged, when so much has come or so much time has gone by: the machine keeps it until
// then, and a flush of a log competes with those of checkpoints. The machine has more room than that.
const (
	syncBytes = 32 << 10
	syncDelay = 200 * time.Millisecond
)

// showGrace is how long a run that ends waits for a reader of its output.
const showGrace = 200 * time.Millisecond

// ending is how a run ended.
type ending struct {
	status  wire.Status
	reason  string
	noSpace bool
	damaged bool

	noMemory bool
}

var errVanished = errors.New("the machine ended without saying why")

func newHost(inst *instance.Instance, opts Options) (*host, error) {
	h := &host{
		onStart: opts.OnStart, log: opts.Log, began: opts.Began,
		asks: make(chan struct{}, 1), wants: make(chan int64, 1), failed: make(chan error, 1), quit: make(chan struct{}),
	}
	for s := range h.logs {
		l, err := inst.OpenLog(s)
		if err != nil {
			h.close()
			return nil, err
		}
		h.logs[s], h.dirty[s] = l, make(chan struct{}, 1)
	}
	for s, w := range [wire.Streams]io.Writer{opts.Stdout, opts.Stderr} {
		h.shown[s] = newDisplay(w, func() { h.wantSync(s) })
	}
	in, err := inst.OpenStdin(opts.Stdin)
	if err != nil {
		h.close()
		return nil, err
	}
	h.stdin = in
	return h, nil
}

// delivered is how much of each stream is outside already.
func (h *host) delivered() (n [wire.Streams]int64) {
	for s, l := range h.logs {
		n[s] = l.Size()
	}
	return n
}

// serve handles the machine's messages until it ends. stop asks it to end at a checkpoint.
func (h *host) serve(p peer, stop <-chan struct{}) (*ending, error) {
	h.peer = p
	h.helpers.Add(wire.Streams)
	for s := range h.logs {
		go h.syncLog(s)
	}
	go h.feed()         // not waited for: it may hang in a read of the terminal
	go h.ask()          // nor this one
	defer close(h.quit) // the helpers may hang in Send until the machine is gone; close waits for them
	for {
		select {
		case b, ok := <-p.Messages():
			if !ok {
				return nil, errVanished
			}
			m, err := wire.Decode(b)
			if err != nil {
				return nil, fmt.Errorf("from the machine: %w", err)
			}
			end, err := h.handle(m)
			if end != nil || err != nil {
				return end, err
			}
		case <-stop:
			stop = nil
			h.stopping.Store(true)
			for s := range h.logs {
				h.wantSync(s) // what is in the file is acknowledged from now on, shown or not
			}
			if err := h.send(&wire.Message{Kind: wire.Stop}); err != nil {
				return nil, err
			}
		case err := <-h.failed:
			return nil, err
		}
	}
}

func (h *host) handle(m *wire.Message) (*ending, error) {
	switch m.Kind {
	case wire.Started:
		h.setStatus(*m.Status)
		h.started(m.Status.FirstInstr)
		if h.onStart != nil {
			h.onStart(*m.Status)
		}
	case wire.Progress:
		h.setStatus(*m.Status)
	case wire.Output:
		fresh, err := h.logs[m.Stream].Add(m.Data, m.Offset)
		if err != nil {
			return nil, err
		}
		h.got[m.Stream].Store(m.Offset + int64(len(m.Data)))
		h.shown[m.Stream].add(fresh)
		h.wantSync(int(m.Stream))
	case wire.Waiting:
		h.hurry.Store(true)
		for s := range h.logs {
			h.wantSync(s)
		}
	case wire.Numbers:
		h.stats.add(m.Stats)
	case wire.WantInput:
		select {
		case h.wants <- m.Offset:
		default: // asked already
		}
	case wire.Note:
		if h.log != nil {
			fmt.Fprintf(h.log, "phantom-vm: %s\n", printable(m.Reason)) //nolint:errcheck // nobody reads
		}
	case wire.Ended:
		if s := m.Status.State; s == wire.Running || s > wire.Failed {
			return nil, fmt.Errorf("from the machine: %w: it ended %v", wire.ErrMessage, s)
		}
		for _, l := range h.logs {
			if err := l.Sync(); err != nil {
				return nil, err
			}
		}
		h.setStatus(*m.Status)
		return &ending{*m.Status, printable(m.Reason), m.NoSpace, m.Damaged, m.NoMemory}, nil
	default:
		return nil, fmt.Errorf("from the machine: %w: kind %d is the host's", wire.ErrMessage, m.Kind)
	}
	return nil, nil
}

// printable is a machine's text as it may go to a terminal.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}

// syncLog acknowledges a stream's output once it is durable, some at a time.
func (h *host) syncLog(stream int) {
	defer h.helpers.Done()
	acked := int64(0)
	var due <-chan time.Time // not nil while output waits
	for {
		select {
		case <-h.quit:
			return
		case <-h.dirty[stream]:
			if h.outside(stream)-acked < syncBytes && !h.hurry.Load() && !h.stopping.Load() {
				if due == nil {
					due = time.After(syncDelay)
				}
				continue
			}
		case <-due:
		}
		due = nil
		upto := h.outside(stream)
		if err := h.logs[stream].Sync(); err != nil {
			h.fail(err)
			return
		}
		if h.send(&wire.Message{Kind: wire.Ack, Stream: uint8(stream), Offset: upto}) != nil {
			return // the machine is gone; serve notices
		}
		acked = upto
	}
}

// outside is how much of a stream is in its file and shown, or may go without being shown. What came in an earlier
// run counts when the machine has sent it again, or has not: then it was acknowledged.
func (h *host) outside(stream int) int64 {
	upto := h.logs[stream].Size()
	if !h.stopping.Load() {
		upto -= h.shown[stream].hidden()
	}
	return min(upto, h.got[stream].Load())
}

// wantSync makes syncLog look again.
func (h *host) wantSync(stream int) {
	select {
	case h.dirty[stream] <- struct{}{}:
	default:
	}
}

// feed answers requests for input.
func (h *host) feed() {
	buf := make([]byte, wire.MaxData)
	for {
		var off int64
		select {
		case <-h.quit:
			return
		case off = <-h.wants:
		}
		n, eof, err := h.stdin.Next(buf, off)
		if err != nil {
			h.fail(err)
			return
		}
		if h.send(&wire.Message{Kind: wire.Input, Offset: off, Data: buf[:n], EOF: eof}) != nil {
			return
		}
	}
}

func (h *host) send(m *wire.Message) error {
	b, err := wire.Encode(m)
	if err != nil {
		return err
	}
	return h.peer.Send(b)
}

func (h *host) fail(err error) {
	select {
	case h.failed <- err:
	default:
	}
}

func (h *host) setStatus(s wire.Status) {
	h.mu.Lock()
	h.status = s
	h.mu.Unlock()
}

// current is the newest status that the machine told.
func (h *host) current() wire.Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.status
}

// close is called when the machine is gone. feed is not waited for.
func (h *host) close() {
	h.helpers.Wait()
	for _, d := range h.shown {
		if d != nil {
			d.close(showGrace)
		}
	}
	for _, l := range h.logs {
		if l != nil {
			l.Close()
		}
	}
	if h.stdin != nil {
		h.stdin.Close()
	}
}
