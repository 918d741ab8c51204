package paging

import (
	"errors"
	"fmt"
	"math/bits"
	"sync/atomic"

	"phantomvm/metrics"
)

const (
	pageShift = 12
	pageSize  = 1 << pageShift
	batch     = 64 // pages that are dropped together

	// Window is how many pages one fault brings in at most.
	Window = 64
	window = Window
)

// Errors that a fault may end with. They reach the faulting goroutine as a panic; see Pager.Err.
var (
	// ErrMemory: every page that is there is dirty or in flight, and memory is full.
	ErrMemory = errors.New("out of memory")
	// ErrUnavailable: this system has no way to page; all pages have to be loaded.
	ErrUnavailable = errors.New("demand paging is not available")
)

// Result says how a page was had, or why not.
type Result uint32

// Results.
const (
	OK      Result = iota
	Zero           // the page is not live: nothing was put at dst, it is zeros
	Damaged        // what the device has is not what was written
	Failed         // the device could not be read
	NoRoom         // memory is full, and every page is dirty or in flight
)

// Source says where pages lie. Its methods obey the rules of fault context.
type Source interface {
	// Ref gives the device block and the checksum of a page; block 0: the page is not live and reads as
	// zeros. ok is false if that is not known at once.
	Ref(page uint64) (block, crc uint32, ok bool)
	// Fetch puts the proven contents of a page at dst.
	Fetch(page uint64, dst uintptr) Result
}

// Range is a range of addresses, whole pages.
type Range struct{ Lo, Hi uintptr }

// Platform is what a pager needs of the system below. The functions are called in fault context.
type Platform struct {
	Name string
	// Read reads from the arena's device.
	Read func(off int64, dst, n uintptr) bool
	// Install makes the pages of [va, va+n) present, with what lies at src (0: zeros), and gives how many bytes are
	// present now. Pages that were present stay as they are.
	Install func(va, src, n uintptr) uintptr
	// Drop forgets n pages: the next access faults.
	Drop func(pages *[batch]uintptr, n uintptr)
	// Accessed tells whether a page was accessed since the last call for it. nil: nobody knows.
	Accessed func(va uintptr) bool
	// Spare is how many bytes the system has left for pages beyond what is resident. nil: plenty.
	Spare func() uintptr
	// Now is a clock in nanoseconds.
	Now func() int64
	// Buffer is window pages for Read; 0: any memory will do.
	Buffer uintptr
	// KeepVectors says that the system does not restore all registers after a signal.
	KeepVectors bool
	// Close ends paging; accesses to absent pages give zeros from then on. May be nil.
	Close func()
}

// Config says what is paged. State and Pins are persist.Memory's tables of bytes by page number; a page may be evicted if
// both are 0. Limit is the number of resident bytes to stay below; while all of them are dirty it is exceeded, up to Hard.
type Config struct {
	Base        uintptr // address of page 0
	Pages       uint64
	Ranges      []Range
	State, Pins uintptr
	Limit, Hard uint64
	Source      Source
	Platform    Platform
	Wait        *metrics.Histogram // times of faults, nanoseconds; may be nil
	Interrupt   func(pc uintptr)   // called in fault context if a slice waits long; pc is the faulting instruction. May be nil
}

// Counters of a pager. They only rise, but for Resident.
type Counters struct {
	Resident   uint64 // pages
	Faults     uint64 // page faults that came to the pager
	Major      uint64 // of them read from the device
	Zero       uint64 // of them gave a fresh page
	Reads      uint64 // device reads
	Ahead      uint64 // pages that were brought in beside the one asked for
	AheadHits  uint64 // of them used, as far as that is known
	AheadWaste uint64 // of them evicted unused, as far as that is known
	Evictions  uint64
	Ghosts     uint64 // pages that came back soon after their eviction
	Overflows  uint64 // faults that found nothing to evict
	Nanos      uint64 // time in faults
}

// stream is a run of faults each of which began where the last one's pages [lo, hi) ended, or ended where they began.
type stream struct{ lo, hi, pages uint64 }

