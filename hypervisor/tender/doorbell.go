package tender

import (
	"encoding/binary"
	"fmt"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/sys/unix"
)

// doorbell lets a goroutine sleep until the guest kicks. The kick arrives by ring,
// after an exit of the guest, or from KVM itself through an eventfd. A goroutine that waits for the
// eventfd is parked in the Go runtime's poller and keeps neither a thread nor a P.
type doorbell struct {
	flag  *atomic.Uint32 // tells the guest to kick
	c     chan struct{}
	event *os.File // nil: c is used
}

// bind makes KVM ring the bell at an OUT to port.
func (d *doorbell) bind(m *machine, port uint16) error {
	fd, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("eventfd: %w", err)
	}
	if err := m.bindEvent(port, fd); err != nil {
		_ = unix.Close(fd)
		return fmt.Errorf("KVM_IOEVENTFD: %w", err)
	}
	d.event = os.NewFile(uintptr(fd), "kick")
	return nil
}

// ring wakes the goroutine.
func (d *doorbell) ring() {
	if d.event == nil {
		notify(d.c)
		return
	}
	var one [8]byte
	binary.NativeEndian.PutUint64(one[:], 1)
	_, _ = d.event.Write(one[:]) // fails only if the count is at its end: it is rung already
}

// close is called when nobody waits any more.
func (d *doorbell) close() {
	if d.event != nil {
		d.event.Close()
	}
}

// spinTime is how long a goroutine looks for more work before it sleeps. A guest
// that computes submits the next request without a kick meanwhile, and one that
// waits gets its answer sooner.
const spinTime = 50 * time.Microsecond

// spin tells whether work comes within spinTime.
func spin(ready func() bool) bool {
	for start := time.Now(); time.Since(start) < spinTime; {
		for range 50 {
			if ready() {
				return true
			}
		}
	}
	return false
}

// wait sleeps unless ready tells, after the flag is set, that there is work.
// It reports false when stop is closed.
func (d *doorbell) wait(stop <-chan struct{}, ready func() bool) bool {
	if spin(ready) {
		return true
	}
	d.flag.Store(1)
	defer d.flag.Store(0)
	if ready() {
		return true
	}
	if d.event == nil {
		select {
		case <-d.c:
			return true
		case <-stop:
			return false
		}
	}
	var count [8]byte
	_, err := d.event.Read(count[:]) // an old ring makes it return at once, which does no harm
	select {
	case <-stop:
		return false
	default:
		return err == nil
	}
}
