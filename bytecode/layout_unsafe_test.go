package bytecode

import (
	"reflect"
	"unsafe"
)

// rtype is the beginning of Go's abi.Type.
type rtype struct {
	size, ptrBytes uintptr
	hash           uint32
	tflag          uint8
	align, _, kind uint8
	_              unsafe.Pointer
	gcData         *byte
}

const (
	tflagOnDemand = 1 << 4
	tflagDirect   = 1 << 5
)

// rtypeOf returns the descriptor that the compiler made. A reflect.Type is an interface whose data word is its address.
func rtypeOf(t reflect.Type) *rtype {
	return (*rtype)((*[2]unsafe.Pointer)(unsafe.Pointer(&t))[1])
}

// gcMask returns the compiler's pointer mask, one bool per word, or nil if it is made on demand only.
func gcMask(t *rtype) []bool {
	if t.tflag&tflagOnDemand != 0 || t.ptrBytes == 0 {
		return nil
	}
	mask := make([]bool, t.ptrBytes/8)
	bytes := unsafe.Slice(t.gcData, (len(mask)+7)/8)
	for i := range mask {
		mask[i] = bytes[i/8]>>(i%8)&1 != 0
	}
	return mask
}
