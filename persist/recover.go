package persist

// Finding the newest valid root.
//
//  1. The superblock, or its copy, tells the geometry and the instance.
//  2. Both root slots are read. Each of a slot's sectors carries a checksum of
//     its own and an epoch: sectors of two epochs, each whole, are a torn
//     write, a sector that is not whole is damage.
//  3. From the newest root down: the chain of commit records and every block
//     of the root's own commit is read and proven (I1). The first root that
//     passes is taken.
//  4. A newer root that failed is an interrupted commit, unless its epoch is
//     known to have been acknowledged: by the mark that a clean stop leaves.
//     Acknowledged and damaged is an error that names the older epochs; the
//     caller decides (OpenAt).
//  5. The chain tells what is newer than the nodes of the page map
//     (journal.go). Nodes and pages are read and proven when they are needed.
//  6. Flush (I7).

import (
	"encoding/binary"
	"errors"
	"fmt"
	"sort"
)

type slotKind int

const (
	slotBlank slotKind = iota
	slotValid
	slotTorn
	slotDamaged
)

type slotState struct {
	slot int
	kind slotKind
	root root
	tags []uint32 // epoch tags (low 24 bits) of the whole sectors
	err  error    // why it is damaged
	torn bool     // the root is whole, a block of its group is not
}

// Open recovers the newest state. Errors: ErrNotFormatted, ErrVersion,
// *CorruptError, *RootDamagedError, or a device error.
func Open(dev Device) (*Store, *Recovered, error) { return open(dev, 0, true) }

// OpenAt recovers the state of one epoch, of which a device offers at most
// two. The next commit makes it the newest; what was newer is then lost.
func OpenAt(dev Device, e Epoch) (*Store, *Recovered, error) { return open(dev, e, true) }

// Inspect tells what Open would recover. It only reads, so the answer is not
// durable yet if a crash left writes unflushed; on a device in use it may
// describe a commit in progress.
func Inspect(dev Device) (*Recovered, error) {
	_, rec, err := open(dev, 0, false)
	return rec, err
}

func open(dev Device, at Epoch, flush bool) (*Store, *Recovered, error) {
	super, notes, err := readSuper(dev)
	if err != nil {
		return nil, nil, err
	}
	l := &loader{dev: dev, super: super, rec: &Recovered{Notes: notes}}
	l.readSlots()
	if l.acked, err = readAck(dev, super.instance); err != nil {
		if !errors.Is(err, ErrCorrupt) {
			return nil, nil, err
		}
		l.note("%v", err)
	}
	s, err := l.choose(at)
	if err != nil {
		return nil, nil, err
	}
	s.nextEpoch = l.unusedEpoch(s.root.epoch)
	if flush {
		if err := dev.Flush(); err != nil {
			return nil, nil, ioError("flush", 0, err)
		}
	}
	l.rec.Epoch, l.rec.Versions, l.rec.InstanceID = s.root.epoch, s.root.versions, super.instance
	l.rec.Meta, l.rec.Pages = append([]byte(nil), s.root.meta...), s.root.pages
	return s, l.rec, nil
}

func readSuper(dev Device) (superblock, []string, error) {
	if dev.Size() < blockOffset(logStart) {
		return superblock{}, nil, fmt.Errorf("%w: the device has only %d bytes", ErrNotFormatted, dev.Size())
	}
	b := make([]byte, BlockSize)
	read := func(block uint32) (superblock, error) {
		if err := readFull(dev, b, blockOffset(block)); err != nil {
			return superblock{}, err
		}
		return decodeSuper(b, block)
	}
	first, err := read(superBlock)
	if errors.Is(err, ErrVersion) {
		return first, nil, err
	}
	second, err2 := read(superCopyBlock)
	switch {
	case err == nil && err2 == nil && first != second:
		return first, nil, &CorruptError{NoPage, 0, "the two superblocks differ"}
	case err == nil && err2 == nil:
		return first, nil, nil
	case err == nil:
		return first, []string{fmt.Sprintf("copy of the superblock at offset %#x: %v", blockOffset(superCopyBlock), err2)}, nil
	case err2 == nil && !allZeroBlock(dev, superBlock):
		return second, []string{fmt.Sprintf("superblock at offset 0: %v", err)}, nil
	case err2 == nil:
		// Create writes the copy first: the image was never finished.
		return first, nil, fmt.Errorf("%w: formatting was interrupted", ErrNotFormatted)
	}
	return first, nil, err
}

