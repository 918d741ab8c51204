package unikernel_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/guest" // a change there must not leave cached results, too
	"phantomvm/hypervisor/tender"
	"phantomvm/hypervisor/unikernel"
	"phantomvm/persist"
)

// requireKVM skips a test aloud where KVM cannot be used, and fails it there
// if PHANTOM_REQUIRE_KVM=1.
func requireKVM(t testing.TB) {
	t.Helper()
	err := tender.Available()
	if err == nil {
		return
	}
	if os.Getenv("PHANTOM_REQUIRE_KVM") == "1" {
		t.Fatalf("PHANTOM_REQUIRE_KVM=1: %v", err)
	}
	fmt.Fprintf(os.Stderr, "SKIPPED without KVM: %s: %v\n", t.Name(), err)
	t.Skip(err)
}

var images sync.Map // package path and manifest size to func() image

type image struct {
	bytes  []byte
	report unikernel.Report
	err    error
}

func build(t testing.TB, pkg string, m abi.Manifest) []byte {
	t.Helper()
	sources, err := filepath.Glob(filepath.Join(pkg, "*"))
	require.NoError(t, err)
	for _, s := range sources {
		_, err := os.ReadFile(s) // for the test cache as well
		require.NoError(t, err)
	}
	f, _ := images.LoadOrStore(fmt.Sprint(pkg, len(m.Devices)), sync.OnceValue(func() image {
		b, r, err := unikernel.Build(context.Background(), "", pkg, m)
		return image{b, r, err}
	}))
	i := f.(func() image)()
	require.NoError(t, i.err)
	return i.bytes
}

// run is one guest: its output and how it ended.
type run struct {
	out    string
	status int
	err    error
}

type options struct {
	mem    uint64
	dev    tender.BlockDev
	plain  bool
	during func(*tender.VM)
	handle func([]byte)
	limit  time.Duration
}

func boot(t testing.TB, o options, args ...string) run {
	t.Helper()
	requireKVM(t)
	var out bytes.Buffer
	if o.dev == nil {
		o.dev = newRAM(1 << 20)
	}
	if o.mem == 0 {
		o.mem = 128 << 20
	}
	if o.limit == 0 {
		o.limit = 30 * time.Second
	}
	vm, err := tender.New(tender.Config{
		Kernel: build(t, "./testdata/zoo", abi.DefaultManifest()), MemBytes: o.mem, Cmdline: args,
		Blocks:  []tender.BlockAttach{{Name: "storage", Dev: o.dev}},
		Console: &out, Channel: o.handle, NoExtension: o.plain,
	})
	require.NoError(t, err)
	defer vm.Close()
	if o.during != nil {
		go o.during(vm)
	}
	ctx, cancel := context.WithTimeout(t.Context(), o.limit)
	defer cancel()
	status, err := vm.Run(ctx)
	return run{out.String(), status, err}
}

// ok boots a scenario and wants it to end well.
func ok(t testing.TB, o options, args ...string) run {
	t.Helper()
	r := boot(t, o, args...)
	require.NoError(t, r.err, r.out)
	require.Zero(t, r.status, r.out)
	require.True(t, strings.HasSuffix(r.out, "done\n"), r.out)
	return r
}

// ram is a block device in memory that counts flushes and can fail.
type ram struct {
	lock    sync.Mutex
	b       []byte
	flushes int
	err     error
}

func newRAM(n int) *ram { return &ram{b: make([]byte, n)} }

func (r *ram) ReadAt(b []byte, off int64) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	return copy(b, r.b[off:]), nil
}

func (r *ram) WriteAt(b []byte, off int64) (int, error) {
	r.lock.Lock()
	defer r.lock.Unlock()
	if r.err != nil {
		return 0, r.err
	}
	return copy(r.b[off:], b), nil
}

func (r *ram) Flush() error {
	r.lock.Lock()
	defer r.lock.Unlock()
	r.flushes++
	return r.err
}

func (r *ram) Size() int64 { return int64(len(r.b)) }

func TestHello(t *testing.T) {
	requireKVM(t)
	kernel := build(t, "./testdata/hello", abi.NewManifest())
	for _, plain := range []bool{false, true} {
		var out bytes.Buffer
		vm, err := tender.New(tender.Config{Kernel: kernel, MemBytes: 16 << 20, Cmdline: []string{"a", "b"}, Console: &out, NoExtension: plain})
		require.NoError(t, err)
		status, err := vm.Run(t.Context())
		require.NoError(t, err)
		require.Zero(t, status)
		require.Equal(t, "hello true [\"a\" \"b\"]\n", out.String())
		require.NoError(t, vm.Close())
	}
}

