package objectvm

import "fmt"

// What comes back from disk is checked where it is used first, not when the VM is built: a look at everything would read everything. A
// record that contradicts itself or its neighbours ends the run with an error; whoever finds it goes on with a value that
// harms nobody until the slice is over.

// damaged records that the arena's bytes can't be right.
func (vm *VM) damaged(format string, args ...any) {
	if vm.stop.err == nil {
		vm.stop.err = fmt.Errorf("%w: "+format, append([]any{ErrArena}, args...)...)
	}
	hot().fuel = -1
}
