package gofront

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
)

// A check of stack maps that shares nothing with the compiler: it decodes the
// final words, computes which slots are live and which surely hold a pointer
// that an allocating instruction made, and demands these in the maps.

type slotSet [8]uint64

func (s *slotSet) add(from, n int) {
	for i := from; i < from+n; i++ {
		s[i>>6] |= 1 << (i & 63)
	}
}

func (s *slotSet) remove(from, n int) {
	for i := from; i < from+n && i < 512; i++ {
		s[i>>6] &^= 1 << (i & 63)
	}
}

func (s *slotSet) has(i int) bool { return s[i>>6]>>(i&63)&1 != 0 }

// step is one decoded instruction.
type step struct {
	pc, next  int
	op        bytecode.Op
	word, ext uint64
	uses      slotSet
	defs      [][2]int // slot and count
	partial   bool     // definitions do not cover whole slots
	succs     []int    // pcs
}

type mapChecker struct {
	t     *testing.T
	m     *bytecode.Module
	f     *bytecode.Func
	steps []step
	at    map[int]int // pc to index
	seen  int         // pointers that maps had to name
}

func (c *mapChecker) typeWords(id uint64) int {
	n := c.m.Types[id].Size
	if n > bytecode.MaxByValue {
		return 1
	}
	return int(n+7) / 8
}

func (c *mapChecker) decode() {
	c.at = map[int]int{}
	for pc := 0; pc < len(c.f.Code); {
		w := c.f.Code[pc]
		s := step{pc: pc, op: bytecode.WordOp(w), word: w}
		s.next = pc + s.op.Len()
		if s.op.Len() == 2 {
			s.ext = c.f.Code[pc+1]
		}
		c.operands(&s)
		info := bytecode.Info(s.op)
		if info.Flags&bytecode.FlagEnd == 0 {
			s.succs = append(s.succs, s.next)
		}
		if info.Flags&bytecode.FlagBranch != 0 {
			s.succs = append(s.succs, pc+bytecode.RelOf(w))
		}
		if s.op == bytecode.OpRUNDEFERS {
			s.succs = append(s.succs, pc+3)
		}
		c.at[pc] = len(c.steps)
		c.steps = append(c.steps, s)
		pc = s.next
	}
}

// operands finds what an instruction reads and writes.
func (c *mapChecker) operands(s *step) {
	info := bytecode.Info(s.op)
	wa, wb, wc := c.widths(s)
	fields := [3]struct {
		kind bytecode.Operand
		v    int
		w    int
	}{{info.A, int(bytecode.WordA(s.word)), wa}, {info.B, int(bytecode.WordB(s.word)), wb}, {info.C, int(bytecode.WordC(s.word)), wc}}
	for i, f := range fields {
		switch f.kind {
		case bytecode.Dst:
			s.defs = append(s.defs, [2]int{f.v, 1})
		case bytecode.Dst2:
			s.defs = append(s.defs, [2]int{f.v, max(2, f.w)})
		case bytecode.Dst3:
			s.defs = append(s.defs, [2]int{f.v, 3})
		case bytecode.DstN:
			if f.w > 0 {
				s.defs = append(s.defs, [2]int{f.v, f.w})
			}
		case bytecode.Src:
			s.uses.add(f.v, 1)
		case bytecode.Src2:
			s.uses.add(f.v, 2)
		case bytecode.Src3:
			s.uses.add(f.v, 3)
		case bytecode.SrcN:
			s.uses.add(f.v, f.w)
		case bytecode.FOff:
			if f.w > 0 {
				first, last := f.v/8, (f.v+f.w-1)/8
				if isFrameStore(s.op, i == 0) {
					s.partial = true
				} else {
					s.uses.add(first, last-first+1)
				}
			}
		}
	}
	switch s.op {
	case bytecode.OpINCJLTB, bytecode.OpADDJLTB:
		s.uses.add(fields[0].v, 1)
	case bytecode.OpSTRNEXT:
		s.uses.add(fields[1].v, 3)
	case bytecode.OpMAPNEXT:
		s.uses.add(fields[1].v, 8)
	case bytecode.OpCALLC:
		s.uses.add(int(s.ext&0xffff), 1)
		s.uses.add(fields[0].v+3, int(s.ext>>48))
	case bytecode.OpCALLI:
		s.uses.add(int(s.ext&0xffff), 2)
		s.uses.add(fields[0].v+4, int(s.ext>>48)-1)
	case bytecode.OpCALL:
		s.uses.add(fields[0].v+3, int(c.m.Funcs[s.ext].Args))
	}
	if info.Ext == bytecode.ExtSlots {
		n := map[bytecode.Op]int{bytecode.OpFMA: 1, bytecode.OpFMULADD: 1, bytecode.OpADDJLTB: 1, bytecode.OpLDXX64: 1, bytecode.OpSLICE: 4, bytecode.OpSLICEARR: 4, bytecode.OpSLICESTR: 2}[s.op]
		for k := range n {
			if slot := int(s.ext >> (16 * k) & 0xffff); slot != 0xffff {
				s.uses.add(slot, 1)
			}
		}
	}
}

