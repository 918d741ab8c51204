package engine

import (
	"errors"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync/atomic"
	"time"

	"phantomvm/bench/result"
	"phantomvm/persist"
)

// Rig is a checkpointer on a new image file, all pages of the arena live. For Run it has the same arena once more,
// without checkpoints, every page open.
type Rig struct {
	Dev   *Device
	Store *persist.Store
	Ckpt  *persist.Checkpointer
	Arena *Arena

	base  *Arena
	raw   *RawLog
	path  string
	pages int
	rng   *rand.Rand

	epoch0    time.Time // times below are from here
	lastFlip  time.Time
	flips     uint64                 // so far; flip n is in flippedAt[n%len]
	flippedAt [8]atomic.Int64        // ns; more than can be in flight
	ended     atomic.Uint64          // checkpoints whose completion was noted
	timing    atomic.Pointer[Timing] // that completions go to
}

// NewRig makes the image in dir, sparse, of size bytes.
func NewRig(dir string, pages int, size int64) (*Rig, error) {
	r := &Rig{pages: pages, epoch0: time.Now(), path: filepath.Join(dir, "engine.img"), rng: rand.New(rand.NewPCG(1, 2))}
	var err error
	if r.Dev, err = NewDevice(r.path, size); err != nil {
		return nil, err
	}
	if r.Arena, err = NewArena(pages); err == nil {
		r.Store, err = persist.Create(r.Dev, persist.Options{InstanceID: persist.InstanceID{1}})
	}
	if err != nil {
		return nil, errors.Join(err, os.Remove(r.path))
	}
	r.Ckpt = persist.NewCheckpointer(r.Store, r.Arena.Mem)
	r.Ckpt.OnComplete(r.complete)
	r.timing.Store(&Timing{})
	for p := range pages {
		r.Ckpt.Touch(persist.PageID(p))
		fill(r.Arena.Page(persist.PageID(p)), p)
	}
	return r, r.Commit()
}

// openBase makes the arena without checkpoints.
func (r *Rig) openBase() (err error) {
	if r.base != nil {
		return nil
	}
	if r.raw, err = NewRawLog(filepath.Dir(r.path), 128<<20); err != nil {
		return err
	}
	if r.base, err = NewArena(r.pages); err != nil {
		return err
	}
	for p := range r.pages {
		fill(r.base.Page(persist.PageID(p)), p)
		r.base.State[p] = *r.base.Open
	}
	return nil
}

// fill gives every page its own contents.
func fill(b []byte, p int) {
	for i := range b {
		b[i] = byte(i*7 + p*31 + i*p>>5)
	}
}

// Commit flips and waits until the checkpoint is durable.
func (r *Rig) Commit() error {
	if err := r.flip(time.Now()); err != nil {
		return err
	}
	return r.Ckpt.Wait()
}

func (r *Rig) flip(now time.Time) error {
	if r.Ckpt.Dirty() == 0 {
		return nil // nothing would be written, and nothing completed
	}
	r.lastFlip = now
	r.flips++
	r.flippedAt[r.flips%uint64(len(r.flippedAt))].Store(int64(now.Sub(r.epoch0)))
	_, err := r.Ckpt.Flip(nil)
	return err
}

// settle waits until the checkpoint in flight is durable and its completion noted, which comes after it.
func (r *Rig) settle() error {
	if err := r.Ckpt.Wait(); err != nil {
		return err
	}
	for r.ended.Load() != r.flips {
		runtime.Gosched()
	}
	return nil
}

// Close removes the image.
func (r *Rig) Close() error {
	err := errors.Join(r.Ckpt.Close(), r.Dev.Close(), os.Remove(r.path))
	r.Arena.Close()
	if r.base != nil {
		r.base.Close()
	}
	if r.raw != nil {
		err = errors.Join(err, r.raw.Close())
	}
	return err
}

// Load is what a program does: it dirties Dirty pages in each Interval of its own time.
type Load struct {
	Dirty    int
	Interval time.Duration
}