func allZeroBlock(dev Device, block uint32) bool {
	b := make([]byte, BlockSize)
	return readFull(dev, b, blockOffset(block)) == nil && allZero(b)
}

func readAck(dev Device, id InstanceID) (Epoch, error) {
	b := make([]byte, BlockSize)
	if err := readFull(dev, b, blockOffset(ackBlock)); err != nil {
		return 0, err
	}
	return decodeAck(b, id)
}

type loader struct {
	dev    Device
	super  superblock
	slots  [2]slotState
	acked  Epoch
	traced Epoch // found in the log behind the tails
	rec    *Recovered
}

func (l *loader) note(format string, args ...any) {
	l.rec.Notes = append(l.rec.Notes, fmt.Sprintf(format, args...))
}

func (l *loader) readSlots() {
	b := make([]byte, BlockSize)
	for i := range l.slots {
		off := blockOffset(rootSlots[i])
		if err := readFull(l.dev, b, off); err != nil {
			l.slots[i] = slotState{slot: i, kind: slotDamaged, err: err}
			continue
		}
		l.slots[i] = classifySlot(b, i, l.super.instance)
	}
}

// classifySlot does step 2 for one slot.
func classifySlot(b []byte, slot int, id InstanceID) slotState {
	st := slotState{slot: slot}
	payload := make([]byte, 0, rootPayload)
	blank := 0
	for i := range rootSectors {
		s := b[i*sectorSize : (i+1)*sectorSize]
		payload = append(payload, s[:sectorPayload]...)
		t := binary.LittleEndian.Uint32(s[sectorPayload:])
		switch {
		case allZero(s):
			blank++
		case checksum(s[:sectorPayload+4]) != binary.LittleEndian.Uint32(s[sectorPayload+4:]) || int(t&0xff) != i:
			st.kind = slotDamaged
			if st.err == nil {
				st.err = &CorruptError{NoPage, blockOffset(rootSlots[slot]) + int64(i*sectorSize), "root sector checksum differs"}
			}
		default:
			st.tags = append(st.tags, t>>8)
		}
	}
	switch {
	case st.kind == slotDamaged:
	case blank == rootSectors:
		st.kind = slotBlank
	case blank > 0 || !sameTags(st.tags):
		st.kind = slotTorn
	default:
		st.kind = slotValid
		if st.root, st.err = decodeRoot(payload, rootSlots[slot]); st.err != nil {
			st.kind = slotDamaged
		} else if st.root.instance != id {
			st.kind, st.err = slotDamaged, &CorruptError{NoPage, blockOffset(rootSlots[slot]), "root belongs to another instance"}
		}
	}
	return st
}

func sameTags(tags []uint32) bool {
	for _, t := range tags {
		if t != tags[0] {
			return false
		}
	}
	return true
}

// tagDelta is how far a sector's tag is ahead of e, negative if behind.
func tagDelta(tag uint32, e Epoch) int64 {
	d := int64(tag-uint32(e)) & 0xffffff
	if d >= 0x800000 {
		d -= 0x1000000
	}
	return d
}

// unusedEpoch is the first epoch after e of which the device shows no trace (I8).
func (l *loader) unusedEpoch(e Epoch) Epoch {
	next := max(e, l.acked, l.traced)
	for i := range l.slots {
		if l.slots[i].kind == slotValid {
			next = max(next, l.slots[i].root.epoch)
		}
		for _, t := range l.slots[i].tags {
			if d := tagDelta(t, e); d > 0 {
				next = max(next, e+Epoch(d))
			}
		}
	}
	return next + 1
}

