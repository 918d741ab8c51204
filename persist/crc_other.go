//go:build !amd64

package persist

// checksumAt is checksum of the block at p, in fault context.
func checksumAt(p uintptr) uint32 { return checksumTable(p) }
