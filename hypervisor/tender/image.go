package tender

import (
	"fmt"
	"io"
	"os"
	"sync"

	"golang.org/x/sys/unix"
)

// Image is a BlockDev in a file.
//
// After a Flush has failed every later one fails too: the kernel may have
// dropped the pages that it could not write and would report the next flush as
// good.
type Image struct {
	f    *os.File
	size int64

	lock   sync.Mutex
	failed error
}

// maxVectors is how many buffers one pwritev takes (IOV_MAX).
const maxVectors = 1024

// OpenImage opens an existing image file for reading and writing. Its size
// stays as it is.
func OpenImage(path string) (*Image, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("disk image: %w", err)
	}
	size, err := f.Seek(0, io.SeekEnd)
	if err != nil {
		return nil, fmt.Errorf("disk image: %w", err)
	}
	return NewImage(f, size), nil
}

// CreateImage makes a sparse image of size bytes that only its owner may
// access. The file must not exist.
func CreateImage(path string, size int64) (*Image, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return nil, fmt.Errorf("disk image: %w", err)
	}
	if err := f.Truncate(size); err != nil {
		f.Close()
		return nil, fmt.Errorf("disk image: %w", err)
	}
	return NewImage(f, size), nil
}

// NewImage uses an open file, which the Image then owns, as a device of size
// bytes.
func NewImage(f *os.File, size int64) *Image { return &Image{f: f, size: size} }

// ReadAt implements BlockDev.
func (d *Image) ReadAt(b []byte, off int64) (int, error) { return d.f.ReadAt(b, off) }

// WriteAt implements BlockDev.
func (d *Image) WriteAt(b []byte, off int64) (int, error) { return d.f.WriteAt(b, off) }

// Size implements BlockDev.
func (d *Image) Size() int64 { return d.size }

// Close closes the file.
func (d *Image) Close() error { return d.f.Close() }

// Flush implements BlockDev.
func (d *Image) Flush() error {
	d.lock.Lock()
	defer d.lock.Unlock()
	for d.failed == nil {
		err := unix.Fdatasync(int(d.f.Fd()))
		if err == nil {
			return nil
		}
		if err != unix.EINTR {
			d.failed = &os.PathError{Op: "fdatasync", Path: d.f.Name(), Err: err}
		}
	}
	return d.failed
}

// WriteGather implements GatherDev.
func (d *Image) WriteGather(bufs [][]byte, off int64) error {
	bufs = append([][]byte(nil), bufs...)
	for len(bufs) > 0 {
		n, err := unix.Pwritev(int(d.f.Fd()), bufs[:min(len(bufs), maxVectors)], off)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			return &os.PathError{Op: "pwritev", Path: d.f.Name(), Err: err}
		}
		if n == 0 && len(bufs[0]) > 0 {
			return io.ErrShortWrite
		}
		off += int64(n)
		bufs = advance(bufs, n)
	}
	return nil
}

// advance drops the first n bytes of bufs.
func advance(bufs [][]byte, n int) [][]byte {
	for len(bufs) > 0 && n >= len(bufs[0]) {
		n -= len(bufs[0])
		bufs = bufs[1:]
	}
	if n > 0 {
		bufs[0] = bufs[0][n:]
	}
	return bufs
}
