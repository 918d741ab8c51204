package persist

// The overlay: references that are newer than the nodes on the device.
//
// It is a hash table from tag to reference with one writer (the goroutine that
// commits) and any number of readers, which may be in fault context: a reader
// neither locks nor waits, and never sees a reference that was not current at
// some moment between its beginning and its end.
//
//  1. A slot's key is stored after its value and is never changed.
//  2. Removal keeps the key and stores the value gone.
//  3. When slots run out, the other of two tables is filled with what is left
//     and gen goes up by one. A table is written again only after gen has gone
//     past it, so a reader that finds gen unchanged at its end has read a
//     table that was the current one all the time; else it begins anew.

import "sync/atomic"

// gone is the value of a removed entry: no block has this number.
const gone = ^uint64(0)

const overlayMin = 1 << 8

type overlayTable struct {
	mask uint32
	keys []atomic.Uint32 // tag+1, 0 is empty
	vals []atomic.Uint64 // a packed reference; 0 is absent
}

type overlay struct {
	gen  atomic.Uint32
	tabs [2]atomic.Pointer[overlayTable]
	// The writer's.
	slots int // keys stored in the current table
	live  int // of them not gone
}

func newOverlay() *overlay {
	o := &overlay{}
	o.tabs[0].Store(newOverlayTable(overlayMin))
	return o
}

// newOverlayTable also touches all of its memory: a reader in a guest's fault
// context must not fault.
func newOverlayTable(slots int) *overlayTable {
	t := &overlayTable{uint32(slots - 1), make([]atomic.Uint32, slots), make([]atomic.Uint64, slots)}
	for i := range t.keys {
		t.keys[i].Store(0)
		t.vals[i].Store(0)
	}
	return t
}

func (t *overlayTable) start(k uint32) uint32 { return (k * 0x9e3779b1 >> 7) & t.mask }

func packRef(r ref) uint64   { return uint64(r.block)<<32 | uint64(r.crc) }
func unpackRef(v uint64) ref { return ref{uint32(v >> 32), uint32(v)} }

// get finds what is known about t. Fault context.
func (o *overlay) get(t tag) (uint64, bool) {
	k := uint32(t) + 1
	for {
		gen := o.gen.Load()
		tab := o.tabs[gen&1].Load()
		v := gone
		for i, n := tab.start(k), uint32(0); n <= tab.mask; i, n = (i+1)&tab.mask, n+1 {
			key := tab.keys[i].Load()
			if key == k {
				v = tab.vals[i].Load()
				break
			}
			if key == 0 {
				break
			}
		}
		if o.gen.Load() == gen {
			return v, v != gone
		}
	}
}

// put makes v what is known about t. The writer's.
func (o *overlay) put(t tag, v uint64) {
	tab := o.tabs[o.gen.Load()&1].Load()
	if o.slots >= len(tab.keys)*5/8 {
		tab = o.rebuild(tab)
	}
	k := uint32(t) + 1
	for i := tab.start(k); ; i = (i + 1) & tab.mask {
		switch tab.keys[i].Load() {
		case k:
			if tab.vals[i].Load() == gone {
				o.live++
			}
			tab.vals[i].Store(v)
			return
		case 0:
			tab.vals[i].Store(v)
			tab.keys[i].Store(k)
			o.slots++
			o.live++
			return
		}
	}
}

// remove forgets t, which a node that is already published describes. The writer's.
func (o *overlay) remove(t tag) {
	tab := o.tabs[o.gen.Load()&1].Load()
	k := uint32(t) + 1
	for i := tab.start(k); ; i = (i + 1) & tab.mask {
		switch tab.keys[i].Load() {
		case k:
			if tab.vals[i].Load() != gone {
				o.live--
				tab.vals[i].Store(gone)
			}
			return
		case 0:
			return
		}
	}
}

func (o *overlay) rebuild(old *overlayTable) *overlayTable {
	size := overlayMin
	for size < 4*(o.live+1) {
		size *= 2
	}
	next := o.gen.Load() + 1
	tab := o.tabs[next&1].Load()
	if tab == nil || len(tab.keys) != size {
		tab = newOverlayTable(size)
	} else {
		for i := range tab.keys {
			tab.keys[i].Store(0)
		}
	}
	o.slots, o.live = 0, 0
	for i := range old.keys {
		v := old.vals[i].Load()
		k := old.keys[i].Load()
		if k == 0 || v == gone {
			continue
		}
		j := tab.start(k)
		for tab.keys[j].Load() != 0 {
			j = (j + 1) & tab.mask
		}
		tab.vals[j].Store(v)
		tab.keys[j].Store(k)
		o.slots++
		o.live++
	}
	o.tabs[next&1].Store(tab)
	o.gen.Store(next)
	return tab
}

// each calls f for everything known until f returns false. The writer's.
func (o *overlay) each(f func(tag, uint64) bool) {
	tab := o.tabs[o.gen.Load()&1].Load()
	for i := range tab.keys {
		if k, v := tab.keys[i].Load(), tab.vals[i].Load(); k != 0 && v != gone && !f(tag(k-1), v) {
			return
		}
	}
}
