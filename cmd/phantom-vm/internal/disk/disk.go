// Package disk opens the device on which an instance's arena lies: the image in
// the instance's directory, a file or block device elsewhere, or an export of an
// NBD server.
package disk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"

	"phantomvm/persist"
	"phantomvm/persist/filedev"
	"phantomvm/persist/nbddev"
)

// Errors that callers tell apart.
var (
	ErrLocation = errors.New("not a disk")
	// ErrDevice: the device failed or went away. The state as of the last durable checkpoint is kept.
	ErrDevice = errors.New("the disk failed")
	// ErrForeign: the device holds something that is not the instance's.
	ErrForeign = errors.New("the disk is not this instance's")
	ErrBusy    = errors.New("the disk is in use")
)

// Location says where a disk is: the absolute path of a file or block device, or an NBD URI.
type Location string

// IsLocation tells whether text is meant to be a location and not a size.
func IsLocation(text string) bool {
	return nbddev.IsTarget(text) || strings.ContainsRune(text, '/')
}

// Parse checks a location and makes paths absolute.
func Parse(text string) (Location, error) {
	if nbddev.IsTarget(text) {
		t, err := nbddev.ParseTarget(text)
		if err != nil {
			return "", err
		}
		return Location(t.String()), nil
	}
	path, err := filepath.Abs(text)
	if err != nil {
		return "", err
	}
	fi, err := os.Stat(path)
	switch {
	case err != nil:
		return "", err
	case !fi.Mode().IsRegular() && !filedev.IsBlock(path):
		return "", fmt.Errorf("%s: %w: want a file, a block device or an NBD URI", path, ErrLocation)
	}
	return Location(path), nil
}

// Options of Open.
type Options struct {
	ReadOnly bool // for looking
	Unsafe   bool // take a server that has no flush
}

// device is what all kinds offer.
type device interface {
	persist.Device
	persist.GatherWriter
	persist.GroupWriter
	persist.Preparer
	io.Closer
}

// Disk is an open disk. It notes when the device fails.
type Disk struct {
	device
	at     Location
	failed atomic.Pointer[error]
}

// Descriptor is that of the file or block device below, which may be read in places where Go's own reads can't be
// used; ok is false if there is none.
func (d *Disk) Descriptor() (fd uintptr, ok bool) {
	f, ok := d.device.(interface{ Descriptor() uintptr })
	if !ok {
		return 0, false
	}
	return f.Descriptor(), true
}

// Open opens the disk at a location.
func Open(ctx context.Context, at Location, o Options) (*Disk, error) {
	d := &Disk{at: at}
	var err error
	switch {
	case nbddev.IsTarget(string(at)):
		d.device, err = openNBD(ctx, at, o)
	case filedev.IsBlock(string(at)):
		d.device, err = keep(filedev.OpenBlock(string(at), o.ReadOnly))
	default:
		d.device, err = openFile(string(at), o)
	}
	if errors.Is(err, filedev.ErrBusy) {
		err = fmt.Errorf("%w: %w", ErrBusy, err)
	}
	if err != nil {
		return nil, err
	}
	return d, nil
}

// keep turns a nil pointer into a nil interface.
func keep[D device](d D, err error) (device, error) {
	if err != nil {
		return nil, err
	}
	return d, nil
}

func openNBD(ctx context.Context, at Location, o Options) (device, error) {
	t, err := nbddev.ParseTarget(string(at))
	if err != nil {
		return nil, err
	}
	d, err := nbddev.Open(ctx, t, nbddev.Options{ReadOnly: o.ReadOnly, Unsafe: o.Unsafe})
	if err == nil {
		return d, nil
	}
	if errors.Is(err, nbddev.ErrNoFlush) {
		return nil, fmt.Errorf("%w; --unsafe-disk takes it all the same", err)
	}
	return nil, fmt.Errorf("%w: %w", ErrDevice, err)
}

