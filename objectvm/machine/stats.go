package machine

import (
	"sync/atomic"
	"time"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
)

// Stats is the one structure in which everything that the machine measures is
// counted (docs/metrics.md). What package persist and the VM count themselves is
// copied into it by gather.
type Stats = wire.Stats

// numbersEvery is the time between two Numbers messages that nobody asked for.
const numbersEvery = time.Second

// meter is what the machine remembers to fill its Stats.
type meter struct {
	Stats
	lastSent    time.Time
	oldest      time.Time    // not before the oldest change that no flip covers; zero: there is none
	flipAt      time.Time    // the newest flip began
	flipOldest  time.Time    // oldest, of what that flip covers
	completedAt atomic.Int64 // nanoseconds from base to the newest completion of a commit
	base        time.Time
	overdue     bool          // the next checkpoint is due, but the one before is not acknowledged
	stored      persist.Stats // as of the newest acknowledgement
	collector   uint64        // nanoseconds in the collector, after the last slice
}

// began starts the meter at the first instruction.
func (m *machine) began(now time.Time) {
	m.meter.base, m.meter.lastSent = now, now
	m.meter.Began, m.meter.Interval = now.UnixNano(), int64(m.cfg.Interval)
	m.meter.stored = m.store.Stats()
	m.meter.ArenaPages = m.meter.stored.LivePages
	m.ckpt.OnComplete(func(persist.Epoch, error) { m.meter.completedAt.Store(int64(time.Since(now))) })
}

// sliced notes a slice of the program.
func (m *machine) sliced(from, to time.Time) {
	w := &m.meter
	if m.vm.Ran() {
		w.Slice.RecordTime(to.Sub(from))
	}
	if gc := m.vm.GCTime(); gc != w.collector {
		w.GCPause.Record(gc - w.collector)
		w.collector = gc
	}
	if w.oldest.IsZero() && m.ckpt.Dirty() > 0 {
		w.oldest = from
	}
}

// late notes that the next checkpoint should begin, but can't.
func (m *machine) late() {
	if m.ckpt.Dirty() > 0 && time.Since(m.lastFlip) >= m.cfg.Interval {
		m.meter.overdue = true
	}
}

// demarcated notes a flip that took the time from one instant to the other.
func (m *machine) demarcated(from, to time.Time) {
	w := &m.meter
	w.Flip.RecordTime(to.Sub(from))
	if w.overdue {
		w.Stretched++
		w.StretchedNanos += uint64(max(0, from.Sub(m.lastFlip)-m.cfg.Interval))
		w.overdue = false
	}
	if from.Sub(m.lastFlip) < m.cfg.Interval && m.vm.SyncWanted() {
		w.SyncFlips++
	}
	if w.oldest.IsZero() {
		w.oldest = from
	}
	w.flipAt, w.flipOldest, w.oldest = from, w.oldest, time.Time{} // the commit may begin before the flip returns
}

// acknowledged notes that the newest flip's checkpoint is durable.
func (m *machine) acknowledged() {
	w := &m.meter
	at := w.base.Add(time.Duration(w.completedAt.Load()))
	if at.Before(w.flipAt) {
		at = time.Now() // its completion is announced in this moment
	}
	w.Commit.RecordTime(at.Sub(w.flipAt))
	w.DurableAge.RecordTime(at.Sub(w.flipOldest))
	st, was := m.store.Stats(), w.stored
	w.stored = st
	w.Checkpoints++
	w.Pages += st.Pages - was.Pages
	w.CleanedPages += st.Moved - was.Moved
	w.DeviceBytes += uint64(st.Written - was.Written)
	w.CheckpointPages.Record(st.Pages - was.Pages)
	w.CheckpointBytes.Record(uint64(st.Written - was.Written))
	w.ArenaPages = st.LivePages
}

// gather brings the gauges, and what others count, up to date.
func (m *machine) gather(now time.Time) *Stats {
	w := &m.meter
	w.At = now.UnixNano()
	w.Epoch, w.DurableAt, w.Goroutines = m.status.Epoch, m.status.DurableAt, m.vm.Goroutines()
	w.OldestChange = 0
	switch {
	case m.flipped != 0:
		w.OldestChange = int64(now.Sub(w.flipOldest))
	case !w.oldest.IsZero():
		w.OldestChange = int64(now.Sub(w.oldest))
	}
	m.gatherPaging()
	w.DirtyPages = uint64(m.ckpt.Dirty())
	w.HeapBytes = m.vm.HeapBytes()
	w.HeldBack, w.SyncWaiting = m.heldBack(), uint64(m.vm.Syncing())
	ck := m.ckpt.Stats()
	w.FirstTouches, w.CopiedPages, w.ColdCopies = ck.Touches, ck.Copied, ck.ColdCopies
	w.GCCycles, w.GCNanos = m.vm.GCCycles(), m.vm.GCTime()
	return &w.Stats
}

// sendNumbers sends the Stats to the host.
func (m *machine) sendNumbers(now time.Time) error {
	m.meter.lastSent = now
	return send(m.cfg.Link, &wire.Message{Kind: wire.Numbers, Stats: m.gather(now)})
}
