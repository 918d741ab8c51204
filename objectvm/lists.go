package objectvm

import "math/bits"

// Lists and tables whose links lie in META, so that a VM that is built on the arena needs not look at their members.

// none ends a doubly linked list; a link of 0 says that the record is in no list.
const none = ^uint32(0)

// numList is a doubly linked list of numbered records. Its head is a word: first | last << 32, 0 for the empty list. A record's link
// is a word, too: next | previous << 32.
type numList struct {
	base, size, link Addr // record n lies at base + n*size, its link at offset link
	high             int  // header word: numbers are up to it (below it if zeroBased)
	zeroBased        bool // numbers in links are one higher than records'
}

var (
	spanLists  = &numList{base: metaSpans, size: spanSize, link: spanLink, high: hdrSpanHigh}
	blockLists = &numList{base: metaStacks, size: blockRecord, link: blockLink, high: hdrBlockHigh, zeroBased: true}
)

func (l *numList) at(n uint32) Addr {
	if l.zeroBased {
		n--
	}
	return l.base + Addr(n)*l.size + l.link
}

func (l *numList) valid(n uint32) bool { return n != 0 && uint64(n) <= hget(l.high) }

// first is the list's first record, 0 if it is empty.
func (vm *VM) first(l *numList, head Addr) uint32 {
	n := ld32(head)
	if n == 0 {
		return 0
	}
	if !l.valid(n) || ld32(l.at(n)) == 0 || ld32(l.at(n)+4) != none {
		vm.damaged("list at %#x begins with %d", uint64(head), n)
		return 0
	}
	return n
}

// next is the record behind n in its list, 0 at the end.
func (vm *VM) next(l *numList, n uint32) uint32 {
	m := ld32(l.at(n))
	if m == none {
		return 0
	}
	if !l.valid(m) || ld32(l.at(m)+4) != n {
		vm.damaged("record %d of the list at %#x links to %d", n, uint64(l.base), m)
		return 0
	}
	return m
}

// listed says whether a record is in a list.
func listed(l *numList, n uint32) bool { return ld32(l.at(n)) != 0 }

// pushFront puts a record that is in no list into one.
func (vm *VM) pushFront(l *numList, head Addr, n uint32) {
	f, last := vm.first(l, head), ld32(head+4)
	if f == 0 {
		vm.set(l.at(n), uint64(none)|uint64(none)<<32)
		vm.set(head, uint64(n)|uint64(n)<<32)
		return
	}
	vm.set(l.at(n), uint64(f)|uint64(none)<<32)
	vm.set32(l.at(f)+4, n)
	vm.set(head, uint64(n)|uint64(last)<<32)
}

// remove takes a record out of the list it is in; false after damage.
func (vm *VM) remove(l *numList, head Addr, n uint32) bool {
	next, prev := ld32(l.at(n)), ld32(l.at(n)+4)
	f, last := ld32(head), ld32(head+4)
	okNext := next == none && last == n || next != none && l.valid(next) && ld32(l.at(next)+4) == n
	okPrev := prev == none && f == n || prev != none && l.valid(prev) && ld32(l.at(prev)) == n
	if !okNext || !okPrev {
		vm.damaged("record %d of the list at %#x", n, uint64(head))
		return false
	}
	if next == none {
		last = prev
	} else {
		vm.set32(l.at(next)+4, prev)
	}
	if prev == none {
		f = next
	} else {
		vm.set32(l.at(prev), next)
	}
	if f == none {
		f, last = 0, 0
	}
	vm.set(l.at(n), 0)
	vm.set(head, uint64(f)|uint64(last)<<32)
	return true
}

// set32 is set for half a word.
func (vm *VM) set32(a Addr, v uint32) {
	if ld32(a) != v {
		vm.touch(a, 4)
		st32(a, v)
	}
}

// chainTable is a hash table of numbered records that grows and shrinks by one bucket at a time (linear hashing): no operation
// touches more than a few of its pages, and it is as dense as its contents are many. Buckets hold the number of a chain's first record.
//
// Words at head: number of records, number of buckets (0 means 1).
type chainTable struct {
	head, buckets    Addr
	base, size, link Addr // record n lies at base + n*size, its 4-byte link at offset link
	high             Addr // word with the highest number
	hash             func(n uint32) uint64
}

