package objectvm

import (
	"math"
	"strconv"
	"strings"
	"testing"
)

// The instruction stands between constants and stores of what it may have changed; OFFSET makes the address unaligned or bad.
const floatSource = `
module main
type float64 float64 size=8 align=8 comparable
type [9]float64 array size=72 align=8 comparable elem=float64 len=9
native vm.exit 1 0
global g "[9]float64" at=0
entry start
func start frame=16 args=0 results=0 {
	maps auto
	LDK r4, X
	LDK r5, Y
	LDK r6, Z
	LDG r7, g
	ADDI r7, r7, OFFSET
	ST64 r6, r7, 24
	INSTRUCTION
	LDG r8, g
	ST64 r4, r8, 56
	LDI r3, 0
	NATIVE r3, r3, vm.exit
	RET
}
`

// TestFloatMemory executes each instruction with an operand in memory in the loop and outside it.
func TestFloatMemory(t *testing.T) {
	x, y, z := 1+1.0/(1<<30), -3.7, 1e-3*math.Pi
	for _, c := range []struct {
		code           string
		result, memory float64 // slot 4, float64 at r7+24
	}{
		{"FADDM.3 r4, r5, r7", y + z, z},
		{"FSUBM.3 r4, r5, r7", y - z, z},
		{"FSUBRM.3 r4, r5, r7", z - y, z},
		{"FMULM.3 r4, r5, r7", y * z, z},
		{"FADDTO r4, r7, 24", x, z + x},
		{"FSUBTO r4, r7, 24", x, z - x},
		{"FMULADDTO.3 r4, r5, r7", x, z + float64(x*y)},
		{"FMULSUBTO.3 r4, r4, r7", x, z - float64(x*x)},
		{"FMULADD r4, r4, r4, {6}", z + float64(x*x), z},
	} {
		name, _, _ := strings.Cut(c.code, " ")
		for _, offset := range []string{"0", "4"} {
			for _, slice := range []int64{1, 1000} {
				r := newRig(t, floatModule(t, x, y, z, offset, c.code), Config{})
				st := r.run(slice, slice == 1)
				g := DataBase
				at := g + 24
				if offset == "4" {
					at += 4
				}
				result, memory := math.Float64frombits(ld64(g+56)), math.Float64frombits(ld64(at))
				if st.Kind != Exited || st.Code != 0 || result != c.result || memory != c.memory {
					t.Errorf("%s, offset %s: %+v, %v and %v, want %v and %v", name, offset, st, result, memory, c.result, c.memory)
				}
				r.close()
			}
		}
		if name == "FMULADD" {
			continue
		}
		// Without access nothing is changed and the instruction traps.
		r := newRig(t, badFloatModule(t, c.code), Config{})
		if st := r.run(1000, false); st.Kind != Exited || st.Code != 2 || !strings.Contains(r.stdout(2), "run-time panic") {
			t.Errorf("%s at a bad address: %+v, %q", name, st, r.stdout(2))
		}
		r.close()
	}
}

func floatModule(t *testing.T, x, y, z float64, offset, code string) []byte {
	src := replace(floatSource, "INSTRUCTION", code)
	src = replace(src, "OFFSET", offset)
	for name, v := range map[string]float64{"X": x, "Y": y, "Z": z} {
		src = replace(src, " "+name+"\n", " "+strconv.FormatUint(math.Float64bits(v), 10)+"\n")
	}
	return assemble(t, src)
}

func badFloatModule(t *testing.T, code string) []byte {
	src := replace(floatSource, "INSTRUCTION", "LDI r7, 8\n\t"+code)
	return assemble(t, strings.NewReplacer("OFFSET", "0", " X\n", " 0\n", " Y\n", " 0\n", " Z\n", " 0\n").Replace(src))
}
