package filedev

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"

	"phantomvm/persist"
)

// ErrBusy: a block device is mounted, or another process uses it exclusively.
var ErrBusy = errors.New("device is in use")

// ErrNotBlock: the path is not a block device.
var ErrNotBlock = errors.New("not a block device")

// bounceBytes is the size of the buffer for memory that O_DIRECT does not take.
const bounceBytes = 1 << 20

// IsBlock tells whether path is a block device.
func IsBlock(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode()&fs.ModeDevice != 0 && fi.Mode()&fs.ModeCharDevice == 0
}

// OpenBlock opens a whole block device or a partition, past the page cache where the device allows
// it: a write that fails is then reported by the write. For writing it is opened
// exclusively, which ErrBusy refuses while it is mounted or used by another.
func OpenBlock(path string, readOnly bool) (*Device, error) {
	if !IsBlock(path) {
		return nil, fmt.Errorf("filedev: %s: %w", path, ErrNotBlock)
	}
	flag := unix.O_RDWR | unix.O_EXCL
	if readOnly {
		flag = unix.O_RDONLY
	}
	direct := true
	f, err := os.OpenFile(path, flag|unix.O_DIRECT, 0)
	if errors.Is(err, unix.EINVAL) {
		direct = false
		f, err = os.OpenFile(path, flag, 0)
	}
	if errors.Is(err, unix.EBUSY) {
		return nil, fmt.Errorf("filedev: %s: %w", path, ErrBusy)
	}
	if err != nil {
		return nil, fmt.Errorf("filedev: %w", err)
	}
	size, err := blockSize(f)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("filedev: %s: %w", path, err), f.Close())
	}
	d := newDevice(f, size)
	d.block, d.direct = true, direct
	if direct {
		d.bounce, err = unix.Mmap(-1, 0, bounceBytes, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_ANON)
		if err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	if !readOnly {
		d.settle()
	}
	return d, nil
}

// blockSize asks the kernel for the size, in whole blocks of ours.
func blockSize(f *os.File) (int64, error) {
	fd := int(f.Fd())
	sector, err := unix.IoctlGetInt(fd, unix.BLKSSZGET)
	if err != nil {
		return 0, err
	}
	// The kernel writes 4 bytes here; the rest of the int stays zero.
	if sector <= 0 || sector > persist.BlockSize {
		return 0, fmt.Errorf("sectors of %d bytes, at most %d are supported", sector, persist.BlockSize)
	}
	size, err := unix.IoctlGetInt(fd, unix.BLKGETSIZE64)
	if err != nil {
		return 0, err
	}
	return int64(size) &^ (persist.BlockSize - 1), nil
}

// Discard tells a block device that n bytes at off are not needed. What is read there
// afterwards is not defined. Devices that can't are left as they are.
func (d *Device) Discard(off, n int64) error {
	if !d.block {
		return nil
	}
	err := discard(d.f, off, n)
	if errors.Is(err, unix.EOPNOTSUPP) || errors.Is(err, unix.ENOTTY) {
		return nil
	}
	return err
}

func allAligned(bufs [][]byte, off int64) bool {
	for _, b := range bufs {
		if !aligned(b, off) {
			return false
		}
	}
	return true
}

// writeBounced writes through the aligned buffer. Whole blocks only.
func (d *Device) writeBounced(bufs [][]byte, off int64) error {
	d.bounceLock.Lock()
	defer d.bounceLock.Unlock()
	n := 0
	flush := func() error {
		_, err := d.f.WriteAt(d.bounce[:n], off)
		off += int64(n)
		n = 0
		return err
	}
	for _, b := range bufs {
		for len(b) > 0 {
			k := copy(d.bounce[n:], b)
			n += k
			b = b[k:]
			if n == len(d.bounce) {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// readBounced reads blocks of which b is a part.
func (d *Device) readBounced(b []byte, off int64) (int, error) {
	d.bounceLock.Lock()
	defer d.bounceLock.Unlock()
	if off < 0 {
		return 0, unix.EINVAL
	}
	done := 0
	for done < len(b) {
		at := off + int64(done)
		start := at &^ (persist.BlockSize - 1)
		skip := int(at - start)
		want := min(len(d.bounce), (skip+len(b)-done+persist.BlockSize-1)&^(persist.BlockSize-1))
		n, err := d.f.ReadAt(d.bounce[:want], start)
		k := copy(b[done:], d.bounce[min(skip, n):n])
		done += k
		if err != nil && done < len(b) {
			return done, err
		}
		if k == 0 {
			return done, io.ErrUnexpectedEOF
		}
	}
	return done, nil
}
