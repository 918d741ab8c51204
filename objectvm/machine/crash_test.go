package machine

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
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

// Power cuts, deaths of the process and failing devices under a whole machine. A life is recorded: what was
// written, and when which output was delivered and acknowledged. Then the life is cut short at its recorded
// operations, another one begins on the image that is left, and in the end the console must hold what an
// undisturbed run prints.

// workers prints to both streams from goroutines, with a map, garbage and live objects.
const workers = `package main

import "syscall"

type item struct {
	n    int
	text string
	next *item
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

func worker(in <-chan int, out chan<- *item) {
	for n := range in {
		s := 0
		for k := range 6000 {
			s += k * n % 1001
		}
		out <- &item{n: n, text: itoa(s)}
	}
	close(out)
}

func main() {
	var in [3]chan int
	var out [3]chan *item
	for i := range in {
		in[i], out[i] = make(chan int, 2), make(chan *item)
		go worker(in[i], out[i])
	}
	seen := map[string]int{}
	var list *item
	length := 0
	for i := range 600 {
		in[i%3] <- i
		it := <-out[i%3]
		it.next, list = list, it
		if length++; length > 40 {
			last := list
			for range 20 {
				last = last.next
			}
			last.next, length = nil, 21
		}
		seen[it.text]++
		syscall.Write(1, []byte(itoa(i)+" "+it.text+" "+itoa(seen[it.text])+"\n"))
		if i%5 == 0 {
			sum := 0
			for p := list; p != nil; p = p.next {
				sum += p.n
			}
			println(i, sum, len(seen))
		}
	}
	syscall.Exit(5)
}
`

const diskSize = 12 << 20

func compile(t testing.TB, src string) []byte {
	if raceDetector { // it makes the interpreter many times slower
		src = strings.NewReplacer("range 6000", "range 200", "range 30000", "range 12000").Replace(src)
	}
	path := filepath.Join(t.TempDir(), "prog.go")
	require.NoError(t, os.WriteFile(path, []byte(src), 0o600))
	m, err := gofront.Compile(gofront.Config{Patterns: []string{path}})
	require.NoError(t, err)
	b, err := bytecode.Encode(m)
	require.NoError(t, err)
	return b
}

// newImage is a disk's contents with a new instance of the program.
func newImage(t testing.TB, src string) []byte {
	d := sim.New(diskSize)
	require.NoError(t, Create(d, compile(t, src), Options{InstanceID: [16]byte{7}, ArenaLimit: 32 << 20}))
	return d.Image()
}

func newRand(t testing.TB) *rand.Rand {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed %d; again: PHANTOM_SEED=%d go test -run '^%s$' ./objectvm/machine", seed, seed, t.Name())
	return rand.New(rand.NewPCG(seed, 0))
}

// console is what the host's files hold.
type console [wire.Streams][]byte

func (c console) upto(n [wire.Streams]int64) (out console) {
	for s := range c {
		out[s] = append([]byte{}, c[s][:n[s]]...)
	}
	return out
}

// put does what a host does with output, and notes how far it has come in this life (got). What an earlier life has
// left is written over.
func (c *console) put(m *wire.Message, got *[wire.Streams]int64) error {
	file := &c[m.Stream]
	if m.Offset > int64(len(*file)) || got[m.Stream] > 0 && m.Offset != got[m.Stream] {
		return fmt.Errorf("output of stream %d at %d; the file has %d bytes, %d came in this life", m.Stream, m.Offset, len(*file), got[m.Stream])
	}
	n := copy((*file)[m.Offset:], m.Data)
	*file = append(*file, m.Data[n:]...)
	got[m.Stream] = m.Offset + int64(len(m.Data))
	return nil
}

// moment is how much of each stream was in the host's files, and how much of that surely on its disk, when ops
// operations were recorded.
type moment struct {
	ops              int
	delivered, saved [wire.Streams]int64
}

// recorder is a device that counts the operations it has recorded.
type recorder interface {
	persist.Device
	Len() int
}

// crashHost is a host that writes down what happens when. It acknowledges now or a little later.
type crashHost struct {
	rng   *rand.Rand
	disk  recorder
	text  []byte // standard input
	files console
	saved [wire.Streams]int64 // of files: on the disk, whatever happens
	got   [wire.Streams]int64 // how far output has come in this life
	acked [wire.Streams]int64 // what was acknowledged in this life
	past  []moment
	inbox
	started *wire.Status
	end     *wire.Message
	notes   []string
}

func (h *crashHost) Send(b []byte) error {
	m, err := wire.Decode(b)
	if err != nil {
		return err
	}
	switch m.Kind {
	case wire.Started:
		h.started = m.Status
	case wire.Output:
		if err := h.files.put(m, &h.got); err != nil {
			return err
		}
		h.remember()
	case wire.WantInput:
		data := h.text[min(m.Offset, int64(len(h.text))):]
		in := &wire.Message{Kind: wire.Input, Offset: m.Offset, Data: data[:min(len(data), 1000)], EOF: len(data) <= 1000}
		if b, err = wire.Encode(in); err != nil {
			return err
		}
		h.in = append(h.in, b)
	case wire.Note:
		h.notes = append(h.notes, m.Reason)
	case wire.Ended:
		h.end = m
	}
	return nil
}

