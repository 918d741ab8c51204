// Package filedev is a persist.Device on an ordinary file or a block device of the host.
//
// When a flush fails, the kernel has dropped the pages that it could not write or
// keeps them in its cache as if they were written; the next flush would succeed. So
// after a failed flush every later one fails too, and the file's cached pages are
// given up, so that whoever opens it next reads what is on the disk.
package filedev

import (
	"errors"
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"

	"phantomvm/persist"
)

// Device is an open image file. Locking is the caller's business.
type Device struct {
	f    *os.File
	size int64
	// Of a block device: direct is O_DIRECT, for which memory has to be aligned;
	// memory that is not goes through bounce.
	block, direct bool
	bounceLock    sync.Mutex
	bounce        []byte

	// The system calls; tests count them and let them fail.
	pwritev func(fd int, bufs [][]byte, off int64) (int, error)
	sync    func(fd int) error

	mu     sync.Mutex
	failed error // of a flush

	// Prepare has a file description of its own: the kernel reports a failed write once to
	// each, and a flush of Prepare must not take the report from Flush.
	prepareLock sync.Mutex
	preparing   *os.File
}

// maxVectors is how many buffers one pwritev takes (IOV_MAX).
const maxVectors = 1024

var (
	_ persist.Device       = (*Device)(nil)
	_ persist.GatherWriter = (*Device)(nil)
	_ persist.GroupWriter  = (*Device)(nil)
	_ persist.Preparer     = (*Device)(nil)
)

// Create makes a new sparse image of size bytes (mode 0600) and makes its
// directory entry durable. It fails if the file exists.
func Create(path string, size int64) (*Device, error) {
	if size < persist.BlockSize || size%persist.BlockSize != 0 {
		return nil, fmt.Errorf("filedev: size %d of %s is not a multiple of %d", size, path, persist.BlockSize)
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("filedev: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		return nil, errors.Join(fmt.Errorf("filedev: %w", full(err)), f.Close(), os.Remove(path))
	}
	if err := errors.Join(f.Sync(), syncDir(path)); err != nil {
		return nil, errors.Join(fmt.Errorf("filedev: %w", full(err)), f.Close(), os.Remove(path))
	}
	return newDevice(f, size), nil
}

func newDevice(f *os.File, size int64) *Device {
	return &Device{f: f, size: size, pwritev: unix.Pwritev, sync: unix.Fdatasync}
}

// Open opens an existing image. Its size is rounded down to whole blocks. If
// something written before could not be brought to the disk, it is given up here:
// what is read is on the disk.
func Open(path string) (*Device, error) {
	d, err := open(path, os.O_RDWR)
	if err == nil {
		d.settle()
	}
	return d, err
}

// OpenReadOnly is for looking at an image; writes fail.
func OpenReadOnly(path string) (*Device, error) { return open(path, os.O_RDONLY) }

func open(path string, flag int) (*Device, error) {
	f, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return nil, fmt.Errorf("filedev: %w", err)
	}
	fi, err := f.Stat()
	if err != nil {
		return nil, errors.Join(fmt.Errorf("filedev: %w", err), f.Close())
	}
	return newDevice(f, fi.Size()&^(persist.BlockSize-1)), nil
}

