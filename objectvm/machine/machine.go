// Package machine is a VM together with its checkpoints and its link to the
// outside: the loop that every monitor runs, in a guest or in a process.
//
// # How output becomes visible exactly once
//
//  1. The program writes into a ring in the arena. A stream's bytes are numbered from 0 for ever.
//  2. A flip notes how far each stream had come (in the root's metadata).
//  3. When that epoch is durable, the bytes up to there are sent to the host.
//  4. The host puts them at their offset into a file, syncs it and acknowledges.
//  5. Only then are they removed from the ring. A kill before that sends them
//     again after the resume; the host compares them with its file, and puts
//     right what a power cut has left there.
//
// So nothing is shown that the program could forget, and nothing is lost or
// doubled. A full ring parks the goroutines that write.
package machine

import (
	"errors"
	"fmt"
	"math"
	"time"

	"phantomvm/objectvm"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/objectvm/paging"
	"phantomvm/persist"
)

// Defaults and bounds.
const (
	DefaultInterval = 10 * time.Millisecond
	sliceFuel       = 100_000               // calls and backward branches: 0.1 to 0.5 ms
	window          = 64 << 10              // unacknowledged bytes of a stream on their way: the link never blocks on them
	progressEvery   = 50 * time.Millisecond // between two Progress messages
)

// Config says how to run. The zero value of all but Device and Link works.
type Config struct {
	Device   persist.Device
	Link     wire.Link
	Interval time.Duration // between two checkpoints
	// Delivered is how much of each stream is safely outside; -1: unknown, output is at-least-once.
	Delivered [wire.Streams]int64
	Durable   bool   // Device's Flush reaches the medium
	Fuel      int64  // calls and backward branches of a slice, between which a checkpoint can begin; 0: 100,000
	Yield     func() // called between slices, nil if nobody waits for this thread
	// Paging says how pages are brought in on demand. nil: all are loaded at resume.
	Paging *Paging
	// Gone is closed when the host can't be reached any more: Run returns without a last checkpoint.
	// Link.Wait must then return. nil: never.
	Gone <-chan struct{}
}

// errGone: the host can't be told how the run ended.
var errGone = errors.New("the host is gone")

// machine is one incarnation.
type machine struct {
	cfg    Config
	store  *persist.Store
	ckpt   *persist.Checkpointer
	arena  *objectvm.Arena
	vm     *objectvm.VM
	meta   rootMeta // of the newest flip
	notes  []string // findings of the recovery
	status wire.Status

	lastFlip     time.Time
	flipped      persist.Epoch // newest epoch handed to the checkpointer, 0 if it is durable
	flippedEnds  [wire.Streams]int64
	durableEnds  [wire.Streams]int64 // output that may be shown
	sent, acked  [wire.Streams]int64
	hurried      [wire.Streams]int64 // ends that acknowledgements were asked for
	lastProgress time.Time

	stopping bool
	final    *wire.Status // the program ended; set until the last epoch is durable and its output acknowledged
	input    *inputWindow
	meter    meter

	pager    *paging.Pager // nil: everything is resident
	inFlight int           // pages of the newest flip
	settled  bool          // a checkpoint became durable since the pager was told
	pressed  bool          // memory is short: the next checkpoint begins at once
}

// Run resumes the arena on cfg.Device and runs it until its program ends, the host asks to stop, or it can't go on.
// How it ended is told to the host; the error says why no Ended message could be sent.
func Run(cfg Config) error {
	m := &machine{cfg: cfg}
	err := m.guarded(func() error {
		if err := m.resume(); err != nil {
			return err
		}
		return m.loop()
	})
	_ = m.guarded(func() error { // its error, if any, is the one above
		m.close()
		return nil
	})
	if err == nil {
		return nil
	}
	st := m.status
	st.State = wire.Failed
	return send(cfg.Link, &wire.Message{
		Kind: wire.Ended, Status: &st, Reason: err.Error(), NoSpace: errors.Is(err, persist.ErrNoSpace), NoMemory: errors.Is(err, paging.ErrMemory),
		Damaged: errors.Is(err, persist.ErrCorrupt) || errors.Is(err, persist.ErrVersion) || errors.Is(err, persist.ErrRootDamaged),
	})
}

