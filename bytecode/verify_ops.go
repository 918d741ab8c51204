package bytecode

// absent marks a missing operand in the extension word of SLICE, SLICESTR and SLICEARR.
const absent = 0xffff

// maxInline is the size in bytes that LDN and STN may move.
const maxInline = 4088

// instruction checks one instruction whose words lie inside the code.
func (c *codeVerifier) instruction(pc int, w, ext uint64) error {
	op := WordOp(w)
	info := Info(op)
	u := use{c: c, pc: pc, op: op, w: w, ext: ext, n: WordN(w), a: int(WordA(w)), b: int(WordB(w)), c3: int(WordC(w))}
	if info.N == None && u.n != 0 || u.n > maxSmall(op) {
		return c.fail(RuleReserved, pc, "%v: field n is %d", op, u.n)
	}
	// Widths of DstN and SrcN fields follow from the extension word, which is therefore checked first.
	if err := u.extension(info); err != nil {
		return err
	}
	if err := u.special(); err != nil {
		return err
	}
	for i, kind := range [3]Operand{info.A, info.B, info.C} {
		if err := u.field(kind, [3]int{u.a, u.b, u.c3}[i], u.width[i]); err != nil {
			return err
		}
	}
	if info.Flags&FlagBranch != 0 && info.Flags&FlagBack == 0 {
		return u.forward()
	}
	return nil
}

// maxSmall is the largest value of field n.
func maxSmall(op Op) uint8 {
	switch op {
	case OpFLDX, OpMAPGET, OpRECV, OpSELECT:
		return 1
	case OpASSERT:
		return 3
	case OpFADDM, OpFSUBM, OpFSUBRM, OpFMULM, OpFMULADDTO, OpFMULSUBTO:
		return 255
	}
	return 0
}

// use is one instruction being checked.
type use struct {
	c        *codeVerifier
	pc       int
	op       Op
	w, ext   uint64
	n        uint8
	a, b, c3 int
	width    [3]int // slots or bytes behind fields a, b, c where the table leaves that to the instruction
}

func (u *use) fail(rule Rule, format string, args ...any) error {
	return u.c.fail(rule, u.pc, u.op.String()+": "+format, args...)
}

func (u *use) field(kind Operand, x, width int) error {
	switch kind {
	case None:
		if x != 0 {
			return u.fail(RuleReserved, "a field without use is %d", x)
		}
	case Dst:
		return u.written(x, 1)
	case Dst2:
		return u.written(x, max(2, width))
	case Dst3:
		return u.written(x, 3)
	case DstN:
		return u.written(x, width)
	case Src:
		if x == 0 && u.op == OpTRAP {
			return nil // no operand
		}
		return u.read(x, 1)
	case Src2:
		return u.read(x, 2)
	case Src3:
		return u.read(x, 3)
	case SrcN:
		return u.read(x, width)
	case Frame:
		if x != u.c.frame {
			return u.fail(RuleCall, "frame size %d in the instruction, %d in the function", x, u.c.frame)
		}
	}
	// Imm, UImm, Off and Count are free or were checked by special, FOff likewise, branches are checked by their forms.
	return nil
}

// written checks slots that the instruction writes: inside the frame and behind its header, whose first two slots say where execution returns to.
func (u *use) written(slot, count int) error {
	if count > 0 && (slot < FrameArgs || slot+count > u.c.frame) {
		return u.fail(RuleSlot, "writes slots %d to %d of a frame of %d", slot, slot+count-1, u.c.frame)
	}
	return nil
}

// read checks slots that the instruction reads. The closure's slot is for functions that say they have a closure.
func (u *use) read(slot, count int) error {
	first := FrameArgs
	if u.c.f.Flags&FuncClosure != 0 {
		first = FrameCtx
	}
	if count > 0 && (slot < first || slot+count > u.c.frame) {
		return u.fail(RuleSlot, "reads slots %d to %d of a frame of %d", slot, slot+count-1, u.c.frame)
	}
	return nil
}

// frameBytes checks a range of bytes of the frame.
func (u *use) frameBytes(offset, size, align int, write bool) error {
	if offset%align != 0 || offset+size > 8*u.c.frame {
		return u.fail(RuleFrameByte, "bytes %d to %d of a frame of %d, alignment %d", offset, offset+size-1, 8*u.c.frame, align)
	}
	if size == 0 {
		return nil
	}
	slot, count := offset/8, (offset+size-1)/8-offset/8+1
	if write {
		return u.written(slot, count)
	}
	return u.read(slot, count)
}

func (u *use) forward() error {
	rel := RelOf(u.w)
	if target := u.pc + rel; rel <= 0 || target >= len(u.c.f.Code) || u.c.marks[target]&markStart == 0 {
		return u.fail(RuleBranch, "goes to %d, which is not an instruction after it", target)
	}
	return nil
}