// widths are the slots of operands whose number depends on the instruction, and the bytes of frame offsets.
func (c *mapChecker) widths(s *step) (a, b, d int) {
	n := int(bytecode.WordN(s.word))
	count := int(bytecode.WordC(s.word))
	t := func() *bytecode.Type { return &c.m.Types[s.ext] }
	switch s.op {
	case bytecode.OpMOVN, bytecode.OpZERO, bytecode.OpRETN:
		return count, count, 0
	case bytecode.OpLDN, bytecode.OpSTN:
		return int(s.ext+7) / 8, 0, 0
	case bytecode.OpEQT:
		return 0, c.typeWords(s.ext), c.typeWords(s.ext)
	case bytecode.OpFCOPY:
		return count, count, 0
	case bytecode.OpFLDX, bytecode.OpFSTX:
		es := int(s.ext & 0xffffffff)
		return (es + 7) / 8, es * int(s.ext>>32), 0
	case bytecode.OpFLD8U, bytecode.OpFLD8S, bytecode.OpFST8:
		return 0, 1, 0
	case bytecode.OpFLD16U, bytecode.OpFLD16S, bytecode.OpFST16:
		return 0, 2, 0
	case bytecode.OpFLD32U, bytecode.OpFLD32S, bytecode.OpFST32:
		return 0, 4, 0
	case bytecode.OpMAPGET:
		return c.typeWords(uint64(t().Elem)) + n, 0, c.typeWords(uint64(t().Key))
	case bytecode.OpMAPSET:
		return 0, c.typeWords(uint64(t().Key)), c.typeWords(uint64(t().Elem))
	case bytecode.OpMAPDEL:
		return 0, c.typeWords(uint64(t().Key)), 0
	case bytecode.OpMAPITER:
		return 8, 0, 0
	case bytecode.OpMAPNEXT:
		return 1 + c.typeWords(uint64(t().Key)) + c.typeWords(uint64(t().Elem)), 8, 0
	case bytecode.OpSTRNEXT:
		return 3, 3, 0
	case bytecode.OpSEND:
		return 0, c.typeWords(uint64(t().Elem)), 0
	case bytecode.OpRECV:
		return c.typeWords(uint64(t().Elem)) + n, 0, 0
	case bytecode.OpSELECT:
		return 2, 2 * count, 0
	case bytecode.OpASSERT:
		return 2 + n>>1&1, 0, 0
	case bytecode.OpNATIVE:
		r := c.m.Natives[s.ext]
		return int(r.Results), int(r.Args), 0
	case bytecode.OpCALL:
		return 0, int(c.m.Funcs[s.ext].Results), 0
	case bytecode.OpCALLC, bytecode.OpCALLI:
		return 0, int(s.ext >> 32 & 0xffff), 0
	}
	return 0, 0, 0
}

// live computes the slots that are read later, before each instruction.
func (c *mapChecker) live() []slotSet {
	in := make([]slotSet, len(c.steps))
	for changed := true; changed; {
		changed = false
		for i := len(c.steps) - 1; i >= 0; i-- {
			s := &c.steps[i]
			x := c.out(in, s)
			for _, d := range s.defs {
				x.remove(d[0], d[1])
			}
			for k := range x {
				x[k] |= s.uses[k]
			}
			if x != in[i] {
				in[i], changed = x, true
			}
		}
	}
	return in
}

