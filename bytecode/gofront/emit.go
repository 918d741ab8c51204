package gofront

import (
	"fmt"
	"sort"

	"phantomvm/bytecode"
)

// Final code: places of branches, words, stack maps.
//
// Conditional branches reach 32767 words. One that has to go farther, and a
// floating-point branch backward, for which there is no form, becomes the
// opposite branch around a JMP.

type emitter struct {
	*allocator
	pc   []int32 // by instruction
	long []bool
	pos  []int32 // label to instruction
	fn   *bytecode.Func
	maps map[string]uint32
}

func (a *allocator) emit(fn *bytecode.Func) ([]lineMark, error) {
	if a.frameSize() > bytecode.MaxFrame {
		return nil, fmt.Errorf("%w: %d slots", errFrame, a.frameSize())
	}
	a.peephole()
	a.thread()
	a.fuseLoops()
	e := &emitter{allocator: a, fn: fn, maps: map[string]uint32{}}
	e.pos = make([]int32, a.f.nlabels)
	for i := range a.f.ins {
		if a.f.ins[i].op == pLabel {
			e.pos[a.f.ins[i].label] = int32(i)
		}
	}
	e.place()
	fn.Frame = uint16(a.frameSize())
	fn.Args = uint16(a.f.args)
	fn.Results = uint16(a.f.results)
	if a.f.recover != 0 {
		fn.RecoverPC = uint32(e.pc[e.pos[a.f.recover]])
		fn.Flags |= bytecode.FuncRecover
	}
	for i := range a.f.ins {
		e.encode(i)
	}
	e.stackMaps()
	e.params()
	return e.lines(), nil
}

// params says for how long each parameter can be found in its slot.
func (e *emitter) params() {
	for v := 1; v < len(e.f.vregs); v++ {
		vi := &e.f.vregs[v]
		if vi.pin != pinSlot || vi.name == "" {
			continue
		}
		p := bytecode.Var{Name: vi.name, Slot: uint16(vi.off)}
		if s := e.segs[e.find(vreg(v))]; len(s) > 0 {
			p.To = uint32(e.pc[min(int(s[len(s)-1].end+1)/2, len(e.pc)-1)])
		}
		e.fn.Params = append(e.fn.Params, p)
	}
}

func (e *emitter) isBranch(in *ins) bool {
	return in.op < 256 && in.label != 0 && in.op != m(bytecode.OpRUNDEFERS)
}

func (e *emitter) size(i int) int32 {
	in := &e.f.ins[i]
	if in.op >= 256 {
		return 0
	}
	if e.long[i] {
		return 2
	}
	return int32(bytecode.Op(in.op).Len())
}

func isFloatBranch(op mop) bool {
	return op >= m(bytecode.OpJFEQ) && op <= m(bytecode.OpJFNLE)
}

// place computes pcs; branches only ever become longer.
func (e *emitter) place() {
	n := len(e.f.ins)
	e.pc = make([]int32, n+1)
	e.long = make([]bool, n)
	for i := range e.f.ins {
		in := &e.f.ins[i]
		if e.isBranch(in) && isFloatBranch(in.op) && int(e.pos[in.label]) <= i {
			e.long[i] = true
		}
	}
	for changed := true; changed; {
		changed = false
		pc := int32(0)
		for i := range e.f.ins {
			e.pc[i] = pc
			pc += e.size(i)
		}
		e.pc[n] = pc
		for i := range e.f.ins {
			in := &e.f.ins[i]
			if !e.isBranch(in) || e.long[i] || in.op == m(bytecode.OpJMP) {
				continue
			}
			if rel := e.pc[e.pos[in.label]] - e.pc[i]; rel < -32768 || rel > 32767 {
				if _, ok := inverseBranch[bytecode.Op(in.op)]; ok {
					e.long[i] = true
					changed = true
				}
			}
		}
	}
}

func (e *emitter) target(in *ins) int32 { return e.pc[e.pos[in.label]] }

func (e *emitter) encode(i int) {
	in := &e.f.ins[i]
	if in.op >= 256 {
		return
	}
	if e.long[i] {
		inv := *in
		invert(&inv)
		e.word(&inv, 2)
		e.jump(e.target(in) - e.pc[i] - 1)
		return
	}
	if !e.isBranch(in) {
		e.word(in, 0)
		return
	}
	rel := e.target(in) - e.pc[i]
	if in.op == m(bytecode.OpJMP) {
		e.jump(rel)
		return
	}
	if rel <= 0 && bytecode.Info(bytecode.Op(in.op)).Flags&bytecode.FlagBack == 0 {
		in.op++ // the backward form
	}
	e.word(in, rel)
}

func (e *emitter) jump(rel int32) {
	op := bytecode.OpJMP
	if rel <= 0 {
		op = bytecode.OpJMPB
	}
	e.fn.Code = append(e.fn.Code, bytecode.WordRel32(op, rel))
}

func (e *emitter) field(o opd, k bytecode.Operand, rel int32) uint16 {
	switch k {
	case bytecode.None:
		return 0
	case bytecode.Imm, bytecode.UImm, bytecode.Off, bytecode.Count:
		return uint16(o.off)
	case bytecode.FOff:
		return uint16(e.byteOf(o))
	case bytecode.Rel:
		return uint16(int16(rel))
	case bytecode.Frame:
		return uint16(e.frameSize())
	}
	if o.v == 0 {
		return 0
	}
	return uint16(e.slotOf(o))
}

