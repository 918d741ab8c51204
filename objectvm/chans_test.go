package objectvm

import (
	"reflect"
	"testing"

	"github.com/stretchr/testify/require"
)

// The channels of these programs lie in globals, so that stack maps without pointers do.
const chanHeader = `
module main
native vm.exit 1 0
native runtime.sleep 1 0
native runtime.semacquire 2 0
native runtime.semrelease 1 0
type int int named
type uint32 uint32 named
type big array elem=int len=200
type "chan int" chan elem=int dir=3
type "chan big" chan elem=big dir=3
global ch "chan int"
global ch2 "chan int"
global chb "chan big"
global sema uint32
entry start
`

const sumSource = chanHeader + `
func start frame=24 args=0 results=0 {
	maps auto
	LDI r4, SIZE
	MKCHAN r5, r4, "chan int"
	LDG r6, ch
	ST64 r5, r6, 0
	LDFN r7, producer
	GO r7
	LDI r10, 0
loop:
	LDG r6, ch
	LD64 r5, r6, 0
	RECV.1 r8, r5, "chan int"
	JF r9, end
	ADD r10, r10, r8
	JMPB loop
end:
	CHLEN r4, r5
	ADD r10, r10, r4
	NATIVE r4, r10, vm.exit
	RET
}
func producer frame=12 args=0 results=0 {
	maps auto
	LDI r4, 0
loop:
	LDG r6, ch
	LD64 r5, r6, 0
	SEND r5, r4, "chan int"
	ADDI r4, r4, 1
	JLTIB r4, 20, loop
	CLOSE r5
	RET
}
`

// everyway runs a program in slices of several lengths, attached anew after each, and with a collection at every safepoint.
func everyway(t *testing.T, src string, want int) {
	t.Helper()
	module := assemble(t, src)
	for _, slice := range []int64{1, 3, 100000} {
		for _, hard := range []bool{false, true} {
			r := newRig(t, module, Config{GCStress: hard, Seed: uint64(slice) + 5})
			st := r.run(slice, hard)
			require.Equal(t, Status{Kind: Exited, Code: want}, st, "slice %d hard %v: %s", slice, hard, r.stdout(2))
			r.close()
		}
	}
}

func TestChannelSum(t *testing.T) {
	for _, size := range []string{"0", "1", "7", "100"} {
		everyway(t, replace(sumSource, "SIZE", size), 190)
	}
}

// TestBoxedElements sends arrays of 1600 bytes.
func TestBoxedElements(t *testing.T) {
	everyway(t, chanHeader+`
func start frame=24 args=0 results=0 {
	maps auto
	LDI r4, 0
	MKCHAN r5, r4, "chan big"
	LDG r6, chb
	ST64 r5, r6, 0
	LDFN r7, producer
	GO r7
	LDI r10, 0
loop:
	LDG r6, chb
	LD64 r5, r6, 0
	RECV.1 r8, r5, "chan big"
	point 8
	JF r9, end
	LD64 r11, r8, 1592
	ADD r10, r10, r11
	JMPB loop
end:
	LD64 r11, r8, 1592     ; the zero value is a boxed one, too
	ADD r10, r10, r11
	NATIVE r4, r10, vm.exit
	RET
}
func producer frame=12 args=0 results=0 {
	maps auto
	LDI r4, 1
loop:
	NEW r7, big
	point 7
	ST64 r4, r7, 1592
	LDG r6, chb
	LD64 r5, r6, 0
	point 7
	SEND r5, r7, "chan big"
	ADDI r4, r4, 1
	JLTIB r4, 8, loop
	CLOSE r5
	RET
}
`, 28)
}

// TestSelectAndTimers: two senders, one of which sleeps between its values, and a select that must hear all of both.
func TestSelectAndTimers(t *testing.T) {
	everyway(t, chanHeader+`
func start frame=30 args=0 results=0 {
	maps auto
	LDI r4, 0
	MKCHAN r5, r4, "chan int"
	LDG r6, ch
	ST64 r5, r6, 0
	LDI r4, 2
	MKCHAN r5, r4, "chan int"
	LDG r6, ch2
	ST64 r5, r6, 0
	LDFN r7, fast
	GO r7
	LDFN r7, slow
	GO r7
	LDI r10, 0
	LDI r11, 0
loop:
	LDG r6, ch
	LD64 r12, r6, 0
	LDK r13, 8590000148    ; slot 20, 1 slot, direction 2
	LDG r6, ch2
	LD64 r14, r6, 0
	LDK r15, 8590000149    ; slot 21
	SELECT r4, r12, 2
	JEQI r4, 1, second
	ADD r10, r10, r20
	JMP next
second:
	MULI r7, r21, 100
	ADD r10, r10, r7
next:
	ADDI r11, r11, 1
	JLTIB r11, 12, loop
	SELECT.1 r4, r12, 2
	ADD r10, r10, r4       ; the default: -1
	NATIVE r4, r10, vm.exit
	RET
}
func fast frame=12 args=0 results=0 {
	maps auto
	LDI r4, 1
loop:
	LDG r6, ch
	LD64 r5, r6, 0
	SEND r5, r4, "chan int"
	ADDI r4, r4, 1
	JLTIB r4, 9, loop
	RET
}
func slow frame=12 args=0 results=0 {
	maps auto
	LDI r4, 1
loop:
	LDK r7, 5000000
	NATIVE r7, r7, runtime.sleep
	LDG r6, ch2
	LD64 r5, r6, 0
	SEND r5, r4, "chan int"
	ADDI r4, r4, 1
	JLTIB r4, 5, loop
	RET
}
`, 36+1000-1)
}

