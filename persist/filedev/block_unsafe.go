package filedev

import (
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"phantomvm/persist"
)

// aligned tells whether O_DIRECT takes b at off: the place, the length and the
// address are multiples of our block, which is a multiple of every device's. Only the
// address is looked at, nothing is read through it.
func aligned(b []byte, off int64) bool {
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b)))
	return (uint64(at)|uint64(len(b))|uint64(off))%persist.BlockSize == 0
}

// discard is BLKDISCARD, which takes two numbers that it only reads.
func discard(f *os.File, off, n int64) error {
	span := [2]uint64{uint64(off), uint64(n)}
	_, _, e := unix.Syscall(unix.SYS_IOCTL, f.Fd(), unix.BLKDISCARD, uintptr(unsafe.Pointer(&span)))
	runtime.KeepAlive(f)
	if e != 0 {
		return e
	}
	return nil
}
