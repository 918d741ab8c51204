// Package sim is a block device in memory for crash tests. It records every
// write and flush, injects errors, and builds the images that a crash at any
// point may leave behind.
//
// Two loss models. The process dies: every write that was issued survives, the
// one in progress perhaps in part. Power dies: what was written before the last
// completed flush survives; of what was written later, each 512-byte sector
// does or does not, in any order.
package sim

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"

	"phantomvm/persist"
)

// Sector is the unit that a device writes atomically.
const Sector = 512

// ErrIO is an injected device error.
var ErrIO = errors.New("sim: injected I/O error")

// Op is one recorded write, or a flush if Data is nil.
type Op struct {
	Off  int64
	Data []byte
}

// Fault makes the device fail.
type Fault struct {
	// At is the number of the first write or flush that fails, counted from
	// when the fault is set; 0 is the next one.
	At int
	// Sticky: all later ones fail too.
	Sticky bool
	// Err is returned: ErrIO, persist.ErrNoSpace, ...
	Err error
	// Reads counts and fails reads instead of writes and flushes.
	Reads bool
	// Torn is how many sectors of the failing write reach the device.
	Torn int
}

// Disk implements persist.Device.
type Disk struct {
	mu      sync.Mutex
	initial []byte
	data    []byte
	ops     []Op
	faults
	liar bool
}

// faults counts what may fail.
type faults struct {
	fault *Fault
	count int
}

var _ persist.Device = (*Disk)(nil)

// New makes a zeroed disk of size bytes.
func New(size int64) *Disk { return FromImage(make([]byte, size)) }

// FromImage makes a disk whose contents, taken over, are durable.
func FromImage(image []byte) *Disk {
	return &Disk{initial: append([]byte(nil), image...), data: image}
}

// Size implements persist.Device.
func (d *Disk) Size() int64 { return int64(len(d.data)) }

// ReadAt implements io.ReaderAt.
func (d *Disk) ReadAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 || off+int64(len(b)) > int64(len(d.data)) {
		return 0, fmt.Errorf("sim: read of %d bytes at %#x is outside the disk", len(b), off)
	}
	if f := d.failing(true); f != nil {
		return 0, f.Err
	}
	return copy(b, d.data[off:]), nil
}

// WriteAt implements io.WriterAt.
func (d *Disk) WriteAt(b []byte, off int64) (int, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < 0 || off+int64(len(b)) > int64(len(d.data)) || off%persist.BlockSize != 0 || len(b)%persist.BlockSize != 0 {
		return 0, fmt.Errorf("sim: write of %d bytes at %#x is outside the disk or not aligned", len(b), off)
	}
	if f := d.failing(false); f != nil {
		n := min(f.Torn*Sector, len(b))
		if n > 0 {
			d.apply(b[:n], off)
		}
		return n, f.Err
	}
	d.apply(b, off)
	return len(b), nil
}

func (d *Disk) apply(b []byte, off int64) {
	copy(d.data[off:], b)
	d.ops = append(d.ops, Op{off, append([]byte{}, b...)})
}

func (l *faults) failing(read bool) *Fault {
	if l.fault == nil || l.fault.Reads != read {
		return nil
	}
	n := l.count
	l.count++
	if f := l.fault; n == f.At || n > f.At && f.Sticky {
		return f
	}
	return nil
}

// Flush implements persist.Device.
func (d *Disk) Flush() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if f := d.failing(false); f != nil {
		return f.Err
	}
	if !d.liar {
		d.ops = append(d.ops, Op{})
	}
	return nil
}

// SetFault replaces the fault; nil heals the device.
func (d *Disk) SetFault(f *Fault) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.faults = faults{fault: f}
}

// Lie makes flushes succeed without effect from now on.
func (d *Disk) Lie(on bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.liar = on
}

// Len is the number of operations recorded so far.
func (d *Disk) Len() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.ops)
}

