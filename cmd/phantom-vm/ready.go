package main

import (
	"os"
	"strconv"
)

// sayReady tells the command that detached this one that the program runs.
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
	f.WriteString("ready\n") //nolint:errcheck // the other side may have gone; the program runs all the same
	f.Close()
}
