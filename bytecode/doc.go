// Package bytecode defines what the machine executes: the instruction set
// (optable.go), a program in memory (Module), its container (Encode, Decode), the
// verifier that every module passes before it runs (Verify), type layouts
// (Layouts), and the text form (Assemble, Disassemble).
//
// docs/bytecode.md describes the formats, docs/abi.md what compiler and machine
// expect of each other. The package runs inside the guest as well, so it depends
// on little.
package bytecode
