package tender

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"time"

	"golang.org/x/sys/unix"

	"phantomvm/hypervisor/abi"
)

// Exit reasons of KVM.
const (
	exitIO            = 2
	exitHLT           = 5
	exitMMIO          = 6
	exitShutdown      = 8
	exitFailEntry     = 9
	exitIntr          = 10
	exitInternalError = 17

	ioOut = 1
)

// loop runs the guest until it halts, fails, or is stopped (status -1).
func (vm *VM) loop() (status int, err error) {
	defer vm.cpu.finished.Store(true)
	for {
		if vm.stopped.Load() {
			if vm.ext != nil && vm.ext.failed.Load() != nil {
				return 0, *vm.ext.failed.Load()
			}
			return -1, nil
		}
		vm.exits++
		switch e := vm.cpu.enter(); e {
		case 0:
		case unix.EINTR, unix.EAGAIN:
			continue
		case unix.EFAULT:
			return 0, fmt.Errorf("%w: host/guest translation fault: it wrote to a read-only page", ErrGuest)
		default:
			return 0, fmt.Errorf("KVM_RUN: %w", e)
		}
		done, status, err := vm.exit()
		if done || err != nil {
			return status, err
		}
	}
}

// exit serves one exit.
func (vm *VM) exit() (done bool, status int, err error) {
	le := binary.LittleEndian
	run := vm.cpu.run
	switch reason := le.Uint32(run[runExitReason:]); reason {
	case exitIO:
	case exitIntr:
		return false, 0, nil
	case exitMMIO:
		what := "read"
		if run[runMMIO+20] != 0 {
			what = "write"
		}
		return false, 0, fmt.Errorf("%w: host/guest translation fault: %s at %#x", ErrGuest, what, le.Uint64(run[runMMIO:]))
	case exitShutdown:
		return false, 0, fmt.Errorf("%w: it shut down (triple fault)", ErrGuest)
	case exitHLT:
		return false, 0, fmt.Errorf("%w: HLT", ErrGuest)
	default:
		return false, 0, fmt.Errorf("%w: KVM exit %d, detail %#x", ErrGuest, reason, le.Uint64(run[runIO:]))
	}
	dir, size, port, count := run[runIO], run[runIO+1], le.Uint16(run[runIO+2:]), le.Uint32(run[runIO+4:])
	off := le.Uint64(run[runIO+8:])
	if dir != ioOut || size != 4 || count != 1 || port < abi.HypercallPort || off > uint64(len(run))-4 {
		return false, 0, fmt.Errorf("%w: Invalid guest port access: port=%#x", ErrGuest, port)
	}
	return vm.hypercall(abi.Hypercall(port-abi.HypercallPort), uint64(le.Uint32(run[off:])))
}

// hypercall serves one hypercall with its argument at guest address arg.
func (vm *VM) hypercall(n abi.Hypercall, arg uint64) (done bool, status int, err error) {
	switch n {
	case abi.HypercallWallTime:
		err = vm.wallTime(arg)
	case abi.HypercallPuts:
		err = vm.puts(arg)
	case abi.HypercallPoll:
		err = vm.poll(arg)
	case abi.HypercallBlockWrite, abi.HypercallBlockRead:
		err = vm.block(arg, n == abi.HypercallBlockWrite)
	case abi.HypercallNetWrite, abi.HypercallNetRead:
		err = vm.net(arg)
	case abi.HypercallHalt:
		return vm.halt(arg)
	default:
		if vm.cfg.NoExtension {
			err = fmt.Errorf("%w: Invalid guest hypercall: num=%d", ErrGuest, n)
		} else {
			err = vm.extensionCall(n, arg)
		}
	}
	return false, 0, err
}

func (vm *VM) wallTime(arg uint64) error {
	b, err := vm.mem.span(arg, abi.WallTimeSize, true)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint64(b, uint64(time.Now().UnixNano()))
	return nil
}

func (vm *VM) puts(arg uint64) error {
	b, err := vm.mem.span(arg, abi.PutsSize, false)
	if err != nil {
		return err
	}
	p := abi.DecodePuts(b)
	text, err := vm.mem.span(p.Data, p.Len, false)
	if err != nil {
		return err
	}
	if _, err := vm.cfg.Console.Write(text); err != nil {
		return fmt.Errorf("console: %w", err)
	}
	return nil
}

