package persist_test

import (
	"bytes"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// reader is what a monitor's raw read would be, on a simulated disk.
func reader(d persist.Device) persist.Reader {
	return func(off int64, dst, n uintptr) bool {
		k, err := d.ReadAt(bytesAt(dst, n), off)
		return err == nil && k == int(n)
	}
}

// block is mapped memory for one page.
func block(t testing.TB) (uintptr, []byte) {
	a := newArena(t, 1)
	return a.mem.Base, a.page(0)
}

// TestFetch compares every page that Fetch gives with the state, on an open
// image from which nothing was loaded.
func TestFetch(t *testing.T) {
	rng, _ := newRand(t)
	h, d := newHistory(), sim.New(4<<20)
	s, st := create(t, h, d, d.Len, 8)
	for range 40 {
		s, st = commitOrRevive(t, rng, h, d, s, st, 1+rng.IntN(20), 1000)
	}
	at, b := block(t)
	check := func(s *persist.Store, st state) {
		tab := s.Table()
		for p := range st.pages {
			for q := p - min(p, 2); q < min(p+2, persist.MaxPages); q++ {
				clear(b)
				want := st.pages[q]
				if want == nil {
					require.Equal(t, persist.FetchZero, tab.Fetch(uint64(q), at))
				} else {
					require.Equal(t, persist.FetchOK, tab.Fetch(uint64(q), at))
					require.True(t, bytes.Equal(want, b))
				}
				blk, _, ok := tab.Ref(uint64(q))
				require.True(t, ok, "its nodes were just read")
				require.Equal(t, want != nil, blk != 0)
			}
		}
		require.Equal(t, persist.FetchZero, tab.Fetch(persist.MaxPages, at))
	}
	s2, _, err := persist.Open(d)
	require.NoError(t, err)
	s2.Table().SetReader(reader(d))
	check(s2, st)
	for range 20 {
		s2, st = commitOrRevive(t, rng, h, d, s2, st, 1+rng.IntN(20), 1000)
		check(s2, st)
	}
	pages, nodes := s2.Table().Fetches()
	require.NotZero(t, pages)
	require.NotZero(t, nodes)
}

// TestFetchSaysWhatIsDamaged flips a bit of a page, of its leaf and of a
// node above, and fails the reader.
func TestFetchSaysWhatIsDamaged(t *testing.T) {
	h, d := newHistory(), sim.New(1<<20)
	s, _ := create(t, h, d, d.Len, 8)
	data := bytes.Repeat([]byte{7}, persist.BlockSize)
	_, err := s.Commit(nil, []persist.PageImage{{ID: 77, Data: data}, {ID: 78, Data: data}})
	require.NoError(t, err)
	at, _ := block(t)
	open := func(img []byte) (*persist.PageTable, *sim.Disk) {
		d := sim.FromImage(img)
		s, _, err := persist.Open(d)
		require.NoError(t, err)
		s.Table().SetReader(reader(d))
		return s.Table(), d
	}
	tab, dev := open(d.Image())
	require.Equal(t, persist.FetchOK, tab.Fetch(77, at))
	blk, _, ok := tab.Ref(78)
	require.True(t, ok)
	rot(dev, int64(blk)*persist.BlockSize+100)
	require.Equal(t, persist.FetchDamaged, tab.Fetch(78, at))
	f := tab.LastFault()
	require.Equal(t, persist.Fault{Page: 78, Offset: int64(blk) * persist.BlockSize, Result: persist.FetchDamaged}, f)
	require.ErrorIs(t, f.Error(), persist.ErrCorrupt)
	require.ErrorContains(t, f.Error(), "page 0x4e")
	require.Equal(t, persist.FetchOK, tab.Fetch(77, at), "the others are still there")

	dev.SetFault(&sim.Fault{Reads: true, Err: sim.ErrIO})
	require.Equal(t, persist.FetchIO, tab.Fetch(77, at))
	require.Equal(t, persist.FetchIO, tab.LastFault().Result)
	require.Equal(t, persist.FetchOK, tab.Fetch(77, at))

	nodes := 0
	for i := range persist.PageID(300) { // until the nodes are written
		_, err := s.Commit(nil, []persist.PageImage{{ID: 1000 + i%7, Data: data}})
		require.NoError(t, err)
	}
	above := persist.NodeBlocks(s, 77)
	require.Len(t, above, 3)
	for i, e := range above {
		tab, dev := open(d.Image())
		rot(dev, int64(e)*persist.BlockSize+9)
		r := tab.Fetch(77, at)
		if r == persist.FetchOK && i < 2 {
			continue // the journal has a newer reference to the node below
		}
		require.Equal(t, persist.FetchDamaged, r)
		require.True(t, tab.LastFault().Node)
		require.Equal(t, int64(e)*persist.BlockSize, tab.LastFault().Offset)
		nodes++
	}
	require.Positive(t, nodes)
}

// rot flips a bit behind the device's back.
func rot(d *sim.Disk, off int64) {
	b := make([]byte, persist.BlockSize)
	at := off &^ (persist.BlockSize - 1)
	_, err := d.ReadAt(b, at)
	if err == nil {
		b[off-at] ^= 1
		_, err = d.WriteAt(b, at)
	}
	if err != nil {
		panic(err)
	}
}

// TestFetchWhileCommitting fetches pages that don't change while commits move
// them about and replace the nodes that lead to them, with room for a few
// nodes only.
func TestFetchWhileCommitting(t *testing.T) {
	rng, _ := newRand(t)
	d := sim.New(32 << 20)
	s, err := persist.Create(d, persist.Options{SegmentBlocks: 8})
	require.NoError(t, err)
	s.Table().SetNodeBudget(1)
	s.Table().SetReader(reader(d))
	const still, spread = 200, 600 // page numbers: still ones are multiples of spread
	want := map[uint64][]byte{}
	var list []persist.PageImage
	for i := range uint64(still) {
		b := randomPage(rng)
		want[i*spread] = b
		list = append(list, persist.PageImage{ID: persist.PageID(i * spread), Data: b})
	}
	_, err = s.Commit(nil, list)
	require.NoError(t, err)
	var stop atomic.Bool
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop.Store(true)
	for k := range 2 {
		at, b := block(t)
		wg.Go(func() {
			for i := uint64(k); !stop.Load(); i++ {
				p := i * 7 % still * spread
				if r := s.Table().Fetch(p, at); r != persist.FetchOK || !bytes.Equal(b, want[p]) {
					t.Errorf("page %#x: result %v, %+v", p, r, s.Table().LastFault())
					return
				}
				s.Table().Ref(p)
			}
		})
	}
	for range 300 {
		list = list[:0]
		for range 20 {
			id := persist.PageID(rng.IntN(still)*spread + 1 + rng.IntN(4))
			if rng.IntN(4) == 0 {
				list = append(list, persist.PageImage{ID: id})
			} else {
				list = append(list, persist.PageImage{ID: id, Data: randomPage(rng)})
			}
		}
		_, err := s.Commit(nil, list)
		require.NoError(t, err)
	}
	stop.Store(true)
	wg.Wait()
	require.NotZero(t, s.Stats().Moved)
	pages, nodes := s.Table().Fetches()
	t.Logf("%d pages and %d nodes fetched, %+v", pages, nodes, s.Stats())
}

// TestPins: which pages may be evicted, at every stage.
func TestPins(t *testing.T) {
	h, d := newHistory(), &slowDevice{sim.New(4 << 20), make(chan struct{}, 100)}
	for range 10 {
		d.gate <- struct{}{}
	}
	s, _ := create(t, h, d, d.Len, 8)
	for len(d.gate) > 0 {
		<-d.gate
	}
	a := newArena(t, 4096)
	pins := a.mapPins(t)
	c := persist.NewCheckpointer(s, a.mem)
	evictable := func(p int) bool { return a.state[p] == 0 && pins[p] == 0 }
	a.store(c, 5, 0, 1)
	a.store(c, 6, 0, 1)
	require.False(t, evictable(5))
	_, err := c.Flip(nil)
	require.NoError(t, err)
	require.False(t, evictable(5))
	a.store(c, 5, 0, 2)
	c.Discard(6)
	require.NotZero(t, pins[6]&persist.PinDropped)
	c.Settle()
	require.False(t, evictable(5), "not durable yet")
	d.gate <- struct{}{}
	require.NoError(t, c.Wait())
	c.Settle()
	require.False(t, evictable(5), "dirty")
	require.NotZero(t, pins[6]&persist.PinDropped, "page 6 has old bytes on the device")
	a.store(c, 6, 9, 9) // stored to after the discard: its old bytes must not come back
	require.NotZero(t, pins[6]&persist.PinDropped)
	_, err = c.Flip(nil)
	require.NoError(t, err)
	require.False(t, evictable(6))
	require.NotZero(t, pins[6]&persist.PinDropped)
	c.Discard(5)
	d.gate <- struct{}{}
	require.NoError(t, c.Wait())
	c.Settle()
	require.True(t, evictable(6))
	require.False(t, evictable(5))
	d.gate <- struct{}{}
	_, err = c.Flip(nil)
	require.NoError(t, err)
	require.NoError(t, c.Wait())
	c.Settle()
	require.True(t, evictable(5))
	require.Equal(t, make([]byte, len(pins)), pins)
	at, b := block(t)
	s.Table().SetReader(reader(d.Disk))
	require.Equal(t, persist.FetchZero, s.Table().Fetch(5, at))
	require.Equal(t, persist.FetchOK, s.Table().Fetch(6, at))
	require.Equal(t, byte(9), b[9])
	require.NoError(t, c.Close())
}

// TestFailedCheckpointStaysPinned: nothing may be evicted that the device
// perhaps does not have.
func TestFailedCheckpointStaysPinned(t *testing.T) {
	h, d := newHistory(), sim.New(1<<20)
	s, _ := create(t, h, d, d.Len, 4)
	a := newArena(t, 64)
	pins := a.mapPins(t)
	c := persist.NewCheckpointer(s, a.mem)
	a.store(c, 5, 0, 1)
	d.SetFault(&sim.Fault{Err: sim.ErrIO})
	_, err := c.Flip(nil)
	require.NoError(t, err)
	require.ErrorIs(t, c.Wait(), sim.ErrIO)
	c.Settle()
	require.NotZero(t, pins[5])
	require.Error(t, c.Close())
}
