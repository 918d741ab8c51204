package gofront

import (
	"errors"
	"sort"

	"phantomvm/bytecode"
)

// Second half of slot allocation: joining registers and giving them slots.

type pinKey struct {
	pin  uint8
	slot int
}

func (a *allocator) find(v vreg) vreg {
	for a.parent[v] != v {
		a.parent[v] = a.parent[a.parent[v]]
		v = a.parent[v]
	}
	return v
}

func overlap(x, y []seg) bool {
	i, j := 0, 0
	for i < len(x) && j < len(y) {
		switch {
		case x[i].end <= y[j].start:
			i++
		case y[j].end <= x[i].start:
			j++
		default:
			return true
		}
	}
	return false
}

// overlapAny is overlap for a short x and a long y.
func overlapAny(x, y []seg) bool {
	if len(x)*8 > len(y) {
		return overlap(x, y)
	}
	for _, s := range x {
		i := sort.Search(len(y), func(i int) bool { return y[i].end > s.start })
		if i < len(y) && y[i].start < s.end {
			return true
		}
	}
	return false
}

func mergeSegs(x, y []seg) []seg {
	out := make([]seg, 0, len(x)+len(y))
	for len(x) > 0 || len(y) > 0 {
		var s seg
		if len(y) == 0 || len(x) > 0 && x[0].start < y[0].start {
			s, x = x[0], x[1:]
		} else {
			s, y = y[0], y[1:]
		}
		if n := len(out); n > 0 && out[n-1].end == s.start {
			out[n-1].end = s.end
		} else {
			out = append(out, s)
		}
	}
	return out
}

// prepare sets up classes and finds what the recover point reads.
func (a *allocator) prepare() {
	f := a.f
	a.parent = make([]vreg, len(f.vregs))
	for v := range a.parent {
		a.parent[v] = vreg(v)
		if vi := &f.vregs[v]; vi.pin != pinNone && len(a.segs[v]) > 0 {
			for w := range int(vi.w) {
				k := pinKey{vi.pin, int(vi.off) + w}
				a.pins[k] = append(a.pins[k], vreg(v))
			}
		}
	}
	if f.recover != 0 {
		all := []seg{{0, int32(2*len(f.ins) + 2)}}
		a.blocks[f.recoverBlock].in.each(func(v int) {
			a.always = append(a.always, vreg(v))
			a.segs[v] = all
		})
	}
}

func (a *allocator) isAlways(v vreg) bool {
	for _, w := range a.always {
		if w == v {
			return true
		}
	}
	return false
}

type move struct {
	d, s  vreg
	index int
}

// coalesce joins the two sides of moves where their ranges allow it.
func (a *allocator) coalesce() {
	a.prepare()
	f := a.f
	depth := a.loopDepth()
	var moves []move
	for i := range f.ins {
		in := &f.ins[i]
		switch {
		case in.op == m(bytecode.OpMOV), in.op == m(bytecode.OpMOV2), in.op == m(bytecode.OpMOV3), in.op == m(bytecode.OpMOVN):
		default:
			continue
		}
		if in.a.off != 0 || in.b.off != 0 {
			continue
		}
		d, s := &f.vregs[in.a.v], &f.vregs[in.b.v]
		if d.w != s.w || moveWords(in) != int(d.w) || !d.ptr.equal(s.ptr) {
			continue
		}
		moves = append(moves, move{in.a.v, in.b.v, i})
	}
	sort.SliceStable(moves, func(i, j int) bool { return depth[moves[i].index] > depth[moves[j].index] })
	for _, mv := range moves {
		a.join(a.find(mv.d), a.find(mv.s))
	}
}

func moveWords(i *ins) int {
	switch bytecode.Op(i.op) {
	case bytecode.OpMOV:
		return 1
	case bytecode.OpMOV2:
		return 2
	case bytecode.OpMOV3:
		return 3
	}
	return int(i.wa)
}

// loopDepth counts the backward branches that enclose each instruction.
func (a *allocator) loopDepth() []uint8 {
	f := a.f
	pos := make([]int, f.nlabels)
	for i := range f.ins {
		if f.ins[i].op == pLabel {
			pos[f.ins[i].label] = i
		}
	}
	delta := make([]int, len(f.ins)+1)
	for i := range f.ins {
		if in := &f.ins[i]; in.op < 256 && in.label != 0 && pos[in.label] <= i {
			delta[pos[in.label]]++
			delta[i+1]--
		}
	}
	d := make([]uint8, len(f.ins))
	n := 0
	for i := range d {
		n += delta[i]
		d[i] = uint8(min(n, 255))
	}
	return d
}

