// Package paging brings pages of an arena in when they are touched first, and
// evicts cold clean ones, so that an arena may be far larger than memory. It
// costs the fast path nothing: an access to a page that is not there faults in
// hardware, the fault is resolved in its own context, and the instruction is
// executed again. So neither the interpreter nor the collector knows about it.
//
// How it works, in the order of events:
//
//  1. New tells the operating system (userfaultfd with SIGBUS, uffd_linux_unsafe.go) or the guest's
//     kernel that an access to an absent page of the arena is a SIGBUS, and installs its own handler
//     over Go's (handler_amd64.s). Other SIGBUS signals go on to Go's.
//  2. The handler runs on the thread's signal stack, with all signals blocked and with enough of a g for
//     a stack check. It calls Pager.fault (fault.go).
//  3. fault looks up where the page lies (Source), makes room if memory is short (queue.go), reads the page, with
//     its neighbours if the program seems to read ahead, into a buffer, proves the checksums, and
//     has the Platform copy it into place.
//  4. A page that can't be had (damage, an I/O error, no memory) is noted in Pager.Err, and the signal goes
//     on to Go's handler, which makes it a panic of the goroutine; debug.SetPanicOnFault must be set.
//  5. Between slices Balance evicts pages until there is room for the next slice.
//
// # Rules for code in fault context
//
// A fault may come from any thread at any memory access. What runs then must
// not allocate, panic, store Go pointers, grow its stack beyond some KiB, use maps or channels, nor
// wait for Go code. It may spin for the pager's lock, because whoever holds that runs by the same rules:
// Balance takes it with signals blocked and on a stack of its own.
package paging
