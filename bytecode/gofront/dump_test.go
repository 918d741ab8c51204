package gofront

import (
	"os"
	"strings"
	"testing"

	"phantomvm/bytecode"
)

// TestDump prints the code of the functions named in GOFRONT_FUNCS of the program GOFRONT_DUMP.
func TestDump(t *testing.T) {
	file := os.Getenv("GOFRONT_DUMP")
	if file == "" {
		t.Skip("GOFRONT_DUMP names no program")
	}
	mod, err := Compile(Config{Patterns: strings.Fields(file)})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d functions, %d types, %d bytes of constants", len(mod.Funcs), len(mod.Types), len(mod.RO))
	if err := bytecode.Verify(mod); err != nil {
		t.Errorf("verify: %v", err)
	}
	names := os.Getenv("GOFRONT_FUNCS")
	if names == "" {
		return
	}
	var b strings.Builder
	if err := bytecode.Disassemble(mod, &b); err != nil {
		t.Fatal(err)
	}
	for _, f := range strings.Split(b.String(), "\nfunc ") {
		for _, n := range strings.Split(names, ",") {
			if strings.HasPrefix(f, n) || strings.HasPrefix(f, "\""+n) {
				t.Log("\nfunc " + f)
			}
		}
	}
}
