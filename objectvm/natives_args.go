package objectvm

import "fmt"

// Command-line arguments are part of the state: a program that goes on has those with which it began.
// They lie in META as a count word and, for each, a length word and the bytes, padded to words.

const (
	rtArgs    = metaNatives + 64<<10
	rtArgsEnd = metaNatives + 1<<20
)

// saveArgs stores the arguments of a new program.
func (vm *VM) saveArgs(list []string) error {
	at := rtArgs + 8
	for _, s := range list {
		n := alignUp(uint64(len(s)), 8)
		if uint64(rtArgsEnd-at) < n+8 {
			return fmt.Errorf("%w: arguments too long", ErrModule)
		}
		vm.touch(at, n+8)
		st64(at, uint64(len(s)))
		copy(bytesAt(at+8, uint64(len(s))), s)
		at += Addr(n) + 8
	}
	vm.touch(rtArgs, 8)
	st64(rtArgs, uint64(len(list)))
	return nil
}

// arg is argument i.
func (vm *VM) arg(i uint64) ([]byte, bool) {
	if i >= ld64(rtArgs) {
		return nil, false
	}
	at := rtArgs + 8
	for ; ; i-- {
		n := ld64(at)
		if n > uint64(rtArgsEnd-at)-8 {
			return nil, false
		}
		if i == 0 {
			return bytesAt(at+8, n), true
		}
		if at += 8 + Addr(alignUp(n, 8)); at > rtArgsEnd-8 {
			return nil, false
		}
	}
}

// nativeArg gives a command-line argument.
func nativeArg(vm *VM, args, res []uint64) Outcome {
	s, ok := vm.arg(args[0])
	if !ok {
		return Done
	}
	if out := vm.retString(res, s); out != Done {
		return out
	}
	res[2] = 1
	return Done
}