func (h *crashHost) remember() {
	h.past = append(h.past, moment{h.disk.Len(), delivered((*[wire.Streams][]byte)(&h.files)), h.saved})
}

func (h *crashHost) acknowledge() {
	for s := range h.files {
		if n := h.got[s]; n > h.acked[s] {
			if h.rng.IntN(2) == 0 {
				n -= h.rng.Int64N(n - h.acked[s]) // a part of a message
			}
			h.acked[s], h.saved[s] = n, max(h.saved[s], n)
			b, _ := wire.Encode(&wire.Message{Kind: wire.Ack, Stream: uint8(s), Offset: n}) //nolint:errcheck // it is small
			h.in = append(h.in, b)
			h.remember()
		}
	}
}

func (h *crashHost) Recv() ([]byte, bool) {
	if len(h.in) == 0 && h.rng.IntN(3) == 0 {
		h.acknowledge()
	}
	return h.inbox.Recv()
}

func (h *crashHost) Wait(until time.Time, wake <-chan struct{}) {
	h.acknowledge()
	h.inbox.Wait(until, wake)
}

// live runs an image to its end, or until the device fails.
func live(t *testing.T, rng *rand.Rand, d *sim.Disk, files console) *crashHost {
	return newHost(rng, d, files, delivered((*[wire.Streams][]byte)(&files))).run(t, Config{Device: sim.Gathering{Disk: d}, Interval: 300 * time.Microsecond})
}

// newHost takes the files that an earlier life has left, and how much of them is surely on the disk.
func newHost(rng *rand.Rand, d recorder, files console, saved [wire.Streams]int64) *crashHost {
	h := &crashHost{rng: rng, disk: d, files: files.upto(delivered((*[wire.Streams][]byte)(&files))), saved: saved}
	h.remember()
	return h
}

func (h *crashHost) run(t *testing.T, cfg Config) *crashHost {
	cfg.Link, cfg.Delivered, cfg.Durable = h, delivered((*[wire.Streams][]byte)(&h.files)), true
	require.NoError(t, Run(cfg))
	require.NotNil(t, h.end)
	return h
}

// undisturbed is what the program prints.
func undisturbed(t *testing.T, image []byte) (console, int) {
	h := live(t, rand.New(rand.NewPCG(1, 1)), sim.FromImage(bytes.Clone(image)), console{})
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	return h.files, h.end.Status.ExitCode
}

// at returns the console as a crash after k operations may leave it, and how much of it is surely on the disk: at least
// what was acknowledged, at most what was delivered, by then. A power cut may leave the length of a file without what
// was written there last.
func (h *crashHost) at(k int) (console, [wire.Streams]int64) {
	m := h.moment(k)
	n := m.delivered
	if h.rng.IntN(2) == 0 {
		for s := range n {
			n[s] = m.saved[s] + h.rng.Int64N(m.delivered[s]-m.saved[s]+1)
		}
	}
	files := h.files.upto(n)
	if h.rng.IntN(2) == 0 {
		for s := range files {
			clear(files[s][m.saved[s]:])
		}
	}
	return files, m.saved
}

type cutter struct {
	t    *testing.T
	rng  *rand.Rand
	want console
	code int
	cuts int
}

// crashes cuts a recorded life at about n of its operations. Some second lives are cut once more.
func (c *cutter) crashes(h *crashHost, n int, again bool) {
	r, acked := h.disk.(*sim.Disk).Replay(), persist.Epoch(0)
	total := h.disk.Len()
	for alive := true; alive; alive = r.Next() {
		units := r.Units(sim.Sector)
		if len(units) == 0 {
			rec, err := persist.Inspect(sim.FromImage(r.ProcessDies(0)))
			require.NoError(c.t, err)
			acked = rec.Epoch
		}
		if c.rng.IntN(total+1) >= n {
			continue
		}
		img := r.PowerDies(sim.RandomSubset(c.rng, units))
		if c.rng.IntN(3) == 0 {
			img = r.ProcessDies(c.rng.IntN(9))
		}
		c.cuts++
		d := sim.FromImage(img)
		files, saved := h.at(r.Point())
		next := newHost(c.rng, d, files, saved).run(c.t, Config{Device: sim.Gathering{Disk: d}, Interval: 300 * time.Microsecond})
		c.check(next, acked)
		if again && c.rng.IntN(4) == 0 {
			c.crashes(next, 2, false)
		}
	}
}

func (c *cutter) check(h *crashHost, acked persist.Epoch) {
	require.Equal(c.t, wire.Exited, h.end.Status.State, h.end.Reason)
	require.GreaterOrEqual(c.t, h.started.Resumed, uint64(acked), "an acknowledged epoch was lost")
	require.Equal(c.t, c.code, h.end.Status.ExitCode)
	for s := range c.want {
		require.True(c.t, bytes.Equal(c.want[s], h.files[s]), "stream %d: %d bytes, expected %d", s, len(h.files[s]), len(c.want[s]))
	}
}

