package persist

// The write barrier's slow path and the flip: the mutator's half of a
// checkpoint. stage.go holds the other half.
//
//  1. Touch(p), before the first store to a frozen page: if the unfinished
//     checkpoint holds p and has not copied it yet, Touch copies p into the
//     pool and publishes the copy with one compare-and-swap of the page's
//     claim. Then p joins the dirty list and its state byte becomes the one of open pages.
//  2. Flip, at a slice boundary: another byte becomes the one of open pages, the
//     list goes to the goroutine, a new list begins.
//  3. Settle, at slice boundaries after that checkpoint has become durable: its pages
//     lose their pins and state bytes, some at a time.
//
// The claim decides whose copy counts, and neither side ever waits:
//
//	the goroutine copies the page, then swaps  claimFree -> claimStaged
//	the mutator   copies the page, then swaps  claimFree -> claimCopied
//
// The mutator stores to the page only after its swap, whether it won or lost.
// So a copy whose swap succeeds was complete before any later store, and is
// never torn. The goroutine's copy may well run while the mutator stores: then
// the mutator had won, the goroutine's swap fails, and its copy is thrown away
// unread. This read of memory that is being written is deliberate; atomics on
// both sides order everything that is used. (The race detector does not watch
// memory outside the Go heap, where an arena lies.)

import (
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
)

const (
	claimFree uint32 = iota
	claimStaged
	claimCopied
)

const (
	discardBit = uint32(1) << 31 // in a list entry

	poolChunk    = 64      // pages per pool chunk
	maxPoolPages = 1 << 14 // 64 MiB are kept ready at most, see LimitPool
)

// frozenSet is the list of one checkpoint. pages is the mutator's until the
// flip and constant from then on.
type frozenSet struct {
	mem      *Memory
	pages    []uint32
	discards []uint32 // pages that were discarded at some time since the last flip
	claim    []atomic.Uint32
	copy     [][]byte // valid where claim is claimCopied
}

// CheckpointStats counts the mutator's side.
type CheckpointStats struct {
	Flips, Touches uint64
	Copied         uint64 // pages copied by Touch for an unfinished checkpoint
	Wasted         uint64 // such copies that came too late
	ColdCopies     uint64 // copies that found the pool empty
	Skipped        uint64 // flips with nothing to write
}

// Checkpointer makes checkpoints of a Memory into a Store. Touch, Flip,
// Discard, Dirty and VerifyClean belong to the single mutator thread; the
// other methods may be called from anywhere.
//
// It owns one goroutine until Close. Where one processor runs both, the
// mutator should call Yield at slice boundaries while Busy.
type Checkpointer struct {
	store *Store
	mem   Memory

	// The mutator's.
	gen       uint64
	pins      pinTable
	places    placeTable
	open      byte          // the state of open pages
	retired   byte          // the one before the last flip
	settled   uint64        // all sets before this generation have given up their pins
	settling  int           // pages of the next one that have done so already
	sets      [2]*frozenSet // by gen&1; the other one is, or was, in flight
	pool      [][]byte      // chunks of poolChunk pages
	poolUsed  int           // pages of the pool in use by the checkpoint in flight
	poolWant  int           // pages of the pool that the next checkpoints may need
	poolLimit int           // pages of the pool that are kept
	stats     CheckpointStats
	closed    bool

	// Handed over by busy.
	grown [][]byte // new pool chunks

	jobs       chan checkpointJob
	stopped    chan struct{}
	busy       atomic.Bool
	failed     atomic.Bool
	durable    atomic.Uint64
	completed  chan struct{}
	onComplete func(Epoch, error)

	mu   sync.Mutex
	err  error
	done chan struct{} // closed when the checkpoint in flight ends
}

type checkpointJob struct {
	epoch Epoch
	meta  []byte
	set   *frozenSet
	next  *frozenSet
	grow  int // pages to add to the pool
	done  chan struct{}
}

