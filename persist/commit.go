package persist

// One commit: a write group, a root, one flush.
//
//  1. Segments whose rest is over become free (space.go).
//  2. Every page of the source is staged, checksummed and given a block at the
//     head of the log; pages of zeros are dropped from the map instead.
//  3. A bounded number of live blocks is copied forward out of nearly empty
//     segments, if the log is long (clean.go). Their checksums are proven.
//  4. Nodes whose changes are older than the journal may reach back are
//     written (journal.go).
//  5. The commit records list every block of steps 2 to 4 with its checksum.
//     Each record vouches for the one before, the root for the last: a root
//     whose group is incomplete is recognised (I1).
//  6. The root goes to the slot that does not hold the acknowledged root (I3).
//  7. Flush. Only now the new root counts.
//  8. Moved pages and written nodes are published in the page table: they can
//     be read back now.
//
// A failure at any step leaves the last root as it was; the in-memory state is
// then ahead of the device, so the store refuses further commits (I6).

import (
	"errors"
	"fmt"
	"runtime"
)

// pageSource gives a commit its pages.
type pageSource interface {
	Len() int
	// At names the i-th page; discard drops it from the map.
	At(i int) (id PageID, discard bool)
	// Stage returns the page's contents: copied into the buffer, or another
	// buffer that stays unchanged until the commit ends.
	Stage(i int, into []byte) []byte
	// Staged is called when the last page was staged.
	Staged()
}

// yieldPages is how many pages are staged before other goroutines get a turn:
// with one processor the program waits meanwhile.
const yieldPages = 32

// commit writes one group with the pages of src and makes it durable.
// Preconditions: meta is at most MaxMeta bytes; no other commit runs.
func (s *Store) commit(epoch Epoch, meta []byte, src pageSource) error {
	if s.closed {
		return ErrClosed
	}
	if s.failed != nil {
		return s.failed
	}
	r, err := s.writeGroup(epoch, meta, src)
	if err != nil {
		if !errors.Is(err, ErrFailed) {
			err = fmt.Errorf("%w: epoch %d: %w", ErrFailed, epoch, err)
		}
		s.failed = err
		return err
	}
	s.slot = 1 - s.slot
	s.root = r
	s.nextEpoch = epoch + 1
	s.publish()
	s.stats.Commits++
	s.checkAudit()
	return nil
}

func (s *Store) writeGroup(epoch Epoch, meta []byte, src pageSource) (root, error) {
	if err := s.readCounts(); err != nil {
		return root{}, err
	}
	s.space.begin()
	s.group = s.group[:0]
	if err := s.putPages(src); err != nil {
		return root{}, err
	}
	if err := s.clean(); err != nil {
		return root{}, err
	}
	if err := s.putNodes(); err != nil {
		return root{}, err
	}
	r := root{
		epoch: epoch, acked: s.root.epoch, instance: s.super.instance, versions: s.versions,
		top: s.root.top, pages: s.pages, meta: meta,
	}
	if top, ok := s.pending[topTag]; ok {
		r.top = top
	}
	if err := s.putRecords(&r); err != nil {
		return root{}, err
	}
	r.tails, r.segments = [heads]uint32{s.space.tail(headNew), s.space.tail(headCold)}, uint32(len(s.space.segs))
	// Steps 6 and 7.
	return r, s.w.finish(r.encode(), blockOffset(rootSlots[1-s.slot]))
}

// room makes sure that head h can take a block: a full segment gets its
// summary, then a new one is begun. It comes before a staging slot is reserved.
func (s *Store) room(h int) error {
	hd := &s.space.heads[h]
	if hd.seg >= 0 && s.space.full(h) {
		if err := s.seal(h); err != nil {
			return err
		}
	}
	if hd.seg >= 0 {
		return nil
	}
	si, err := s.freeSegment()
	if err != nil {
		return err
	}
	s.space.open(h, si, s.journal.pos)
	return nil
}

// seal writes the summary of the segment that head h fills. Blocks that were
// not used are left out.
func (s *Store) seal(h int) error {
	hd := &s.space.heads[h]
	for len(hd.tags) < s.space.perSegment-1 {
		hd.tags = append(hd.tags, tagNone)
	}
	slot, err := s.w.reserve()
	if err != nil {
		return err
	}
	b := s.w.at(slot)
	sum := summary{s.super.instance, s.nextEpoch, hd.seg, hd.tags}
	sum.encode(b)
	r := ref{s.space.block(hd.seg, s.space.perSegment-1), checksum(b)}
	s.w.putSlot(r.block, slot)
	s.note(recordEntry{tag: summaryTag(hd.seg), ref: r})
	s.stats.SummaryBlocks++
	s.space.seal(h)
	return nil
}

