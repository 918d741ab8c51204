package sim

// The images that a crash may leave, enumerated.
//
//  1. A walk issues the recorded operations one by one. What was written
//     before the last flush that counts is the base; what came later is
//     pending, cut into sectors.
//  2. After each write the walk makes the images that have something of it:
//     all subsets of the pending writes, and of their blocks, while those are
//     few; the write torn after each sector; one block lost, one block saved;
//     random subsets of sectors in random order. Images without the newest
//     write were made at the points before.
//  3. Before each flush, the block written last is torn in every way.
//  4. After each flush there is one image: nothing can be lost.
//
// A disk that lies keeps acknowledged writes pending over a number of flushes.
// Then each group of writes between two flushes is saved as a whole, not at
// all, without its last block, with nothing but that, or by chance.
//
// An image is a set of changed blocks over the base, so it costs what it
// changes; whether it was seen before is known from a hash of its contents
// that is kept up to date sector by sector.

import (
	"bytes"
	"math/rand/v2"
)

// Recording is what a device was told, in order, and the durable contents
// before that. Op.Data nil is a flush.
type Recording struct {
	Base []byte
	Ops  []Op
}

// Settled calls visit before the first operation, after each flush, and at the
// end with all that was issued. ops is the number of operations; flushed tells
// whether all of them are durable. Each image is valid until visit returns.
func (r *Recording) Settled(visit func(image *Image, ops int, flushed bool) error) error {
	base := NewBase(bytes.Clone(r.Base))
	image := NewImage(base)
	if err := visit(image, 0, true); err != nil {
		return err
	}
	for i, op := range r.Ops {
		image.Reset()
		for o := 0; o < len(op.Data); o += Sector {
			at := op.Off/Sector + int64(o/Sector)
			base.write(sector{at, op.Data[o : o+Sector], 0})
		}
		if op.Data == nil || i == len(r.Ops)-1 {
			image.Reset()
			if err := visit(image, i+1, op.Data == nil); err != nil {
				return err
			}
		}
	}
	return nil
}

// Crash is one image, valid until the visitor returns. The visitor may write
// to it.
type Crash struct {
	*Image
	Point int    // operations issued before the crash
	Acked int    // how many of them the last acknowledged flush covers
	How   string // what happened to the pending writes
}

// Seen is a set of images by the hash of their contents.
type Seen map[uint64]struct{}

// Sweep says how many images are made. The zero value of all but Rand and Seen works.
type Sweep struct {
	Rand *rand.Rand
	Seen Seen // grows
	// Subsets: all subsets of up to so many pending writes, or blocks of them, are tried.
	Subsets int
	// Sectors: random subsets of the pending sectors after each write.
	Sectors int
	// Tears: so many places at which a write is torn, 0: none, large: after every sector.
	Tears int
	// Blocks: where blocks are too many for all subsets, so many are lost alone, and saved alone, after each write.
	Blocks int
	// Lost flushes, the last ones before the crash, were acknowledged and did nothing.
	Lost int
	// Most images of this recording; 0: no bound.
	Most int
}

type span struct{ from, to int } // of pending sectors

type walk struct {
	*Sweep
	base  *Base
	image *Image
	visit func(Crash) error

	pending []sector
	writes  []span
	blocks  []span
	groups  []span // of blocks: what lies between two flushes that did nothing
	point   int
	acked   int
	checked map[uint64]int // contents, and Acked when they were visited
	images  int
}

// Run walks through the recording and calls visit for each image that it has
// not been called for with the same acknowledgement. It returns how many
// images were new to Seen, and the visitor's first error.
func (s *Sweep) Run(rec *Recording, visit func(Crash) error) (int, error) {
	w := &walk{Sweep: s, base: NewBase(bytes.Clone(rec.Base)), visit: visit, checked: map[uint64]int{}}
	w.image = NewImage(w.base)
	if err := w.emit("nothing written"); err != nil {
		return w.images, err
	}
	for i, op := range rec.Ops {
		w.point = i + 1
		var err error
		if op.Data != nil {
			w.issue(op)
			err = w.afterWrite()
		} else {
			err = w.flush()
		}
		if err != nil {
			return w.images, err
		}
		if s.Most > 0 && w.images >= s.Most {
			break
		}
	}
	return w.images, nil
}

