package main

import (
	"fmt"
	"os"
	"time"

	"phantomvm/hypervisor/guest"
	"phantomvm/objectvm/machine/wire"
)

// consoleLink is the host's side where there is no host to speak of: a tender
// with a console only. Output counts as delivered once it is printed.
type consoleLink struct {
	pending [][]byte // for Recv
	code    int      // of the program, when it has ended
}

// Send does what the message asks for.
func (l *consoleLink) Send(b []byte) error {
	m, err := wire.Decode(b)
	if err != nil {
		return err
	}
	switch m.Kind {
	case wire.Output:
		out := os.Stdout
		if m.Stream == wire.Stderr {
			out = os.Stderr
		}
		if _, err := out.Write(m.Data); err != nil {
			return err
		}
		return l.answer(&wire.Message{Kind: wire.Ack, Stream: m.Stream, Offset: m.Offset + int64(len(m.Data))})
	case wire.WantInput:
		return l.answer(&wire.Message{Kind: wire.Input, Offset: m.Offset, EOF: true})
	case wire.Ended:
		l.code = m.Status.ExitCode
		if m.Status.State == wire.Failed {
			l.code = exitFailed
			fmt.Fprintln(os.Stderr, "phantom-vm guest:", m.Reason)
		}
	}
	return nil
}

func (l *consoleLink) answer(m *wire.Message) error {
	b, err := wire.Encode(m)
	if err == nil {
		l.pending = append(l.pending, b)
	}
	return err
}

// Recv returns the answer to what was sent.
func (l *consoleLink) Recv() ([]byte, bool) {
	if len(l.pending) == 0 {
		return nil, false
	}
	b := l.pending[0]
	l.pending = l.pending[1:]
	return b, true
}

// Wait sleeps; messages come only as answers.
func (l *consoleLink) Wait(until time.Time, wake <-chan struct{}) {
	if len(l.pending) == 0 {
		sleep(until, wake, nil)
	}
}

// channelLink is the link to a host that speaks the extension.
type channelLink struct{ *guest.Channel }

// Wait sleeps until a message may have come, until wake or the time. Recv was called before and found nothing.
func (l channelLink) Wait(until time.Time, wake <-chan struct{}) { sleep(until, wake, l.Ready()) }

func sleep(until time.Time, a, b <-chan struct{}) {
	var timer <-chan time.Time
	if !until.IsZero() {
		t := time.NewTimer(time.Until(until))
		defer t.Stop()
		timer = t.C
	}
	select {
	case <-a:
	case <-b:
	case <-timer:
	}
}
