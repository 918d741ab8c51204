package machine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// flowHost is a host that takes its time. Everything happens in the machine's goroutine: idle is called when the
// machine has nothing to do before it hears of the host.
type flowHost struct {
	t     *testing.T
	files console
	begin [wire.Streams]int64 // where output of this life began
	got   [wire.Streams]int64 // and how far it has come
	acked [wire.Streams]int64
	inbox
	want     int64 // input that the program waits for, -1 if none
	started  *wire.Status
	end      *wire.Message
	held     uint64 // the most output that waited for a checkpoint
	messages int
	numbers  []*wire.Stats
	idle     func()
	onStart  func()
}

func (h *flowHost) Send(b []byte) error {
	m, err := wire.Decode(b)
	require.NoError(h.t, err)
	h.messages++
	if m.Status != nil {
		h.held = max(h.held, m.Status.HeldBack)
	}
	switch m.Kind {
	case wire.Started:
		h.started = m.Status
		if h.onStart != nil {
			h.onStart()
		}
	case wire.Output:
		if h.got[m.Stream] == 0 {
			h.begin[m.Stream] = m.Offset
		}
		require.LessOrEqual(h.t, m.Offset+int64(len(m.Data))-max(h.acked[m.Stream], h.begin[m.Stream]), int64(window))
		return h.files.put(m, &h.got)
	case wire.WantInput:
		h.want = m.Offset
	case wire.Numbers:
		h.numbers = append(h.numbers, m.Stats)
	case wire.Ended:
		h.end = m
	}
	return nil
}

func (h *flowHost) say(m *wire.Message) {
	b, err := wire.Encode(m)
	require.NoError(h.t, err)
	h.in = append(h.in, b)
}

// ack acknowledges at most n bytes more of each stream.
func (h *flowHost) ack(n int64) {
	for s := range h.files {
		if upto := min(max(h.acked[s], h.begin[s])+n, h.got[s]); upto > h.acked[s] {
			h.acked[s] = upto
			h.say(&wire.Message{Kind: wire.Ack, Stream: uint8(s), Offset: upto})
		}
	}
}

func (h *flowHost) Wait(until time.Time, wake <-chan struct{}) {
	d := 20 * time.Millisecond
	if !until.IsZero() {
		d = min(d, time.Until(until))
	}
	select {
	case <-wake:
	case <-time.After(d):
		if until.IsZero() {
			h.idle()
		}
	}
}

func (h *flowHost) run(d *sim.Disk, gone <-chan struct{}) {
	h.want = -1
	h.files = h.files.upto(delivered((*[wire.Streams][]byte)(&h.files)))
	require.NoError(h.t, Run(Config{Device: d, Link: h, Interval: time.Millisecond, Delivered: delivered((*[wire.Streams][]byte)(&h.files)), Gone: gone}))
	require.NotNil(h.t, h.end)
}

const chatter = `package main

import "syscall"

func main() {
	done := make(chan bool)
	for g := range 3 {
		go func() {
			line := []byte("goroutine x says a line of some length to standard output\n")
			line[10] = byte('a' + g)
			for range 6000 {
				syscall.Write(1, line)
			}
			done <- true
		}()
	}
	for i := range 30000 {
		println("number", i)
	}
	for range 3 {
		<-done
	}
}
`

// TestBackPressure: a host that acknowledges late and little gets everything, and a machine that is never heard
// holds no more than its rings and does not busy itself.
func TestBackPressure(t *testing.T) {
	rng := newRand(t)
	d := sim.FromImage(newImage(t, chatter))
	h := &flowHost{t: t}
	quiet := 0
	h.idle = func() {
		if quiet++; quiet < 4 { // the first time all rings are full
			return
		}
		require.Less(t, d.Len(), 4000)
		h.ack(1 + rng.Int64N(2*window))
	}
	h.run(d, nil)
	require.Equal(t, wire.Exited, h.end.Status.State, h.end.Reason)
	require.LessOrEqual(t, h.held, uint64(2*256<<10))
	require.Greater(t, quiet, 4)
	for g := range 3 {
		line := "goroutine " + string(rune('a'+g)) + " says a line of some length to standard output\n"
		require.Equal(t, 6000, strings.Count(string(h.files[0]), line))
	}
	require.Len(t, h.files[0], 3*6000*58)
	n := 0
	for line := range strings.Lines(string(h.files[1])) {
		require.Equal(t, "number "+itoa(n)+"\n", line)
		n++
	}
	require.Equal(t, 30000, n)
}

func itoa(n int) string {
	if n < 10 {
		return string(rune('0' + n))
	}
	return itoa(n/10) + string(rune('0'+n%10))
}

