package objectvm

import (
	"errors"
	"fmt"
	"sync/atomic"
	"syscall"
)

// Mapping of the arena at its fixed addresses. All of it is reserved at once; the kernel gives memory to pages when they are
// used first. What lies there is volatile: who persists pages puts them back between MapArena and Attach.

// ErrMapped says that the process has an arena already, or something else at its addresses.
var ErrMapped = errors.New("arena addresses are taken")

const (
	mapFixedNoreplace = 0x100000
	mapFlags          = syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE | mapFixedNoreplace
)

type region struct {
	base Addr
	size uint64
}

var regions = [...]region{
	{volatileBase, 1 << 20},
	{funcTabBase, funcTabSize},
	{markBase, DataSize / heapPage * bitmapBytes},
	{viewPages, maxSpans * 4},
	{viewSpans, maxSpans * viewSize},
	{noteBase, uint64(ArenaPages) * 8},
	{copyBase, maxCopies << PageShift},
	{StateBase, uint64(ArenaPages)},
	{PinBase, uint64(ArenaPages)},
	{MetaBase, MetaSize},
	{StacksBase, StacksSize},
	{CodeBase, CodeSize + ROSize + DataSize},
}

// PagedRanges are the addresses whose pages may be brought in on demand, each from its first byte to behind its last one.
func PagedRanges() [][2]uintptr {
	return [][2]uintptr{
		{uintptr(MetaBase), uintptr(MetaBase + MetaSize)},
		{uintptr(StacksBase), uintptr(StacksBase + StacksSize)},
		{uintptr(DataBase), uintptr(ArenaEnd)},
	}
}

// arenaInUse holds while a process has an Arena: the addresses exist once.
var arenaInUse atomic.Bool

// Arena is the mapped address range. There is one per process at a time.
type Arena struct {
	mapped int
	used   bool // a VM has left its views behind
}

// forgetViews gives the memory of an earlier VM's views back: they read as zeros again.
func (a *Arena) forgetViews() error {
	if !a.used {
		a.used = true
		return nil
	}
	for _, r := range regions {
		if r.base != viewPages && r.base != viewSpans && r.base != noteBase {
			continue
		}
		if _, _, e := syscall.Syscall(syscall.SYS_MADVISE, uintptr(r.base), uintptr(r.size), syscall.MADV_DONTNEED); e != 0 {
			return fmt.Errorf("forget %#x: %w", uint64(r.base), e)
		}
	}
	return nil
}

// MapArena reserves the arena's addresses; the memory reads as zeros.
func MapArena() (*Arena, error) {
	if !arenaInUse.CompareAndSwap(false, true) {
		return nil, ErrMapped
	}
	a := &Arena{}
	for _, r := range regions {
		got, _, e := syscall.Syscall6(syscall.SYS_MMAP, uintptr(r.base), uintptr(r.size), syscall.PROT_READ|syscall.PROT_WRITE, mapFlags, ^uintptr(0), 0)
		if e == 0 && Addr(got) != r.base { // a kernel without MAP_FIXED_NOREPLACE takes the address as a hint
			_, _, _ = syscall.Syscall(syscall.SYS_MUNMAP, got, uintptr(r.size), 0)
			e = syscall.EEXIST
		}
		if e != 0 {
			err := fmt.Errorf("map %#x, %d MiB: %w", uint64(r.base), r.size>>20, e)
			if e == syscall.EEXIST {
				err = fmt.Errorf("%w: %w", ErrMapped, err)
			}
			_ = a.Unmap()
			return nil, err
		}
		a.mapped++
	}
	st8(OpenState, 1)
	return a, nil
}

// Unmap gives the addresses back. No VM may use the arena any more.
func (a *Arena) Unmap() error {
	var err error
	for _, r := range regions[:a.mapped] {
		if _, _, e := syscall.Syscall(syscall.SYS_MUNMAP, uintptr(r.base), uintptr(r.size), 0); e != 0 {
			err = fmt.Errorf("unmap %#x: %w", uint64(r.base), e)
		}
	}
	a.mapped = 0
	arenaInUse.Store(false)
	return err
}