// issue makes a write pending.
func (w *walk) issue(op Op) {
	first := len(w.pending)
	for o := 0; o < len(op.Data); o += Sector {
		at := op.Off/Sector + int64(o/Sector)
		b := op.Data[o : o+Sector]
		w.pending = append(w.pending, sector{at, b, sectorSum(at, b)})
	}
	w.writes = append(w.writes, span{first, len(w.pending)})
	for f := first; f < len(w.pending); f += sectorsPerBlock {
		w.blocks = append(w.blocks, span{f, min(f+sectorsPerBlock, len(w.pending))})
	}
}

// flush makes the oldest group of pending writes durable, and all of them on
// an honest disk.
func (w *walk) flush() error {
	begin := 0
	if n := len(w.groups); n > 0 {
		begin = w.groups[n-1].to
	}
	if begin < len(w.blocks) {
		w.point--
		if err := w.tearLast(); err != nil {
			return err
		}
		w.point++
	}
	w.acked = w.point
	w.groups = append(w.groups, span{begin, len(w.blocks)})
	if len(w.groups) > w.Lost {
		w.advance()
	}
	if w.Lost > 0 {
		return w.lose()
	}
	return w.emit("after a flush")
}

// advance makes the oldest group durable.
func (w *walk) advance() {
	saved := w.groups[0].to // blocks
	sectors := 0
	if saved > 0 {
		sectors = w.blocks[saved-1].to
	}
	w.image.Reset()
	for _, s := range w.pending[:sectors] {
		w.base.write(s)
	}
	w.image.Reset()
	w.pending = w.pending[sectors:]
	w.groups = shift(w.groups[1:], saved)
	w.blocks = shift(w.blocks[saved:], sectors)
	n := 0
	for n < len(w.writes) && w.writes[n].to <= sectors {
		n++
	}
	w.writes = shift(w.writes[n:], sectors)
}

func shift(list []span, by int) []span {
	out := make([]span, len(list))
	for i, s := range list {
		out[i] = span{s.from - by, s.to - by}
	}
	return out
}

// emit visits the image that has the given spans of pending sectors, saved in
// this order.
func (w *walk) emit(how string, saved ...span) error {
	w.image.Reset()
	for _, p := range saved {
		for _, s := range w.pending[p.from:p.to] {
			w.image.save(s)
		}
	}
	return w.show(how)
}

func (w *walk) show(how string) error {
	sum := w.image.Sum()
	if acked, ok := w.checked[sum]; ok && acked >= w.acked {
		return nil
	}
	w.checked[sum] = w.acked
	if _, ok := w.Seen[sum]; !ok {
		w.Seen[sum] = struct{}{}
		w.images++
	}
	return w.visit(Crash{w.image, w.point, w.acked, how})
}

// afterWrite makes the images that have something of the newest write.
func (w *walk) afterWrite() error {
	if w.Lost > 0 {
		return w.random()
	}
	for _, f := range []func() error{
		w.tear,
		func() error { return w.subsets("subset of the writes", w.writes, len(w.writes)-1) },
		func() error {
			newest := w.writes[len(w.writes)-1].from
			i := len(w.blocks) - 1
			for i > 0 && w.blocks[i-1].from >= newest {
				i--
			}
			return w.subsets("subset of the blocks", w.blocks, i)
		},
		w.single,
		w.random,
	} {
		if err := f(); err != nil {
			return err
		}
	}
	return nil
}

// tear cuts the newest write, with all or nothing of what came before it.
func (w *walk) tear() error {
	last := w.writes[len(w.writes)-1]
	n := last.to - last.from - 1
	for i := range min(n, w.Tears) {
		cut := 1 + i
		if n > w.Tears {
			cut = 1 + w.Rand.IntN(n)
		}
		torn := span{last.from, last.from + cut}
		if err := w.emit("newest write torn", span{0, last.from}, torn); err != nil {
			return err
		}
		if err := w.emit("newest write torn, all before it lost", torn); err != nil {
			return err
		}
	}
	return nil
}

