package kern

import (
	"unsafe"

	"phantomvm/hypervisor/abi"
)

func stringData(s string) uintptr { return uintptr(unsafe.Pointer(unsafe.StringData(s))) }

// boot is the first Go code, at CPL3 on the kernel's stack. The address of
// every package variable lies in the identity map.
func boot() {
	loadAddresses()
	setTraps()
	setMemory()
	setClock()
	negotiate()
	if !haveRandom && extFeatures&uint32(abi.ExtEntropy) == 0 {
		print("guest: no entropy: the processor has no RDRAND and the tender offers none\n")
		halt(abi.ExitNoEntropy)
	}
	threads[0].state = stateRunnable
	threads[0].tid = 1
	topThread, lastThread = 1, 1
	current = addr(&threads)
	setProcess()
	active = true
}

// setTraps fills in what the processor reads on exceptions and port accesses.
func setTraps() {
	for i := uintptr(tssHeader); i < tssSize+8; i++ {
		store8(addr(&tss)+i, 0xff)
	}
	// Ports 0x500-0x6ff are open: those of hypercalls and of Solo5's ring.
	for p := uintptr(abi.HypercallPort); p < 0x700; p += 8 {
		store8(addr(&tss)+tssHeader+p/8, 0)
	}
	store8(addr(&tss)+102, tssHeader)
	store(addr(&tss)+4, addr(&rsp0)+istSize)
	store(addr(&tss)+36, addr(&ist1)+istSize)
	store(addr(&tss)+44, addr(&ist2)+istSize)
	for v := uintptr(0); v < 32; v++ {
		a := vectors[v]
		ist, dpl := uintptr(1), uintptr(0)
		switch {
		case v == 3:
			ist, dpl = 0, 3
		case v == 8 || a == 0:
			ist = 2
		}
		if a == 0 {
			a = vectors[8]
		}
		idt[2*v] = uint64(a&0xffff | 0x08<<16 | ist<<32 | (0x8e|dpl<<5)<<40 | (a>>16&0xffff)<<48)
		idt[2*v+1] = uint64(a >> 32)
	}
	g := addr(&trapG)
	store(g, addr(&trapStack))
	store(g+8, addr(&trapStack)+trapStackSize)
	store(g+16, addr(&trapStack)+1024)
	store(g+24, addr(&trapStack)+1024)
	trapFrame = [5]uintptr{trapEntry, selCode3, 2, addr(&trapStack) + trapStackSize - 64, selData3}
}

// setMemory completes the identity map, gives the image its protections and
// unmaps what no one may touch.
func setMemory() {
	const nxBit = 20
	if cpuidExt>>nxBit&1 != 0 {
		noExecute = entryNX
	}
	size := load(bootInfo + abi.BootMemSizeOff)
	physStart = tables + bootReserve
	physNext, physEnd = physStart, alignDown(size, smallPage)-smallPage
	k := tables
	imageTop := alignUp(tables+bootReserve, largePage)
	for i := uintptr(0); i < (size+largePage-1)/largePage; i++ {
		bits := entryTable | entryLarge | noExecute
		if i*largePage < imageTop {
			bits &^= entryNX // this very code runs there
		}
		store(k+0x2000+i*8, i*largePage|bits)
	}
	for i := uintptr(1); i < 4; i++ {
		store(k+0x1000+i*8, (k+0x2000+i*0x1000)|entryTable)
	}
	// The first 2 MiB in small pages: boot info is read-only, the null page
	// and the tender's tables are gone.
	for a := uintptr(abi.BootInfoAddr); a < largePage; a += smallPage {
		bits := entryTable | noExecute
		if a < abi.MinLoadAddr {
			bits &^= entryWrite
		}
		store(k+0x6000+a/smallPage*8, a|bits)
	}
	store(k+0x2000, (k+0x6000)|entryTable)
	zeroPage = alloc4k()
	dataLo = alignUp(dataLo, smallPage)
	code := entryPresent | entryUser
	data := entryTable | noExecute
	protectImage(alignDown(textLo, smallPage), alignDown(rodataLo, smallPage), code)
	protectImage(alignDown(rodataLo, smallPage), dataLo, code|noExecute)
	protectImage(dataLo, alignUp(imageEnd, smallPage), data)
	// What the post-link step appended behind the image is code.
	protectImage(alignUp(imageEnd, smallPage), tables, code)
	protectImage(tables, imageTop, data)
	ring0(gateFlush, 0)
	takeIdle()
}

// protectImage sets the flags of the identity-mapped [lo, hi).
func protectImage(lo, hi, bits uintptr) {
	for ; lo < hi; lo += smallPage {
		e, at := walk(lo, 1, false)
		if at != 1 {
			if !split(e) {
				outOfMemory()
			}
			e, _ = walk(lo, 1, false)
		}
		store(e, lo|bits)
	}
}

func setClock() {
	tscMult = (1000000000 << 32) / max(uint64(load(bootInfo+abi.BootTSCHzOff)), 1000000)
	resync()
}

// setProcess lays out what Linux puts on the first stack: argc, argv, the
// environment, the auxiliary vector.
func setProcess() {
	const (
		auxNull, auxPageSize, auxRandom = 0, 6, 25
		environment                     = "GODEBUG=asyncpreemptoff=1\x00"
		name                            = "guest\x00"
	)
	random := tables + bootReserve - 64
	if getrandom(random, 16) != 16 {
		print("guest: no entropy\n")
		halt(abi.ExitNoEntropy)
	}
	text := allocArgs()
	argc := uintptr(1)
	end := text
	end = putString(end, name)
	env := end
	end = putString(end, environment)
	args := end
	argc += copyArgs(args)
	sp := alignDown(tables+bootStackTop-(argc+16)*8, 16)
	startSP = sp
	store(sp, argc)
	store(sp+8, text)
	p := sp + 16
	for i := uintptr(1); i < argc; i++ {
		store(p, args)
		for load8(args) != 0 {
			args++
		}
		args++
		p += 8
	}
	for _, v := range [...]uintptr{0, env, 0, auxPageSize, smallPage, auxRandom, random, auxNull, 0} {
		store(p, v)
		p += 8
	}
}

// argSpace holds argv's and the environment's text.
const argSpace = abi.ExtMaxArgBytes + abi.CmdlineSize + 4096

func allocArgs() uintptr {
	p := allocRun(argSpace)
	if p == 0 {
		outOfMemory()
	}
	return p
}

func putString(at uintptr, s string) uintptr {
	copyBytes(at, stringData(s), uintptr(len(s)))
	return at + uintptr(len(s))
}

// copyArgs writes the arguments to at, each zero-terminated, and gives their
// number. Without the extension they are the words of the command line.
func copyArgs(at uintptr) (count uintptr) {
	if extOffered() {
		n := uintptr(load32(abi.ExtInfoAddr + abi.ExtArgBytesOff))
		copyBytes(at, abi.ExtInfoAddr+abi.ExtArgsOff, min(n, abi.ExtMaxArgBytes))
		return uintptr(load32(abi.ExtInfoAddr + abi.ExtArgCountOff))
	}
	inWord := false
	for p := load(bootInfo + abi.BootCmdlineOff); ; p++ {
		c := load8(p)
		switch {
		case c != 0 && c != ' ':
			store8(at, c)
			at++
			inWord = true
		case inWord:
			store8(at, 0)
			at++
			count++
			inWord = false
		}
		if c == 0 {
			return count
		}
	}
}
