package kern

import "unsafe"

// Threads are cooperative: the running one keeps the processor until it makes
// a system call that blocks or yields. One FS base serves all of them (m0's);
// what changes with the thread is the word at -8(FS), the runtime's g.

// Thread states.
const (
	stateFree uintptr = iota
	stateRunnable
	stateFutex
	stateSleep
	stateEpoll
)

const (
	maxThreads = 512
	threadSize = unsafe.Sizeof(thread{})
)

var (
	threads    [maxThreads]thread
	topThread  uintptr // slots from here on were never used
	lastThread uintptr // last tid given
)

func threadAt(i uintptr) *thread { return (*thread)(pointer(addr(&threads) + i*threadSize)) }

// schedule picks the next thread, round robin, the calling one last. It waits
// in the tender when there is none.
func schedule() {
	self := (current - addr(&threads)) / threadSize
	for {
		now, next := nanos(), int64(0)
		if now-lastResync > resyncInterval {
			resync()
		}
		for k := uintptr(1); k <= topThread; k++ {
			t := threadAt((self + k) % topThread)
			switch {
			case t.state == stateFree || t.state == stateRunnable:
			case t.state == stateEpoll && takeEvents(t):
			case t.deadline == 0:
			case t.deadline <= now:
				t.ax = 0
				if t.state == stateFutex {
					t.ax = errno(eTIMEDOUT)
				}
				t.state = stateRunnable
			case next == 0 || t.deadline < next:
				next = t.deadline
			}
			if t.state == stateRunnable {
				current = addr(t)
				return
			}
		}
		// No longer than until the wall clock is due. A wake-up without an
		// event costs little at that rate.
		wait := uint64(resyncInterval)
		if next != 0 && uint64(next-now) < wait {
			wait = uint64(next - now)
		}
		poll(wait)
	}
}

// clone starts a thread as a copy of t, with its own stack.
func clone(t *thread, stack uintptr) uintptr {
	for i := uintptr(0); i < maxThreads; i++ {
		c := threadAt(i)
		if c.state != stateFree {
			continue
		}
		if i >= topThread {
			topThread = i + 1
		}
		copyBytes(addr(c), addr(t), threadSize)
		lastThread++
		c.rsp, c.ax, c.tid = stack, 0, lastThread
		c.state, c.deadline = stateRunnable, 0
		c.altStack, c.altSize = 0, 0
		return c.tid
	}
	return errno(eAGAIN)
}

// deadlineAt turns a relative timespec into an instant of nanos.
func deadlineAt(ts uintptr) int64 {
	s, ns := int64(load(ts)), int64(load(ts+8))
	if s < 0 || ns < 0 {
		return nanos()
	}
	const forever = 1 << 33 // seconds
	if s > forever {
		s = forever
	}
	return nanos() + s*1e9 + ns
}

func futex(t *thread) {
	const wait, wake = 0, 1
	switch t.si & 0x7f {
	case wait:
		if load32(t.di) != uint32(t.dx) {
			t.ax = errno(eAGAIN)
			return
		}
		t.futex, t.deadline, t.ax = t.di, 0, 0
		if t.r10 != 0 {
			t.deadline = deadlineAt(t.r10) + 1
		}
		t.state = stateFutex
		schedule()
	case wake:
		n := uintptr(0)
		for i := uintptr(0); i < topThread && n < t.dx; i++ {
			if c := threadAt(i); c.state == stateFutex && c.futex == t.di {
				c.state, c.ax, c.deadline = stateRunnable, 0, 0
				n++
			}
		}
		t.ax = n
	default:
		t.ax = errno(eNOSYS)
	}
}

// Descriptors: the console, the runtime's eventfd, its epoll, and a doorbell
// that is readable after every event from the tender.
const (
	fdStdin    = 0
	fdStdout   = 1
	fdStderr   = 2
	fdEvent    = 3
	fdEpoll    = 4
	FDDoorbell = 5
)

const (
	epollIn      = 1
	epollSize    = 12
	epollCtlAdd  = 1
	epollCtlDel  = 2
	epollCtlMod  = 3
	epollDataOff = 4
)

var (
	eventCount         uintptr // of the eventfd
	eventData          uintptr // what epoll returns for it
	eventArmed         bool
	bellData           uintptr
	bellArmed          bool
	bellGiven, bellGot uint32 // tender events that epoll announced, that a read took
)

// takeEvents completes an epoll_wait of t if there is something to report.
func takeEvents(t *thread) bool {
	n := uintptr(0)
	if eventArmed && eventCount > 0 {
		putEvent(t, n, eventData)
		n++
	}
	if e := tenderEvents(); bellArmed && e != bellGiven && n < t.maxEvents {
		bellGiven = e
		putEvent(t, n, bellData)
		n++
	}
	if n == 0 {
		return false
	}
	t.ax, t.state = n, stateRunnable
	return true
}

func putEvent(t *thread, i, data uintptr) {
	e := t.events + i*epollSize
	store32(e, epollIn)
	store32(e+4, uint32(data))
	store32(e+8, uint32(data>>32))
}

func epollWait(t *thread) {
	t.events, t.maxEvents = t.si, t.dx
	ms := int32(t.r10)
	if takeEvents(t) {
		return
	}
	if t.ax = 0; ms == 0 {
		return
	}
	t.deadline = 0
	if ms > 0 {
		t.deadline = nanos() + int64(ms)*1e6
	}
	t.state = stateEpoll
	schedule()
}

func epollCtl(t *thread) uintptr {
	data := uintptr(0)
	if t.r10 != 0 {
		data = uintptr(load32(t.r10+epollDataOff)) | uintptr(load32(t.r10+epollDataOff+4))<<32
	}
	on := t.si != epollCtlDel
	switch t.dx {
	case fdEvent:
		eventData, eventArmed = data, on
	case FDDoorbell:
		bellData, bellArmed = data, on
	default:
		return errno(ePERM) // as for a file: the caller blocks instead
	}
	return 0
}
