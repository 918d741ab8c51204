package objectvm

import (
	"math/bits"
	"testing"
)

const batchSource = `
module main
type int int named
native vm.exit 1 0
entry start
func start frame=12 args=0 results=0 {
	maps auto
	LDI r4, 1000
loop:
	NEW r5, int
	LD64 r6, r5, 0
	JNEI r6, 0, used
	LDI r6, -1
	ST64 r6, r5, 0
	ADDI r4, r4, -1
	JGTIB r4, 0, loop
	LDI r4, 0
used:
	NATIVE r4, r4, vm.exit
	RET
}
`

// TestBatches: objects are zeroed, and between slices spans count what their bitmaps hold, whoever allocated.
func TestBatches(t *testing.T) {
	for _, slice := range []int64{3, 50, 100_000} {
		for _, freeze := range []bool{false, true} {
			r := newRig(t, assemble(t, batchSource), Config{})
			for {
				st := r.vm.RunSlice(slice)
				total := uint64(0)
				for s := uint32(1); uint64(s) <= hget(hdrSpanHigh); s++ {
					rec, n, v := spanAddr(s), uint64(0), r.vm.viewSpan(s)
					if v == nil || v.elem == 0 {
						continue
					}
					for i := uint64(0); i < uint64(v.count); i += 64 {
						n += uint64(bits.OnesCount64(ld64(r.vm.heap.bitmap(v.base) + Addr(i/8))))
					}
					if n != ld64(rec+spanUsed) {
						t.Fatalf("slice %d: span %d has %d objects, its record says %d", slice, s, n, ld64(rec+spanUsed))
					}
					total += n
				}
				if st.Kind == Exited {
					if st.Code != 0 || total < 1000 {
						t.Errorf("slice %d: %+v with %d objects", slice, st, total)
					}
					break
				}
				if freeze {
					r.barrier.freeze()
				}
			}
			r.close()
		}
	}
}
