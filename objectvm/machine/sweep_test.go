package machine

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// The sweep: real lives of all examples and of random programs are recorded on a simulated device, from its
// formatting to the program's end. Then a crash is made at every write and flush of a recording, in all the ways
// that persist/sim knows, and every image that this leaves is opened, checked and compared; one in a hundred is
// run on to the program's end, and some of those lives are recorded and swept again.
//
// A million images are cheap because an image is a few blocks over a shared base, and because nothing is copied to
// open one. Everything goes through persist's public functions: the sweep knows no block's place.

// sweepSize is how much is swept.
type sweepSize struct {
	images   int           // distinct ones that must be reached
	programs int           // random ones at least
	steps    int           // of a random program
	interval time.Duration // between checkpoints of an example
	examples sim.Sweep     // of an example
	random   sim.Sweep     // of a random program
	second   sim.Sweep     // of a life after a crash
	lying    sim.Sweep
}

var (
	quickSweep = sweepSize{
		images: 20_000, programs: 4, steps: 30_000, interval: 10 * time.Millisecond,
		examples: sim.Sweep{Subsets: 2, Sectors: 1, Tears: 1, Blocks: 1},
		random:   sim.Sweep{Subsets: 4, Sectors: 3, Tears: 3, Blocks: 5},
		second:   sim.Sweep{Subsets: 3, Sectors: 1, Tears: 1, Blocks: 1, Most: 60},
		lying:    sim.Sweep{Sectors: 1, Most: 400},
	}
	soakSweep = sweepSize{
		images: 1_000_000, programs: 100, steps: 40_000, interval: 5 * time.Millisecond,
		examples: sim.Sweep{Subsets: 6, Sectors: 3, Tears: 3, Blocks: 4},
		random:   sim.Sweep{Subsets: 8, Sectors: 8, Tears: 10, Blocks: 8},
		second:   sim.Sweep{Subsets: 6, Sectors: 3, Tears: 4, Blocks: 3, Most: 2000},
		lying:    sim.Sweep{Sectors: 2, Most: 3000},
	}
)

// subject is a program that is swept.
type subject struct {
	name, source string
	module       []byte
	input        []byte
	cfg          Config
	disk         int64
	each         int // one image in so many is run on
	want         console
	code         int
}

// sweep counts what was done.
type sweep struct {
	*testing.T
	rng   *rand.Rand
	size  sweepSize
	seen  sim.Seen
	begin time.Time
	shown time.Time

	points, images, checks, second, continued int
	lied, reported, older, ahead              int
	opening, checking                         time.Duration // in checks
}

func TestCrashSweep(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector makes the interpreter and the checks many times slower; TestPowerCuts runs under it")
	}
	size := quickSweep
	if os.Getenv("PHANTOM_SOAK") != "" {
		size = soakSweep
	} else if testing.Short() {
		t.Skip("-short: TestPowerCuts cuts fewer")
	}
	defer debug.SetGCPercent(debug.SetGCPercent(200)) // images are opened and dropped by the thousand
	s := &sweep{T: t, rng: newRand(t), size: size, seen: sim.Seen{}, begin: time.Now()}
	for _, sub := range s.examples() {
		s.subject(sub, size.examples)
	}
	for n := 0; n < size.programs || s.images < size.images; n++ {
		s.subject(s.randomSubject(n), size.random)
	}
	s.report()
	require.GreaterOrEqual(t, s.images, size.images)
	require.GreaterOrEqual(t, s.continued*100, s.images, "one image in a hundred is to be run to the program's end")
	require.NotZero(t, s.second)
	require.NotZero(t, s.reported)
	require.NotZero(t, s.ahead)
}