// subsets makes all subsets that have one of the units from newest on.
func (w *walk) subsets(how string, units []span, newest int) error {
	if len(units) > w.Subsets {
		return nil
	}
	for mask := range 1 << len(units) {
		if mask>>newest == 0 {
			continue
		}
		var saved []span
		for i, u := range units {
			if mask>>i&1 != 0 {
				saved = append(saved, u)
			}
		}
		if err := w.emit(how, saved...); err != nil {
			return err
		}
	}
	return nil
}

// single loses one block, and saves one block, some by chance.
func (w *walk) single() error {
	all := len(w.pending)
	if err := w.emit("nothing lost", span{0, all}); err != nil || len(w.blocks) <= w.Subsets {
		return err
	}
	for range w.Blocks {
		b := w.blocks[w.Rand.IntN(len(w.blocks))]
		if err := w.emit("one block lost", span{0, b.from}, span{b.to, all}); err != nil {
			return err
		}
		if err := w.emit("one block saved", b); err != nil {
			return err
		}
	}
	return nil
}

// random saves random sectors in random order, or random blocks.
func (w *walk) random() error {
	for i := range w.Sectors {
		w.image.Reset()
		n := len(w.pending)
		if i%3 == 2 {
			n = len(w.blocks)
		}
		pick := w.subset(n)
		for _, k := range pick {
			if i%3 == 2 {
				for _, s := range w.pending[w.blocks[k].from:w.blocks[k].to] {
					w.image.save(s)
				}
			} else {
				w.image.save(w.pending[k])
			}
		}
		if err := w.show("random subset, reordered"); err != nil {
			return err
		}
	}
	return nil
}

// subset picks from 0 to n-1 with a probability that is itself random, so that
// nearly all and nearly none come up too, and shuffles what it picked.
func (w *walk) subset(n int) []int {
	p := w.Rand.Float64()
	switch w.Rand.IntN(3) {
	case 0:
		p = 1 - p*4/float64(n+1)
	case 1:
		p = p * 4 / float64(n+1)
	}
	var out []int
	for i := range n {
		if w.Rand.Float64() < p {
			out = append(out, i)
		}
	}
	w.Rand.Shuffle(len(out), func(i, j int) { out[i], out[j] = out[j], out[i] })
	return out
}

// tearLast tears the block that was written last in every way, with all else
// saved.
func (w *walk) tearLast() error {
	last := w.blocks[len(w.blocks)-1]
	n := last.to - last.from
	ways := 1<<n - 1
	for i := range min(ways, w.Tears*w.Tears) {
		mask := i
		if ways > w.Tears*w.Tears {
			mask = w.Rand.IntN(ways)
		}
		saved := []span{{0, last.from}}
		for k := range n {
			if mask>>k&1 != 0 {
				saved = append(saved, span{last.from + k, last.from + k + 1})
			}
		}
		if err := w.emit("last block torn", saved...); err != nil {
			return err
		}
	}
	return nil
}

// lose decides the fate of each group for itself.
func (w *walk) lose() error {
	const fates = 5
	n := 1
	for range w.groups {
		n *= fates
	}
	for k := range n {
		if n > fates*fates && w.Rand.IntN(n) >= fates*fates {
			continue
		}
		w.image.Reset()
		for _, g := range w.groups {
			fate := k % fates
			k /= fates
			for b := g.from; b < g.to; b++ {
				last := b == g.to-1
				if fate == 0 || fate == 1 && last || fate == 2 && !last || fate == 4 && w.Rand.IntN(2) == 0 {
					continue
				}
				for _, s := range w.pending[w.blocks[b].from:w.blocks[b].to] {
					w.image.save(s)
				}
			}
		}
		if err := w.show("acknowledged writes lost"); err != nil {
			return err
		}
	}
	return nil
}

// PowerDies returns the contents after a power loss at the recording's end, of
// which a random subset of the sectors that were not flushed is saved.
func (r *Recording) PowerDies(rng *rand.Rand) []byte {
	out := bytes.Clone(r.Base)
	flushed := 0
	for i, op := range r.Ops {
		if op.Data == nil {
			flushed = i
		}
	}
	for i, op := range r.Ops {
		for o := 0; o < len(op.Data); o += Sector {
			if i < flushed || rng.IntN(3) > 0 {
				copy(out[op.Off+int64(o):], op.Data[o:o+Sector])
			}
		}
	}
	return out
}
