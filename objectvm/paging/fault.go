package paging

import "phantomvm/persist"

// What happens in a fault; see the rules in doc.go.

// Bits of a pin byte (persist.Memory): the page was discarded, and the device still has what it held.
const pinDropped = persist.PinDropped

// sliceTime is how long a slice may wait for pages, in nanoseconds, before Interrupt is called.
const sliceTime = 1e6

// spins is how often the lock is tried before the thread lets others run.
const spins = 100

func (p *Pager) acquire() {
	for i := 1; !p.lock.CompareAndSwap(0, 1); i++ {
		pause()
		if i%spins == 0 {
			yieldThread()
		}
	}
}

func (p *Pager) unlock() { p.lock.Store(0) }

// fault brings in the page at addr for the instruction at pc. It reports false if that is not possible.
func (p *Pager) fault(addr uintptr, write bool, pc uintptr) bool {
	if !p.covers(addr) {
		return false
	}
	page := uint64(addr-p.cfg.Base) >> pageShift
	p.acquire()
	start := p.cfg.Platform.Now()
	r := p.serve(page, write)
	took := uint64(max(p.cfg.Platform.Now()-start, 0))
	p.count.Nanos += took
	if p.cfg.Wait != nil {
		p.cfg.Wait.Record(took)
	}
	long := p.count.Nanos-p.sliceStart > sliceTime
	p.unlock()
	if r == OK {
		if long && p.cfg.Interrupt != nil {
			p.cfg.Interrupt(pc)
		}
		return true
	}
	p.failedPage.Store(page)
	p.failure.Store(uint32(r))
	return false
}

func (p *Pager) covers(addr uintptr) bool {
	for i := range p.cfg.Ranges {
		if r := &p.cfg.Ranges[i]; addr >= r.Lo && addr < r.Hi {
			return true
		}
	}
	return false
}

// serve makes page present.
func (p *Pager) serve(page uint64, write bool) Result {
	p.count.Faults++
	p.current = -1
	block, crc, known := uint32(0), uint32(0), true
	if !p.dropped(page) {
		block, crc, known = p.cfg.Source.Ref(page)
	}
	switch {
	case !known:
		return p.single(page, write)
	case block == 0:
		return p.fresh(page, write)
	}
	p.crcs[0] = crc
	want, back := p.advance(page, 1)
	n := p.makeRoom(p.neighbours(page, block, want, back))
	if n == 0 {
		return NoRoom
	}
	// Slot i of the buffer is for the page that is i pages further on, or back.
	slot := func(i uint64) uintptr { return p.buffer + uintptr(i)<<pageShift }
	first := block
	if back {
		first -= uint32(n - 1)
		slot = func(i uint64) uintptr { return p.buffer + uintptr(n-1-i)<<pageShift }
	}
	p.count.Reads++
	if !p.cfg.Platform.Read(int64(first)<<pageShift, p.buffer, uintptr(n)<<pageShift) || checksum(slot(0)) != crc {
		return p.single(page, write) // it knows why
	}
	p.count.Major++
	good := uint64(1)
	for good < n && checksum(slot(good)) == p.crcs[good] {
		good++
	}
	if back {
		return p.place(page, page-good+1, slot(good-1), good)
	}
	return p.place(page, page, p.buffer, good)
}

func (p *Pager) dropped(page uint64) bool {
	return p.cfg.Pins != 0 && load8(p.cfg.Pins+uintptr(page))&pinDropped != 0
}

// single brings in one page the careful way.
func (p *Pager) single(page uint64, write bool) Result {
	if p.makeRoom(1) == 0 {
		return NoRoom
	}
	p.count.Reads++
	switch r := p.cfg.Source.Fetch(page, p.buffer); r {
	case OK:
		p.count.Major++
		return p.place(page, page, p.buffer, 1)
	case Zero:
		return p.fresh(page, write)
	default:
		return r
	}
}

