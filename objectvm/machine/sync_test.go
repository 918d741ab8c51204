package machine

import (
	"bytes"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist/sim"
)

// never is an interval that does not come: only phantom.Sync and the program's end make checkpoints.
const never = time.Hour

const crowd = `package main

import "phantomvm/phantom"

func main() {
	done := make(chan int)
	sum := 0
	for g := range 1000 {
		go func() {
			for range 3 {
				phantom.Sync()
			}
			done <- g
		}()
	}
	go func() { // runs on while the others wait
		for i := 0; ; i++ {
			sum += i
			if i%1000 == 0 {
				done <- -1
			}
		}
	}()
	ran := 0
	for n := 0; n < 1000; {
		if <-done < 0 {
			ran++
		} else {
			n++
		}
	}
	println("all of them,", ran > 0)
}
`

// TestGroupCommit: a thousand goroutines in phantom.Sync at once share checkpoints.
func TestGroupCommit(t *testing.T) {
	d := &countingDisk{Disk: sim.FromImage(newImage(t, crowd))}
	h := &flowHost{t: t}
	h.idle = func() { h.ack(window) }
	h.onStart = func() { d.flushes = 0 }
	h.want = -1
	require.NoError(t, Run(Config{Device: d, Link: h, Interval: never}))
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	require.Equal(t, "all of them, true\n", string(h.files[1]))
	s := h.numbers[len(h.numbers)-1]
	require.Equal(t, uint64(3000), s.Syncs)
	require.LessOrEqual(t, s.Checkpoints, uint64(60), "3000 calls of Sync")
	require.GreaterOrEqual(t, s.SyncFlips, uint64(2), "a goroutine's three calls follow each other, and the first flip is due anyway")
	require.Equal(t, s.Checkpoints+1, d.flushes, "one flush a checkpoint, and that of the last mark")
	require.Zero(t, s.SyncWaiting)
	t.Logf("%d calls, %d checkpoints", s.Syncs, s.Checkpoints)
}

const alone = `package main

import "phantomvm/phantom"

func main() {
	for i := range 10 {
		phantom.Sync()
		println(i)
	}
}
`