// openFile opens an image. Two instances must not write to one.
func openFile(path string, o Options) (device, error) {
	if o.ReadOnly {
		return keep(filedev.OpenReadOnly(path))
	}
	d, err := filedev.Open(path)
	if err != nil {
		return nil, err
	}
	if err := d.Lock(); err != nil {
		d.Close()
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return d, nil
}

// Claim looks at a disk before it is used: it must be the image of the instance id.
func (d *Disk) Claim(id persist.InstanceID) error {
	c, err := persist.Probe(d)
	switch {
	case err != nil:
		return err
	case c.Image && c.InstanceID != id:
		return fmt.Errorf("%s: %w: it holds %s", d.at, ErrForeign, c.What)
	case !c.Image && !c.Free && !strings.Contains(c.What, "damaged"):
		return fmt.Errorf("%s: %w: it holds %s", d.at, ErrForeign, c.What)
	}
	return nil // what is damaged or blank, the recovery says better
}

// A server may still have requests of a process that was killed, in the buffer of its connection, and would
// do them late: over what the next one writes. NBD knows no way to fence them off. So the next one first looks until the
// roots have stayed the same for a while.
const (
	quietFor = 100 * time.Millisecond
	quietMax = 5 * time.Second
	quietEnd = 64 << 10 // superblocks and roots
)

// Settle waits until a server has done what a process that used it before has asked for.
func (d *Disk) Settle() error {
	if !nbddev.IsTarget(string(d.at)) {
		return nil // the kernel finishes a system call before its process is gone
	}
	last := make([]byte, min(d.Size(), quietEnd))
	if _, err := d.ReadAt(last, 0); err != nil {
		return err
	}
	for end := time.Now().Add(quietMax); ; {
		time.Sleep(quietFor)
		now := make([]byte, len(last))
		if _, err := d.ReadAt(now, 0); err != nil {
			return err
		}
		if bytes.Equal(now, last) {
			return nil
		}
		if time.Now().After(end) {
			return fmt.Errorf("%s: %w: somebody else writes to it", d.at, ErrBusy)
		}
		last = now
	}
}

// Vacant refuses a disk that holds anything, unless force says that it may be lost.
func (d *Disk) Vacant(force bool) error {
	c, err := persist.Probe(d)
	switch {
	case err != nil:
		return err
	case c.Free:
		return nil
	case !force:
		return fmt.Errorf("%s: %w: it holds %s; --force overwrites it", d.at, ErrForeign, c.What)
	}
	return nil
}

// Discard tells the device that nothing on it is needed, if it takes that, so
// that storage which gives out space as it is used gets it back.
func (d *Disk) Discard() error {
	if t, ok := d.device.(interface{ Discard(off, n int64) error }); ok {
		return d.note(t.Discard(0, d.Size()))
	}
	return nil
}

// Err is the first failure of the device, a full one apart; nil if there was none.
func (d *Disk) Err() error {
	if p := d.failed.Load(); p != nil {
		return fmt.Errorf("%w: %s: %w", ErrDevice, d.at, *p)
	}
	return nil
}

func (d *Disk) note(err error) error {
	if err != nil && !errors.Is(err, persist.ErrNoSpace) && !errors.Is(err, unix.ENOSPC) {
		d.failed.CompareAndSwap(nil, &err)
	}
	return err
}

// ReadAt implements io.ReaderAt.
func (d *Disk) ReadAt(b []byte, off int64) (int, error) {
	n, err := d.device.ReadAt(b, off)
	if err == io.EOF { //nolint:errorlint // the end of the disk; a lost server may have it in its chain
		return n, err
	}
	return n, d.note(err)
}

// WriteAt implements io.WriterAt.
func (d *Disk) WriteAt(b []byte, off int64) (int, error) {
	n, err := d.device.WriteAt(b, off)
	return n, d.note(err)
}

// WriteGather implements persist.GatherWriter.
func (d *Disk) WriteGather(bufs [][]byte, off int64) error {
	return d.note(d.device.WriteGather(bufs, off))
}

// WriteGroup implements persist.GroupWriter.
func (d *Disk) WriteGroup(runs [][][]byte, offs []int64) error {
	return d.note(d.device.WriteGroup(runs, offs))
}

// Flush implements persist.Device.
func (d *Disk) Flush() error { return d.note(d.device.Flush()) }