func (s *sweep) report() {
	s.Logf("%d distinct crash images of %d operations in %v (%.0f/s; opening one takes %v, opening, comparing and fsck %v); %d of them in lives after a crash; %d run on to the program's end",
		s.images, s.points, time.Since(s.begin).Round(time.Second), float64(s.images)/time.Since(s.begin).Seconds(),
		s.mean(s.opening), s.mean(s.checking), s.second, s.continued)
	s.Logf("lying devices: %d more images; %d reported as damaged, %d opened at a complete older state, %d of %[4]d run on and reported by what was delivered",
		s.lied, s.reported, s.older, s.ahead)
}

func (s *sweep) mean(d time.Duration) time.Duration {
	return (d / time.Duration(max(1, s.checks))).Round(time.Microsecond)
}

// progress says with -v how far the sweep is.
func (s *sweep) progress(name string) {
	if time.Since(s.shown) > 5*time.Second {
		s.shown = time.Now()
		s.Logf("%8d images, %6d run on, at %s after %v", len(s.seen), s.continued, name, time.Since(s.begin).Round(time.Second))
	}
}

func (s *sweep) examples() (out []*subject) {
	t := s.T
	dirs, err := filepath.Glob("../../examples/*/main.go")
	require.NoError(t, err)
	require.NotEmpty(t, dirs)
	for _, file := range dirs {
		dir := filepath.Dir(file)
		sub := &subject{name: filepath.Base(dir), source: dir, disk: 16 << 20, each: 100, cfg: Config{Interval: s.size.interval}}
		switch sub.name {
		case "counter": // waits for its ticker most of the time
			sub.each, sub.cfg.Interval = 1000, 15*s.size.interval
		case "ledger", "life": // they compute for a while, in more memory
			sub.each, sub.cfg.Interval = 300, 2*s.size.interval
		case "wordfreq":
			sub.input = []byte(strings.Repeat("the quick brown fox jumps over the lazy dog, and the dog sleeps on\n", 300))
		}
		m, err := gofront.Compile(gofront.Config{Patterns: []string{file}})
		require.NoError(t, err)
		sub.module, err = bytecode.Encode(m)
		require.NoError(t, err)
		out = append(out, sub)
	}
	return out
}

func (s *sweep) randomSubject(n int) *subject {
	src := randomProgram(s.rng, s.size.steps/2+s.rng.IntN(s.size.steps))
	return &subject{
		name: fmt.Sprintf("random program %d", n), source: src, module: compile(s, src), each: 95, disk: 12 << 20,
		cfg: Config{Interval: time.Duration(1 + s.rng.IntN(300_000)), Fuel: int64(500 + s.rng.IntN(4000))},
	}
}

// life is a recorded one, and what its host saw.
type life struct {
	*subject
	host     *crashHost
	rec      *sim.Recording
	timeline timeline
}

// record runs the program from the formatting of its disk to its end.
func (s *sweep) record(sub *subject) *life {
	d := sim.New(sub.disk)
	err := Create(d, sub.module, Options{InstanceID: [16]byte{byte(s.rng.Uint32())}, ArenaLimit: 32 << 20})
	require.NoError(s, err, sub.name)
	h := newHost(s.rng, d, console{}, [wire.Streams]int64{})
	h.text = sub.input
	cfg := sub.cfg
	switch s.rng.IntN(5) {
	case 0, 1:
		cfg.Device = d
	case 2, 3:
		cfg.Device = sim.Gathering{Disk: d}
	default: // its writes are large, and so are the images
		cfg.Device = preparing{sim.Gathering{Disk: d}}
	}
	h.run(s.T, cfg)
	require.Contains(s, []wire.State{wire.Exited, wire.Crashed}, h.end.Status.State, "%s: %s", sub.name, h.end.Reason)
	return s.newLife(sub, h, d.Recording(), nil)
}

// preparing is a disk that is told what will be written, as a sparse file is: zeros, and a flush.
type preparing struct{ sim.Gathering }

func (p preparing) Prepare(off, n int64) error {
	if _, err := p.WriteAt(make([]byte, n), off); err != nil {
		return err
	}
	return p.Flush()
}

