// Package filedev is a persist.Device on an ordinary file of the host.
package filedev

import (
	"errors"
	"fmt"
	"os"

	"golang.org/x/sys/unix"

	"phantomvm/persist"
)

// Device is an open image file. Locking is the caller's business.
type Device struct {
	f    *os.File
	size int64
}

var (
	_ persist.Device       = (*Device)(nil)
	_ persist.GatherWriter = (*Device)(nil)
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
	return &Device{f, size}, nil
}

// Open opens an existing image. Its size is rounded down to whole blocks.
func Open(path string) (*Device, error) { return open(path, os.O_RDWR) }

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
	return &Device{f, fi.Size() &^ (persist.BlockSize - 1)}, nil
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

// Size implements persist.Device.
func (d *Device) Size() int64 { return d.size }

// ReadAt implements io.ReaderAt.
func (d *Device) ReadAt(b []byte, off int64) (int, error) { return d.f.ReadAt(b, off) }

// WriteAt implements io.WriterAt. It never makes the file longer.
func (d *Device) WriteAt(b []byte, off int64) (int, error) {
	if err := d.inside(int64(len(b)), off); err != nil {
		return 0, err
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

// WriteGather implements persist.GatherWriter with pwritev.
func (d *Device) WriteGather(bufs [][]byte, off int64) error {
	var total int64
	for _, b := range bufs {
		total += int64(len(b))
	}
	if err := d.inside(total, off); err != nil {
		return err
	}
	n, err := unix.Pwritev(int(d.f.Fd()), bufs, off)
	for err == unix.EINTR {
		n, err = unix.Pwritev(int(d.f.Fd()), bufs, off)
	}
	if err != nil {
		return full(fmt.Errorf("filedev: pwritev: %w", err))
	}
	// A short write is finished buffer by buffer.
	for _, b := range bufs {
		if n < len(b) {
			if _, err := d.f.WriteAt(b[n:], off+int64(n)); err != nil {
				return full(err)
			}
		}
		n = max(0, n-len(b))
		off += int64(len(b))
	}
	return nil
}

// Flush implements persist.Device with fdatasync: returns when all writes are
// on the disk, file extents included.
func (d *Device) Flush() error {
	for {
		err := unix.Fdatasync(int(d.f.Fd()))
		if err != unix.EINTR {
			return full(err)
		}
	}
}

// Prepare implements persist.Preparer: overwriting written blocks is some four
// times cheaper than extending a sparse file.
func (d *Device) Prepare(off, n int64) error {
	zero := make([]byte, min(n, 1<<20))
	for n > 0 {
		k := min(n, int64(len(zero)))
		if _, err := d.WriteAt(zero[:k], off); err != nil {
			return err
		}
		off, n = off+k, n-k
	}
	return d.Flush()
}

// Close closes the file without flushing.
func (d *Device) Close() error { return d.f.Close() }
