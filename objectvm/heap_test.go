package objectvm

import (
	"math/bits"
	"testing"
)

// patternWords lists the pointer words that the collector sees in an object of the span key.
func patternWords(k spanKey, long []uint64) map[uint64]bool {
	mask := []uint64{k.mask}
	if k.typ != 0 {
		mask = long
	}
	unit := k.unit
	if unit == 0 {
		unit = k.size
	}
	words := map[uint64]bool{}
	for o := uint64(0); o+8 <= k.size; o += unit {
		for w, m := range mask {
			for ; m != 0; m &= m - 1 {
				if at := o + (uint64(w)*64+uint64(bits.TrailingZeros64(m)))*8; at+8 <= k.size {
					words[at] = true
				}
			}
		}
	}
	return words
}

// TestSpanPatterns compares, for every type of a large program, what the collector takes for pointers in arrays of it with the
// type's own pointer words. Words behind the array's end are zero, so that it does not matter whether they count.
func TestSpanPatterns(t *testing.T) {
	r := newRig(t, compileProgram(t, "testdata/programs/values.go"), Config{})
	defer r.close()
	checked := 0
	for _, ty := range r.vm.types {
		if ty == nil || ty.Size == 0 || ty.Size > 1<<16 {
			continue
		}
		for _, n := range []uint64{1, 2, 3, 7, 40} {
			k := keyOf(ty, n)
			if k.size < ty.Size*n {
				t.Fatalf("%s times %d: objects of %d bytes", ty.Name(), n, k.size)
			}
			got, want := patternWords(k, ty.Mask), map[uint64]bool{}
			for i := range n {
				ty.eachPtr(i*ty.Size, func(o uint64) { want[o] = true })
			}
			for o := uint64(0); o < ty.Size*n; o += 8 {
				if got[o] != want[o] {
					t.Fatalf("%s times %d: word at %d is a pointer: %v, in the pattern %+v: %v", ty.Name(), n, o, want[o], k, got[o])
				}
			}
			checked++
		}
	}
	if checked < 500 {
		t.Fatalf("only %d patterns checked", checked)
	}
}

// TestSizeClasses checks that classes are monotonic, waste at most an eighth beyond 128 bytes, and keep alignment.
func TestSizeClasses(t *testing.T) {
	last := uint64(0)
	for n := uint64(1); n <= maxSmall; n++ {
		c := sizeClass(n)
		if c < n || c < last || n > 128 && c-n > n/8 || c > 8 && c%16 != 0 {
			t.Fatalf("%d bytes take %d, the size before took %d", n, c, last)
		}
		last = c
	}
}

// TestStackChunks allocates chunks of all sizes, frees them in another order and attaches; nothing may overlap or leak.
func TestStackChunks(t *testing.T) {
	r := newRig(t, fibModule(t, 1), Config{})
	defer r.close()
	type chunk struct {
		a    Addr
		size uint64
	}
	var all []chunk
	for i := range 400 {
		a, size, ok := r.vm.newChunk(1 << (minChunk + i*7%chunkClasses))
		if !ok {
			t.Fatal("no stack memory")
		}
		for _, c := range all {
			if a < c.a+Addr(c.size) && c.a < a+Addr(size) {
				t.Fatalf("chunk %#x of %d overlaps %#x of %d", a, size, c.a, c.size)
			}
		}
		all = append(all, chunk{a, size})
	}
	high := hget(hdrBlockHigh)
	for i := range all {
		r.vm.freeChunk(all[i*31%len(all)].a)
	}
	vm, err := Attach(r.arena, r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.vm = vm
	for range 400 {
		if _, _, ok := r.vm.newChunk(1 << minChunk); !ok {
			t.Fatal("no stack memory after freeing")
		}
	}
	if hget(hdrBlockHigh) != high {
		t.Errorf("blocks grew from %d to %d although chunks were freed", high, hget(hdrBlockHigh))
	}
}
