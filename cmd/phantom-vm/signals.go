package main

import (
	"context"
	"errors"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"

	"golang.org/x/sys/unix"
)

// catchSignals cancels the context at the first SIGINT, SIGTERM, SIGHUP or SIGPIPE (the reader of
// the output went away); a second SIGINT, SIGTERM or SIGHUP kills as usual.
func catchSignals(parent context.Context) (ctx context.Context, stop func(), caught func() os.Signal) {
	ctx, cancel := context.WithCancel(parent)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	var got atomic.Pointer[os.Signal]
	go func() {
		for {
			select {
			case s := <-signals:
				if s == syscall.SIGPIPE && !outputGone() {
					continue // it was another connection, such as a disk's server
				}
				got.Store(&s)
				signal.Reset(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
				cancel()
			case <-ctx.Done():
			}
			return
		}
	}()
	return ctx, func() { signal.Stop(signals); cancel() }, func() os.Signal {
		if s := got.Load(); s != nil {
			return *s
		}
		return nil
	}
}

// outputGone says whether the reader of standard output or error has gone.
func outputGone() bool {
	fds := []unix.PollFd{{Fd: 1}, {Fd: 2}}
	n, err := unix.Poll(fds, 0)
	for errors.Is(err, unix.EINTR) {
		n, err = unix.Poll(fds, 0)
	}
	return n > 0 && (fds[0].Revents|fds[1].Revents)&(unix.POLLERR|unix.POLLHUP) != 0
}
