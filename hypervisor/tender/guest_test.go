package tender

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"phantomvm/hypervisor/abi"
)

func requireKVM(t testing.TB) {
	t.Helper()
	err := Available()
	if err == nil {
		return
	}
	if os.Getenv("PHANTOM_REQUIRE_KVM") == "1" {
		t.Fatalf("PHANTOM_REQUIRE_KVM=1: %v", err)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED without KVM: %s: %v\n", t.Name(), err)
	t.Skip(err)
}

// memDisk is a block device in memory.
type memDisk struct {
	lock sync.Mutex
	b    []byte
}

func diskOf(n int) *memDisk     { return &memDisk{b: make([]byte, n)} }
func disk(n int) BlockDev       { return diskOf(n) }
func (d *memDisk) Flush() error { return nil }
func (d *memDisk) Size() int64  { return int64(len(d.b)) }
func (d *memDisk) ReadAt(b []byte, off int64) (int, error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	return copy(b, d.b[off:]), nil
}

func (d *memDisk) WriteAt(b []byte, off int64) (int, error) {
	d.lock.Lock()
	defer d.lock.Unlock()
	return copy(d.b[off:], b), nil
}

// program is machine code for a guest that issues hypercalls at CPL0.
type program []byte

func (p program) out(port uint16, value uint32) program {
	p = append(p, 0xba, byte(port), byte(port>>8), 0, 0, 0xb8) // mov edx, port; mov eax, value
	p = binary.LittleEndian.AppendUint32(p, value)
	return append(p, 0xef) // out dx, eax
}

func (p program) call(n abi.Hypercall, arg uint32) program {
	return p.out(abi.HypercallPort+uint16(n), arg)
}

// The data segment: a halt with status 42, then room.
const (
	haltArg = dataAddr
	freeArg = dataAddr + 0x100
)

func (p program) halt() program { return p.call(abi.HypercallHalt, haltArg) }

func words(v ...uint64) []byte {
	var b []byte
	for _, w := range v {
		b = binary.LittleEndian.AppendUint64(b, w)
	}
	return b
}

// execute runs p with arg at freeArg.
func execute(t *testing.T, p program, arg []byte, plain bool) (status int, console string, err error) {
	t.Helper()
	requireKVM(t)
	data := make([]byte, dataSize)
	copy(data, words(0, 42))
	copy(data[freeArg-dataAddr:], arg)
	var out bytes.Buffer
	vm, err := New(Config{
		Kernel:   newImage(append(p, 0xf4), data, abi.DefaultManifest()).encode(),
		MemBytes: testMem, Console: &out, NoExtension: plain,
		Blocks:  []BlockAttach{{Name: "storage", Dev: disk(1 << 20)}},
		Channel: func([]byte) {},
	})
	require.NoError(t, err)
	defer vm.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	status, err = vm.Run(ctx)
	return status, out.String(), err
}

func TestHypercalls(t *testing.T) {
	status, out, err := execute(t, program{}.call(abi.HypercallPuts, freeArg).halt(), append(words(freeArg+16, 5), "hello"...), true)
	require.NoError(t, err)
	require.Equal(t, 42, status)
	require.Equal(t, "hello", out)
}

// TestMisbehaviour wants each breach of the interface to end the guest with an
// error.
func TestMisbehaviour(t *testing.T) {
	const bad = 0x7ffffff0
	var p program
	for name, c := range map[string]struct {
		p     program
		arg   []byte
		plain bool
		want  string
	}{
		"unknown hypercall":     {p.call(99, freeArg), nil, false, "Invalid guest hypercall: num=99"},
		"extension not offered": {p.call(abi.HypercallExtSetup, freeArg), nil, true, "Invalid guest hypercall: num=128"},
		"port":                  {p.out(0x3f8, 65), nil, false, "Invalid guest port access: port=0x3f8"},
		"net ring port":         {p.out(0x600, 65), nil, false, "Invalid guest hypercall: num=256"},
		"read from a port":      {append(p, 0xba, 2, 5, 0, 0, 0xed), nil, false, "Invalid guest port access: port=0x502"},
		"byte to a port":        {append(p, 0xba, 2, 5, 0, 0, 0xee), nil, false, "Invalid guest port access: port=0x502"},
		"hlt":                   {append(p, 0xf4), nil, false, "HLT"},
		"triple fault":          {append(p, 0x0f, 0x0b), nil, false, "triple fault"},
		"puts text":             {p.call(abi.HypercallPuts, freeArg), words(bad, 4), false, "invalid guest access"},
		"puts length":           {p.call(abi.HypercallPuts, freeArg), words(freeArg, 1<<63), false, "invalid guest access"},
		"puts wraps":            {p.call(abi.HypercallPuts, freeArg), words(freeArg, ^uint64(0)), false, "invalid guest access"},
		"ends at the top":       {p.call(abi.HypercallPuts, freeArg), words(testMem-4, 4), false, "invalid guest access"},
		"block data":            {p.call(abi.HypercallBlockRead, freeArg), words(1, 0, bad, 512, 0), false, "invalid guest access"},
		"block into code":       {p.call(abi.HypercallBlockRead, freeArg), words(1, 0, codeAddr, 512, 0), false, "read-only"},
		"block into low memory": {p.call(abi.HypercallBlockRead, freeArg), words(1, 0, 0x2000, 512, 0), false, "invalid guest access"},
		"struct in code":        {p.call(abi.HypercallWallTime, codeAddr), nil, false, "read-only"},
		"halt cookie":           {p.call(abi.HypercallHalt, freeArg), words(bad, 0), false, "invalid guest access"},
		"kick before set-up":    {p.call(abi.HypercallKickBlock, 0), nil, false, "kick before set-up"},
		"shared area":           {p.call(abi.HypercallExtSetup, freeArg), words(0x7ff000, abi.SharedSize, 1), false, "invalid guest access"},
		"entropy":               {p.call(abi.HypercallEntropy, freeArg), words(bad, 16, 0), false, "invalid guest access"},
		"write to code":         {append(p, 0xc6, 0x04, 0x25, 0x80, 0, 0x10, 0, 1), nil, false, "fault"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := execute(t, c.p, c.arg, c.plain)
			require.ErrorIs(t, err, ErrGuest)
			require.ErrorContains(t, err, c.want)
		})
	}
	for n := abi.Hypercall(1); n <= 8; n++ {
		for _, at := range []uint32{bad, testMem - 8, 0xffffffff} {
			_, _, err := execute(t, p.call(n, at), nil, false)
			require.ErrorIs(t, err, ErrGuest, "hypercall %d at %#x", n, at)
		}
	}
}

