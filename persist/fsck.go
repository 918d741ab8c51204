package persist

// Fsck reads everything that a recovery could need and names what is wrong.
//
//  1. Superblock and copy, reserved blocks, acknowledgement mark, root slots.
//  2. Would Open succeed, and with which root?
//  3. For each readable root, the newest first: its commit records and group,
//     all nodes of its page map, all pages.
//
// Damage below the root that Open takes is an error. The root before it is a
// reserve; it may rightly be incomplete after an interrupted commit, so damage
// below it is a warning.

import (
	"errors"
	"fmt"
	"io"
)

// Severity of a Problem.
const (
	SeverityError   = "error"
	SeverityWarning = "warning"
)

// Problem is one damaged place.
type Problem struct {
	Severity string  `json:"severity"`
	Epoch    Epoch   `json:"epoch,omitempty"` // the root that refers to it, 0 if none
	Page     *PageID `json:"page,omitempty"`
	Offset   int64   `json:"offset"` // bytes on the device
	Reason   string  `json:"reason"`
}

// RootReport describes one root slot.
type RootReport struct {
	Slot     int    `json:"slot"`
	Offset   int64  `json:"offset"`
	State    string `json:"state"` // blank, valid, torn, damaged
	Epoch    Epoch  `json:"epoch,omitempty"`
	Pages    uint64 `json:"pages,omitempty"`
	Nodes    int    `json:"nodes,omitempty"`
	Complete bool   `json:"complete"` // everything below it is intact
}

// Report is the result of Fsck; it can be written as JSON.
type Report struct {
	Instance      string       `json:"instance"`
	Versions      Versions     `json:"versions"`
	Size          int64        `json:"size"`
	SegmentBlocks int          `json:"segment_blocks"`
	Newest        Epoch        `json:"newest"` // the epoch that Open takes, 0 if it refuses
	Roots         []RootReport `json:"roots"`
	Problems      []Problem    `json:"problems"`
	Notes         []string     `json:"notes"`
}

// OK tells whether there is no error; warnings are allowed.
func (r *Report) OK() bool {
	for _, p := range r.Problems {
		if p.Severity == SeverityError {
			return false
		}
	}
	return true
}

type checker struct {
	dev    Device
	w      io.Writer
	report *Report
	werr   error
}

// Fsck checks the image and writes a readable account to w, which may be nil.
// Damage is in the report; the error says that there is no image to check, that
// it is of another version, or that w failed. The device is only read.
func Fsck(dev Device, w io.Writer) (Report, error) {
	if w == nil {
		w = io.Discard
	}
	c := &checker{dev: dev, w: w, report: &Report{Size: dev.Size(), Problems: []Problem{}, Notes: []string{}}}
	super, notes, err := readSuper(dev)
	if err != nil {
		return *c.report, err
	}
	c.report.Instance, c.report.SegmentBlocks = super.instance.String(), int(super.segmentBlocks)
	c.printf("instance %s, %d bytes, segments of %d blocks\n", super.instance, dev.Size(), super.segmentBlocks)
	for _, n := range notes {
		// The other copy is good. A crash while formatting leaves this too.
		c.problem(SeverityWarning, 0, &CorruptError{NoPage, superOffset(n), n})
	}
	c.checkHead()
	l := &loader{dev: dev, super: super, rec: &Recovered{}}
	l.readSlots()
	if l.acked, err = readAck(dev, super.instance); err != nil {
		c.problem(SeverityError, 0, err)
	}
	s, err := l.choose(0)
	switch {
	case errors.Is(err, ErrVersion):
		return *c.report, err
	case err != nil:
		c.problem(SeverityError, 0, err)
	default:
		c.report.Newest, c.report.Versions = s.root.epoch, s.root.versions
	}
	c.report.Notes = append(c.report.Notes, l.rec.Notes...)
	for _, n := range l.rec.Notes {
		c.printf("note: %s\n", n)
	}
	c.checkSlots(l)
	c.printf("%d problems\n", len(c.report.Problems))
	return *c.report, c.werr
}

