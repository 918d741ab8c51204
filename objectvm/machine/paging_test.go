package machine

import (
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/objectvm/paging"
	"phantomvm/persist"
	"phantomvm/persist/filedev"
)

// visits makes a heap of pages and then visits it at random.
const visits = `package main

import "syscall"

type page struct{ id, next uint64; rest [510]uint64 }

func main() {
	all := make([]*page, PAGES)
	for i := range all {
		all[i] = &page{id: uint64(i)}
	}
	println("made")
	for round := range 4 {
		x, sum := uint64(round)+1, uint64(0)
		for range 20000 {
			x = x*6364136223846793005 + 1442695040888963407
			p := all[x>>33%PAGES]
			if p.id != x>>33%PAGES {
				println("wrong page", p.id)
				syscall.Exit(3)
			}
			sum += p.id
		}
		println(round, sum)
	}
	syscall.Exit(0)
}
`

// pagedDisk is a new instance of visits with a heap of so many pages.
func pagedDisk(t *testing.T, src string, pages int) *filedev.Device {
	dev, err := filedev.Create(filepath.Join(t.TempDir(), "disk.img"), 2<<30)
	require.NoError(t, err)
	t.Cleanup(func() { dev.Close() })
	module := compile(t, strings.ReplaceAll(src, "PAGES", strconv.Itoa(pages)))
	require.NoError(t, Create(dev, module, Options{InstanceID: [16]byte{9}, ArenaLimit: 1 << 30}))
	return dev
}

// countingDevice counts the blocks that are read from it, both ways.
type countingDevice struct {
	*filedev.Device
	blocks atomic.Int64
	broken atomic.Bool // reads of pages fail
}

func (d *countingDevice) ReadAt(b []byte, off int64) (int, error) {
	d.blocks.Add(int64(len(b)+persist.BlockSize-1) / persist.BlockSize)
	return d.Device.ReadAt(b, off)
}

// paging pages from d within limit bytes, or loads everything if that is not possible here.
func (d *countingDevice) paging(t *testing.T, limit uint64) *Paging {
	return &Paging{Limit: limit, Hard: 2 * limit, Platform: func(r []paging.Range) (paging.Platform, error) {
		p, err := paging.NewProcess(r, d.Descriptor())
		if err != nil {
			t.Skipf("SKIPPED: %v", err)
		}
		read := p.Read
		p.Read = func(off int64, dst, n uintptr) bool {
			d.blocks.Add(int64(n / persist.BlockSize))
			return !d.broken.Load() && read(off, dst, n)
		}
		return p, nil
	}}
}

// numbersLink is a testLink that asks for numbers with every output.
type numbersLink struct {
	testLink
	numbers []*wire.Stats
}

func (l *numbersLink) Send(b []byte) error {
	if m, err := wire.Decode(b); err == nil {
		switch m.Kind {
		case wire.Numbers:
			l.numbers = append(l.numbers, m.Stats)
		case wire.Output:
			l.answer(&wire.Message{Kind: wire.Ask})
		}
	}
	return l.testLink.Send(b)
}

// TestResumeReadsLittle counts what a resume reads before the first instruction, for a small heap and for a large one.
func TestResumeReadsLittle(t *testing.T) {
	if raceDetector {
		t.Skip("demand paging is off under the race detector")
	}
	endless := strings.Replace(visits, `println("made")`, "println(\"made\")\n\tfor len(all) > 0 {\n\t}", 1)
	var blocks []int64
	for _, pages := range []int{512, 32768} {
		dev := &countingDevice{Device: pagedDisk(t, endless, pages)}
		var out [wire.Streams][]byte
		l := &testLink{out: &out, stopAt: len("made\n")}
		require.NoError(t, Run(Config{Device: dev, Link: l, Interval: time.Millisecond, Paging: dev.paging(t, 64<<20)}))
		require.Equal(t, wire.Stopped, l.end.Status.State, l.end.Reason)
		l = &testLink{out: &out}
		l.answer(&wire.Message{Kind: wire.Stop})
		dev.blocks.Store(0)
		require.NoError(t, Run(Config{Device: dev, Link: l, Delivered: delivered(&out), Paging: dev.paging(t, 64<<20)}))
		require.Equal(t, wire.Stopped, l.end.Status.State, l.end.Reason)
		t.Logf("a heap of %d MiB: %d blocks read", pages>>8, dev.blocks.Load())
		blocks = append(blocks, dev.blocks.Load())
	}
	require.Less(t, blocks[1], blocks[0]+300, "what is read grows with the heap")
}

