package gofront

import "phantomvm/bytecode"

// Rules on virtual registers, before allocation: what several instructions do one after the other, one does.
//
// An instruction is moved down to the only reader of its result, within a few instructions of one block. Between the two
// stand nothing but arithmetic and loads, so that neither memory nor the order of panics changes: all that can panic
// there are nil dereferences, before any effect.

// fuseWindow is how many instructions may lie between the parts.
const fuseWindow = 8

type fuser struct {
	f          *mfunc
	uses, defs []int32
}

func fuseLoads(f *mfunc) {
	x := &fuser{f: f}
	x.split()
	x.count()
	x.forward()
	x.narrow()
	x.count()
	for i := range f.ins {
		switch f.ins[i].op {
		case m(bytecode.OpLDX64):
			x.nested(i)
		case m(bytecode.OpST64):
			x.readModifyWrite(i)
		}
	}
	for i := range f.ins {
		x.mulAdd(i)
	}
	for i := range f.ins {
		x.memoryOperand(i)
	}
}

// count finds how often each register is read and written.
func (x *fuser) count() {
	x.uses, x.defs = make([]int32, len(x.f.vregs)), make([]int32, len(x.f.vregs))
	for i := range x.f.ins {
		in := &x.f.ins[i]
		x.f.visitUses(in, func(v vreg) { x.uses[v]++ })
		x.f.visit(in, func(o *opd, _ int, r role, _ bool) {
			if r != roleUse && in.op != pDef {
				x.defs[o.v]++
			}
		})
	}
}

// single: the register has one definition and one reader.
func (x *fuser) single(o opd) bool {
	return o.v > 0 && o.off == 0 && x.uses[o.v] == 1 && x.defs[o.v] == 1
}

// source finds the instruction op that makes what instruction j reads as o, and nothing else reads; -1 if it may not be moved to j.
func (x *fuser) source(j int, o opd, op bytecode.Op) int {
	if !x.single(o) {
		return -1
	}
	for i := j - 1; i >= max(0, j-fuseWindow); i-- {
		in := &x.f.ins[i]
		if in.op == m(op) && in.a == o {
			if x.written(i, j, in.b, in.c) {
				return -1
			}
			return i
		}
		if !harmless(in) {
			return -1
		}
	}
	return -1
}

// harmless: an instruction that others may be moved across.
func harmless(in *ins) bool {
	switch in.op {
	case pNone, m(bytecode.OpLD64):
		return true
	}
	return in.op < 256 && bytecode.Info(bytecode.Op(in.op)).Flags == 0
}

// written says whether an instruction between i and j writes one of the registers.
func (x *fuser) written(i, j int, os ...opd) bool {
	for k := i + 1; k < j; k++ {
		hit := false
		x.f.visit(&x.f.ins[k], func(o *opd, _ int, r role, _ bool) {
			for _, q := range os {
				hit = hit || r != roleUse && q.v > 0 && q.v == o.v
			}
		})
		if hit {
			return true
		}
	}
	return false
}

// nested joins the load of a row with the load of its element.
func (x *fuser) nested(j int) {
	y := &x.f.ins[j]
	if j == 0 {
		return
	}
	r := &x.f.ins[j-1]
	if r.op != m(bytecode.OpLDX192) || r.a.off != 0 || y.b != r.a || x.uses[r.a.v] != 1 || y.c.v == r.a.v {
		return
	}
	*y = ins{op: m(bytecode.OpLDXX64), a: y.a, b: r.b, c: r.c, xs: []opd{y.c}, pos: y.pos}
	r.op = pNone
}

// wordOffset: the offset of a load or store fits the field n.
func wordOffset(in *ins) bool {
	return in.c.v == 0 && in.c.off%8 == 0 && in.c.off >= 0 && in.c.off <= 255*8
}

