package kern

// The Linux system calls that the Go runtime and package os make. What is not
// here is ENOSYS.
const (
	sysRead             = 0
	sysWrite            = 1
	sysClose            = 3
	sysFstat            = 5
	sysMmap             = 9
	sysMprotect         = 10
	sysMunmap           = 11
	sysRtSigaction      = 13
	sysRtSigprocmask    = 14
	sysRtSigreturn      = 15
	sysPread64          = 17
	sysSchedYield       = 24
	sysMadvise          = 28
	sysNanosleep        = 35
	sysGetpid           = 39
	sysClone            = 56
	sysExit             = 60
	sysKill             = 62
	sysUname            = 63
	sysFcntl            = 72
	sysGetuid           = 102
	sysGetgid           = 104
	sysGeteuid          = 107
	sysGetegid          = 108
	sysSigaltstack      = 131
	sysPrctl            = 157
	sysArchPrctl        = 158
	sysGettid           = 186
	sysFutex            = 202
	sysSchedGetaffinity = 204
	sysClockGettime     = 228
	sysExitGroup        = 231
	sysEpollCtl         = 233
	sysTgkill           = 234
	sysOpenat           = 257
	sysReadlinkat       = 267
	sysFaccessat        = 269
	sysEpollPwait       = 281
	sysEventfd2         = 290
	sysEpollCreate1     = 291
	sysPrlimit64        = 302
	sysGetrandom        = 318
)

// Error numbers.
const (
	ePERM      = 1
	eNOENT     = 2
	eIO        = 5
	eBADF      = 9
	eAGAIN     = 11
	eNOMEM     = 12
	eFAULT     = 14
	eEXIST     = 17
	eNODEV     = 19
	eINVAL     = 22
	eNOSYS     = 38
	eTIMEDOUT  = 110
	arenaFS    = 0x1002 // ARCH_SET_FS
	flagsRDWR  = 2
	nonBlock   = 0x800
	fcntlGetFL = 3
)

func errno(n uintptr) uintptr { return -n }

// bootThread0 tells that the runtime has set the FS base once. Later threads
// set their own, which is ignored: see sched.go.
var fsBaseSet bool

// dispatch serves the system call of the current thread, or one of this
// kernel's own (call.go).
func dispatch() {
	t := (*thread)(pointer(current))
	switch n := t.ax; n {
	case sysSchedYield:
		t.ax = 0
		schedule()
	case sysFutex:
		futex(t)
	case sysNanosleep:
		t.deadline, t.state, t.ax = deadlineAt(t.di), stateSleep, 0
		schedule()
	case sysEpollPwait:
		epollWait(t)
	case sysExit:
		t.state = stateFree
		schedule()
	case sysRtSigreturn:
		sigreturn(t)
	case sysExitGroup:
		halt(int32(t.di))
	case sysClone:
		t.ax = clone(t, t.si)
	default:
		if n >= callBase {
			t.ax = ownCall(t, n)
			return
		}
		t.ax = simple(t, n)
	}
}

// simple serves the calls that return at once.
func simple(t *thread, n uintptr) uintptr {
	switch n {
	case sysMmap:
		return mmap(t.di, t.si, t.dx, t.r10)
	case sysMunmap:
		return munmap(t.di, t.si)
	case sysMprotect:
		return mprotect(t.di, t.si, t.dx)
	case sysMadvise:
		return madvise(t.di, t.si, t.dx)
	case sysWrite:
		return write(t.di, t.si, t.dx)
	case sysRead:
		return read(t.di, t.si, t.dx)
	case sysClockGettime:
		return clockGettime(t.di, t.si)
	case sysGetrandom:
		return getrandom(t.di, t.si)
	case sysEpollCtl:
		return epollCtl(t)
	case sysRtSigaction:
		return sigaction(t.di, t.si, t.dx)
	case sysRtSigprocmask:
		if t.dx != 0 {
			store(t.dx, 0)
		}
		return 0
	case sysSigaltstack:
		return sigaltstack(t, t.di, t.si)
	case sysArchPrctl:
		return archPrctl(t.di, t.si)
	case sysSchedGetaffinity:
		if t.si < 8 {
			return errno(eINVAL)
		}
		store(t.dx, 1)
		return 8
	case sysTgkill:
		return kill(t.dx)
	case sysKill:
		return kill(t.si)
	}
	return constant(t, n)
}

