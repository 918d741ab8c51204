package objectvm

import (
	"strconv"
	"strings"
	"testing"

	"phantomvm/bytecode"
)

// openBarrier opens every page at its first touch and counts.
type openBarrier struct{ touched map[uint64]bool }

func (b *openBarrier) Touch(page uint64) {
	b.touched[page] = true
	st8(StateBase+Addr(page), 1)
}

// freeze closes all open pages, as a checkpoint does.
func (b *openBarrier) freeze() {
	for p := range b.touched {
		st8(StateBase+Addr(p), 0)
	}
	clear(b.touched)
}

type testClock struct{ t int64 }

func (c *testClock) Now() int64 { return c.t }

// rig is an arena with a program for a test.
type rig struct {
	t       testing.TB
	arena   *Arena
	vm      *VM
	barrier *openBarrier
	clock   *testClock
	cfg     Config
}

// replace puts a value into a source text.
func replace(src, name, value string) string { return strings.ReplaceAll(src, name, value) }

// newRig maps an arena and starts the module; close gives the addresses back.
func newRig(t testing.TB, module []byte, cfg Config) *rig {
	t.Helper()
	a, err := MapArena()
	if err != nil {
		t.Fatal(err)
	}
	r := &rig{t: t, arena: a, barrier: &openBarrier{map[uint64]bool{}}, clock: &testClock{1e18}}
	cfg.Barrier, cfg.Clock = r.barrier, r.clock
	r.cfg = cfg
	if r.vm, err = New(a, module, cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) close() {
	r.t.Helper()
	r.vm.Close()
	if err := r.arena.Unmap(); err != nil {
		r.t.Error(err)
	}
}

func assemble(t testing.TB, src string) []byte {
	t.Helper()
	m, err := bytecode.Assemble(src)
	if err != nil {
		t.Fatal(err)
	}
	b, err := bytecode.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// run runs the program to its end in slices; between them it freezes pages and, if reattach is set, builds the VM anew.
func (r *rig) run(slice int64, reattach bool) Status {
	r.t.Helper()
	for range 100_000_000 {
		st := r.vm.RunSlice(slice)
		switch st.Kind {
		case Exited, Fatal:
			return st
		case Idle:
			if st.Until > r.clock.t {
				r.clock.t = st.Until
			}
		}
		if reattach {
			r.barrier.freeze()
			r.vm.Close()
			vm, err := Attach(r.arena, r.cfg)
			if err != nil {
				r.t.Fatal(err)
			}
			r.vm = vm
		}
	}
	r.t.Fatal("the program does not end")
	return Status{}
}

func (r *rig) stdout(stream int) string {
	r.t.Helper()
	from, _ := r.vm.OutputRange(stream)
	out, err := r.vm.Output(stream, from)
	if err != nil {
		r.t.Fatal(err)
	}
	return string(out)
}

const fibSource = `
module main
native vm.exit 1 0
entry start
func start frame=16 args=0 results=0 {
	maps auto
	LDI r8, COUNT
	CALL r5, r4, fib
	NATIVE r4, r4, vm.exit
	RET
}
func fib frame=12 args=1 results=1 {
	maps auto
	JGEI r3, 2, big
	RET1 r3
big:
	ADDI r9, r3, -1
	CALL r6, r4, fib
	ADDI r9, r3, -2
	CALL r6, r5, fib
	ADD r4, r4, r5
	RET1 r4
}
`

func fib(n int) int {
	if n < 2 {
		return n
	}
	return fib(n-1) + fib(n-2)
}

func fibModule(t testing.TB, n int) []byte {
	return assemble(t, replace(fibSource, "COUNT", strconv.Itoa(n)))
}

func TestFib(t *testing.T) {
	for _, reattach := range []bool{false, true} {
		for _, slice := range []int64{1, 7, 100000} {
			r := newRig(t, fibModule(t, 15), Config{GCStress: reattach})
			if st := r.run(slice, reattach); st.Kind != Exited || st.Code != fib(15) {
				t.Fatalf("slice %d reattach %v: %+v, want exit code %d; stderr %q", slice, reattach, st, fib(15), r.stdout(2))
			}
			r.close()
		}
	}
}

func BenchmarkFib35(b *testing.B) {
	for b.Loop() {
		r := newRig(b, fibModule(b, 35), Config{})
		if st := r.run(100000, false); st.Kind != Exited || st.Code != 9227465 {
			b.Fatalf("%+v", st)
		}
		r.close()
	}
}
