package objectvm

import (
	"bytes"
	"math/bits"

	"phantomvm/bytecode"
)

// Natives over memory: allocation, moves, searches.

// rawType reads size and pointerness of a descriptor that a program made at run time. The descriptor is the program's:
// nothing but the size is taken from it, and every word of such an object may be a pointer.
func (vm *VM) rawType(word uint64) *TypeInfo {
	if t := vm.typeAt(word); t != nil {
		return t
	}
	a := Addr(word)
	if a < DataBase || a&7 != 0 || !vm.checkRange(a, abiTypeSize) {
		return nil
	}
	size := ld64(a + abiSize)
	if size > maxTypeSize {
		return nil
	}
	return &TypeInfo{Kind: bytecode.Struct, Size: size, Align: 8, PtrBytes: alignUp(size, 8)}
}

func nativeNewObject(vm *VM, args, res []uint64) Outcome {
	t := vm.rawType(args[0])
	if t == nil {
		return vm.nilTrap()
	}
	a, ok := vm.newObject(t)
	if !ok {
		return Retry
	}
	res[0] = uint64(a)
	return Done
}

func nativeNewArray(vm *VM, args, res []uint64) Outcome {
	t := vm.rawType(args[0])
	if t == nil {
		return vm.nilTrap()
	}
	if hi, n := bits.Mul64(t.Size, args[1]); hi != 0 || n > maxAlloc || int64(args[1]) < 0 {
		return vm.trap(bytecode.TrapMakeSliceLen, 0, 0, 0, 0, 0)
	}
	a, ok := vm.newArray(t, args[1])
	if !ok {
		return Retry
	}
	res[0] = uint64(a)
	return Done
}

func nativeMemmove(vm *VM, args, _ []uint64) Outcome {
	n := args[2]
	if n == 0 {
		return Done
	}
	if !vm.checkRange(Addr(args[1]), n) || !vm.checkStore(Addr(args[0]), n) {
		return vm.nilTrap()
	}
	vm.charge(n)
	copy(bytesAt(Addr(args[0]), n), bytesAt(Addr(args[1]), n))
	return Done
}

func nativeMemclr(vm *VM, args, _ []uint64) Outcome {
	if n := args[1]; n != 0 {
		if !vm.checkStore(Addr(args[0]), n) {
			return vm.nilTrap()
		}
		vm.charge(n)
		clear(bytesAt(Addr(args[0]), n))
	}
	return Done
}

// two is what a search over one or two byte strings needs: their bytes, or a trap.
func (vm *VM) two(ap, an, bp, bn uint64) (a, b []byte, ok bool) {
	a, ok1 := vm.memBytes(ap, an)
	b, ok2 := vm.memBytes(bp, bn)
	return a, b, ok1 && ok2
}

func (vm *VM) search(p, n uint64, res []uint64, f func(b []byte) int) Outcome {
	b, ok := vm.memBytes(p, n)
	if !ok {
		return vm.nilTrap()
	}
	res[0] = uint64(int64(f(b)))
	return Done
}

func nativeIndexByte(vm *VM, args, res []uint64) Outcome {
	return vm.search(args[0], args[1], res, func(b []byte) int { return bytes.IndexByte(b, byte(args[3])) })
}

func nativeIndexByteString(vm *VM, args, res []uint64) Outcome {
	return vm.search(args[0], args[1], res, func(b []byte) int { return bytes.IndexByte(b, byte(args[2])) })
}

func nativeCount(vm *VM, args, res []uint64) Outcome {
	return vm.search(args[0], args[1], res, func(b []byte) int { return bytes.Count(b, []byte{byte(args[3])}) })
}

func nativeCountString(vm *VM, args, res []uint64) Outcome {
	return vm.search(args[0], args[1], res, func(b []byte) int { return bytes.Count(b, []byte{byte(args[2])}) })
}

func nativeCompare(vm *VM, args, res []uint64) Outcome {
	a, b, ok := vm.two(args[0], args[1], args[3], args[4])
	if !ok {
		return vm.nilTrap()
	}
	res[0] = uint64(int64(bytes.Compare(a, b)))
	return Done
}

func nativeIndex(vm *VM, args, res []uint64) Outcome {
	a, b, ok := vm.two(args[0], args[1], args[3], args[4])
	if !ok {
		return vm.nilTrap()
	}
	res[0] = uint64(int64(indexBytes(a, b)))
	return Done
}

func nativeIndexString(vm *VM, args, res []uint64) Outcome {
	a, b, ok := vm.two(args[0], args[1], args[2], args[3])
	if !ok {
		return vm.nilTrap()
	}
	res[0] = uint64(int64(indexBytes(a, b)))
	return Done
}

// nativeUnsafeSlice: pointer, length, element size.
func nativeUnsafeSlice(vm *VM, args, res []uint64) Outcome {
	if out := vm.checkUnsafe(args[0], args[1], args[2], textSliceLen); out != Done {
		return out
	}
	res[0], res[1], res[2] = args[0], args[1], args[1]
	return Done
}

func nativeUnsafeString(vm *VM, args, res []uint64) Outcome {
	if out := vm.checkUnsafe(args[0], args[1], 1, textStringLen); out != Done {
		return out
	}
	res[0], res[1] = args[0], args[1]
	return Done
}

// checkUnsafe makes the checks of unsafe.Slice and unsafe.String: a length that is negative or does not fit, or a nil pointer with a length.
// text is that of the first error; the second's follows.
func (vm *VM) checkUnsafe(p, n, size uint64, text int) Outcome {
	hi, total := bits.Mul64(n, size)
	switch {
	case int64(n) < 0 || hi != 0 || p != 0 && total > -p || total > maxAlloc:
		return vm.trapText(text)
	case p == 0 && n != 0:
		return vm.trapText(text + 1)
	}
	return Done
}

// nativeComplexDiv is Go's complex division; the compiler of this VM has the same rules for infinities and NaN.
func nativeComplexDiv(_ *VM, args, res []uint64) Outcome {
	q := complex(fl(args[0]), fl(args[1])) / complex(fl(args[2]), fl(args[3]))
	res[0], res[1] = flBits(real(q)), flBits(imag(q))
	return Done
}

func nativeEfaceEq(vm *VM, args, res []uint64) Outcome { return vm.ifaceWordsEqual(args, res, false) }

func nativeIfaceEq(vm *VM, args, res []uint64) Outcome { return vm.ifaceWordsEqual(args, res, true) }

func (vm *VM) ifaceWordsEqual(args, res []uint64, itab bool) Outcome {
	if args[0] != args[2] || args[0] == 0 {
		res[0] = b2w(args[0] == args[2])
		return Done
	}
	vm.rt.work = maxEqWork
	eq, ok := vm.eqDynamic(vm.dynamicOf(args[0], itab), Addr(args[1]), Addr(args[3]), 0)
	if !ok {
		return vm.raise()
	}
	res[0] = b2w(eq)
	return Done
}