// extension checks what the extension word names.
func (u *use) extension(info *OpInfo) error {
	m := u.c.m
	ok := true
	switch info.Ext {
	case ExtFunc:
		ok = u.ext < uint64(len(m.Funcs)) && u.ext != 0
	case ExtGlobal:
		ok = u.ext <= m.GlobalsSize
	case ExtRO:
		ok = u.ext <= uint64(len(m.RO))
	case ExtStr:
		ok = u.ext&0xffffffff+u.ext>>32 <= uint64(len(m.RO))
	case ExtType:
		ok = u.ext < uint64(len(m.Types)) && u.ext != 0
	case ExtItab:
		ok = u.ext < uint64(len(m.Itabs))
	case ExtNative:
		ok = u.ext < uint64(len(m.Natives))
	case ExtSize:
		ok = u.ext <= MaxTypeSize
	case ExtImm:
		ok = u.op != OpRUNDEFERS || u.ext == 0
	}
	if !ok {
		return u.fail(RuleExt, "extension word %#x (%v) is out of range", u.ext, info.Ext)
	}
	if info.Ext == ExtType {
		return u.extType(TypeID(u.ext))
	}
	return nil
}

// extType checks the type's kind and sets the widths that depend on it.
func (u *use) extType(id TypeID) error {
	t := &u.c.m.Types[id]
	slots := func(id TypeID) int { return int(u.c.v.layouts[id].Slots) }
	want := Invalid
	switch u.op {
	case OpEQT:
		u.width[1], u.width[2] = slots(id), slots(id)
		if !t.Comparable {
			return u.fail(RuleExtType, "type %q is not comparable", t.Name)
		}
	case OpMKMAP, OpMAPCLR:
		want = Map
	case OpMAPGET:
		want = Map
		u.width[0], u.width[2] = slots(t.Elem)+int(u.n), slots(t.Key)
	case OpMAPSET:
		want = Map
		u.width[1], u.width[2] = slots(t.Key), slots(t.Elem)
	case OpMAPDEL:
		want = Map
		u.width[1] = slots(t.Key)
	case OpMAPITER:
		want = Map
		u.width[0] = MapIterSlots
	case OpMAPNEXT:
		want = Map
		u.width[0], u.width[1] = 1+slots(t.Key)+slots(t.Elem), MapIterSlots
	case OpMKCHAN, OpCLOSE:
		want = Chan
	case OpSEND:
		want = Chan
		u.width[1] = slots(t.Elem)
	case OpRECV:
		want = Chan
		u.width[0] = slots(t.Elem) + int(u.n)
	case OpASSERT:
		want = Interface
		u.width[0] = 2 + int(u.n>>1)
	}
	if want != Invalid && t.Kind != want {
		return u.fail(RuleExtType, "type %q has kind %d, not %d", t.Name, t.Kind, want)
	}
	return nil
}

// Slots of the iterators of MAPITER and STRNEXT.
const (
	MapIterSlots = 8
	StrIterSlots = 3
)

// special checks what the table's columns can't say, and sets the widths that depend on fields.
func (u *use) special() error {
	switch u.op {
	case OpMOVN:
		u.width[0], u.width[1] = u.c3, u.c3
	case OpZERO:
		u.width[0] = u.c3
	case OpSTRNEXT:
		u.width[1] = StrIterSlots
	case OpDIVI, OpREMI:
		if int16(u.c3) <= 0 {
			return u.fail(RuleOperand, "divisor %d is not positive", int16(u.c3))
		}
	case OpINCJLTB:
		if u.a == u.b {
			return u.fail(RuleOperand, "a and b are both %d", u.a)
		}
	case OpLDN, OpSTN:
		if u.ext > maxInline {
			return u.fail(RuleExt, "%d bytes, at most %d", u.ext, maxInline)
		}
		u.width[0] = int(u.ext+7) / 8
	case OpFLD8U, OpFLD8S, OpFLD16U, OpFLD16S, OpFLD32U, OpFLD32S, OpFST8, OpFST16, OpFST32, OpFCOPY, OpFLDX, OpFSTX:
		return u.frameAccess()
	case OpFMA, OpFMULADD, OpADDJLTB, OpLDXX64, OpSLICE, OpSLICESTR, OpSLICEARR:
		return u.extSlots()
	case OpSELECT:
		u.width[1] = 2 * u.c3
	case OpCALL, OpCALLC, OpCALLI, OpNATIVE:
		return u.call()
	case OpRET:
		return u.results(0)
	case OpRET1:
		return u.results(1)
	case OpRETN:
		u.width[0] = u.c3
		return u.results(u.c3)
	case OpRUNDEFERS:
		return u.runDefers()
	case OpTRAP:
		return u.trap()
	case OpJMP, OpJMPB:
		if u.a != 0 {
			return u.fail(RuleReserved, "a field without use is %d", u.a)
		}
	}
	return nil
}

