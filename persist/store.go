package persist

import (
	"errors"
	"fmt"
	"sort"
)

// Options of a new image. The zero value works but for InstanceID, which the
// caller should make unique.
type Options struct {
	InstanceID InstanceID
	Versions   Versions // Format is ignored: it is FormatVersion
	// Meta is the root metadata of epoch 1, the empty arena.
	Meta []byte
	// SegmentBlocks is the log's unit of reuse in blocks, 4 to 65536. 0 means
	// 256 (1 MiB), or less on a small device.
	SegmentBlocks int
}

// Stats counts what a Store has done since it was opened.
type Stats struct {
	Commits, Pages, Nodes, Moved uint64
	Written                      int64 // bytes of the log and of roots
	UsedBlocks, LiveBlocks       int   // of the log, now
	LivePages                    uint64
}

// Recovered describes the state that Open found.
type Recovered struct {
	Epoch      Epoch
	Versions   Versions
	InstanceID InstanceID
	Meta       []byte
	Pages      uint64 // live pages; Store.Pages lists them
	// Incomplete is the epoch of a newer commit that a crash interrupted, 0 if
	// none. It was never acknowledged.
	Incomplete Epoch
	// Notes are harmless findings, such as a damaged copy of the superblock.
	Notes []string
}

// Store is an open image. One goroutine at a time may use it; a Checkpointer
// uses it from its own goroutine while Busy.
type Store struct {
	dev       Device
	super     superblock
	versions  Versions
	space     *logSpace
	pages     *pageMap
	table     *PageTable
	root      root // newest acknowledged
	slot      int  // where it lies
	nextEpoch Epoch
	records   []uint32 // blocks of the root's commit records
	w         groupWriter
	entries   []recordEntry
	prepared  int // segments below this are cheap to write
	failed    error
	closed    bool
	stats     Stats
}

// stageBlocks is the staging buffer of commits: 4 MiB. Larger groups are
// staged and written in turns.
const stageBlocks = 1024

// Create formats the device: everything on it is lost. The new image holds
// epoch 1, the empty arena. A crash during Create leaves a device that Open
// reports as ErrNotFormatted, or the complete empty image.
func Create(dev Device, o Options) (*Store, error) {
	if len(o.Meta) > MaxMeta {
		return nil, fmt.Errorf("%w: %d bytes, at most %d", ErrMetaTooLong, len(o.Meta), MaxMeta)
	}
	seg := o.SegmentBlocks
	if seg == 0 {
		for seg = defaultSegmentBlocks; seg > minSegmentBlocks && dev.Size()/BlockSize < int64(64*seg); seg /= 2 {
		}
	}
	if seg < minSegmentBlocks || seg > maxSegmentBlocks {
		return nil, fmt.Errorf("persist: SegmentBlocks %d is not in %d..%d", seg, minSegmentBlocks, maxSegmentBlocks)
	}
	if dev.Size() < blockOffset(logStart)+int64(4*seg)*BlockSize {
		return nil, fmt.Errorf("%w: %d bytes", ErrTooSmall, dev.Size())
	}
	o.Versions.Format = FormatVersion
	super := superblock{FormatVersion, FormatVersion, uint32(seg), o.InstanceID}
	first := root{epoch: 1, instance: o.InstanceID, versions: o.Versions, meta: append([]byte(nil), o.Meta...)}
	// An old superblock is destroyed before anything else, a new one written
	// after everything else.
	head := make([]byte, logStart*BlockSize)
	if err := writeFlush(dev, head, 0); err != nil {
		return nil, err
	}
	if err := writeFlush(dev, first.encode(), blockOffset(rootSlots[0])); err != nil {
		return nil, err
	}
	for _, b := range []uint32{superCopyBlock, superBlock} {
		if err := writeFlush(dev, super.encode(), blockOffset(b)); err != nil {
			return nil, err
		}
	}
	s := newStore(dev, super)
	s.adopt(first, 0)
	return s, nil
}