func (e *emitter) word(in *ins, rel int32) {
	op := bytecode.Op(in.op)
	info := bytecode.Info(op)
	w := bytecode.Word(op, in.n, e.field(in.a, info.A, rel), e.field(in.b, info.B, rel), e.field(in.c, info.C, rel))
	e.fn.Code = append(e.fn.Code, w)
	if info.Ext == bytecode.NoExt {
		return
	}
	ext := in.ext
	switch info.Ext {
	case bytecode.ExtSlots:
		var s [4]uint16
		for k, o := range in.xs {
			if o.v == 0 {
				s[k] = 0xffff
			} else {
				s[k] = uint16(e.slotOf(o))
			}
		}
		ext = bytecode.Slots4(s[0], s[1], s[2], s[3])
	case bytecode.ExtSig:
		ext |= uint64(uint16(e.slotOf(in.xs[0])))
	}
	if in.sel != nil {
		slot := 0
		if in.sel.words > 0 {
			slot = e.slotOf(in.sel.buf)
		}
		ext = uint64(slot) | uint64(in.sel.words)<<16 | uint64(in.sel.dir)<<32
	}
	e.fn.Code = append(e.fn.Code, ext)
}

// safepoint is a pc at which the live pointers must be known.
type safepoint struct {
	at   int32 // position in live ranges
	pc   uint32
	call bool
}

func (e *emitter) safepoints() []safepoint {
	pts := []safepoint{{at: 0, pc: 0}}
	for i := range e.f.ins {
		in := &e.f.ins[i]
		if in.op >= 256 {
			continue
		}
		info := bytecode.Info(bytecode.Op(in.op))
		at, pc := int32(2*i), uint32(e.pc[i])
		next := pc + uint32(e.size(i))
		if e.isBranch(in) && e.target(in) <= e.pc[i] {
			if e.long[i] {
				pc++
			}
			pts = append(pts, safepoint{at: at, pc: pc}, safepoint{at: 2 * e.pos[in.label], pc: uint32(e.target(in))})
			continue
		}
		if info.Flags&bytecode.FlagPoint != 0 {
			pts = append(pts, safepoint{at: at, pc: pc})
		}
		if info.Flags&bytecode.FlagBlock != 0 {
			pts = append(pts, safepoint{at: at + 2, pc: next})
		}
		if info.Flags&bytecode.FlagCall != 0 {
			pts = append(pts, safepoint{at: at + 1, pc: next, call: true})
		}
	}
	if e.f.recover != 0 {
		p := e.pos[e.f.recover]
		pts = append(pts, safepoint{at: 2 * p, pc: uint32(e.pc[p])})
	}
	sort.SliceStable(pts, func(i, j int) bool { return pts[i].at < pts[j].at })
	return pts
}

func (e *emitter) stackMaps() {
	pts := e.safepoints()
	live := make([]bitmap, len(pts))
	for v := 1; v < len(e.f.vregs); v++ {
		vi := &e.f.vregs[v]
		if vi.ptr.empty() {
			continue
		}
		r := e.find(vreg(v))
		if r != vreg(v) && e.f.vregs[r].ptr.equal(vi.ptr) {
			continue // the class's ranges are its root's
		}
		for _, s := range e.segs[r] {
			i := sort.Search(len(pts), func(i int) bool { return pts[i].at >= s.start })
			for ; i < len(pts) && pts[i].at < s.end; i++ {
				if pts[i].call && s.start == pts[i].at {
					continue // the call's own result
				}
				vi.ptr.each(func(w int) { live[i].set(int(e.slot[r]) + w) })
			}
		}
	}
	seen := map[uint32]bool{}
	for i, p := range pts {
		m := bytecode.StackMap{PC: p.pc, Index: e.mapIndex(live[i])}
		if p.call {
			e.fn.Calls = append(e.fn.Calls, m)
		} else if !seen[p.pc] {
			seen[p.pc] = true
			e.fn.Points = append(e.fn.Points, m)
		}
	}
	sort.Slice(e.fn.Points, func(i, j int) bool { return e.fn.Points[i].PC < e.fn.Points[j].PC })
	sort.Slice(e.fn.Calls, func(i, j int) bool { return e.fn.Calls[i].PC < e.fn.Calls[j].PC })
	for _, v := range e.always {
		e.f.vregs[v].ptr.each(func(w int) { (*bitmap)(&e.fn.Always).set(int(e.slot[v]) + w) })
	}
}

// mapIndex stores a bitmap once.
func (e *emitter) mapIndex(b bitmap) uint32 {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	k := fmt.Sprint([]uint64(b))
	if i, ok := e.maps[k]; ok {
		return i
	}
	i := uint32(len(e.fn.Bitmaps))
	e.maps[k] = i
	e.fn.Bitmaps = append(e.fn.Bitmaps, append([]uint64{}, b...))
	return i
}

// lineMark is where the source position changes.
type lineMark struct {
	pc  uint32
	ins int32
}

func (e *emitter) lines() []lineMark {
	var out []lineMark
	for i := range e.f.ins {
		in := &e.f.ins[i]
		if in.op >= 256 || !in.pos.IsValid() {
			continue
		}
		if n := len(out); n > 0 && e.f.ins[out[n-1].ins].pos == in.pos {
			continue
		}
		out = append(out, lineMark{uint32(e.pc[i]), int32(i)})
	}
	return out
}
