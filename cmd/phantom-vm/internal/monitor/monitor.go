package monitor

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"phantomvm/cmd/phantom-vm/internal/disk"
	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/hypervisor/tender"
	"phantomvm/objectvm/machine/wire"
)

// Kind names a monitor.
type Kind string

// Monitors. Auto is KVM where it can be used, else Process.
const (
	Auto    Kind = "auto"
	KVM     Kind = "kvm"
	Process Kind = "process"
)

// Options of a run. Stdin is nil if no input comes from outside.
type Options struct {
	Kind           Kind
	Ended          bool   // the program has ended: only what was not delivered is to be done
	Memory         uint64 // of the guest, bytes
	ProcessMemory  uint64 // of the process, about, bytes
	Interval       time.Duration
	Stdin          io.Reader
	Stdout, Stderr io.Writer
	Began          time.Time // when the command began
	OnStart        func(wire.Status)
	// Serve, if set, is called before the machine starts, with a function that returns its numbers whenever it is
	// called, from any goroutine, until Run ends.
	Serve   func(numbers func() Numbers)
	Log     io.Writer // messages of the monitor
	Metrics string    // where the numbers are served over HTTP, for those who ask for the status
}

// Errors that the command tells apart.
var (
	ErrNoSpace = errors.New("the disk is full")
	ErrDamaged = errors.New("damaged")
	ErrMachine = errors.New("the machine stopped")
	ErrMemory  = errors.New("fatal error: runtime: out of memory") // as Go says it
)

// Result is how a run ended. State is Stopped, Exited or Crashed.
type Result struct {
	Status  wire.Status
	Reason  string
	Monitor Kind
}

// Choose resolves Auto and reports why.
func Choose(k Kind) (Kind, string) {
	if k != Auto {
		return k, ""
	}
	if err := tender.Available(); err != nil {
		return Process, err.Error()
	}
	return KVM, ""
}

// Run runs a locked instance until its program ends or ctx is cancelled; then it makes a last checkpoint.
// After a kill of this process at any moment the next Run goes on from the newest durable checkpoint.
func Run(ctx context.Context, inst *instance.Instance, opts Options) (*Result, error) {
	kind := opts.Kind
	dev, err := disk.Open(ctx, disk.Location(inst.Disk()), disk.Options{Unsafe: inst.Record.UnsafeDisk})
	if err != nil {
		return nil, err
	}
	defer dev.Close()
	h, err := newHost(inst, opts)
	if err != nil {
		return nil, err
	}
	defer h.close()
	if !opts.Ended && inst.Record.Monitor != string(kind) {
		inst.Record.Monitor = string(kind)
		if err := inst.Save(); err != nil {
			return nil, err
		}
	}

	stop := make(chan struct{}, 1)
	requestStop := func() {
		select {
		case stop <- struct{}{}:
		default:
		}
	}
	unserve, err := inst.Serve(func(q instance.Request) instance.Reply {
		switch q.Op {
		case "stop":
			requestStop()
		case "status", "state":
		default:
			return instance.Reply{Error: fmt.Sprintf("unknown request %q", q.Op)}
		}
		r := instance.Reply{Status: h.current(), Monitor: string(kind), PID: os.Getpid(), Metrics: opts.Metrics}
		if q.Op == "status" {
			n := h.numbers()
			r.All, r.Recent, r.Start = n.All, n.Recent, int64(n.Start)
		}
		return r
	})
	if err != nil {
		return nil, err
	}
	defer unserve()
	if opts.Serve != nil {
		opts.Serve(h.numbers)
	}
	defer context.AfterFunc(ctx, requestStop)()

	var end *ending
	switch kind {
	case KVM:
		end, err = runKVM(dev, h, opts, stop)
	case Process:
		end, err = runProcess(dev, h, opts, stop)
	default:
		return nil, fmt.Errorf("unknown monitor %q", kind)
	}
	if lost := dev.Err(); lost != nil && (err != nil || end.status.State == wire.Failed) {
		if err == nil && end.reason != "" {
			lost = fmt.Errorf("%w: %s", lost, end.reason) // a damaged page is named there
		}
		return nil, fmt.Errorf("%w; the newest durable checkpoint is kept", lost)
	}
	if err != nil {
		return nil, err
	}
	switch {
	case end.noSpace:
		return nil, fmt.Errorf("%w: %s", ErrNoSpace, end.reason)
	case end.noMemory:
		return nil, fmt.Errorf("%w: %s; the newest checkpoint is good, a larger --mem goes on from it", ErrMemory, end.reason)
	case end.damaged:
		return nil, fmt.Errorf("%w: %s", ErrDamaged, end.reason)
	case end.status.State == wire.Failed:
		return nil, fmt.Errorf("%w: %s", ErrMachine, end.reason)
	}
	return &Result{end.status, end.reason, kind}, nil
}