// poll has no network devices to wait on: it ends at the timeout, or when the
// extension has news.
func (vm *VM) poll(arg uint64) error {
	b, err := vm.mem.span(arg, abi.PollSize, true)
	if err != nil {
		return err
	}
	timeout := min(binary.LittleEndian.Uint64(b), math.MaxInt64/2)
	vm.waker.sleep(time.Duration(timeout))
	binary.LittleEndian.PutUint64(b[abi.PollReadyOff:], 0)
	binary.LittleEndian.PutUint32(b[abi.PollRetOff:], 0)
	return nil
}

func (vm *VM) net(arg uint64) error {
	b, err := vm.mem.span(arg, abi.NetSize, true)
	if err != nil {
		return err
	}
	binary.LittleEndian.PutUint32(b[abi.NetRetOff:], uint32(abi.ResultEINVAL))
	return nil
}

func (vm *VM) block(arg uint64, write bool) error {
	b, err := vm.mem.span(arg, abi.BlockSize, true)
	if err != nil {
		return err
	}
	r := abi.DecodeBlock(b)
	d := vm.device(r.Handle, r.Offset, r.Len)
	if d == nil {
		r.Ret = abi.ResultEINVAL
	} else {
		data, err := vm.mem.span(r.Data, r.Len, !write)
		if err != nil {
			return err
		}
		r.Ret = abi.ResultOK
		if transfer(d, data, int64(r.Offset), write) != nil {
			r.Ret = abi.ResultEUNSPC
		}
	}
	binary.LittleEndian.PutUint32(b[abi.BlockRetOff:], uint32(r.Ret))
	return nil
}

// device finds the block device of a request and checks that the request lies
// inside it; nil if not.
func (vm *VM) device(handle, offset, n uint64) BlockDev {
	if handle >= uint64(len(vm.devices)) || vm.devices[handle].dev == nil {
		return nil
	}
	d := vm.devices[handle]
	// The last comparison cannot wrap: offset is at most the size.
	if offset > d.size || offset == d.size && n > 0 || n > d.size-offset {
		return nil
	}
	return d.dev
}

func transfer(d BlockDev, b []byte, off int64, write bool) error {
	if len(b) == 0 {
		return nil
	}
	if write {
		n, err := d.WriteAt(b, off)
		if err == nil && n < len(b) {
			err = io.ErrShortWrite
		}
		return err
	}
	n, err := d.ReadAt(b, off)
	if n == len(b) {
		return nil // io.ReaderAt may add io.EOF
	}
	if err == nil {
		err = io.ErrUnexpectedEOF
	}
	return err
}

func (vm *VM) halt(arg uint64) (done bool, status int, err error) {
	b, err := vm.mem.span(arg, abi.HaltSize, false)
	if err != nil {
		return false, 0, err
	}
	h := abi.DecodeHalt(b)
	if h.Cookie != 0 {
		f, err := vm.mem.span(h.Cookie, abi.TrapFrameSize, false)
		if err != nil {
			return false, 0, err
		}
		if h.Status == abi.ExitAbort {
			t := abi.DecodeTrapFrame(f)
			fmt.Fprintf(vm.cfg.Console, "guest aborted: rip %#x cr2 %#x error %#x rsp %#x\n", t.RIP, t.CR2, t.EC, t.RSP)
		}
	}
	return true, int(h.Status & 0xff), nil
}

var errSetup = errors.New("bad use of the extension")

func (vm *VM) extensionCall(n abi.Hypercall, arg uint64) error {
	switch n {
	case abi.HypercallExtSetup:
		return vm.setupExtension(arg)
	case abi.HypercallEntropy:
		return vm.fillEntropy(arg)
	case abi.HypercallKickBlock, abi.HypercallKickChannel:
		if vm.ext == nil {
			return fmt.Errorf("%w: %w: kick before set-up", ErrGuest, errSetup)
		}
		vm.ext.kick(n)
		return nil
	}
	return fmt.Errorf("%w: Invalid guest hypercall: num=%d", ErrGuest, n)
}

func (vm *VM) fillEntropy(arg uint64) error {
	b, err := vm.mem.span(arg, abi.EntropySize, true)
	if err != nil {
		return err
	}
	p := abi.DecodePuts(b)
	ret := abi.ResultOK
	if p.Len > abi.EntropyMax {
		ret = abi.ResultEINVAL
	} else {
		out, err := vm.mem.span(p.Data, p.Len, true)
		if err != nil {
			return err
		}
		if _, err := io.ReadFull(vm.entropy, out); err != nil {
			ret = abi.ResultEUNSPC
		}
	}
	binary.LittleEndian.PutUint32(b[abi.EntropyRetOff:], uint32(ret))
	return nil
}