// constant serves the calls whose answer does not change.
func constant(t *thread, n uintptr) uintptr {
	switch n {
	case sysClose, sysGetuid, sysGetgid, sysGeteuid, sysGetegid:
		return 0
	case sysGetpid:
		return 1
	case sysGettid:
		return t.tid
	case sysEventfd2:
		return fdEvent
	case sysEpollCreate1:
		return fdEpoll
	case sysFcntl:
		if t.si == fcntlGetFL && t.di == FDDoorbell {
			return flagsRDWR | nonBlock
		}
		if t.di > FDDoorbell {
			return errno(eBADF)
		}
		return flagsRDWR
	case sysOpenat, sysFaccessat, sysReadlinkat:
		return errno(eNOENT)
	case sysFstat, sysPread64:
		return errno(eBADF)
	case sysPrctl, sysPrlimit64:
		return errno(eINVAL)
	}
	return errno(eNOSYS)
}

// readable tells whether [a, a+n) may be read without a fault that cannot be
// served: it lies in a region that allows it, in the image, or in a stack that the
// kernel made.
func readable(a, n uintptr) bool {
	return inImage(a, n) || accessible(a, n, protRead|protWrite|protExec)
}

func writable(a, n uintptr) bool {
	return a >= dataLo && inImage(a, n) || accessible(a, n, protWrite)
}

// inImage covers the loaded image and, behind it, the first stack.
func inImage(a, n uintptr) bool {
	return a >= textLo && a < tables+bootReserve && n <= tables+bootReserve-a
}

func accessible(a, n, prot uintptr) bool {
	if n > userHi-userLo || a > userHi {
		return false
	}
	for end := a + n; a < end; {
		r := lookup(a)
		if r == nil || r.prot&prot == 0 {
			return false
		}
		a = r.hi
	}
	return true
}

func write(fd, a, n uintptr) uintptr {
	switch fd {
	case fdEvent:
		eventCount++
		return 8
	case fdStdout, fdStderr:
		if !readable(a, n) {
			return errno(eFAULT)
		}
		puts(a, n)
		return n
	}
	return errno(eBADF)
}

func read(fd, a, n uintptr) uintptr {
	switch fd {
	case fdStdin:
		return 0
	case fdEvent, FDDoorbell:
		if n < 8 || !writable(a, 8) {
			return errno(eINVAL)
		}
		if fd == fdEvent {
			if eventCount == 0 {
				return errno(eAGAIN)
			}
			store(a, eventCount)
			eventCount = 0
			return 8
		}
		e := tenderEvents()
		if e == bellGot {
			return errno(eAGAIN)
		}
		store(a, uintptr(e-bellGot))
		bellGot = e
		return 8
	}
	return errno(eBADF)
}

func clockGettime(clock, ts uintptr) uintptr {
	const realtime, realtimeCoarse = 0, 5
	v := uint64(nanos())
	if clock == realtime || clock == realtimeCoarse {
		v += wallBase
	}
	store(ts, uintptr(v/1e9))
	store(ts+8, uintptr(v%1e9))
	return 0
}

func sigaction(sig, act, old uintptr) uintptr {
	if sig >= numSignals {
		return errno(eINVAL)
	}
	if old != 0 {
		store(old, sigHandler[sig])
		store(old+8, 0)
		store(old+16, sigRestorer[sig])
		store(old+24, 0)
	}
	if act != 0 {
		sigHandler[sig], sigRestorer[sig] = load(act), load(act+16)
		if sigHandler[sig] == 1 { // SIG_IGN
			sigHandler[sig] = 0
		}
	}
	return 0
}

func sigaltstack(t *thread, ss, old uintptr) uintptr {
	const disable = 2
	if old != 0 {
		flags := uintptr(0)
		if t.altStack == 0 {
			flags = disable
		}
		store(old, t.altStack)
		store(old+8, flags)
		store(old+16, t.altSize)
	}
	if ss != 0 {
		t.altStack, t.altSize = load(ss), load(ss+16)
		if load32(ss+8)&disable != 0 {
			t.altStack, t.altSize = 0, 0
		}
	}
	return 0
}

func archPrctl(op, base uintptr) uintptr {
	if op != arenaFS {
		return errno(eINVAL)
	}
	if !fsBaseSet {
		fsBaseSet = true
		ring0(gateSetFS, base)
	}
	return 0
}

// kill is how the runtime ends a process that cannot go on, and how it asks
// for preemption, which a cooperative kernel ignores.
func kill(sig uintptr) uintptr {
	switch sig {
	case sigABRT, sigSEGV, sigBUS, sigFPE, sigILL, sigTRAP, 9, 15:
		halt(int32(128 + sig))
	}
	return 0
}
