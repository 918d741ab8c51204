package main

import (
	"errors"
	"os"
	"syscall"

	"phantomvm/objectvm"
)

// triedEnv counts starts of this command that found the arena's addresses taken.
const triedEnv = "PHANTOM_ADDRESS_TRIES"

// clearAddresses makes sure that the arena's fixed addresses are free. Go may have put its heap there, at a
// random address: then the command starts again, and the heap lies elsewhere.
func clearAddresses() error {
	arena, err := objectvm.MapArena()
	if err == nil {
		os.Unsetenv(triedEnv)
		return arena.Unmap()
	}
	tries := os.Getenv(triedEnv)
	if !errors.Is(err, objectvm.ErrMapped) || len(tries) >= 10 {
		return err
	}
	self, xerr := os.Executable()
	if xerr != nil {
		return errors.Join(err, xerr)
	}
	os.Setenv(triedEnv, tries+"1")
	return errors.Join(err, syscall.Exec(self, os.Args, os.Environ()))
}
