package persist

import (
	"errors"
	"fmt"
)

// Options of a new image. The zero value works but for InstanceID, which the
// caller should make unique.
type Options struct {
	InstanceID InstanceID
	Versions   Versions // Format is ignored: it is FormatVersion
	// Meta is the root metadata of epoch 1, the empty arena.
	Meta []byte
	// SegmentBlocks is the log's unit of reuse in blocks, 4 to 512. 0 means
	// 256 (1 MiB), less on a small device, 512 on one of more than 512 GiB.
	SegmentBlocks int
}

// Stats counts what a Store has done since it was opened.
type Stats struct {
	Commits       uint64
	Pages         uint64 // pages written because the program changed them
	Moved         uint64 // pages written because their segment was cleaned
	Nodes         uint64 // blocks of the page map written, usage blocks included
	RecordBlocks  uint64
	SummaryBlocks uint64
	Roots         uint64 // blocks of roots written
	Corrected     uint64 // segments whose count of live blocks was wrong
	Written       int64  // bytes of all of these
	LivePages     uint64 // now
	// Of the log, now. Before the first commit they are estimates.
	UsedBlocks, LiveBlocks int
	// JournalEntries is what a recovery would go through now.
	JournalEntries int
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
	table     *PageTable
	journal   journal
	root      root   // newest acknowledged
	pages     uint64 // live pages, those of the commit being written included
	slot      int    // where the root lies
	nextEpoch Epoch
	w         groupWriter
	cleaner   cleaner
	prepared  int // segments below this are cheap to write
	failed    error
	closed    bool
	stats     Stats

	// Of the commit being written.
	group   []recordEntry
	pending map[tag]ref // moved pages and written nodes, not yet in the table
	writes  []nodeWrite
	buffers [][]uint64
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
		for seg = defaultSegmentBlocks; seg < maxSegmentBlocks && dev.Size()/BlockSize > int64(seg)*maxSegments; seg *= 2 {
		}
		for ; seg > minSegmentBlocks && dev.Size()/BlockSize < int64(64*seg); seg /= 2 {
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
		dev: dev, super: super, table: newPageTable(dev), journal: newJournal(),
		space: newLogSpace(super.segmentBlocks, dev.Size()), pending: map[tag]ref{}, cleaner: cleaner{seg: -1},
	}
}

// adopt makes r the current root.
func (s *Store) adopt(r root, slot int) {
	s.root, s.slot, s.versions, s.pages = r, slot, r.versions, r.pages
	s.nextEpoch = r.epoch + 1
	s.table.top.Store(packRef(r.top))
	s.publish()
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
	st.Roots, st.LivePages = st.Commits, s.pages
	st.Written = s.w.written
	st.UsedBlocks, st.LiveBlocks = s.space.usedBlocks(), s.space.live+s.space.held
	if !s.space.known {
		st.LiveBlocks = int(s.pages)
	}
	st.JournalEntries = s.journal.entries()
	return st
}

func (s *Store) pagesDiffer(n uint64) error {
	return &CorruptError{NoPage, blockOffset(rootSlots[s.slot]), fmt.Sprintf("root counts %d pages, the page map has %d", s.pages, n)}
}

// errStop ends a walk early.
var errStop = errors.New("stop")

func isCorrupt(err error) bool { return errors.Is(err, ErrCorrupt) }

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
	// A small image stays small; a growing one gets larger steps, but not so
	// large that the next commit, which waits for it, is late.
	from := max(s.prepared, used)
	to := min(from+min(ahead+used/2, 4), s.space.total)
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
