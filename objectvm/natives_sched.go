package objectvm

// Natives of goroutines, time and random numbers.

func nativeGosched(*VM, []uint64, []uint64) Outcome { return Yielded }

func nativeGoID(vm *VM, _, res []uint64) Outcome {
	res[0] = vm.goID(vm.cur)
	return Done
}

func nativeNumGoroutine(_ *VM, _, res []uint64) Outcome {
	res[0] = hget(hdrGLive)
	return Done
}

func nativeGoexit(vm *VM, _, _ []uint64) Outcome { return vm.goexit() }

func nativeNanotime(vm *VM, _, res []uint64) Outcome {
	res[0] = uint64(max(vm.mono(), 1))
	vm.keepMono()
	return Done
}

func nativeWalltime(vm *VM, _, res []uint64) Outcome {
	now := vm.now()
	sec, nsec := now/1e9, now%1e9
	if nsec < 0 {
		sec, nsec = sec-1, nsec+1e9
	}
	res[0], res[1] = uint64(sec), uint64(nsec)
	return Done
}

func nativeRand(vm *VM, _, res []uint64) Outcome {
	res[0] = vm.rand64()
	return Done
}
