package objectvm

import (
	"fmt"

	"phantomvm/bytecode"
)

// Validation of a goroutine's stack that came from disk, at its first use in an incarnation. Afterwards frames, return
// addresses and chunk links are trusted: programs cannot reach them.
//
//  1. The chunk list is finite and made of chunks in use that belong to the goroutine.
//  2. Every frame lies in a chunk, each pc is a place where execution can stand in its function, every frame pointer
//     leads to an older frame, and the walk ends at the bottom trampoline.
//  3. Lists of deferred calls and panics are finite and made of records of their kind.

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
	if c := Addr(gGet(g, gSpare)); c != 0 && !validChunk(c) {
		return fmt.Errorf("spare chunk %#x", uint64(c))
	}
	if err := vm.validateFrames(g, chunks); err != nil {
		return err
	}
	for _, l := range [...]struct{ word, kind uint64 }{{gDefer, poolDefer}, {gPanic, poolPanic}} {
		n := uint64(0)
		for r := gGet(g, int(l.word)); r != 0; r = poolGet(r, poolNext) {
			if n++; r > hget(hdrPoolHigh) || poolGet(r, poolKind) != l.kind || n > hget(hdrPoolHigh) {
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

func (vm *VM) validateFrames(g GID, chunks []Addr) error {
	pc, fp := Addr(gGet(g, gPC)), Addr(gGet(g, gFP))
	top, above := true, Addr(0) // above: the frame that was seen last in this chunk
	for len(chunks) > 0 {
		for len(chunks) > 0 && !within(chunks[0], fp, 24) {
			chunks, above = chunks[1:], 0
		}
		if len(chunks) == 0 || above != 0 && fp >= above {
			return fmt.Errorf("frame %#x", uint64(fp))
		}
		above = fp
		fn := vm.code.find(pc)
		if fn == 0 || !within(chunks[0], fp, uint64(frameBytes(&vm.mod.Funcs[fn]))) || !vm.validPC(fn, pc, top) {
			return fmt.Errorf("pc %#x", uint64(pc))
		}
		top = false
		ret, up := ldAddr(fp), ldAddr(fp+8)
		for ret < CodeBase+PageSize {
			s := stubOf(ret)
			if s == stubNone || stubRet(s) != ret {
				return fmt.Errorf("return address %#x", uint64(ret))
			}
			for len(chunks) > 0 && !within(chunks[0], up, uint64(stubFrames[s].slots)*8) {
				chunks, above = chunks[1:], 0
			}
			if len(chunks) == 0 || above != 0 && up >= above {
				return fmt.Errorf("trampoline %#x", uint64(up))
			}
			if s == stubBottom {
				return nil
			}
			above, top = up, s != stubChunk8 && s != stubChunk64 && s != stubChunkMax
			ret, up = ldAddr(up+trampPC*8), ldAddr(up+trampFP*8)
			if top {
				break
			}
		}
		pc, fp = ret, up
	}
	return fmt.Errorf("no bottom")
}

// validPC says whether execution of fn can stand at pc: at an instruction boundary, for a caller behind a call.
func (vm *VM) validPC(fn bytecode.FuncID, pc Addr, top bool) bool {
	f := &vm.mod.Funcs[fn]
	if (pc-vm.code.entry(fn))&7 != 0 || pc < vm.code.entry(fn) {
		return false
	}
	at := vm.code.index(fn, pc)
	for i := uint32(0); i < uint32(len(f.Code)) && i <= at; {
		op := bytecode.WordOp(f.Code[i])
		if i == at {
			return top
		}
		n := uint32(op.Len())
		if i+n == at && bytecode.Info(op).Flags&bytecode.FlagCall != 0 {
			return true
		}
		i += n
	}
	return false
}
