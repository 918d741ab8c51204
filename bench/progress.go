package main

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// progress shows on a terminal what is being measured; elsewhere it is silent.
type progress struct {
	name     string
	began    time.Time
	terminal bool
}

func newProgress(name string) *progress {
	_, err := unix.IoctlGetTermios(int(os.Stderr.Fd()), unix.TCGETS)
	return &progress{name, time.Now(), err == nil}
}

func (p *progress) say(format string, args ...any) {
	if p.terminal {
		fmt.Fprintf(os.Stderr, "\r\x1b[K%s %3.0f s: %s", p.name, time.Since(p.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

func (p *progress) end() {
	if p.terminal {
		fmt.Fprint(os.Stderr, "\r\x1b[K")
	}
}
