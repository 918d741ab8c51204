package gofront

import "phantomvm/bytecode"

// Peephole rules on allocated code, then jump threading. Deleted instructions
// stay in place as pNone, so that positions in live ranges remain valid.

var inverseBranch = map[bytecode.Op]bytecode.Op{
	bytecode.OpJT: bytecode.OpJF, bytecode.OpJF: bytecode.OpJT,
	bytecode.OpJEQ: bytecode.OpJNE, bytecode.OpJNE: bytecode.OpJEQ,
	bytecode.OpJLT: bytecode.OpJLE, bytecode.OpJLE: bytecode.OpJLT, // operands swapped
	bytecode.OpJLTU: bytecode.OpJLEU, bytecode.OpJLEU: bytecode.OpJLTU, // operands swapped
	bytecode.OpJEQI: bytecode.OpJNEI, bytecode.OpJNEI: bytecode.OpJEQI,
	bytecode.OpJLTI: bytecode.OpJGEI, bytecode.OpJGEI: bytecode.OpJLTI,
	bytecode.OpJLEI: bytecode.OpJGTI, bytecode.OpJGTI: bytecode.OpJLEI,
	bytecode.OpJFEQ: bytecode.OpJFNE, bytecode.OpJFNE: bytecode.OpJFEQ,
	bytecode.OpJFLT: bytecode.OpJFNLT, bytecode.OpJFNLT: bytecode.OpJFLT,
	bytecode.OpJFLE: bytecode.OpJFNLE, bytecode.OpJFNLE: bytecode.OpJFLE,
}

// invert turns a conditional branch into its opposite.
func invert(i *ins) bool {
	if i.op >= 256 {
		return false
	}
	o, ok := inverseBranch[bytecode.Op(i.op)]
	if !ok {
		return false
	}
	switch bytecode.Op(i.op) {
	case bytecode.OpJLT, bytecode.OpJLE, bytecode.OpJLTU, bytecode.OpJLEU:
		i.a, i.b = i.b, i.a
	}
	i.op = m(o)
	return true
}

const fuseReach = 8000 // instructions: well within a branch's 16 bits

func (a *allocator) peephole() {
	for i := range a.f.ins {
		in := &a.f.ins[i]
		switch in.op {
		case m(bytecode.OpMOV), m(bytecode.OpMOV2), m(bytecode.OpMOV3), m(bytecode.OpMOVN):
			if a.slotOf(in.a) == a.slotOf(in.b) {
				in.op = pNone
			}
		case pDef:
			in.op = pNone
		}
	}
}

// fuseLoops joins the step of a loop with the branch back, after the jumps around it are gone.
func (a *allocator) fuseLoops() {
	f := a.f
	pos := make([]int, f.nlabels)
	used := a.usedLabels()
	for i := range f.ins {
		if in := &f.ins[i]; in.op == pLabel {
			pos[in.label] = i
			if !used[in.label] {
				in.op = pNone
			}
		}
	}
	for i := range f.ins {
		x := &f.ins[i]
		if x.op != m(bytecode.OpADDI) && x.op != m(bytecode.OpADD) {
			continue
		}
		j := a.nextIns(i)
		if j < 0 {
			continue
		}
		y := &f.ins[j]
		if y.op != m(bytecode.OpJLT) || pos[y.label] > i || j-pos[y.label] > fuseReach {
			continue
		}
		s, n := a.slotOf(x.a), a.slotOf(y.b)
		if a.slotOf(y.a) != s || n == s {
			continue
		}
		switch {
		case x.op == m(bytecode.OpADDI) && a.slotOf(x.b) == s && x.c.off == 1:
			*x = ins{op: m(bytecode.OpINCJLTB), a: x.a, b: y.b, label: y.label, pos: x.pos}
			y.op = pNone
		case x.op == m(bytecode.OpADD):
			d := x.c
			if a.slotOf(x.b) != s {
				d = x.b
				if a.slotOf(x.c) != s {
					continue
				}
			}
			if k := a.slotOf(d); k == s || k == n {
				continue
			}
			*x = ins{op: m(bytecode.OpADDJLTB), a: x.a, b: y.b, xs: []opd{d}, label: y.label, pos: x.pos}
			y.op = pNone
		}
	}
}

