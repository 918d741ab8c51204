package objectvm

import (
	"errors"
	"fmt"
)

// The header: words of META's first page. All numbers are little-endian words; what is not listed is zero.
// Words hdrUser..511 belong to the natives.
const (
	hdrMagic      = iota // headerMagic
	hdrLayout            // ArenaLayout
	hdrISA               // bytecode.InstructionSet when the arena was made
	hdrModLen            // bytes of the module file at metaModule
	hdrState             // 0 running, 1 exited
	hdrExit              // exit code
	hdrGHigh             // goroutine records ever used
	hdrGFree             // first free goroutine record, linked by gNext
	hdrGLive             // goroutines that exist
	hdrGoID              // last goroutine number given
	hdrRunHead           // run queue, linked by gNext
	hdrRunTail           //
	hdrPoolHigh          // pool records ever used
	hdrPoolFree          // first free pool record
	hdrHeapPages         // heap pages in use, from the start of the heap
	hdrSpanHigh          // span records ever used
	hdrBlockHigh         // stack blocks ever used
	hdrArenaLimit        // bytes of DATA that the program may use
	hdrMono              // last monotonic time given
	hdrMonoBase          // monotonic time = wall time + this
	hdrInput             // bytes of standard input read
	hdrOutFrom           // 2 words: output positions up to which streams 1, 2 are trimmed
	_
	hdrOutTo // 2 words: output positions written
	_
	hdrMainG    // goroutine record of main
	hdrGCCount  // collections so far
	hdrSeed     // seed of everything random
	hdrCrashed  // 1: the program ends by an uncaught panic or a fatal error
	hdrSyncHead // goroutines in phantom.Sync, linked by gNext, see sync.go
	hdrSyncTail
	hdrSyncLen

	hdrWaitIO                                  // 3 list heads: goroutines that wait for input, for room in streams 1 and 2 (first | last << 32), linked by gNext
	hdrSpareSpan = hdrWaitIO + 3               // first free span record
	hdrClassHigh = hdrSpareSpan + 1            // classes ever used
	hdrClasses   = hdrClassHigh + 1            // 2 words of the table of classes
	hdrStackFree = hdrClasses + 2              // list of stack blocks of no class
	hdrStackRoom = hdrStackFree + 1            // a list of stack blocks with room per class
	hdrLive      = hdrStackRoom + chunkClasses // bytes of objects that survived the last major cycle
	hdrUsed      = hdrLive + 1                 // bytes of all objects
	hdrRecent    = hdrUsed + 1                 // of those allocated since a cycle began that came to its end
	hdrFreeRuns  = 64                          // a list of free runs of heap pages per power of two
	hdrUser      = 128
)

const headerMagic = 0x314d565f544e4850 // "PHNT_VM1"

// ErrArena says that the arena's bytes are not what this VM can go on with.
var ErrArena = errors.New("arena not usable")

func hdrAddr(i int) Addr { return metaHeader + Addr(i)*8 }

func hget(i int) uint64 { return ld64(hdrAddr(i)) }

// hset changes a header word; writing what is there already touches nothing, so that an idle VM dirties no page.
func (vm *VM) hset(i int, v uint64) { vm.set(hdrAddr(i), v) }

// set stores a word of META through the write barrier.
func (vm *VM) set(a Addr, v uint64) {
	if ld64(a) == v {
		return
	}
	if !isOpen(stateOff + a>>PageShift) {
		vm.touchPage(a &^ (PageSize - 1))
	}
	st64(a, v)
}

func checkHeader() error {
	switch {
	case hget(hdrMagic) != headerMagic:
		return fmt.Errorf("%w: no header", ErrArena)
	case hget(hdrLayout) != ArenaLayout:
		return fmt.Errorf("%w: layout version %d, this VM has %d", ErrArena, hget(hdrLayout), ArenaLayout)
	case hget(hdrModLen) > metaModMax:
		return fmt.Errorf("%w: module of %d bytes", ErrArena, hget(hdrModLen))
	case hget(hdrGHigh) > maxG || hget(hdrGFree) > hget(hdrGHigh) || hget(hdrRunHead) > hget(hdrGHigh) || hget(hdrRunTail) > hget(hdrGHigh):
		return fmt.Errorf("%w: goroutine table", ErrArena)
	case hget(hdrPoolHigh) > maxPool || hget(hdrPoolFree) > hget(hdrPoolHigh):
		return fmt.Errorf("%w: record pool", ErrArena)
	case hget(hdrArenaLimit) > DataSize || hget(hdrHeapPages) > DataSize/heapPage || hget(hdrSpanHigh) >= maxSpans || hget(hdrClassHigh) >= maxClasses || hget(hdrBlockHigh) > maxBlocks:
		return fmt.Errorf("%w: heap tables", ErrArena)
	}
	for s := range 2 {
		from, to := hget(hdrOutFrom+s), hget(hdrOutTo+s)
		if to < from || to-from > ringSize {
			return fmt.Errorf("%w: output positions", ErrArena)
		}
	}
	return nil
}