// readModifyWrite joins the load, the addition or subtraction and the store of a float64, and the product that is added.
func (x *fuser) readModifyWrite(j int) {
	s := &x.f.ins[j]
	var op, mulOp bytecode.Op
	sum := -1
	for _, c := range [...]struct{ arith, to, mulTo bytecode.Op }{
		{bytecode.OpFADD, bytecode.OpFADDTO, bytecode.OpFMULADDTO}, {bytecode.OpFSUB, bytecode.OpFSUBTO, bytecode.OpFMULSUBTO},
	} {
		if i := x.source(j, s.a, c.arith); i >= 0 {
			sum, op, mulOp = i, c.to, c.mulTo
		}
	}
	if sum < 0 {
		return
	}
	a := x.f.ins[sum]
	load, other := x.source(sum, a.b, bytecode.OpLD64), a.c
	if op == bytecode.OpFADDTO && (load < 0 || !sameAddress(&x.f.ins[load], s)) {
		load, other = x.source(sum, a.c, bytecode.OpLD64), a.b
	}
	if load < 0 || !sameAddress(&x.f.ins[load], s) || x.written(load, j, s.b) || x.written(sum, j, other) {
		return
	}
	pos := x.f.ins[load].pos
	if mul := x.source(sum, other, bytecode.OpFMUL); mul >= 0 && wordOffset(s) {
		p := x.f.ins[mul]
		if !x.written(mul, j, p.b, p.c) {
			*s = ins{op: m(mulOp), n: uint8(s.c.off / 8), a: p.b, b: p.c, c: s.b, pos: pos}
			x.f.ins[mul].op, x.f.ins[load].op, x.f.ins[sum].op = pNone, pNone, pNone
			return
		}
	}
	*s = ins{op: m(op), a: other, b: s.b, c: s.c, pos: pos}
	x.f.ins[load].op, x.f.ins[sum].op = pNone, pNone
}

func sameAddress(p, q *ins) bool { return p.b == q.b && p.c == q.c }

// mulAdd joins a product and the addition that reads it.
func (x *fuser) mulAdd(j int) {
	s := &x.f.ins[j]
	if s.op != m(bytecode.OpFADD) {
		return
	}
	mul, other := x.source(j, s.c, bytecode.OpFMUL), s.b
	if mul < 0 {
		mul, other = x.source(j, s.b, bytecode.OpFMUL), s.c
	}
	if mul < 0 {
		return
	}
	p := &x.f.ins[mul]
	*s = ins{op: m(bytecode.OpFMULADD), a: s.a, b: p.b, c: p.c, xs: []opd{other}, pos: s.pos}
	p.op = pNone
}

// memoryOperand joins the load of an operand with the operation.
func (x *fuser) memoryOperand(j int) {
	s := &x.f.ins[j]
	var left, right bytecode.Op // what it becomes if the left or the right operand is in memory
	switch s.op {
	case m(bytecode.OpFADD):
		left, right = bytecode.OpFADDM, bytecode.OpFADDM
	case m(bytecode.OpFSUB):
		left, right = bytecode.OpFSUBRM, bytecode.OpFSUBM
	case m(bytecode.OpFMUL):
		left, right = bytecode.OpFMULM, bytecode.OpFMULM
	default:
		return
	}
	op, load, other := right, x.source(j, s.c, bytecode.OpLD64), s.b
	if load < 0 || !wordOffset(&x.f.ins[load]) {
		op, load, other = left, x.source(j, s.b, bytecode.OpLD64), s.c
	}
	if load < 0 || !wordOffset(&x.f.ins[load]) {
		return
	}
	l := &x.f.ins[load]
	*s = ins{op: m(op), n: uint8(l.c.off / 8), a: s.a, b: other, c: l.b, pos: l.pos}
	l.op = pNone
}

// split gives what is normalised in place a register of its own before that.
func (x *fuser) split() {
	x.count()
	for i := range x.f.ins {
		in := &x.f.ins[i]
		if i == 0 || normalised(in.op) == 0 || in.a != in.b || x.defs[in.a.v] != 2 {
			continue
		}
		if d := &x.f.ins[i-1]; d.op < 256 && d.a == in.a && bytecode.Info(bytecode.Op(d.op)).A == bytecode.Dst {
			t := opd{v: x.f.newVreg(1, nil)}
			d.a, in.b = t, t
		}
	}
}

