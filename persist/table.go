package persist

// The page table: where each live page lies on the device, and its checksum.
// Reading it, from normal code and from a page fault. The tree's shape is in
// pagemap.go.
//
//	top ──▶ level-3 node ──▶ level-2 nodes ──▶ leaves ──▶ pages     (on the device)
//	overlay: newer references to pages and nodes, not yet in the nodes above them
//
// A page's reference is the overlay's, if it has one. Else it is in the leaf,
// whose own reference is found in the same way. So a lookup asks the overlay
// from the page upwards and then goes down through the nodes. Nodes are read
// when they are needed and dropped when memory is short (nodecache.go).
//
// # Fault context
//
// Fetch and Ref are called in the context of a fault: they allocate nothing,
// take no lock, wait for nobody and store no pointer. What keeps them right
// while a commit changes the table:
//
//  1. A reference is published when its block can be read back, or when its
//     page is resident and stays so until then (a page of the checkpoint in
//     flight).
//  2. A node is published before what it covers is removed from the overlay,
//     and a lookup goes from the overlay's lower levels to the higher ones. So
//     it finds an entry, or a node at least as new.
//  3. A lookup may return a reference that has just been replaced by a move.
//     The old block has the same bytes until its segment is reused; then the
//     checksum differs, the page is looked up again and the fetch repeated. It
//     is damage only if the reference is the same as before.

import (
	"sync/atomic"
)

// Reader reads n bytes (a multiple of 4096) at off into the memory at dst. It
// is used in fault context: it must not enter the Go scheduler, allocate or
// wait for other Go code. It tells whether all bytes were read.
type Reader func(off int64, dst uintptr, n uintptr) bool

// FetchResult is what became of a Fetch.
type FetchResult int

// Results of a Fetch.
const (
	FetchOK      FetchResult = iota // the page's bytes are at dst, proven
	FetchZero                       // the page is not live: zeros; dst is not written
	FetchDamaged                    // a checksum differs, see LastFault
	FetchIO                         // the reader failed, see LastFault
)

// Fault says where a Fetch failed.
type Fault struct {
	Page   uint64 // the page that was wanted
	Offset int64  // byte offset on the device of the block that could not be had
	Node   bool   // the block is a node of the page map
	Result FetchResult
}

// Error describes it as the error that Go code gets for the same thing.
func (f Fault) Error() error {
	what := "page checksum differs"
	if f.Node {
		what = "map node checksum differs"
	}
	if f.Result == FetchIO {
		return ioError("read", f.Offset, errShortRead)
	}
	return &CorruptError{PageID(f.Page), f.Offset, what}
}

// PageTable finds pages. Store.Table gives it.
type PageTable struct {
	top     atomic.Uint64 // packed reference to the top node on the device
	limit   atomic.Uint32 // blocks from here on belong to no page
	overlay *overlay
	cache   *nodeCache
	dev     Device

	read    Reader
	scratch [4]scratch

	lastFault  Fault
	reads      atomic.Uint64
	nodeReads  atomic.Uint64
	faultTries atomic.Uint64
}

// scratch is a block for one reader in fault context.
type scratch struct {
	busy  atomic.Uint32
	words []uint64 // nodeFan, at the beginning of a page of memory
	addr  uintptr
}

// NodeBudget is the memory for the page map's nodes until SetNodeBudget.
const NodeBudget = 4 << 20

func newPageTable(dev Device) *PageTable {
	return &PageTable{overlay: newOverlay(), cache: newNodeCache(NodeBudget), dev: dev}
}

// SetNodeBudget bounds the memory for page map nodes, in bytes. Before SetReader.
func (t *PageTable) SetNodeBudget(bytes int) { t.cache = newNodeCache(bytes) }

// SetReader prepares for Fetch: all memory that it needs is allocated. Before the first Fetch, once.
func (t *PageTable) SetReader(r Reader) {
	t.read = r
	for i := range t.scratch {
		t.scratch[i].words, t.scratch[i].addr = alignedBlock()
		clear(t.scratch[i].words)
	}
	t.cache.growAll()
}

// LastFault is where the last Fetch failed that was not FetchOK or FetchZero.
func (t *PageTable) LastFault() Fault { return t.lastFault }

// Fetches is the number of pages and of nodes that Fetch has read.
func (t *PageTable) Fetches() (pages, nodes uint64) { return t.reads.Load(), t.nodeReads.Load() }

// begin finds the nearest known reference above or at page. Fault context.
func (t *PageTable) begin(page uint64) (r uint64, level int) {
	for level := range topLevel {
		if v, ok := t.overlay.get(makeTag(level, page>>(nodeShift*level))); ok {
			return v, level
		}
	}
	return t.top.Load(), topLevel
}

