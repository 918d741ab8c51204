// Package gofront compiles Go programs to phantom bytecode.
//
// # From source to module
//
//  1. load.Load parses and type-checks the program with the library it is
//     compiled against, and builds go/ssa form (generics instantiated, loops over
//     functions and select taken apart). Package runtime is ours.
//  2. The linker (link.go) starts from the entry function, which runs the package
//     initialisers in Go's order and then main, and lowers every function that
//     something refers to. methods.go decides which methods of types in interfaces
//     are needed, inits.go which part of a package's initialisation.
//  3. A function is lowered to a linear list of instructions over virtual
//     registers (lir.go; lower.go and its neighbours), gets its slots (alloc.go,
//     colour.go) and its final form (peephole.go, emit.go).
//
// # What has to hold
//
//   - An SSA value is never written after its definition, so that a value that is
//     a part of another one (a component of a call's results, a field, a length)
//     shares its slots.
//   - A variable lives in the frame only if its address is used by loads, stores
//     and selections; nothing can point into a frame.
//   - A stack map names every slot that holds a pointer which may be read later.
//     maps_test.go checks that on the final code, and the differential tests run
//     under a collector that runs at every safepoint and poisons what it frees.
//   - The same sources give the same bytes: every list is in order of first
//     reference from the entry.
//
// # Limits
//
// No cgo; functions without a body must be known to the VM, or a go:linkname directive must
// link them. A function whose arguments and values do not fit a frame of
// bytecode.MaxFrame slots is refused, after everything that can has been moved to the heap.
package gofront
