package paging

// Which page is evicted: S3-FIFO (Yang et al., SOSP 2023), with the processor's accessed bits where the monitor has them.
//
//   - A page that comes in joins the small queue, a tenth of memory, unless it was evicted
//     not long ago (it is in the ghost queue): then it joins the main queue.
//   - A page leaves the small queue for the main one if it was accessed again meanwhile, else it is evicted and
//     remembered in the ghost queue. So a scan passes through the small queue and leaves the main one alone.
//   - A page at the head of the main queue that was accessed since it was looked at last goes to its end, else it is evicted.
//
// Without accessed bits (in a process) only the ghosts tell hot pages from cold ones.
// A page that is dirty or in flight can't go. It is held apart, and joins the main queue after a checkpoint.

// Flags of a page.
const (
	flagResident = 1 << iota // it is in a queue
	flagGhost                // it was evicted lately
	flagAhead                // it came by read-ahead and nobody is known to have used it
	flagYoung                // in the small queue: its accessed bit was cleared once
)

// ring is a queue of page numbers in reserved memory. A size is a power of two.
type ring struct {
	base       uintptr
	mask       uint64
	head, tail uint64 // taken from head, put at tail
}

func (r *ring) len() uint64 { return r.tail - r.head }

func (r *ring) push(page uint64) {
	store32(r.base+uintptr(r.tail&r.mask)*4, uint32(page))
	r.tail++
}

func (r *ring) pop() uint64 {
	v := load32(r.base + uintptr(r.head&r.mask)*4)
	r.head++
	return uint64(v)
}

func (p *Pager) flags(page uint64) byte       { return load8(p.flagBase + uintptr(page)) }
func (p *Pager) setFlags(page uint64, v byte) { store8(p.flagBase+uintptr(page), v) }

// evictable says whether the device has what the page holds.
func (p *Pager) evictable(page uint64) bool {
	return load8(p.cfg.State+uintptr(page)) == 0 && (p.cfg.Pins == 0 || load8(p.cfg.Pins+uintptr(page)) == 0)
}

// admit notes that page is there now.
func (p *Pager) admit(page uint64, flags byte) {
	old := p.flags(page)
	if old&flagResident != 0 {
		return
	}
	q := &p.small
	if old&flagGhost != 0 {
		q = &p.main
		p.count.Ghosts++
	}
	p.setFlags(page, flagResident|flags)
	q.push(page)
	p.count.Resident++
}

// choose takes the page to be evicted next out of its queue. It fails if no page can go.
func (p *Pager) choose() (page uint64, ok bool) {
	// Twice round: the first time may only clear accessed bits.
	for left := 2 * (p.small.len() + p.main.len()); ; left-- {
		if left == 0 || p.small.len()+p.main.len() == 0 {
			if !p.release() {
				return 0, false
			}
			left = 2 * p.main.len()
		}
		q := &p.main
		if p.small.len() > p.smallTarget || q.len() == 0 {
			q = &p.small
		}
		page = q.pop()
		f := p.flags(page)
		switch {
		case !p.evictable(page):
			p.setFlags(page, flagResident)
			p.held.push(page)
		case p.cfg.Platform.Accessed != nil && p.cfg.Platform.Accessed(p.cfg.Base+uintptr(page)<<pageShift):
			if f&flagAhead != 0 {
				p.count.AheadHits++
			}
			if q == &p.small && f&(flagYoung|flagAhead) == 0 {
				p.setFlags(page, flagResident|flagYoung) // the access that brought it in
				p.small.push(page)
				continue
			}
			p.setFlags(page, flagResident)
			p.main.push(page)
		default:
			p.forget(page, f, q == &p.small)
			return page, true
		}
	}
}

// release puts the held pages back after a checkpoint and tells whether there were any.
func (p *Pager) release() bool {
	if !p.settled || p.held.len() == 0 {
		return false
	}
	p.settled = false
	for n := p.held.len(); n > 0; n-- {
		p.main.push(p.held.pop())
	}
	return true
}

// forget notes that page goes.
func (p *Pager) forget(page uint64, f byte, ghost bool) {
	if f&flagAhead != 0 && p.cfg.Platform.Accessed != nil {
		p.count.AheadWaste++
	}
	f = 0
	if ghost {
		if p.ghosts.len() > p.ghostTarget {
			old := p.ghosts.pop()
			p.setFlags(old, p.flags(old)&^flagGhost)
		}
		p.ghosts.push(page)
		f = flagGhost
	}
	p.setFlags(page, f)
	p.count.Resident--
	p.count.Evictions++
}

// evict drops up to n pages and tells how many went.
func (p *Pager) evict(n uint64) (done uint64) {
	for done < n {
		k := uintptr(0)
		for k < uintptr(len(p.victims)) && done+uint64(k) < n {
			page, ok := p.choose()
			if !ok {
				break
			}
			p.victims[k] = p.cfg.Base + uintptr(page)<<pageShift
			k++
		}
		if k == 0 {
			return done
		}
		p.cfg.Platform.Drop(&p.victims, k)
		done += uint64(k)
	}
	return done
}
