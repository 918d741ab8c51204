package tender

import (
	"errors"
	"syscall"

	"phantomvm/hypervisor/abi"
)

// serveQueue executes block requests one by one, in the order of the ring, until
// the guest has ended and the ring is empty.
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
		slot := e.word(abi.SharedOrder + int(done%abi.QueueSlots)*4).Load()
		if slot >= abi.QueueSlots {
			e.fail("block queue: slot %d", slot)
			return
		}
		errno, err := e.execute(int(slot))
		if err != nil {
			e.fail("block queue: %w", err)
			return
		}
		done++
		head.Store(done)
		e.word(abi.SharedCompletions + int(slot)*4).Store(abi.CompletionDone | errno<<8)
		e.announce()
	}
}

// execute performs the request in a slot. errno is the result for the guest,
// err a breach of the interface.
func (e *extension) execute(slot int) (errno uint32, err error) {
	r := abi.DecodeQueueEntry(e.b[abi.SharedEntries+slot*abi.QueueEntrySize:])
	if r.Segments > abi.QueueSegments {
		return uint32(syscall.EINVAL), nil
	}
	write := r.Op == abi.QueueWrite
	bufs := make([][]byte, 0, r.Segments)
	total := uint64(0)
	list := e.b[abi.SharedSegments+slot*abi.QueueSegments*abi.SegmentSize:]
	for i := range int(r.Segments) {
		s := abi.DecodeSegment(list[i*abi.SegmentSize:])
		b, err := e.vm.mem.span(s.Addr, s.Len, !write)
		if err != nil {
			return 0, err
		}
		bufs = append(bufs, b)
		total += s.Len
	}
	d := e.vm.device(uint64(r.Handle), r.Offset, total)
	if d == nil {
		return uint32(syscall.EINVAL), nil
	}
	switch r.Op {
	case abi.QueueFlush:
		err = d.Flush()
	case abi.QueueWrite:
		err = writeGather(d, bufs, int64(r.Offset))
	case abi.QueueRead:
		off := int64(r.Offset)
		for _, b := range bufs {
			if err = transfer(d, b, off, false); err != nil {
				break
			}
			off += int64(len(b))
		}
	default:
		return uint32(syscall.EINVAL), nil
	}
	return errnoOf(err), nil
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
