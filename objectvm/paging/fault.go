package paging

// What happens in a fault; see the rules in doc.go.

// Bits of a pin byte (persist.Memory): the page was discarded, and the device still has what it held.
const pinDropped = 2

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

// fault brings in the page at addr. It reports false if that is not possible.
func (p *Pager) fault(addr uintptr, write bool) bool {
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
	p.unlock()
	if r == OK {
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
	n := p.makeRoom(p.neighbours(page, block, p.advance(page, 1)))
	if n == 0 {
		return NoRoom
	}
	p.count.Reads++
	if !p.cfg.Platform.Read(int64(block)<<pageShift, p.buffer, uintptr(n)<<pageShift) || checksum(p.buffer) != crc {
		return p.single(page, write) // it knows why
	}
	p.count.Major++
	good := uint64(1)
	for good < n && checksum(p.buffer+uintptr(good)<<pageShift) == p.crcs[good] {
		good++
	}
	return p.place(page, p.buffer, good)
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
		return p.place(page, p.buffer, 1)
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
		want = p.advance(page, 4)
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
	return p.place(page, 0, n)
}

// neighbours counts the pages from page on, at most want, that lie one after the other on the device, are absent and may be
// brought in with page. It leaves their checksums in p.crcs.
func (p *Pager) neighbours(page uint64, block uint32, want uint64) uint64 {
	n := uint64(1)
	for ; n < want && p.absent(page+n) && !p.dropped(page+n); n++ {
		b, crc, ok := p.cfg.Source.Ref(page + n)
		if !ok || b != block+uint32(n) {
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

// advance gives the number of pages to bring in for a fault at page: twice as many as last time if it goes on where an earlier
// one ended, else first.
func (p *Pager) advance(page, first uint64) uint64 {
	for i := range p.streams {
		s := &p.streams[i]
		if s.pages != 0 && s.next == page {
			if p.cfg.Platform.Accessed == nil {
				p.count.AheadHits += s.pages - 1
			}
			s.pages = min(2*s.pages, window)
			s.next = page + s.pages
			return s.pages
		}
	}
	s := &p.streams[p.nextStream&7]
	p.nextStream++
	if p.cfg.Platform.Accessed == nil && s.pages > 1 {
		p.count.AheadWaste += s.pages - 1
	}
	*s = stream{page + first, first}
	return first
}

// ended corrects the stream that expected to go on at page+want, of which only n pages came in.
func (p *Pager) ended(page, n uint64) {
	for i := range p.streams {
		if s := &p.streams[i]; s.pages > n && s.next == page+s.pages {
			s.next, s.pages = page+n, n
			return
		}
	}
}

// makeRoom evicts until n pages can come in, and gives how many can: at least one, or 0 if memory is full.
func (p *Pager) makeRoom(n uint64) uint64 {
	room := p.room()
	if room >= n {
		return n
	}
	p.evict(n - room + batch/4)
	if room = p.room(); room > 0 {
		return min(room, n)
	}
	p.count.Overflows++
	if p.count.Resident < p.hard {
		return 1
	}
	return 0
}

// place installs n pages from src on and takes note.
func (p *Pager) place(page uint64, src uintptr, n uint64) Result {
	done := uint64(p.cfg.Platform.Install(p.cfg.Base+uintptr(page)<<pageShift, src, uintptr(n)<<pageShift) >> pageShift)
	if done == 0 {
		return NoRoom
	}
	p.ended(page, done)
	p.admit(page, 0)
	for i := uint64(1); i < done; i++ {
		p.admit(page+i, flagAhead)
		p.count.Ahead++
	}
	return OK
}
