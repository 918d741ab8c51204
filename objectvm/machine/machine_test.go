package machine

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
	"phantomvm/persist/filedev"
)

// counting prints 1 to 30000, a number a line, to standard error, with work between the lines.
const counting = `
module count go="go1.26"
file "count.go"
entry main
native vm.print 3 0
native vm.exit 1 0

func work frame=12 args=1 results=1 file=0 line=1 {
	maps auto
	jgei r3, 2, recurse
	ret1 r3
recurse:
	addi r11, r3, -1
	call r8, r4, work
	addi r11, r3, -2
	call r8, r5, work
	add  r4, r4, r5
	ret1 r4
}

func main frame=16 args=0 results=0 file=0 line=10 {
	maps auto
	ldi  r6, 1
loop:
	ldi  r15, 12
	call r12, r7, work
	ldi  r3, 1
	mov  r4, r6
	native r0, r3, vm.print
	ldi  r3, 9
	native r0, r3, vm.print
	addi r6, r6, 1
	jleib r6, 30000, loop
	ldi  r3, 7
	native r0, r3, vm.exit
	ret
}
`

// testLink is a host that keeps what it is told. stopAt makes it ask to stop when so many bytes are out.
type testLink struct {
	inbox
	out    *[wire.Streams][]byte
	stopAt int
	end    *wire.Message
	got    [wire.Streams]int64
	bad    error
}

func (l *testLink) Send(b []byte) error {
	m, err := wire.Decode(b)
	if err != nil {
		return err
	}
	switch m.Kind {
	case wire.Output:
		if err := (*console)(l.out).put(m, &l.got); err != nil {
			l.bad = err
		}
		l.answer(&wire.Message{Kind: wire.Ack, Stream: m.Stream, Offset: l.got[m.Stream]})
		if l.stopAt > 0 && len(l.out[0])+len(l.out[1]) >= l.stopAt {
			l.answer(&wire.Message{Kind: wire.Stop})
			l.stopAt = 0
		}
	case wire.Ended:
		l.end = m
	}
	return nil
}

func (l *testLink) answer(m *wire.Message) {
	b, err := wire.Encode(m)
	if err != nil {
		l.bad = err
	}
	l.in = append(l.in, b)
}

// inbox is what a host of a test has to say: the half of a link that the machine reads.
type inbox struct{ in [][]byte }

func (b *inbox) Recv() ([]byte, bool) {
	if len(b.in) == 0 {
		return nil, false
	}
	m := b.in[0]
	b.in = b.in[1:]
	return m, true
}

func (b *inbox) Wait(until time.Time, wake <-chan struct{}) {
	if len(b.in) > 0 {
		return
	}
	d := time.Second
	if !until.IsZero() {
		d = min(d, time.Until(until))
	}
	select {
	case <-wake:
	case <-time.After(d):
	}
}

func assemble(t *testing.T, src string) []byte {
	m, err := bytecode.Assemble(src)
	require.NoError(t, err)
	b, err := bytecode.Encode(m)
	require.NoError(t, err)
	return b
}

// newDisk makes a device with a new instance of the module on it.
func newDisk(t *testing.T, module []byte) *filedev.Device {
	dev, err := filedev.Create(filepath.Join(t.TempDir(), "disk.img"), 1<<30)
	require.NoError(t, err)
	t.Cleanup(func() { dev.Close() })
	require.NoError(t, Create(dev, module, Options{InstanceID: [16]byte{1}, ArenaLimit: 64 << 20}))
	return dev
}

func delivered(out *[wire.Streams][]byte) (n [wire.Streams]int64) {
	for s := range out {
		n[s] = int64(len(out[s]))
	}
	return n
}

func TestStopAndResume(t *testing.T) {
	if raceDetector {
		t.Skip("the interpreter is too slow under the race detector")
	}
	dev := newDisk(t, assemble(t, counting))
	var out [wire.Streams][]byte
	for life := uint64(1); ; life++ {
		require.Less(t, life, uint64(100), "no end")
		l := &testLink{out: &out, stopAt: len(out[0]) + len(out[1]) + 20000}
		require.NoError(t, Run(Config{Device: dev, Link: l, Interval: time.Millisecond, Delivered: delivered(&out), Durable: true}))
		require.NoError(t, l.bad)
		require.NotNil(t, l.end)
		st, err := Inspect(dev)
		require.NoError(t, err)
		require.Equal(t, l.end.Status.State, st.State)
		require.Equal(t, life, st.Incarnation)
		rep, err := persist.Fsck(dev, nil)
		require.NoError(t, err)
		require.Empty(t, rep.Problems)
		if st.State == wire.Exited {
			require.Equal(t, 7, st.ExitCode)
			t.Logf("%d lives", life) // how many depends on how fast the disk is
			break
		}
		require.Equal(t, wire.Stopped, st.State, l.end.Reason)
	}
	lines := strings.Split(strings.TrimSpace(string(out[1])), "\n")
	require.Len(t, lines, 30000)
	for i, line := range lines {
		require.Equal(t, fmt.Sprint(i+1), line)
	}
}

func TestOutputFilesThatDisagree(t *testing.T) {
	dev := newDisk(t, assemble(t, strings.Replace(counting, "jleib r6, 30000, loop", "jneib r6, 0, loop", 1)))
	var out [wire.Streams][]byte
	l := &testLink{out: &out, stopAt: 1000}
	require.NoError(t, Run(Config{Device: dev, Link: l, Interval: time.Millisecond}))
	require.Equal(t, wire.Stopped, l.end.Status.State)
	for want, have := range map[error]int64{ErrOutputCut: 1, ErrOutputAhead: 1 << 30} {
		l := &testLink{out: &out}
		require.NoError(t, Run(Config{Device: dev, Link: l, Delivered: [wire.Streams]int64{0, have}}))
		require.Equal(t, wire.Failed, l.end.Status.State)
		require.Contains(t, l.end.Reason, want.Error())
	}
}

func TestNotAModule(t *testing.T) {
	dev, err := filedev.Create(filepath.Join(t.TempDir(), "disk.img"), 1<<30)
	require.NoError(t, err)
	defer dev.Close()
	require.Error(t, Create(dev, []byte("not a module"), Options{}))
}