func TestScenarios(t *testing.T) {
	for _, args := range []string{"goroutines", "library", "floats", "entropy", "clock", "fault", "memory"} {
		for _, plain := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/plain=%v", args, plain), func(t *testing.T) {
				ok(t, options{plain: plain}, strings.Fields(args)...)
			})
		}
	}
}

func TestArguments(t *testing.T) {
	r := boot(t, options{}, "no such", "two words", "")
	require.Equal(t, 2, r.status)
	require.Contains(t, r.out, "panic: no scenario no such\n")
}

func TestUncaughtPanic(t *testing.T) {
	r := boot(t, options{}, "panic")
	require.NoError(t, r.err)
	require.Equal(t, 2, r.status)
	require.Contains(t, r.out, "panic: deliberate\n\ngoroutine 1 [running]:\nmain.uncaught()\n")
}

func TestNilDereference(t *testing.T) {
	r := boot(t, options{}, "recover", "0")
	require.NoError(t, r.err)
	require.Equal(t, 2, r.status)
	require.Contains(t, r.out, "panic: runtime error: invalid memory address or nil pointer dereference\n[signal SIGSEGV")
	require.Contains(t, r.out, "main.deref(")
}

func TestOutOfMemory(t *testing.T) {
	for _, s := range []string{"hog", "exhaust"} {
		r := boot(t, options{mem: 48 << 20}, s)
		require.NoError(t, r.err)
		require.Equal(t, abi.ExitOutOfMemory, r.status, r.out)
		require.Contains(t, r.out, "guest: out of memory")
	}
}

func TestBlock(t *testing.T) {
	for _, plain := range []bool{false, true} {
		d := newRAM(4 << 20)
		r := ok(t, options{dev: d, plain: plain}, "block")
		require.Contains(t, r.out, fmt.Sprintf("size 4194304 sector 512 durable %v", !plain))
		require.Equal(t, !plain, d.flushes > 0)
	}
}

func TestSparseImage(t *testing.T) {
	path := filepath.Join(t.TempDir(), "disk")
	d, err := tender.CreateImage(path, 64<<30)
	require.NoError(t, err)
	defer d.Close()
	ok(t, options{dev: d}, "block")
	var st syscall.Stat_t
	require.NoError(t, syscall.Stat(path, &st))
	require.Equal(t, int64(64<<30), st.Size)
	require.Less(t, st.Blocks*512, int64(16<<20))
}

// TestAsyncBlock wants the guest to compute while the tender writes.
func TestAsyncBlock(t *testing.T) {
	r := ok(t, options{dev: newRAM(16 << 20), mem: 256 << 20}, "async")
	_, rest, _ := strings.Cut(r.out, "meanwhile: ")
	loops, err := strconv.Atoi(strings.Fields(rest)[0])
	require.NoError(t, err)
	require.Positive(t, loops)
}

// The guest's device has all that persist makes use of.
var (
	_ persist.Device       = (*guest.Block)(nil)
	_ persist.GatherWriter = (*guest.Block)(nil)
	_ persist.GroupWriter  = (*guest.Block)(nil)
	_ persist.Preparer     = (*guest.Block)(nil)
)

// counting is a device that notes the calls of the tender.
type counting struct {
	*ram
	calls   []string
	flushed chan struct{} // closed by the first group
}

func (c *counting) note(format string, args ...any) {
	c.lock.Lock()
	defer c.lock.Unlock()
	c.calls = append(c.calls, fmt.Sprintf(format, args...))
}

func (c *counting) WriteAt(b []byte, off int64) (int, error) {
	c.note("write %d at %d", len(b), off)
	return c.ram.WriteAt(b, off)
}

func (c *counting) WriteGather(bufs [][]byte, off int64) error {
	c.note("gather at %d", off)
	return nil
}

func (c *counting) Flush() error {
	c.note("flush")
	return c.ram.Flush()
}

func (c *counting) WriteGroup(runs [][][]byte, offs []int64) error {
	text := "group"
	for i, bufs := range runs {
		b := bytes.Join(bufs, nil)
		text += fmt.Sprintf(" %d at %d", len(b), offs[i])
		if _, err := c.ram.WriteAt(b, offs[i]); err != nil {
			return err
		}
	}
	c.note("%s", text)
	select {
	case <-c.flushed:
	default:
		close(c.flushed)
	}
	return nil
}

