package paging

import (
	"fmt"
	"syscall"
	"unsafe"
)

// Paging in a process by userfaultfd(2) in the mode in which a fault is a signal (UFFD_FEATURE_SIGBUS): it is served on the
// thread that faulted, so no other thread has to be scheduled for it. An access by a system call
// gets EFAULT instead: memory of the arena is not passed to system calls.

const (
	sysUserfaultfd = 323
	sysPread64     = 17
	sysIoctl       = 16
	sysMadvise     = 28
	sysSchedYield  = 24
	sysClockGet    = 228
	monotonic      = 1

	uffdAPI          = 0xaa
	uffdUserModeOnly = 1
	uffdFeatSigbus   = 1 << 7
	uffdModeMissing  = 1
	ioctlAPI         = 0xc018aa3f
	ioctlRegister    = 0xc020aa00
	ioctlCopy        = 0xc028aa03
	ioctlNew         = 0x0000aa00 // of /dev/userfaultfd
	copyDontWake     = 1
	madvDontNeed     = 4
)

// uffd is the open userfaultfd of the process's pager.
var uffd uintptr

// NewProcess makes the platform of an ordinary process and registers ranges, which are private anonymous mappings. Pages
// come from the open file fd. The error is ErrUnavailable where the kernel does not offer what is needed.
func NewProcess(ranges []Range, fd uintptr) (Platform, error) {
	f, err := openUserfault()
	if err != nil {
		return Platform{}, err
	}
	for _, r := range ranges {
		reg := [4]uint64{uint64(r.Lo), uint64(r.Hi - r.Lo), uffdModeMissing, 0}
		if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, f, ioctlRegister, uintptr(unsafe.Pointer(&reg))); e != 0 {
			_ = syscall.Close(int(f))
			return Platform{}, fmt.Errorf("%w: userfaultfd: register %#x: %w", ErrUnavailable, r.Lo, e)
		}
	}
	if zeros.base == 0 {
		if err := zeros.reserve(window * pageSize); err != nil {
			_ = syscall.Close(int(f))
			return Platform{}, err
		}
	}
	uffd, device = f, fd
	return Platform{
		Name: "userfaultfd", Read: processRead, Install: processInstall, Drop: processDrop, Now: processNow,
		Close: func() { _ = syscall.Close(int(f)) },
	}, nil
}

// openUserfault opens a userfaultfd by the system call, or by the device where that is denied.
func openUserfault() (uintptr, error) {
	if underRace {
		return 0, fmt.Errorf("%w under the race detector", ErrUnavailable)
	}
	const flags = syscall.O_CLOEXEC | syscall.O_NONBLOCK
	fd, _, e := syscall.Syscall(sysUserfaultfd, flags|uffdUserModeOnly, 0, 0)
	if e != 0 {
		dev, err := syscall.Open("/dev/userfaultfd", syscall.O_RDWR|syscall.O_CLOEXEC, 0)
		if err != nil {
			return 0, fmt.Errorf("%w: userfaultfd: %w", ErrUnavailable, e)
		}
		fd, _, e = syscall.Syscall(syscall.SYS_IOCTL, uintptr(dev), ioctlNew, flags)
		_ = syscall.Close(dev)
		if e != 0 {
			return 0, fmt.Errorf("%w: /dev/userfaultfd: %w", ErrUnavailable, e)
		}
	}
	api := [3]uint64{uffdAPI, uffdFeatSigbus, 0}
	if _, _, e := syscall.Syscall(syscall.SYS_IOCTL, fd, ioctlAPI, uintptr(unsafe.Pointer(&api))); e != 0 {
		_ = syscall.Close(int(fd))
		return 0, fmt.Errorf("%w: userfaultfd: signals: %w", ErrUnavailable, e)
	}
	return fd, nil
}

// zeros is window pages that are never written.
var zeros reserved

// device is the descriptor that pages are read from.
var device uintptr

// The functions below run in fault context.

func failed(e uintptr) syscall.Errno {
	if int(e) < 0 && int(e) >= -4095 {
		return syscall.Errno(-e)
	}
	return 0
}

func processRead(off int64, dst, n uintptr) bool {
	for n > 0 {
		got := rawSyscall(sysPread64, device, dst, n, uintptr(off), 0, 0)
		switch e := failed(got); {
		case e == syscall.EINTR || e == syscall.EAGAIN:
			continue
		case e != 0 || got == 0:
			return false
		}
		dst, n, off = dst+got, n-got, off+int64(got)
	}
	return true
}

// copyArgs is struct uffdio_copy. There is one: the pager's lock is held.
var copyArgs struct {
	dst, src, len, mode uint64
	copied              int64
}

func processInstall(va, src, n uintptr) (done uintptr) {
	if src == 0 {
		src, n = zeros.base, min(n, window*pageSize)
	}
	for done < n {
		copyArgs.dst, copyArgs.src, copyArgs.len = uint64(va+done), uint64(src+done), uint64(n-done)
		copyArgs.mode, copyArgs.copied = copyDontWake, 0
		e := failed(rawSyscall(sysIoctl, uffd, ioctlCopy, uintptr(unsafe.Pointer(&copyArgs)), 0, 0, 0))
		if copyArgs.copied > 0 {
			done += uintptr(copyArgs.copied)
		}
		switch e {
		case 0, syscall.EAGAIN:
		case syscall.EEXIST:
			done += pageSize
		default:
			return done
		}
	}
	return done
}

func processDrop(pages *[batch]uintptr, n uintptr) {
	for i := uintptr(0); i < n; {
		k := i + 1
		for k < n && pages[k&(batch-1)] == pages[i&(batch-1)]+(k-i)*pageSize {
			k++
		}
		rawSyscall(sysMadvise, pages[i&(batch-1)], (k-i)*pageSize, madvDontNeed, 0, 0, 0)
		i = k
	}
}

// timespec is processNow's result. There is one: the pager's lock is held.
var timespec [2]int64

func processNow() int64 {
	rawSyscall(sysClockGet, monotonic, uintptr(unsafe.Pointer(&timespec)), 0, 0, 0, 0)
	return timespec[0]*1e9 + timespec[1]
}

func yieldThread() { rawSyscall(sysSchedYield, 0, 0, 0, 0, 0, 0) }
