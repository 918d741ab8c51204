package main

import (
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

// sayReady tells the command that detached this one that the program runs. From then on nobody reads this
// process's standard error.
func sayReady() {
	fd, err := strconv.Atoi(os.Getenv(readyEnv))
	if err != nil {
		return
	}
	os.Unsetenv(readyEnv)
	f := os.NewFile(uintptr(fd), "ready")
	if f == nil {
		return
	}
	if null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0); err == nil {
		unix.Dup2(int(null.Fd()), 2) //nolint:errcheck // the old one would do until somebody writes
		null.Close()
	}
	f.WriteString(ready + "\n") //nolint:errcheck // the other side may have gone; the program runs all the same
	f.Close()
}