func (s *Store) putPages(src pageSource) error {
	for i := range src.Len() {
		if i%yieldPages == yieldPages-1 {
			runtime.Gosched()
		}
		id, discard := src.At(i)
		if discard {
			if err := s.drop(id); err != nil {
				return err
			}
			continue
		}
		t := makeTag(0, uint64(id))
		old, err := s.table.lookup(t)
		if err != nil {
			return err
		}
		h := s.space.headFor(old.block)
		if err := s.room(h); err != nil {
			return err
		}
		slot, err := s.w.reserve()
		if err != nil {
			return err
		}
		into := s.w.at(slot)
		got := src.Stage(i, into)
		if allZero(got) {
			if err := s.drop(id); err != nil {
				return err
			}
			continue
		}
		r := ref{s.space.alloc(h, t), checksum(got)}
		if &got[0] == &into[0] {
			s.w.putSlot(r.block, slot)
		} else {
			s.w.putBuf(r.block, slot, got)
		}
		s.setPage(t, r, old)
		s.stats.Pages++
	}
	src.Staged()
	return nil
}

// drop makes a page absent.
func (s *Store) drop(id PageID) error {
	t := makeTag(0, uint64(id))
	old, err := s.table.lookup(t)
	if err == nil && old.block != 0 {
		s.setPage(t, ref{}, old)
	}
	return err
}

// setPage notes where a page of this commit lies. The table may say so at
// once: the page is resident until the commit is durable, and a failed commit
// is the last one.
func (s *Store) setPage(t tag, r, old ref) {
	if old.block == 0 {
		s.pages++
	}
	if r.block == 0 {
		s.pages--
	}
	s.note(recordEntry{t, r, old.block})
	s.table.overlay.put(t, packRef(r))
}

// putRecords writes the commit records (step 5).
func (s *Store) putRecords(r *root) error {
	j := &s.journal
	var carry []recordEntry
	var blocks []uint32
	// Taking a block may end a segment, whose summary joins the group.
	for {
		carry = s.carry()
		if len(carry)+len(s.group) <= len(blocks)*recordEntries && len(blocks) > 0 {
			break
		}
		if err := s.room(headNew); err != nil {
			return err
		}
		blocks = append(blocks, s.space.alloc(headNew, tagNone))
	}
	prev, pos := s.replaced(len(carry)), j.pos-uint64(len(carry)+len(s.group))
	r.own, r.entries = uint32(len(blocks)), uint32(len(s.group))
	list := append(carry, s.group...)
	for i, block := range blocks {
		n := min(len(list), recordEntries)
		rec := record{instance: r.instance, epoch: r.epoch, index: uint32(i), prev: prev, entries: list[:n]}
		if i == 0 {
			rec.carried = uint32(len(carry))
		}
		list = list[n:]
		slot, err := s.w.reserve()
		if err != nil {
			return err
		}
		b := s.w.at(slot)
		rec.encode(b)
		s.w.putSlot(block, slot)
		prev = ref{block, checksum(b)}
		s.space.hold(block, 1)
		j.blocks = append(j.blocks, chainBlock{prev, pos, pos + uint64(n)})
		pos += uint64(n)
		j.tail = append(j.tail[:0], rec.entries...)
	}
	s.stats.RecordBlocks += uint64(len(blocks))
	for need := s.needed(); len(j.blocks) > len(blocks) && j.blocks[0].end <= need; {
		s.space.hold(j.blocks[0].ref.block, -1)
		j.blocks = j.blocks[1:]
	}
	r.record, r.records = prev, uint32(len(j.blocks))
	return nil
}

// carry returns the entries of the newest record that the next one repeats:
// those still needed, if all fit into one record.
func (s *Store) carry() []recordEntry {
	j := &s.journal
	if len(j.blocks) == 0 {
		return nil
	}
	last := j.blocks[len(j.blocks)-1]
	keep := j.tail
	if need := s.needed(); need > last.first {
		keep = keep[min(need-last.first, uint64(len(keep))):]
	}
	if len(keep)+len(s.group) > recordEntries {
		return nil
	}
	return append(make([]recordEntry, 0, recordEntries), keep...)
}

// replaced gives up the newest record if the next one repeats what is needed
// of it, and returns the record that the next one refers to.
func (s *Store) replaced(carried int) ref {
	j := &s.journal
	n := len(j.blocks)
	if n == 0 {
		return ref{}
	}
	last := j.blocks[n-1]
	if carried == 0 && last.end > s.needed() {
		return last.ref
	}
	s.space.hold(last.ref.block, -1)
	j.blocks = j.blocks[:n-1]
	if n == 1 {
		return ref{}
	}
	return j.blocks[n-2].ref
}
