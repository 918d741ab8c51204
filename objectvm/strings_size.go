package objectvm

import "sort"

// Size classes of gc's allocator (internal/runtime/gc, go1.26). The VM's heap has its own;
// these decide only what cap() reports after append, so that programs see the same numbers.
var gcSizeClasses = [...]uint16{
	8, 16, 24, 32, 48, 64, 80, 96, 112, 128, 144, 160, 176, 192, 208, 224, 240, 256, 288, 320, 352, 384, 416, 448, 480, 512, 576, 640, 704, 768, 896,
	1024, 1152, 1280, 1408, 1536, 1792, 2048, 2304, 2688, 3072, 3200, 3456, 4096, 4864, 5376, 6144, 6528, 6784, 6912, 8192, 9472, 9728, 10240,
	10880, 12288, 13568, 14336, 16384, 18432, 19072, 20480, 21760, 24576, 27264, 28672, 32768,
}

const (
	gcMaxSmall   = 32768 - 8
	gcHeaderMin  = 512 // objects with pointers above this size carry a header of 8 bytes
	gcHeaderSize = 8
	gcPage       = 8192
)

// roundupSize is the size of the block that gc's allocator takes for size bytes; scan says that they hold pointers.
func roundupSize(size uint64, scan bool) uint64 {
	if size > gcMaxSmall {
		return alignUp(size, gcPage)
	}
	header := uint64(0)
	if scan && size > gcHeaderMin {
		header = gcHeaderSize
	}
	size += header
	if size == 0 {
		return 0
	}
	i := sort.Search(len(gcSizeClasses), func(i int) bool { return uint64(gcSizeClasses[i]) >= size })
	return uint64(gcSizeClasses[i]) - header
}
