package monitor

import (
	"bytes"
	"embed"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/objectvm/machine/wire"
)

// fakePeer is a machine made of a list of messages.
type fakePeer struct {
	messages chan []byte
	mu       sync.Mutex
	got      []*wire.Message
	blocked  chan struct{} // if set, Send waits for it
}

func (p *fakePeer) Messages() <-chan []byte { return p.messages }

func (p *fakePeer) Send(b []byte) error {
	if p.blocked != nil {
		<-p.blocked
		return errors.New("gone")
	}
	m, err := wire.Decode(b)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.got = append(p.got, m)
	return err
}

func (p *fakePeer) say(t *testing.T, msgs ...*wire.Message) {
	for _, m := range msgs {
		b, err := wire.Encode(m)
		require.NoError(t, err)
		p.messages <- b
	}
}

// await waits for a message to the machine.
func (p *fakePeer) await(t *testing.T, what func(*wire.Message) bool) {
	for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
		p.mu.Lock()
		for _, m := range p.got {
			if what(m) {
				p.mu.Unlock()
				return
			}
		}
		p.mu.Unlock()
		require.True(t, time.Now().Before(deadline), "no such message to the machine")
	}
}

func newInstance(t *testing.T, fill func(*instance.Instance) error) *instance.Instance {
	inst, err := instance.Create(filepath.Join(t.TempDir(), "i.phantom"), instance.Record{Name: "p"}, fill)
	require.NoError(t, err)
	t.Cleanup(inst.Close)
	return inst
}

// shown is a terminal.
type shown struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *shown) Write(b []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(b)
}

func (s *shown) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func newTestHost(t *testing.T, opts Options) (*host, *instance.Instance) {
	if opts.Stdout == nil {
		opts.Stdout = &shown{}
	}
	opts.Stderr = &shown{}
	inst := newInstance(t, func(*instance.Instance) error { return nil })
	h, err := newHost(inst, opts)
	require.NoError(t, err)
	return h, inst
}

var ended = &wire.Message{Kind: wire.Ended, Status: &wire.Status{State: wire.Exited, ExitCode: 3}}

func TestServe(t *testing.T) {
	out, log := &shown{}, &shown{}
	var started wire.Status
	h, inst := newTestHost(t, Options{
		Stdin: strings.NewReader("input"), Stdout: out, Log: log, OnStart: func(s wire.Status) { started = s },
	})
	p := &fakePeer{messages: make(chan []byte, 10)}
	type result struct {
		end *ending
		err error
	}
	done := make(chan result, 1)
	stop := make(chan struct{}, 1)
	go func() {
		end, err := h.serve(p, stop)
		done <- result{end, err}
	}()
	p.say(t, &wire.Message{Kind: wire.Started, Status: &wire.Status{Epoch: 9}},
		&wire.Message{Kind: wire.Note, Reason: "found\x1b[2J something"},
		&wire.Message{Kind: wire.Output, Data: []byte("hello ")},
		&wire.Message{Kind: wire.Output, Data: []byte("hello world"), Offset: 0},
		&wire.Message{Kind: wire.WantInput, Offset: 0})
	p.await(t, func(m *wire.Message) bool { return m.Kind == wire.Ack && m.Stream == 0 && m.Offset == 11 })
	p.await(t, func(m *wire.Message) bool { return m.Kind == wire.Input && string(m.Data) == "input" })
	stop <- struct{}{}
	p.await(t, func(m *wire.Message) bool { return m.Kind == wire.Stop })
	p.say(t, &wire.Message{Kind: wire.Progress, Status: &wire.Status{Epoch: 10}}, ended)
	r := <-done
	h.close()
	require.NoError(t, r.err)
	require.Equal(t, 3, r.end.status.ExitCode)
	require.Equal(t, uint64(9), started.Epoch)
	require.Equal(t, "hello world", out.String(), "shown once")
	b, err := os.ReadFile(inst.Path("console.log"))
	require.NoError(t, err)
	require.Equal(t, "hello world", string(b))
	require.Equal(t, "phantom-vm: found\uFFFD[2J something\n", log.String(), "nothing a terminal would obey")
}

// badHistogram is a message with numbers of which one histogram is noise.
func badHistogram(t *testing.T) []byte {
	s := new(wire.Stats)
	for range 77 {
		s.Flip.Record(12345)
	}
	good, err := s.Flip.MarshalBinary()
	require.NoError(t, err)
	b, err := wire.Encode(&wire.Message{Kind: wire.Numbers, Stats: s})
	require.NoError(t, err)
	require.Equal(t, 1, bytes.Count(b, good))
	return bytes.Replace(b, good, bytes.Repeat([]byte{0xff}, len(good)), 1)
}

