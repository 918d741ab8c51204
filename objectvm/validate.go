package objectvm

import (
	"fmt"
	"slices"
	"sort"

	"phantomvm/bytecode"
)

// Validation of a goroutine's stack that came from disk, at its first use in an incarnation. Afterwards frames, return
// addresses and chunk links are trusted: programs cannot reach them.
//
//  1. The chunk list is finite and made of chunks in use that belong to the goroutine.
//  2. Every frame lies in a chunk, each pc is a place where execution can stand in its function, every frame pointer
//     leads to an older frame, and the walk ends at the bottom trampoline.
//  3. Lists of deferred calls and panics are finite and made of records of their kind that belong to the goroutine.

func (vm *VM) validateG(g GID) error {
	if g == 0 || uint64(g) > hget(hdrGHigh) {
		return fmt.Errorf("no such record")
	}
	if s := gGet(g, gStatus); s == gFree || s > gWaiting {
		return fmt.Errorf("state %d", s)
	}
	chunks := []Addr{}
	for c := Addr(gGet(g, gChunk)); c != 0; c = ldAddr(c + chunkPrev) {
		if !validChunk(c) || ld64(c+chunkOwner) != uint64(g) || len(chunks) > maxStack>>minChunk {
			return fmt.Errorf("stack chunk %#x", uint64(c))
		}
		chunks = append(chunks, c)
	}
	if c := Addr(gGet(g, gSpare)); c != 0 && (!validChunk(c) || ld64(c+chunkOwner) != uint64(g) || slices.Contains(chunks, c)) {
		return fmt.Errorf("spare chunk %#x", uint64(c))
	}
	if err := vm.validateFrames(g, chunks); err != nil {
		return err
	}
	for _, l := range [...]struct{ word, kind uint64 }{{gDefer, poolDefer}, {gPanic, poolPanic}} {
		n := uint64(0)
		for r := gGet(g, int(l.word)); r != 0; r = poolGet(r, poolNext) {
			if n++; r > hget(hdrPoolHigh) || poolGet(r, poolKind) != l.kind || poolGet(r, poolOwner) != uint64(g) || n > hget(hdrPoolHigh) {
				return fmt.Errorf("record %d", r)
			}
		}
	}
	return nil
}

// within says whether n bytes from fp on lie in chunk c.
func within(c, fp Addr, n uint64) bool {
	end := c + Addr(ld64(c+chunkSize))
	return fp >= c+chunkHeader && fp&7 == 0 && fp <= end && uint64(end-fp) >= n
}

// validateFrames walks the frames as execution will return through them. The newest one lies in the newest chunk; a caller lies in
// its callee's chunk unless a trampoline is between them, which lies right below the callee. What a callee returns has
// room where it is copied to.
func (vm *VM) validateFrames(g GID, chunks []Addr) error {
	pc, fp := Addr(gGet(g, gPC)), Addr(gGet(g, gFP))
	above, below := Addr(0), stubNone // below: the trampoline that this frame was left through
	for callee := bytecode.FuncID(0); ; {
		for below != stubNone && len(chunks) > 0 && !within(chunks[0], fp, 24) {
			chunks, above = chunks[1:], 0
		}
		if len(chunks) == 0 || above != 0 && fp >= above {
			return fmt.Errorf("frame %#x", uint64(fp))
		}
		fn := vm.code.find(pc)
		if fn == 0 || !within(chunks[0], fp, uint64(frameBytes(&vm.mod.Funcs[fn]))) || !vm.validPC(fn, pc, callee, below) {
			return fmt.Errorf("pc %#x", uint64(pc))
		}
		above, callee, below = fp, fn, stubNone
		ret, up := ldAddr(fp), ldAddr(fp+8)
		if ret >= CodeBase+PageSize {
			pc, fp = ret, up
			continue
		}
		below = stubOf(ret)
		if stubRet(below) != ret || up+Addr(stubFrames[below].slots)*8 != fp || !within(chunks[0], up, 24) || !vm.validTramp(below, up, fn) {
			return fmt.Errorf("trampoline %#x, return address %#x", uint64(up), uint64(ret))
		}
		if below == stubBottom {
			return nil
		}
		above, pc, fp = up, ldAddr(up+trampPC*8), ldAddr(up+trampFP*8)
	}
}

// validTramp says whether function fn can return to a trampoline.
func (vm *VM) validTramp(s stub, at Addr, fn bytecode.FuncID) bool {
	results, info := uint64(vm.mod.Funcs[fn].Results), ld64(at+trampInfo*8)
	switch s {
	case stubChunk8, stubChunk64, stubChunkMax:
		return info == results && results <= uint64(stubFrames[s].slots-trampData)
	}
	return results == 0
}

// validPC says whether execution of fn can stand at pc: at an instruction if it is the newest frame or a trampoline of
// below its end, else behind a call that takes the callee's results.
func (vm *VM) validPC(fn bytecode.FuncID, pc Addr, callee bytecode.FuncID, below stub) bool {
	f := &vm.mod.Funcs[fn]
	if pc&7 != 0 || pc < vm.code.entry(fn) {
		return false
	}
	at := vm.code.index(fn, pc)
	if callee != 0 && below <= stubChunkMax {
		k := sort.Search(len(f.Calls), func(k int) bool { return f.Calls[k].PC >= at })
		return k < len(f.Calls) && f.Calls[k].PC == at && vm.resultsOfCall(f.Code[at-2], f.Code[at-1]) == vm.mod.Funcs[callee].Results
	}
	for i := uint32(0); i < uint32(len(f.Code)) && i <= at; {
		op := bytecode.WordOp(f.Code[i])
		if i == at {
			return true
		}
		i += uint32(op.Len())
	}
	return false
}

// resultsOfCall is how many result slots a call instruction has room for.
func (vm *VM) resultsOfCall(w, ext uint64) uint16 {
	switch bytecode.WordOp(w) {
	case bytecode.OpCALL:
		return vm.mod.Funcs[ext].Results
	case bytecode.OpCALLC, bytecode.OpCALLI:
		return uint16(ext >> 32)
	}
	return 0
}
