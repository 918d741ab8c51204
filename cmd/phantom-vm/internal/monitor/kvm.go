package monitor

import (
	"context"
	"errors"
	"fmt"
	"time"

	"phantomvm/cmd/phantom-vm/internal/disk"
	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/tender"
	"phantomvm/objectvm/machine/wire"
)

// storageDevice is the block device that the unikernel's manifest asks for.
const storageDevice = "storage"

// runKVM runs the machine in a guest.
func runKVM(dev *disk.Disk, h *host, opts Options, stop <-chan struct{}) (*ending, error) {
	kernel, err := kernelImage()
	if err != nil {
		return nil, err
	}
	p := &guestPeer{messages: make(chan []byte, 64), gone: make(chan struct{})}
	delivered := h.delivered()
	vm, err := tender.New(tender.Config{
		Kernel: kernel, MemBytes: opts.Memory,
		Cmdline: GuestArgs(opts.Interval, delivered),
		Blocks:  []tender.BlockAttach{{Name: storageDevice, Dev: dev, SectorSize: 4096}},
		Console: opts.Log,
		Channel: p.receive,
	})
	if err != nil {
		return nil, err
	}
	defer vm.Close()
	p.vm = vm
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	type exit struct {
		status int
		err    error
	}
	exited := make(chan exit, 1)
	go func() {
		status, err := vm.Run(ctx)
		close(p.messages) // the tender delivers all messages before Run returns
		exited <- exit{status, err}
	}()
	end, err := h.serve(p, stop)
	close(p.gone)
	if err != nil {
		cancel()
	}
	defer time.AfterFunc(exitGrace, cancel).Stop()
	x := <-exited
	switch {
	case err != nil && x.err != nil && !errors.Is(x.err, context.Canceled):
		return nil, fmt.Errorf("guest: %w", x.err)
	case err != nil && x.status == abi.ExitOutOfMemory:
		return nil, fmt.Errorf("%w: the %d MiB of the guest are full; the newest checkpoint is good, a larger --mem goes on from it", ErrMemory, opts.Memory>>20)
	case err != nil && x.status != 0:
		return nil, fmt.Errorf("the guest ended with status %d: %w", x.status, err)
	}
	return end, err
}

// exitGrace is the time a guest that has said that it ended has to do so.
const exitGrace = 10 * time.Second

// GuestArgs is the unikernel's command line.
func GuestArgs(interval time.Duration, delivered [wire.Streams]int64) []string {
	return []string{
		"checkpoint=" + interval.String(),
		fmt.Sprintf("stdout=%d", delivered[wire.Stdout]),
		fmt.Sprintf("stderr=%d", delivered[wire.Stderr]),
	}
}

// guestPeer is the host's end of the tender's channel.
type guestPeer struct {
	vm       *tender.VM
	messages chan []byte
	gone     chan struct{} // nobody reads messages any more
}

func (p *guestPeer) receive(msg []byte) {
	select {
	case p.messages <- msg:
	case <-p.gone:
	}
}

func (p *guestPeer) Messages() <-chan []byte { return p.messages }

func (p *guestPeer) Send(msg []byte) error { return p.vm.Send(msg) }

var _ peer = (*guestPeer)(nil)
