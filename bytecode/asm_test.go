package bytecode

import (
	"bytes"
	"errors"
	"strings"
	"testing"
)

func TestAssembleDisassembleRoundTrip(t *testing.T) {
	testSeeds(t, 40, func(t *testing.T, seed uint64) {
		checkTextRoundTrip(t, randomModule(seed, 8, 120))
	})
}

// checkTextRoundTrip compares a module with what its text assembles to.
func checkTextRoundTrip(t *testing.T, m *Module) {
	t.Helper()
	var text bytes.Buffer
	if err := Disassemble(m, &text); err != nil {
		t.Fatal(err)
	}
	again, err := Assemble(text.String())
	if err != nil {
		t.Fatalf("%v\n%s", err, around(text.String(), err))
	}
	if !bytes.Equal(mustEncode(t, again), mustEncode(t, m)) {
		var second bytes.Buffer
		_ = Disassemble(again, &second)
		a, b := strings.Split(text.String(), "\n"), strings.Split(second.String(), "\n")
		for i := range a {
			if i >= len(b) || a[i] != b[i] {
				t.Fatalf("line %d is %q, after a round trip %q", i+1, a[i], append(b, "nothing")[min(i, len(b))])
			}
		}
		t.Fatal("module differs after a round trip, its text does not")
	}
}

func around(text string, err error) string {
	var e *AsmError
	lines := strings.Split(text, "\n")
	if !errors.As(err, &e) || e.Line > len(lines) {
		return ""
	}
	return lines[e.Line-1]
}
