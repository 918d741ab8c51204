package objectvm

import "phantomvm/bytecode"

// Select. The cases are tried in random order; if none can go on and there is
// no default, the goroutine waits on all channels at once, with one record each
// (chans_wait.go), and executes the instruction again when one was completed.

// maxCases bounds the cases of one select, so that its work is bounded.
const maxCases = 1 << 16

// selectCase is one case, from an instruction or from reflect.
type selectCase struct {
	c     Addr
	send  bool
	slots int // slots of the element, -1 where the place is memory
	place place
}

// selectGo executes a select. index is -1 for the default.
func (vm *VM) selectGo(cases []selectCase, block bool) (index int, ok bool, out Outcome) {
	switch vm.gWait(vm.cur, gwState) {
	case gwDone, gwClosed:
		return vm.selectResumed(cases)
	}
	if len(cases) > maxCases {
		return 0, false, vm.throw("select: too many cases")
	}
	var v chanView
	for n := range len(cases) {
		i := vm.shuffled(n, len(cases))
		c := &cases[i]
		if c.c == 0 {
			continue
		}
		if !vm.viewCase(c, &v) {
			return 0, false, vm.nilTrap()
		}
		var done bool
		if c.send {
			done, out = vm.trySend(&v, &c.place)
		} else {
			done, ok, out = vm.tryRecv(&v, &c.place)
		}
		if done {
			return i, ok, out
		}
	}
	if !block {
		return -1, false, Done
	}
	return 0, false, vm.selectPark(cases)
}

// shuffled gives the n-th of the numbers 0..count-1 in an order that is drawn anew at n = 0:
// an affine permutation, so that a select of any size needs no memory.
func (vm *VM) shuffled(n, count int) int {
	if n == 0 {
		r := vm.rand64()
		vm.rt.selStart, vm.rt.selStep = r%uint64(count), 1
		if count > 2 {
			step := 1 + r>>32%uint64(count-1)
			for gcd(step, uint64(count)) != 1 {
				step = 1 + step%uint64(count-1)
			}
			vm.rt.selStep = step
		}
	}
	return int((vm.rt.selStart + uint64(n)*vm.rt.selStep) % uint64(count))
}

func gcd(a, b uint64) uint64 {
	for b != 0 {
		a, b = b, a%b
	}
	return a
}

// viewCase reads a case's channel; the element must take the slots that the instruction reserves.
func (vm *VM) viewCase(c *selectCase, v *chanView) bool {
	return vm.viewChan(c.c, nil, v) && (c.slots < 0 || v.elem.Slots == c.slots)
}

// selectPark makes the goroutine wait on all cases.
func (vm *VM) selectPark(cases []selectCase) Outcome {
	g := vm.cur
	waiting := false
	for i := range cases {
		c := &cases[i]
		var v chanView
		if c.c == 0 || !vm.viewCase(c, &v) {
			continue
		}
		w := waiter{key: c.c, mode: c.place.mode, index: i, value: uint64(c.place.addr), elem: v.elem}
		if c.slots >= 0 {
			w.value = uint64(c.place.slot)
		}
		if !vm.addWaiter(g, &w) {
			vm.unlinkAll(g)
			return vm.throw("too many waiting goroutines")
		}
		waiting = true
	}
	if !waiting {
		return vm.parkForever(whySelectNone)
	}
	vm.setGWait(g, gwState, gwWaiting)
	vm.park(whySelect, 0)
	return Blocked
}

// selectResumed ends a select that was completed while its goroutine was parked.
func (vm *VM) selectResumed(cases []selectCase) (index int, ok bool, out Outcome) {
	g := vm.cur
	state := vm.gWait(g, gwState)
	index = int(vm.gWait(g, gwCase))
	if index >= len(cases) {
		return 0, false, vm.nilTrap()
	}
	c := &cases[index]
	if state == gwClosed && !c.send {
		if out := vm.zeroCase(c); out != Done {
			return 0, false, out
		}
	}
	vm.unpend(g)
	vm.resumed()
	if state == gwClosed && c.send {
		return 0, false, vm.trap(bytecode.TrapSendClosed, 0, 0, 0, 0, 0)
	}
	return index, state == gwDone && !c.send, Done
}

func (vm *VM) zeroCase(c *selectCase) Outcome {
	var v chanView
	if !vm.viewCase(c, &v) {
		return vm.nilTrap()
	}
	if c.slots < 0 {
		return vm.zeroMem(v.elem, c.place.addr)
	}
	if !vm.zeroSlots(v.elem, c.place.addr) {
		return Retry
	}
	return Done
}

// opSelect executes SELECT. A case is two slots: channel, slot | slots<<16 | direction<<32.
func (vm *VM) opSelect(in *instr) Outcome {
	raw := vm.slots(int(in.b), 2*int(in.c))
	cases := vm.rt.cases[:0]
	frame := vm.frameSlots()
	for i := 0; i < len(raw); i += 2 {
		d := raw[i+1]
		c := selectCase{c: Addr(raw[i]), send: d>>32 == 1, slots: int(d >> 16 & 0xffff)}
		slot := int(d & 0xffff)
		if c.slots > 0 && (slot < bytecode.FrameArgs || slot+c.slots > frame) || d>>33 > 1 {
			return vm.nilTrap()
		}
		c.place = place{mode: waitRecvCase, addr: vm.slotAddr(slot), slot: slot}
		if c.send {
			c.place.mode = waitSendSlot
		}
		cases = append(cases, c)
	}
	vm.rt.cases = cases
	index, ok, out := vm.selectGo(cases, in.n == 0)
	if out == Done {
		vm.setSlot(int(in.a), uint64(int64(index)))
		vm.setSlot(int(in.a)+1, b2w(ok))
	}
	return out
}