func TestPowerCuts(t *testing.T) {
	rng := newRand(t)
	image := newImage(t, workers)
	c := &cutter{t: t, rng: rng}
	c.want, c.code = undisturbed(t, image)
	require.Equal(t, 5, c.code)
	require.Greater(t, len(c.want[0]), 5000)
	require.Greater(t, len(c.want[1]), 1000)
	cuts, epochs := 120, 0
	if testing.Short() || raceDetector {
		cuts = 20
	}
	for c.cuts < cuts {
		h := live(t, rng, sim.FromImage(bytes.Clone(image)), console{})
		c.check(h, 0)
		epochs = max(epochs, int(h.end.Status.Checkpoints))
		c.crashes(h, cuts/3, true)
	}
	require.Greater(t, epochs, 1, "the program ends before there is anything to cut")
	t.Logf("%d cuts, lives of up to %d checkpoints", c.cuts, epochs)
}

// TestLyingDevice drops everything after some flush that was acknowledged. When output of a lost epoch was
// delivered, the machine says so and shows nothing.
func TestLyingDevice(t *testing.T) {
	rng := newRand(t)
	image := newImage(t, workers)
	want, _ := undisturbed(t, image)
	h := live(t, rng, sim.FromImage(bytes.Clone(image)), console{})
	reported, tried := 0, 0
	for r := h.disk.(*sim.Disk).Replay(); r.Next(); {
		if len(r.Units(sim.Sector)) != 0 || tried > 1 && rng.IntN(4) != 0 {
			continue
		}
		tried++
		img, later := r.ProcessDies(0), h.files
		meta, err := persist.Inspect(sim.FromImage(img))
		require.NoError(t, err)
		root, err := decodeMeta(meta.Meta)
		require.NoError(t, err)
		next := live(t, rng, sim.FromImage(img), later)
		if root.Ends == delivered((*[wire.Streams][]byte)(&later)) {
			continue
		}
		require.Equal(t, wire.Failed, next.end.Status.State)
		require.Contains(t, next.end.Reason, ErrOutputAhead.Error())
		require.Equal(t, want, next.files)
		reported++
	}
	require.NotZero(t, reported)
}

// TestFailingDevice fails the Nth write or flush, once or for good.
func TestFailingDevice(t *testing.T) {
	rng := newRand(t)
	image := newImage(t, workers)
	want, code := undisturbed(t, image)
	failed := 0
	for _, fault := range []sim.Fault{{Err: sim.ErrIO}, {Err: sim.ErrIO, Sticky: true}, {Err: persist.ErrNoSpace}, {Err: persist.ErrNoSpace, Sticky: true}} {
		if raceDetector && fault.Sticky {
			continue // as slow as that is
		}
		for n := 0; ; n += 1 + rng.IntN(1+n) {
			if raceDetector {
				n += 2 * n
			}
			d := sim.FromImage(bytes.Clone(image))
			f := fault
			f.At, f.Torn = n, rng.IntN(9)
			d.SetFault(&f)
			h := live(t, rng, d, console{})
			if h.end.Status.State == wire.Exited {
				break // it never came to that, or what failed was the mark of a clean stop
			}
			failed++
			require.Equal(t, wire.Failed, h.end.Status.State)
			require.Equal(t, errors.Is(f.Err, persist.ErrNoSpace), h.end.NoSpace, h.end.Reason)
			d.SetFault(nil)
			next := live(t, rng, d, h.files)
			(&cutter{t: t, want: want, code: code}).check(next, 0)
		}
	}
	require.Greater(t, failed, 5)
}

// TestFailingReads fails the Nth read of a resume: the error shows, or the state is the right one.
func TestFailingReads(t *testing.T) {
	rng := newRand(t)
	image := newImage(t, workers)
	c := &cutter{t: t, rng: rng}
	c.want, c.code = undisturbed(t, image)
	h := live(t, rng, sim.FromImage(image), console{})
	r := h.disk.(*sim.Disk).Replay()
	for r.Point() < h.disk.Len()/2 || len(r.Units(sim.Sector)) > 0 {
		require.True(t, r.Next())
	}
	rec, err := persist.Inspect(sim.FromImage(r.ProcessDies(0)))
	require.NoError(t, err)
	files, saved := h.at(r.Point())
	failed, noted := 0, 0
	for n := range 16 {
		d := sim.FromImage(r.ProcessDies(0))
		d.SetFault(&sim.Fault{At: n, Err: sim.ErrIO, Reads: true})
		next := newHost(rng, d, files, saved).run(t, Config{Device: d})
		noted += len(next.notes)
		if next.end.Status.State == wire.Failed {
			failed++
			require.False(t, next.end.NoSpace)
			d.SetFault(nil)
			next = live(t, rng, d, next.files)
		}
		c.check(next, rec.Epoch)
	}
	require.Greater(t, failed, 3)
	require.NotZero(t, noted, "a superblock that can't be read is told to the user")
}
