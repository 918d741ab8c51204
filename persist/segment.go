package persist

// The space of the log.
//
// The log is cut into segments. A group is appended at the tail, in the
// active segment and then in free ones, the lowest first, so that a sparse
// image stays short. Each block knows its owner in memory (rebuilt from the
// page map when the image is opened); a segment without owners rests for two
// commits (I3) and is then free.
//
// When more than twice the live blocks are in use, each commit also copies
// forward a bounded number of blocks out of the emptiest segments. Those are
// at most half full, so the bound (twice the blocks of the commit and a few)
// keeps the log within about twice the live data and a constant.

import (
	"container/heap"
	"sort"
)

// Slack segments that the log may use beyond twice the live blocks.
const slackSegments = 8

type segment struct {
	live    int
	free    bool   // in the free heap
	resting bool   // in the quarantine
	filled  uint64 // the commit that last allocated here
	owners  []tag  // owner+1 of each block, 0 is none; nil if live is 0
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

type logSpace struct {
	perSegment int
	total      int // segments that fit on the device
	segs       []segment
	free       intHeap
	quarantine []resting
	active     int // segment being filled, -1 if none
	next       int // next block within it
	live       int // blocks with an owner
	commit     uint64
}

func newLogSpace(perSegment uint32, deviceSize int64) *logSpace {
	blocks := min(deviceSize/BlockSize, 1<<32-1)
	return &logSpace{perSegment: int(perSegment), total: max(0, int((blocks-logStart)/int64(perSegment))), active: -1}
}

func (l *logSpace) segmentOf(block uint32) (seg, i int) {
	b := int(block) - logStart
	return b / l.perSegment, b % l.perSegment
}

func (l *logSpace) block(seg, i int) uint32 { return uint32(logStart + seg*l.perSegment + i) }

// inLog tells whether block lies in the first n segments.
func (l *logSpace) inLog(block uint32, n int) bool {
	return block >= logStart && int64(block) < int64(logStart)+int64(n)*int64(l.perSegment)
}

// own gives a block to t; it is false if the block has an owner already (I4).
func (l *logSpace) own(block uint32, t tag) bool {
	si, i := l.segmentOf(block)
	s := &l.segs[si]
	if s.owners == nil {
		s.owners = make([]tag, l.perSegment)
	}
	if s.owners[i] != 0 {
		return false
	}
	s.owners[i] = ownerOf(t)
	s.live++
	l.live++
	return true
}

// ownerOf shifts a tag by one so that zero means nobody. tagRecord is the one
// value that would overflow; it is kept, and equals no shifted tag, because
// level 3 has one node only.
func ownerOf(t tag) tag {
	if t == tagRecord {
		return t
	}
	return t + 1
}

func (l *logSpace) release(block uint32) {
	if block == 0 {
		return
	}
	si, i := l.segmentOf(block)
	s := &l.segs[si]
	if s.owners == nil || s.owners[i] == 0 {
		panic("persist: invariant: a block without owner was released")
	}
	s.owners[i] = 0
	s.live--
	l.live--
	if s.live == 0 {
		s.owners = nil
		if si != l.active {
			l.rest(si)
		}
	}
}

func (l *logSpace) rest(si int) {
	l.segs[si].resting = true
	l.quarantine = append(l.quarantine, resting{si, l.commit})
}

// begin starts a commit: segments that were freed two commits ago become free.
func (l *logSpace) begin() {
	l.commit++
	n := 0
	for n < len(l.quarantine) && l.quarantine[n].commit+2 <= l.commit {
		si := l.quarantine[n].segment
		l.segs[si].resting = false
		l.setFree(si)
		n++
	}
	l.quarantine = append(l.quarantine[:0], l.quarantine[n:]...)
}

func (l *logSpace) setFree(si int) {
	l.segs[si].free = true
	heap.Push(&l.free, si)
}

// available counts the blocks that alloc can still give.
func (l *logSpace) available() int {
	n := (len(l.free) + l.total - len(l.segs)) * l.perSegment
	if l.active >= 0 {
		n += l.perSegment - l.next
	}
	return n
}

// alloc gives the next block of the log to t.
func (l *logSpace) alloc(t tag) (uint32, error) {
	if l.active < 0 || l.next == l.perSegment {
		if err := l.advance(); err != nil {
			return 0, err
		}
	}
	b := l.block(l.active, l.next)
	l.segs[l.active].filled = l.commit
	l.next++
	if !l.own(b, t) {
		panic("persist: invariant I4: a block at the tail has an owner")
	}
	return b, nil
}

// advance makes the lowest free segment the active one.
func (l *logSpace) advance() error {
	old := l.active
	switch {
	case len(l.free) > 0:
		l.active = heap.Pop(&l.free).(int)
		l.segs[l.active].free = false
	case len(l.segs) < l.total:
		l.segs = append(l.segs, segment{})
		l.active = len(l.segs) - 1
	default:
		return ErrNoSpace
	}
	l.next = 0
	if old >= 0 && l.segs[old].live == 0 {
		l.rest(old)
	}
	return nil
}

// tail is the block that alloc gives next, or 0 if it must take a new segment.
func (l *logSpace) tail() uint32 {
	if l.active < 0 || l.next == l.perSegment {
		return 0
	}
	return l.block(l.active, l.next)
}

// usedBlocks are those in segments that are not free.
func (l *logSpace) usedBlocks() int { return (len(l.segs) - len(l.free)) * l.perSegment }

// wantsCleaning tells whether live blocks should be moved: the log has grown
// near its bound, or the device is nearly full.
func (l *logSpace) wantsCleaning() bool {
	slack := slackSegments * l.perSegment
	if l.usedBlocks()-len(l.quarantine)*l.perSegment > l.live*15/8+slack {
		return true
	}
	return l.available() < l.total*l.perSegment/4
}

// victims returns the owners of up to budget blocks in the emptiest segments,
// with their blocks. Segments more than three quarters full are not worth it;
// those with blocks of the present commit are not on the device yet.
func (l *logSpace) victims(budget int) []recordEntry {
	var order []int
	for i := range l.segs {
		s := &l.segs[i]
		if i != l.active && s.filled != l.commit && s.live > 0 && s.live <= l.perSegment*3/4 {
			order = append(order, i)
		}
	}
	sort.Slice(order, func(a, b int) bool {
		x, y := &l.segs[order[a]], &l.segs[order[b]]
		return x.live < y.live || x.live == y.live && order[a] > order[b]
	})
	var out []recordEntry
	for _, si := range order {
		if len(out)+l.segs[si].live > budget && len(out) > 0 {
			break
		}
		for i, o := range l.segs[si].owners {
			if o != 0 && o != tagRecord && len(out) < budget {
				out = append(out, recordEntry{o - 1, ref{block: l.block(si, i)}})
			}
		}
	}
	return out
}

// rebuilt finishes opening: free segments follow from the owners. It is false
// if something lies behind the tail already.
func (l *logSpace) rebuilt(tail uint32) bool {
	if tail != 0 {
		l.active, l.next = l.segmentOf(tail)
		if o := l.segs[l.active].owners; o != nil {
			for _, t := range o[l.next:] {
				if t != 0 {
					return false
				}
			}
		}
	}
	for i := range l.segs {
		if l.segs[i].live == 0 && i != l.active {
			l.setFree(i)
		}
	}
	return true
}