// TestHostileMachine: what a machine may not say ends its run with an error, at once.
func TestHostileMachine(t *testing.T) {
	enc := func(m *wire.Message) []byte {
		b, err := wire.Encode(m)
		require.NoError(t, err)
		return b
	}
	for name, bad := range map[string][]byte{
		"empty":           {},
		"noise":           []byte("\xff\xfe\xfd noise"),
		"too long":        make([]byte, wire.MaxMessage+1),
		"output hole":     enc(&wire.Message{Kind: wire.Output, Offset: 12, Data: []byte("x")}),
		"far output":      enc(&wire.Message{Kind: wire.Output, Offset: 1<<63 - 1, Data: []byte("x")}),
		"no such stream":  enc(&wire.Message{Kind: wire.Output, Stream: 9}),
		"the host's kind": enc(&wire.Message{Kind: wire.Ack}),
		"no status":       enc(&wire.Message{Kind: wire.Ended}),
		"ended running":   enc(&wire.Message{Kind: wire.Ended, Status: &wire.Status{State: wire.Running}}),
		"ended somehow":   enc(&wire.Message{Kind: wire.Ended, Status: &wire.Status{State: 77}}),
		"numbers without": enc(&wire.Message{Kind: wire.Numbers}),
		"bad histogram":   badHistogram(t),
		"the host's Ask":  enc(&wire.Message{Kind: wire.Ask}),
		"input too far":   enc(&wire.Message{Kind: wire.WantInput, Offset: 1 << 40}),
	} {
		t.Run(name, func(t *testing.T) {
			h, _ := newTestHost(t, Options{})
			defer h.close()
			p := &fakePeer{messages: make(chan []byte, 2)}
			p.say(t, &wire.Message{Kind: wire.Started, Status: &wire.Status{}})
			p.messages <- bad
			end, err := h.serve(p, nil)
			require.Error(t, err)
			require.Nil(t, end)
		})
	}
	t.Run("silence", func(t *testing.T) {
		h, _ := newTestHost(t, Options{})
		defer h.close()
		p := &fakePeer{messages: make(chan []byte)}
		close(p.messages)
		_, err := h.serve(p, nil)
		require.ErrorIs(t, err, errVanished)
	})
	t.Run("input flood", func(t *testing.T) {
		h, _ := newTestHost(t, Options{})
		defer h.close()
		p := &fakePeer{messages: make(chan []byte, 100)}
		for range 90 {
			p.say(t, &wire.Message{Kind: wire.WantInput})
		}
		p.say(t, ended)
		_, err := h.serve(p, nil)
		require.NoError(t, err)
	})
}

// TestMachineThatDoesNotListen: an acknowledgement that nobody takes must not keep serve from ending the machine.
func TestMachineThatDoesNotListen(t *testing.T) {
	h, _ := newTestHost(t, Options{})
	p := &fakePeer{messages: make(chan []byte, 4), blocked: make(chan struct{})}
	p.say(t, &wire.Message{Kind: wire.Output, Data: []byte("x")})
	done := make(chan error, 1)
	go func() {
		_, err := h.serve(p, nil)
		done <- err
	}()
	time.Sleep(20 * time.Millisecond) // the acknowledgement is under way
	p.messages <- []byte("noise")
	select {
	case err := <-done:
		require.Error(t, err)
	case <-time.After(10 * time.Second):
		t.Error("serve hangs")
	}
	close(p.blocked) // the machine is stopped
	h.close()
}

func TestConsoleOnFullDisk(t *testing.T) {
	if _, err := os.Stat("/dev/full"); err != nil {
		t.Skip(err)
	}
	inst := newInstance(t, func(*instance.Instance) error { return nil })
	require.NoError(t, os.Symlink("/dev/full", inst.Path("console.log")))
	h, err := newHost(inst, Options{Stdout: &shown{}, Stderr: &shown{}})
	require.NoError(t, err)
	defer h.close()
	p := &fakePeer{messages: make(chan []byte, 4)}
	p.say(t, &wire.Message{Kind: wire.Output, Data: []byte("x")})
	_, err = h.serve(p, nil)
	require.ErrorContains(t, err, "no space")
}

// TestGuestPeerGone: the tender's goroutine that delivers a message is set free when nobody listens any more.
func TestGuestPeerGone(t *testing.T) {
	p := &guestPeer{messages: make(chan []byte, 1), gone: make(chan struct{})}
	p.receive([]byte("one"))
	done := make(chan struct{})
	go func() {
		p.receive([]byte("two"))
		close(done)
	}()
	select {
	case <-done:
		t.Error("there was no room")
	case <-time.After(10 * time.Millisecond):
	}
	close(p.gone)
	<-done
	require.Equal(t, "one", string(<-p.messages))
}

func TestNoKernel(t *testing.T) {
	saved := kernelFiles
	defer func() { kernelFiles = saved }()
	kernelFiles = embed.FS{}
	require.ErrorIs(t, KernelPresent(), ErrNoKernel)
	_, err := runKVM(nil, nil, Options{}, nil)
	require.ErrorIs(t, err, ErrNoKernel)
}
