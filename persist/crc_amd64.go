package persist

import "golang.org/x/sys/cpu"

// crcWords is CRC-32C over n words of 8 bytes at p. It uses no vector
// register: those are not saved where a guest's page fault is handled.
//
//go:noescape
func crcWords(p uintptr, n int) uint32

// checksumAt is checksum of the block at p, in fault context.
func checksumAt(p uintptr) uint32 {
	if cpu.X86.HasSSE42 {
		return crcWords(p, BlockSize/8)
	}
	return checksumTable(p)
}
