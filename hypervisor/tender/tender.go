// Package tender runs Solo5 unikernels: it is the host side of the hvt
// interface, version 2, on /dev/kvm, with the extension of package abi.
//
// A VM lives in these steps:
//
//  1. New checks the configuration and the kernel image (elf.go), makes the
//     KVM machine with one slot of memory and one vCPU (kvm_linux.go), loads
//     the segments, and writes page tables, boot info, the manifest and the
//     offer of the extension (boot.go).
//  2. Run enters the guest on a locked thread. Each exit is a hypercall
//     (hypercall.go), or the end.
//  3. If the guest accepts the extension, two goroutines start: one executes
//     its block requests (queue.go), one carries its messages (channel.go).
//  4. When the guest halts, what it submitted is finished and what it sent is
//     delivered; then Run returns the exit status.
//
// Whatever the guest does ends in its exit status or in an error that wraps
// ErrGuest. All guest memory is reached through type memory, which checks.
package tender

import (
	"context"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"

	"phantomvm/hypervisor/abi"
)

// Errors that the package's errors wrap.
var (
	ErrNoKVM  = errors.New("KVM cannot be used")           // /dev/kvm is missing, refused or too old
	ErrKernel = errors.New("not a kernel that can be run") // the image breaks a rule
	ErrConfig = errors.New("bad tender configuration")     // includes devices that do not match
	ErrGuest  = errors.New("guest failed")                 // the guest broke the interface
	ErrEnded  = errors.New("guest has ended")
)

// DefaultMemory is the guest's memory if Config.MemBytes is 0.
const DefaultMemory = 512 << 20

// BlockDev is the backing of a block device. Its methods are called from one
// goroutine at a time for asynchronous requests, and from another for synchronous
// ones; ReadAt and WriteAt have the meaning of io.ReaderAt and io.WriterAt.
type BlockDev interface {
	ReadAt(b []byte, off int64) (int, error)
	WriteAt(b []byte, off int64) (int, error)
	// Flush makes every completed write durable.
	Flush() error
	// Size is the capacity in bytes. It does not change.
	Size() int64
}

// GatherDev is a BlockDev that can write several buffers at once.
type GatherDev interface {
	WriteGather(bufs [][]byte, off int64) error
}

// GroupDev is a BlockDev that takes a write group and its flush at once: the
// buffers of runs[i] go to consecutive places from offs[i] on, in any order, and
// then these and all earlier writes are made durable.
type GroupDev interface {
	WriteGroup(runs [][][]byte, offs []int64) error
}

// PrepareDev is a BlockDev for which a first write to a place is dearer than an overwrite.
// Prepare makes n bytes at off cheap to overwrite and destroys them. It is called beside other
// methods, which do not touch that place.
type PrepareDev interface {
	Prepare(off, n int64) error
}

// BlockAttach attaches Dev to the manifest's device Name.
type BlockAttach struct {
	Name string
	Dev  BlockDev
	// SectorSize is a power of two from 512 to 32768; 0 means 512. The size of
	// the device must be a multiple of it.
	SectorSize int
}

// Config describes a VM.
type Config struct {
	Kernel   []byte // a Solo5 hvt ELF image
	MemBytes uint64 // rounded down to 2 MiB; 0 means DefaultMemory
	Cmdline  []string
	Blocks   []BlockAttach
	// Console gets what the guest prints, in slices of guest memory that it must
	// not keep; nil discards it.
	Console io.Writer
	// Channel receives the guest's messages, in order, each in a slice of its
	// own, on one goroutine. While it blocks, the guest's Send blocks in time.
	Channel func(msg []byte)
	// NoEventKick lets every kick of the block queue leave KVM_RUN, as under a KVM without
	// KVM_IOEVENTFD.
	NoEventKick bool
	// NoExtension makes the tender a plain Solo5 tender.
	NoExtension bool
}

// VM is a virtual machine that has not run yet, runs, or has ended.
type VM struct {
	cfg     Config
	kernel  *kernel
	mem     *memory
	cpu     *vcpu
	devices []device // by handle; nil Dev for handle 0
	entropy io.Reader
	events  *machine // for kicks by eventfd, nil if there are none
	exits   uint64   // how often KVM_RUN came back

	ext     *extension
	set     chan struct{} // closed when ext is set
	started atomic.Bool
	stopped atomic.Bool
	ended   chan struct{} // closed when the guest no longer runs
	waker   *waker
	closing sync.Once

	// A context that ends interrupts the VM on a goroutine of its own, which may
	// come after Close.
	releasing sync.Mutex
	released  bool // under releasing

	cleanup func()
}

type device struct {
	dev  BlockDev
	size uint64
}

// New prepares a VM. The caller closes it, and the devices after it.
func New(cfg Config) (*VM, error) {
	if cfg.MemBytes == 0 {
		cfg.MemBytes = DefaultMemory
	}
	cfg.MemBytes &^= abi.LargePageSize - 1
	if cfg.MemBytes < abi.LargePageSize || cfg.MemBytes > abi.MaxMemory {
		return nil, fmt.Errorf("%w: memory of %d bytes, want 2 MiB to 4 GiB", ErrConfig, cfg.MemBytes)
	}
	if cfg.Console == nil {
		cfg.Console = io.Discard
	}
	k, err := parseKernel(cfg.Kernel, cfg.MemBytes)
	if err != nil {
		return nil, err
	}
	vm := &VM{cfg: cfg, kernel: k, ended: make(chan struct{}), set: make(chan struct{})}
	if err := vm.attach(); err != nil {
		return nil, err
	}
	if err := vm.checkArgs(); err != nil {
		return nil, err
	}
	if err := vm.build(); err != nil {
		vm.Close()
		return nil, err
	}
	return vm, nil
}