func (u *use) frameAccess() error {
	switch u.op {
	case OpFLD8U, OpFLD8S, OpFST8:
		return u.frameBytes(u.b, 1, 1, u.op == OpFST8)
	case OpFLD16U, OpFLD16S, OpFST16:
		return u.frameBytes(u.b, 2, 2, u.op == OpFST16)
	case OpFLD32U, OpFLD32S, OpFST32:
		return u.frameBytes(u.b, 4, 4, u.op == OpFST32)
	case OpFCOPY:
		if err := u.frameBytes(u.a, u.c3, 1, true); err != nil {
			return err
		}
		return u.frameBytes(u.b, u.c3, 1, false)
	}
	elem, count := u.ext&0xffffffff, u.ext>>32
	if elem > 8*MaxFrame || elem*count > 8*MaxFrame {
		return u.fail(RuleExt, "array of %d elements of %d bytes does not fit a frame", count, elem)
	}
	if u.n == 1 && elem != 1 && elem != 2 && elem != 4 {
		return u.fail(RuleExt, "elements of %d bytes have no sign to extend", elem)
	}
	u.width[0] = int(elem+7) / 8
	return u.frameBytes(u.b, int(elem*count), 1, u.op == OpFSTX)
}

// extSlots checks the slots in an ExtSlots word; the rest of it must be zero.
func (u *use) extSlots() error {
	part := [4]int{int(uint16(u.ext)), int(uint16(u.ext >> 16)), int(uint16(u.ext >> 32)), int(u.ext >> 48)}
	used, optional := 1, 0 // how many parts are slots, how many of these may be absent
	switch u.op {
	case OpSLICE, OpSLICEARR:
		used, optional = 4, 3
	case OpSLICESTR:
		used, optional = 2, 2
	}
	for i, slot := range part {
		switch {
		case i < optional && slot == absent:
		case i < used:
			if err := u.read(slot, 1); err != nil {
				return err
			}
		case slot != 0:
			return u.fail(RuleReserved, "extension word %#x has bits without use", u.ext)
		}
	}
	if u.op == OpADDJLTB && (u.a == u.b || u.a == part[0] || u.b == part[0]) {
		return u.fail(RuleOperand, "a, b and d are not distinct")
	}
	return nil
}

func (u *use) call() error {
	nargs, nres := int(u.ext>>48), int(uint16(u.ext>>32))
	slot, method := int(uint16(u.ext)), int(uint16(u.ext>>16))
	switch u.op {
	case OpNATIVE:
		n := &u.c.m.Natives[u.ext]
		u.width[0], u.width[1] = int(n.Results), int(n.Args)
		return nil
	case OpCALL:
		f := &u.c.m.Funcs[u.ext]
		nargs, nres = int(f.Args), int(f.Results)
	case OpCALLC:
		if method != 0 {
			return u.fail(RuleReserved, "extension word %#x has bits without use", u.ext)
		}
		if err := u.read(slot, 1); err != nil {
			return err
		}
	case OpCALLI:
		if nargs == 0 {
			return u.fail(RuleCall, "a method takes its receiver")
		}
		if err := u.read(slot, 2); err != nil {
			return err
		}
	}
	u.width[1] = nres
	if u.a < FrameArgs || u.a+FrameArgs+nargs > u.c.frame {
		return u.fail(RuleCall, "window at %d with %d argument slots does not fit a frame of %d", u.a, nargs, u.c.frame)
	}
	return nil
}

func (u *use) results(n int) error {
	if n != int(u.c.f.Results) {
		return u.fail(RuleReturn, "returns %d slots, the function has %d", n, u.c.f.Results)
	}
	return nil
}

// runDefers checks the loop around RUNDEFERS: JMPB back to it at pc+2, and somewhere to go on at pc+3.
func (u *use) runDefers() error {
	code := u.c.f.Code
	if u.pc+3 >= len(code) {
		return u.fail(RuleRunDefers, "nothing follows its loop")
	}
	if jump := code[u.pc+2]; WordOp(jump) != OpJMPB || RelOf(jump) != -2 {
		return u.fail(RuleRunDefers, "no JMPB back to it follows")
	}
	return nil
}

// trap checks TRAP; b = 0 says that there is no operand.
func (u *use) trap() error {
	if u.a >= numTraps {
		return u.fail(RuleOperand, "there is no trap %d", u.a)
	}
	return nil
}
