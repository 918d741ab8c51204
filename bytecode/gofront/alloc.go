package gofront

import (
	"sort"

	"phantomvm/bytecode"
)

// Slot allocation.
//
//  1. Blocks are found in the linear code; what cannot be reached and pure
//     instructions without a reader are dropped.
//  2. Liveness of registers that cross blocks by the usual backward equations;
//     then every register gets its live range as a list of segments. Instruction i
//     reads at position 2i and writes at 2i+1; an early clobber writes at 2i.
//  3. Registers that a move connects and whose ranges do not meet are joined,
//     those in the innermost loops first.
//  4. Classes are coloured in order of their start; a class takes the lowest
//     consecutive slots whose occupants' ranges it does not meet.
//
// Registers pinned to the outgoing window lie above all others; each call
// destroys the window, so that only a range without a call may be joined to them.

type seg struct{ start, end int32 }

type block struct {
	first, last int // instruction indexes, last exclusive
	succs       []int
	live        bool
	in, out     bitmap
	use, def    bitmap
}

type allocator struct {
	f      *mfunc
	blocks []block
	segs   [][]seg // by register, later by class
	parent []vreg
	slot   []int32 // by class: first slot, -1 unknown
	always []vreg
	calls  []int32           // positions at which the window is destroyed
	base   int               // first slot of the window
	pins   map[pinKey][]vreg // roots of the classes that occupy a pinned slot
}

func endsBlock(i *ins) bool {
	if i.op >= 256 {
		return false
	}
	fl := bytecode.Info(bytecode.Op(i.op)).Flags
	return i.label != 0 || fl&(bytecode.FlagEnd|bytecode.FlagBranch) != 0
}

func fallsThrough(i *ins) bool {
	return i.op >= 256 || bytecode.Info(bytecode.Op(i.op)).Flags&bytecode.FlagEnd == 0
}

func allocate(f *mfunc) *allocator {
	a := &allocator{f: f, pins: map[pinKey][]vreg{}}
	a.findBlocks()
	a.reach()
	a.dropDead()
	a.liveness()
	a.ranges()
	a.coalesce()
	a.colour()
	return a
}

func (a *allocator) findBlocks() {
	f := a.f
	labelBlock := make([]int, f.nlabels)
	start := 0
	for i := range f.ins {
		in := &f.ins[i]
		if in.op == pLabel && i > start {
			a.blocks = append(a.blocks, block{first: start, last: i})
			start = i
		}
		if in.op == pLabel {
			labelBlock[in.label] = len(a.blocks)
		}
		if endsBlock(in) {
			a.blocks = append(a.blocks, block{first: start, last: i + 1})
			start = i + 1
		}
	}
	if start < len(f.ins) {
		a.blocks = append(a.blocks, block{first: start, last: len(f.ins)})
	}
	for b := range a.blocks {
		bl := &a.blocks[b]
		if bl.last == bl.first {
			continue
		}
		in := &f.ins[bl.last-1]
		if fallsThrough(in) && b+1 < len(a.blocks) {
			bl.succs = append(bl.succs, b+1)
		}
		if in.op < 256 && in.label != 0 {
			bl.succs = append(bl.succs, labelBlock[in.label])
		}
	}
	if f.recover != 0 {
		f.recoverBlock = labelBlock[f.recover]
	}
}

func (a *allocator) reach() {
	work := []int{0}
	if a.f.recover != 0 {
		work = append(work, a.f.recoverBlock)
	}
	for len(work) > 0 {
		b := work[len(work)-1]
		work = work[:len(work)-1]
		if a.blocks[b].live {
			continue
		}
		a.blocks[b].live = true
		work = append(work, a.blocks[b].succs...)
	}
	for b := range a.blocks {
		if bl := &a.blocks[b]; !bl.live {
			for i := bl.first; i < bl.last; i++ {
				if a.f.ins[i].op != pLabel {
					a.f.ins[i].op = pNone
				}
			}
		}
	}
}

// pure: the instruction does nothing but write its result.
func pure(i *ins) bool {
	if i.op == pDef {
		return true
	}
	if i.op >= 256 {
		return false
	}
	info := bytecode.Info(bytecode.Op(i.op))
	return info.Flags == 0 && (info.A == bytecode.Dst || info.A == bytecode.Dst2 || info.A == bytecode.Dst3 || info.A == bytecode.DstN)
}

func (a *allocator) dropDead() {
	f := a.f
	uses := make([]int32, len(f.vregs))
	count := func(i *ins, n int32) {
		f.visit(i, func(o *opd, w int, r role, frame bool) {
			if r == roleUse || r == roleBoth && !frame {
				uses[o.v] += n
			}
		})
	}
	for i := range f.ins {
		count(&f.ins[i], 1)
	}
	for changed := true; changed; {
		changed = false
		for i := len(f.ins) - 1; i >= 0; i-- {
			in := &f.ins[i]
			if in.op == pNone || !a.removable(in) {
				continue
			}
			dead := true
			f.visit(in, func(o *opd, w int, r role, frame bool) {
				if r != roleUse && uses[o.v] > 0 {
					dead = false
				}
			})
			if dead {
				count(in, -1)
				in.op = pNone
				changed = true
			}
		}
	}
}

