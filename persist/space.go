package persist

// The space of the log.
//
// The log is cut into segments. A group is appended at two heads: nodes, records
// and pages that are written often at one, at the other those that the cleaner
// moved or that the program had not written for long, because they are colder. The last block of a segment is
// its summary: the tag of every other block, written when the segment is full.
//
//  1. Each segment has a count of its live blocks, those that the page map
//     refers to. The counts are kept in usage blocks, whose changes follow from
//     the commit records like those of nodes. They are a hint: what may be
//     overwritten is decided by the summary and the page map (clean.go).
//  2. Records that a recovery needs are held apart from the counts.
//  3. A segment without live and held blocks rests for two commits (I3) and is
//     then free. Free segments are taken lowest first, so that a sparse image
//     stays short.
//
// The counts are read with the first commit, not when the image is opened.

import "container/heap"

type segState uint8

const (
	segUsed     segState = iota
	segActive            // a head fills it
	segResting           // in the quarantine
	segFree              // in the free heap
	segDoubtful          // free by its count, but without a readable summary
)

type segment struct {
	live   int32
	held   int32
	state  segState
	sealed uint64 // the commit that wrote the summary; 0: before the image was opened
	born   uint64 // the clock when it was begun
	cold   bool   // filled by headCold
	bad    bool   // its summary can't be read
}

type intHeap []int

func (h intHeap) Len() int           { return len(h) }
func (h intHeap) Less(i, j int) bool { return h[i] < h[j] }
func (h intHeap) Swap(i, j int)      { h[i], h[j] = h[j], h[i] }
func (h *intHeap) Push(x any)        { *h = append(*h, x.(int)) }
func (h *intHeap) Pop() any {
	old := *h
	x := old[len(old)-1]
	*h = old[:len(old)-1]
	return x
}

type resting struct {
	segment int
	commit  uint64 // the commit that freed it
}

// head is where blocks are appended.
type head struct {
	seg   int // -1: none
	next  int
	tags  []tag
	start uint64 // journal position when the segment was begun
}

// The heads.
const (
	headNew = iota
	headCold
	heads
)

type logSpace struct {
	perSegment int
	total      int // segments that fit on the device
	segs       []segment
	known      bool // the counts were read
	delta      map[int]int32
	free       intHeap
	quarantine []resting
	rested     int // segments in the quarantine
	doubtful   []int
	heads      [heads]head
	live       int // sum of the counts
	held       int
	commit     uint64
	clock      uint64 // blocks given out since the image was opened
}

func newLogSpace(perSegment uint32, deviceSize int64) *logSpace {
	blocks := min(deviceSize/BlockSize, 1<<32-1)
	l := &logSpace{
		perSegment: int(perSegment), total: min(max(0, int((blocks-logStart)/int64(perSegment))), maxSegments),
		known: true, delta: map[int]int32{},
	}
	for h := range l.heads {
		l.heads[h].seg = -1
	}
	return l
}

func (l *logSpace) segmentOf(block uint32) (seg, i int) {
	b := int(block) - logStart
	return b / l.perSegment, b % l.perSegment
}

func (l *logSpace) block(seg, i int) uint32 { return uint32(logStart + seg*l.perSegment + i) }

// inLog tells whether block lies in a segment that was ever used.
func (l *logSpace) inLog(block uint32) bool {
	return block >= logStart && int64(block) < int64(logStart)+int64(len(l.segs))*int64(l.perSegment)
}

// count adds n to the live blocks of block's segment.
func (l *logSpace) count(block uint32, n int32) {
	if !l.inLog(block) {
		return // absent, or nonsense of a forged image
	}
	si, _ := l.segmentOf(block)
	if !l.known {
		l.delta[si] += n
		return
	}
	l.correct(si, l.segs[si].live+n)
	l.rest(si)
}

// correct sets a segment's count within its bounds.
func (l *logSpace) correct(si int, live int32) {
	live = min(max(live, 0), int32(l.perSegment-1))
	l.live += int(live - l.segs[si].live)
	l.segs[si].live = live
}

// hold keeps a record's block from being overwritten (n = 1) or gives it up (-1).
func (l *logSpace) hold(block uint32, n int32) {
	si, _ := l.segmentOf(block)
	l.segs[si].held += n
	l.held += int(n)
	if l.known {
		l.rest(si)
	}
}

