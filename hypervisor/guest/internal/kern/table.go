package kern

// Page tables of four levels. Level 1 entries map 4 KiB, level 2 entries with
// entryLarge 2 MiB. All pages are reachable from CPL3; W and NX follow the
// region. An entry with entryHidden keeps its frame while PROT_NONE denies the
// access.
const (
	entryPresent  uintptr = 1 << 0
	entryWrite    uintptr = 1 << 1
	entryUser     uintptr = 1 << 2
	entryAccessed uintptr = 1 << 5
	entryLarge    uintptr = 1 << 7
	entryHidden   uintptr = 1 << 9 // ignored by the processor
	entryNX       uintptr = 1 << 63
	entryFrame    uintptr = 0x000ffffffffff000
	entryTable            = entryPresent | entryWrite | entryUser
)

// noExecute is entryNX where the processor has it.
var noExecute uintptr

func levelSize(level uint) uintptr { return 1 << (12 + 9*(level-1)) }

func slot(table, va uintptr, level uint) uintptr {
	return table + (va>>(12+9*(level-1))&511)*8
}

// walk finds the entry of va at level 1 or 2. Missing tables are made if mk is
// set. When the walk ends early it returns the entry that stopped it and its
// level: one that is absent, or a large page on the way to level 1.
func walk(va uintptr, level uint, mk bool) (entry uintptr, at uint) {
	t := tables
	for l := uint(4); l > level; l-- {
		e := slot(t, va, l)
		v := load(e)
		if v&(entryPresent|entryHidden) == 0 {
			if !mk {
				return e, l
			}
			p := alloc4k()
			if p == 0 {
				outOfMemory()
			}
			v = p | entryTable
			store(e, v)
		} else if v&entryLarge != 0 {
			return e, l
		}
		t = v & entryFrame
	}
	return slot(t, va, level), level
}

// entryBits gives the flags of a page of a region with protection prot.
func entryBits(prot uintptr) uintptr {
	if prot&(protRead|protWrite|protExec) == 0 {
		return entryHidden | entryUser | noExecute
	}
	b := entryPresent | entryUser
	if prot&protWrite != 0 {
		b |= entryWrite
	}
	if prot&protExec == 0 {
		b |= noExecute
	}
	return b
}

// split turns the large page at entry e into a table of 512 pages. It reports
// false when there is no memory for the table.
func split(e uintptr) bool {
	v := load(e)
	t := alloc4k()
	if t == 0 {
		return false
	}
	frame := v & entryFrame &^ (largePage - 1)
	bits := v &^ (entryFrame | entryLarge)
	for i := uintptr(0); i < 512; i++ {
		store(t+i*8, frame+i*smallPage|bits)
	}
	store(e, t|entryTable)
	return true
}

// unmap frees what is mapped in [lo, hi), and the tables that get empty by it.
func unmap(lo, hi uintptr) {
	flush := false
	for lo < hi {
		e, at := walk(lo, 1, false)
		v := load(e)
		size := levelSize(at)
		next := alignDown(lo, size) + size
		switch {
		case v&(entryPresent|entryHidden) == 0:
		case at == 1:
			store(e, 0)
			put4k(v & entryFrame)
			flush = true
		case lo == next-size && next <= hi:
			store(e, 0)
			put2m(v & entryFrame &^ (largePage - 1))
			flush = true
		default:
			if split(e) {
				continue
			}
			// No memory for a table: the piece keeps its frame, cleared.
			next = min(next, hi)
			clearWords(v&entryFrame&^(largePage-1)+lo&(largePage-1), next-lo)
		}
		if at == 1 && next&(largePage-1) == 0 {
			flush = dropTable(lo, 2) || flush
		}
		if at <= 2 && next&(levelSize(3)-1) == 0 {
			flush = dropTable(lo, 3) || flush
		}
		lo = next
	}
	if flush {
		ring0(gateFlush, 0)
	}
}

// dropTable frees the table that the entry of va at level points to, if it is
// empty, and tells whether it did. The processor may have the entry cached.
func dropTable(va uintptr, level uint) bool {
	e, at := walk(va, level, false)
	v := load(e)
	if at != level || v&entryPresent == 0 || v&entryLarge != 0 {
		return false
	}
	t := v & entryFrame
	for i := uintptr(0); i < 512; i++ {
		if load(t+i*8) != 0 {
			return false
		}
	}
	store(e, 0)
	put4k(t)
	return true
}

// protect gives the mapped pages in [lo, hi) the flags of prot.
func protect(lo, hi, prot uintptr) {
	bits := entryBits(prot)
	for lo < hi {
		e, at := walk(lo, 1, false)
		v := load(e)
		size := levelSize(at)
		next := alignDown(lo, size) + size
		switch {
		case v&(entryPresent|entryHidden) == 0:
		case at == 1:
			b := bits
			if v&entryFrame == zeroPage {
				b &^= entryWrite
			}
			store(e, v&entryFrame|b)
		case lo == next-size && next <= hi:
			store(e, v&entryFrame&^(largePage-1)|bits|entryLarge)
		default:
			if !split(e) {
				outOfMemory()
			}
			continue
		}
		lo = next
	}
	ring0(gateFlush, 0)
}

// translate gives the physical address behind va, or 0 if nothing is mapped.
func translate(va uintptr) uintptr {
	e, at := walk(va, 1, false)
	v := load(e)
	if v&entryPresent == 0 {
		return 0
	}
	size := levelSize(at)
	return v&entryFrame&^(size-1) + va&(size-1)
}
