package objectvm

import (
	"errors"
	"strings"
	"testing"
)

// TestRefusals opens arenas and modules that this VM must not run.
func TestRefusals(t *testing.T) {
	r := newRig(t, fibModule(t, 20), Config{})
	defer r.close()
	if _, err := MapArena(); !errors.Is(err, ErrMapped) {
		t.Errorf("second arena: %v", err)
	}
	if _, err := New(r.arena, fibModule(t, 20), r.cfg); !errors.Is(err, ErrArena) {
		t.Errorf("new program in an arena that has one: %v", err)
	}
	for _, c := range []struct {
		word  int
		value uint64
	}{{hdrMagic, 1}, {hdrLayout, ArenaLayout + 1}, {hdrISA, 1 << 20}, {hdrModLen, 3}, {hdrGHigh, 1 << 40}, {hdrRunHead, 77}, {hdrOutTo, 1 << 40}, {hdrBlockHigh, 1 << 50}, {hdrHeapPages, 1 << 40}} {
		old := hget(c.word)
		st64(hdrAddr(c.word), c.value)
		if _, err := Attach(r.arena, r.cfg); !errors.Is(err, ErrArena) && !errors.Is(err, ErrModule) {
			t.Errorf("header word %d = %d: %v", c.word, c.value, err)
		}
		st64(hdrAddr(c.word), old)
	}
	vm, err := Attach(r.arena, r.cfg)
	if err != nil {
		t.Fatal(err)
	}
	r.vm = vm
	if st := r.run(1000, false); st.Code != fib(20) {
		t.Errorf("%+v", st)
	}
}

func TestUnknownNative(t *testing.T) {
	a, err := MapArena()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := a.Unmap(); err != nil {
			t.Error(err)
		}
	}()
	for _, change := range [][2]string{{"vm.exit 1 0", "vm.exit 1 1"}, {"vm.exit", "vm.nothing"}} {
		src := strings.ReplaceAll(strings.ReplaceAll(fibSource, change[0], change[1]), "COUNT", "3")
		b := &openBarrier{map[uint64]bool{}}
		if _, err := New(a, assemble(t, src), Config{Barrier: b, Clock: &testClock{}}); !errors.Is(err, ErrModule) {
			t.Errorf("%s: %v", change[1], err)
		}
		if len(b.touched) != 0 {
			t.Errorf("%s: %d pages touched before the module was refused", change[1], len(b.touched))
		}
	}
}
