// Package phantom is what a program may say to the Phantom VM that runs it.
//
// phantom-vm provides this package itself, for programs of any module, as it
// does the standard library: nothing has to be required or downloaded. What
// lies here are its counterparts for the go command, which build the same
// program for the machine at hand.
package phantom

// Sync returns when everything that the program has done before the call is
// durable: its whole state, and what it has written to standard output and
// standard error. After a kill or a power failure the program goes on at a
// moment that is not before the return of any Sync.
//
// Many goroutines in Sync share one checkpoint, and other goroutines go on
// running meanwhile. A program that never calls Sync is checkpointed all the
// same; what it shows to the outside is always held back until it is durable.
// Sync is for the rare case in which the program itself has to know.
//
// In a program that the go command has built nothing survives its process:
// Sync returns at once.
func Sync() {}
