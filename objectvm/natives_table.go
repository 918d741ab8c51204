package objectvm

// The table of natives: name, argument slots, result slots. docs/natives.md and docs/abi.md describe them; a test compares the three.
//
// Rules for a native: args is a private copy of the argument slots, every word of which may be anything; what it names is checked before it
// is used. A native that parks with Blocked is executed again with the same arguments.

var nativeRows = [...]native{
	// Helpers of the front end.
	{"vm.concat2", 4, 2, nativeConcat},
	{"vm.concat3", 6, 2, nativeConcat},
	{"vm.concat4", 8, 2, nativeConcat},
	{"vm.concat5", 10, 2, nativeConcat},
	{"vm.concatn", 3, 2, nativeConcatN},
	{"vm.copy", 5, 1, nativeCopy},
	{"vm.appendslice", 6, 3, nativeAppendSlice},
	{"vm.str2bytes", 2, 3, nativeStr2Bytes},
	{"vm.str2runes", 2, 3, nativeStr2Runes},
	{"vm.bytes2str", 3, 2, nativeBytes2Str},
	{"vm.runes2str", 3, 2, nativeRunes2Str},
	{"vm.rune2str", 1, 2, nativeRune2Str},
	{"vm.efaceeq", 4, 1, nativeEfaceEq},
	{"vm.ifaceeq", 4, 1, nativeIfaceEq},
	{"vm.print", 3, 0, nativePrint},
	{"vm.complexdiv", 4, 2, nativeComplexDiv},
	{"vm.memequal", 3, 1, nativeMemEqual},
	{"vm.unsafeslice", 3, 3, nativeUnsafeSlice},
	{"vm.unsafestring", 2, 2, nativeUnsafeString},
	{"vm.exit", 1, 0, nativeExit},
	{"vm.slice2arr", 4, 1, nativeSlice2Arr},

	// Memory.
	{"runtime.newobject", 1, 1, nativeNewObject},
	{"runtime.newarray", 2, 1, nativeNewArray},
	{"runtime.memmove", 3, 0, nativeMemmove},
	{"runtime.memclr", 2, 0, nativeMemclr},
	{"runtime.memequal", 3, 1, nativeMemEqual},
	{"internal/bytealg.IndexByte", 4, 1, nativeIndexByte},
	{"internal/bytealg.IndexByteString", 3, 1, nativeIndexByteString},
	{"internal/bytealg.Count", 4, 1, nativeCount},
	{"internal/bytealg.CountString", 3, 1, nativeCountString},
	{"internal/bytealg.Compare", 6, 1, nativeCompare},
	{"internal/bytealg.Index", 6, 1, nativeIndex},
	{"internal/bytealg.IndexString", 4, 1, nativeIndexString},

	// Types, interfaces, maps and channels.
	{"runtime.typebase", 0, 1, nativeTypeBase},
	{"runtime.typeat", 1, 1, nativeTypeAt},
	{"runtime.getitab", 2, 1, nativeGetItab},
	{"runtime.missingmethod", 2, 2, nativeMissingMethod},
	{"runtime.typehash", 3, 1, nativeTypeHash},
	{"runtime.makemap", 2, 1, nativeMakeMap},
	{"runtime.mapaccess", 3, 1, nativeMapAccess},
	{"runtime.mapassign", 4, 0, nativeMapAssign},
	{"runtime.mapdelete", 3, 0, nativeMapDelete},
	{"runtime.mapclear", 2, 0, nativeMapClear},
	{"runtime.mapiterinit", 3, 0, nativeMapIterInit},
	{"runtime.mapiternext", 2, 2, nativeMapIterNext},
	{"runtime.makechan", 2, 1, nativeMakeChan},
	{"runtime.chansend", 3, 1, nativeChanSend},
	{"runtime.chanrecv", 3, 2, nativeChanRecv},
	{"runtime.rselect", 3, 2, nativeSelect},

	// Goroutines, time, random numbers.
	{"runtime.Gosched", 0, 0, nativeGosched},
	{"runtime.goid", 0, 1, nativeGoID},
	{"runtime.NumGoroutine", 0, 1, nativeNumGoroutine},
	{"runtime.Goexit", 0, 0, nativeGoexit},
	{"runtime.semacquire", 2, 0, nativeSemacquire},
	{"runtime.semrelease", 1, 0, nativeSemrelease},
	{"runtime.sleep", 1, 0, nativeSleep},
	{"runtime.nanotime", 0, 1, nativeNanotime},
	{"runtime.walltime", 0, 2, nativeWalltime},
	{"runtime.timerstart", 6, 0, nativeTimerStart},
	{"runtime.timerstop", 1, 1, nativeTimerStop},
	{"runtime.rand", 0, 1, nativeRand},

	// Panics, stacks.
	{"runtime.panicinfo", 1, 3, nativePanicInfo},
	{"runtime.traceback", 1, 0, nativeTraceback},
	{"runtime.stack", 4, 1, nativeStack},
	{"runtime.callers", 3, 1, nativeCallers},
	{"runtime.pcinfo", 1, 6, nativePCInfo},
	{"runtime.exit", 1, 0, nativeExit},

	// Input, output, system.
	{"syscall.write", 3, 2, nativeWrite},
	{"syscall.read", 3, 2, nativeRead},
	{"runtime.arg", 1, 3, nativeArg},
	{"runtime.GC", 0, 0, nativeGC},
	{"phantomvm/phantom.Sync", 0, 0, nativePhantomSync},
	{"runtime.memstats", 1, 0, nativeMemStats},
}

// nativeTable gives the natives by name.
func nativeTable() map[string]*native {
	t := make(map[string]*native, len(nativeRows))
	for i := range nativeRows {
		row := nativeRows[i]
		t[row.Name] = &row
	}
	return t
}

// IsNative says whether the VM provides the function of that name.
func IsNative(name string) bool {
	for i := range nativeRows {
		if nativeRows[i].Name == name {
			return true
		}
	}
	return false
}
