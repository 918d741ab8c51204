package main

import (
	"context"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// terminal is where top draws.
type terminal struct {
	in, out *os.File
	saved   *unix.Termios
}

// openTerminal returns nil if the two files are not a terminal that can show a picture.
func openTerminal(in, out *os.File) *terminal {
	saved, err := unix.IoctlGetTermios(int(in.Fd()), unix.TCGETS)
	if err != nil || os.Getenv("TERM") == "dumb" {
		return nil
	}
	if _, err := unix.IoctlGetTermios(int(out.Fd()), unix.TCGETS); err != nil {
		return nil
	}
	return &terminal{in, out, saved}
}

// Control sequences: another screen without a cursor, and back; the upper left corner; the rest of a line, of the screen.
const (
	enterScreen = "\x1b[?1049h\x1b[?25l"
	leaveScreen = "\x1b[?25h\x1b[?1049l"
	home        = "\x1b[H"
	clearLine   = "\x1b[K"
	clearRest   = "\x1b[J"
)

// watch draws a round at each interval until ctx ends or somebody presses q. Signals and ctx leave the terminal as it was.
func (t *terminal) watch(ctx context.Context, w *watcher, interval time.Duration) error {
	raw := *t.saved
	raw.Lflag &^= unix.ICANON | unix.ECHO
	raw.Cc[unix.VMIN], raw.Cc[unix.VTIME] = 1, 0
	if err := unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, &raw); err != nil {
		return &exitError{exitUnavailable, err}
	}
	defer unix.IoctlSetTermios(int(t.in.Fd()), unix.TCSETS, t.saved) //nolint:errcheck // nothing can be done
	if _, err := t.out.WriteString(enterScreen); err != nil {
		return &exitError{exitUnavailable, err}
	}
	defer t.out.WriteString(leaveScreen) //nolint:errcheck // nothing can be done
	keys := make(chan byte)
	go t.keys(keys)
	tick := time.NewTicker(interval)
	defer tick.Stop()
	// An instance that does not answer must not keep keys waiting.
	rounds, asking := make(chan []sample, 1), true
	ask := func() { rounds <- w.round() }
	go ask()
	var all []sample
	for chosen := 0; ; {
		if err := t.draw(all, chosen); err != nil {
			return &exitError{exitUnavailable, err}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
			if !asking {
				asking = true
				go ask()
			}
		case all = <-rounds:
			asking = false
		case k := <-keys:
			switch k {
			case 'q', 0:
				return nil
			case 'j', 'B': // also the last byte of the arrow's sequence
				chosen = max(min(chosen+1, len(all)-1), 0)
			case 'k', 'A':
				chosen = max(chosen-1, 0)
			}
		}
	}
}

// keys passes on what is typed, 0 when the terminal goes away. It ends with the process.
func (t *terminal) keys(out chan<- byte) {
	var b [1]byte
	for {
		if n, err := t.in.Read(b[:]); n != 1 || err != nil {
			out <- 0
			return
		}
		out <- b[0]
	}
}

// draw shows a round; the terminal's size may have changed.
func (t *terminal) draw(all []sample, chosen int) error {
	width, height := 80, 24
	if size, err := unix.IoctlGetWinsize(int(t.out.Fd()), unix.TIOCGWINSZ); err == nil && size.Col > 0 && size.Row > 0 {
		width, height = int(size.Col), int(size.Row)
	}
	var b strings.Builder
	b.WriteString(home)
	for i, l := range render(all, chosen, width, height) {
		if i > 0 {
			b.WriteString("\r\n")
		}
		b.WriteString(l + clearLine)
	}
	b.WriteString(clearRest)
	_, err := t.out.WriteString(b.String())
	return err
}
