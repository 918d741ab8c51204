package persist

import "unsafe"

// checksumTable is checksum in plain Go, for processors without the
// instruction. The caller vouches for 4096 bytes of memory at p.
func checksumTable(p uintptr) uint32 {
	return checksumBytes(unsafe.Slice((*byte)(at(p)), BlockSize))
}

func checksumBytes(b []byte) uint32 {
	c := ^uint32(0)
	for _, v := range b {
		c = castagnoli[byte(c)^v] ^ c>>8
	}
	return ^c
}