func (c *counting) Prepare(off, n int64) error {
	select {
	case <-c.flushed:
	case <-time.After(20 * time.Second):
		return errors.New("a write waited for it")
	}
	c.note("prepare %d at %d", n, off)
	return nil
}

// TestGroupIsOneSubmission: a write group of the guest reaches the device in one piece: the
// neighbours merged, with one flush. It has 2,101 pages that lie anywhere in memory.
func TestGroupIsOneSubmission(t *testing.T) {
	d := &counting{ram: newRAM(16 << 20), flushed: make(chan struct{})}
	ok(t, options{dev: d, mem: 256 << 20}, "group")
	require.Equal(t, []string{"group 2867200 at 0 2867200 at 4194304 4096 at 8388608"}, d.calls)
}

// TestPrepare: preparing a place does not hold up a write group.
func TestPrepare(t *testing.T) {
	d := &counting{ram: newRAM(16 << 20), flushed: make(chan struct{})}
	ok(t, options{dev: d}, "prepare")
	require.Equal(t, []string{"group 4096 at 0", "prepare 1048576 at 1048576"}, d.calls)
	ok(t, options{dev: newRAM(16 << 20)}, "prepare")
	ok(t, options{dev: newRAM(16 << 20), plain: true}, "prepare")
}

func TestDiskError(t *testing.T) {
	d := newRAM(1 << 20)
	d.err = &os.PathError{Op: "write", Err: syscall.ENOSPC}
	r := ok(t, options{dev: d}, "disk-error")
	require.Equal(t, 2, strings.Count(r.out, "no space left on device"), r.out)
	r = ok(t, options{dev: d, plain: true}, "disk-error")
	require.Contains(t, r.out, "input/output error")
}

func TestChannelEcho(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	var want [][]byte
	for i := range 300 {
		n := 1 + rng.IntN(200)
		if i%10 == 0 {
			n = 1 + rng.IntN(abi.MaxMessage)
		}
		b := make([]byte, n)
		for k := range b {
			b[k] = byte(rng.Uint32())
		}
		want = append(want, b)
	}
	var got [][]byte // by the handler, before Run returns
	ok(t, options{
		handle: func(msg []byte) { got = append(got, msg) },
		during: func(vm *tender.VM) {
			for _, b := range append(want[:len(want):len(want)], nil) {
				if err := vm.Send(b); err != nil {
					t.Error(err)
				}
			}
		},
	}, "channel")
	require.Equal(t, len(want), len(got))
	for i := range want {
		require.Equal(t, want[i], got[i], "message %d", i)
	}
}

// TestIdle wants a sleeping guest to cost next to no processor time.
func TestIdle(t *testing.T) {
	cpu := func() time.Duration {
		var ru syscall.Rusage
		require.NoError(t, syscall.Getrusage(syscall.RUSAGE_SELF, &ru))
		return time.Duration(ru.Utime.Nano() + ru.Stime.Nano())
	}
	ok(t, options{}, "idle", "1") // builds the image
	before := cpu()
	ok(t, options{}, "idle", "1500")
	require.Less(t, cpu()-before, 150*time.Millisecond)
}

// TestBusy wants timers to fire in time beside a computation that yields.
func TestBusy(t *testing.T) {
	r := ok(t, options{}, "busy")
	t.Log(r.out)
	median, err := time.ParseDuration(strings.Fields(r.out)[1])
	require.NoError(t, err)
	require.Less(t, median, 25*time.Millisecond) // below 1 ms on an idle machine
}

func TestStop(t *testing.T) {
	for _, scenario := range [][]string{{"idle", "100000"}, {"hang"}} {
		start := time.Now()
		r := boot(t, options{limit: 500 * time.Millisecond}, scenario...)
		require.True(t, errors.Is(r.err, context.DeadlineExceeded), "%v %s", r.err, r.out)
		require.Less(t, time.Since(start), 5*time.Second)
	}
}

// TestPaging runs objectvm/paging in a guest: faults in all circumstances, eviction, damage.
func TestPaging(t *testing.T) {
	r := ok(t, options{dev: newRAM(64 << 20), mem: 96 << 20}, "paging")
	t.Log(r.out)
}