// nextIns is the next instruction that control falls into from i, -1 if a label comes before it.
func (a *allocator) nextIns(i int) int {
	for j := i + 1; j < len(a.f.ins); j++ {
		switch a.f.ins[j].op {
		case pNone:
			continue
		case pLabel:
			return -1
		}
		return j
	}
	return -1
}

// realAt is the first instruction at or behind i.
func (a *allocator) realAt(i int) int {
	for ; i < len(a.f.ins); i++ {
		if op := a.f.ins[i].op; op < 256 {
			return i
		}
	}
	return len(a.f.ins)
}

// thread shortens chains of jumps and drops jumps to the next instruction and what can't be reached.
func (a *allocator) thread() {
	f := a.f
	pos := make([]int, f.nlabels)
	for i := range f.ins {
		if f.ins[i].op == pLabel {
			pos[f.ins[i].label] = i
		}
	}
	isJmp := func(i int) bool { return i < len(f.ins) && f.ins[i].op == m(bytecode.OpJMP) }
	for range 2 {
		for i := range f.ins {
			in := &f.ins[i]
			if in.op >= 256 || in.label == 0 || in.op == m(bytecode.OpRUNDEFERS) || a.follows(i) {
				continue
			}
			for range 8 {
				t := a.realAt(pos[in.label])
				if t == i || !isJmp(t) || f.ins[t].label == in.label || a.follows(t) {
					break
				}
				in.label = f.ins[t].label
			}
		}
		a.dropJumps(pos)
		a.dropUnreached()
	}
}

// follows: the instruction is the branch behind RUNDEFERS, which has to stay.
func (a *allocator) follows(i int) bool {
	for i--; i >= 0; i-- {
		if op := a.f.ins[i].op; op != pNone {
			return op == m(bytecode.OpRUNDEFERS)
		}
	}
	return false
}

func (a *allocator) dropJumps(pos []int) {
	f := a.f
	for i := range f.ins {
		in := &f.ins[i]
		if in.op == m(bytecode.OpJMP) && !a.follows(i) && pos[in.label] > i && a.realAt(pos[in.label]) == a.realAt(i+1) {
			in.op = pNone
			continue
		}
		// A branch around a jump becomes the opposite branch.
		j := a.nextIns(i)
		if in.op >= 256 || in.label == 0 || j < 0 || f.ins[j].op != m(bytecode.OpJMP) || in.op == m(bytecode.OpRUNDEFERS) {
			continue
		}
		if _, ok := inverseBranch[bytecode.Op(in.op)]; !ok || a.realAt(pos[in.label]) != a.realAt(j+1) || pos[in.label] < i {
			continue
		}
		invert(in)
		in.label = f.ins[j].label
		f.ins[j].op = pNone
	}
}

// usedLabels are the labels that control can come to from elsewhere.
func (a *allocator) usedLabels() []bool {
	used := make([]bool, a.f.nlabels)
	for i := range a.f.ins {
		if in := &a.f.ins[i]; in.op < 256 && in.label != 0 {
			used[in.label] = true
		}
	}
	if a.f.recover != 0 {
		used[a.f.recover] = true
	}
	return used
}

func (a *allocator) dropUnreached() {
	f := a.f
	used := a.usedLabels()
	dead := false
	for i := range f.ins {
		in := &f.ins[i]
		if in.op == pLabel {
			if used[in.label] {
				dead = false
			}
			continue
		}
		if in.op >= 256 {
			continue
		}
		if dead {
			in.op = pNone
			continue
		}
		if !fallsThrough(in) {
			dead = true
		}
	}
}
