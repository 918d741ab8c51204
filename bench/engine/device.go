// Package engine drives the checkpoint engine as a VM does: a mutator with a write barrier, flips at slice
// boundaries, and a device that counts.
package engine

import (
	"sync/atomic"

	"phantomvm/persist"
	"phantomvm/persist/filedev"
)

// Device is an image file that counts what is written to it.
type Device struct {
	*filedev.Device
	Written, Prepared, Flushes atomic.Int64 // bytes but for Flushes; Written does not include Prepared
}

var (
	_ persist.Device       = (*Device)(nil)
	_ persist.GatherWriter = (*Device)(nil)
	_ persist.GroupWriter  = (*Device)(nil)
	_ persist.Preparer     = (*Device)(nil)
)

// NewDevice makes an image of size bytes, sparse.
func NewDevice(path string, size int64) (*Device, error) {
	d, err := filedev.Create(path, size)
	if err != nil {
		return nil, err
	}
	return &Device{Device: d}, nil
}

// WriteAt counts and passes on.
func (d *Device) WriteAt(b []byte, off int64) (int, error) {
	d.Written.Add(int64(len(b)))
	return d.Device.WriteAt(b, off)
}

// WriteGather counts and passes on.
func (d *Device) WriteGather(bufs [][]byte, off int64) error {
	d.count(bufs)
	return d.Device.WriteGather(bufs, off)
}

// WriteGroup counts and passes on.
func (d *Device) WriteGroup(runs [][][]byte, offs []int64) error {
	for _, bufs := range runs {
		d.count(bufs)
	}
	d.Flushes.Add(1)
	return d.Device.WriteGroup(runs, offs)
}

func (d *Device) count(bufs [][]byte) {
	for _, b := range bufs {
		d.Written.Add(int64(len(b)))
	}
}

// Flush counts and passes on.
func (d *Device) Flush() error {
	d.Flushes.Add(1)
	return d.Device.Flush()
}

// Prepare counts and passes on.
func (d *Device) Prepare(off, n int64) error {
	d.Prepared.Add(n)
	return d.Device.Prepare(off, n)
}
