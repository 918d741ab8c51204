package machine

import (
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"phantomvm/objectvm"
	"phantomvm/objectvm/paging"
	"phantomvm/persist"
)

// Demand paging of the machine: what package paging does, seen from the loop.
//
//  1. Pages come in by themselves, when the VM touches them (paging.Pager).
//  2. Between slices room evicts clean pages, so that the next slice finds some memory.
//  3. If too much of memory is dirty or in flight, the slice ends early, a checkpoint begins at once, and the program waits for it.
//  4. A page that can't be had is a panic of this goroutine, which guarded makes an error of the run: the
//     newest durable epoch is as good as before.

// Paging says how much memory the arena may take and how pages come in.
type Paging struct {
	// Limit is how many bytes of the arena may be resident, Hard what may be for a moment when all of that is dirty.
	Limit, Hard uint64
	// Platform prepares the ranges; its error wraps paging.ErrUnavailable where that is not possible, and then everything is loaded.
	Platform func([]paging.Range) (paging.Platform, error)
}

// fill makes the arena's pages ready to be read: on demand, or by loading all.
func (m *machine) fill() error {
	if m.cfg.Paging != nil {
		err := m.startPaging()
		if err == nil {
			return nil
		}
		if !errors.Is(err, paging.ErrUnavailable) {
			return err
		}
		m.notes = append(m.notes, fmt.Sprintf("%v: all pages of the arena are loaded and stay in memory", err))
	}
	return m.store.LoadAll(pageBytes)
}

func (m *machine) startPaging() error {
	var ranges []paging.Range
	for _, r := range objectvm.PagedRanges() {
		ranges = append(ranges, paging.Range{Lo: r[0], Hi: r[1]})
	}
	platform, err := m.cfg.Paging.Platform(ranges)
	if err != nil {
		return err
	}
	m.store.Table().SetNodeBudget(int(min(max(m.cfg.Paging.Limit/16, 1<<20), 64<<20)))
	m.store.Table().SetReader(platform.Read)
	m.pager, err = paging.New(paging.Config{
		Base: memory.Base, Pages: memory.Pages, Ranges: ranges, State: memory.State, Pins: memory.Pins,
		Limit: m.cfg.Paging.Limit, Hard: m.cfg.Paging.Hard,
		Source: pageSource{m.store.Table()}, Platform: platform, Wait: &m.meter.PageWait, Interrupt: objectvm.Interruptible(),
	})
	return err
}

// pageSource is the page table as the pager sees it. Its methods run in fault context.
type pageSource struct{ table *persist.PageTable }

func (s pageSource) Ref(page uint64) (block, crc uint32, ok bool) { return s.table.Ref(page) }

func (s pageSource) Fetch(page uint64, dst uintptr) paging.Result {
	switch s.table.Fetch(page, dst) {
	case persist.FetchOK:
		return paging.OK
	case persist.FetchZero:
		return paging.Zero
	case persist.FetchDamaged:
		return paging.Damaged
	default:
		return paging.Failed
	}
}

// guarded runs f and makes an error of the panic that a page which can't be had ends in.
func (m *machine) guarded(f func() error) (err error) {
	if m.cfg.Paging == nil {
		return f()
	}
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if m.pager == nil {
			return
		}
		page, why, failed := m.pager.Err()
		if !failed {
			return // a panic goes on
		}
		_ = recover()
		switch err = m.store.Table().LastFault().Error(); why {
		case paging.NoRoom:
			err = fmt.Errorf("%w: page %#x is needed, and none of %d resident ones can go: %d were changed since the last checkpoint, %d are on their way to the disk",
				paging.ErrMemory, page, m.pager.Counters().Resident, m.ckpt.Dirty(), m.inFlight)
		case paging.Failed:
			err = fmt.Errorf("page %#x can't be read: %w", page, err)
		}
	}()
	return f()
}

// room makes room for a slice. It reports false if that has to wait for a checkpoint.
func (m *machine) room() bool {
	m.ckpt.Settle() // else the flip would have to
	if m.pager == nil {
		return true
	}
	if m.flipped == 0 {
		m.inFlight = 0
	}
	ok := m.pager.Balance(m.settled)
	m.settled = false
	if ok && !m.crowded() || m.ckpt.Dirty() == 0 && !m.ckpt.Busy() {
		m.pressed = false // or there is nothing to wait for: faults evict what they need
		return true
	}
	m.pressed = true
	if !m.due() {
		from := time.Now()
		m.wait(time.Time{})
		m.meter.MemoryWaits++
		m.meter.MemoryWaitNanos += uint64(time.Since(from))
	}
	return false
}

// crowded says whether pages that can't be evicted, and their copies, take so much memory that the program should wait.
func (m *machine) crowded() bool {
	return uint64(m.ckpt.Dirty()+m.inFlight) > m.pager.Limit()/4
}

// pagedBarrier ends the slice when too many pages are dirty.
type pagedBarrier struct {
	barrier
	m *machine
}

func (b pagedBarrier) Touch(page uint64) {
	b.barrier.Touch(page)
	objectvm.FaultIn(objectvm.PageID(page)) // here and not where the checkpoint copies it: a page that can't be had ends the run
	if b.m.crowded() && b.m.vm != nil {
		b.m.vm.EndSlice()
	}
}

func (m *machine) barrier() objectvm.Barrier {
	if m.pager == nil {
		return barrier{m.ckpt}
	}
	return pagedBarrier{barrier{m.ckpt}, m}
}

func (m *machine) gatherPaging() {
	w := &m.meter
	if m.pager == nil {
		w.ResidentPages = w.ArenaPages // all is loaded at resume
		return
	}
	c := m.pager.Counters()
	w.ResidentPages = c.Resident
	w.MajorFaults, w.ReadAhead, w.Evicted = c.Major, c.Ahead, c.Evictions
	w.PageWaits, w.PageWaitNanos = c.Faults, c.Nanos
}
