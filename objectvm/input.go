package objectvm

import "errors"

// Standard input. How far the program has read is in the header; what comes next is asked of Config.Input. A source that
// has nothing yet says ErrNoInput: the goroutine parks, and WakeInput makes it ask again.

// ErrNoInput is returned by an InputSource that has no byte at the position yet.
var ErrNoInput = errors.New("no input yet")

// input reads standard input; n = 0 is its end. wait: there is none yet, nothing was changed.
func (vm *VM) input(p []byte) (n int, wait bool) {
	if vm.cfg.Input == nil || len(p) == 0 {
		return 0, false
	}
	pos := hget(hdrInput)
	n, err := vm.cfg.Input.ReadAt(p, int64(pos))
	if n <= 0 {
		return 0, errors.Is(err, ErrNoInput)
	}
	n = min(n, len(p))
	vm.hset(hdrInput, pos+uint64(n))
	return n, false
}

// parkInput parks the running goroutine until WakeInput; the caller returns Blocked.
func (vm *VM) parkInput() {
	vm.park(whyInput, 0)
	vm.waitIO(0)
}

// WakeInput makes goroutines that wait for input ask for it again.
func (vm *VM) WakeInput() { vm.wakeIO(0) }
