package engine

import (
	"math/rand/v2"

	"phantomvm/persist"
)

// Steady is a long run of checkpoints one after the other.
type Steady struct {
	Dirty         int
	Zipf          bool
	Rounds        int     // checkpoints in the measured half
	Pages         int64   // dirty pages in it
	Amplification float64 // bytes written over bytes of dirty pages, measured half
	Slack         float64 // log in use over live blocks, at the end
	Moved         int64   // blocks that cleaning copied, measured half
	Curve         [][2]float64
}

// Steady dirties pages at random, uniformly or by Zipf's law with exponent 1.1 over shuffled pages, until
// 2*times the live data were written; the second half is measured.
func (r *Rig) Steady(dirty int, zipf bool, times int) (*Steady, error) {
	s := &Steady{Dirty: dirty, Zipf: zipf}
	z := rand.NewZipf(r.rng, 1.1, 1, uint64(r.pages-1))
	next := func() persist.PageID {
		if zipf {
			return persist.PageID(z.Uint64() * 40503 % uint64(r.pages)) // odd: a permutation of a power of two
		}
		return persist.PageID(r.rng.IntN(r.pages))
	}
	var before persist.Stats
	var device int64
	total := 2 * times * r.pages
	for done := 0; done < total; {
		if half := total / 2; done < half && s.Pages == 0 {
			before, device = r.Store.Stats(), r.Dev.Written.Load()+r.Dev.Prepared.Load()
		}
		for r.Ckpt.Dirty() < dirty {
			store(r.Arena, r.Ckpt, nil, next(), r.rng.IntN(persist.BlockSize))
		}
		n := r.Ckpt.Dirty()
		from := r.Dev.Written.Load() + r.Dev.Prepared.Load()
		if err := r.Commit(); err != nil {
			return nil, err
		}
		done += n
		s.Curve = append(s.Curve, [2]float64{float64(done) / float64(r.pages), float64(r.Dev.Written.Load()+r.Dev.Prepared.Load()-from) / float64(n*persist.BlockSize)})
		if done >= total/2 {
			s.Rounds++
			s.Pages += int64(n)
		}
	}
	after := r.Store.Stats()
	s.Moved = int64(after.Moved - before.Moved)
	s.Amplification = float64(r.Dev.Written.Load()+r.Dev.Prepared.Load()-device) / float64(s.Pages*persist.BlockSize)
	s.Slack = float64(after.UsedBlocks) / float64(after.LiveBlocks)
	return s, nil
}

// Mean of the curve in n parts.
func (s *Steady) Mean(n int) (out [][2]float64) {
	for i := range n {
		part := s.Curve[i*len(s.Curve)/n : (i+1)*len(s.Curve)/n]
		if len(part) == 0 {
			continue
		}
		var x, y float64
		for _, p := range part {
			x, y = x+p[0], y+p[1]
		}
		out = append(out, [2]float64{x / float64(len(part)), y / float64(len(part))})
	}
	return out
}
