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
//	80  link of the list that the block is in: those with room of each class, and those of no class

const (
	blockShift   = 20
	blockRecord  = 128
	blockLink    = 80
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

// stackBytes is the stack memory that counts against the arena's limit.
func stackBytes() uint64 { return hget(hdrBlockHigh) << blockShift }

func blockAddr(b uint32) Addr { return metaStacks + Addr(b)*blockRecord }

func chunkClass(size uint64) int {
	return max(bits.Len64(size-1)-minChunk, 0)
}

func blockRoom(class int) Addr { return hdrAddr(hdrStackRoom + class) }

// newChunk returns a chunk of at least size bytes (at most 1 MiB), false if STACKS is full. Its pages are not touched.
func (vm *VM) newChunk(size uint64) (Addr, uint64, bool) {
	class := chunkClass(size)
	if n := vm.first(blockLists, blockRoom(class)); n != 0 {
		a, ok := vm.chunkFrom(n-1, class)
		return a, 1 << (class + minChunk), ok
	}
	n := vm.first(blockLists, hdrAddr(hdrStackFree))
	if n != 0 {
		vm.remove(blockLists, hdrAddr(hdrStackFree), n)
		if ld64(blockAddr(n-1)) != 0 {
			vm.damaged("free stack block %d", n-1)
			return 0, 0, false
		}
	} else {
		high := hget(hdrBlockHigh)
		if high >= maxBlocks || uint64(vm.heap.base-DataBase)+hget(hdrHeapPages)<<heapShift+stackBytes() >= hget(hdrArenaLimit) {
			return 0, 0, false
		}
		vm.hset(hdrBlockHigh, high+1)
		n = uint32(high + 1)
	}
	r := blockAddr(n - 1)
	vm.touch(r, blockRecord)
	clear(bytesAt(r, blockRecord))
	st64(r, uint64(class)+1)
	vm.pushFront(blockLists, blockRoom(class), n)
	a, ok := vm.chunkFrom(n-1, class)
	return a, 1 << (class + minChunk), ok
}

// chunkFrom takes a chunk of block b, which is in its class's list.
func (vm *VM) chunkFrom(b uint32, class int) (Addr, bool) {
	r := blockAddr(b)
	n := 1 << (blockShift - minChunk - class)
	for w := range (n + 63) / 64 {
		free := ^ld64(r + 16 + Addr(w)*8)
		if n < 64 {
			free &= 1<<n - 1
		}
		if free == 0 || ld64(r) != uint64(class)+1 {
			continue
		}
		i := bits.TrailingZeros64(free)
		vm.touch(r, blockRecord)
		st64(r+16+Addr(w)*8, ld64(r+16+Addr(w)*8)|1<<i)
		used := ld64(r+8) + 1
		if st64(r+8, used); used >= uint64(n) {
			vm.remove(blockLists, blockRoom(class), b+1)
		}
		return StacksBase + Addr(b)<<blockShift + Addr(w*64+i)<<(class+minChunk), true
	}
	vm.damaged("stack block %d has no room", b)
	return 0, false
}

// freeChunk gives back a chunk, which validChunk has accepted in this incarnation or which the VM has made.
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
	room := listed(blockLists, b+1)
	switch {
	case used != 0 && !room:
		vm.pushFront(blockLists, blockRoom(class), b+1)
	case used == 0:
		for w := range Addr(8) {
			if ld64(r+16+w*8) != 0 { // the count came wrong from disk: who uses the others must keep them
				vm.damaged("stack block %d", b)
				return
			}
		}
		if room {
			vm.remove(blockLists, blockRoom(class), b+1)
		}
		st64(r, 0)
		vm.pushFront(blockLists, hdrAddr(hdrStackFree), b+1)
	}
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
