package objectvm

import (
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
