// Command phantom-vm compiles Go programs to phantom bytecode and runs them in
// a virtual machine that survives kill -9. `phantom-vm help` explains it.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"phantomvm/bytecode"
	"phantomvm/objectvm"
	"phantomvm/persist"
)

// Exit codes. A program that ended passes its own code on; an uncaught panic is 2, as Go's.
const (
	exitOK          = 0
	exitCompile     = 1   // the program does not compile
	exitUsage       = 64  // wrong flags or arguments
	exitData        = 65  // a damaged, foreign or newer module, image or instance
	exitUnavailable = 69  // locked, changed since, or a monitor that can't be used
	exitFailed      = 70  // the machine could not go on; the last checkpoint is good
	exitNoSpace     = 73  // the disk is full; the last checkpoint is good
	exitDevice      = 74  // the disk failed or its server is gone; the last durable checkpoint is kept
	exitInterrupt   = 130 // Ctrl-C: checkpointed, can go on
	exitTerminate   = 143 // SIGTERM: likewise
)

// exitError is an error with the exit code that goes with it. A nil err prints nothing.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string {
	if e.err == nil {
		return fmt.Sprintf("exit code %d", e.code)
	}
	return e.err.Error()
}

func (e *exitError) Unwrap() error { return e.err }

// fail attaches an exit code to an error.
func fail(code int, format string, args ...any) error {
	return &exitError{code, fmt.Errorf(format, args...)}
}

func main() {
	os.Exit(execute(os.Args[1:]))
}

func execute(args []string) int {
	root := newRoot()
	root.SetArgs(args)
	err := root.ExecuteContext(context.Background())
	if err == nil {
		return exitOK
	}
	var e *exitError
	if !errors.As(err, &e) {
		e = &exitError{exitUsage, err}
	}
	if e.err != nil {
		fmt.Fprintln(os.Stderr, "phantom-vm:", e.err)
	}
	return e.code
}

// version is that of the module this command was built from.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "unknown"
}

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "phantom-vm",
		Short: "Run Go programs that survive kill -9",
		Long: `phantom-vm compiles an ordinary Go program to phantom bytecode and runs it in a
virtual machine whose whole state is checkpointed to a disk image every few
milliseconds. Kill it at any moment and run it again: it goes on where it was.

Exit codes: the program's own; 1 it does not compile; 2 uncaught panic;
64 usage; 65 damaged or newer file; 69 locked, changed or unavailable;
70 the machine could not go on; 73 disk full; 74 disk failed or its server lost;
130 Ctrl-C; 143 SIGTERM; 129 SIGHUP; 141 output closed.`,
		Example: `  phantom-vm run ./examples/counter       # Ctrl-C or kill -9, then the same again
  phantom-vm status counter.phantom --json
  phantom-vm build -o counter.pbc ./examples/counter && phantom-vm disasm counter.pbc`,
		Version: fmt.Sprintf("%s (instruction set %d, arena layout %d, image format %d, %s)",
			version(), bytecode.InstructionSet, objectvm.ArenaLayout, persist.FormatVersion, runtime.Version()),
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.AddCommand(newBuild(), newRun(), newStop(), newStatus(), newTop(), newConsole(),
		newDisasm(), newAsm(), newFsck(), newDoctor(), newDemo())
	return root
}
