package monitor

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
)

// at makes the numbers of a machine that began at 100 s, makes ten checkpoints a second, and sends them at second s.
func at(s float64) *wire.Stats {
	return &wire.Stats{Began: 100e9, At: int64(s * 1e9), Checkpoints: uint64((s - 100) * 10)}
}

func TestRecentNumbers(t *testing.T) {
	var h history
	all, last := h.get()
	require.Nil(t, all)
	require.Nil(t, last)
	h.add(at(103))
	_, last = h.get()
	require.Equal(t, int64(100e9), last.Began, "all that there is")
	require.Equal(t, uint64(30), last.Checkpoints)
	for s := 104.0; s < 200; s += 1.01 {
		h.add(at(s))
		h.add(at(s + 0.1)) // somebody asked
		all, last = h.get()
		require.Equal(t, int64((s+0.1)*1e9), all.At)
		window := float64(last.At-last.Began) / 1e9
		if s > 115 {
			require.GreaterOrEqual(t, window, 10.0)
			require.Less(t, window, 12.1)
		}
		require.InDelta(t, 10*window, float64(last.Checkpoints), 1.1)
		require.LessOrEqual(t, len(h.copies), kept)
	}
	all.Checkpoints += 5
	h.add(&wire.Stats{Began: 100e9, At: 5000e9, Checkpoints: all.Checkpoints}) // it was idle for more than an hour
	_, last = h.get()
	require.InDelta(t, 6, float64(last.Checkpoints), 1)
	require.Greater(t, last.At-last.Began, int64(4500e9))
}

func TestClockGoesBack(*testing.T) {
	var h history
	for _, s := range []float64{200, 190, 150, 300, 100, 1e9} {
		h.add(at(max(s, 100)))
		h.get() // whatever it says
	}
}

// TestAskForNumbers: who wants numbers gets new ones, many share a question, and a machine that is silent or gone keeps nobody.
func TestAskForNumbers(t *testing.T) {
	h, _ := newTestHost(t, Options{Began: time.Unix(100, 0)})
	p := &fakePeer{messages: make(chan []byte, 10)}
	done := make(chan error, 1)
	go func() {
		_, err := h.serve(p, nil)
		done <- err
	}()
	p.say(t, &wire.Message{Kind: wire.Started, Status: &wire.Status{FirstInstr: 100_250_000_000}})
	got := make(chan Numbers, 5)
	for range 5 {
		go func() { got <- h.numbers() }()
	}
	p.await(t, func(m *wire.Message) bool { return m.Kind == wire.Ask })
	p.say(t, &wire.Message{Kind: wire.Numbers, Stats: at(101)})
	for range 5 {
		n := <-got
		require.Equal(t, uint64(10), n.All.Checkpoints)
		require.Equal(t, uint64(10), n.Recent.Checkpoints)
		require.Equal(t, 250*time.Millisecond, n.Start)
	}
	time.Sleep(2 * fresh)
	n := h.numbers() // nobody answers
	require.Equal(t, uint64(10), n.All.Checkpoints, "the old ones")
	p.say(t, &wire.Message{Kind: wire.Numbers, Stats: at(102)}, ended)
	require.NoError(t, <-done)
	require.Equal(t, uint64(20), h.numbers().All.Checkpoints, "the last ones")
	h.close()
}

// acks returns the offsets that were acknowledged of a stream.
func (p *fakePeer) acks(stream uint8) (list []int64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, m := range p.got {
		if m.Kind == wire.Ack && m.Stream == stream {
			list = append(list, m.Offset)
		}
	}
	return list
}

// TestFewAcknowledgements: each is a flush of a log, which output in small pieces does not cost. A machine that waits for
// nothing else, or has sent much, gets them at once.
func TestFewAcknowledgements(t *testing.T) {
	h, _ := newTestHost(t, Options{})
	p := &fakePeer{messages: make(chan []byte, 10)}
	done := make(chan error, 1)
	go func() {
		_, err := h.serve(p, nil)
		done <- err
	}()
	sent := int64(0)
	say := func(n int) {
		p.say(t, &wire.Message{Kind: wire.Output, Offset: sent, Data: make([]byte, n)})
		sent += int64(n)
	}
	began := time.Now()
	for range 1000 {
		say(10)
	}
	p.say(t, &wire.Message{Kind: wire.Waiting})
	p.await(t, func(m *wire.Message) bool { return m.Kind == wire.Ack && m.Offset == sent })
	require.LessOrEqual(t, len(p.acks(0)), 6+int(time.Since(began)/syncDelay), "1000 messages")
	for range 3 {
		say(syncBytes)
		p.await(t, func(m *wire.Message) bool { return m.Kind == wire.Ack && m.Offset == sent })
	}
	p.say(t, ended)
	require.NoError(t, <-done)
	h.close()
}

// TestAcknowledgedInTheEnd: a little output is acknowledged although nothing follows.
func TestAcknowledgedInTheEnd(t *testing.T) {
	h, _ := newTestHost(t, Options{})
	p := &fakePeer{messages: make(chan []byte, 10)}
	done := make(chan error, 1)
	go func() {
		_, err := h.serve(p, nil)
		done <- err
	}()
	for n := int64(0); n < 3; n++ {
		p.say(t, &wire.Message{Kind: wire.Output, Offset: n, Data: []byte("x")})
		p.await(t, func(m *wire.Message) bool { return m.Kind == wire.Ack && m.Offset == n+1 })
	}
	p.say(t, ended)
	require.NoError(t, <-done)
	h.close()
}
