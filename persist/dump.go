package persist

import (
	"fmt"
	"io"
)

// Dump writes the superblock, both root slots, the acknowledgement mark, and
// the newest root's chain of commit records and top node in hexadecimal with the main
// fields decoded. Lines of zeros are left out. docs/format.md shows the result.
func Dump(dev Device, w io.Writer) error {
	d := &dumper{dev: dev, w: w, buf: make([]byte, BlockSize)}
	super, notes, err := readSuper(dev)
	if err != nil {
		return err
	}
	d.printf("superblock: read version %d, write version %d, segments of %d blocks, instance %s\n",
		super.readVersion, super.writeVersion, super.segmentBlocks, super.instance)
	for _, n := range notes {
		d.printf("note: %s\n", n)
	}
	d.block(superBlock)
	l := &loader{dev: dev, super: super, rec: &Recovered{}}
	l.readSlots()
	for i := range l.slots {
		st := &l.slots[i]
		if st.kind != slotValid {
			d.printf("root slot %d: %s\n", i, slotNames[st.kind])
		} else {
			r := &st.root
			d.printf("root slot %d: epoch %d, acknowledged %d, %d pages, group of %d entries in %d of %d commit records, the last at %#x, top node %#x, tails %#x and %#x, %d segments, meta %q\n",
				i, r.epoch, r.acked, r.pages, r.entries, r.own, r.records, blockOffset(r.record.block), blockOffset(r.top.block), blockOffset(r.tails[0]), blockOffset(r.tails[1]), r.segments, r.meta)
		}
		d.block(rootSlots[i])
	}
	ack, err := readAck(dev, super.instance)
	d.printf("acknowledgement mark: epoch %d", ack)
	if err != nil {
		d.printf(" (%v)", err)
	}
	d.printf("\n")
	d.block(ackBlock)
	if s, err := l.choose(0); err != nil {
		d.printf("no root to follow: %v\n", err)
	} else {
		d.follow(s)
	}
	return d.err
}

var slotNames = [...]string{slotBlank: "blank", slotValid: "valid", slotTorn: "torn", slotDamaged: "damaged"}

type dumper struct {
	dev Device
	w   io.Writer
	buf []byte
	err error
}

func (d *dumper) printf(format string, args ...any) {
	if d.err == nil {
		_, d.err = fmt.Fprintf(d.w, format, args...)
	}
}

// block prints one block, 16 bytes a line.
func (d *dumper) block(b uint32) {
	if d.err != nil {
		return
	}
	if d.err = readFull(d.dev, d.buf, blockOffset(b)); d.err != nil {
		return
	}
	for o := 0; o < BlockSize; o += 16 {
		if line := d.buf[o : o+16]; !allZero(line) {
			d.printf("  %08x  % x  % x\n", blockOffset(b)+int64(o), line[:8], line[8:])
		}
	}
}

// follow prints what the root of s refers to directly.
func (d *dumper) follow(s *Store) {
	at := s.root.record
	for range s.root.records {
		if d.err = readFull(d.dev, d.buf, blockOffset(at.block)); d.err != nil {
			return
		}
		rec, err := decodeRecord(d.buf, at.block)
		if err != nil {
			d.err = err
			return
		}
		d.printf("commit record %d of epoch %d: %d entries, %d of them repeated\n", rec.index, rec.epoch, len(rec.entries), rec.carried)
		d.block(at.block)
		for _, e := range rec.entries {
			d.printf("  %s", tagName(e.tag))
			if e.ref.block == 0 {
				d.printf(" absent")
			} else {
				d.printf(" at %#x, checksum %08x", blockOffset(e.ref.block), e.ref.crc)
			}
			if e.old != 0 {
				d.printf(", was at %#x", blockOffset(e.old))
			}
			d.printf("\n")
		}
		at = rec.prev
	}
	if s.root.top.block != 0 {
		d.printf("top node\n")
		d.block(s.root.top.block)
	}
}

// tagName says what t names.
func tagName(t tag) string {
	if k, ok := t.usage(); ok {
		return fmt.Sprintf("usage block %d", k)
	}
	if si, ok := t.summary(); ok {
		return fmt.Sprintf("summary of segment %d", si)
	}
	if t.level() == 0 {
		return fmt.Sprintf("page %#x", t.id())
	}
	return fmt.Sprintf("level %d from page %#x", t.level(), uint64(t.page()))
}