// attach matches the configured devices with the manifest, both ways.
func (vm *VM) attach() error {
	m := &vm.kernel.manifest
	vm.devices = make([]device, len(m.Devices))
	for _, a := range vm.cfg.Blocks {
		i := 1
		for i < len(m.Devices) && m.Devices[i].Name != a.Name {
			i++
		}
		switch {
		case i == len(m.Devices) || m.Devices[i].Type != abi.DeviceBlock:
			return fmt.Errorf("%w: the kernel has no block device %q", ErrConfig, a.Name)
		case m.Devices[i].Attached:
			return fmt.Errorf("%w: block device %q is attached twice", ErrConfig, a.Name)
		}
		if a.SectorSize == 0 {
			a.SectorSize = 512
		}
		if s := a.SectorSize; s < 512 || s > 32768 || s&(s-1) != 0 {
			return fmt.Errorf("%w: device %q: block size %d must be a power of two from 512 to 32768", ErrConfig, a.Name, s)
		}
		size := a.Dev.Size()
		if size < 0 || size%int64(a.SectorSize) != 0 {
			return fmt.Errorf("%w: device %q: backing storage size %d must be block aligned (%d)", ErrConfig, a.Name, size, a.SectorSize)
		}
		m.Devices[i].Attached = true
		m.Devices[i].Capacity, m.Devices[i].BlockSize = uint64(size), uint16(a.SectorSize)
		vm.devices[i] = device{a.Dev, uint64(size)}
	}
	var missing []string
	for _, d := range m.Devices {
		if d.Type < abi.DeviceReserved && !d.Attached {
			missing = append(missing, d.Name)
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("%w: the kernel's devices %s are not attached", ErrConfig, strings.Join(missing, ", "))
	}
	return nil
}

func (vm *VM) checkArgs() error {
	n, bytes := 0, 0
	for _, a := range vm.cfg.Cmdline {
		if strings.ContainsRune(a, 0) {
			return fmt.Errorf("%w: argument %q contains a zero byte", ErrConfig, a)
		}
		n++
		bytes += len(a) + 1
	}
	if bytes > abi.CmdlineSize {
		return fmt.Errorf("%w: command line of %d bytes, at most %d", ErrConfig, bytes-1, abi.CmdlineSize-1)
	}
	return nil
}

// running counts the VMs whose vCPU holds a P of the Go scheduler.
var running atomic.Int32

// Run executes the guest until it halts, and returns its exit status, 0..255.
// When ctx ends first, it stops the guest and returns ctx's error. A VM runs
// once.
//
// KVM_RUN is entered without telling the Go scheduler, which halves the cost
// of an exit and keeps a P busy: Run raises GOMAXPROCS so that one more than the VMs that
// run is left.
func (vm *VM) Run(ctx context.Context) (status int, err error) {
	if vm.started.Swap(true) {
		return 0, fmt.Errorf("%w: a VM runs once", ErrEnded)
	}
	if need := int(running.Add(1)) + 1; runtime.GOMAXPROCS(0) < need {
		runtime.GOMAXPROCS(need)
	}
	defer running.Add(-1)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	vm.cpu.enterThread()
	stop := context.AfterFunc(ctx, vm.interrupt)
	defer stop()
	status, err = vm.loop()
	if vm.ext != nil {
		vm.ext.finish()
	}
	close(vm.ended)
	if err == nil && vm.stopped.Load() && status < 0 {
		err = context.Cause(ctx)
		if err == nil {
			err = ErrEnded
		}
	}
	return max(status, 0), err
}

// interrupt makes the vCPU leave the guest. It may be called at any time, also
// when the machine is gone.
func (vm *VM) interrupt() {
	vm.stopped.Store(true)
	vm.releasing.Lock()
	defer vm.releasing.Unlock()
	if vm.released {
		return
	}
	vm.waker.wake()
	vm.cpu.kick()
}

// Close frees the machine. A guest that still runs is stopped first.
func (vm *VM) Close() error {
	vm.closing.Do(func() {
		if vm.cpu != nil && vm.started.Load() {
			vm.interrupt()
			<-vm.ended
		}
		if vm.ext != nil {
			// A Send that is under way still uses guest memory.
			vm.ext.sendLock.Lock()
			defer vm.ext.sendLock.Unlock()
		}
		if vm.cleanup != nil {
			vm.releasing.Lock()
			defer vm.releasing.Unlock()
			vm.released = true
			vm.cleanup()
		}
	})
	return nil
}

// Send gives the guest a message of at most abi.MaxMessage bytes, in the order
// of the calls. It waits until the guest has set the channel up, and while the
// guest's ring is full. It fails with ErrEnded when the guest has ended, and
// with ErrConfig when there is no channel. It may be called from any goroutine but
// the handler's: the guest may be waiting for that one.
func (vm *VM) Send(msg []byte) error {
	if vm.cfg.Channel == nil || vm.cfg.NoExtension {
		return fmt.Errorf("%w: the VM has no channel", ErrConfig)
	}
	if len(msg) > abi.MaxMessage {
		return fmt.Errorf("%w: message of %d bytes, at most %d", ErrConfig, len(msg), abi.MaxMessage)
	}
	select {
	case <-vm.set:
		return vm.ext.send(msg, vm.ended)
	case <-vm.ended:
		return ErrEnded
	}
}

// MemoryBytes is the size of the guest's memory.
func (vm *VM) MemoryBytes() uint64 { return vm.cfg.MemBytes }