// choose does steps 3 to 5.
func (l *loader) choose(at Epoch) (*Store, error) {
	var valid []*slotState
	for i := range l.slots {
		if st := &l.slots[i]; st.kind == slotValid {
			valid = append(valid, st)
		} else if errors.Is(st.err, ErrVersion) {
			return nil, st.err
		}
	}
	sort.Slice(valid, func(i, j int) bool { return valid[i].root.epoch > valid[j].root.epoch })
	if len(valid) == 2 {
		l.acked = max(l.acked, valid[0].root.acked)
	}
	if at != 0 {
		for _, st := range valid {
			if st.root.epoch == at {
				s, err := l.load(st)
				if err == nil {
					l.traced, _, err = s.trace()
				}
				return s, err
			}
		}
		return nil, fmt.Errorf("%w: no intact root of epoch %d on the device", ErrRootDamaged, at)
	}
	var newest *slotState // the newest that failed
	var cause error
	for i, st := range valid {
		s, err := l.load(st)
		if err != nil {
			if newest == nil {
				newest, cause = st, err
			}
			continue
		}
		if err := l.accept(s, newest, cause, valid[i:]); err != nil {
			return nil, err
		}
		return s, l.lost(s)
	}
	return nil, l.nothing(newest, cause)
}

// accept decides whether s may be taken although newest failed, or although a
// slot is unreadable (step 4).
func (l *loader) accept(s *Store, newest *slotState, cause error, available []*slotState) error {
	e := s.root.epoch
	damaged := func(n Epoch, why error) error {
		d := &RootDamagedError{Newest: n, Cause: why}
		for _, st := range available {
			d.Available = append(d.Available, st.root.epoch)
		}
		return d
	}
	if newest != nil {
		if newest.root.epoch <= l.acked || !newest.torn {
			return damaged(newest.root.epoch, cause)
		}
		l.rec.Incomplete = newest.root.epoch
		l.note("epoch %d was interrupted: %v", newest.root.epoch, cause)
	}
	for i := range l.slots {
		st := &l.slots[i]
		switch {
		case st.kind == slotDamaged && !st.olderThan(e):
			return damaged(0, st.err)
		case st.kind == slotDamaged:
			l.note("older root slot is damaged: %v", st.err)
		case st.kind == slotTorn && !st.olderThan(e):
			l.rec.Incomplete = max(l.rec.Incomplete, l.unusedEpoch(e)-1)
			l.note("the root at offset %#x was being written when the system stopped", blockOffset(rootSlots[i]))
		}
	}
	if e < l.acked {
		return damaged(l.acked, fmt.Errorf("%w: epoch %d was acknowledged, the newest complete one is %d", ErrCorrupt, l.acked, e))
	}
	return nil
}

// lost looks for evidence that the device has lost a root which it had
// acknowledged. An interrupted commit has the first number of which the slots
// show no trace; a higher one is begun only when that commit is durable.
func (l *loader) lost(s *Store) error {
	e, at, err := s.trace()
	if err != nil {
		return err
	}
	next := l.unusedEpoch(s.root.epoch)
	if e <= next {
		return nil
	}
	return &RootDamagedError{
		Newest: e, Available: []Epoch{s.root.epoch},
		Cause: &CorruptError{NoPage, at, fmt.Sprintf("the log holds a trace of epoch %d: the device has lost epoch %d, which it had acknowledged", e, next)},
	}
}

// olderThan tells whether every whole sector of the slot is of an epoch before e.
func (st *slotState) olderThan(e Epoch) bool {
	for _, t := range st.tags {
		if tagDelta(t, e) >= 0 {
			return false
		}
	}
	return len(st.tags) > 0
}

func (l *loader) nothing(newest *slotState, cause error) error {
	if newest != nil {
		return &RootDamagedError{Newest: newest.root.epoch, Cause: cause}
	}
	for i := range l.slots {
		if l.slots[i].err != nil {
			return &RootDamagedError{Cause: l.slots[i].err}
		}
	}
	return &RootDamagedError{Cause: &CorruptError{NoPage, blockOffset(rootSlots[0]), "no root slot is whole"}}
}
