package objectvm

import (
	"math/rand/v2"
	"reflect"
	"testing"

	"phantomvm/bytecode"
)

// TestRandomInstructions executes the instructions of this half of the package on frames full of valid objects, stale ones and
// random words, as a program with forged pointers might. Whatever happens, the host must not be harmed.
func TestRandomInstructions(t *testing.T) {
	r := newTypedRig(t,
		reflect.TypeFor[map[string]int32](), reflect.TypeFor[map[int64][3]string](), reflect.TypeFor[map[any]any](), reflect.TypeFor[map[[2]float64]struct{}](),
		reflect.TypeFor[map[[200]int64][200]string](), reflect.TypeFor[chan int8](), reflect.TypeFor[chan struct{}](), reflect.TypeFor[chan [4]string](),
		reflect.TypeFor[chan [300]int64](), reflect.TypeFor[error](), reflect.TypeFor[any](), reflect.TypeFor[struct {
			A any
			B string
			C complex64
		}]())
	rnd := testSeed(t)
	var kinds [27][]bytecode.TypeID
	for id := 1; id < len(r.vm.mod.Types); id++ {
		k := r.vm.types[id].Kind
		kinds[k] = append(kinds[k], bytecode.TypeID(id))
	}
	ops := []struct {
		op   func(*VM, *instr) Outcome
		kind bytecode.Kind
	}{
		{(*VM).opStrEq, 0},
		{(*VM).opStrCmp, 0},
		{(*VM).opStrNext, 0},
		{(*VM).opEqT, bytecode.Struct},
		{(*VM).opEqT, bytecode.Interface},
		{(*VM).opMkMap, bytecode.Map},
		{(*VM).opMapGet, bytecode.Map},
		{(*VM).opMapSet, bytecode.Map},
		{(*VM).opMapSet, bytecode.Map},
		{(*VM).opMapDel, bytecode.Map},
		{(*VM).opMapClr, bytecode.Map},
		{(*VM).opMapLen, 0},
		{(*VM).opMapIter, bytecode.Map},
		{(*VM).opMapNext, bytecode.Map},
		{(*VM).opMapNext, bytecode.Map},
		{(*VM).opMkChan, bytecode.Chan},
		{(*VM).opSend, bytecode.Chan},
		{(*VM).opRecv, bytecode.Chan},
		{(*VM).opSelect, 0},
		{(*VM).opClose, 0},
		{(*VM).opChLen, 0},
		{(*VM).opChCap, 0},
		{(*VM).opAssert, bytecode.Interface},
	}
	const slots = 150 // of the frame of typedSource's start
	slot := func(width int) uint16 { return uint16(bytecode.FrameArgs + rnd.IntN(slots-bytecode.FrameArgs-width)) }
	for n := range 200_000 {
		if n%50 == 0 {
			r.enter()
		}
		if hget(hdrState) != stateRunning || r.vm.gcWanted {
			r.restart()
			r.enter()
		}
		if gGet(r.vm.cur, gStatus) != gRunning || n%7 == 0 { // parked: begin anew, the waiter records stay in half of the cases
			if rnd.IntN(2) == 0 {
				r.enter()
			} else {
				r.vm.gSet(r.vm.cur, gStatus, gRunning)
			}
		}
		r.enterFrame()
		fillSlots(r, rnd, slot, kinds)
		o := ops[rnd.IntN(len(ops))]
		in := instr{n: uint8(rnd.IntN(2)), a: slot(30), b: slot(30), c: slot(30)}
		if o.kind != 0 {
			list := kinds[o.kind]
			in.ext = uint64(list[rnd.IntN(len(list))])
		}
		if reflect.ValueOf(o.op).Pointer() == reflect.ValueOf((*VM).opSelect).Pointer() {
			in.c = uint16(rnd.IntN(5))
			for c := range int(in.c) {
				r.vm.setSlot(int(in.b)+2*c+1, uint64(slot(8))|uint64(rnd.IntN(9))<<16|uint64(1+rnd.IntN(2))<<32)
			}
		}
		o.op(r.vm, &in)
	}
}

// enterFrame makes the goroutine's first frame the current one again.
func (r *typedRig) enterFrame() {
	h, g := hot(), r.vm.cur
	h.pc, h.fp = Addr(gGet(g, gPC)), Addr(gGet(g, gFP))
	r.vm.popTo(h.fp)
}

// fillSlots puts a few new values into the frame: objects of the right kinds, and words of any kind.
func fillSlots(r *typedRig, rnd *rand.Rand, slot func(int) uint16, kinds [27][]bytecode.TypeID) {
	any1 := func(k bytecode.Kind) *TypeInfo { return r.vm.types[kinds[k][rnd.IntN(len(kinds[k]))]] }
	for range 3 {
		w := forgedWord(rnd)
		switch rnd.IntN(6) {
		case 0:
			if a, ok := r.vm.mapMake(r.vm.entriesOf(any1(bytecode.Map)), uint64(rnd.IntN(20))); ok {
				w = uint64(a)
			}
		case 1:
			if a, out := r.vm.makeChan(any1(bytecode.Chan), uint64(rnd.IntN(3))); out == Done {
				w = uint64(a)
			}
		case 2:
			if a, ok := r.vm.allocBytes(1 + rnd.Uint64N(3000)); ok {
				s := slot(2)
				r.vm.setSlot(int(s)+1, rnd.Uint64N(3000))
				r.vm.setSlot(int(s), uint64(a))
				continue
			}
		case 3:
			w = uint64(r.vm.types[1+rnd.IntN(len(r.vm.types)-1)].Addr)
		}
		r.vm.setSlot(int(slot(1)), w)
	}
}
