package bytecode

import (
	"fmt"
	"math/bits"
)

// What a pc is, needs and has.
const (
	markStart     = 1 << iota // an instruction begins here
	markNeedPoint             // a slice of execution may end here
	markHasPoint              // Func.Points has an entry
	markReturn                // a call returns here
	markHasCall               // Func.Calls has an entry
)

// codeVerifier checks one function after the other; marks is used again.
type codeVerifier struct {
	v     *verifier
	m     *Module
	f     *Func
	id    FuncID
	frame int
	marks []uint8
}

func funcError(m *Module, rule Rule, id FuncID, format string, args ...any) error {
	return &VerifyError{Rule: rule, Func: id, Name: m.Funcs[id].Name, PC: -1, Reason: fmt.Sprintf(format, args...)}
}

func (c *codeVerifier) fail(rule Rule, pc int, format string, args ...any) error {
	return &VerifyError{Rule: rule, Func: c.id, Name: c.f.Name, PC: pc, Reason: fmt.Sprintf(format, args...)}
}

func (v *verifier) function(id FuncID) error {
	c := &v.code
	c.v, c.m, c.f, c.id = v, v.m, &v.m.Funcs[id], id
	c.frame = int(c.f.Frame)
	if n := len(c.f.Code) + 1; cap(c.marks) < n {
		c.marks = make([]uint8, n)
	} else {
		c.marks = c.marks[:n]
		clear(c.marks)
	}
	for _, pass := range []func() error{c.header, c.boundaries, c.maps, c.instructions, c.debugInfo} {
		if err := pass(); err != nil {
			return err
		}
	}
	return nil
}

func (c *codeVerifier) header() error {
	f := c.f
	switch {
	case f.Frame > MaxFrame || FrameArgs+int(f.Args) > int(f.Frame):
		return c.fail(RuleFrame, -1, "frame of %d slots with %d argument slots; at most %d", f.Frame, f.Args, MaxFrame)
	case f.Results > MaxFrame:
		return c.fail(RuleFrame, -1, "%d result slots", f.Results)
	case f.Flags&^(FuncWrapper|FuncClosure|FuncRecover) != 0:
		return c.fail(RuleFrame, -1, "unknown flags %#x", f.Flags)
	case len(f.Code) == 0:
		return c.fail(RuleFallOff, -1, "has no code")
	case f.Type != 0 && (!c.v.typeOK(f.Type) || c.m.Types[f.Type].Kind != FuncKind):
		return c.fail(RuleTypeRef, -1, "type %d is not a function type", f.Type)
	case (f.RecoverPC != 0) != (f.Flags&FuncRecover != 0):
		return c.fail(RuleRecover, -1, "recover point %d does not agree with the flag", f.RecoverPC)
	}
	return nil
}

// boundaries finds where instructions begin and what each pc needs. A backward branch's target lies behind us, so it is checked here.
func (c *codeVerifier) boundaries() error {
	code := c.f.Code
	last := OpNOP
	c.marks[0] = markNeedPoint
	for pc := 0; pc < len(code); {
		op := WordOp(code[pc])
		n := op.Len()
		if n == 0 || op == OpILL {
			return c.fail(RuleOpcode, pc, "instruction number %d", op)
		}
		if pc+n > len(code) {
			return c.fail(RuleFallOff, pc, "%v lacks its extension word", op)
		}
		c.marks[pc] |= markStart
		flags := Info(op).Flags
		if flags&FlagPoint != 0 {
			c.marks[pc] |= markNeedPoint
		}
		if flags&FlagBlock != 0 {
			c.marks[pc+n] |= markNeedPoint
		}
		if flags&FlagCall != 0 {
			c.marks[pc+n] |= markReturn
		}
		if flags&FlagBack != 0 {
			target := pc + RelOf(code[pc])
			if target < 0 || target > pc || c.marks[target]&markStart == 0 {
				return c.fail(RuleBranch, pc, "%v goes to %d, which is not an instruction at or before it", op, target)
			}
			c.marks[target] |= markNeedPoint
		}
		last = op
		pc += n
	}
	if Info(last).Flags&FlagEnd == 0 {
		return c.fail(RuleFallOff, len(code)-1, "control runs off the end after %v", last)
	}
	if pc := int64(c.f.RecoverPC); pc != 0 {
		if pc >= int64(len(code)) || c.marks[pc]&markStart == 0 {
			return c.fail(RuleRecover, -1, "recover point %d is not an instruction", pc)
		}
		c.marks[pc] |= markNeedPoint
	}
	return nil
}

