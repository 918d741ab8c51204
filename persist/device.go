package persist

import "io"

// BlockSize is the unit of every read and write: one page, 4 KiB.
const BlockSize = 4096

// PageID numbers the pages of an arena: (address - arena base) / 4096.
type PageID uint64

// NoPage stands for "not about a page" in a [CorruptError].
const NoPage = ^PageID(0)

// MaxPages bounds a PageID (exclusive): 256 GiB of address space.
const MaxPages = 1 << 26

// Epoch numbers the committed states of an instance. 0 means none; a new
// image starts with epoch 1, the empty arena.
type Epoch uint64

// Device is a block device. Offsets and lengths are multiples of [BlockSize].
// Flush returns when everything written before is durable. A write to a full
// device returns an error that is [ErrNoSpace], ENOSPC, or has a method
// NoSpace() bool. Methods are not called concurrently by one Store.
type Device interface {
	io.ReaderAt
	io.WriterAt
	Flush() error
	// Size is the capacity in bytes; it may be sparse. It may grow between
	// two openings, never shrink.
	Size() int64
}

// GatherWriter is implemented by devices that write several buffers to
// consecutive offsets in one operation, which saves copies.
type GatherWriter interface {
	WriteGather(bufs [][]byte, off int64) error
}

// GroupWriter is implemented by devices that take a write group and its flush in
// one operation: the buffers of runs[i] go to consecutive places from offs[i] on,
// in any order, and then these and all earlier writes are made durable.
type GroupWriter interface {
	WriteGroup(runs [][][]byte, offs []int64) error
}

// Preparer is implemented by devices for which a first write to a place is
// dearer than an overwrite (a sparse file that has to allocate). Prepare makes
// n bytes at off cheap to overwrite; it is called off the hot path, and what
// lies there has no meaning. Errors are ignored: the write itself will tell.
type Preparer interface {
	Prepare(off, n int64) error
}