// readBack: the store of an element, the loads that read it back, and what these do to the value besides.
var readBack = map[mop]map[mop]mop{
	m(bytecode.OpSTX8):  {m(bytecode.OpLDX8U): m(bytecode.OpZX8), m(bytecode.OpLDX8S): m(bytecode.OpSX8)},
	m(bytecode.OpSTX16): {m(bytecode.OpLDX16U): m(bytecode.OpZX16), m(bytecode.OpLDX16S): m(bytecode.OpSX16)},
	m(bytecode.OpSTX32): {m(bytecode.OpLDX32U): m(bytecode.OpZX32), m(bytecode.OpLDX32S): m(bytecode.OpSX32)},
	m(bytecode.OpSTX64): {m(bytecode.OpLDX64): m(bytecode.OpMOV)},
}

// forward replaces the load of an element that was just stored.
func (x *fuser) forward() {
	maker := make([]mop, len(x.f.vregs))
	for i := range x.f.ins {
		in := &x.f.ins[i]
		x.f.visitDefs(in, func(v vreg) { maker[v] = in.op })
	}
	for i := range x.f.ins {
		s := &x.f.ins[i]
		loads, ok := readBack[s.op]
		if !ok {
			continue
		}
		for j := i + 1; j < min(len(x.f.ins), i+fuseWindow); j++ {
			l := &x.f.ins[j]
			op, ok := loads[l.op]
			if ok && l.b == s.b && l.c == s.c && !x.written(i, j, s.a, s.b, s.c) {
				if x.defs[s.a.v] == 1 && maker[s.a.v] == op {
					op = m(bytecode.OpMOV) // its value has this form already
				}
				*l = ins{op: op, a: l.a, b: s.a, pos: l.pos}
				break
			}
			if !harmless(l) {
				break
			}
		}
	}
}

// narrow turns the normalisation of a small integer into a move if the bits that it changes can't reach any result.
func (x *fuser) narrow() {
	x.count()
	reader := make([]int, len(x.f.vregs))
	for i := range x.f.ins {
		x.f.visitUses(&x.f.ins[i], func(v vreg) { reader[v] = i })
	}
	for i := range x.f.ins {
		in := &x.f.ins[i]
		if bits := normalised(in.op); bits != 0 && x.wanted(reader, in.a, 4) <= bits {
			in.op = m(bytecode.OpMOV)
		}
	}
}

// normalised is the number of bits that an instruction keeps, 0 if it does something else.
func normalised(op mop) int {
	switch op {
	case m(bytecode.OpZX8), m(bytecode.OpSX8):
		return 8
	case m(bytecode.OpZX16), m(bytecode.OpSX16):
		return 16
	case m(bytecode.OpZX32), m(bytecode.OpSX32):
		return 32
	}
	return 0
}

// stored is the number of bits of field a that an instruction stores, 0 if it does something else.
func stored(op mop) int {
	switch op {
	case m(bytecode.OpST8), m(bytecode.OpSTX8):
		return 8
	case m(bytecode.OpST16), m(bytecode.OpSTX16):
		return 16
	case m(bytecode.OpST32), m(bytecode.OpSTX32):
		return 32
	}
	return 0
}

// wanted is how many of a register's low bits matter.
func (x *fuser) wanted(reader []int, o opd, depth int) int {
	if depth == 0 || !x.single(o) {
		return 64
	}
	in := &x.f.ins[reader[o.v]]
	if n := normalised(in.op); n != 0 {
		return n
	}
	if n := stored(in.op); n != 0 && in.a == o {
		return n
	}
	switch in.op {
	case m(bytecode.OpADDW), m(bytecode.OpSUBW), m(bytecode.OpMULW), m(bytecode.OpADDUW), m(bytecode.OpSUBUW), m(bytecode.OpMULUW),
		m(bytecode.OpADDIW), m(bytecode.OpADDIUW):
		return 32
	case m(bytecode.OpADD), m(bytecode.OpSUB), m(bytecode.OpMUL), m(bytecode.OpAND), m(bytecode.OpOR), m(bytecode.OpXOR), m(bytecode.OpANDN),
		m(bytecode.OpADDI), m(bytecode.OpSUBRI), m(bytecode.OpMULI), m(bytecode.OpANDI), m(bytecode.OpORI), m(bytecode.OpXORI), m(bytecode.OpNEG), m(bytecode.OpCOM):
		return x.wanted(reader, in.a, depth-1)
	}
	return 64
}
