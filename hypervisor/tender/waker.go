package tender

import (
	"encoding/binary"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// waker lets the vCPU's thread sleep in a POLL until a timeout or a wake,
// whichever comes first. A wake that comes while nobody sleeps is kept for the
// next sleep.
type waker struct {
	fd       int
	sleeping atomic.Bool
	pending  atomic.Bool
}

func newWaker() (*waker, error) {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return nil, fmt.Errorf("eventfd: %w", err)
	}
	return &waker{fd: fd}, nil
}

func (w *waker) close() { _ = unix.Close(w.fd) }

func (w *waker) wake() {
	w.pending.Store(true)
	if w.sleeping.Load() {
		one := make([]byte, 8)
		binary.NativeEndian.PutUint64(one, 1)
		_, _ = unix.Write(w.fd, one)
	}
}

// sleep waits for at most d.
func (w *waker) sleep(d time.Duration) {
	if w.pending.Swap(false) {
		return
	}
	w.sleeping.Store(true)
	defer w.sleeping.Store(false)
	end := time.Now().Add(d)
	for !w.pending.Load() {
		left := time.Until(end)
		if left <= 0 {
			break
		}
		ts := unix.NsecToTimespec(int64(left))
		n, err := unix.Ppoll([]unix.PollFd{{Fd: int32(w.fd), Events: unix.POLLIN}}, &ts, nil)
		if n > 0 {
			_, _ = unix.Read(w.fd, make([]byte, 8))
		}
		if err != nil && err != unix.EINTR {
			break
		}
	}
	w.pending.Store(false)
}
