package bytecode

import "testing"

// verifyOne verifies one function of a module whose types are known to be right.
func verifyOne(t *testing.T, m *Module, id FuncID) error {
	t.Helper()
	layouts, err := m.Layouts()
	if err != nil {
		t.Fatal(err)
	}
	return (&verifier{m: m, layouts: layouts}).function(id)
}

// eachInstruction calls f for every instruction of a few random modules.
func eachInstruction(t *testing.T, f func(t *testing.T, m *Module, id FuncID, pc int)) {
	testSeeds(t, 12, func(t *testing.T, seed uint64) {
		m := randomModule(seed, 6, 60)
		for id := 1; id < len(m.Funcs); id++ {
			code := m.Funcs[id].Code
			for pc := 0; pc < len(code); pc += WordOp(code[pc]).Len() {
				f(t, m, FuncID(id), pc)
			}
		}
	})
}

// Whatever the instruction: a slot operand that begins or ends outside the frame, or lies in its header, is refused.
func TestEverySlotOperandIsBounded(t *testing.T) {
	widths := map[Operand]uint16{Dst: 1, Dst2: 2, Dst3: 3, Src: 1, Src2: 2, Src3: 3}
	tried := map[Op]bool{}
	eachInstruction(t, func(t *testing.T, m *Module, id FuncID, pc int) {
		f := &m.Funcs[id]
		w := f.Code[pc]
		info := Info(WordOp(w))
		for i, kind := range [3]Operand{info.A, info.B, info.C} {
			width := widths[kind]
			if width == 0 {
				continue
			}
			tried[WordOp(w)] = true
			first := []uint16{f.Frame, f.Frame - width + 1, 1, 0xffff}
			if Op(info.Num) != OpTRAP {
				first = append(first, 0) // in TRAP 0 says that there is no operand
			}
			for _, slot := range first {
				f.Code[pc] = w&^(0xffff<<(16+16*i)) | uint64(slot)<<(16+16*i)
				if verifyOne(t, m, id) == nil {
					t.Errorf("%s with field %c = %d is accepted in a frame of %d", info.Name, 'a'+i, slot, f.Frame)
				}
			}
			f.Code[pc] = w
		}
	})
	for _, row := range Table[1:] {
		hasSlot := widths[row.A]+widths[row.B]+widths[row.C] > 0
		if hasSlot && !tried[Op(row.Num)] {
			t.Errorf("%s was not tried", row.Name)
		}
	}
}

// Whatever the instruction: a field that the table leaves empty must be zero.
func TestEveryUnusedFieldIsZero(t *testing.T) {
	eachInstruction(t, func(t *testing.T, m *Module, id FuncID, pc int) {
		f := &m.Funcs[id]
		w := f.Code[pc]
		info := Info(WordOp(w))
		masks := map[uint64]bool{0x100: info.N == None, 0x10000: info.A == None, 0x100000000: info.B == None, 0x1000000000000: info.C == None}
		for bit, unused := range masks {
			if !unused {
				continue
			}
			f.Code[pc] = w ^ bit
			if verifyOne(t, m, id) == nil {
				t.Errorf("%s is accepted as %#x", info.Name, f.Code[pc])
			}
		}
		f.Code[pc] = w
	})
}

// Without its stack map no safepoint, backward target or call is accepted.
func TestEveryNeededMapIsDemanded(t *testing.T) {
	testSeeds(t, 12, func(t *testing.T, seed uint64) {
		m := randomModule(seed, 6, 60)
		for id := 1; id < len(m.Funcs); id++ {
			f := &m.Funcs[id]
			needed := map[uint32]bool{0: true, f.RecoverPC: true}
			for pc := 0; pc < len(f.Code); {
				op := WordOp(f.Code[pc])
				next := pc + op.Len()
				flags := Info(op).Flags
				needed[uint32(pc)] = needed[uint32(pc)] || flags&FlagPoint != 0
				needed[uint32(next)] = needed[uint32(next)] || flags&FlagBlock != 0
				if flags&FlagBack != 0 {
					needed[uint32(pc+RelOf(f.Code[pc]))] = true
				}
				pc = next
			}
			points, calls := f.Points, f.Calls
			for i := range points {
				f.Points = append(append([]StackMap{}, points[:i]...), points[i+1:]...)
				if err := verifyOne(t, m, FuncID(id)); (err == nil) == needed[points[i].PC] {
					t.Errorf("seed %d, function %d: without the map at pc %d: %v", seed, id, points[i].PC, err)
				}
			}
			f.Points = points
			for i := range calls {
				f.Calls = append(append([]StackMap{}, calls[:i]...), calls[i+1:]...)
				if verifyOne(t, m, FuncID(id)) == nil {
					t.Errorf("seed %d, function %d: accepted without the call map at pc %d", seed, id, calls[i].PC)
				}
			}
			f.Calls = calls
		}
	})
}

// Branches to every word of the function: only instructions in the right direction are accepted.
func TestEveryBranchTarget(t *testing.T) {
	eachInstruction(t, func(t *testing.T, m *Module, id FuncID, pc int) {
		f := &m.Funcs[id]
		w := f.Code[pc]
		op := WordOp(w)
		flags := Info(op).Flags
		if flags&FlagBranch == 0 || pc > 0 && pc%7 != 0 {
			return
		}
		starts := map[int]bool{}
		for p := 0; p < len(f.Code); p += WordOp(f.Code[p]).Len() {
			starts[p] = true
		}
		points := f.Points
		for target := -1; target <= len(f.Code); target++ {
			rel := target - pc
			if Info(op).B == Rel32 {
				f.Code[pc] = w&0xffffffff | WordRel32(0, int32(rel))
			} else {
				f.Code[pc] = w&0xffffffffffff | uint64(uint16(int16(rel)))<<48
			}
			back := flags&FlagBack != 0
			want := starts[target] && (target <= pc) == back
			if back && want {
				f.Points = pointEverywhere(f, starts)
			}
			if err := verifyOne(t, m, id); (err == nil) != want && !inDeferLoop(f, pc) {
				t.Errorf("%v at %d to %d: %v", op, pc, target, err)
			}
			f.Points = points
		}
		f.Code[pc] = w
	})
}

func pointEverywhere(f *Func, starts map[int]bool) []StackMap {
	var all []StackMap
	for pc := range f.Code {
		if starts[pc] {
			all = append(all, StackMap{uint32(pc), 0})
		}
	}
	return all
}

// inDeferLoop says whether the branch at pc is the one that RUNDEFERS demands.
func inDeferLoop(f *Func, pc int) bool {
	return pc >= 2 && WordOp(f.Code[pc-2]) == OpRUNDEFERS
}
