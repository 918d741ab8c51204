package tender

import (
	"encoding/binary"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/hypervisor/abi"
)

const sharedAddr = 0x300000

// kicks is a guest that sets the extension up, at freeArg, and kicks the block queue n times.
func kicks(n int) program {
	port := uint16(abi.HypercallPort + abi.HypercallKickBlock)
	p := program{}.call(abi.HypercallExtSetup, freeArg)
	p = append(p, 0xb9) // mov ecx, n
	p = binary.LittleEndian.AppendUint32(p, uint32(n))
	p = append(p, 0xba, byte(port), byte(port>>8), 0, 0) // mov edx, port
	p = append(p, 0xef, 0xff, 0xc9, 0x75, 0xfb)          // out dx, eax; dec ecx; jnz
	return p.halt()
}

func kicked(t testing.TB, n int, features abi.ExtFeature, noEvents bool) (vm *VM, took time.Duration) {
	data := make([]byte, dataSize)
	copy(data, words(0, 42))
	copy(data[freeArg-dataAddr:], words(sharedAddr, abi.SharedSize, uint64(features)))
	vm, err := New(Config{
		Kernel: newImage(append(kicks(n), 0xf4), data, abi.DefaultManifest()).encode(), MemBytes: testMem,
		Blocks: []BlockAttach{{Name: "storage", Dev: disk(1 << 20)}}, NoEventKick: noEvents,
	})
	require.NoError(t, err)
	defer vm.Close()
	start := time.Now()
	status, err := vm.Run(t.Context())
	took = time.Since(start)
	require.NoError(t, err)
	require.Equal(t, 42, status)
	require.Zero(t, binary.LittleEndian.Uint32(data[freeArg-dataAddr+abi.ExtSetupRetOff:]))
	return vm, took
}

// TestEventKick: a kick by eventfd does not end KVM_RUN; without the feature it does, and
// means the same.
func TestEventKick(t *testing.T) {
	requireKVM(t)
	m, err := newMachine(abi.LargePageSize)
	require.NoError(t, err)
	m.close()
	if !m.hasEvents {
		t.Skip("this KVM has no KVM_IOEVENTFD")
	}
	const n = 1000
	vm, _ := kicked(t, n, abi.ExtBlockQueue|abi.ExtEventKick, false)
	require.Less(t, vm.exits, uint64(100))
	vm, _ = kicked(t, n, abi.ExtBlockQueue, false)
	require.GreaterOrEqual(t, vm.exits, uint64(n), "a guest that does not want it")
	vm, _ = kicked(t, n, abi.ExtBlockQueue, true)
	require.GreaterOrEqual(t, vm.exits, uint64(n), "a tender that has none")
	require.Zero(t, vm.offered()&abi.ExtEventKick)
}

// TestDoorbell rings while nobody waits, while somebody does, and at the end.
func TestDoorbell(t *testing.T) {
	requireKVM(t)
	m, err := newMachine(abi.LargePageSize)
	require.NoError(t, err)
	defer m.close()
	for _, events := range []bool{false, true} {
		if events && !m.hasEvents {
			t.Log("SKIPPED: this KVM has no KVM_IOEVENTFD")
			continue
		}
		flag := word(make([]byte, 8), 0)
		d := &doorbell{flag: flag, c: make(chan struct{}, 1)}
		if events {
			require.NoError(t, d.bind(m, 0x581))
			require.Error(t, (&doorbell{}).bind(m, 0x581), "twice at one place")
		}
		never := func() bool { return false }
		stop := make(chan struct{})
		d.ring()
		require.True(t, d.wait(stop, never), "a ring is kept")
		var wg sync.WaitGroup
		wg.Go(func() {
			for flag.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			d.ring()
		})
		require.True(t, d.wait(stop, never))
		require.Zero(t, flag.Load())
		require.True(t, d.wait(stop, func() bool { return true }), "there is work")
		wg.Go(func() {
			for flag.Load() == 0 {
				time.Sleep(time.Millisecond)
			}
			close(stop)
			d.ring()
		})
		require.False(t, d.wait(stop, never))
		wg.Wait()
		d.close()
	}
}

// BenchmarkKick compares the cost of a kick to the guest with and without an exit; the
// goroutine that is woken is part of it.
func BenchmarkKick(b *testing.B) {
	requireKVM(b)
	const n = 20000
	for b.Loop() {
		_, exit := kicked(b, n, abi.ExtBlockQueue, true)
		_, event := kicked(b, n, abi.ExtBlockQueue|abi.ExtEventKick, false)
		b.ReportMetric(float64(exit.Nanoseconds())/n, "ns/exit-kick")
		b.ReportMetric(float64(event.Nanoseconds())/n, "ns/event-kick")
		b.ReportMetric(float64(event)/float64(exit), "event/exit")
	}
}