const (
	maxChain   = 1 << 12 // no honest chain is so long
	fewBuckets = 64      // a table does not shrink further
)

func (t *chainTable) bucketCount() uint64 { return max(ld64(t.head+8), 1) }

// bucket is where the chain for a hash begins.
func (t *chainTable) bucket(h uint64) Addr {
	n := t.bucketCount()
	m := uint64(1) << bits.Len64(n-1)
	b := h & (m - 1)
	if b >= n {
		b &= m/2 - 1
	}
	return t.buckets + Addr(b)*4
}

func (t *chainTable) linkAt(n uint32) Addr { return t.base + Addr(n)*t.size + t.link }

// follow reads a number from a bucket or link; step counts the chain's records.
func (vm *VM) follow(t *chainTable, at Addr, step *int) uint32 {
	n := ld32(at)
	if *step++; n != 0 && (uint64(n) > ld64(t.high) || *step > maxChain) {
		vm.damaged("chain of records at %#x", uint64(t.base))
		return 0
	}
	return n
}

// lookup finds the record with the hash that is accepts, 0 if there is none.
func (vm *VM) lookup(t *chainTable, h uint64, is func(n uint32) bool) uint32 {
	if ld64(t.head) == 0 {
		return 0
	}
	step := 0
	for n := vm.follow(t, t.bucket(h), &step); n != 0; n = vm.follow(t, t.linkAt(n), &step) {
		if is(n) {
			return n
		}
	}
	return 0
}

func (vm *VM) chain(t *chainTable, n uint32) {
	b := t.bucket(t.hash(n))
	vm.set32(t.linkAt(n), ld32(b))
	vm.set32(b, n)
	count, size := ld64(t.head)+1, t.bucketCount()
	vm.set(t.head, count)
	if count <= 2*size || size > uint64(none)/2 {
		return
	}
	m := uint64(1) << bits.Len64(size)
	from := t.buckets + Addr(size&(m/2-1))*4
	vm.set(t.head+8, size+1)
	var chains [2]uint32 // what stays and what moves
	step := 0
	for n := vm.follow(t, from, &step); n != 0; {
		next := vm.follow(t, t.linkAt(n), &step)
		k := b2w(t.hash(n)&(m-1) == size)
		vm.set32(t.linkAt(n), chains[k])
		chains[k] = n
		n = next
	}
	vm.set32(from, chains[0])
	vm.set32(t.buckets+Addr(size)*4, chains[1])
}

// unchain removes a record; replace, if not 0, takes its place (it has the same hash).
func (vm *VM) unchain(t *chainTable, n, replace uint32) {
	at, step := t.bucket(t.hash(n)), 0
	for {
		m := vm.follow(t, at, &step)
		if m == 0 || ld64(t.head) == 0 {
			vm.damaged("record %d at %#x is in no chain", n, uint64(t.base))
			return
		}
		if m == n {
			break
		}
		at = t.linkAt(m)
	}
	if replace != 0 {
		vm.set32(t.linkAt(replace), ld32(t.linkAt(n)))
		vm.set32(at, replace)
		vm.set32(t.linkAt(n), 0)
		return
	}
	vm.set32(at, ld32(t.linkAt(n)))
	vm.set32(t.linkAt(n), 0)
	count, size := ld64(t.head)-1, t.bucketCount()
	vm.set(t.head, count)
	if size > fewBuckets && count < size/4 {
		vm.dropBucket(t, size-1)
	}
}

// dropBucket joins the last bucket with the one that it was split from.
func (vm *VM) dropBucket(t *chainTable, last uint64) {
	m := uint64(1) << bits.Len64(last)
	from, to := t.buckets+Addr(last)*4, t.buckets+Addr(last&(m/2-1))*4
	if first := ld32(from); first != 0 {
		end, step := from, 0
		for vm.follow(t, end, &step) != 0 {
			end = t.linkAt(ld32(end))
		}
		vm.set32(end, ld32(to))
		vm.set32(to, first)
		vm.set32(from, 0)
	}
	vm.set(t.head+8, last)
}

// damagedTable says whether a table's own words can't be right.
func (t *chainTable) damaged(maxBuckets uint64) bool {
	return ld64(t.head) > ld64(t.high) || ld64(t.head+8) > maxBuckets
}