// newLife knows the states of a recording. One that goes on from a crash may find a state that the life before it
// attempted (parent): if it happens to write the very blocks that the crash had left out, that commit is complete.
func (s *sweep) newLife(sub *subject, h *crashHost, rec *sim.Recording, parent *timeline) *life {
	l := &life{subject: sub, host: h, rec: rec}
	var err error
	l.timeline, err = newTimeline(rec, parent)
	require.NoError(s, err, "%s: the recording itself", sub.name)
	return l
}

// subject records and sweeps one program.
func (s *sweep) subject(sub *subject, how sim.Sweep) {
	l := s.record(sub)
	sub.want, sub.code = l.host.files, l.host.end.Status.ExitCode
	s.points += len(l.rec.Ops)
	s.crashes(l, how, true)
	for lost := range 3 {
		s.lies(l, lost+1)
	}
}

// crashes visits the images of a recording.
func (s *sweep) crashes(l *life, how sim.Sweep, first bool) {
	how.Rand, how.Seen = s.rng, s.seen
	n, err := how.Run(l.rec, func(c sim.Crash) error {
		s.progress(l.name)
		begin := time.Now()
		epoch, err := l.timeline.check(c)
		s.checking += time.Since(begin)
		s.checks++
		if err != nil {
			return s.keep(l, c, err)
		}
		if epoch < 2 || !s.chosen(l) {
			return nil // before epoch 2 there is no program to run
		}
		s.continued++
		next, err := s.goOn(l, c, first && s.rng.IntN(8) == 0)
		if err != nil {
			return s.keep(l, c, err)
		}
		if next != nil { // at once: a life is large
			before := len(s.seen)
			s.crashes(next, s.size.second, false)
			s.second += len(s.seen) - before
		}
		return nil
	})
	require.NoError(s, err)
	s.images += n
	s.opening += l.timeline.opening
	l.timeline.opening = 0
}

// chosen picks the images that are run on: fewer of programs that take long, more of the others, so that it is one
// in a hundred in all.
func (s *sweep) chosen(l *life) bool {
	behind := s.continued*90 < len(s.seen) && l.each < 100
	return s.rng.IntN(l.each) == 0 || behind && s.rng.IntN(10) == 0
}

// goOn runs an image to the program's end. If it is to be recorded, it returns that life.
func (s *sweep) goOn(l *life, c sim.Crash, record bool) (*life, error) {
	var base []byte
	if record {
		base = c.Contents()
	}
	c.Record()
	acked := l.timeline.acked(c.Acked)
	cfg := l.cfg
	cfg.Device = c.Image
	files, saved := l.host.at(c.Point)
	h := newHost(s.rng, c.Image, files, saved)
	h.text = l.input
	h.run(s.T, cfg)
	if err := l.compare(h, acked); err != nil || !record {
		return nil, err
	}
	return s.newLife(l.subject, h, c.Recording(base), &l.timeline), nil
}

// compare holds a life's end against the undisturbed one.
func (sub *subject) compare(h *crashHost, acked persist.Epoch) error {
	st := h.end.Status
	switch {
	case st.State != wire.Exited && st.State != wire.Crashed:
		return fmt.Errorf("the program's continuation ended %v: %s", st.State, h.end.Reason)
	case h.started.Resumed < uint64(acked):
		return fmt.Errorf("resumed at epoch %d, %d was acknowledged", h.started.Resumed, acked)
	case st.ExitCode != sub.code:
		return fmt.Errorf("exit code %d, undisturbed %d", st.ExitCode, sub.code)
	}
	for i := range sub.want {
		if !bytes.Equal(sub.want[i], h.files[i]) {
			return fmt.Errorf("stream %d has %d bytes, undisturbed %d", i, len(h.files[i]), len(sub.want[i]))
		}
	}
	return nil
}