// Pager pages one arena. There is one at a time in a process.
type Pager struct {
	cfg    Config
	lo, hi uintptr // hull of the ranges

	lock        atomic.Uint32
	flagBase    uintptr
	small, main ring
	held        ring // resident, not evictable when they were looked at
	ghosts      ring
	smallTarget uint64 // pages
	ghostTarget uint64
	limit, hard uint64 // pages
	sliceStart  uint64 // Counters.Nanos at the beginning of the slice
	settled     bool   // pages may have become evictable since they were held
	wanted      uint64 // pages that balance makes room for
	streams     [8]stream
	nextStream  int
	current     int     // stream of the fault under way, -1 if none
	buffer      uintptr // window pages
	stack       uintptr // end of the stack of quietly
	memory      reserved
	victims     [batch]uintptr
	crcs        [window]uint32
	count       Counters
	failure     atomic.Uint32 // Result of the fault that could not be served
	failedPage  atomic.Uint64
}

// New starts paging. From now on the ranges' pages are absent until they are touched; nothing must have touched them before.
func New(cfg Config) (*Pager, error) {
	p := &Pager{cfg: cfg, lo: cfg.Ranges[0].Lo}
	for _, r := range cfg.Ranges {
		p.lo, p.hi = min(p.lo, r.Lo), max(p.hi, r.Hi)
	}
	p.limit, p.hard = max(cfg.Limit>>pageShift, 4*window), max(cfg.Hard>>pageShift, cfg.Limit>>pageShift, 4*window)
	p.smallTarget, p.ghostTarget = p.limit/10, p.limit
	p.wanted = min(p.limit/32, 1024)
	slots := uint64(1) << bits.Len64(p.hard+window)
	total := cfg.Pages + 4*slots*4 + (window+stackPages+1)*pageSize
	if err := p.memory.reserve(uintptr(total)); err != nil {
		return nil, err
	}
	p.buffer = p.memory.take(window * pageSize)
	p.stack = p.memory.take(stackPages*pageSize) + stackPages*pageSize
	for _, r := range []*ring{&p.small, &p.main, &p.held, &p.ghosts} {
		r.base, r.mask = p.memory.take(uintptr(slots*4)), slots-1
	}
	p.flagBase = p.memory.take(uintptr(cfg.Pages))
	prefault(p.buffer, p.stack)
	if cfg.Platform.Buffer != 0 {
		p.buffer = cfg.Platform.Buffer
	}
	warmChecksum()
	if err := install(p, entryPoint(cfg.Platform.KeepVectors)); err != nil {
		p.memory.free()
		return nil, fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return p, nil
}

// Close stops paging. What is absent reads as zeros from now on: the arena is of no use any more.
func (p *Pager) Close() {
	uninstall()
	if p.cfg.Platform.Close != nil {
		p.cfg.Platform.Close()
	}
	p.memory.free()
}

// Balance begins a slice: it evicts pages so that there is room for a slice. settled says that a checkpoint made pages
// evictable since the last call. It reports whether the room is there.
// It is called by the thread that runs the program, between slices.
func (p *Pager) Balance(settled bool) bool {
	p.settled = p.settled || settled
	p.sliceStart = p.count.Nanos
	if p.room() >= p.wanted/2 {
		return true
	}
	quietly(p.stack)
	return p.room() >= p.wanted/4
}

// room is how many pages may come in before the limit is reached.
func (p *Pager) room() uint64 {
	n := uint64(0)
	if p.count.Resident < p.limit {
		n = p.limit - p.count.Resident
	}
	if p.cfg.Platform.Spare != nil {
		n = min(n, uint64(p.cfg.Platform.Spare()>>pageShift))
	}
	return n
}

// balance is Balance's part in fault context.
func (p *Pager) balance() {
	p.acquire()
	if r := p.room(); r < p.wanted {
		p.evict(p.wanted - r)
	}
	p.unlock()
}

// Limit is the limit in pages.
func (p *Pager) Limit() uint64 { return p.limit }

// Counters is a copy of the counters; it belongs to the thread that runs the program.
func (p *Pager) Counters() Counters { return p.count }

// Err says why a fault could not be served, nil if all were. page is the page that was asked for.
func (p *Pager) Err() (page uint64, result Result, failed bool) {
	r := p.failure.Load()
	return p.failedPage.Load(), Result(r), r != 0
}