// NewCheckpointer starts the goroutine that writes checkpoints. All state
// bytes must be 0, and the memory must hold what store was opened with (see
// Store.LoadAll); pages that are not live must be zero.
func NewCheckpointer(store *Store, mem Memory) *Checkpointer {
	if mem.Pages > MaxPages {
		panic(fmt.Sprintf("persist: an arena of %d pages is larger than %d", mem.Pages, MaxPages))
	}
	c := &Checkpointer{
		store: store, mem: mem, gen: 1, settled: 1, open: 1,
		pins:      newPinTable(&mem),
		places:    newPlaceTable(mem.Pages),
		jobs:      make(chan checkpointJob, 1),
		stopped:   make(chan struct{}),
		completed: make(chan struct{}, 1),
		done:      make(chan struct{}),
	}
	close(c.done)
	for i := range c.sets {
		c.sets[i] = &frozenSet{mem: &c.mem, pages: make([]uint32, 0, 1024)}
	}
	c.pool, c.poolLimit = [][]byte{newPoolChunk()}, maxPoolPages
	c.mem.setOpen(c.open)
	c.durable.Store(uint64(store.Epoch()))
	store.ensureStage()
	go c.run()
	return c
}

// OnComplete sets a function that the goroutine calls when a checkpoint has
// become durable (err nil) or has failed. Set it before the first Flip; it
// must not block. Busy is false already when it is called.
func (c *Checkpointer) OnComplete(f func(Epoch, error)) { c.onComplete = f }

// LimitPool bounds the memory that is kept ready for copies of pages, in
// pages. What a checkpoint needs beyond is given back at the next. Before the first Flip.
func (c *Checkpointer) LimitPool(pages int) { c.poolLimit = min(max(pages, poolChunk), maxPoolPages) }

// Completed receives after each checkpoint that ended; signals may be merged.
func (c *Checkpointer) Completed() <-chan struct{} { return c.completed }

// Touch is called before the first store to a frozen page. It never waits for
// the device or the goroutine.
func (c *Checkpointer) Touch(p PageID) {
	pin := c.pin(p)
	switch {
	case pin&pinListed(c.gen) != 0:
		// It was discarded, or touched twice.
		c.pins.set(p, pin&^pinDiscard)
		c.mem.setState(p, c.open)
		return
	case pin&pinListed(c.gen-1) != 0:
		c.preserve(p)
	}
	c.stats.Touches++
	c.list(p, pin)
	c.mem.setState(p, c.open)
}

// Discard drops a page: it is not live any more and will read as zeros after a
// recovery. The caller zeroes or unmaps its memory afterwards, not before, and
// a later store touches it again.
func (c *Checkpointer) Discard(p PageID) {
	pin := c.pin(p)
	if pin&pinListed(c.gen) == 0 {
		if pin&pinListed(c.gen-1) != 0 {
			c.preserve(p)
		}
		pin = c.list(p, pin)
	}
	if pin&pinDiscard == 0 {
		set := c.sets[c.gen&1]
		set.discards = append(set.discards, uint32(p))
	}
	c.pins.set(p, pin|PinDropped|pinDiscard|pinFresh)
	c.mem.setState(p, stateFrozen)
}

func (c *Checkpointer) pin(p PageID) byte {
	if uint64(p) >= c.mem.Pages {
		panic(fmt.Sprintf("persist: invariant: page %#x is outside the arena", uint64(p)))
	}
	return c.pins.get(p)
}

// list adds p to the dirty pages.
func (c *Checkpointer) list(p PageID, pin byte) byte {
	set := c.sets[c.gen&1]
	c.places.add(p, uint32(len(set.pages)))
	set.pages = append(set.pages, uint32(p))
	pin |= pinListed(c.gen)
	c.pins.set(p, pin)
	return pin
}

// preserve copies p for the checkpoint in flight unless that has a copy already.
func (c *Checkpointer) preserve(p PageID) {
	set := c.sets[(c.gen-1)&1]
	i := int(c.places.get(p))
	if i >= len(set.claim) || set.claim[i].Load() != claimFree {
		return
	}
	b := c.poolPage()
	copy(b, c.mem.page(p))
	set.copy[i] = b
	if !set.claim[i].CompareAndSwap(claimFree, claimCopied) {
		c.stats.Wasted++
		return
	}
	c.poolUsed++
	c.stats.Copied++
}

func (c *Checkpointer) poolPage() []byte {
	k, i := c.poolUsed/poolChunk, c.poolUsed%poolChunk
	if k == len(c.pool) {
		c.stats.ColdCopies++
		c.pool = append(c.pool, make([]byte, poolChunk*BlockSize))
	}
	return c.pool[k][i*BlockSize : (i+1)*BlockSize]
}