// Timing is what was seen. Slices are of about 8 us: 800 stores and 5,600 loads.
type Timing struct {
	Slices, BaseSlices, Flips []float64 // us
	Commits, Ages             []float64 // ms: from flip to durable; from the oldest change of a checkpoint to durable
	Disk                      []float64 // ms: a durable commit of as many pages to a raw log, in turns with the others
	Checkpoints               int
	Seconds                   float64 // of the program with checkpoints
	Pages, Written            int64   // dirty pages, bytes to the device

	touchSeconds     float64   // estimated from every 16th first touch
	slower, touching []float64 // of each turn, as a part of the time without checkpoints
}

// warmSlices are some 10 ms.
const warmSlices = 1500

// Run alternates turns without and with checkpoints, seconds of the latter in all.
func (r *Rig) Run(l Load, seconds float64) (*Timing, error) {
	if err := r.openBase(); err != nil {
		return nil, err
	}
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	runtime.GC()
	defer debug.SetGCPercent(debug.SetGCPercent(-1)) // the harness's own garbage is no part of the engine
	t := &Timing{Slices: make([]float64, 0, 1<<20), BaseSlices: make([]float64, 0, 1<<20), Flips: make([]float64, 0, 1<<16), Commits: make([]float64, 0, 1<<16), Ages: make([]float64, 0, 1<<16)}
	b := r.program(l)
	for range 3 { // new pages make slices longer, so it takes some rounds to find how many belong in one
		began := time.Now()
		for range warmSlices {
			b.slice(r.base, nil, nil)
		}
		b.newPerSlice = float64(l.Dirty-len(b.hot)) / l.Interval.Seconds() * time.Since(began).Seconds() / warmSlices
	}
	c := *b
	const turns = 8
	for range turns {
		without := r.without(&c, t, seconds/turns/2)
		if err := r.disk(&c, l, t, seconds/turns/4); err != nil {
			return nil, err
		}
		with, touches, err := r.with(b, l, t, max(seconds/turns, 2.5*l.Interval.Seconds()))
		if err != nil {
			return nil, err
		}
		t.slower, t.touching = append(t.slower, with/without-1), append(t.touching, touches/without)
	}
	return t, nil
}

// without returns the seconds of a slice.
func (r *Rig) without(b *program, t *Timing, seconds float64) float64 {
	began := time.Now()
	now, n := began, 0
	for now.Sub(began).Seconds() < seconds {
		b.slice(r.base, nil, nil)
		end := time.Now()
		t.BaseSlices = append(t.BaseSlices, float64(end.Sub(now))/1e3)
		n++
		now = end
	}
	return now.Sub(began).Seconds() / float64(n)
}

// with runs the program with checkpoints. What happens between two slices, the flip above all, belongs to the
// slice that follows, as a program would feel it. It returns the seconds of a slice, and those of them in first touches.
func (r *Rig) with(b *program, l Load, t *Timing, seconds float64) (slice, touches float64, err error) {
	// Not counted: one checkpoint brings the pages and the pool into their steady state.
	if err := r.settle(); err != nil {
		return 0, 0, err
	}
	r.timing.Store(&Timing{})
	for range max(1, int(l.Interval.Seconds()/20e-6)) {
		b.slice(r.Arena, r.Ckpt, nil)
	}
	if err := errors.Join(r.Commit(), r.settle()); err != nil {
		return 0, 0, err
	}
	r.timing.Store(t)
	touched, written := t.touchSeconds, r.Dev.Written.Load()
	began := time.Now()
	now, n := began, 0
	for now.Sub(began).Seconds() < seconds {
		if now.Sub(r.lastFlip) >= l.Interval && !r.Ckpt.Busy() && r.Ckpt.Dirty() > 0 {
			t.Pages += int64(r.Ckpt.Dirty())
			if err := r.flip(now); err != nil {
				return 0, 0, err
			}
			t.Flips = append(t.Flips, float64(time.Since(now))/1e3)
			t.Checkpoints++
		}
		b.slice(r.Arena, r.Ckpt, t)
		end := time.Now()
		t.Slices = append(t.Slices, float64(end.Sub(now))/1e3)
		n++
		now = end
	}
	took := now.Sub(began).Seconds()
	t.Seconds += took
	if err := r.settle(); err != nil {
		return 0, 0, err
	}
	t.Written += r.Dev.Written.Load() - written
	return took / float64(n), (t.touchSeconds - touched) / float64(n), nil
}