func (c *mapChecker) out(in []slotSet, s *step) (x slotSet) {
	for _, p := range s.succs {
		for k, w := range in[c.at[p]] {
			x[k] |= w
		}
	}
	return x
}

// fresh computes the slots that surely hold the result of an allocation, before each instruction.
func (c *mapChecker) fresh() []slotSet {
	in := make([]slotSet, len(c.steps))
	known := make([]bool, len(c.steps))
	known[0] = true
	if c.f.RecoverPC != 0 {
		known[c.at[int(c.f.RecoverPC)]] = true
	}
	for changed := true; changed; {
		changed = false
		for i := range c.steps {
			if !known[i] {
				continue
			}
			x := c.after(&c.steps[i], in[i])
			for _, p := range c.steps[i].succs {
				j := c.at[p]
				y := x
				if known[j] {
					for k := range y {
						y[k] &= in[j][k]
					}
				}
				if !known[j] || y != in[j] {
					in[j], known[j], changed = y, true, true
				}
			}
		}
	}
	return in
}

func (c *mapChecker) after(s *step, x slotSet) slotSet {
	before := x
	for _, d := range s.defs {
		x.remove(d[0], d[1])
	}
	a, b := int(bytecode.WordA(s.word)), int(bytecode.WordB(s.word))
	switch s.op {
	case bytecode.OpNEW, bytecode.OpMKMAP, bytecode.OpMKCHAN, bytecode.OpMKSLICE, bytecode.OpGROW:
		x.add(a, 1)
	case bytecode.OpMOV, bytecode.OpMOV2, bytecode.OpMOV3:
		for k := range int(s.op-bytecode.OpMOV) + 1 {
			if before.has(b + k) {
				x.add(a+k, 1)
			}
		}
	case bytecode.OpCALL, bytecode.OpCALLC, bytecode.OpCALLI:
		x.remove(a, 512-a)
	case bytecode.OpFST8, bytecode.OpFST16, bytecode.OpFST32, bytecode.OpFCOPY, bytecode.OpFSTX:
		x = slotSet{}
	}
	return x
}

func (c *mapChecker) check() {
	c.decode()
	live, fresh := c.live(), c.fresh()
	demand := func(what string, pc int, want, m slotSet) {
		for s := range 512 {
			if want.has(s) {
				c.seen++
			}
			if want.has(s) && !m.has(s) {
				c.t.Fatalf("%s: %s at pc %d: slot %d holds a live pointer that the map does not name", c.f.Name, what, pc, s)
			}
		}
	}
	get := func(idx uint32) (m slotSet) {
		copy(m[:], c.f.Bitmaps[idx])
		for k, w := range c.f.Always {
			m[k] |= w
		}
		return m
	}
	both := func(x, y slotSet) slotSet {
		for k := range x {
			x[k] &= y[k]
		}
		return x
	}
	for _, p := range c.f.Points {
		i := c.at[int(p.PC)]
		demand("point", int(p.PC), both(live[i], fresh[i]), get(p.Index))
	}
	calls := map[int]uint32{}
	for _, p := range c.f.Calls {
		calls[int(p.PC)] = p.Index
	}
	for i := range c.steps {
		s := &c.steps[i]
		if bytecode.Info(s.op).Flags&bytecode.FlagCall == 0 {
			continue
		}
		idx, ok := calls[s.next]
		require.True(c.t, ok, "%s: no map for the call at %d", c.f.Name, s.pc)
		want := c.out(live, s)
		for _, d := range s.defs {
			want.remove(d[0], d[1])
		}
		demand("call", s.pc, both(want, c.after(s, fresh[i])), get(idx))
	}
}

func TestStackMaps(t *testing.T) {
	for _, f := range []string{"testdata/shapes.go", "../../testdata/go/types.go", "../../testdata/go/goroutines.go", "../../testdata/go/control.go"} {
		m, err := Compile(Config{Patterns: []string{f}})
		require.NoError(t, err)
		seen := 0
		for i := 1; i < len(m.Funcs); i++ {
			c := &mapChecker{t: t, m: m, f: &m.Funcs[i]}
			c.check()
			seen += c.seen
		}
		require.Greater(t, seen, 5, "%s: hardly anything was checked", f)
	}
}
