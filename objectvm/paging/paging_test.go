package paging

import (
	"encoding/binary"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeSource has page p of the arena in block p+1 of a file. Every sixteenth page is not live.
type fakeSource struct {
	crcs    []uint32 // by page, 0: not live
	fetches atomic.Uint64
	hidden  bool // Ref knows nothing
}

func (s *fakeSource) Ref(page uint64) (block, crc uint32, ok bool) {
	if page >= uint64(len(s.crcs)) || s.crcs[page] == 0 {
		return 0, 0, !s.hidden
	}
	return uint32(page + 1), s.crcs[page], !s.hidden
}

func (s *fakeSource) Fetch(page uint64, dst uintptr) Result {
	s.fetches.Add(1)
	if s.crcs[page] == 0 {
		return Zero
	}
	if !processRead(int64(page+1)<<pageShift, dst, pageSize) {
		return Failed
	}
	if checksum(dst) != s.crcs[page] {
		return Damaged
	}
	return OK
}

// rig is a small arena with a device.
type rig struct {
	*Pager
	src   *fakeSource
	file  *os.File
	base  uintptr
	state uintptr
	pages int
}

func content(page, word int) uint64 { return uint64(page)*1_000_003 + uint64(word)*7919 + 1 }

func newRig(t testing.TB, pages int, limit uint64) *rig {
	t.Helper()
	if underRace {
		t.Skip("demand paging is off under the race detector")
	}
	f, err := os.Create(filepath.Join(t.TempDir(), "disk"))
	require.NoError(t, err)
	src := &fakeSource{crcs: make([]uint32, pages)}
	b := make([]byte, pageSize)
	for p := range pages {
		if p%16 == 15 {
			continue
		}
		for i := 0; i < pageSize; i += 8 {
			binary.LittleEndian.PutUint64(b[i:], content(p, i/8))
		}
		src.crcs[p] = crc32.Checksum(b, castagnoli)
		_, err := f.WriteAt(b, int64(p+1)*pageSize)
		require.NoError(t, err)
	}
	var mem, state reserved
	require.NoError(t, mem.reserve(uintptr(pages)*pageSize))
	require.NoError(t, state.reserve(uintptr(pages)))
	r := &rig{src: src, file: f, base: mem.base, state: state.base, pages: pages}
	ranges := []Range{{mem.base, mem.base + uintptr(pages)*pageSize}}
	platform, err := NewProcess(ranges, f.Fd())
	require.NoError(t, err)
	r.Pager, err = New(Config{
		Base: mem.base, Pages: uint64(pages), Ranges: ranges, State: state.base,
		Limit: limit, Hard: 2 * limit, Source: src, Platform: platform,
	})
	require.NoError(t, err)
	t.Cleanup(func() {
		r.Pager.Close()
		mem.free()
		state.free()
		f.Close()
	})
	return r
}

func (r *rig) page(p int) []byte { return bytesAt(r.base+uintptr(p)*pageSize, pageSize) }

// check compares word i of page p.
func (r *rig) check(p, i int) bool {
	want := content(p, i)
	if r.src.crcs[p] == 0 {
		want = 0
	}
	return binary.LittleEndian.Uint64(r.page(p)[i*8:]) == want
}

func TestSequentialAndRandom(t *testing.T) {
	r := newRig(t, 4096, 1<<20)
	for p := range r.pages {
		require.True(t, r.check(p, p%512), "page %d", p)
		if p%50 == 0 {
			r.Balance(false)
		}
	}
	up := r.Counters()
	require.Less(t, up.Reads, uint64(r.pages/3), "no read-ahead")
	for p := r.pages - 1; p >= 0; p-- {
		require.True(t, r.check(p, p%512), "page %d", p)
	}
	require.Less(t, r.Counters().Reads-up.Reads, uint64(r.pages/3), "no read-ahead backwards")
	rng := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		p, i := rng.IntN(r.pages), rng.IntN(512)
		require.True(t, r.check(p, i), "page %d", p)
	}
	c := r.Counters()
	require.LessOrEqual(t, c.Resident, r.Limit())
	require.Greater(t, c.Evictions, uint64(4096))
	require.Equal(t, int(c.Resident), resident(t, r))
	t.Logf("%+v", c)
}

// resident counts the arena's pages that the kernel has.
func resident(t testing.TB, r *rig) (n int) {
	vec := make([]byte, r.pages)
	_, _, e := syscall.Syscall(syscall.SYS_MINCORE, r.base, uintptr(r.pages)*pageSize, addrOf(vec))
	require.Zero(t, e)
	for _, v := range vec {
		n += int(v & 1)
	}
	return n
}

// TestDirtyPagesStay changes pages and lets others be evicted.
func TestDirtyPagesStay(t *testing.T) {
	r := newRig(t, 4096, 1<<20)
	for p := range 200 {
		store8(r.state+uintptr(p), 1)
		r.page(p)[100] = 0xee
	}
	for p := 200; p < r.pages; p++ {
		require.True(t, r.check(p, 5))
	}
	for p := range 200 {
		require.Equal(t, byte(0xee), r.page(p)[100])
		store8(r.state+uintptr(p), 0)
	}
	// All of memory dirty: the limit gives way up to Hard, then the fault fails.
	r.Balance(true)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	n := 0
	require.Panics(t, func() {
		for p := range r.pages {
			store8(r.state+uintptr(p), 1)
			r.page(p)[100] = 1
			n++
		}
	})
	require.GreaterOrEqual(t, n, 500)
	_, why, bad := r.Err()
	require.True(t, bad)
	require.Equal(t, NoRoom, why)
}