// TestSyncAlone: a program whose only goroutine is in Sync is not dead, and does not wait for the interval.
func TestSyncAlone(t *testing.T) {
	d := &countingDisk{Disk: sim.FromImage(newImage(t, alone))}
	h := &flowHost{t: t}
	h.idle = func() { h.ack(window) }
	h.want = -1
	require.NoError(t, Run(Config{Device: d, Link: h, Interval: never}))
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	require.Equal(t, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", string(h.files[1]))
	require.Equal(t, uint64(10), h.numbers[len(h.numbers)-1].Syncs)
}

// stopHost asks the machine to stop whenever it waits.
type stopHost struct{ flowHost }

func (h *stopHost) Wait(until time.Time, wake <-chan struct{}) {
	h.say(&wire.Message{Kind: wire.Stop})
	h.ack(window)
	h.flowHost.Wait(until, wake)
}

// TestStopInSync: an instance that is stopped while its goroutine is in Sync goes on behind the call.
func TestStopInSync(t *testing.T) {
	d := sim.FromImage(newImage(t, alone))
	var files console
	lives := 0
	for ended := false; !ended; lives++ {
		require.Less(t, lives, 20)
		h := &stopHost{flowHost{t: t, files: files, want: -1}}
		h.idle = func() {}
		require.NoError(t, Run(Config{Device: d, Link: h, Interval: never, Delivered: delivered((*[wire.Streams][]byte)(&files))}))
		if ended = h.end.Status.State == wire.Exited; !ended {
			require.Equal(t, wire.Stopped, h.end.Status.State, h.end.Reason)
		}
		files = h.files
	}
	require.Equal(t, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", string(files[1]))
	require.Greater(t, lives, 5, "each call of Sync waits for the device")
}

const diary = `package main

import (
	"syscall"

	"phantomvm/phantom"
)

func main() {
	b := make([]byte, 1)
	var pages [][]byte
	for i := 0; ; i++ {
		page := make([]byte, 3000)
		page[i] = byte(i)
		pages = append(pages, page)
		println("entry", i)
		phantom.Sync()
		if n, _ := syscall.Read(0, b); n <= 0 || b[0] != byte('a'+i%26) {
			break
		}
		for k, p := range pages {
			if p[k] != byte(k) {
				panic("an old entry has changed")
			}
		}
	}
	println("end after", len(pages))
}
`

// asked is what a host knows at a moment, the device having done ops operations: when the program asks for input at a
// position, as many calls of Sync before it have returned; and so much of the output has arrived.
type asked struct {
	ops    int
	off    int64
	output int
}

// diaryHost gives one byte for each request, and writes down when they came. Requests are not held back as output
// is, so they show how far the program itself had come.
type diaryHost struct {
	flowHost
	disk  *sim.Disk
	calls []asked
	first int64 // position of the first request, -1 none
	last  int64
	limit int64
}

func (h *diaryHost) Send(b []byte) error {
	if err := h.flowHost.Send(b); err != nil {
		return err
	}
	h.ack(window)
	h.calls = append(h.calls, asked{h.disk.Len(), max(h.want, h.last), len(h.files[wire.Stderr])})
	h.last = max(h.want, h.last)
	if h.want >= 0 {
		if h.first < 0 {
			h.first = h.want
		}
		if h.want < h.limit {
			h.say(&wire.Message{Kind: wire.Input, Offset: h.want, Data: []byte{byte('a' + h.want%26)}})
		} else {
			h.say(&wire.Message{Kind: wire.Input, Offset: h.want, EOF: true})
		}
		h.want = -1
	}
	return nil
}

func (h *diaryHost) Wait(until time.Time, wake <-chan struct{}) {
	if len(h.in) == 0 {
		h.flowHost.Wait(until, wake)
	}
}

func liveDiary(t *testing.T, d *sim.Disk, files console, limit int64) *diaryHost {
	h := &diaryHost{flowHost: flowHost{t: t, files: files.upto(delivered((*[wire.Streams][]byte)(&files))), want: -1}, disk: d, limit: limit, first: -1}
	h.idle = func() {}
	require.NoError(t, Run(Config{
		Device: d, Link: h, Interval: 2 * time.Millisecond, Delivered: delivered((*[wire.Streams][]byte)(&h.files)), Durable: true,
	}))
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	return h
}

// TestSyncCrashes cuts the power, or kills the process, at every operation of the device in a life of many calls
// of Sync. Wherever it goes on, it does not go back behind a call that had returned.
func TestSyncCrashes(t *testing.T) {
	rng := newRand(t)
	const entries = 40
	rounds := 1
	if os.Getenv("PHANTOM_SOAK") != "" {
		rounds = 50
	}
	image := newImage(t, diary)
	cuts, torn := 0, 0
	for range rounds {
		d := sim.FromImage(bytes.Clone(image))
		first := liveDiary(t, d, console{}, entries)
		want := string(first.files[1])
		require.True(t, strings.HasSuffix(want, "entry 40\nend after 41\n"), want)
		require.Equal(t, int64(entries), first.last)
		cut := func(image []byte, at int) {
			var past asked
			for _, c := range first.calls {
				if c.ops <= at {
					past = c
				}
			}
			cuts++
			next := liveDiary(t, sim.FromImage(image), console{nil, []byte(want[:past.output])}, entries)
			require.Equal(t, want, string(next.files[1]), "cut at operation %d", at)
			if next.first >= 0 {
				require.GreaterOrEqual(t, next.first, past.off, "cut at operation %d: Sync had returned %d times", at, past.off+1)
			}
		}
		for r := d.Replay(); r.Next(); {
			if rng.IntN(3) == 0 {
				cut(r.ProcessDies(rng.IntN(9)), r.Point())
			}
			if units := r.Units(sim.Sector); len(units) > 0 {
				torn++
				cut(r.PowerDies(sim.RandomSubset(rng, units)), r.Point())
			} else {
				cut(r.PowerDies(nil), r.Point())
			}
		}
	}
	require.Greater(t, torn, entries)
	t.Logf("%d cuts", cuts)
}

// TestSyncCrowdCrashes cuts lives in which a thousand goroutines are in Sync.
func TestSyncCrowdCrashes(t *testing.T) {
	rng := newRand(t)
	image := newImage(t, crowd)
	life := func(d *sim.Disk) *wire.Stats {
		h := &flowHost{t: t, want: -1}
		h.idle = func() { h.ack(window) }
		require.NoError(t, Run(Config{Device: d, Link: h, Interval: never, Delivered: [wire.Streams]int64{-1, -1}}))
		require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
		require.Equal(t, "all of them, true\n", string(h.files[1]))
		return h.numbers[len(h.numbers)-1]
	}
	d := sim.FromImage(bytes.Clone(image))
	require.Equal(t, uint64(3000), life(d).Syncs)
	parked, cuts := 0, 0
	for r := d.Replay(); r.Next(); {
		units := r.Units(sim.Sector)
		if len(units) > 0 && rng.IntN(4) > 0 {
			continue
		}
		cuts++
		again := sim.FromImage(r.PowerDies(sim.RandomSubset(rng, units)))
		if st, err := Inspect(again); err == nil && st.State == wire.Exited {
			continue // its output is out
		}
		if n := life(again).Syncs; n < 3000 {
			parked++ // some calls were over, or at least under way, when it was cut
		}
	}
	require.Positive(t, parked)
	t.Logf("%d cuts", cuts)
}

// TestOutputCostsNoFlush: what a program prints leaves with the checkpoints that are made anyway.
func TestOutputCostsNoFlush(t *testing.T) {
	for name, quiet := range map[string]bool{"silent": true, "talking": false} {
		t.Run(name, func(t *testing.T) {
			src := chatter
			if quiet {
				src = strings.NewReplacer("syscall.Write(1, line)", "if len(line) == 0 { syscall.Write(1, line) }", `println("number", i)`, "i++").Replace(src)
			}
			d := &countingDisk{Disk: sim.FromImage(newImage(t, src))}
			h := &flowHost{t: t}
			h.idle = func() { h.ack(window) }
			h.onStart = func() { d.flushes = 0 }
			h.want = -1
			require.NoError(t, Run(Config{Device: d, Link: h, Interval: time.Millisecond}))
			require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
			require.Equal(t, quiet, len(h.files[0]) == 0)
			s := h.numbers[len(h.numbers)-1]
			require.Equal(t, s.Checkpoints+1, d.flushes, "one flush a checkpoint, and that of the last mark")
			t.Logf("%d checkpoints, %d bytes of output, %d flushes", s.Checkpoints, s.OutputBytes, d.flushes)
		})
	}
}