// keep leaves what is needed to look at a failure.
func (s *sweep) keep(l *life, c sim.Crash, err error) error {
	dir, e := os.MkdirTemp("", "phantom-sweep-")
	require.NoError(s, e)
	require.NoError(s, errors.Join(
		os.WriteFile(filepath.Join(dir, "image"), c.Contents(), 0o600),
		os.WriteFile(filepath.Join(dir, "program"), []byte(l.source), 0o600)))
	return fmt.Errorf("%s: %s, crash after %d of %d operations, the first %d acknowledged: %w (image and program are in %s)",
		l.name, c.How, c.Point, len(l.rec.Ops), c.Acked, err, dir)
}

// lies drops the effect of the newest flushes, although they were acknowledged. Whatever is left must be a
// complete state or be reported as damaged; and what was delivered tells a state that is older than it.
func (s *sweep) lies(l *life, lost int) {
	how := s.size.lying
	how.Rand, how.Seen, how.Lost = s.rng, s.seen, lost
	n, err := how.Run(l.rec, func(c sim.Crash) error {
		s.progress(l.name)
		epoch, err := l.timeline.open(c.Image)
		if errors.Is(err, persist.ErrCorrupt) || errors.Is(err, persist.ErrRootDamaged) || errors.Is(err, persist.ErrNotFormatted) {
			s.reported++
			return nil
		}
		if err != nil {
			return s.keep(l, c, err)
		}
		if epoch >= l.timeline.acked(c.Acked) || epoch < 2 {
			return nil
		}
		s.older++
		if s.rng.IntN(20) != 0 {
			return nil
		}
		if err := s.tooOld(l, c); err != nil {
			return s.keep(l, c, err)
		}
		return nil
	})
	require.NoError(s, err)
	s.lied += n
}

// tooOld runs an image that is older than what its device acknowledged. The machine refuses if output of a lost
// epoch was delivered, and shows nothing; otherwise it goes on as if the rest had never been.
func (s *sweep) tooOld(l *life, c sim.Crash) error {
	rec, err := persist.Inspect(c.Image)
	if err != nil {
		return err
	}
	meta, err := decodeMeta(rec.Meta)
	if err != nil {
		return err
	}
	m := l.host.moment(c.Point)
	h := newHost(s.rng, c.Image, l.host.files.upto(m.delivered), m.saved)
	h.text = l.input
	cfg := l.cfg
	cfg.Device = c.Image
	before := len(h.files[0]) + len(h.files[1])
	h.run(s.T, cfg)
	for i, end := range meta.Ends {
		if m.delivered[i] <= end {
			continue
		}
		s.ahead++
		if h.end.Status.State != wire.Failed || !strings.Contains(h.end.Reason, ErrOutputAhead.Error()) {
			return fmt.Errorf("stream %d: %d bytes were delivered, the state found knows %d; ended %v: %s", i, m.delivered[i], end, h.end.Status.State, h.end.Reason)
		}
		if len(h.files[0])+len(h.files[1]) != before {
			return errors.New("output was shown although a checkpoint is lost")
		}
		return nil
	}
	return l.compare(h, 0)
}

// state is the whole contents of an arena at one epoch. States share pages.
type state struct {
	meta  []byte
	pages map[persist.PageID][]byte
}

// timeline is what a recording's device held after each of its flushes.
type timeline struct {
	flushes []flush // in order
	states  map[persist.Epoch][]*state
	scratch [][]byte
	opening time.Duration // spent in persist.Open
}

type flush struct {
	ops   int // operations up to and with the flush
	epoch persist.Epoch
}