// Ref returns where a page lies if no node has to be read for it: block is 0
// if the page is not live. ok is false if a node is missing. Fault context.
func (t *PageTable) Ref(page uint64) (block, crc uint32, ok bool) {
	if page >= MaxPages {
		return 0, 0, true
	}
	r, level := t.begin(page)
	for ; level > 0 && r != 0; level-- {
		if r, ok = t.cache.word(r, index(PageID(page), level)); !ok {
			return 0, 0, false
		}
	}
	return uint32(r >> 32), uint32(r), true
}

// Fetch reads a page to dst (4096 bytes, outside the Go heap) and proves it.
// It may be called by several threads at once. Fault context.
func (t *PageTable) Fetch(page uint64, dst uintptr) FetchResult {
	if page >= MaxPages {
		return FetchZero
	}
	for before := uint64(0); ; {
		r, level, res := t.locate(page)
		if res == FetchOK {
			if r == 0 {
				return FetchZero
			}
			res = t.fetchBlock(r, dst)
		}
		switch {
		case res == FetchOK:
			t.reads.Add(1)
			return FetchOK
		case res == FetchIO || r == before:
			t.lastFault = Fault{page, blockOffset(uint32(r >> 32)), level > 0, res}
			return res
		}
		before = r // it may have been replaced meanwhile
		t.faultTries.Add(1)
	}
}

// locate finds the reference of a page and reads the nodes that are missing.
// If one can't be had, r and level are its own. Fault context.
func (t *PageTable) locate(page uint64) (r uint64, level int, res FetchResult) {
	r, level = t.begin(page)
	for ; level > 0 && r != 0; level-- {
		i := index(PageID(page), level)
		v, ok := t.cache.word(r, i)
		if !ok {
			if v, res = t.readNode(r, i); res != FetchOK {
				return r, level, res
			}
		}
		r = v
	}
	return r, 0, FetchOK
}

// readNode reads and keeps a node and returns its reference i. Fault context.
func (t *PageTable) readNode(r uint64, i int) (uint64, FetchResult) {
	s := t.takeScratch()
	res := t.fetchBlock(r, s.addr)
	var v uint64
	if res == FetchOK {
		t.nodeReads.Add(1)
		for k, w := range s.words { // 8 bytes of a reference are block, crc; packed it is the other way round
			s.words[k] = w<<32 | w>>32
		}
		t.cache.put(r, s.words)
		v = s.words[i]
	}
	s.busy.Store(0)
	return v, res
}

// takeScratch finds a free block. There are more than threads that fault; a
// holder is never preempted for long, as it holds only in fault context.
func (t *PageTable) takeScratch() *scratch {
	for i := 0; ; i = (i + 1) % len(t.scratch) {
		if t.scratch[i].busy.CompareAndSwap(0, 1) {
			return &t.scratch[i]
		}
	}
}

// fetchBlock reads and proves one block. Fault context.
func (t *PageTable) fetchBlock(r uint64, dst uintptr) FetchResult {
	block := uint32(r >> 32)
	if block < logStart || block >= t.limit.Load() {
		return FetchDamaged
	}
	if !t.read(blockOffset(block), dst, BlockSize) {
		return FetchIO
	}
	if checksumAt(dst) != uint32(r) {
		return FetchDamaged
	}
	return FetchOK
}

// lookup finds the reference of what tag names, in normal context.
func (t *PageTable) lookup(what tag) (ref, error) {
	if v, ok := t.overlay.get(what); ok {
		return unpackRef(v), nil
	}
	if what == topTag {
		return unpackRef(t.top.Load()), nil
	}
	p, i, ok := what.parent()
	if !ok {
		return ref{}, nil
	}
	r, err := t.lookup(p)
	if err != nil || r.block == 0 {
		return ref{}, err
	}
	v, ok := t.cache.word(packRef(r), i)
	if !ok {
		var node [nodeFan]uint64
		if err := t.loadNode(r, p, node[:]); err != nil {
			return ref{}, err
		}
		v = node[i]
	}
	return unpackRef(v), nil
}

// loadNode gives a node's content, from the cache or the device, in normal context.
func (t *PageTable) loadNode(r ref, what tag, into []uint64) error {
	v := packRef(r)
	if t.cache.get(v, into) {
		return nil
	}
	if r.block < logStart || r.block >= t.limit.Load() {
		return &CorruptError{what.page(), blockOffset(r.block), "reference to a block outside the log"}
	}
	b := make([]byte, BlockSize)
	if err := readFull(t.dev, b, blockOffset(r.block)); err != nil {
		return err
	}
	if checksum(b) != r.crc {
		return &CorruptError{what.page(), blockOffset(r.block), "map node checksum differs"}
	}
	for i := range into {
		into[i] = packRef(getRef(b[i*8:]))
	}
	t.cache.grow(v)
	t.cache.put(v, into)
	return nil
}