// loop runs slices, with checkpoints, output and messages between them.
func (m *machine) loop() error {
	if err := send(m.cfg.Link, &wire.Message{Kind: wire.Started, Status: m.newStatus()}); err != nil {
		return err
	}
	for _, n := range m.notes {
		if err := send(m.cfg.Link, &wire.Message{Kind: wire.Note, Reason: n}); err != nil {
			return err
		}
	}
	for {
		select {
		case <-m.cfg.Gone:
			return errGone
		default:
		}
		if err := m.receive(); err != nil {
			return err
		}
		if err := m.checkpoint(); err != nil {
			return err
		}
		if err := m.release(); err != nil {
			return err
		}
		if ended, err := m.finish(); ended || err != nil {
			return err
		}
		if m.final != nil || m.stopping {
			if err := m.hurry(); err != nil {
				return err
			}
			m.wait(time.Time{}) // for the checkpoint in flight, or an acknowledgement
			continue
		}
		if !m.room() {
			continue
		}
		if err := m.slice(); err != nil {
			return err
		}
		if m.cfg.Yield != nil {
			m.cfg.Yield()
		}
	}
}

// slice lets the program run for a while, or waits if it has nothing to do.
func (m *machine) slice() error {
	from := time.Now()
	st := m.vm.RunSlice(m.cfg.Fuel)
	to := time.Now()
	m.sliced(from, to)
	if to.Sub(m.meter.lastSent) >= numbersEvery {
		if err := m.sendNumbers(to); err != nil {
			return err
		}
	}
	if err := m.askInput(); err != nil {
		return err
	}
	switch st.Kind {
	case objectvm.Running:
	case objectvm.Idle:
		var until time.Time
		if st.Until != math.MaxInt64 {
			until = time.Unix(0, st.Until)
		}
		m.wait(until)
	case objectvm.Exited:
		end := wire.Exited
		if st.Crashed {
			end = wire.Crashed
		}
		m.final = &wire.Status{State: end, ExitCode: st.Code}
	default:
		return fmt.Errorf("the VM can't go on: %w", st.Err)
	}
	return nil
}

// wait sleeps until something may have to be done: a timer of the program (zero: none), the next
// checkpoint, a checkpoint's completion, or a message.
func (m *machine) wait(until time.Time) {
	if m.due() {
		return
	}
	if m.ckpt.Dirty() > 0 && !m.ckpt.Busy() {
		if next := m.lastFlip.Add(m.cfg.Interval); until.IsZero() || next.Before(until) {
			until = next
		}
	}
	m.cfg.Link.Wait(until, m.ckpt.Completed())
}

// checkpoint notices a completed commit and begins the next one when it is due.
func (m *machine) checkpoint() error {
	if err := m.ckpt.Err(); err != nil {
		return err
	}
	if m.flipped != 0 && m.ckpt.Durable() >= m.flipped {
		m.durableEnds, m.flipped, m.settled = m.flippedEnds, 0, true
		m.meter.Syncs += uint64(m.vm.SyncDurable())
		m.status.Epoch = uint64(m.ckpt.Durable())
		m.status.DurableAt = time.Now().UnixNano()
		m.status.Checkpoints++
		m.acknowledged()
		m.status.ArenaPages = m.meter.ArenaPages
		if err := m.progress(); err != nil {
			return err
		}
	}
	if m.flipped != 0 {
		m.late()
		return nil
	}
	if !m.due() {
		return nil
	}
	from := time.Now()
	ends := m.outputEnds()
	m.meta.Ends = ends
	m.meta.State, m.meta.ExitCode = wire.Stopped, 0
	if m.final != nil {
		m.meta.State, m.meta.ExitCode = m.final.State, m.final.ExitCode
	}
	b, err := m.meta.encode()
	if err != nil {
		return err
	}
	m.status.DirtyPages = uint64(m.ckpt.Dirty())
	m.flipped, err = m.ckpt.FlipMeta(b)
	if err != nil {
		return err
	}
	now := time.Now()
	m.demarcated(from, now)
	m.vm.SyncFlipped()
	m.inFlight = int(m.status.DirtyPages)
	m.flippedEnds, m.lastFlip = ends, now
	return nil
}

// due says whether a checkpoint should begin now. A program that changes nothing causes none.
func (m *machine) due() bool {
	if m.ckpt.Busy() || m.flipped != 0 {
		return false
	}
	if m.final != nil && m.meta.State != m.final.State {
		return true
	}
	if m.ckpt.Dirty() == 0 {
		return false
	}
	if m.pressed || m.vm.SyncWanted() {
		return true
	}
	if m.vm.OutputBlocked() && m.outputEnds() != m.durableEnds {
		return true // room comes from output that is durable; if all is, only the host can make room
	}
	return m.stopping || m.final != nil || time.Since(m.lastFlip) >= m.cfg.Interval
}