func writeFlush(dev Device, b []byte, off int64) error {
	if _, err := dev.WriteAt(b, off); err != nil {
		return ioError("format", off, err)
	}
	if err := dev.Flush(); err != nil {
		return ioError("flush", off, err)
	}
	return nil
}

func newStore(dev Device, super superblock) *Store {
	return &Store{
		dev: dev, super: super, pages: newPageMap(), table: newPageTable(dev),
		space: newLogSpace(super.segmentBlocks, dev.Size()),
	}
}

// adopt makes r the current root.
func (s *Store) adopt(r root, slot int) {
	s.root, s.slot, s.versions = r, slot, r.versions
	s.nextEpoch = r.epoch + 1
	s.publish()
}

// publish makes the current root's pages what the table says.
func (s *Store) publish() {
	s.table.limit.Store(logStart + s.root.segments*s.super.segmentBlocks)
	s.table.top.Store(packRef(s.root.top))
}

// Table is where the pages of the newest durable epoch are found, also in the
// context of a page fault.
func (s *Store) Table() *PageTable { return s.table }

// Epoch is the newest durable epoch.
func (s *Store) Epoch() Epoch { return s.root.epoch }

// InstanceID of the image.
func (s *Store) InstanceID() InstanceID { return s.super.instance }

// SetVersions changes what the next commits record; Format is ignored.
func (s *Store) SetVersions(v Versions) {
	v.Format = FormatVersion
	s.versions = v
}

// Stats returns counters. Not while a commit runs.
func (s *Store) Stats() Stats {
	st := s.stats
	st.Written, st.UsedBlocks, st.LiveBlocks = s.w.written, s.space.usedBlocks(), s.space.live
	st.LivePages = s.pages.pages
	return st
}

// Pages calls f for every live page in ascending order until f returns false.
func (s *Store) Pages(f func(PageID) bool) {
	s.pages.each(func(p PageID, _ ref) bool { return f(p) })
}

// Mapped tells whether the page is live; one that is not reads as zeros.
func (s *Store) Mapped(p PageID) bool { return p < MaxPages && s.pages.get(p).block != 0 }

// LoadPage reads one page into buf (4 KiB) and proves its checksum. A page
// that is not live reads as zeros.
func (s *Store) LoadPage(p PageID, buf []byte) error {
	if s.failed != nil {
		return s.failed
	}
	if !s.Mapped(p) {
		clear(buf[:BlockSize])
		return nil
	}
	return s.readBlock(s.pages.get(p), buf[:BlockSize], p, "page checksum differs")
}

// LoadAll reads all live pages in the order they lie on the device, proves
// their checksums and copies each to dst(page), which must be 4 KiB. It stops
// at the first damaged page with a *CorruptError. dst may return nil to skip a
// page; the page is proven all the same.
func (s *Store) LoadAll(dst func(PageID) []byte) error {
	if s.failed != nil {
		return s.failed
	}
	type item struct {
		ref
		page PageID
	}
	all := make([]item, 0, s.pages.pages)
	s.pages.each(func(p PageID, r ref) bool {
		all = append(all, item{r, p})
		return true
	})
	sort.Slice(all, func(i, j int) bool { return all[i].block < all[j].block })
	buf := make([]byte, min(len(all), maxRead)*BlockSize)
	for len(all) > 0 {
		n := 1
		for n < len(all) && n < maxRead && all[n].block == all[0].block+uint32(n) {
			n++
		}
		off := blockOffset(all[0].block)
		if err := readFull(s.dev, buf[:n*BlockSize], off); err != nil {
			return err
		}
		for i, it := range all[:n] {
			b := buf[i*BlockSize : (i+1)*BlockSize]
			if checksum(b) != it.crc {
				return &CorruptError{it.page, blockOffset(it.block), "page checksum differs"}
			}
			if d := dst(it.page); d != nil {
				copy(d[:BlockSize], b)
			}
		}
		all = all[n:]
	}
	return nil
}