func (a *allocator) join(d, s vreg) {
	f := a.f
	if d == s || a.isAlways(d) || a.isAlways(s) || overlap(a.segs[d], a.segs[s]) {
		return
	}
	dp, sp := f.vregs[d].pin, f.vregs[s].pin
	switch {
	case dp != pinNone && sp != pinNone:
		if dp != sp || f.vregs[d].off != f.vregs[s].off {
			return
		}
	case dp != pinNone:
		if !a.fitsPin(d, s) {
			return
		}
	case sp != pinNone:
		if !a.fitsPin(s, d) {
			return
		}
		d, s = s, d
	}
	a.parent[s] = d
	a.segs[d] = mergeSegs(a.segs[d], a.segs[s])
	a.segs[s] = nil
}

// fitsPin says whether class s may lie where class d is pinned.
func (a *allocator) fitsPin(d, s vreg) bool {
	vi := &a.f.vregs[d]
	for w := range int(vi.w) {
		for _, o := range a.pins[pinKey{vi.pin, int(vi.off) + w}] {
			if r := a.find(o); r != d && overlap(a.segs[r], a.segs[s]) {
				return false
			}
		}
	}
	if vi.pin != pinWin {
		return true
	}
	for _, sg := range a.segs[s] {
		i := sort.Search(len(a.calls), func(i int) bool { return a.calls[i] >= sg.start })
		if i < len(a.calls) && a.calls[i] < sg.end {
			return false
		}
	}
	return true
}

// colour assigns slots.
func (a *allocator) colour() {
	f := a.f
	a.slot = make([]int32, len(f.vregs))
	occ := make([][]seg, bytecode.FrameArgs+f.args)
	var order []vreg
	for v := 1; v < len(f.vregs); v++ {
		a.slot[v] = -1
		if a.parent[v] != vreg(v) || len(a.segs[v]) == 0 {
			continue
		}
		vi := &f.vregs[v]
		if vi.pin == pinSlot {
			a.slot[v] = int32(vi.off)
			for w := range int(vi.w) {
				occ[int(vi.off)+w] = mergeSegs(occ[int(vi.off)+w], a.segs[v])
			}
			continue
		}
		if vi.pin == pinNone {
			order = append(order, vreg(v))
		}
	}
	sort.SliceStable(order, func(i, j int) bool { return a.segs[order[i]][0].start < a.segs[order[j]][0].start })
	for _, v := range order {
		w := int(f.vregs[v].w)
		s := bytecode.FrameArgs
		if a.isAlways(v) { // cleared at entry, which no argument may be
			s += f.args
		}
	search:
		for ; ; s++ {
			for k := range w {
				if s+k < len(occ) && overlapAny(a.segs[v], occ[s+k]) {
					continue search
				}
			}
			break
		}
		a.slot[v] = int32(s)
		for k := range w {
			for s+k >= len(occ) {
				occ = append(occ, nil)
			}
			occ[s+k] = insertSegs(occ[s+k], a.segs[v])
		}
	}
	a.base = len(occ)
	for v := 1; v < len(f.vregs); v++ {
		if vi := &f.vregs[v]; vi.pin == pinWin && a.parent[v] == vreg(v) {
			a.slot[v] = int32(a.base + int(vi.off))
		}
	}
}

// insertSegs merges y into x; most often it belongs at the end.
func insertSegs(x, y []seg) []seg {
	if len(x) == 0 {
		return append(x, y...)
	}
	if x[len(x)-1].end <= y[0].start {
		if x[len(x)-1].end == y[0].start {
			x[len(x)-1].end = y[0].end
			y = y[1:]
		}
		return append(x, y...)
	}
	return mergeSegs(x, y)
}

// errFrame: the frame does not fit; smaller variables have to leave it.
var errFrame = errors.New("stack frame too large")

func (a *allocator) frameSize() int { return a.base + a.f.winMax }

// slotOf is the final slot of an operand; for frame offsets use byteOf.
func (a *allocator) slotOf(o opd) int {
	if o.v == winReg {
		return a.base + int(o.off)
	}
	return int(a.slot[a.find(o.v)]) + int(o.off)
}

func (a *allocator) byteOf(o opd) int { return int(a.slot[a.find(o.v)])*8 + int(o.off) }