func (a *allocator) removable(i *ins) bool {
	if i.op < 256 {
		switch bytecode.Op(i.op) {
		case bytecode.OpFST8, bytecode.OpFST16, bytecode.OpFST32:
			return true
		case bytecode.OpFCOPY:
			return true
		}
	}
	return pure(i)
}

func (a *allocator) liveness() {
	f := a.f
	for b := len(a.blocks) - 1; b >= 0; b-- {
		bl := &a.blocks[b]
		for i := bl.last - 1; i >= bl.first; i-- {
			f.visitDefs(&f.ins[i], func(v vreg) {
				bl.def.set(int(v))
				if int(v)>>6 < len(bl.use) {
					bl.use[v>>6] &^= 1 << (uint(v) & 63)
				}
			})
			f.visitUses(&f.ins[i], func(v vreg) { bl.use.set(int(v)) })
		}
		bl.in = append(bitmap{}, bl.use...)
	}
	for changed := true; changed; {
		changed = false
		for b := len(a.blocks) - 1; b >= 0; b-- {
			bl := &a.blocks[b]
			for _, s := range bl.succs {
				bl.out.or(a.blocks[s].in)
			}
			if bl.in.orMinus(bl.out, bl.def) {
				changed = true
			}
		}
	}
}

// visitDefs calls fn for registers that are fully defined, visitUses for those
// whose value before the instruction matters.
func (f *mfunc) visitDefs(i *ins, fn func(vreg)) {
	f.visit(i, func(o *opd, w int, r role, frame bool) {
		if r == roleDef && f.fullDef(o, w, frame) {
			fn(o.v)
		}
	})
}

func (f *mfunc) visitUses(i *ins, fn func(vreg)) {
	f.visit(i, func(o *opd, w int, r role, frame bool) {
		if r != roleDef || !f.fullDef(o, w, frame) {
			fn(o.v)
		}
	})
}

func (b *bitmap) or(c bitmap) {
	for len(*b) < len(c) {
		*b = append(*b, 0)
	}
	for i, w := range c {
		(*b)[i] |= w
	}
}

// orMinus adds out minus def; it says whether b grew.
func (b *bitmap) orMinus(out, def bitmap) bool {
	grew := false
	for i, w := range out {
		if i < len(def) {
			w &^= def[i]
		}
		if i >= len(*b) {
			*b = append(*b, 0)
		}
		if w&^(*b)[i] != 0 {
			(*b)[i] |= w
			grew = true
		}
	}
	return grew
}

// ranges builds segments from the blocks' last instruction to the first.
func (a *allocator) ranges() {
	f := a.f
	a.segs = make([][]seg, len(f.vregs))
	end := make([]int32, len(f.vregs)) // end of the open segment, 0 if none
	var opened []vreg
	open := func(v vreg, e int32) {
		if end[v] == 0 {
			end[v] = e
			opened = append(opened, v)
		}
	}
	closeSeg := func(v vreg, s int32) {
		e := end[v]
		if e == 0 {
			e = s + 1 // written, never read
		}
		end[v] = 0
		if n := len(a.segs[v]); n > 0 && a.segs[v][n-1].start <= e {
			a.segs[v][n-1].start = min(s, a.segs[v][n-1].start)
			return
		}
		a.segs[v] = append(a.segs[v], seg{s, e})
	}
	for b := len(a.blocks) - 1; b >= 0; b-- {
		bl := &a.blocks[b]
		if !bl.live {
			continue
		}
		bl.out.each(func(v int) { open(vreg(v), int32(2*bl.last)) })
		for i := bl.last - 1; i >= bl.first; i-- {
			in := &f.ins[i]
			def := int32(2*i + 1)
			if earlyClobber(in.op) {
				def--
			}
			f.visitDefs(in, func(v vreg) {
				if end[v] == 0 {
					end[v] = int32(2*i + 2)
				}
				closeSeg(v, def)
			})
			f.visitUses(in, func(v vreg) { open(v, int32(2*i+1)) })
			if clobbersWindow(in.op) {
				a.calls = append(a.calls, int32(2*i+1))
			}
		}
		for _, v := range opened {
			if end[v] != 0 {
				closeSeg(v, int32(2*bl.first))
			}
		}
		opened = opened[:0]
	}
	for v := range a.segs {
		s := a.segs[v]
		for i, j := 0, len(s)-1; i < j; i, j = i+1, j-1 {
			s[i], s[j] = s[j], s[i]
		}
	}
	sort.Slice(a.calls, func(i, j int) bool { return a.calls[i] < a.calls[j] })
}

func clobbersWindow(op mop) bool {
	if op >= 256 {
		return false
	}
	switch bytecode.Op(op) {
	case bytecode.OpNATIVE, bytecode.OpSELECT:
		return true
	}
	return bytecode.Info(bytecode.Op(op)).Flags&bytecode.FlagCall != 0
}
