package monitor

import (
	"io"
	"sync"
	"time"
)

// display writes a stream to where it is shown, in a goroutine of its own: a reader who does not read slows the
// program down, since what is not shown is not acknowledged, but nothing else, stopping least of all.
type display struct {
	w     io.Writer
	wrote func() // called after each write

	mu      sync.Mutex
	more    *sync.Cond
	waiting []byte // to be written; at most what a machine sends without acknowledgement
	writing int    // bytes that are being written
	closed  bool
}

func newDisplay(w io.Writer, wrote func()) *display {
	d := &display{w: w, wrote: wrote}
	d.more = sync.NewCond(&d.mu)
	go d.run() // not waited for: it may hang in a write
	return d
}

func (d *display) run() {
	for {
		d.mu.Lock()
		for len(d.waiting) == 0 && !d.closed {
			d.more.Wait()
		}
		b := d.waiting
		d.waiting, d.writing = nil, len(b)
		d.mu.Unlock()
		if len(b) == 0 {
			return
		}
		if _, err := d.w.Write(b); err != nil {
			d.w = io.Discard // the reader went away; whether the run goes on, SIGPIPE decides
		}
		d.mu.Lock()
		d.writing = 0
		d.mu.Unlock()
		d.wrote()
	}
}

func (d *display) add(b []byte) {
	d.mu.Lock()
	d.waiting = append(d.waiting, b...)
	d.mu.Unlock()
	d.more.Signal()
}

// hidden is how many bytes are not shown yet.
func (d *display) hidden() int64 {
	d.mu.Lock()
	defer d.mu.Unlock()
	return int64(len(d.waiting) + d.writing)
}

// close gives the reader a last chance to take what is left.
func (d *display) close(grace time.Duration) {
	for end := time.Now().Add(grace); d.hidden() > 0 && time.Now().Before(end); time.Sleep(time.Millisecond) {
	}
	d.mu.Lock()
	d.closed = true
	d.mu.Unlock()
	d.more.Signal()
}
