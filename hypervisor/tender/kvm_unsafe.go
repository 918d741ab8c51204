package tender

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"sync/atomic"
	"unsafe"

	"golang.org/x/sys/unix"

	"phantomvm/hypervisor/abi"
)

// The KVM interface, from the kernel's Documentation/virt/kvm/api.rst.
const (
	kvmGetAPIVersion       = 0xae00
	kvmCreateVM            = 0xae01
	kvmGetVCPUMmapSize     = 0xae04
	kvmCheckExtension      = 0xae03
	kvmGetSupportedCPUID   = 0xc008ae05
	kvmIOEventFD           = 0x4040ae79
	kvmCreateVCPU          = 0xae41
	kvmSetUserMemoryRegion = 0x4020ae46
	kvmRun                 = 0xae80
	kvmSetRegs             = 0x4090ae82
	kvmGetSregs            = 0x8138ae83
	kvmSetSregs            = 0x4138ae84
	kvmSetCPUID2           = 0x4008ae90
	kvmGetTSCKHz           = 0xaea3
	kvmVersion             = 12

	kvmCapIOEventFD  = 36
	ioEventFDSize    = 64
	ioEventFDFlagPIO = 1 << 1
	kickBytes        = 4 // of the OUT

	cpuidEntries = 256
	cpuidHeader  = 8
	cpuidEntry   = 40

	regsSize  = 144
	sregsSize = 312

	runImmediateExit = 1
	runExitReason    = 8
	runIO            = 32 // direction u8, size u8, port u16, count u32, data offset u64
	runMMIO          = 32 // address u64, data[8], length u32, is write u8
)

// machine is a KVM virtual machine with one vCPU and its memory.
type machine struct {
	mem   *memory
	cpu   *vcpu
	waker *waker
	fds   []int

	vmfd      int
	hasEvents bool // KVM_IOEVENTFD
}

// vcpu is the one processor. run is the structure that it shares with KVM.
type vcpu struct {
	fd       int
	run      []byte
	tscHz    uint64
	thread   atomic.Int32 // 0 before Run
	pid      int
	finished atomic.Bool
}

// ioctl makes a call, again if a signal (the Go runtime's own, for example)
// interrupts it.
func ioctl(fd int, req, arg uintptr) (int, error) {
	for {
		r, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, arg)
		if e == 0 {
			return int(r), nil
		}
		if e != unix.EINTR {
			return 0, e
		}
	}
}

// ioctlBytes passes a structure that was encoded into b, which stays alive and
// does not move during the call: Syscall keeps its pointer arguments.
func ioctlBytes(fd int, req uintptr, b []byte) error {
	for {
		_, _, e := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), req, uintptr(unsafe.Pointer(unsafe.SliceData(b))))
		if e == 0 {
			return nil
		}
		if e != unix.EINTR {
			return e
		}
	}
}

func noKVM(what string, err error) error { return fmt.Errorf("%w: %s: %w", ErrNoKVM, what, err) }

// Available tells whether a machine can be made: nil, or an error that wraps
// ErrNoKVM.
func Available() error {
	m, err := newMachine(abi.LargePageSize)
	if err != nil {
		return err
	}
	m.close()
	return nil
}

func newMachine(memBytes uint64) (m *machine, err error) {
	m = &machine{}
	defer func() {
		if err != nil {
			m.close()
		}
	}()
	kvm, err := unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	for errors.Is(err, unix.EINTR) {
		kvm, err = unix.Open("/dev/kvm", unix.O_RDWR|unix.O_CLOEXEC, 0)
	}
	if err != nil {
		return m, noKVM("/dev/kvm", &os.PathError{Op: "open", Path: "/dev/kvm", Err: err})
	}
	m.fds = append(m.fds, kvm)
	if v, err := ioctl(kvm, kvmGetAPIVersion, 0); err != nil || v != kvmVersion {
		return m, noKVM("API version", errors.Join(err, fmt.Errorf("version %d, want %d", v, kvmVersion)))
	}
	vmfd, err := ioctl(kvm, kvmCreateVM, 0)
	if err != nil {
		return m, noKVM("create VM", err)
	}
	m.fds = append(m.fds, vmfd)
	m.vmfd = vmfd
	if n, err := ioctl(kvm, kvmCheckExtension, kvmCapIOEventFD); err == nil && n > 0 {
		m.hasEvents = true
	}
	if m.waker, err = newWaker(); err != nil {
		return m, err
	}
	if err := m.addMemory(vmfd, memBytes); err != nil {
		return m, err
	}
	return m, m.addCPU(kvm, vmfd)
}