// TestHostNeverAnswers: nothing is acknowledged, a stop is asked for, then the host is gone. The next one gets all.
func TestHostNeverAnswers(t *testing.T) {
	d := sim.FromImage(newImage(t, chatter))
	h, gone := &flowHost{t: t}, make(chan struct{})
	quiet := 0
	h.idle = func() {
		switch quiet++; quiet {
		case 2:
			h.say(&wire.Message{Kind: wire.Stop})
		case 5:
			close(gone)
		}
	}
	h.run(d, gone)
	require.Equal(t, wire.Failed, h.end.Status.State)
	require.Contains(t, h.end.Reason, errGone.Error())
	next := &flowHost{t: t, files: h.files}
	next.idle = func() { next.ack(window) }
	next.run(d, nil)
	require.Equal(t, wire.Exited, next.end.Status.State, next.end.Reason)
	require.Len(t, next.files[0], 3*6000*58)
}

const upper = `package main

import "syscall"

func main() {
	b := make([]byte, 300)
	for total := 0; ; {
		n, _ := syscall.Read(0, b)
		if n <= 0 {
			println("end after", total)
			syscall.Exit(6)
		}
		total += n
		for i, c := range b[:n] {
			if 'a' <= c && c <= 'z' {
				b[i] = c - 32
			}
		}
		syscall.Write(1, b[:n])
	}
}
`

// TestInput gives input late and in pieces, over many lives that are stopped in the middle.
func TestInput(t *testing.T) {
	rng := newRand(t)
	d := sim.FromImage(newImage(t, upper))
	text := make([]byte, 20000)
	for i := range text {
		text[i] = byte('a' + rng.IntN(26))
	}
	var files console
	for life := 0; ; life++ {
		require.Less(t, life, 200)
		h, pieces := &flowHost{t: t, files: files}, rng.IntN(20)
		h.idle = func() {
			h.ack(window)
			switch {
			case len(h.in) > 0:
			case pieces == 0 && life < 10:
				pieces = -1
				h.say(&wire.Message{Kind: wire.Stop})
			case h.want >= 0:
				pieces--
				n := min(int64(1+rng.IntN(3000)), int64(len(text))-h.want)
				h.say(&wire.Message{Kind: wire.Input, Offset: h.want, Data: text[h.want : h.want+n], EOF: h.want+n == int64(len(text)) && rng.IntN(2) == 0 || n == 0})
				h.want = -1
			}
		}
		h.run(d, nil)
		files = h.files
		if h.end.Status.State == wire.Exited {
			require.Equal(t, 6, h.end.Status.ExitCode)
			break
		}
		require.Equal(t, wire.Stopped, h.end.Status.State, h.end.Reason)
	}
	require.Equal(t, strings.ToUpper(string(text)), string(files[0]))
	require.Equal(t, "end after 20000\n", string(files[1]))
}

func TestInputNobodyAskedFor(t *testing.T) {
	image := newImage(t, upper)
	for _, off := range []int64{0, 5, 1<<63 - 1} {
		h := &flowHost{t: t}
		h.say(&wire.Message{Kind: wire.Input, Offset: off, Data: []byte("x")})
		h.run(sim.FromImage(bytes.Clone(image)), nil)
		require.Equal(t, wire.Failed, h.end.Status.State)
		require.Contains(t, h.end.Reason, "not asked for")
	}
}

// TestEndedProgram: the host dies before the last output is delivered. The next run delivers it with the same exit
// code and executes nothing.
func TestEndedProgram(t *testing.T) {
	image := newImage(t, workers)
	want, code := undisturbed(t, image)
	d := sim.FromImage(bytes.Clone(image))
	h, gone := &flowHost{t: t}, make(chan struct{})
	h.idle = func() {
		if st, err := Inspect(sim.FromImage(d.Image())); err == nil && st.State == wire.Exited {
			close(gone)
		}
	}
	h.run(d, gone)
	require.Equal(t, wire.Failed, h.end.Status.State)
	st, err := Inspect(d)
	require.NoError(t, err)
	for cut, files := range []console{{}, h.files.upto([wire.Streams]int64{100, 50}), h.files, want} {
		d := sim.FromImage(d.Image())
		for again := range 2 {
			next := live(t, rand.New(rand.NewPCG(1, uint64(cut))), d, files)
			(&cutter{t: t, want: want, code: code}).check(next, persist.Epoch(st.Epoch))
			require.Equal(t, st.Incarnation, next.end.Status.Incarnation)
			files = next.files
			if again == 1 {
				require.Zero(t, next.end.Status.Checkpoints, "nothing left to do")
			}
		}
	}
}

