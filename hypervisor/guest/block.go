package guest

import (
	"fmt"
	"io"
	"syscall"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/guest/internal/kern"
)

// Block is a block device of the unikernel. Its methods may be called from any
// goroutine. Requests may have any offset and length. Those that are in flight
// at the same time must not overlap.
type Block struct {
	name   string
	handle uint32
	size   int64
	sector int
}

// largeRead is from where on a read leaves the processor to others. Below it
// the hypercall costs less than the way through the queue.
const largeRead = 128 << 10

// OpenBlock gives the block device that the manifest calls name.
func OpenBlock(name string) (*Block, error) {
	if !kern.Active() {
		return nil, fmt.Errorf("block device %q: %w", name, ErrInactive)
	}
	m, err := abi.DecodeManifest(kern.ManifestBytes())
	if err != nil {
		return nil, fmt.Errorf("block device %q: %w", name, err)
	}
	for i, d := range m.Devices {
		if i > 0 && d.Name == name && d.Type == abi.DeviceBlock && d.Attached {
			return &Block{name, uint32(i), int64(d.Capacity), int(d.BlockSize)}, nil
		}
	}
	return nil, fmt.Errorf("block device %q: %w", name, ErrNoDevice)
}

// Size is the capacity in bytes.
func (b *Block) Size() int64 { return b.size }

// SectorSize is the size in bytes that the tender declares for a sector.
func (b *Block) SectorSize() int { return b.sector }

// Durable tells whether Flush makes writes survive a crash of the host. Without
// the extension only a crash of the tender is survived.
func (b *Block) Durable() bool { return machine().queue != nil }

func (b *Block) fail(op string, off int64, err error) error {
	return fmt.Errorf("%s on block device %q at %d: %w", op, b.name, off, err)
}

// ReadAt implements io.ReaderAt.
func (b *Block) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > b.size {
		return 0, b.fail("read", off, ErrRange)
	}
	n := int(min(int64(len(p)), b.size-off))
	var err error
	if q := machine().queue; q != nil && n >= largeRead {
		err = b.gather(q, abi.QueueRead, [][]byte{p[:n]}, off)
	} else if e := kern.Transfer(b.handle, off, p[:n], false); e != 0 {
		err = syscall.Errno(e)
	}
	if err != nil {
		return 0, b.fail("read", off, err)
	}
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (b *Block) WriteAt(p []byte, off int64) (int, error) {
	if err := b.WriteGather([][]byte{p}, off); err != nil {
		return 0, err
	}
	return len(p), nil
}

// WriteGather writes the buffers one after the other, from off on. With the
// extension the tender does it while other goroutines of the guest run; the
// buffers must not change until WriteGather returns.
func (b *Block) WriteGather(bufs [][]byte, off int64) error {
	if err := b.checkRange(bufs, off); err != nil {
		return err
	}
	if q := machine().queue; q != nil {
		if err := b.gather(q, abi.QueueWrite, bufs, off); err != nil {
			return b.fail("write", off, err)
		}
		return nil
	}
	for _, p := range bufs {
		if e := kern.Transfer(b.handle, off, p, true); e != 0 {
			return b.fail("write", off, syscall.Errno(e))
		}
		off += int64(len(p))
	}
	return nil
}

// Flush makes every write that has returned durable, if Durable.
func (b *Block) Flush() error {
	q := machine().queue
	if q == nil {
		return nil
	}
	r := q.enter(abi.QueueEntry{Op: abi.QueueFlush, Handle: b.handle}, nil, nil)
	q.publish()
	if err := r.wait(); err != nil {
		return b.fail("flush", 0, err)
	}
	return nil
}

// WriteGroup writes the buffers of runs[i] one after the other from offs[i] on, in
// any order, and then flushes: all of it reaches the tender at once, with one wait.
func (b *Block) WriteGroup(runs [][][]byte, offs []int64) error {
	for i, bufs := range runs {
		if err := b.checkRange(bufs, offs[i]); err != nil {
			return err
		}
	}
	q := machine().queue
	if q == nil {
		for i, bufs := range runs {
			if err := b.WriteGather(bufs, offs[i]); err != nil {
				return err
			}
		}
		return nil
	}
	var flying []*request
	var err error
	for i, bufs := range runs {
		if flying, err = b.enter(flying, q, abi.QueueWrite, bufs, offs[i]); err != nil {
			break
		}
	}
	if err == nil {
		flying = append(flying, q.enter(abi.QueueEntry{Op: abi.QueueFlush, Handle: b.handle}, nil, nil))
	}
	q.publish()
	if err := waitAll(flying, err); err != nil {
		return b.fail("write group and flush", 0, err)
	}
	return nil
}

// Prepare makes n bytes at off cheap to overwrite, where the tender and its device can do that;
// what lies there is destroyed. The tender does it beside other requests, which must keep away from
// there until Prepare returns.
func (b *Block) Prepare(off, n int64) error {
	if off < 0 || n < 0 || n > b.size || off > b.size-n {
		return b.fail("prepare", off, ErrRange)
	}
	h := machine()
	if h.features&abi.ExtPrepare == 0 || h.queue == nil {
		return nil
	}
	for n > 0 {
		k := min(n, abi.MaxPrepare)
		r := h.queue.enter(abi.QueueEntry{Op: abi.QueuePrepare, Handle: b.handle, Offset: uint64(off), Bytes: uint64(k)}, nil, nil)
		h.queue.publish()
		if err := r.wait(); err != nil {
			return b.fail("prepare", off, err)
		}
		off, n = off+k, n-k
	}
	return nil
}

func (b *Block) checkRange(bufs [][]byte, off int64) error {
	total := int64(0)
	for _, p := range bufs {
		total += int64(len(p))
	}
	if off < 0 || total > b.size || off > b.size-total {
		return b.fail("write", off, ErrRange)
	}
	return nil
}

// gather transfers through the queue.
func (b *Block) gather(q *queue, op abi.QueueOp, bufs [][]byte, off int64) error {
	flying, err := b.enter(nil, q, op, bufs, off)
	q.publish()
	return waitAll(flying, err)
}

// waitAll waits for every request, also after an error: the tender still uses
// their memory.
func waitAll(flying []*request, err error) error {
	for _, r := range flying {
		if e := r.wait(); e != nil && err == nil {
			err = e
		}
	}
	return err
}

// enter puts a transfer into the queue, as requests of at most abi.QueueSegments
// pieces. The caller publishes them.
func (b *Block) enter(flying []*request, q *queue, op abi.QueueOp, bufs [][]byte, off int64) ([]*request, error) {
	var list []abi.Segment
	flush := func() {
		if len(list) > 0 {
			flying = append(flying, q.enter(abi.QueueEntry{Op: op, Handle: b.handle, Offset: uint64(off)}, list, bufs))
		}
		for _, s := range list {
			off += int64(s.Len)
		}
		list = list[:0]
	}
	for _, p := range bufs {
		for len(p) > 0 {
			// As much as fits even if no two pages are contiguous.
			n := min(len(p), max(abi.QueueSegments-len(list)-1, 1)*abi.PageSize)
			var ok bool
			if list, ok = segments(list, p[:n], op == abi.QueueRead); !ok {
				return flying, syscall.EFAULT
			}
			p = p[n:]
			if len(list) >= abi.QueueSegments-1 {
				flush()
			}
		}
	}
	flush()
	return flying, nil
}