// TestPagedRun visits a heap four times as large as memory: every page is what it should be, memory stays within its limit, and
// slices end although each waits for pages.
func TestPagedRun(t *testing.T) {
	if raceDetector {
		t.Skip("demand paging is off under the race detector")
	}
	const limit = 16 << 20
	dev := &countingDevice{Device: pagedDisk(t, visits, 16384)}
	var out [wire.Streams][]byte
	l := &numbersLink{testLink: testLink{out: &out}}
	require.NoError(t, Run(Config{Device: dev, Link: l, Interval: 2 * time.Millisecond, Paging: dev.paging(t, limit)}))
	require.NotNil(t, l.end)
	require.Equal(t, wire.Exited, l.end.Status.State, l.end.Reason)
	require.Zero(t, l.end.Status.ExitCode, string(out[1]))
	require.Equal(t, 5, strings.Count(string(out[1]), "\n"))
	require.NotEmpty(t, l.numbers)
	last := l.numbers[len(l.numbers)-1]
	require.LessOrEqual(t, last.ResidentPages, uint64(2*limit>>12))
	require.Greater(t, last.Evicted, uint64(16384), "evictions")
	require.Greater(t, last.MajorFaults, uint64(10000), "pages that were read")
	require.Greater(t, last.Slice.Count(), uint64(30), "slices")
	require.Equal(t, last.PageWaits, last.PageWait.Count())
	rep, err := persist.Fsck(dev, nil)
	require.NoError(t, err)
	require.Empty(t, rep.Problems)
}

// TestPageCannotBeRead lets the device fail while the program runs: the run ends with an error, and a later one goes on.
func TestPageCannotBeRead(t *testing.T) {
	if raceDetector {
		t.Skip("demand paging is off under the race detector")
	}
	dev := &countingDevice{Device: pagedDisk(t, visits, 8192)}
	var out [wire.Streams][]byte
	l := &breakingLink{testLink: testLink{out: &out}, dev: dev}
	require.NoError(t, Run(Config{Device: dev, Link: l, Interval: time.Millisecond, Paging: dev.paging(t, 8<<20)}))
	require.Equal(t, wire.Failed, l.end.Status.State)
	require.Regexp(t, `page 0x[0-9a-f]+ can't be read: .*at offset 0x`, l.end.Reason)
	require.False(t, l.end.Damaged)
	dev.broken.Store(false)
	again := &testLink{out: &out}
	require.NoError(t, Run(Config{Device: dev, Link: again, Delivered: delivered(&out), Paging: dev.paging(t, 8<<20)}))
	require.Equal(t, wire.Exited, again.end.Status.State, again.end.Reason)
	require.Zero(t, again.end.Status.ExitCode, string(out[1]))
	require.Equal(t, 5, strings.Count(string(out[1]), "\n"))
}

// breakingLink breaks the device at the first output.
type breakingLink struct {
	testLink
	dev *countingDevice
}

func (l *breakingLink) Send(b []byte) error {
	if m, err := wire.Decode(b); err == nil && m.Kind == wire.Output {
		l.dev.broken.Store(true)
	}
	return l.testLink.Send(b)
}

// TestPagingUnavailable sees that a run without demand paging loads everything and says so.
func TestPagingUnavailable(t *testing.T) {
	dev := pagedDisk(t, visits, 64)
	var out [wire.Streams][]byte
	l := &noteLink{testLink: testLink{out: &out}}
	none := func([]paging.Range) (paging.Platform, error) { return paging.Platform{}, paging.ErrUnavailable }
	require.NoError(t, Run(Config{Device: dev, Link: l, Paging: &Paging{Limit: 1 << 20, Platform: none}}))
	require.Equal(t, wire.Exited, l.end.Status.State, l.end.Reason)
	require.Len(t, l.notes, 1)
	require.Contains(t, l.notes[0], "all pages of the arena are loaded")
}

type noteLink struct {
	testLink
	notes []string
}

func (l *noteLink) Send(b []byte) error {
	if m, err := wire.Decode(b); err == nil && m.Kind == wire.Note {
		l.notes = append(l.notes, m.Reason)
	}
	return l.testLink.Send(b)
}
