package kern

import "phantomvm/hypervisor/abi"

// Arguments of hypercalls. They lie in static data, which is identity mapped
// below 4 GiB, so that their addresses are physical. One set is enough: nothing
// else runs between filling one in and the OUT.
var (
	argWall   [abi.WallTimeSize / 8]uintptr
	argPuts   [abi.PutsSize / 8]uintptr
	argPoll   [abi.PollSize / 8]uintptr
	argBlock  [abi.BlockSize / 8]uintptr
	argHalt   [abi.HaltSize / 8]uintptr
	argSetup  [abi.ExtSetupSize / 8]uintptr
	argRandom [abi.EntropySize / 8]uintptr

	msgSmall = [44]byte([]byte("guest: out of memory: the image needs more.\n"))

	putsBuffer [4096]byte
	digits     [20]byte
	polls      uint64 // how often the kernel had nothing to run
)

func hypercall(n abi.Hypercall, arg uintptr) {
	outl(abi.HypercallPort+uint16(n), uint32(arg))
}

// puts copies to static memory first: the text may lie anywhere.
func puts(a, n uintptr) {
	for n > 0 {
		c := min(n, uintptr(len(putsBuffer)))
		copyBytes(addr(&putsBuffer), a, c)
		argPuts[0], argPuts[1] = addr(&putsBuffer), c
		hypercall(abi.HypercallPuts, addr(&argPuts))
		a += c
		n -= c
	}
}

func halt(status int32) {
	argHalt[0], argHalt[1] = 0, uintptr(uint32(status))
	for {
		hypercall(abi.HypercallHalt, addr(&argHalt))
	}
}

func wallTime() uint64 {
	hypercall(abi.HypercallWallTime, addr(&argWall))
	return uint64(argWall[0])
}

// resync takes the wall clock from the tender. The monotonic clock goes on.
func resync() {
	w := wallTime()
	lastResync = nanos()
	wallBase = w - uint64(lastResync)
}

var lastResync int64

// resyncInterval bounds how far the wall clock drifts from the tender's. The
// TSC's frequency is known to 1 kHz, which is up to a microsecond a second.
const resyncInterval = 60e9

func poll(timeout uint64) {
	argPoll[0] = uintptr(timeout)
	polls++
	hypercall(abi.HypercallPoll, addr(&argPoll))
}

// block transfers n bytes at the physical address data.
func block(call abi.Hypercall, handle, offset, data, n uintptr) uintptr {
	argBlock[0], argBlock[1], argBlock[2], argBlock[3], argBlock[4] = handle, offset, data, n, 0
	hypercall(call, addr(&argBlock))
	switch abi.Result(uint32(argBlock[4])) {
	case abi.ResultOK:
		return 0
	case abi.ResultEINVAL:
		return errno(eINVAL)
	}
	return errno(eIO)
}

func print(s string) { puts(stringData(s), uintptr(len(s))) }

func printHex(v uintptr) {
	for i := uintptr(0); i < 16; i++ {
		store8(addr(&digits)+i, hexDigit(v>>(60-4*i)&15))
	}
	puts(addr(&digits), 16)
}

func hexDigit(v uintptr) byte {
	if v < 10 {
		return byte('0' + v)
	}
	return byte('a' + v - 10)
}

func printDec(v uintptr) {
	i := uintptr(len(digits))
	for {
		i--
		store8(addr(&digits)+i, byte('0'+v%10))
		if v /= 10; v == 0 || i == 0 {
			break
		}
	}
	puts(addr(&digits)+i, uintptr(len(digits))-i)
}