// TestRefusedRequests wants requests that are wrong but harmless to be
// answered with EINVAL.
func TestRefusedRequests(t *testing.T) {
	mem := make([]byte, testMem)
	vm := bare(mem)
	for name, r := range map[string]abi.Block{
		"reserved handle": {Handle: 0, Data: freeArg, Len: 512},
		"handle":          {Handle: 7, Data: freeArg, Len: 512},
		"huge handle":     {Handle: 1 << 63, Data: freeArg, Len: 512},
		"offset":          {Handle: 1, Offset: 1 << 20, Data: freeArg, Len: 1},
		"end":             {Handle: 1, Offset: 1<<20 - 511, Data: freeArg, Len: 512},
		"wraps":           {Handle: 1, Offset: 512, Data: freeArg, Len: ^uint64(0) - 100},
	} {
		for _, n := range []abi.Hypercall{abi.HypercallBlockRead, abi.HypercallBlockWrite} {
			r.Encode(mem[haltArg:])
			_, _, err := vm.hypercall(n, haltArg)
			require.NoError(t, err, name)
			require.Equal(t, abi.ResultEINVAL, abi.DecodeBlock(mem[haltArg:]).Ret, name)
		}
	}
}

// bare is a VM without a machine.
func bare(mem []byte) *VM {
	w, err := newWaker()
	if err != nil {
		panic(err)
	}
	return &VM{
		cfg: Config{Console: new(bytes.Buffer), Channel: func([]byte) {}}, mem: &memory{b: mem}, waker: w,
		devices: []device{{}, {disk(1 << 20), 1 << 20}}, ended: make(chan struct{}), set: make(chan struct{}),
		entropy: bytes.NewReader(make([]byte, 1<<20)),
	}
}

func FuzzHypercall(f *testing.F) {
	f.Add(uint16(4), uint32(freeArg), words(1, 0, freeArg, 512, 0))
	f.Add(uint16(8), uint32(freeArg), words(freeArg, 255))
	f.Add(uint16(0x80), uint32(freeArg), words(0x300000, abi.SharedSize, 3))
	mem := make([]byte, testMem)
	vm := bare(mem)
	f.Fuzz(func(t *testing.T, n uint16, arg uint32, b []byte) {
		if n == uint16(abi.HypercallPoll) {
			return // would sleep
		}
		copy(mem[freeArg:dataAddr+dataSize], b)
		_, _, err := vm.hypercall(abi.Hypercall(n), uint64(arg))
		if err != nil {
			require.ErrorIs(t, err, ErrGuest)
		}
	})
}

