package persist_test

import (
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"phantomvm/persist"
)

// arena is mapped memory for a Checkpointer, with the barrier that a VM has.
type arena struct {
	mem   persist.Memory
	bytes []byte
	state []byte
}

func newArena(t testing.TB, pages int) *arena {
	t.Helper()
	flags := unix.MAP_ANON | unix.MAP_PRIVATE | unix.MAP_NORESERVE
	b, err := unix.Mmap(-1, 0, pages*persist.BlockSize, unix.PROT_READ|unix.PROT_WRITE, flags)
	require.NoError(t, err)
	s, err := unix.Mmap(-1, 0, (pages+4095)&^4095, unix.PROT_READ|unix.PROT_WRITE, flags)
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, unix.Munmap(b))
		require.NoError(t, unix.Munmap(s))
	})
	return &arena{memoryOf(b, s), b, s}
}

func (a *arena) page(p persist.PageID) []byte {
	return a.bytes[p*persist.BlockSize : (p+1)*persist.BlockSize]
}

// store is a store with its write barrier.
func (a *arena) store(c *persist.Checkpointer, p persist.PageID, off int, v byte) {
	if a.state[p] != c.Open() {
		c.Touch(p)
	}
	a.bytes[int(p)*persist.BlockSize+off] = v
}

// mapPins gives the arena a pin table of its own.
func (a *arena) mapPins(t testing.TB) []byte {
	t.Helper()
	b, err := unix.Mmap(-1, 0, (len(a.state)+4095)&^4095, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_ANON|unix.MAP_PRIVATE)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, unix.Munmap(b)) })
	setPins(&a.mem, b)
	return b[:len(a.state)]
}