func (m *machine) addMemory(vmfd int, size uint64) error {
	b, err := unix.Mmap(-1, 0, int(size), unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
	if err != nil {
		return fmt.Errorf("guest memory of %d bytes: %w", size, err)
	}
	m.mem = &memory{b: b}
	// Large pages are a matter of speed alone, so that a refusal is no error.
	_ = unix.Madvise(b, unix.MADV_HUGEPAGE)
	_ = unix.Madvise(b, unix.MADV_DONTDUMP)
	slot := make([]byte, 32)
	binary.LittleEndian.PutUint64(slot[16:], size)
	binary.LittleEndian.PutUint64(slot[24:], uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))))
	if err := ioctlBytes(vmfd, kvmSetUserMemoryRegion, slot); err != nil {
		return noKVM("set memory region", err)
	}
	return nil
}

func (m *machine) addCPU(kvm, vmfd int) error {
	fd, err := ioctl(vmfd, kvmCreateVCPU, 0)
	if err != nil {
		return noKVM("create vCPU", err)
	}
	m.fds = append(m.fds, fd)
	m.cpu = &vcpu{fd: fd, pid: os.Getpid()}
	cpuid := make([]byte, cpuidHeader+cpuidEntries*cpuidEntry)
	binary.LittleEndian.PutUint32(cpuid, cpuidEntries)
	if err := ioctlBytes(kvm, kvmGetSupportedCPUID, cpuid); err != nil {
		return noKVM("get CPUID", err)
	}
	hideVirtualization(cpuid)
	if err := ioctlBytes(fd, kvmSetCPUID2, cpuid); err != nil {
		return noKVM("set CPUID", err)
	}
	khz, err := ioctl(fd, kvmGetTSCKHz, 0)
	if err != nil || khz == 0 {
		return noKVM("TSC frequency", errors.Join(err, fmt.Errorf("%d kHz", khz)))
	}
	m.cpu.tscHz = uint64(khz) * 1000
	size, err := ioctl(kvm, kvmGetVCPUMmapSize, 0)
	if err != nil {
		return noKVM("size of the run structure", err)
	}
	m.cpu.run, err = unix.Mmap(fd, 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return noKVM("map the run structure", err)
	}
	return nil
}

// bindEvent makes KVM signal the eventfd fd at an OUT of 4 bytes to port, whatever
// its value, in place of an exit. The layout is struct kvm_ioeventfd: u64 datamatch@0, u64
// address@8, u32 length@16, s32 fd@20, u32 flags@24.
func (m *machine) bindEvent(port uint16, fd int) error {
	b := make([]byte, ioEventFDSize)
	binary.LittleEndian.PutUint64(b[8:], uint64(port))
	binary.LittleEndian.PutUint32(b[16:], kickBytes)
	binary.LittleEndian.PutUint32(b[20:], uint32(fd))
	binary.LittleEndian.PutUint32(b[24:], ioEventFDFlagPIO)
	return ioctlBytes(m.vmfd, kvmIOEventFD, b)
}

// hideVirtualization clears the CPUID bits by which a guest would take itself
// for able to run guests.
func hideVirtualization(cpuid []byte) {
	const ecx = 20
	n := min(binary.LittleEndian.Uint32(cpuid), cpuidEntries)
	for i := range int(n) {
		e := cpuid[cpuidHeader+i*cpuidEntry:]
		v := binary.LittleEndian.Uint32(e[ecx:])
		switch binary.LittleEndian.Uint32(e) {
		case 1:
			v &^= 1 << 5 // VMX
		case 0x80000001:
			v &^= 1 << 2 // SVM
		default:
			continue
		}
		binary.LittleEndian.PutUint32(e[ecx:], v)
	}
}

