package persist

// Fsck reads everything that a recovery could need and names what is wrong.
//
//  1. Superblock and copy, reserved blocks, acknowledgement mark, root slots.
//  2. Would Open succeed, and with which root?
//  3. For each readable root: its chain of commit records and group, all nodes
//     of its page map, all pages, the summaries of segments with live blocks. The
//     counts of live blocks, which are hints, are compared with the truth.
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
	for _, n := range l.rec.Notes {
		c.note("%s", n)
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
	chain := &chainReader{s: s}
	if err := chain.read(); err != nil {
		bad(err)
		return // without the chain nothing says what is current
	}
	if err := s.verifyEntries(chain.group, bad); err != nil {
		bad(err)
	}
	s.replay(chain.chain, chain.refs)
	s.settleHeads()
	w := &rootChecker{checker: c, s: s, bad: bad, use: map[uint32]tag{}, severity: severity, buf: make([]byte, BlockSize)}
	for _, r := range chain.refs {
		w.claim(tagNone, r)
	}
	w.node(topTag, s.aboveDirty())
	rr.Pages, rr.Nodes = w.pages, w.nodes
	if rr.Complete && w.pages != s.pages {
		bad(s.pagesDiffer(w.pages))
	}
	w.segments(rr.Complete)
}

// rootChecker goes through what one root refers to.
type rootChecker struct {
	*checker
	s        *Store
	bad      func(error)
	use      map[uint32]tag
	severity string
	pages    uint64
	nodes    int
	buf      []byte
}

// claim gives a block its one use (I4).
func (w *rootChecker) claim(t tag, r ref) bool {
	if !w.s.space.inLog(r.block) {
		w.bad(&CorruptError{t.page(), blockOffset(r.block), "reference to a block outside the log"})
		return false
	}
	if _, ok := w.use[r.block]; ok {
		w.bad(&CorruptError{t.page(), blockOffset(r.block), "block is referenced twice"})
		return false
	}
	if si, i := w.s.space.segmentOf(r.block); w.s.space.segs[si].state == segActive {
		for h := range w.s.space.heads {
			if hd := &w.s.space.heads[h]; hd.seg == si && i >= hd.next {
				w.bad(&CorruptError{t.page(), blockOffset(r.block), "the tail of the log is in use"})
				return false
			}
		}
	}
	w.use[r.block] = t
	return true
}

func (w *rootChecker) node(t tag, dirty map[tag]bool) {
	r, err := w.s.where(t)
	if err == nil && r.block != 0 {
		if !w.claim(t, r) {
			return
		}
		w.nodes++
	}
	node := make([]uint64, nodeFan)
	if err == nil {
		err = w.s.content(t, node)
	}
	if err != nil {
		w.bad(err)
		return
	}
	for i, v := range node {
		c := t.child(i)
		switch r := unpackRef(v); {
		case v == 0 && !dirty[c]:
		case c.level() == 0:
			w.pages++
			if w.claim(c, r) {
				w.block(c, r, "page checksum differs")
			}
		case c.level() < t.level():
			w.node(c, dirty)
		case v != 0:
			w.nodes++
			if w.claim(c, r) {
				w.block(c, r, "usage block checksum differs")
			}
		}
	}
}

func (w *rootChecker) block(t tag, r ref, reason string) {
	if err := w.s.readBlock(r, w.buf, t.page(), reason); err != nil {
		w.bad(err)
	}
}

// segments compares the counts and the summaries with what is in use. Both are
// for cleaning only: a wrong count is a note, a damaged summary a warning, as no
// page is lost by it. A summary that does not know a live block is an error.
func (w *rootChecker) segments(complete bool) {
	live := make([]int32, len(w.s.space.segs))
	for b, t := range w.use {
		if t != tagNone {
			si, _ := w.s.space.segmentOf(b)
			live[si]++
		}
	}
	if !complete {
		return
	}
	if err := w.s.readCounts(); err != nil {
		w.bad(err)
		return
	}
	for si := range live {
		g := &w.s.space.segs[si]
		if g.live != live[si] {
			w.note("epoch %d: segment %d is said to have %d live blocks and has %d", w.s.root.epoch, si, g.live, live[si])
		}
		if live[si] == 0 || g.state == segActive {
			continue
		}
		tags, err := w.s.summary(si)
		if err != nil {
			w.problem(SeverityWarning, w.s.root.epoch, err)
			continue
		}
		for i, t := range tags {
			b := w.s.space.block(si, i)
			if o, ok := w.use[b]; ok && o != tagNone && o != t {
				w.bad(&CorruptError{o.page(), blockOffset(b), "the segment's summary does not know this block"})
			}
		}
	}
}

func (c *checker) note(format string, args ...any) {
	n := fmt.Sprintf(format, args...)
	c.report.Notes = append(c.report.Notes, n)
	c.printf("note: %s\n", n)
}