// release sends output that is durable, a window at a time.
func (m *machine) release() error {
	for s := range m.sent {
		for m.sent[s] < m.durableEnds[s] && m.sent[s]-m.acked[s] < window {
			n := min(m.durableEnds[s]-m.sent[s], wire.MaxData, window-(m.sent[s]-m.acked[s]))
			b, err := m.vm.Output(s+1, uint64(m.sent[s]))
			if err != nil {
				return err
			}
			b = b[:n]
			if err := send(m.cfg.Link, &wire.Message{Kind: wire.Output, Stream: uint8(s), Offset: m.sent[s], Data: b}); err != nil {
				return err
			}
			m.sent[s] += int64(len(b))
			m.meter.OutputBytes += uint64(len(b))
		}
	}
	return nil
}

// finish ends the run once everything is durable and outside.
func (m *machine) finish() (bool, error) {
	if m.final == nil && !m.stopping || m.flipped != 0 || m.ckpt.Dirty() > 0 || m.final != nil && m.meta.State != m.final.State {
		return false, nil
	}
	if m.acked != m.durableEnds {
		return false, nil
	}
	if err := m.sendNumbers(time.Now()); err != nil {
		return false, err
	}
	st := m.newStatus()
	st.State = wire.Stopped
	if m.final != nil {
		st.State, st.ExitCode = m.final.State, m.final.ExitCode
	}
	return true, send(m.cfg.Link, &wire.Message{Kind: wire.Ended, Status: st})
}

// hurry asks for acknowledgements that the machine's end waits for; the host may otherwise take its time.
func (m *machine) hurry() error {
	if m.flipped != 0 || m.sent != m.durableEnds || m.acked == m.durableEnds || m.hurried == m.durableEnds {
		return nil
	}
	m.hurried = m.durableEnds
	return send(m.cfg.Link, &wire.Message{Kind: wire.Waiting})
}

// receive handles what the host has sent.
func (m *machine) receive() error {
	for {
		b, ok := m.cfg.Link.Recv()
		if !ok {
			return nil
		}
		msg, err := wire.Decode(b)
		if err != nil {
			return fmt.Errorf("from the host: %w", err)
		}
		switch msg.Kind {
		case wire.Ack:
			s := msg.Stream
			if msg.Offset > m.sent[s] {
				return fmt.Errorf("the host acknowledged byte %d of stream %d, but only %d were sent", msg.Offset, s, m.sent[s])
			}
			if msg.Offset > m.acked[s] {
				m.acked[s] = msg.Offset
				if err := m.vm.Trim(int(s)+1, uint64(msg.Offset)); err != nil {
					return err
				}
			}
		case wire.Input:
			if err := m.input.add(msg); err != nil {
				return err
			}
			m.vm.WakeInput()
		case wire.Stop:
			m.stopping = true
		case wire.Ask:
			if err := m.sendNumbers(time.Now()); err != nil {
				return err
			}
		default:
			return fmt.Errorf("from the host: %w: kind %d is the machine's", wire.ErrMessage, msg.Kind)
		}
	}
}

// askInput passes a request for input on to the host, once.
func (m *machine) askInput() error {
	off, ok := m.input.want()
	if !ok {
		return nil
	}
	return send(m.cfg.Link, &wire.Message{Kind: wire.WantInput, Offset: off})
}

// outputEnds is how far the program has written each stream.
func (m *machine) outputEnds() (ends [wire.Streams]int64) {
	for s := range ends {
		_, to := m.vm.OutputRange(s + 1)
		ends[s] = int64(to)
	}
	return ends
}

// progress tells the host of a durable epoch, not too often.
func (m *machine) progress() error {
	if time.Since(m.lastProgress) < progressEvery && m.status.Checkpoints > 1 {
		return nil
	}
	m.lastProgress = time.Now()
	return send(m.cfg.Link, &wire.Message{Kind: wire.Progress, Status: m.newStatus()})
}

// newStatus brings the status up to date and returns a copy.
func (m *machine) newStatus() *wire.Status {
	m.status.Goroutines = m.vm.Goroutines()
	m.status.HeldBack = m.heldBack()
	st := m.status
	return &st
}

// heldBack is how much output no durable checkpoint covers, in bytes.
func (m *machine) heldBack() (n uint64) {
	for s, end := range m.outputEnds() {
		n += uint64(end - m.durableEnds[s])
	}
	return n
}

func (m *machine) close() {
	if m.ckpt != nil {
		m.ckpt.Close() //nolint:errcheck // its error was seen by checkpoint, or comes too late
	}
	if m.vm != nil {
		m.vm.Close()
	}
	if m.pager != nil {
		m.pager.Close()
	}
	if m.arena != nil {
		m.arena.Unmap() //nolint:errcheck // the process ends or maps again, and sees it then
	}
	if m.store != nil {
		m.store.Close() //nolint:errcheck // nothing is buffered
	}
}

func send(l wire.Link, msg *wire.Message) error {
	b, err := wire.Encode(msg)
	if err != nil {
		return err
	}
	return l.Send(b)
}
