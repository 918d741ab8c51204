package objectvm

import (
	"fmt"
	"math/bits"
)

// Stack memory. STACKS is cut into blocks of 1 MiB; a block in use is cut into chunks of one size, a power of two
// from 2 KiB to 1 MiB. Which chunks are in use says a record per block in META:
//
//	0   size class + 1, 0 for a free block
//	8   chunks in use
//	16  bitmap of chunks in use, 512 bits
//
// The lists of blocks with room are volatile and rebuilt by attach.

const (
	blockShift   = 20
	blockRecord  = 128
	maxBlocks    = StacksSize >> blockShift
	minChunk     = 11 // log of the smallest chunk
	chunkClasses = blockShift - minChunk + 1
)

// Header of a chunk.
const (
	chunkSize   = 0  // bytes
	chunkPrev   = 8  // chunk below, 0 for a goroutine's first
	chunkDepth  = 16 // bytes of this chunk and all below it
	chunkOwner  = 24 // GID
	chunkHeader = 32
)

type stackAlloc struct {
	partial [chunkClasses][]uint32 // blocks that may have room
	free    []uint32               // blocks of no class
}

// stackBytes is the stack memory that counts against the arena's limit.
func stackBytes() uint64 { return hget(hdrBlockHigh) << blockShift }

func blockAddr(b uint32) Addr { return metaStacks + Addr(b)*blockRecord }

func chunkClass(size uint64) int {
	return max(bits.Len64(size-1)-minChunk, 0)
}

// newChunk returns a chunk of at least size bytes (at most 1 MiB), false if STACKS is full. Its pages are not touched.
func (vm *VM) newChunk(size uint64) (Addr, uint64, bool) {
	class := chunkClass(size)
	s := &vm.stacks
	for len(s.partial[class]) > 0 {
		b := s.partial[class][len(s.partial[class])-1]
		if a, ok := vm.chunkFrom(b, class); ok {
			return a, 1 << (class + minChunk), true
		}
		s.partial[class] = s.partial[class][:len(s.partial[class])-1]
	}
	var b uint32
	if n := len(s.free); n > 0 {
		b, s.free = s.free[n-1], s.free[:n-1]
	} else {
		high := hget(hdrBlockHigh)
		if high >= maxBlocks || uint64(vm.heap.base-DataBase)+hget(hdrHeapPages)<<heapShift+stackBytes() >= hget(hdrArenaLimit) {
			return 0, 0, false
		}
		vm.hset(hdrBlockHigh, high+1)
		b = uint32(high)
	}
	vm.touch(blockAddr(b), blockRecord)
	clear(bytesAt(blockAddr(b), blockRecord))
	st64(blockAddr(b), uint64(class)+1)
	s.partial[class] = append(s.partial[class], b)
	a, ok := vm.chunkFrom(b, class)
	return a, 1 << (class + minChunk), ok
}

func (vm *VM) chunkFrom(b uint32, class int) (Addr, bool) {
	r := blockAddr(b)
	n := 1 << (blockShift - minChunk - class)
	if ld64(r) != uint64(class)+1 {
		return 0, false
	}
	for w := range (n + 63) / 64 {
		free := ^ld64(r + 16 + Addr(w)*8)
		if n < 64 {
			free &= 1<<n - 1
		}
		if free == 0 {
			continue
		}
		i := bits.TrailingZeros64(free)
		vm.touch(r, blockRecord)
		st64(r+16+Addr(w)*8, ld64(r+16+Addr(w)*8)|1<<i)
		st64(r+8, ld64(r+8)+1)
		return StacksBase + Addr(b)<<blockShift + Addr(w*64+i)<<(class+minChunk), true
	}
	return 0, false
}

func (vm *VM) freeChunk(a Addr) {
	b := uint32((a - StacksBase) >> blockShift)
	r := blockAddr(b)
	class := int(ld64(r)) - 1
	i := (a & (1<<blockShift - 1)) >> (class + minChunk)
	w := r + 16 + i/64*8
	if class < 0 || ld64(w)>>(i%64)&1 == 0 {
		panic(fmt.Sprintf("stack chunk %#x freed twice", uint64(a)))
	}
	vm.touch(r, blockRecord)
	st64(w, ld64(w)&^(1<<(i%64)))
	used := ld64(r+8) - 1
	st64(r+8, used)
	full := uint64(1) << (blockShift - minChunk - class)
	switch used {
	case 0:
		st64(r, 0)
		vm.stacks.free = append(vm.stacks.free, b)
	case full - 1:
		vm.stacks.partial[class] = append(vm.stacks.partial[class], b)
	}
}

// attachStacks checks the block records and rebuilds the lists.
func (vm *VM) attachStacks() error {
	vm.stacks = stackAlloc{}
	for b := range uint32(hget(hdrBlockHigh)) {
		r := blockAddr(b)
		class := int64(ld64(r)) - 1
		if class == -1 {
			vm.stacks.free = append(vm.stacks.free, b)
			continue
		}
		if class < 0 || class >= chunkClasses {
			return fmt.Errorf("%w: stack block %d has class %d", ErrArena, b, class)
		}
		n := uint64(1) << (blockShift - minChunk - class)
		used := 0
		for w := range Addr(8) {
			used += bits.OnesCount64(ld64(r + 16 + w*8))
		}
		if uint64(used) != ld64(r+8) || uint64(used) > n {
			return fmt.Errorf("%w: stack block %d counts %d chunks, bitmap %d", ErrArena, b, ld64(r+8), used)
		}
		if uint64(used) < n {
			vm.stacks.partial[class] = append(vm.stacks.partial[class], b)
		}
	}
	return nil
}

// validChunk says whether a is a chunk in use.
func validChunk(a Addr) bool {
	if a < StacksBase || a >= StacksBase+StacksSize || a&(1<<minChunk-1) != 0 {
		return false
	}
	b := uint64(a-StacksBase) >> blockShift
	if b >= hget(hdrBlockHigh) {
		return false
	}
	r := blockAddr(uint32(b))
	class := int64(ld64(r)) - 1
	if class < 0 || class >= chunkClasses || a&(1<<(class+minChunk)-1) != 0 {
		return false
	}
	i := (a & (1<<blockShift - 1)) >> (class + minChunk)
	return ld64(r+16+i/64*8)>>(i%64)&1 == 1 && ld64(a+chunkSize) == 1<<(class+minChunk)
}