// fresh makes page, and what may be written next, pages of zeros.
func (p *Pager) fresh(page uint64, write bool) Result {
	p.count.Zero++
	want := uint64(1)
	if write {
		if w, back := p.advance(page, 4); !back {
			want = w
		}
	}
	n := uint64(1)
	for ; n < want && p.absent(page+n); n++ {
		if !p.dropped(page + n) {
			if block, _, ok := p.cfg.Source.Ref(page + n); !ok || block != 0 {
				break
			}
		}
	}
	if n = p.makeRoom(n); n == 0 {
		return NoRoom
	}
	return p.place(page, page, 0, n)
}

// neighbours counts the pages from page on, or back, at most want, that lie side by side on the device in the same order, are
// absent and may be brought in with page. It leaves their checksums in p.crcs.
func (p *Pager) neighbours(page uint64, block uint32, want uint64, back bool) uint64 {
	n := uint64(1)
	for ; n < want; n++ {
		next, there := page+n, block+uint32(n)
		if back {
			next, there = page-n, block-uint32(n)
		}
		if !p.absent(next) || p.dropped(next) {
			break
		}
		b, crc, ok := p.cfg.Source.Ref(next)
		if !ok || b != there || b == 0 {
			break
		}
		p.crcs[n] = crc
	}
	return n
}

// absent says whether page can be brought in beside another one.
func (p *Pager) absent(page uint64) bool {
	return page < p.cfg.Pages && p.flags(page)&flagResident == 0 && p.covers(p.cfg.Base+uintptr(page)<<pageShift)
}

// advance gives the number of pages to bring in for a fault at page, and whether those before it are meant: twice as many as
// last time if it goes on where an earlier run of faults ended, else first.
func (p *Pager) advance(page, first uint64) (n uint64, back bool) {
	for i := range p.streams {
		s := &p.streams[i]
		if s.pages == 0 || page != s.hi && page+1 != s.lo {
			continue
		}
		if p.cfg.Platform.Accessed == nil {
			p.count.AheadHits += s.pages - 1
		}
		s.pages = min(2*s.pages, window)
		p.current = i
		return s.pages, page != s.hi
	}
	s := &p.streams[p.nextStream&7]
	if p.cfg.Platform.Accessed == nil && s.pages > 1 {
		p.count.AheadWaste += s.pages - 1
	}
	*s = stream{page, page, first}
	p.current = p.nextStream & 7
	p.nextStream++
	return first, false
}

// arrived notes that the current stream has the n pages from lo on.
func (p *Pager) arrived(lo, n uint64) {
	if p.current < 0 {
		return
	}
	s := &p.streams[p.current]
	switch {
	case s.hi == lo:
		s.hi = lo + n
	case lo+n == s.lo:
		s.lo = lo
	}
	s.pages = max(n, 1)
}

// makeRoom evicts until n pages can come in, and gives how many can: at least one, or 0 if memory is full.
func (p *Pager) makeRoom(n uint64) uint64 {
	room := p.room()
	if room >= n {
		return n
	}
	// Others may have taken the memory that Spare counts, more than these pages: evict until there is some.
	for p.evict(n-min(n, room)+batch) > 0 {
		if room = p.room(); room > 0 {
			return min(room, n)
		}
	}
	p.count.Overflows++
	if p.count.Resident < p.hard {
		return 1
	}
	return 0
}

// place installs the n pages from lo on, one of which is page, and takes note. Their contents lie at src.
func (p *Pager) place(page, lo uint64, src uintptr, n uint64) Result {
	done := uint64(p.cfg.Platform.Install(p.cfg.Base+uintptr(lo)<<pageShift, src, uintptr(n)<<pageShift) >> pageShift)
	p.arrived(lo, done)
	for i := range done {
		if lo+i == page {
			p.admit(page, 0)
			continue
		}
		p.admit(lo+i, flagAhead)
		p.count.Ahead++
	}
	if lo+done <= page { // memory ran out before it came to page
		return NoRoom
	}
	return OK
}
