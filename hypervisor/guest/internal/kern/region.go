package kern

import "unsafe"

// Regions are what mmap has granted: a sorted table of disjoint address
// ranges. Nothing is mapped before it is touched.
//
// Two kinds differ in how much one fault maps. The Go heap gets a large page
// or 16 pages; memory that was asked for with MAP_NORESERVE, of which large
// spans stay untouched, gets 4 for a write, and for a read the shared page of zeros.
// A third kind, paged, leaves it to the program (paged.go).
type region struct{ lo, hi, prot, kind uintptr }

const (
	kindHeap uintptr = iota
	kindSparse
	kindPaged
)

const (
	protRead  uintptr = 1
	protWrite uintptr = 2
	protExec  uintptr = 4

	mapFixed          uintptr = 0x10
	mapAnonymous      uintptr = 0x20
	mapNoReserve      uintptr = 0x4000
	mapFixedNoReplace uintptr = 0x100000

	// Below userLo lie the identity map and the image, from userHi on the
	// half of the address space that does not exist.
	userLo uintptr = 1 << 32
	userHi uintptr = 0x7ffffffff000

	maxRegions = 2048
)

var (
	regions  [maxRegions]region
	nregions uintptr
	nextHint uintptr = 0x600000000000
)

func regionAt(i uintptr) *region {
	return (*region)(pointer(addr(&regions) + i*regionSize))
}

const regionSize = unsafe.Sizeof(region{})

// findRegion gives the index of the first region that ends above a.
func findRegion(a uintptr) uintptr {
	lo, hi := uintptr(0), nregions
	for lo < hi {
		m := (lo + hi) / 2
		if regionAt(m).hi <= a {
			lo = m + 1
		} else {
			hi = m
		}
	}
	return lo
}

// lookup gives the region of a, or nil.
func lookup(a uintptr) *region {
	if i := findRegion(a); i < nregions && regionAt(i).lo <= a {
		return regionAt(i)
	}
	return nil
}

func overlaps(lo, hi uintptr) bool {
	i := findRegion(lo)
	return i < nregions && regionAt(i).lo < hi
}

// covered tells whether every byte of [lo, hi) lies in a region.
func covered(lo, hi uintptr) bool {
	for i := findRegion(lo); lo < hi; i++ {
		if i >= nregions || regionAt(i).lo > lo {
			return false
		}
		lo = regionAt(i).hi
	}
	return true
}

func insertRegion(i uintptr, r region) {
	for k := nregions; k > i; k-- {
		*regionAt(k) = *regionAt(k - 1)
	}
	*regionAt(i) = r
	nregions++
}

func removeRegion(i uintptr) {
	nregions--
	for k := i; k < nregions; k++ {
		*regionAt(k) = *regionAt(k + 1)
	}
}

// splitRegion makes a the border of regions, if it lies inside one.
func splitRegion(a uintptr) {
	i := findRegion(a)
	if i >= nregions || regionAt(i).lo >= a {
		return
	}
	r := *regionAt(i)
	insertRegion(i+1, region{a, r.hi, r.prot, r.kind})
	regionAt(i).hi = a
}

// cutRegions forgets [lo, hi).
func cutRegions(lo, hi uintptr) {
	splitRegion(lo)
	splitRegion(hi)
	for i := findRegion(lo); i < nregions && regionAt(i).lo < hi; {
		removeRegion(i)
	}
}

// mergeAround joins the regions that touch at the borders of region i.
func mergeAround(i uintptr) {
	for k := i + 1; k > 0 && k+1 > i; k-- {
		if k >= nregions {
			continue
		}
		a, b := regionAt(k-1), regionAt(k)
		if a.hi == b.lo && a.prot == b.prot && a.kind == b.kind {
			a.hi = b.hi
			removeRegion(k)
		}
	}
}

// roomForRegions leaves space for the splits of one operation.
func roomForRegions() bool { return nregions+4 < maxRegions }

// mmap serves mmap(2) for anonymous memory; the result is an address or a
// negated errno.
func mmap(a, n, prot, flags uintptr) uintptr {
	if n == 0 || n > userHi || a&(smallPage-1) != 0 && flags&mapFixed != 0 {
		return errno(eINVAL)
	}
	if flags&mapAnonymous == 0 {
		return errno(eNODEV)
	}
	if !roomForRegions() {
		return errno(eNOMEM)
	}
	n = alignUp(n, smallPage)
	kind := kindHeap
	if flags&mapNoReserve != 0 {
		kind = kindSparse
	}
	usable := a&(smallPage-1) == 0 && a >= userLo && a < userHi && n <= userHi-a
	switch {
	case flags&mapFixedNoReplace != 0:
		if !usable {
			return errno(eINVAL)
		}
		if overlaps(a, a+n) {
			return errno(eEXIST)
		}
	case flags&mapFixed != 0:
		if !usable {
			return errno(eINVAL)
		}
		unmap(a, a+n)
		cutRegions(a, a+n)
	case !usable || overlaps(a, a+n):
		a = pick(n)
		if a == 0 {
			return errno(eNOMEM)
		}
	}
	i := findRegion(a)
	insertRegion(i, region{a, a + n, prot & 7, kind})
	mergeAround(i)
	return a
}

// pick finds a free range of n bytes, aligned to a large page if it is as big.
func pick(n uintptr) uintptr {
	for {
		if n >= largePage {
			nextHint = alignUp(nextHint, largePage)
		}
		a := nextHint
		if n > userHi-a {
			return 0
		}
		i := findRegion(a)
		if i >= nregions || regionAt(i).lo >= a+n {
			nextHint = a + n
			return a
		}
		nextHint = regionAt(i).hi
	}
}

func munmap(a, n uintptr) uintptr {
	if !validSpan(a, n) {
		return errno(eINVAL)
	}
	if !roomForRegions() {
		return errno(eNOMEM)
	}
	n = alignUp(n, smallPage)
	unmap(a, a+n)
	cutRegions(a, a+n)
	return 0
}

func mprotect(a, n, prot uintptr) uintptr {
	if n == 0 {
		return 0
	}
	if !validSpan(a, n) {
		return errno(eINVAL)
	}
	n = alignUp(n, smallPage)
	if !roomForRegions() || !covered(a, a+n) {
		return errno(eNOMEM)
	}
	splitRegion(a)
	splitRegion(a + n)
	first := findRegion(a)
	i := first
	for ; i < nregions && regionAt(i).lo < a+n; i++ {
		regionAt(i).prot = prot & 7
	}
	protect(a, a+n, prot)
	for ; i > first; i-- {
		mergeAround(i - 1)
	}
	return 0
}

// madvise drops pages where Linux would. MADV_FREE may keep them, but to drop
// them at once is allowed.
func madvise(a, n, advice uintptr) uintptr {
	const dontNeed, free = 4, 8
	if advice != dontNeed && advice != free {
		return 0
	}
	if n == 0 {
		return 0
	}
	if !validSpan(a, n) {
		return errno(eINVAL)
	}
	unmap(a, a+alignUp(n, smallPage))
	return 0
}

func validSpan(a, n uintptr) bool {
	return a&(smallPage-1) == 0 && n != 0 && a >= userLo && a < userHi && n <= userHi-a
}