// trimPool keeps n chunks of the pool. No checkpoint is in flight.
func (c *Checkpointer) trimPool(n int) {
	if len(c.pool) <= n {
		return
	}
	clear(c.pool[n:])
	c.pool = c.pool[:n]
	for _, s := range c.sets {
		clear(s.copy[:cap(s.copy)])
	}
}

func newPoolChunk() []byte {
	b := make([]byte, poolChunk*BlockSize)
	for i := 0; i < len(b); i += BlockSize {
		b[i] = 1 // fault it in here, not in the program's time
	}
	return b
}

// Open is the state byte of open pages until the next flip.
func (c *Checkpointer) Open() byte { return c.open }

// Dirty is the number of pages that the next flip freezes, discards included.
func (c *Checkpointer) Dirty() int { return len(c.sets[c.gen&1].pages) }

// Flip ends an epoch at a slice boundary: the dirty pages are frozen and
// become a checkpoint with the given root metadata (copied, at most MaxMeta
// bytes). It returns the new epoch's number without waiting.
//
// With nothing dirty nothing is written, meta is not stored, and the number of
// the last flip's epoch is returned. Errors: ErrBusy while a checkpoint is
// unacknowledged, the sticky error of a failed one, ErrMetaTooLong, ErrClosed.
func (c *Checkpointer) Flip(meta []byte) (Epoch, error) { return c.flip(meta, false) }

// FlipMeta is Flip, but writes meta even if no page is dirty.
func (c *Checkpointer) FlipMeta(meta []byte) (Epoch, error) { return c.flip(meta, true) }

func (c *Checkpointer) flip(meta []byte, always bool) (Epoch, error) {
	switch {
	case c.closed:
		return 0, ErrClosed
	case c.busy.Load():
		return 0, ErrBusy
	case len(meta) > MaxMeta:
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrMetaTooLong, len(meta), MaxMeta)
	}
	if err := c.Err(); err != nil {
		return 0, err
	}
	set := c.sets[c.gen&1]
	if len(set.pages) == 0 && !always {
		c.stats.Skipped++
		return c.Durable(), nil
	}
	c.checkBarrier()
	c.settle(len(c.sets[c.settled&1].pages))
	c.freeze(set)
	want := c.resizePool()
	job := checkpointJob{
		epoch: c.store.nextEpoch, meta: append([]byte(nil), meta...), set: set, next: c.sets[(c.gen+1)&1],
		grow: want - len(c.pool)*poolChunk, done: make(chan struct{}),
	}
	c.poolUsed = 0
	c.gen++
	c.retired, c.open = c.open, c.open%255+1 // every page is frozen now
	c.mem.setOpen(c.open)
	next := c.sets[c.gen&1]
	if cap(next.pages) > 8*len(next.pages)+1<<14 {
		next.pages = nil
	}
	next.pages = next.pages[:0]
	c.stats.Flips++
	c.mu.Lock()
	c.done = job.done
	c.mu.Unlock()
	c.busy.Store(true)
	c.jobs <- job // has room: at most one is in flight (I2)
	return job.epoch, nil
}

// freeze ends the list. That its pages are listed pins them until Settle, and another byte for open pages
// freezes them; so nothing is done here for each page but for discarded ones.
func (c *Checkpointer) freeze(set *frozenSet) {
	for _, e := range set.discards {
		p := PageID(e)
		pin := c.pins.get(p)
		if pin&pinDiscard != 0 {
			set.pages[c.places.get(p)] |= discardBit
		}
		c.pins.set(p, pin&^(pinDiscard|pinFresh))
	}
	set.discards = set.discards[:0]
	set.claimAll()
}

// settleStep is how many pages a Settle looks at.
const settleStep = 512

// Settle gives up pins of a checkpoint that has become durable. The mutator
// calls it at slice boundaries; it costs next to nothing when there is nothing
// to do, and does a bounded part else: it is false if some are left. After a
// failed checkpoint its pages stay pinned: nothing says that the device has them.
func (c *Checkpointer) Settle() bool { return c.settle(settleStep) }