func (m *machine) close() {
	if m.cpu != nil && m.cpu.run != nil {
		_ = unix.Munmap(m.cpu.run)
	}
	for i := len(m.fds) - 1; i >= 0; i-- {
		_ = unix.Close(m.fds[i])
	}
	if m.mem != nil {
		_ = unix.Munmap(m.mem.b)
		m.mem.b = nil
	}
	if m.waker != nil {
		m.waker.close()
	}
	m.fds = nil
}

// putSegment encodes a segment register of KVM_SET_SREGS at b.
func putSegment(b []byte, selector uint16, limit uint32, typ, db, s, l, g byte) {
	clear(b[:24])
	binary.LittleEndian.PutUint32(b[8:], limit)
	binary.LittleEndian.PutUint16(b[12:], selector)
	b[14], b[15], b[17], b[18], b[19], b[20] = typ, 1, db, s, l, g
}

// setStart puts the processor into the state that the ABI prescribes.
func (c *vcpu) setStart(entry, stack uint64) error {
	s := make([]byte, sregsSize)
	if err := ioctlBytes(c.fd, kvmGetSregs, s); err != nil {
		return noKVM("get registers", err)
	}
	putSegment(s, abi.CodeSel, 0xffffffff, 9, 0, 1, 1, 1)
	for i := 1; i < 6; i++ { // DS ES FS GS SS
		putSegment(s[i*24:], abi.DataSel, 0xffffffff, 3, 1, 1, 0, 1)
	}
	putSegment(s[6*24:], 0, 0, 11, 0, 0, 0, 0) // TR
	clear(s[7*24 : 8*24])                      // LDT
	s[7*24+22] = 1                             // unusable
	put := func(off int, v uint64) { binary.LittleEndian.PutUint64(s[off:], v) }
	put(192, abi.GDTAddr)
	put(200, 23)
	put(208, 0) // no IDT
	put(216, 0)
	put(224, abi.StartCR0)
	put(240, abi.PML4Addr)
	put(248, abi.StartCR4)
	put(264, abi.StartEFER)
	if err := ioctlBytes(c.fd, kvmSetSregs, s); err != nil {
		return noKVM("set special registers", err)
	}
	r := make([]byte, regsSize)
	const rdi, rsp, rip, rflags = 5, 6, 16, 17
	for i, v := range map[int]uint64{rdi: abi.BootInfoAddr, rsp: stack, rip: entry, rflags: abi.StartRFLAGS} {
		binary.LittleEndian.PutUint64(r[i*8:], v)
	}
	if err := ioctlBytes(c.fd, kvmSetRegs, r); err != nil {
		return noKVM("set registers", err)
	}
	return nil
}

// enter runs the guest until the next exit. RawSyscall, because the scheduler
// hand-over of Syscall would double the cost of an exit.
func (c *vcpu) enter() unix.Errno {
	_, _, e := unix.RawSyscall(unix.SYS_IOCTL, uintptr(c.fd), kvmRun, 0)
	return e
}

func (c *vcpu) enterThread() { c.thread.Store(int32(unix.Gettid())) }

// kick makes a running or the next enter return with EINTR. SIGURG is the
// signal that the Go runtime uses for preemption, and is harmless.
func (c *vcpu) kick() {
	if c == nil || c.run == nil {
		return
	}
	atomicStoreByte(c.run, runImmediateExit, 1)
	if t := c.thread.Load(); t != 0 && !c.finished.Load() {
		_ = unix.Tgkill(c.pid, int(t), unix.SIGURG)
	}
}

// atomicStoreByte sets a byte that KVM reads. An x86 byte store is atomic.
func atomicStoreByte(b []byte, off int, v byte) { b[off] = v }

// protect makes a segment read-only for the guest and for the host.
func (m *memory) protect(s segment) error {
	lo := s.addr &^ (abi.PageSize - 1)
	if err := unix.Mprotect(m.b[lo:s.end], unix.PROT_READ); err != nil {
		return fmt.Errorf("protect a segment: %w", err)
	}
	s.addr = lo
	m.readOnly = append(m.readOnly, s)
	return nil
}

// word gives a word of guest memory for atomic access. off is checked by the
// caller once for the whole shared area, and is a multiple of 4.
func word(b []byte, off int) *atomic.Uint32 {
	return (*atomic.Uint32)(unsafe.Pointer(&b[off]))
}
