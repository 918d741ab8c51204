package bytecode

import "math/rand/v2"

// function fills in code and maps; the frame leaves room for every width that occurs.
func (g *moduleGen) function(f *Func, instrs int) {
	c := &codeGen{g: g, f: f, rand: g.rand}
	for len(c.starts) < instrs {
		row := &Table[1+g.rand.IntN(len(Table)-1)]
		c.emit(Op(row.Num), row)
	}
	switch f.Results {
	case 0:
		c.word(Word(OpRET, 0, 0, 0, 0))
	default:
		c.word(Word(OpRETN, 0, FrameArgs, 0, f.Results))
	}
	c.branches()
	f.RecoverPC = 0
	if f.Flags&FuncRecover != 0 {
		if pc := c.starts[c.rand.IntN(len(c.starts))]; pc != 0 {
			f.RecoverPC = pc
		} else {
			f.Flags &^= FuncRecover
		}
	}
	c.maps()
	c.debug()
}

type codeGen struct {
	g      *moduleGen
	f      *Func
	rand   *rand.Rand
	starts []uint32 // of instructions
	jumps  []uint32 // words whose displacement is still to be chosen
}

func (c *codeGen) word(w uint64, ext ...uint64) {
	c.starts = append(c.starts, uint32(len(c.f.Code)))
	c.f.Code = append(append(c.f.Code, w), ext...)
}

func (c *codeGen) slot() uint16 { return FrameArgs + uint16(c.rand.IntN(int(c.f.Frame)-FrameArgs-50)) }

func (c *codeGen) emit(op Op, row *OpInfo) {
	f := c.f
	var x [3]uint16
	for i, kind := range [3]Operand{row.A, row.B, row.C} {
		switch kind {
		case None, Rel, Rel32:
		case Imm, UImm, Off:
			x[i] = uint16(c.rand.Uint32())
		case FOff:
			x[i] = 8*FrameArgs + uint16(c.rand.IntN(30))*4
		case Count:
			x[i] = uint16(c.rand.IntN(6))
		case Frame:
			x[i] = f.Frame
		default:
			x[i] = c.slot()
		}
	}
	n := uint8(0)
	if m := maxSmall(op); m > 0 {
		n = uint8(c.rand.IntN(int(m) + 1))
	}
	ext := c.extension(op, row, n)
	if op == OpRUNDEFERS {
		c.word(Word(op, 0, 0, 0, f.Frame), 0)
		c.word(WordRel32(OpJMPB, -2))
		return
	}
	if !c.special(op, n, &x, &ext) {
		return
	}
	if row.Flags&FlagBranch != 0 {
		c.jumps = append(c.jumps, uint32(len(f.Code)))
	}
	if row.Ext == NoExt {
		c.word(Word(op, n, x[0], x[1], x[2]))
	} else {
		c.word(Word(op, n, x[0], x[1], x[2]), ext)
	}
}

// special makes the operands valid where the table's columns don't; it says whether the function may have the instruction.
func (c *codeGen) special(op Op, n uint8, x *[3]uint16, ext *uint64) bool {
	switch op {
	case OpDIVI, OpREMI:
		x[2] = 1 + x[2]%1000
	case OpINCJLTB, OpADDJLTB:
		x[0], x[1], *ext = 10, 11, 12
	case OpFCOPY:
		x[2] %= 100
	case OpFLDX:
		if n == 1 {
			*ext = FIdx(2, 7)
		}
	case OpTRAP:
		x[0] %= numTraps
		if c.rand.IntN(2) == 0 {
			x[1] = 0
		}
	case OpRET:
		if c.f.Results != 0 {
			return false
		}
	case OpRET1:
		if c.f.Results != 1 {
			return false
		}
	case OpRETN:
		x[2] = c.f.Results
	case OpSELECT:
		x[2] = uint16(c.rand.IntN(8))
	}
	return true
}