func (c *Checkpointer) settle(n int) bool {
	if c.settled == c.gen {
		return true
	}
	if c.busy.Load() || c.failed.Load() {
		return false
	}
	pages := c.sets[c.settled&1].pages[c.settling:]
	n = min(n, len(pages))
	for _, e := range pages[:n] {
		p := PageID(e &^ discardBit)
		c.places.release(p)
		pin := c.pins.get(p) &^ pinListed(c.settled)
		if pin&pinFresh == 0 {
			pin &^= PinDropped
		}
		c.pins.set(p, pin)
		if c.mem.state(p) == c.retired { // or its value would come round again (I9)
			c.mem.setState(p, stateFrozen)
		}
	}
	if c.settling += n; n < len(pages) {
		return false
	}
	c.settled, c.settling = c.gen, 0
	return true
}

// claimAll gives every page of the list a free claim: all beyond the length
// that was used before are free, see prepare.
func (s *frozenSet) claimAll() {
	n := len(s.pages)
	if cap(s.claim) < n {
		s.claim = make([]atomic.Uint32, n+n/2)
		s.copy = make([][]byte, n+n/2)
	}
	s.claim, s.copy = s.claim[:n], s.copy[:n]
}

// prepare frees the claims of the set that is not in flight, for the next flip.
// The goroutine does it while the other set is, when nobody else looks at them.
func (s *frozenSet) prepare(n int) {
	// A very large checkpoint leaves its lists to the collector.
	if cap(s.claim) > 8*n+1<<14 {
		s.claim, s.copy = nil, nil
	}
	clear(s.claim)
	s.claim, s.copy = s.claim[:0], s.copy[:0]
}

// resizePool takes over chunks that were made ready and lets go of those that
// were not needed for some time. It returns how many pages should be ready.
func (c *Checkpointer) resizePool() int {
	c.pool = append(c.pool, c.grown...)
	c.grown = nil
	// What a busy moment needed is given back over the next dozens of checkpoints.
	c.poolWant = max(2*c.poolUsed, c.poolWant-c.poolWant/32-1)
	want := min(max(poolChunk, c.poolWant), c.poolLimit)
	c.trimPool(max(1, (want+poolChunk-1)/poolChunk))
	return want
}

// PoolPages is the memory, in pages, that is ready for copies of frozen pages.
func (c *Checkpointer) PoolPages() int { return len(c.pool) * poolChunk }

// Busy tells whether a checkpoint is unacknowledged.
func (c *Checkpointer) Busy() bool { return c.busy.Load() }

// Yield lets the goroutine run if it has something to do. It matters where one
// processor runs everything; elsewhere it costs next to nothing.
func (c *Checkpointer) Yield() {
	if c.busy.Load() {
		runtime.Gosched()
	}
}

// Durable is the newest epoch that survives a crash.
func (c *Checkpointer) Durable() Epoch { return Epoch(c.durable.Load()) }

// Err is the error of the checkpoint that failed, nil if none did. It stays:
// the last durable epoch is good, and the image has to be opened again. A full
// device is ErrNoSpace.
func (c *Checkpointer) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// Wait waits until no checkpoint is in flight and returns Err.
func (c *Checkpointer) Wait() error {
	c.mu.Lock()
	done := c.done
	c.mu.Unlock()
	<-done
	return c.Err()
}

// Stats returns counters of the mutator's side.
func (c *Checkpointer) Stats() CheckpointStats { return c.stats }

// Close waits for the checkpoint in flight and stops the goroutine. Pages that
// are dirty are not written: call Flip and Wait before. It returns Err. The
// store stays open.
func (c *Checkpointer) Close() error {
	if !c.closed {
		c.closed = true
		close(c.jobs)
	}
	<-c.stopped
	return c.Err()
}

// VerifyClean proves invariant I5: it waits for the checkpoint in flight and
// compares every live page that is not dirty with its checksum in the page
// map. The error is ErrBypass and names the page. It reads all live pages.
func (c *Checkpointer) VerifyClean() error {
	if err := c.Wait(); err != nil {
		return err
	}
	return c.store.livePages(func(p PageID, r ref) error {
		switch {
		case uint64(p) >= c.mem.Pages || c.pins.get(p)&pinListed(c.gen) != 0:
			return nil
		case c.mem.state(p) == c.open:
			return fmt.Errorf("%w: page %#x is open but not in the dirty list", ErrBypass, uint64(p))
		case checksum(c.mem.page(p)) != r.crc:
			return fmt.Errorf("%w: page %#x", ErrBypass, uint64(p))
		}
		return nil
	})
}
