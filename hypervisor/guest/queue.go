package guest

import (
	"runtime"
	"sync"
	"syscall"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/guest/internal/kern"
)

// queue submits block requests to the tender.
//
//  1. enter takes a free slot, waiting for one if need be, fills it in and puts it
//     into the order ring.
//  2. publish shows the tender all that was entered, and wakes it if it sleeps: a
//     write group is one kick, and the tender sees its flush together with its writes.
//  3. complete, on an event, looks at the slots in flight, frees those that are done
//     and tells their requests.
type queue struct {
	area area
	free chan int // slots; never blocks on sending

	lock   sync.Mutex
	tail   uint32
	flying [abi.QueueSlots]*request
}

// request is one operation in flight. bufs keeps its memory alive, and on the
// heap.
type request struct {
	bufs  [][]byte
	done  chan struct{}
	errno syscall.Errno
}

func newQueue(h *hub) *queue {
	q := &queue{area: h.area, free: make(chan int, abi.QueueSlots)}
	for i := range abi.QueueSlots {
		q.free <- i
	}
	return q
}

// enter notes a request; publish starts it. list has at most abi.QueueSegments
// pieces, which belong to bufs.
func (q *queue) enter(e abi.QueueEntry, list []abi.Segment, bufs [][]byte) *request {
	r := &request{bufs: bufs, done: make(chan struct{})}
	var slot int
	select {
	case slot = <-q.free:
	default:
		q.publish() // what was entered before has to end for a slot to become free
		slot = <-q.free
	}
	q.lock.Lock()
	defer q.lock.Unlock()
	e.Segments = uint32(len(list))
	e.Encode(q.area[abi.SharedEntries+slot*abi.QueueEntrySize:])
	at := q.area[abi.SharedSegments+slot*abi.QueueSegments*abi.SegmentSize:]
	for i, s := range list {
		s.Encode(at[i*abi.SegmentSize:])
	}
	q.area.word(abi.SharedCompletions + slot*4).Store(0)
	q.flying[slot] = r
	q.area.word(abi.SharedOrder + int(q.tail%abi.QueueSlots)*4).Store(uint32(slot))
	q.tail++
	return r
}

func (q *queue) publish() {
	q.lock.Lock()
	defer q.lock.Unlock()
	q.area.word(abi.SharedQueueTail).Store(q.tail)
	if q.area.word(abi.SharedQueueSleeps).Load() != 0 {
		kern.Kick(abi.HypercallKickBlock)
	}
}

func (q *queue) complete() {
	q.lock.Lock()
	defer q.lock.Unlock()
	for slot, r := range q.flying {
		if r == nil {
			continue
		}
		c := q.area.word(abi.SharedCompletions + slot*4).Load()
		if c&abi.CompletionDone == 0 {
			continue
		}
		r.errno = syscall.Errno(c >> 8)
		r.bufs = nil
		q.flying[slot] = nil
		close(r.done)
		q.free <- slot
	}
}

// spinTime is how long wait lets others run and looks again before it parks.
// Most requests take less, and a parked one costs several exits.
const spinTime = 60e3

// wait gives the request's error.
func (r *request) wait() error {
	h := machine()
	for start := kern.Nanos(); kern.Nanos()-start < spinTime; {
		h.poll()
		select {
		case <-r.done:
			return r.result()
		default:
			runtime.Gosched()
		}
	}
	<-r.done
	return r.result()
}

func (r *request) result() error {
	if r.errno != 0 {
		return r.errno
	}
	return nil
}
