package monitor

import (
	"sync"
	"time"

	"phantomvm/objectvm/machine/wire"
)

// Numbers are what a machine has counted.
type Numbers struct {
	All    *wire.Stats   // in this incarnation; nil if it has not told any yet
	Recent *wire.Stats   // in the last ten seconds, or a little more; Began is when that time began
	Start  time.Duration // from the command's start to the first instruction, 0 if that has not come
}

// numbers returns the machine's newest numbers. It asks for newer ones than it has, and waits for them for a while.
func (h *host) numbers() Numbers {
	if next := h.stats.next(); next != nil {
		select {
		case h.asks <- struct{}{}:
		default: // asked already
		}
		t := time.NewTimer(patient)
		defer t.Stop()
		select {
		case <-next:
		case <-h.quit: // it has ended; the last ones are there
		case <-t.C:
		}
	}
	var n Numbers
	n.All, n.Recent = h.stats.get()
	h.mu.Lock()
	n.Start = h.start
	h.mu.Unlock()
	return n
}

// ask passes requests for numbers on to the machine.
func (h *host) ask() {
	for {
		select {
		case <-h.quit:
			return
		case <-h.asks:
		}
		if h.send(&wire.Message{Kind: wire.Ask}) != nil {
			return
		}
	}
}

// started notes when the machine executed its first instruction, wall clock in Unix nanoseconds.
func (h *host) started(first int64) {
	if h.began.IsZero() {
		return
	}
	h.mu.Lock()
	h.start = time.Duration(first - h.began.UnixNano())
	h.mu.Unlock()
}

// Recent numbers are those of the last ten seconds, or a little more.
const (
	recent  = 10 * time.Second
	spacing = 900 * time.Millisecond // between two copies that are kept
	kept    = 13

	fresh   = 50 * time.Millisecond // numbers not older than this are not asked for again
	patient = time.Second           // how long somebody who asks waits for the machine
)

// history keeps copies of the machine's numbers for as long as recent ones need them.
type history struct {
	mu     sync.Mutex
	copies []*wire.Stats // oldest first, spaced
	newest *wire.Stats
	came   time.Time     // when
	more   chan struct{} // closed when the next copy comes
}

// add takes a copy that the machine sent.
func (h *history) add(s *wire.Stats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.newest, h.came = s, time.Now()
	if n := len(h.copies); n == 0 || s.At-h.copies[n-1].At >= int64(spacing) {
		h.copies = append(h.copies, s)
		if n == kept {
			h.copies = append(h.copies[:0], h.copies[1:]...)
		}
	}
	if h.more != nil {
		close(h.more)
		h.more = nil
	}
}

// next is closed when another copy has come; nil if the newest one is not older than fresh.
func (h *history) next() <-chan struct{} {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.newest != nil && time.Since(h.came) < fresh {
		return nil
	}
	if h.more == nil {
		h.more = make(chan struct{})
	}
	return h.more
}

// get returns the newest numbers and those of the recent past; nil before the first copy has come.
func (h *history) get() (all, last *wire.Stats) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.newest == nil {
		return nil, nil
	}
	base := &wire.Stats{At: h.newest.Began} // nothing was counted yet
	for i, c := range h.copies {
		if i == 0 && len(h.copies) == kept || c.At <= h.newest.At-int64(recent) {
			base = c
		}
	}
	return h.newest, h.newest.Since(base)
}
