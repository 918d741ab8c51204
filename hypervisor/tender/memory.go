package tender

import (
	"errors"
	"fmt"

	"phantomvm/hypervisor/abi"
)

// memory is the guest's physical memory. Accesses on the guest's behalf go
// through span; what the host prepares before the start uses b.
type memory struct {
	b        []byte
	readOnly []segment // host mappings that must not be stored to
}

var errAccess = errors.New("invalid guest access")

// span gives [addr, addr+n) for reading, or for writing too. As in Solo5, the
// end must lie below the end of memory.
func (m *memory) span(addr, n uint64, write bool) ([]byte, error) {
	size := uint64(len(m.b))
	if addr >= size || n >= size-addr {
		return nil, fmt.Errorf("%w: %w: %d bytes at %#x", ErrGuest, errAccess, n, addr)
	}
	if write {
		if addr < abi.MinLoadAddr {
			return nil, fmt.Errorf("%w: %w: %d bytes at %#x are the tender's", ErrGuest, errAccess, n, addr)
		}
		for _, s := range m.readOnly {
			if addr < s.end && s.addr < addr+n {
				return nil, fmt.Errorf("%w: %w: %d bytes at %#x are read-only", ErrGuest, errAccess, n, addr)
			}
		}
	}
	return m.b[addr:][:n:n], nil
}
