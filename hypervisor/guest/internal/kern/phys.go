package kern

import "phantomvm/hypervisor/abi"

// Physical memory. Fresh memory is handed out by a pointer that only rises,
// and is zero because the tender gives zeroed memory. Freed pages go to two
// lists, chained through their first word by the identity map, and are cleared when they
// are taken again. The last page stays unused: the tender refuses a buffer
// that ends exactly at the top.
var (
	physNext, physEnd uintptr
	physStart         uintptr
	free4k, free2m    uintptr
	nfree4k, nfree2m  uintptr
	zeroPage          uintptr // shared, read-only in every mapping
	smallPage         uintptr = abi.PageSize
	largePage         uintptr = abi.LargePageSize
)

// idleRange is the address and the size of memory in the image that the
// program has no use for; the post-link step fills it in. (The standard library reserves 32 MiB
// for a source of entropy that only FIPS mode uses.)
var idleRange = [2]uintptr{1, 1}

var physIdle uintptr // bytes of it that were taken

// takeIdle makes the pages of idleRange free ones.
func takeIdle() {
	lo, hi := alignUp(idleRange[0], smallPage), alignDown(idleRange[0]+idleRange[1], smallPage)
	if lo < dataLo || hi > imageEnd || lo >= hi {
		return
	}
	physIdle = hi - lo
	for lo < hi {
		if lo&(largePage-1) == 0 && hi-lo >= largePage {
			put2m(lo)
			lo += largePage
			continue
		}
		put4k(lo)
		lo += smallPage
	}
}

// totalMemory is what the guest could hand out at the start.
func totalMemory() uintptr { return physEnd - physStart + physIdle }

// freeMemory is how many bytes are free.
func freeMemory() uintptr {
	n := nfree4k*smallPage + nfree2m*largePage
	if physEnd > physNext {
		n += physEnd - physNext
	}
	return n
}

// alloc4k gives a zeroed page, or 0.
func alloc4k() uintptr {
	fresh := free4k == 0 && free2m == 0
	p := take4k()
	if p != 0 && !fresh {
		clearWords(p, smallPage)
	}
	return p
}

// take4k gives a page with anything in it, or 0.
func take4k() uintptr {
	if free4k == 0 && free2m != 0 {
		p := free2m
		free2m = load(p)
		nfree2m--
		for a := p + largePage - smallPage; a >= p; a -= smallPage {
			put4k(a)
		}
	}
	if p := free4k; p != 0 {
		free4k = load(p)
		nfree4k--
		return p
	}
	if physNext+smallPage > physEnd {
		return 0
	}
	p := physNext
	physNext += smallPage
	return p
}

// alloc2m gives a zeroed, aligned large page, or 0.
func alloc2m() uintptr {
	if p := free2m; p != 0 {
		free2m = load(p)
		nfree2m--
		clearWords(p, largePage)
		return p
	}
	p := alignUp(physNext, largePage)
	if p+largePage > physEnd {
		return 0
	}
	for physNext < p {
		put4k(physNext)
		physNext += smallPage
	}
	physNext = p + largePage
	return p
}

// allocRun gives n bytes of contiguous fresh memory, page-aligned, or 0.
func allocRun(n uintptr) uintptr {
	n = alignUp(n, smallPage)
	if physNext+n > physEnd {
		return 0
	}
	p := physNext
	physNext += n
	return p
}

func put4k(p uintptr) {
	if p == zeroPage {
		return
	}
	store(p, free4k)
	free4k = p
	nfree4k++
}

func put2m(p uintptr) {
	store(p, free2m)
	free2m = p
	nfree2m++
}

// outOfMemory ends the guest: an access cannot be refused once the region has
// been granted.
func outOfMemory() {
	print("guest: out of memory: ")
	printDec((totalMemory() - freeMemory()) >> 10)
	print(" KiB of ")
	printDec(totalMemory() >> 10)
	print(" KiB are in use; give the guest more memory\n")
	halt(abi.ExitOutOfMemory)
}
