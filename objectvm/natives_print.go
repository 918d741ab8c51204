package objectvm

import (
	"math"
	"strconv"
)

func fl(w uint64) float64     { return math.Float64frombits(w) }
func flBits(f float64) uint64 { return math.Float64bits(f) }

// Parts of the print builtin, as vm.print's first argument numbers them.
const (
	printBool = iota
	printInt
	printUint
	printFloat
	printComplex
	printString
	printPointer
	printHex
	printSpace
	printNewline
	printSlice
	printIface
	printFloat32
	printComplex64
)

// nativePrint writes one part of a print statement to standard error, in the form of gc's print.
func nativePrint(vm *VM, args, _ []uint64) Outcome {
	var buf [64]byte
	out := buf[:0]
	x, y := args[1], args[2]
	switch args[0] {
	case printBool:
		out = strconv.AppendBool(out, x&0xff != 0)
	case printInt:
		out = strconv.AppendInt(out, int64(x), 10)
	case printUint:
		out = strconv.AppendUint(out, x, 10)
	case printFloat:
		out = appendFloat(out, fl(x), 64)
	case printComplex:
		out = appendComplex(out, fl(x), fl(y), 64)
	case printString:
		s, ok := vm.memBytes(x, y)
		if !ok {
			return vm.nilTrap()
		}
		out = s
	case printPointer, printHex:
		out = appendHex(out, x)
	case printSpace:
		out = append(out, ' ')
	case printNewline:
		out = append(out, '\n')
	case printSlice:
		out = appendHex(append(strconv.AppendUint(append(out, '['), y, 10), ']'), x)
	case printFloat32: // the value as a float64
		out = appendFloat(out, fl(x), 32)
	case printComplex64:
		out = appendComplex(out, fl(x), fl(y), 32)
	case printIface:
		out = append(appendHex(append(appendHex(append(out, '('), x), ','), y), ')')
	}
	return vm.writeAll(2, out)
}

func appendHex(out []byte, x uint64) []byte { return strconv.AppendUint(append(out, "0x"...), x, 16) }

// appendFloat writes a float as gc's print does (since go1.26: the shortest form); bits is 32 or 64.
func appendFloat(out []byte, f float64, bits int) []byte {
	return strconv.AppendFloat(out, f, 'g', -1, bits)
}

func appendComplex(out []byte, re, im float64, bits int) []byte {
	out = appendFloat(append(out, '('), re, bits)
	at := len(out)
	out = appendFloat(out, im, bits)
	if c := out[at]; c != '+' && c != '-' {
		out = append(out[:at], append([]byte{'+'}, out[at:]...)...)
	}
	return append(out, 'i', ')')
}

// gwWritten counts, in the goroutine's record, the bytes of a write under way that the ring has taken.
const gwWritten = gUser + 16

// writeAll appends p to an output stream, all of it; the goroutine waits while the ring is full and goes on where it was.
func (vm *VM) writeAll(stream int, p []byte) Outcome {
	done := min(vm.gWait(vm.cur, gwWritten), uint64(len(p)))
	n := uint64(len(p)) - done
	if n > 0 {
		done += uint64(vm.output(stream, p[done:]))
	}
	if done < uint64(len(p)) {
		vm.setGWait(vm.cur, gwWritten, done)
		vm.parkOutput(stream)
		return Blocked
	}
	if vm.gWait(vm.cur, gwWritten) != 0 {
		vm.setGWait(vm.cur, gwWritten, 0)
	}
	return Done
}

// errno numbers of the system interface (WASI's).
const errBadFile = 8

// nativeWrite: fd, p, n; written and errno.
func nativeWrite(vm *VM, args, res []uint64) Outcome {
	fd := args[0]
	if fd != 1 && fd != 2 {
		res[1] = errBadFile
		return Done
	}
	p, ok := vm.memBytes(args[1], args[2])
	if !ok {
		return vm.nilTrap()
	}
	if out := vm.writeAll(int(fd), p); out != Done {
		return out
	}
	res[0] = args[2]
	return Done
}

// nativeRead: fd, p, n; got and errno.
func nativeRead(vm *VM, args, res []uint64) Outcome {
	if args[0] != 0 {
		res[1] = errBadFile
		return Done
	}
	n := min(args[2], 1<<20)
	if n == 0 {
		return Done
	}
	if !vm.checkStore(Addr(args[1]), n) {
		return vm.nilTrap()
	}
	buf := make([]byte, n)
	got, wait := vm.input(buf)
	if wait {
		vm.parkInput()
		return Blocked
	}
	vm.touch(Addr(args[1]), uint64(got))
	copy(bytesAt(Addr(args[1]), uint64(got)), buf)
	res[0] = uint64(got)
	return Done
}

func nativeExit(vm *VM, args, _ []uint64) Outcome { return vm.exit(int(int32(args[0]))) }
