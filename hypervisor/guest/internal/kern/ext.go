package kern

import "phantomvm/hypervisor/abi"

// The extension's shared area (abi/ext.go) and the sources of entropy.
var (
	shared      uintptr // 0 without the extension
	extFeatures uint32
	haveRandom  bool
)

func extOffered() bool {
	for i := uintptr(0); i < uintptr(len(abi.ExtMagic)); i++ {
		if load8(abi.ExtInfoAddr+i) != load8(stringData(abi.ExtMagic)+i) {
			return false
		}
	}
	return true
}

// negotiate accepts the tender's offer, if there is one.
func negotiate() {
	const randBit = 30
	haveRandom = cpuid1()>>randBit&1 != 0
	if !extOffered() {
		return
	}
	area := allocRun(abi.SharedSize)
	if area == 0 {
		outOfMemory()
	}
	want := load32(abi.ExtInfoAddr+abi.ExtFeaturesOff) & uint32(abi.ExtBlockQueue|abi.ExtChannel|abi.ExtEntropy|abi.ExtEventKick|abi.ExtPrepare)
	argSetup[0], argSetup[1], argSetup[2] = area, abi.SharedSize, uintptr(want)
	hypercall(abi.HypercallExtSetup, addr(&argSetup))
	if abi.Result(uint32(argSetup[2]>>32)) == abi.ResultOK {
		shared, extFeatures = area, want
	}
}

// tenderEvents is the tender's count of events.
func tenderEvents() uint32 {
	if shared == 0 {
		return 0
	}
	return load32(shared + abi.SharedEvents)
}

// getrandom fills [a, a+n) from RDRAND, or else from the tender.
func getrandom(a, n uintptr) uintptr {
	if !writable(a, n) {
		return errno(eFAULT)
	}
	for done := uintptr(0); done < n; {
		c := min(n-done, abi.EntropyMax)
		if !(haveRandom && fromProcessor(c)) && !fromTender(c) {
			if done == 0 {
				return errno(eNOSYS)
			}
			return done
		}
		copyBytes(a+done, addr(&randomBuffer), c)
		clearWords(addr(&randomBuffer), abi.EntropyMax)
		done += c
	}
	return n
}

var randomBuffer [abi.EntropyMax / 8]uint64

// fromProcessor fills n bytes of randomBuffer. Broken processors are known that
// repeat one value and call it random.
func fromProcessor(n uintptr) bool {
	last := uint64(0)
	for i := uintptr(0); i < (n+7)/8; i++ {
		v, ok := rdrand()
		if !ok || v == last || v == ^uint64(0) {
			return false
		}
		last = v
		randomBuffer[i&(uintptr(len(randomBuffer))-1)] = v
	}
	return true
}

func fromTender(n uintptr) bool {
	if extFeatures&uint32(abi.ExtEntropy) == 0 {
		return false
	}
	argRandom[0], argRandom[1], argRandom[2] = addr(&randomBuffer), n, 0
	hypercall(abi.HypercallEntropy, addr(&argRandom))
	return abi.Result(uint32(argRandom[2])) == abi.ResultOK
}