func (c *codeGen) extension(op Op, row *OpInfo, n uint8) uint64 {
	m := c.g.m
	upTo := func(n int) uint64 { return uint64(c.rand.IntN(n)) }
	switch row.Ext {
	case ExtImm:
		return c.rand.Uint64()
	case ExtSize:
		return upTo(200)
	case ExtFunc:
		return 1 + upTo(len(m.Funcs)-1)
	case ExtGlobal:
		return upTo(int(m.GlobalsSize) + 1)
	case ExtRO:
		return upTo(len(m.RO) + 1)
	case ExtStr:
		offset := upTo(len(m.RO) + 1)
		return StrRef(uint32(offset), uint32(upTo(len(m.RO)-int(offset)+1)))
	case ExtItab:
		return upTo(len(m.Itabs))
	case ExtNative:
		return upTo(len(m.Natives))
	case ExtFIdx:
		return FIdx(uint32(upTo(16)), uint32(upTo(8)))
	case ExtSig:
		if op == OpCALLC {
			return Sig(c.slot(), 0, uint16(upTo(5)), uint16(upTo(4)))
		}
		return Sig(c.slot(), uint16(upTo(5)), 1+uint16(upTo(5)), uint16(upTo(4)))
	case ExtSlots:
		maybe := func() uint16 {
			if c.rand.IntN(2) == 0 {
				return absent
			}
			return c.slot()
		}
		switch op {
		case OpSLICE, OpSLICEARR:
			return Slots4(maybe(), maybe(), maybe(), c.slot())
		case OpSLICESTR:
			return Slots4(maybe(), maybe(), 0, 0)
		}
		return uint64(c.slot())
	case ExtType:
		return c.g.ofKind(func(t *Type) bool {
			switch op {
			case OpMKMAP, OpMAPGET, OpMAPSET, OpMAPDEL, OpMAPCLR, OpMAPITER, OpMAPNEXT:
				return t.Kind == Map && c.g.layouts[t.Elem].Slots < 20
			case OpMKCHAN, OpSEND, OpRECV:
				return t.Kind == Chan && c.g.layouts[t.Elem].Slots < 20
			case OpEQT:
				return t.Comparable
			case OpASSERT:
				return t.Kind == Interface
			}
			return true
		})
	}
	return 0
}

// branches chooses targets for all jumps.
func (c *codeGen) branches() {
	for _, pc := range c.jumps {
		var at int // index in starts
		for i, s := range c.starts {
			if s == pc {
				at = i
			}
		}
		op := WordOp(c.f.Code[pc])
		target := c.starts[c.rand.IntN(at+1)]
		if Info(op).Flags&FlagBack == 0 {
			target = c.starts[at+1+c.rand.IntN(len(c.starts)-at-1)]
		}
		rel := int32(target) - int32(pc)
		if op == OpJMP || op == OpJMPB {
			c.f.Code[pc] |= WordRel32(0, rel)
		} else {
			c.f.Code[pc] |= Word(0, 0, 0, 0, uint16(int16(rel)))
		}
	}
}

// maps adds a stack map wherever one must be, and some more.
func (c *codeGen) maps() {
	f := c.f
	words := (int(f.Frame) + 63) / 64
	for range 1 + c.rand.IntN(4) {
		bits := make([]uint64, words)
		for range c.rand.IntN(10) {
			setBit(bits, uint64(c.slot()))
		}
		f.Bitmaps = append(f.Bitmaps, bits)
	}
	f.Always = make([]uint64, words)
	for range c.rand.IntN(5) {
		setBit(f.Always, uint64(FrameArgs+int(f.Args)+c.rand.IntN(int(f.Frame-FrameArgs-f.Args))))
	}
	point, call := map[uint32]bool{0: true}, map[uint32]bool{}
	if f.RecoverPC != 0 {
		point[f.RecoverPC] = true
	}
	for _, pc := range c.starts {
		op := WordOp(f.Code[pc])
		flags, next := Info(op).Flags, pc+uint32(op.Len())
		if flags&FlagPoint != 0 || c.rand.IntN(10) == 0 {
			point[pc] = true
		}
		if flags&FlagBlock != 0 {
			point[next] = true
		}
		if flags&FlagBack != 0 {
			point[uint32(int(pc)+RelOf(f.Code[pc]))] = true
		}
		if flags&FlagCall != 0 {
			call[next] = true
		}
	}
	for _, pc := range c.starts {
		index := uint32(c.rand.IntN(len(f.Bitmaps)))
		if point[pc] {
			f.Points = append(f.Points, StackMap{pc, index})
		}
		if call[pc] {
			f.Calls = append(f.Calls, StackMap{pc, index})
		}
	}
}

func (c *codeGen) debug() {
	f := c.f
	for _, pc := range c.starts {
		if c.rand.IntN(4) == 0 {
			f.Lines = append(f.Lines, Line{pc, uint32(c.rand.IntN(3)), uint32(c.rand.IntN(5000))})
		}
	}
	for _, list := range [][]Var{f.Params, f.Locals} {
		for i := range list {
			list[i].From = uint32(c.rand.IntN(len(f.Code)))
			list[i].To = list[i].From + uint32(c.rand.IntN(len(f.Code)-int(list[i].From)+1))
		}
	}
}
