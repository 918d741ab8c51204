// Package persist keeps a paged arena on a block device: checkpoints of dirty
// pages are appended to a log, and after a crash the newest complete
// checkpoint is found again. It sees pages and opaque bytes, never what they
// mean. The bytes on the device are specified in docs/format.md.
//
// # How a checkpoint comes about
//
//  1. A store to a frozen page calls [Checkpointer.Touch] first. The page joins
//     the list of dirty pages and becomes open: further stores cost nothing.
//  2. At a slice boundary [Checkpointer.Flip] freezes the dirty pages and hands
//     the list to a goroutine. That is the instant the checkpoint describes
//     (the demarcation).
//  3. The goroutine copies and checksums the frozen pages. If the program wants
//     to store to a page that is not copied yet, Touch copies it first.
//  4. Pages, changed nodes of the page map, and commit records are appended to
//     the log, a root goes to the root slot which does not hold the last good
//     root, and one flush makes all of it durable (the stabilisation).
//  5. The completion is announced: [Checkpointer.Durable] advances.
//
// # Demand paging
//
// Open reads no page. A monitor either loads all of them with [Store.LoadAll]
// or fetches each when it is touched first:
//
//	tab := store.Table()
//	tab.SetReader(read)        // once: a raw read of the device
//	tab.Fetch(page, dst)       // in the context of a fault; FetchZero: give zeros
//	tab.Ref(page)              // where a neighbour lies, if that is known: for read-ahead
//
// Before Fetch, the fault handler looks at the page's byte in the pin table
// ([Memory].Pins): with [PinDropped] the page reads as zeros. A page whose
// state byte and pin byte are both 0 may be evicted: it has in memory exactly
// what Fetch gives. The mutator calls [Checkpointer.Settle] at slice boundaries,
// so that pages lose their pins once they are durable.
//
// # Invariants
//
// The numbers are used by the code and by docs/format.md.
//
//	I1 A root is valid only together with every block of its write group; its
//	   checksums reach all of them. Order within a group means nothing.
//	I2 At most one commit is unacknowledged.
//	I3 A root slot is overwritten only when the other slot holds an
//	   acknowledged root; that root's blocks are not overwritten before its own
//	   slot is given up (freed segments rest for two commits).
//	I4 A block is referenced at most once by the page map and the commit
//	   records of one root.
//	I5 A page that is not open and which no unfinished checkpoint holds
//	   has in memory exactly the bytes that the page map's checksum describes.
//	I6 After a failed write or flush nothing is assumed of the device; no
//	   commit follows until the image is opened again.
//	I7 Open flushes before it answers: a root which was written but never
//	   flushed may be in a volatile cache only, and the next commit would
//	   destroy the root before it.
//	I8 An epoch number is never given twice, not even to an attempt that failed.
//	I9 Each flip retires the state byte of open pages; before a retired value is used again, no page has it
//	   (a flip settles the checkpoint before)
//
// # Reading the source
//
// format.go (encoding), pagemap.go (radix tree), segment.go (log space),
// commit.go (one write group), recover.go and load.go (finding and proving the root), checkpointer.go
// (write barrier and flip), stage.go (the background half), table.go (finding a
// page, also in a page fault; overlay.go, nodecache.go), fsck.go.
package persist
