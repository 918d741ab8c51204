package machine

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist/sim"
)

// countingDisk counts what a machine does to its device.
type countingDisk struct {
	*sim.Disk
	flushes uint64
	written uint64
}

func (d *countingDisk) WriteAt(b []byte, off int64) (int, error) {
	d.written += uint64(len(b))
	return d.Disk.WriteAt(b, off)
}

func (d *countingDisk) Flush() error {
	d.flushes++
	return d.Disk.Flush()
}

const garbage = `package main

var keep [][]byte

func main() {
	for i := range 20000 {
		b := make([]byte, 4096)
		b[i&4095] = byte(i)
		if i&255 == 0 {
			keep = append(keep, b)
		}
		if i%1000 == 0 {
			println(i)
		}
	}
}
`

// TestNumbers holds the machine's numbers against what its device and its host saw.
func TestNumbers(t *testing.T) {
	d := &countingDisk{Disk: sim.FromImage(newImage(t, garbage))}
	h := &flowHost{t: t}
	h.idle = func() { h.ack(window) }
	h.onStart = func() { d.flushes, d.written = 0, 0 } // those of the recovery
	h.say(&wire.Message{Kind: wire.Ask})
	h.want, h.acked = -1, [wire.Streams]int64{}
	began := time.Now()
	require.NoError(t, Run(Config{Device: d, Link: h, Interval: time.Millisecond}))
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	require.GreaterOrEqual(t, len(h.numbers), 2, "asked for, and the last")
	s := h.numbers[len(h.numbers)-1]
	require.GreaterOrEqual(t, s.Checkpoints, uint64(2), "the last one at least, and one on the way")
	require.Equal(t, h.end.Status.Checkpoints, s.Checkpoints)
	for name, n := range map[string]uint64{
		"flip": s.Flip.Count(), "commit": s.Commit.Count(), "age": s.DurableAge.Count(), "pages": s.CheckpointPages.Count(), "bytes": s.CheckpointBytes.Count(),
	} {
		require.Equal(t, s.Checkpoints, n, name)
	}
	require.Equal(t, s.Pages, s.CheckpointPages.Sum())
	require.Equal(t, s.DeviceBytes, s.CheckpointBytes.Sum())
	require.Equal(t, d.flushes, s.Checkpoints+1, "one flush a checkpoint, and that of the last mark")
	require.Equal(t, d.written, s.DeviceBytes+4096, "every byte but the last mark")
	require.Greater(t, s.WriteAmplification(), 1.0)
	require.Equal(t, h.end.Status.ArenaPages, s.ArenaPages)
	require.Equal(t, s.ArenaPages, s.ResidentPages)
	require.Greater(t, s.GCCycles, uint64(5))
	require.Equal(t, s.GCNanos, s.GCPause.Sum())
	require.Greater(t, s.HeapBytes, uint64(78*4096))
	require.Equal(t, uint64(len(h.files[0])+len(h.files[1])), s.OutputBytes)
	require.GreaterOrEqual(t, s.DurableAge.Sum(), s.Commit.Sum())
	require.Zero(t, s.OldestChange)
	require.Zero(t, s.HeldBack)
	elapsed := time.Since(began)
	for name, sum := range map[string]uint64{"slices": s.Slice.Sum(), "commits": s.Commit.Sum(), "collections": s.GCNanos} {
		require.LessOrEqual(t, time.Duration(sum), elapsed, name)
	}
	require.LessOrEqual(t, time.Duration(s.At-s.Began), elapsed)
}

// TestNumbersOfAnIdleMachine: nothing is sent by a machine that does nothing, unless it is asked.
func TestNumbersOfAnIdleMachine(t *testing.T) {
	d := &countingDisk{Disk: sim.FromImage(newImage(t, upper))}
	h := &flowHost{t: t}
	asked := 0
	quiet := func() (n []*wire.Stats) { // what came after everything was durable
		for _, s := range h.numbers {
			if s.OldestChange == 0 {
				n = append(n, s)
			}
		}
		return n
	}
	h.idle = func() {
		if h.want < 0 {
			return
		}
		if len(quiet()) < 5 {
			require.Len(t, h.numbers, asked)
			asked++
			h.say(&wire.Message{Kind: wire.Ask})
			return
		}
		h.say(&wire.Message{Kind: wire.Input, Offset: h.want, EOF: true})
		h.want = -1
		h.idle = func() { h.ack(window) }
	}
	h.want = -1
	require.NoError(t, Run(Config{Device: d, Link: h, Interval: time.Millisecond}))
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	require.Len(t, h.numbers, asked+1, "and the last")
	for _, s := range quiet()[:5] {
		require.Equal(t, quiet()[0].Checkpoints, s.Checkpoints, "it waits for input and writes nothing")
		require.Equal(t, quiet()[0].Slice.Count(), s.Slice.Count(), "it does not run")
	}
}

// slowDisk takes its time for every flush.
type slowDisk struct {
	*sim.Disk
	delay time.Duration
}

func (d *slowDisk) Flush() error {
	time.Sleep(d.delay)
	return d.Disk.Flush()
}

const busy = `package main

var pages [64][4096]byte

func main() {
	for i := range 3_000_000 {
		pages[i&63][i>>6&4095]++
	}
	println("done")
}
`

// TestSlowDevice: where the device is slower than the interval, the interval stretches, and the numbers say so; the
// program runs on meanwhile.
func TestSlowDevice(t *testing.T) {
	if raceDetector {
		t.Skip("under the race detector the interpreter is slower than any device")
	}
	const delay = 8 * time.Millisecond
	d := &slowDisk{sim.FromImage(newImage(t, busy)), delay}
	h := &flowHost{t: t}
	h.idle = func() { h.ack(window) }
	h.want = -1
	require.NoError(t, Run(Config{Device: d, Link: h, Interval: time.Millisecond}))
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	s := h.numbers[len(h.numbers)-1]
	require.GreaterOrEqual(t, s.Checkpoints, uint64(3))
	require.GreaterOrEqual(t, s.Stretched, uint64(1))
	require.Less(t, s.Stretched, s.Checkpoints, "the first one was not late")
	require.Positive(t, s.StretchedNanos)
	const exact = 0.97 // of a histogram's quantiles
	require.GreaterOrEqual(t, float64(s.Commit.Quantile(0.01)), exact*float64(delay), "no commit is faster than its flush")
	require.GreaterOrEqual(t, float64(s.DurableAge.Quantile(0.01)), exact*float64(delay))
	require.Greater(t, s.Slice.Count(), s.Checkpoints, "it runs on")
}
