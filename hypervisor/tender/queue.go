package tender

// The block queue. The guest's requests are executed in the order of the ring, with
// two exceptions that save system calls: writes at consecutive places become one
// write, and writes up to a flush go to the device together with it, as a write
// group whose writes the device may do in any order. Preparing a place takes long and hurries
// nobody: it runs beside the other requests.

import (
	"errors"
	"syscall"

	"phantomvm/hypervisor/abi"
)

// job is a request as it was read from the shared area: the guest may change that at any time.
type job struct {
	slot   uint32
	op     abi.QueueOp
	handle uint32
	dev    BlockDev // nil if the request is refused
	off    int64
	bufs   [][]byte
	bytes  int64
}

// serveQueue executes block requests until the guest has ended and the ring is empty.
func (e *extension) serveQueue() {
	tail, head := e.word(abi.SharedQueueTail), e.word(abi.SharedQueueHead)
	bell := e.sleeps[abi.HypercallKickBlock]
	for done := uint32(0); ; {
		t := tail.Load()
		if t-done > abi.QueueSlots {
			e.fail("block queue: tail %d, head %d", t, done)
			return
		}
		if t == done {
			if !bell.wait(e.stop, func() bool { return tail.Load() != done }) && tail.Load() == done {
				return
			}
			continue
		}
		jobs, err := e.load(done, t)
		if err != nil {
			e.fail("block queue: %w", err)
			return
		}
		for len(jobs) > 0 {
			if j := jobs[0]; j.op == abi.QueuePrepare {
				e.wg.Go(func() { e.complete(prepare(j), j) })
				done, jobs = done+1, jobs[1:]
				head.Store(done)
				continue
			}
			n, errno := perform(jobs)
			done += uint32(n)
			head.Store(done)
			e.complete(errno, jobs[:n]...)
			jobs = jobs[n:]
		}
	}
}

// complete tells the guest the result of requests.
func (e *extension) complete(errno uint32, jobs ...job) {
	for _, j := range jobs {
		e.word(abi.SharedCompletions + int(j.slot)*4).Store(abi.CompletionDone | errno<<8)
	}
	e.announce()
}

func prepare(j job) (errno uint32) {
	if j.dev == nil || j.bytes > abi.MaxPrepare {
		return uint32(syscall.EINVAL)
	}
	if p, ok := j.dev.(PrepareDev); ok {
		return errnoOf(p.Prepare(j.off, j.bytes))
	}
	return 0
}

// load reads the requests from..to of the ring. The error is a breach of the interface.
func (e *extension) load(from, to uint32) ([]job, error) {
	jobs := make([]job, 0, to-from)
	for i := from; i != to; i++ {
		slot := e.word(abi.SharedOrder + int(i%abi.QueueSlots)*4).Load()
		if slot >= abi.QueueSlots {
			return nil, errSlot
		}
		j, err := e.loadOne(slot)
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, j)
	}
	return jobs, nil
}

var errSlot = errors.New("no such slot")

func (e *extension) loadOne(slot uint32) (job, error) {
	r := abi.DecodeQueueEntry(e.b[abi.SharedEntries+int(slot)*abi.QueueEntrySize:])
	j := job{slot: slot, op: r.Op, handle: r.Handle, off: int64(r.Offset)}
	if r.Segments > abi.QueueSegments {
		return j, nil
	}
	total := uint64(0)
	list := e.b[abi.SharedSegments+int(slot)*abi.QueueSegments*abi.SegmentSize:]
	for i := range int(r.Segments) {
		s := abi.DecodeSegment(list[i*abi.SegmentSize:])
		b, err := e.vm.mem.span(s.Addr, s.Len, r.Op == abi.QueueRead)
		if err != nil {
			return j, err
		}
		j.bufs = append(j.bufs, b)
		total += s.Len // at most 256 times the guest's memory
	}
	if r.Op == abi.QueuePrepare {
		total = r.Bytes
	}
	j.bytes = int64(total)
	j.dev = e.vm.device(uint64(r.Handle), r.Offset, total)
	return j, nil
}

// perform executes the first jobs, one or more that belong together, and tells how
// many. errno is the result of all of them.
func perform(jobs []job) (n int, errno uint32) {
	j := jobs[0]
	if j.dev == nil {
		return 1, uint32(syscall.EINVAL)
	}
	switch j.op {
	case abi.QueueFlush:
		return 1, errnoOf(j.dev.Flush())
	case abi.QueueWrite:
		return performWrites(jobs)
	case abi.QueueRead:
		return 1, errnoOf(readScatter(j))
	}
	return 1, uint32(syscall.EINVAL)
}

// performWrites executes the writes to one device at the head of jobs, and the
// flush that follows them.
func performWrites(jobs []job) (n int, errno uint32) {
	dev, handle := jobs[0].dev, jobs[0].handle
	var runs [][][]byte
	var offs []int64
	for end := int64(-1); n < len(jobs) && jobs[n].op == abi.QueueWrite && jobs[n].dev != nil && jobs[n].handle == handle; n++ {
		j := &jobs[n]
		if j.off != end {
			runs, offs = append(runs, nil), append(offs, j.off)
		}
		last := len(runs) - 1
		runs[last] = append(runs[last], j.bufs...)
		end = j.off + j.bytes
	}
	if n < len(jobs) && jobs[n].op == abi.QueueFlush && jobs[n].dev != nil && jobs[n].handle == handle {
		return n + 1, errnoOf(writeGroup(dev, runs, offs))
	}
	for i, bufs := range runs {
		if err := writeGather(dev, bufs, offs[i]); err != nil {
			return n, errnoOf(err)
		}
	}
	return n, 0
}

func readScatter(j job) error {
	off := j.off
	for _, b := range j.bufs {
		if err := transfer(j.dev, b, off, false); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

func writeGroup(d BlockDev, runs [][][]byte, offs []int64) error {
	if g, ok := d.(GroupDev); ok {
		return g.WriteGroup(runs, offs)
	}
	for i, bufs := range runs {
		if err := writeGather(d, bufs, offs[i]); err != nil {
			return err
		}
	}
	return d.Flush()
}

func writeGather(d BlockDev, bufs [][]byte, off int64) error {
	if g, ok := d.(GatherDev); ok {
		return g.WriteGather(bufs, off)
	}
	for _, b := range bufs {
		if err := transfer(d, b, off, true); err != nil {
			return err
		}
		off += int64(len(b))
	}
	return nil
}

// errnoOf gives the error number that the guest is told.
func errnoOf(err error) uint32 {
	var no syscall.Errno
	switch {
	case err == nil:
		return 0
	case errors.As(err, &no) && no > 0 && no < 4096:
		return uint32(no)
	}
	return uint32(syscall.EIO)
}
