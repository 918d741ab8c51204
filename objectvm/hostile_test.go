package objectvm

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"phantomvm/bytecode"
)

// Programs that try to keep the VM from coming back, or to reach what is not theirs, one test each.

// endsSoon runs one slice, which must come to an end.
func (r *rig) endsSoon(t *testing.T) Status {
	t.Helper()
	watch := time.AfterFunc(20*time.Second, func() { panic("the slice does not end") })
	defer watch.Stop()
	return r.vm.RunSlice(1000)
}

// TestPanicLoopUsesFuel: a loop through panic, deferred call and recover point has neither a backward branch nor a call instruction.
func TestPanicLoopUsesFuel(t *testing.T) {
	r := newRig(t, assemble(t, `
module main
entry start
func start frame=16 args=0 results=0 recover=again {
	maps auto
	NOP
again:
	LDFN r4, rescue
	DEFER r4
	PANIC r5
}
func rescue frame=16 args=0 results=0 {
	maps auto
	RECOVER r4
	RET
}
`), Config{})
	defer r.close()
	for range 5 {
		if st := r.endsSoon(t); st.Kind != Running {
			t.Fatalf("%+v", st)
		}
	}
}

// TestFuelDoesNotWrap: work on absurdly many bytes, refused or not, never adds up to fuel.
func TestFuelDoesNotWrap(t *testing.T) {
	r := newRig(t, fibModule(t, 1), Config{})
	defer r.close()
	hot().fuel = 0
	for range 1000 {
		r.vm.memBytes(uint64(DataBase), 1<<63)
		r.vm.charge(^uint64(0))
	}
	if hot().fuel >= 0 {
		t.Errorf("fuel is %d", hot().fuel)
	}
}

// TestStubsAreNoInstructions: what the VM executes at its own return addresses cannot be written in a module.
func TestStubsAreNoInstructions(t *testing.T) {
	for _, row := range bytecode.Table {
		if row.Num > opStub {
			t.Errorf("%s has the number of the VM's own instruction", row.Name)
		}
	}
}

// TestIndexIsLinear: a needle of the same hash as every part of the text, in the hash that the library uses.
func TestIndexIsLinear(t *testing.T) {
	rnd := testSeed(t)
	text := make([]byte, 1<<20)
	for i := range text {
		text[i] = byte(rnd.IntN(2))
	}
	for range 200 {
		at, n := rnd.IntN(len(text)/2), shortSearch/len(text)+rnd.IntN(1<<18)
		needle := append([]byte(nil), text[at:at+n]...)
		if rnd.IntN(2) == 0 {
			needle[n-1] ^= 1
		}
		if got, want := indexBytes(text, needle), bytes.Index(text, needle); got != want {
			t.Fatalf("needle at %d of %d bytes: found at %d, want %d", at, n, got, want)
		}
	}
	needle := collidingNeedle(t, 2<<20)
	began := time.Now()
	if got := indexBytes(bytes.Repeat([]byte{'a'}, 4<<20), needle); got != -1 {
		t.Errorf("found at %d", got)
	}
	if d := time.Since(began); d > runSliceTime {
		t.Errorf("took %v", d)
	}
}

// collidingNeedle makes n bytes that have the hash of n times 'a' in internal/bytealg's rolling hash, and differ at the end only:
// of all choices of 22 places to change, two make the same difference, and one change minus the other makes none.
func collidingNeedle(t *testing.T, n int) []byte {
	const prime, places, gap = 16777619, 22, 1000
	b := bytes.Repeat([]byte{'a'}, n)
	var weight [places]uint32
	w := uint32(1)
	for i := range places * gap {
		if i%gap == 0 {
			weight[i/gap] = w
		}
		w *= prime
	}
	seen := map[uint32]int{}
	for v := range 1 << places {
		var sum uint32
		for i := range places {
			sum += weight[i] * uint32(v>>i&1)
		}
		other, ok := seen[sum]
		if !ok {
			seen[sum] = v
			continue
		}
		for i := range places {
			b[n-1-i*gap] += byte(v>>i&1) - byte(other>>i&1)
		}
		return b
	}
	t.Fatal("no collision")
	return nil
}