func TestDamageIsAPanic(t *testing.T) {
	r := newRig(t, 64, 1<<20)
	_, err := r.file.WriteAt([]byte{1, 2, 3}, 8*pageSize+77)
	require.NoError(t, err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		e, ok := recover().(interface{ Addr() uintptr })
		require.True(t, ok)
		require.Equal(t, r.base+7*pageSize+8, e.Addr())
		page, why, bad := r.Err()
		require.True(t, bad)
		require.Equal(t, uint64(7), page)
		require.Equal(t, Damaged, why)
		require.True(t, r.check(6, 1), "others can still be read")
	}()
	sink = bytesAt(r.base+7*pageSize, pageSize)[8]
	t.Fatal("a damaged page was read")
}

// TestOtherSignals sees that what is not the pager's still is a panic as Go makes it.
func TestOtherSignals(t *testing.T) {
	r := newRig(t, 64, 1<<20)
	require.Panics(t, func() { var p *[1 << 20]byte; sink = p[8] })
	f, err := os.Create(filepath.Join(t.TempDir(), "short"))
	require.NoError(t, err)
	defer f.Close()
	m, err := syscall.Mmap(int(f.Fd()), 0, pageSize, syscall.PROT_READ, syscall.MAP_SHARED)
	require.NoError(t, err)
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	require.Panics(t, func() { sink = m[5] }) // SIGBUS: behind the end of the file
	require.True(t, r.check(3, 3))
}

var sink byte

// TestStress lets several threads fault while the collector runs, goroutines are preempted and stacks grow.
func TestStress(t *testing.T) {
	for _, hidden := range []bool{false, true} {
		r := newRig(t, 8192, 2<<20)
		r.src.hidden = hidden
		seed := uint64(time.Now().UnixNano())
		t.Logf("seed %d", seed)
		var wg sync.WaitGroup
		var stop, bad atomic.Bool
		for k := range 4 {
			wg.Go(func() {
				if k%2 == 0 {
					runtime.LockOSThread()
				}
				rng := rand.New(rand.NewPCG(seed, uint64(k)))
				buf := make([]byte, 3*pageSize)
				for n := 0; !stop.Load() && !bad.Load(); n++ {
					p := rng.IntN(r.pages - 4)
					switch rng.IntN(4) {
					case 0:
						if !r.check(p, rng.IntN(512)) {
							bad.Store(true)
						}
					case 1: // vector moves that fault in their middle
						off := rng.IntN(pageSize)
						copy(buf, bytesAt(r.base+uintptr(p)*pageSize+uintptr(off), 3*pageSize))
						at := (pageSize - off + 7) &^ 7
						if (off+at)%pageSize != 0 {
							continue
						}
						want := content(p+1, 0)
						if r.src.crcs[p+1] == 0 {
							want = 0
						}
						if binary.LittleEndian.Uint64(buf[at:]) != want {
							bad.Store(true)
						}
					case 2:
						if !deep(r, rng, 1+rng.IntN(200)) {
							bad.Store(true)
						}
					case 3:
						garbage = make([]byte, 1+rng.IntN(50000))
					}
				}
			})
		}
		wg.Go(func() {
			for !stop.Load() {
				runtime.GC()
				r.Balance(false)
			}
		})
		time.Sleep(1500 * time.Millisecond)
		stop.Store(true)
		wg.Wait()
		require.False(t, bad.Load(), "wrong contents; seed %d", seed)
		c := r.Counters()
		t.Logf("%+v, %d collections", c, gcs())
		require.Greater(t, c.Faults, uint64(1000))
		r.Pager.Close()
	}
}

var garbage []byte

func gcs() uint32 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.NumGC
}

// deep faults at the bottom of a deep stack, which has to grow for it.
func deep(r *rig, rng *rand.Rand, n int) bool {
	var pad [256]byte
	if n == 0 {
		return r.check(rng.IntN(r.pages), 1)
	}
	pad[n%256] = 1
	return deep(r, rng, n-1) && pad[n%256] == 1
}

func BenchmarkFault(b *testing.B) {
	r := newRig(b, 1<<16, 64<<20)
	rng := rand.New(rand.NewPCG(1, 2))
	b.Run("random", func(b *testing.B) {
		before := r.Counters()
		for range b.N {
			sink = load8(r.base + uintptr(rng.IntN(r.pages))*pageSize)
		}
		report(b, before, r.Counters())
	})
	b.Run("sequential", func(b *testing.B) {
		before := r.Counters()
		for i := range b.N {
			sink = load8(r.base + uintptr(i%r.pages)*pageSize)
		}
		report(b, before, r.Counters())
	})
}

func report(b *testing.B, x, y Counters) {
	b.ReportMetric(float64(y.Faults-x.Faults)/float64(b.N), "faults/op")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(y.Faults-x.Faults), "ns/fault")
}