func superOffset(note string) int64 {
	if len(note) > 4 && note[:4] == "copy" {
		return blockOffset(superCopyBlock)
	}
	return 0
}

func (c *checker) printf(format string, args ...any) {
	if _, err := fmt.Fprintf(c.w, format, args...); err != nil && c.werr == nil {
		c.werr = err
	}
}

func (c *checker) problem(severity string, e Epoch, err error) {
	p := Problem{Severity: severity, Epoch: e, Reason: err.Error()}
	var ce *CorruptError
	if errors.As(err, &ce) {
		p.Offset, p.Reason = ce.Offset, ce.Reason
		if ce.Page != NoPage {
			p.Page = &ce.Page
		}
	}
	c.report.Problems = append(c.report.Problems, p)
	c.printf("%s: %v\n", severity, err)
}

// checkHead looks at the reserved blocks before the log.
func (c *checker) checkHead() {
	b := make([]byte, BlockSize)
	for block := range uint32(logStart) {
		switch block {
		case superBlock, superCopyBlock, ackBlock, rootSlots[0], rootSlots[1]:
			continue
		}
		if err := readFull(c.dev, b, blockOffset(block)); err != nil {
			c.problem(SeverityError, 0, err)
		} else if !allZero(b) {
			c.problem(SeverityError, 0, &CorruptError{NoPage, blockOffset(block), "reserved block is not zero"})
		}
	}
}

func (c *checker) checkSlots(l *loader) {
	for i := range l.slots {
		st := &l.slots[i]
		rr := RootReport{Slot: i, Offset: blockOffset(rootSlots[i]), State: slotNames[st.kind]}
		switch st.kind {
		case slotDamaged:
			c.problem(SeverityError, 0, st.err)
		case slotValid:
			severity := SeverityWarning
			if st.root.epoch == c.report.Newest || c.report.Newest == 0 {
				severity = SeverityError
			}
			c.checkRoot(l, st, severity, &rr)
		}
		c.printf("root slot %d at %#x: %s, epoch %d, %d pages, %d map nodes, complete %v\n", i, rr.Offset, rr.State, rr.Epoch, rr.Pages, rr.Nodes, rr.Complete)
		c.report.Roots = append(c.report.Roots, rr)
	}
}

// checkRoot proves all that a root refers to.
func (c *checker) checkRoot(l *loader, st *slotState, severity string, rr *RootReport) {
	rr.Epoch, rr.Complete = st.root.epoch, true
	seen := map[int64]bool{}
	bad := func(err error) {
		rr.Complete = false
		var ce *CorruptError
		if errors.As(err, &ce) && ce.Page != NoPage {
			if seen[ce.Offset] {
				return // the group and the map both refer to it
			}
			seen[ce.Offset] = true
		}
		c.problem(severity, st.root.epoch, err)
	}
	s, err := l.shell(st)
	if err != nil {
		bad(err)
		return
	}
	if err := s.verifyGroup(bad); err != nil {
		bad(err)
	}
	if err := s.loadMap(bad); err != nil {
		bad(err)
	}
	if rr.Complete && !s.space.rebuilt(s.root.tail) {
		bad(&CorruptError{NoPage, blockOffset(s.root.tail), "the tail of the log is in use"})
	}
	rr.Pages = s.pages.pages
	b := make([]byte, BlockSize)
	s.pages.each(func(p PageID, r ref) bool {
		if !s.space.inLog(r.block, len(s.space.segs)) {
			return true // reported by loadMap
		}
		if err := s.readBlock(r, b, p, "page checksum differs"); err != nil {
			bad(err)
		}
		return true
	})
	rr.Nodes = s.pages.top.count()
}

// count is the number of nodes on the device at and below n.
func (n *node) count() int {
	c := 0
	if n.self.block != 0 {
		c++
	}
	for _, k := range n.kids {
		if k != nil {
			c += k.count()
		}
	}
	return c
}