// readBlock reads and proves one block; page is named if it is damaged.
func (s *Store) readBlock(r ref, b []byte, page PageID, reason string) error {
	off := blockOffset(r.block)
	if err := readFull(s.dev, b, off); err != nil {
		return err
	}
	if checksum(b) != r.crc {
		return &CorruptError{page, off, reason}
	}
	return nil
}

var errShortRead = errors.New("short read")

func readFull(dev Device, b []byte, off int64) error {
	n, err := dev.ReadAt(b, off)
	if n == len(b) {
		return nil
	}
	if err == nil {
		err = errShortRead
	}
	return ioError("read", off, err)
}

// PageImage is one page of a Commit. Data nil drops the page.
type PageImage struct {
	ID   PageID
	Data []byte
}

type imageSource []PageImage

func (s imageSource) Len() int                        { return len(s) }
func (s imageSource) At(i int) (PageID, bool)         { return s[i].ID, s[i].Data == nil }
func (s imageSource) Stage(i int, into []byte) []byte { copy(into, s[i].Data); return into }
func (s imageSource) Staged()                         {}

// Commit writes the pages as one new epoch and waits until it is durable. It
// is for tools and tests; a running program uses a Checkpointer. A page listed
// twice keeps its last contents. After an error only Open helps.
func (s *Store) Commit(meta []byte, pages []PageImage) (Epoch, error) {
	if len(meta) > MaxMeta {
		return 0, fmt.Errorf("%w: %d bytes, at most %d", ErrMetaTooLong, len(meta), MaxMeta)
	}
	for _, p := range pages {
		if p.ID >= MaxPages || p.Data != nil && len(p.Data) != BlockSize {
			return 0, fmt.Errorf("persist: page %#x with %d bytes can't be committed", uint64(p.ID), len(p.Data))
		}
	}
	s.ensureStage()
	e := s.nextEpoch
	if err := s.commit(e, append([]byte(nil), meta...), lastOfEach(pages)); err != nil {
		return 0, err
	}
	s.prepareAhead()
	return e, nil
}

// lastOfEach drops all but the last image of each page: a group that held a
// page twice would refer to a block that its map does not know.
func lastOfEach(pages []PageImage) imageSource {
	last := make(map[PageID]int, len(pages))
	for i, p := range pages {
		last[p.ID] = i
	}
	out := make(imageSource, 0, len(last))
	for i, p := range pages {
		if last[p.ID] == i {
			out = append(out, p)
		}
	}
	return out
}

// ensureStage allocates the staging buffer: an image that is only read needs none.
func (s *Store) ensureStage() {
	if s.w.stage == nil {
		s.w = newGroupWriter(s.dev, int(min(stageBlocks, s.dev.Size()/BlockSize)))
	}
}

// prepareAhead makes some segments after the last used one cheap to write.
func (s *Store) prepareAhead() {
	p, ok := s.dev.(Preparer)
	const ahead = 2
	used := len(s.space.segs)
	if !ok || s.failed != nil || len(s.space.free) >= ahead || s.prepared >= used+ahead {
		return
	}
	// A small image stays small; a growing one gets larger steps.
	from := max(s.prepared, used)
	to := min(from+min(ahead+used/2, 16), s.space.total)
	if from >= to {
		return
	}
	bytes := int64(s.space.perSegment) * BlockSize
	// An error shows again when the place is really needed.
	_ = p.Prepare(blockOffset(s.space.block(from, 0)), int64(to-from)*bytes)
	s.prepared = to
}

// Close marks the newest epoch as acknowledged, so that later damage to it is
// told from an interrupted commit. Nothing is written if the mark is there
// already. It does not close the device.
func (s *Store) Close() error {
	if s.closed {
		return nil
	}
	s.closed = true
	if s.failed != nil {
		return nil
	}
	mark := make([]byte, BlockSize)
	if err := readFull(s.dev, mark, blockOffset(ackBlock)); err != nil {
		return err
	}
	if e, err := decodeAck(mark, s.super.instance); err == nil && e >= s.root.epoch {
		return nil
	}
	return writeFlush(s.dev, encodeAck(s.super.instance, s.root.epoch), blockOffset(ackBlock))
}
