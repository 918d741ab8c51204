package monitor

import (
	"errors"
	"fmt"
	"runtime"
	"sync"
	"time"

	"phantomvm/cmd/phantom-vm/internal/disk"
	"phantomvm/objectvm/machine"
	"phantomvm/objectvm/paging"
)

var errLinkClosed = errors.New("the other side of the link is gone")

// runProcess runs the machine in this process.
func runProcess(dev *disk.Disk, h *host, opts Options, stop <-chan struct{}) (*ending, error) {
	l := newProcessLink()
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // the interpreter keeps a core; other goroutines have the rest
		err := machine.Run(machine.Config{
			Device: dev, Link: l, Interval: opts.Interval, Delivered: h.delivered(), Durable: true, Gone: l.closed,
			Paging: processPaging(dev, opts.ProcessMemory),
		})
		l.close()
		close(l.toHost) // what lies in it can still be read
		result <- err
	}()
	end, err := h.serve(processPeer{l}, stop)
	l.close()
	if merr := <-result; merr != nil && err != nil {
		err = errors.Join(err, merr)
	}
	return end, err
}

// processPaging pages the arena from dev, so that the process takes about memory bytes.
func processPaging(dev *disk.Disk, memory uint64) *machine.Paging {
	return &machine.Paging{
		Limit: memory * 5 / 8, Hard: memory, // the rest is for the code, buffers of commits and the VM's caches
		Platform: func(ranges []paging.Range) (paging.Platform, error) {
			fd, ok := dev.Descriptor()
			if !ok {
				return paging.Platform{}, fmt.Errorf("%w from this device", paging.ErrUnavailable)
			}
			return paging.NewProcess(ranges, fd)
		},
	}
}

// processLink carries messages between two goroutines of this process.
type processLink struct {
	toHost, toMachine chan []byte
	next              []byte // taken from toMachine by Wait, not yet by Recv
	closed            chan struct{}
	once              sync.Once
}

func newProcessLink() *processLink {
	return &processLink{toHost: make(chan []byte, 64), toMachine: make(chan []byte, 64), closed: make(chan struct{})}
}

// Send, Recv and Wait are the machine's side; one goroutine calls them, and closes toHost in the end.

func (l *processLink) Send(msg []byte) error {
	select {
	case l.toHost <- msg:
		return nil
	case <-l.closed:
		return errLinkClosed
	}
}

func (l *processLink) Recv() ([]byte, bool) {
	if b := l.next; b != nil {
		l.next = nil
		return b, true
	}
	select {
	case b := <-l.toMachine:
		return b, true
	default:
		return nil, false
	}
}

func (l *processLink) Wait(until time.Time, wake <-chan struct{}) {
	if l.next != nil {
		return
	}
	var timer <-chan time.Time
	if !until.IsZero() {
		d := time.Until(until)
		if d <= 0 {
			return
		}
		t := time.NewTimer(d)
		defer t.Stop()
		timer = t.C
	}
	select {
	case l.next = <-l.toMachine:
	case <-wake:
	case <-timer:
	case <-l.closed:
	}
}

func (l *processLink) close() { l.once.Do(func() { close(l.closed) }) }

// processPeer is the host's side of a link.
type processPeer struct{ link *processLink }

func (p processPeer) Messages() <-chan []byte { return p.link.toHost }

func (p processPeer) Send(msg []byte) error {
	select {
	case p.link.toMachine <- msg:
		return nil
	case <-p.link.closed:
		return errLinkClosed
	}
}

var _ peer = processPeer{}