// TestNewRecordIsEmpty: what a damaged arena has where the next goroutine's record will lie is not that goroutine's.
func TestNewRecordIsEmpty(t *testing.T) {
	r := newRig(t, fibModule(t, 1), Config{})
	defer r.close()
	next := GID(hget(hdrGHigh) + 1)
	for w := range gWords {
		st64(gAddr(next)+Addr(w)*8, 0x7777_7777)
	}
	g, ok := r.vm.newG(r.vm.funcval(r.vm.mod.Entry))
	if !ok || g != next {
		t.Fatal(g, ok)
	}
	if err := r.vm.validateG(g); err != nil {
		t.Error(err)
	}
	if r.vm.gWait(g, gwPendLen) != 0 || r.vm.gWait(g, gwWaits) != 0 {
		t.Error("the new goroutine waits")
	}
}

// TestLongFunctionYields: each instruction of a function without branches may be work on gigabytes.
func TestLongFunctionYields(t *testing.T) {
	src := "module main\nentry start\nnative runtime.memequal 3 1\nfunc start frame=16 args=0 results=0 {\nmaps auto\nLDK r4, 0x102050000000\nLDK r5, 0x102060000000\nLDK r6, 0x10000000\n"
	src += strings.Repeat("NATIVE r7, r4, runtime.memequal\n", 100) + "RET\n}\n"
	r := newRig(t, assemble(t, src), Config{})
	defer r.close()
	began := time.Now()
	for range 2 {
		if st := r.vm.RunSlice(1000); st.Kind != Running {
			t.Fatalf("%+v", st)
		}
	}
	if d := time.Since(began); d > runSliceTime {
		t.Errorf("two slices took %v", d)
	}
}

// TestDamagedStackIsRefused changes one word of a stack of several chunks at a time.
func TestDamagedStackIsRefused(t *testing.T) {
	r := newRig(t, assemble(t, `
module main
entry start
func start frame=200 args=0 results=0 {
	maps auto
	LDFN r4, start
	DEFER r4
	CALL r190, r4, deep
	RET
}
func deep frame=200 args=1 results=2 {
	maps auto
	CALL r190, r4, deep
	RETN r4, 2
}
`), Config{})
	defer r.close()
	if st := r.vm.RunSlice(20); st.Kind != Running {
		t.Fatalf("%+v", st)
	}
	g := GID(1)
	if err := r.vm.validateG(g); err != nil {
		t.Fatal(err)
	}
	chunk := Addr(gGet(g, gChunk))
	tramp, fp := chunk+chunkHeader, Addr(gGet(g, gFP))
	for ldAddr(fp+8) != tramp { // the frame above the newest trampoline
		fp = ldAddr(fp + 8)
	}
	for name, c := range map[string]struct {
		at    Addr
		value uint64
	}{
		"newest frame in an older chunk":  {r.vm.gWord(g, gFP), ld64(tramp + trampFP*8)},
		"results without room":            {tramp + trampInfo*8, 300},
		"trampoline not below its callee": {fp + 8, uint64(tramp) + 8},
		"return to another trampoline":    {fp, uint64(stubRet(stubTrap))},
		"return behind the wrong call":    {tramp + trampPC*8, uint64(r.vm.code.entry(1)) + 3*8},
		"frame above its callee":          {tramp + trampFP*8, uint64(fp) + 8},
		"spare chunk in use":              {r.vm.gWord(g, gSpare), uint64(chunk)},
		"chunk of another goroutine":      {chunk + chunkOwner, 2},
		"chunks in a circle":              {chunk + chunkPrev, uint64(chunk)},
		"deferred call of another":        {poolAddr(gGet(g, gDefer)) + poolOwner*8, 2},
		"deferred calls in a circle":      {poolAddr(gGet(g, gDefer)), gGet(g, gDefer)},
	} {
		was := ld64(c.at)
		st64(c.at, c.value)
		if r.vm.validateG(g) == nil {
			t.Errorf("%s: accepted", name)
		}
		st64(c.at, was)
	}
	if err := r.vm.validateG(g); err != nil {
		t.Error(err)
	}
}