// maps checks bitmaps and the order of the map tables, and notes which pc have maps.
func (c *codeVerifier) maps() error {
	f := c.f
	for i, b := range f.Bitmaps {
		if low, high, any := bitRange(b); len(b) > (c.frame+63)/64 || any && (low < FrameCtx || high >= c.frame) {
			return c.fail(RuleBitmap, -1, "bitmap %d names slot %d or %d of a frame of %d", i, low, high, c.frame)
		}
	}
	if low, high, any := bitRange(f.Always); len(f.Always) > (c.frame+63)/64 || any && (low < FrameArgs+int(f.Args) || high >= c.frame) {
		return c.fail(RuleAlways, -1, "slot %d or %d is an argument, in the header or outside the frame of %d", low, high, c.frame)
	}
	if err := c.mapTable(RulePoints, f.Points, markStart, markHasPoint); err != nil {
		return err
	}
	return c.mapTable(RuleCalls, f.Calls, markReturn, markHasCall)
}

func (c *codeVerifier) mapTable(rule Rule, table []StackMap, at, has uint8) error {
	prev := int64(-1)
	for _, s := range table {
		pc := int64(s.PC)
		switch {
		case pc <= prev:
			return c.fail(rule, int(pc), "stack maps are not in ascending order")
		case pc >= int64(len(c.f.Code)) || c.marks[pc]&at == 0:
			return c.fail(rule, int(pc), "stack map at a pc that can't have one")
		case int64(s.Index) >= int64(len(c.f.Bitmaps)):
			return c.fail(rule, int(pc), "stack map uses bitmap %d of %d", s.Index, len(c.f.Bitmaps))
		}
		c.marks[pc] |= has
		prev = pc
	}
	return nil
}

// bitRange returns the lowest and the highest bit that is set.
func bitRange(b []uint64) (low, high int, any bool) {
	for i, w := range b {
		if w == 0 {
			continue
		}
		if !any {
			low, any = 64*i+bits.TrailingZeros64(w), true
		}
		high = 64*i + 63 - bits.LeadingZeros64(w)
	}
	return low, high, any
}

func (c *codeVerifier) instructions() error {
	code := c.f.Code
	for pc := 0; pc < len(code); {
		mark := c.marks[pc]
		if mark&(markNeedPoint|markHasPoint) == markNeedPoint {
			return c.fail(RulePoints, pc, "a slice may end here, but there is no stack map")
		}
		if mark&(markReturn|markHasCall) == markReturn {
			return c.fail(RuleCalls, pc, "a call returns here, but there is no stack map")
		}
		op := WordOp(code[pc])
		ext := uint64(0)
		if op.Len() == 2 {
			ext = code[pc+1]
		}
		if err := c.instruction(pc, code[pc], ext); err != nil {
			return err
		}
		pc += op.Len()
	}
	return nil
}

// debugInfo checks what tracebacks and inspectors read.
func (c *codeVerifier) debugInfo() error {
	f, code := c.f, int64(len(c.f.Code))
	fileOK := func(i uint32) bool { return int64(i) < int64(len(c.m.Files)) }
	if !fileOK(f.File) && f.File != 0 {
		return c.fail(RuleLines, -1, "file %d does not exist", f.File)
	}
	prev := int64(-1)
	for _, l := range f.Lines {
		if int64(l.PC) <= prev || int64(l.PC) >= code || !fileOK(l.File) {
			return c.fail(RuleLines, int(l.PC), "line table is out of order or names file %d of %d", l.File, len(c.m.Files))
		}
		prev = int64(l.PC)
	}
	for _, list := range [][]Var{f.Params, f.Locals} {
		for i := range list {
			v := &list[i]
			slots := 1
			if v.Type != 0 {
				if !c.v.typeOK(v.Type) {
					return c.fail(RuleVars, -1, "variable %q has type %d, which does not exist", v.Name, v.Type)
				}
				slots = int(c.v.layouts[v.Type].Slots)
			}
			if v.From > v.To || int64(v.To) > code || int(v.Slot)+slots > c.frame {
				return c.fail(RuleVars, int(v.From), "variable %q lies in slots %d to %d of %d, pc %d to %d", v.Name, v.Slot, int(v.Slot)+slots, c.frame, v.From, v.To)
			}
		}
	}
	return nil
}