// syncDir makes the new name durable.
func syncDir(path string) error {
	dir := "."
	for i := len(path) - 1; i >= 0; i-- {
		if path[i] == '/' {
			dir = path[:i+1]
			break
		}
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// full makes a full file system or quota recognisable.
func full(err error) error {
	if errors.Is(err, unix.ENOSPC) || errors.Is(err, unix.EDQUOT) || errors.Is(err, unix.EFBIG) {
		return fmt.Errorf("%w: %w", persist.ErrNoSpace, err)
	}
	return err
}

// Descriptor is the open file's descriptor, for reads in places where Go's own can't be used.
func (d *Device) Descriptor() uintptr { return d.f.Fd() }

// Size implements persist.Device.
func (d *Device) Size() int64 { return d.size }

// ReadAt implements io.ReaderAt.
func (d *Device) ReadAt(b []byte, off int64) (int, error) {
	if d.direct && !aligned(b, off) {
		return d.readBounced(b, off)
	}
	return d.f.ReadAt(b, off)
}

// WriteAt implements io.WriterAt. It never makes the file longer.
func (d *Device) WriteAt(b []byte, off int64) (int, error) {
	if err := d.inside(int64(len(b)), off); err != nil {
		return 0, err
	}
	if d.direct && !aligned(b, off) {
		if err := d.writeBounced([][]byte{b}, off); err != nil {
			return 0, full(err)
		}
		return len(b), nil
	}
	n, err := d.f.WriteAt(b, off)
	return n, full(err)
}

func (d *Device) inside(n, off int64) error {
	if off < 0 || n > d.size || off > d.size-n {
		return fmt.Errorf("filedev: write of %d bytes at %#x is outside the image of %d bytes", n, off, d.size)
	}
	return nil
}

// WriteGather implements persist.GatherWriter with one pwritev for 1024 buffers.
func (d *Device) WriteGather(bufs [][]byte, off int64) error {
	var total int64
	for _, b := range bufs {
		total += int64(len(b))
	}
	if err := d.inside(total, off); err != nil {
		return err
	}
	if d.direct && !allAligned(bufs, off) {
		return full(d.writeBounced(bufs, off))
	}
	for len(bufs) > 0 {
		if len(bufs[0]) == 0 {
			bufs = bufs[1:]
			continue
		}
		some := bufs[:min(len(bufs), maxVectors)]
		n, err := d.pwritev(int(d.f.Fd()), some, off)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && n == 0 {
			err = io.ErrShortWrite
		}
		if err != nil {
			return full(fmt.Errorf("filedev: pwritev: %w", err))
		}
		off += int64(n)
		bufs = advance(bufs, n)
	}
	return nil
}

// advance drops the first n bytes of bufs, which it leaves as they are.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs = append([][]byte{bufs[0][n:]}, bufs[1:]...)
	}
	return bufs
}

// WriteGroup implements persist.GroupWriter: one pwritev for each run (of up to
// 1024 buffers) and one fdatasync.
func (d *Device) WriteGroup(runs [][][]byte, offs []int64) error {
	for i, bufs := range runs {
		if err := d.WriteGather(bufs, offs[i]); err != nil {
			return err
		}
	}
	return d.Flush()
}

// Flush implements persist.Device with fdatasync: returns when all writes are
// on the disk, file extents included.
func (d *Device) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed != nil {
		return d.failed
	}
	if err := d.fdatasync(); err != nil {
		d.failed = fmt.Errorf("filedev: flush of %s: %w", d.f.Name(), full(err))
		d.forget()
	}
	return d.failed
}

func (d *Device) fdatasync() error {
	for {
		if err := d.sync(int(d.f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// forget drops the file's clean pages from the kernel's cache, among them those
// that count as clean because writing them has failed.
func (d *Device) forget() {
	if d.direct {
		return // there is no cache between
	}
	_ = unix.Fadvise(int(d.f.Fd()), 0, 0, unix.FADV_DONTNEED) // advice; nothing more can be done
}

// settle makes the cache equal to the disk. The first flush after the opening reports
// a write that failed in the background, after its process was gone.
func (d *Device) settle() {
	if d.fdatasync() != nil {
		d.forget()
	}
}

// Prepare implements persist.Preparer: overwriting written blocks is some four
// times cheaper than extending a sparse file. It may run beside the other methods.
func (d *Device) Prepare(off, n int64) error {
	if d.block {
		return nil // nothing has to be allocated
	}
	if err := d.inside(n, off); err != nil {
		return err
	}
	d.prepareLock.Lock()
	defer d.prepareLock.Unlock()
	if d.preparing == nil {
		f, err := os.OpenFile(fmt.Sprintf("/proc/self/fd/%d", d.f.Fd()), os.O_WRONLY, 0)
		if err != nil {
			return fmt.Errorf("filedev: %w", err)
		}
		d.preparing = f
	}
	zero := make([]byte, min(n, 1<<20))
	for n > 0 {
		k := min(n, int64(len(zero)))
		if _, err := d.preparing.WriteAt(zero[:k], off); err != nil {
			return full(err)
		}
		off, n = off+k, n-k
	}
	return full(unix.Fdatasync(int(d.preparing.Fd())))
}

// Lock takes the file for this process until Close. ErrBusy: another has it.
func (d *Device) Lock() error {
	err := unix.Flock(int(d.f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return fmt.Errorf("filedev: %s: %w", d.f.Name(), ErrBusy)
	}
	return err
}

// Close closes the file without flushing.
func (d *Device) Close() error {
	if d.bounce != nil {
		_ = unix.Munmap(d.bounce)
		d.bounce = nil
	}
	d.prepareLock.Lock()
	defer d.prepareLock.Unlock()
	if d.preparing != nil {
		return errors.Join(d.preparing.Close(), d.f.Close())
	}
	return d.f.Close()
}