func newTimeline(rec *sim.Recording, parent *timeline) (timeline, error) {
	tl := timeline{states: map[persist.Epoch][]*state{}}
	if parent != nil {
		maps.Copy(tl.states, parent.states)
	}
	var last *state
	err := rec.Settled(func(img *sim.Image, ops int, flushed bool) error {
		store, got, err := persist.Open(img)
		if err != nil {
			if last == nil && errors.Is(err, persist.ErrNotFormatted) {
				return nil
			}
			return fmt.Errorf("after %d operations: %w", ops, err)
		}
		st := &state{bytes.Clone(got.Meta), map[persist.PageID][]byte{}}
		if err := store.LoadAll(func(p persist.PageID) []byte {
			b := make([]byte, persist.BlockSize)
			st.pages[p] = b
			return b
		}); err != nil {
			return err
		}
		if last != nil {
			for p, b := range st.pages {
				if old := last.pages[p]; bytes.Equal(old, b) {
					st.pages[p] = old
				}
			}
		}
		tl.states[got.Epoch], last = append(slices.Clip(tl.states[got.Epoch]), st), st
		if flushed {
			tl.flushes = append(tl.flushes, flush{ops, got.Epoch})
		}
		return nil
	})
	return tl, err
}

// acked is the epoch that was durable after the first ops operations.
func (tl *timeline) acked(ops int) (e persist.Epoch) {
	for _, f := range tl.flushes {
		if f.ops <= ops {
			e = f.epoch
		}
	}
	return e
}

// check opens an image of an honest device: a state no older than the last acknowledged one, and nothing wrong.
func (tl *timeline) check(c sim.Crash) (persist.Epoch, error) {
	acked := tl.acked(c.Acked)
	epoch, err := tl.open(c.Image)
	switch {
	case acked == 0 && errors.Is(err, persist.ErrNotFormatted):
		return 0, nil
	case err != nil:
		return 0, err
	case epoch < acked:
		return 0, fmt.Errorf("epoch %d was recovered, %d was acknowledged", epoch, acked)
	}
	rep, err := persist.Fsck(c.Image, nil)
	if err != nil {
		return 0, fmt.Errorf("fsck: %w", err)
	}
	if !rep.OK() || rep.Newest != epoch {
		return 0, fmt.Errorf("fsck finds epoch %d and %+v; epoch %d was recovered", rep.Newest, rep.Problems, epoch)
	}
	return epoch, nil
}

// errMixed: an image was opened at a state that never was.
var errMixed = errors.New("a state that was never committed")

// open recovers an image and compares the whole state with what was committed as its epoch.
func (tl *timeline) open(dev persist.Device) (persist.Epoch, error) {
	begin := time.Now()
	store, rec, err := persist.Open(dev)
	tl.opening += time.Since(begin)
	if err != nil {
		return 0, err
	}
	return rec.Epoch, tl.compare(store, rec)
}

func (tl *timeline) compare(store *persist.Store, rec *persist.Recovered) error {
	var pages []persist.PageID
	if err := store.LoadAll(func(p persist.PageID) []byte {
		if len(pages) == len(tl.scratch) {
			tl.scratch = append(tl.scratch, make([]byte, persist.BlockSize))
		}
		pages = append(pages, p)
		return tl.scratch[len(pages)-1]
	}); err != nil {
		return err
	}
	err := errors.New("no such epoch")
	for _, want := range tl.states[rec.Epoch] {
		if err = tl.equal(want, rec, pages); err == nil {
			return nil
		}
	}
	return fmt.Errorf("epoch %d: %w (of %d with that number): %w", rec.Epoch, errMixed, len(tl.states[rec.Epoch]), err)
}

// equal compares what was loaded into the scratch pages.
func (tl *timeline) equal(want *state, rec *persist.Recovered, pages []persist.PageID) error {
	if !bytes.Equal(want.meta, rec.Meta) || uint64(len(pages)) != rec.Pages || len(pages) != len(want.pages) {
		return errors.New("metadata or number of pages")
	}
	for i, p := range pages {
		if !bytes.Equal(tl.scratch[i], want.pages[p]) {
			return fmt.Errorf("page %#x", uint64(p))
		}
	}
	return nil
}

// moment is what the host knew after k operations.
func (h *crashHost) moment(k int) moment {
	i, _ := slices.BinarySearchFunc(h.past, k+1, func(m moment, ops int) int { return m.ops - ops })
	return h.past[max(0, i-1)]
}