// rest puts a segment that has become empty into the quarantine.
func (l *logSpace) rest(si int) {
	if s := &l.segs[si]; s.state == segUsed && s.live == 0 && s.held == 0 {
		s.state = segResting
		l.rested++
		freed := l.commit
		if s.sealed == freed {
			freed++ // its summary is in the group of this commit
		}
		l.quarantine = append(l.quarantine, resting{si, freed})
	}
}

// begin starts a commit: segments that were freed two commits ago become free.
func (l *logSpace) begin() {
	l.commit++
	n := 0
	for n < len(l.quarantine) && l.quarantine[n].commit+2 <= l.commit {
		si := l.quarantine[n].segment
		n++
		l.rested--
		if s := &l.segs[si]; s.live == 0 && s.held == 0 {
			l.setFree(si)
		} else {
			s.state = segUsed // its count was corrected meanwhile
		}
	}
	l.quarantine = append(l.quarantine[:0], l.quarantine[n:]...)
}

func (l *logSpace) setFree(si int) {
	l.segs[si].state = segFree
	heap.Push(&l.free, si)
}

// take gives head h the next free segment; ok is false if there is none. The
// caller proves that it is free unless fresh.
func (l *logSpace) take() (si int, fresh, ok bool) {
	switch {
	case len(l.free) > 0:
		return heap.Pop(&l.free).(int), false, true
	case len(l.segs) < l.total:
		l.segs = append(l.segs, segment{})
		return len(l.segs) - 1, true, true
	}
	return 0, false, false
}

// open makes si the segment of head h; start is the journal's position.
func (l *logSpace) open(h, si int, start uint64) {
	l.segs[si] = segment{state: segActive, born: l.clock, cold: h == headCold}
	l.heads[h] = head{seg: si, tags: l.heads[h].tags[:0], start: start}
}

// headFor tells at which head a page is written that lies at old now. One that
// was written lately goes to the new blocks, where most soon die together; one
// that was not is expected to stay and goes to the cold ones. It does not matter
// while the log is short.
func (l *logSpace) headFor(old uint32) int {
	if l.live < 8*l.perSegment || !l.inLog(old) {
		return headNew
	}
	si, _ := l.segmentOf(old)
	g := &l.segs[si]
	age := l.clock - g.born
	if g.cold {
		age *= 3 // perhaps it is only the cleaner that wrote it lately
	}
	if age < uint64(l.live) {
		return headNew
	}
	return headCold
}

// full tells whether only the summary is missing.
func (l *logSpace) full(h int) bool { return l.heads[h].next == l.perSegment-1 }

// alloc gives the next block of the head's segment, which has room, to t.
func (l *logSpace) alloc(h int, t tag) uint32 {
	hd := &l.heads[h]
	b := l.block(hd.seg, hd.next)
	hd.next++
	l.clock++
	hd.tags = append(hd.tags, t)
	return b
}

// seal ends the segment of head h, whose summary is written, and returns its number.
func (l *logSpace) seal(h int) {
	si := l.heads[h].seg
	l.heads[h].seg = -1
	l.segs[si].state, l.segs[si].sealed = segUsed, l.commit
	l.rest(si)
}

// tail is the block that head h fills next, or 0 if it needs a new segment.
func (l *logSpace) tail(h int) uint32 {
	if l.heads[h].seg < 0 {
		return 0
	}
	return l.block(l.heads[h].seg, l.heads[h].next)
}

// available counts the blocks that can still be given out.
func (l *logSpace) available() int {
	n := (len(l.free) + l.total - len(l.segs)) * (l.perSegment - 1)
	for h := range l.heads {
		if l.heads[h].seg >= 0 {
			n += l.perSegment - 1 - l.heads[h].next
		}
	}
	return n
}

// usedBlocks are those in segments that are not free.
func (l *logSpace) usedBlocks() int { return (len(l.segs) - len(l.free)) * l.perSegment }

// slackSegments is what the log may use beyond twice the live blocks.
const slackSegments = 4

// wantsCleaning tells whether live blocks should be moved: the log has grown
// to its bound, or the device is nearly full.
func (l *logSpace) wantsCleaning() bool {
	if l.usedBlocks()-l.rested*l.perSegment > 2*(l.live+l.held)+slackSegments*l.perSegment {
		return true
	}
	return l.available() < l.total*l.perSegment/4
}