// complete runs in the checkpointer's goroutine.
func (r *Rig) complete(_ persist.Epoch, err error) {
	n := r.ended.Load() + 1
	defer r.ended.Store(n)
	if err != nil {
		return
	}
	now, t, size := int64(time.Since(r.epoch0)), r.timing.Load(), uint64(len(r.flippedAt))
	t.Commits = append(t.Commits, float64(now-r.flippedAt[n%size].Load())/1e6)
	if n > 1 {
		t.Ages = append(t.Ages, float64(now-r.flippedAt[(n-1)%size].Load())/1e6)
	}
}

// Slowdown is how much longer the same work took with checkpoints, and the share of it that first touches are,
// both as a part of the time without, the median of the turns.
func (t *Timing) Slowdown() (all, touches float64) {
	return result.Quantile(t.slower, 0.5), result.Quantile(t.touching, 0.5)
}

// program stores into a few hot pages again and again, and into new pages now and then.
type program struct {
	pages       uint64
	hot         []persist.PageID
	at          int
	rng         uint64
	newPerSlice float64
	due         float64
	sum         int
}

func (r *Rig) program(l Load) *program {
	b := &program{pages: uint64(r.pages), hot: make([]persist.PageID, min(64, max(1, l.Dirty/2))), rng: r.rng.Uint64() | 1}
	for i := range b.hot {
		b.hot[i] = b.newPage()
	}
	return b
}

func (b *program) random() uint64 {
	b.rng ^= b.rng << 13
	b.rng ^= b.rng >> 7
	b.rng ^= b.rng << 17
	return b.rng
}

func (b *program) newPage() persist.PageID { return persist.PageID((b.random() >> 11) % b.pages) }

func (b *program) slice(a *Arena, c *persist.Checkpointer, t *Timing) {
	for b.due += b.newPerSlice; b.due >= 1; b.due-- {
		p := b.newPage()
		b.at = (b.at + 1) % len(b.hot)
		b.hot[b.at] = p
		store(a, c, t, p, int(b.rng&4095))
	}
	n, sum := uint64(len(b.hot)), b.sum
	for range 800 {
		x := b.random()
		p := b.hot[(x>>32)%n]
		store(a, c, t, p, int(x&4095))
		page := a.Page(p)
		for k := range 7 {
			sum += int(page[(x>>k)&4095])
		}
	}
	b.sum = sum
}

// store is a store with its write barrier.
func store(a *Arena, c *persist.Checkpointer, t *Timing, p persist.PageID, off int) {
	if a.State[p] != *a.Open {
		touch(c, t, p)
	}
	a.Bytes[int(p)<<12+off]++
}

func touch(c *persist.Checkpointer, t *Timing, p persist.PageID) {
	if t == nil || uint64(p)*0x9e3779b97f4a7c15>>60 != 0 { // every 16th page is timed
		c.Touch(p)
		return
	}
	began := time.Now()
	c.Touch(p)
	t.touchSeconds += 16 * (time.Since(began) - clockCost).Seconds()
}

// clockCost is what reading the clock twice takes.
var clockCost = func() time.Duration {
	least := time.Duration(math.MaxInt64)
	for range 1000 {
		t := time.Now()
		least = min(least, time.Since(t))
	}
	return least
}()

// Dirty stores into each of the pages.
func (r *Rig) Dirty(pages []persist.PageID) {
	for _, p := range pages {
		store(r.Arena, r.Ckpt, nil, p, int(p)&(persist.BlockSize-1))
	}
}