// Recording returns what was written so far, and the contents before that.
func (d *Disk) Recording() *Recording {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Recording{Base: d.initial, Ops: d.ops[:len(d.ops):len(d.ops)]}
}

// Image is a copy of the contents with everything issued so far.
func (d *Disk) Image() []byte {
	d.mu.Lock()
	defer d.mu.Unlock()
	return append([]byte(nil), d.data...)
}

// Gathering is a Disk that implements persist.GatherWriter and
// persist.GroupWriter too. Each buffer is recorded as a write of its own.
type Gathering struct{ *Disk }

// WriteGather implements persist.GatherWriter.
func (g Gathering) WriteGather(bufs [][]byte, off int64) error { return gather(g, bufs, off) }

func gather(d persist.Device, bufs [][]byte, off int64) error {
	for _, b := range bufs {
		if _, err := d.WriteAt(b, off); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// WriteGroup implements persist.GroupWriter.
func (g Gathering) WriteGroup(runs [][][]byte, offs []int64) error { return writeGroup(g, runs, offs) }

func writeGroup(d persist.Device, runs [][][]byte, offs []int64) error {
	for i, bufs := range runs {
		if err := gather(d, bufs, offs[i]); err != nil {
			return err
		}
	}
	return d.Flush()
}

// Replay walks the recorded operations of a disk, in steps of one.
type Replay struct {
	ops     []Op
	point   int    // operations issued
	durable []byte // contents at the last flush
	issued  []byte // contents with everything issued
	pending []Op   // writes since the last flush
}

// Replay starts before the first operation. The disk may be used further.
func (d *Disk) Replay() *Replay {
	d.mu.Lock()
	defer d.mu.Unlock()
	return &Replay{
		ops:     d.ops[:len(d.ops):len(d.ops)],
		durable: append([]byte(nil), d.initial...), issued: append([]byte(nil), d.initial...),
	}
}

// Point is the number of operations issued.
func (r *Replay) Point() int { return r.point }

// Next issues one operation; it is false at the end.
func (r *Replay) Next() bool {
	if r.point == len(r.ops) {
		return false
	}
	op := r.ops[r.point]
	r.point++
	if op.Data == nil {
		copyPending(r.durable, r.pending)
		r.pending = nil
		return true
	}
	copy(r.issued[op.Off:], op.Data)
	r.pending = append(r.pending, op)
	return true
}

func copyPending(dst []byte, ops []Op) {
	for _, op := range ops {
		copy(dst[op.Off:], op.Data)
	}
}

// ProcessDies returns the image after the process died now, with the first
// torn sectors of the next write done.
func (r *Replay) ProcessDies(torn int) []byte {
	img := append([]byte(nil), r.issued...)
	if r.point < len(r.ops) {
		op := r.ops[r.point]
		copy(img[op.Off:], op.Data[:min(torn*Sector, len(op.Data))])
	}
	return img
}

// Units cuts the pending writes into parts of size bytes (a multiple of
// Sector), the parts whose fate a power loss decides independently.
func (r *Replay) Units(size int) []Op {
	var units []Op
	for _, op := range r.pending {
		for o := 0; o < len(op.Data); o += size {
			units = append(units, Op{op.Off + int64(o), op.Data[o:min(o+size, len(op.Data))]})
		}
	}
	return units
}

// PowerDies returns the image after a power loss now, of which the given units
// were saved, in the given order.
func (r *Replay) PowerDies(saved []Op) []byte {
	img := append([]byte(nil), r.durable...)
	copyPending(img, saved)
	return img
}

// RandomSubset picks units with a probability that is itself random, so that
// nearly all and nearly none come up too, and shuffles them.
func RandomSubset(rng *rand.Rand, units []Op) []Op {
	p := rng.Float64()
	switch rng.IntN(4) {
	case 0:
		p = 1 - p/float64(len(units)+1)
	case 1:
		p /= float64(len(units) + 1)
	}
	var out []Op
	for _, u := range units {
		if rng.Float64() < p {
			out = append(out, u)
		}
	}
	rng.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}
