package main

import (
	"fmt"
	"hash/crc32"
	"math"
	"math/rand/v2"
	"runtime"
	"runtime/debug"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"phantomvm/hypervisor/guest"
	"phantomvm/objectvm/paging"
)

// table has page p in block p of the device; pages divisible by 5 are not live.
type table struct {
	dev  *guest.Block
	crcs []uint32
}

func (s *table) Ref(page uint64) (block, crc uint32, ok bool) {
	if page >= uint64(len(s.crcs)) || page%5 == 0 {
		return 0, 0, true
	}
	return uint32(page), s.crcs[page], true
}

func (s *table) Fetch(page uint64, dst uintptr) paging.Result { return paging.Damaged }

func word(page, i int) uint64 {
	if page%5 == 0 {
		return 0
	}
	return uint64(page)*1_000_003 + uint64(i)*7919 + 1
}

const pagedPages = 12000

// demandPaging reads an arena of 48 MiB through 12 MiB of resident pages, from several goroutines.
func demandPaging() {
	dev, err := guest.OpenBlock("storage")
	check(err)
	src := &table{dev, make([]uint32, pagedPages)}
	tab := crc32.MakeTable(crc32.Castagnoli)
	chunk := make([]byte, 64*4096)
	for p := 0; p < pagedPages; p += 64 {
		for i := 0; i < len(chunk); i += 8 {
			*(*uint64)(unsafe.Pointer(&chunk[i])) = word(p+i/4096, i%4096/8)
		}
		n := min(64, pagedPages-p)
		for k := range n {
			src.crcs[p+k] = crc32.Checksum(chunk[k*4096:][:4096], tab)
		}
		_, err := dev.WriteAt(chunk[:n*4096], int64(p)*4096)
		check(err)
	}
	const flags = syscall.MAP_PRIVATE | syscall.MAP_ANON | syscall.MAP_NORESERVE | 0x100000
	const base = uintptr(0x100000000000)
	mmap(base, 64<<30, syscall.PROT_READ|syscall.PROT_WRITE, flags)
	state := mmap(0, pagedPages, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_PRIVATE|syscall.MAP_ANON|syscall.MAP_NORESERVE)
	ranges := []paging.Range{{Lo: base, Hi: base + pagedPages*4096}}
	check(guest.PageRange(ranges[0].Lo, ranges[0].Hi))
	reads := 0
	p, err := paging.New(paging.Config{
		Base: base, Pages: pagedPages, Ranges: ranges, State: state, Limit: 12 << 20, Hard: 16 << 20, Source: src,
		Platform: paging.Platform{
			Read: func(off int64, dst, n uintptr) bool {
				reads++
				return dev.ReadRaw(off, dst, n)
			},
			Install: guest.InstallPages, Drop: guest.DropPages, Accessed: guest.PageAccessed, Now: guest.Nanos,
			Buffer: guest.ReservePages(paging.Window * 4096), KeepVectors: true,
		},
	})
	check(err)
	page := func(p int) []byte { return unsafe.Slice(at(base+uintptr(p)*4096), 4096) }
	free := func() { fmt.Printf("%d KiB free\n", guest.FreeMemory()>>10) }
	free()
	get := func(p, i int) uint64 { return *(*uint64)(unsafe.Pointer(&page(p)[i*8])) }

	start := time.Now()
	for n := range pagedPages {
		assert(get(n, n%512) == word(n, n%512), "page %d", n)
	}
	c := p.Counters()
	fmt.Printf("sequential: %d faults, %d reads, %v a fault\n", c.Faults, c.Reads, time.Since(start)/time.Duration(c.Faults))
	start = time.Now()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 5000 {
		n := rng.IntN(pagedPages)
		assert(get(n, 7) == word(n, 7), "page %d", n)
	}
	d := p.Counters()
	fmt.Printf("random: %d faults, %d evictions, %v a fault\n", d.Faults-c.Faults, d.Evictions-c.Evictions, time.Since(start)/time.Duration(d.Faults-c.Faults))

	// Hot pages stay while others come and go: the processor's accessed bits tell.
	hot := uint64(0)
	for n := range 6000 {
		was := p.Counters().Faults
		h := 1 + 5*(n%200)
		assert(get(h, 1) == word(h, 1), "page %d", h)
		if n > 1000 {
			hot += p.Counters().Faults - was
		}
		cold := 2000 + rng.IntN(pagedPages-2000)
		assert(get(cold, 1) == word(cold, 1), "page %d", cold)
		p.Balance(false)
	}
	assert(hot < 500, "hot pages were evicted: %d faults", hot)
	fmt.Printf("hot: %d faults of 5000\n", hot)

	free()
	// Goroutines, with sums in vector registers, moves that fault in their middle, collections and growing stacks.
	var wg sync.WaitGroup
	for k := range 4 {
		wg.Go(func() {
			defer func() {
				if e := recover(); e != nil {
					n, why, bad := p.Err()
					fmt.Printf("%v: page %d result %d %v\n", e, n, why, bad)
					free()
					panic(e)
				}
			}()
			debug.SetPanicOnFault(true)
			rng := rand.New(rand.NewPCG(7, uint64(k)))
			buf := make([]byte, 3*4096)
			for range 300 {
				n := rng.IntN(pagedPages - 4)
				off := rng.IntN(512) * 8
				copy(buf, unsafe.Slice(at(base+uintptr(n)*4096+uintptr(off)), 3*4096))
				for i := 0; i < len(buf); i += 8 {
					pos := n*4096 + off + i
					assert(*(*uint64)(unsafe.Pointer(&buf[i])) == word(pos/4096, pos%4096/8), "copy at %#x", pos)
				}
				x, want := 1.0, 1.0
				for i := range 50 {
					x = math.Sqrt(x*float64(i+2)) + 0.25
				}
				for i := range 50 {
					want = math.Sqrt(want*float64(i+2)) + 0.25 + 0*float64(get(rng.IntN(pagedPages), 0)&1)
				}
				assert(x == want, "floats: %v, %v", x, want)
				assert(sinkDeep(rng.IntN(300), func() bool { q := rng.IntN(pagedPages); return get(q, 3) == word(q, 3) }), "deep")
				if rng.IntN(50) == 0 {
					runtime.GC()
				}
				guest.Yield()
			}
		})
	}
	wg.Wait()
	fmt.Printf("%+v\n", p.Counters())
	assert(p.Counters().Resident <= p.Limit(), "over the limit")

	// Memory that is full, and damage, are panics.
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	_, err = dev.WriteAt([]byte{1}, 4097*4096)
	check(err)
	addr := faultAt(func() {
		for n := 4100; n < 9000; n++ { // evicts it
			total += get(n, 0)
		}
		total += get(4097, 1)
	})
	assert(addr == base+4097*4096+8, "fault at %#x", addr)
	n, why, bad := p.Err()
	assert(bad && n == 4097 && why == paging.Damaged, "%d %d %v", n, why, bad)
	p.Close()
}

var total uint64

func sinkDeep(n int, f func() bool) bool {
	var pad [200]byte
	if n == 0 {
		return f()
	}
	pad[n%200] = 1
	return sinkDeep(n-1, f) && pad[n%200] == 1
}