// TestSelectSendAndClose: a select that sends; its channel is closed while it waits, which must panic in the select.
func TestSelectSendAndClose(t *testing.T) {
	everyway(t, chanHeader+`
trap onTrap
func start frame=30 args=0 results=0 {
	maps auto
	LDI r4, 0
	MKCHAN r5, r4, "chan int"
	LDG r6, ch
	ST64 r5, r6, 0
	LDFN r7, closer
	GO r7
	LDI r20, 77
loop:
	LDG r6, ch
	LD64 r12, r6, 0
	LDK r13, 4295032852    ; slot 20, 1 slot, direction 1
	SELECT r4, r12, 1
	JMPB loop
}
func closer frame=12 args=0 results=0 {
	maps auto
	LDG r6, ch
	LD64 r5, r6, 0
	RECV r7, r5, "chan int"
	CLOSE r5
	RET
}
func onTrap frame=16 args=6 results=0 {
	maps auto
	NATIVE r9, r3, vm.exit
	RET
}
`, 16) // TrapSendClosed
}

func TestSemaphores(t *testing.T) {
	everyway(t, chanHeader+`
func start frame=30 args=0 results=0 {
	maps auto
	LDI r10, 0
	LDFN r7, worker
	GO r7
	GO r7
	GO r7
loop:
	LDG r4, sema
	LDI r5, 0
	NATIVE r6, r4, runtime.semacquire
	ADDI r10, r10, 1
	JLTIB r10, 9, loop
	LD32U r5, r4, 0
	ADD r10, r10, r5
	NATIVE r4, r10, vm.exit
	RET
}
func worker frame=12 args=0 results=0 {
	maps auto
	LDI r5, 0
loop:
	LDG r4, sema
	NATIVE r6, r4, runtime.semrelease
	ADDI r5, r5, 1
	JLTIB r5, 3, loop
	RET
}
`, 9)
}

// TestForgottenChannel: a goroutine waits on a channel that nothing else knows; its address must not be used for another.
func TestForgottenChannel(t *testing.T) {
	everyway(t, chanHeader+`
func start frame=24 args=0 results=0 {
	maps auto
	LDI r10, 0
loop:
	LDFN r7, stuck
	GO r7
	LDFN r7, sender
	LDI r4, 0
	MKCHAN r5, r4, "chan int"
	LDG r6, ch
	ST64 r5, r6, 0
	GO r7
	LD64 r5, r6, 0
	RECV r8, r5, "chan int"
	ADD r10, r10, r8
	JLTIB r10, 50, loop
	NATIVE r4, r10, vm.exit
	RET
}
func stuck frame=12 args=0 results=0 {
	maps auto
	LDI r4, 0
	MKCHAN r5, r4, "chan int"
	point 5
	RECV r8, r5, "chan int"
	RET
}
func sender frame=12 args=0 results=0 {
	maps auto
	LDI r4, 10
	LDG r6, ch
	LD64 r5, r6, 0
	SEND r5, r4, "chan int"
	RET
}
`, 50)
}

// TestForgedChannels gives the channel operations objects full of random words.
func TestForgedChannels(t *testing.T) {
	ct := reflect.TypeFor[chan [3]int64]()
	r := newTypedRig(t, ct)
	rnd := testSeed(t)
	elem := r.typ(ct).Elem
	for range 20000 {
		r.enter()
		c, ok := r.vm.chanMake(elem, uint64(rnd.IntN(5)))
		require.True(t, ok)
		st64(c+Addr(rnd.IntN(chanObjSize/8))*8, forgedWord(rnd))
		st64(c+Addr(rnd.IntN(chanObjSize/8))*8, forgedWord(rnd))
		val, res := r.scratch(elem.Size), make([]uint64, 2)
		nativeChanSend(r.vm, []uint64{uint64(c), uint64(val), uint64(rnd.IntN(2))}, res)
		r.enter()
		nativeChanRecv(r.vm, []uint64{uint64(c), uint64(val), uint64(rnd.IntN(2))}, res)
		r.enter()
		if rnd.IntN(4) == 0 {
			r.vm.chanClose(c)
		}
		if r.vm.gcWanted || hget(hdrState) != stateRunning {
			r.restart()
			elem = r.typ(ct).Elem
		}
	}
}

// TestDamagedRecords flips words of the records in META while goroutines wait and timers run: attaching must fail or give a VM
// that runs on without harm to the host.
func TestDamagedRecords(t *testing.T) {
	module := assemble(t, replace(sumSource, "SIZE", "0"))
	rnd := testSeed(t)
	refused := 0
	for range 300 {
		r := newRig(t, module, Config{Seed: 3})
		for range 1 + rnd.IntN(40) {
			r.vm.RunSlice(1)
		}
		r.barrier.freeze()
		r.vm.Close()
		bases := [...]Addr{metaNatives, rtWaits, rtTimers, rtHeap}
		for range 1 + rnd.IntN(3) {
			a := bases[rnd.IntN(len(bases))] + Addr(rnd.IntN(40))*8
			st64(a, ld64(a)^1<<rnd.IntN(64))
			if rnd.IntN(2) == 0 {
				st64(a, forgedWord(rnd))
			}
		}
		vm, err := Attach(r.arena, r.cfg)
		if err != nil {
			require.ErrorIs(t, err, ErrBadRecord)
			refused++
		} else {
			r.vm = vm
			for range 200 {
				if st := vm.RunSlice(10); st.Kind != Running {
					break
				}
			}
			vm.Close()
		}
		require.NoError(t, r.arena.Unmap())
	}
	require.NotZero(t, refused)
}