// TestNewerImages: what a newer program wrote is refused as such, and not written to.
func TestNewerImages(t *testing.T) {
	image := newImage(t, upper)
	good := rootMeta{State: wire.Stopped}
	meta, err := good.encode()
	require.NoError(t, err)
	for name, c := range map[string]struct {
		versions persist.Versions
		meta     any
		want     string
	}{
		"arena layout":    {versions: persist.Versions{ArenaLayout: versions.ArenaLayout + 1, InstructionSet: versions.InstructionSet}, want: "arena layout"},
		"instruction set": {versions: persist.Versions{ArenaLayout: versions.ArenaLayout, InstructionSet: versions.InstructionSet + 1}, want: "instruction set"},
		"metadata":        {versions: versions, meta: []any{metaVersion + 1, "another", map[string]int{"shape": 1}}, want: "metadata has version 2"},
		"no metadata":     {versions: versions, meta: "nonsense", want: errMeta.Error()},
		"bad state":       {versions: versions, meta: &rootMeta{Version: 1, State: wire.Failed}, want: errMeta.Error()},
		"wrong ends":      {versions: versions, meta: &rootMeta{Version: 1, State: wire.Stopped, Ends: [wire.Streams]int64{1 << 40, -1}}, want: errMeta.Error()},
	} {
		t.Run(name, func(t *testing.T) {
			d := sim.FromImage(bytes.Clone(image))
			store, _, err := persist.Open(d)
			require.NoError(t, err)
			store.SetVersions(c.versions)
			b := meta
			if c.meta != nil {
				b, err = msgpack.Marshal(c.meta)
				require.NoError(t, err)
			}
			_, err = store.Commit(b, nil)
			require.NoError(t, err)
			before := d.Image()
			h := &flowHost{t: t}
			h.run(d, nil)
			require.Equal(t, wire.Failed, h.end.Status.State)
			require.Contains(t, h.end.Reason, c.want)
			require.Nil(t, h.started)
			if name != "wrong ends" { // found only when the arena is there
				require.True(t, bytes.Equal(before, d.Image()), "the image was written to")
				_, err = Inspect(d)
				require.Error(t, err)
			}
		})
	}
}

func TestNewerFormat(t *testing.T) {
	image := newImage(t, upper)
	sum := crc32.MakeTable(crc32.Castagnoli)
	for _, off := range []int{0, 15 * persist.BlockSize} { // the superblock and its copy, see docs/format.md
		b := image[off : off+persist.BlockSize]
		binary.LittleEndian.PutUint32(b[8:], persist.FormatVersion+1)
		binary.LittleEndian.PutUint32(b[4092:], crc32.Checksum(b[:4092], sum))
	}
	d := sim.FromImage(bytes.Clone(image))
	h := &flowHost{t: t}
	h.run(d, nil)
	require.Equal(t, wire.Failed, h.end.Status.State)
	require.Contains(t, h.end.Reason, fmt.Sprintf("format version %d", persist.FormatVersion+1))
	require.True(t, bytes.Equal(image, d.Image()), "the image was written to")
	_, err := Inspect(d)
	require.ErrorIs(t, err, persist.ErrVersion)
}

// lateHost acknowledges only when the machine says that it waits for it.
type lateHost struct {
	flowHost
	asked int
	stop  bool
}

func (h *lateHost) Send(b []byte) error {
	if err := h.flowHost.Send(b); err != nil {
		return err
	}
	if m, _ := wire.Decode(b); m.Kind == wire.Waiting { //nolint:errcheck // flowHost decoded it
		h.asked++
		h.ack(1 << 40)
	}
	if h.stop && len(h.files[1]) > 0 {
		h.stop = false
		h.say(&wire.Message{Kind: wire.Stop})
	}
	return nil
}

// TestHurry: a machine that ends, or is stopped, asks for the acknowledgements that it still needs.
func TestHurry(t *testing.T) {
	d := sim.FromImage(newImage(t, alone))
	var files console
	for _, stop := range []bool{true, false} {
		h := &lateHost{flowHost: flowHost{t: t, files: files}, stop: stop}
		h.idle = func() {}
		require.NoError(t, Run(Config{Device: d, Link: h, Interval: time.Millisecond, Delivered: delivered((*[wire.Streams][]byte)(&h.files))}))
		want := wire.Exited
		if stop {
			want = wire.Stopped
		}
		require.Equal(t, want, h.end.Status.State, h.end.Reason)
		require.Equal(t, 1, h.asked)
		files = h.files
	}
	require.Equal(t, "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n", string(files[1]))
}