// FuzzShared lets a guest write anything into the shared area.
func FuzzShared(f *testing.F) {
	const area = 0x300000
	f.Add(uint32(1), uint32(8), words(1|1<<32, 0, 1), uint64(freeArg), uint64(512))
	f.Add(uint32(1), uint32(0), words(2|1<<32, 0, 1), uint64(codeAddr), uint64(1<<62))
	f.Add(uint32(100), uint32(1<<20), words(3, 0, 0), uint64(0), uint64(0))
	f.Fuzz(func(t *testing.T, queueTail, outTail uint32, entry []byte, addr, n uint64) {
		vm := bare(make([]byte, testMem))
		defer vm.waker.close()
		shared := vm.mem.b[area:]
		copy(shared[abi.SharedEntries:abi.SharedEntries+abi.QueueEntrySize], entry)
		abi.Segment{Addr: addr, Len: n}.Encode(shared[abi.SharedSegments:])
		binary.LittleEndian.PutUint32(shared[abi.SharedQueueTail:], queueTail)
		binary.LittleEndian.PutUint32(shared[abi.SharedOutTail:], outTail)
		copy(shared[abi.SharedOutRing:], entry)
		copy(vm.mem.b[freeArg:], words(area, abi.SharedSize, 3))
		_, _, err := vm.hypercall(abi.HypercallExtSetup, freeArg)
		require.NoError(t, err)
		vm.ext.finish()
		if e := vm.ext.failed.Load(); e != nil {
			require.ErrorIs(t, *e, ErrGuest)
		}
	})
}

func TestImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "image")
	d, err := CreateImage(path, 1<<36)
	require.NoError(t, err)
	_, err = CreateImage(path, 1)
	require.Error(t, err)
	var bufs [][]byte
	var want []byte
	for i := range 2500 {
		b := bytes.Repeat([]byte{byte(i)}, i%7)
		bufs = append(bufs, b)
		want = append(want, b...)
	}
	require.NoError(t, d.WriteGather(bufs, 1<<35+3))
	require.NoError(t, d.Flush())
	require.NoError(t, d.Close())
	st, err := os.Stat(path)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	d, err = OpenImage(path)
	require.NoError(t, err)
	defer d.Close()
	require.Equal(t, int64(1<<36), d.Size())
	got := make([]byte, len(want))
	_, err = d.ReadAt(got, 1<<35+3)
	require.NoError(t, err)
	require.Equal(t, want, got)
}

// TestFailedFlush wants a flush that failed to go on failing.
func TestFailedFlush(t *testing.T) {
	r, w, err := os.Pipe() // cannot be synced
	require.NoError(t, err)
	defer r.Close()
	d := NewImage(w, 1<<20)
	defer d.Close()
	require.ErrorIs(t, d.Flush(), unix.EINVAL)
	good, err := os.Create(filepath.Join(t.TempDir(), "good"))
	require.NoError(t, err)
	defer good.Close()
	require.NoError(t, unix.Dup2(int(good.Fd()), int(w.Fd())))
	require.ErrorIs(t, d.Flush(), unix.EINVAL)
}

func TestWaker(t *testing.T) {
	w, err := newWaker()
	require.NoError(t, err)
	defer w.close()
	start := time.Now()
	w.wake() // kept for the next sleep
	w.sleep(time.Minute)
	time.AfterFunc(20*time.Millisecond, w.wake)
	w.sleep(time.Minute)
	require.Less(t, time.Since(start), 10*time.Second)
	start = time.Now()
	w.sleep(5 * time.Millisecond)
	require.GreaterOrEqual(t, time.Since(start), 5*time.Millisecond)
}

// TestLateCancel: the context of a run ends while the machine is closed, and
// after.
func TestLateCancel(t *testing.T) {
	requireKVM(t)
	vm, err := New(Config{
		Kernel: newImage(program{}.halt(), words(0, 42), abi.DefaultManifest()).encode(), MemBytes: testMem, NoExtension: true,
		Blocks: []BlockAttach{{Name: "storage", Dev: disk(1 << 20)}},
	})
	require.NoError(t, err)
	_, err = vm.Run(t.Context())
	require.NoError(t, err)
	require.NoError(t, vm.Close())
	vm.interrupt()
}
