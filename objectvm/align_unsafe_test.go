package objectvm

import (
	"encoding/binary"
	"reflect"
	"testing"
	"unsafe"
)

// TestDispatchAlignment checks that the dispatch head of the loop lies within 32 bytes. When it straddles a cache line the interpreter is up to 1.6
// times slower, and functions are aligned to 32 bytes only. If it fails, change pad in internal/interpgen and generate again.
func TestDispatchAlignment(t *testing.T) {
	start := reflect.ValueOf(interp).Pointer()
	entry := interp
	code := unsafe.Slice(**(***byte)(unsafe.Pointer(&entry)), 8<<10) // the function's code is longer than that
	end := 0
	for i := 0; i+2 < len(code); i++ {
		if code[i] == 0xff && code[i+1]&0x38 == 0x20 && code[i+1]&7 == 4 { // JMP (base)(index*8)
			end = i + 3
			break
		}
	}
	if end == 0 {
		t.Fatal("no indirect jump found: does the switch have all 256 cases?")
	}
	head := -1
	for i := end; i+5 < len(code) && head < 0; i++ {
		target := -1
		switch code[i] {
		case 0xeb:
			target = i + 2 + int(int8(code[i+1]))
		case 0xe9:
			target = i + 5 + int(int32(binary.LittleEndian.Uint32(code[i+1:])))
		}
		if target >= end-48 && target < end-8 {
			head = target
		}
	}
	if head < 0 {
		t.Fatal("no jump to the dispatch head found")
	}
	at := (int(start) + head) % 32
	if n := end - head; at+n > 32 {
		t.Errorf("dispatch head of %d bytes at %d mod 32", n, at)
	}
}
