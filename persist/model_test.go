package persist_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

var seedFlag = flag.Uint64("seed", 0, "seed of the random tests, 0 takes the time")

// newRand makes a generator whose seed is printed when the test fails.
func newRand(t testing.TB) (*rand.Rand, uint64) {
	seed := *seedFlag
	if seed == 0 {
		seed = uint64(time.Now().UnixNano())
	}
	t.Cleanup(func() {
		if t.Failed() {
			fmt.Fprintf(os.Stderr, "reproduce with: go test ./persist -run '%s' -seed %d\n", t.Name(), seed)
		}
	})
	return rand.New(rand.NewPCG(seed, 1)), seed
}

// state is the complete contents of an arena. Page slices are never changed,
// so states share them.
type state struct {
	pages map[persist.PageID][]byte
	meta  string
}

func (s state) clone() state {
	c := state{map[persist.PageID][]byte{}, s.meta}
	for p, b := range s.pages {
		c.pages[p] = b
	}
	return c
}

// equal compares complete contents.
func (s state) equal(o state) bool {
	if s.meta != o.meta || len(s.pages) != len(o.pages) {
		return false
	}
	for p, b := range s.pages {
		if !bytes.Equal(b, o.pages[p]) {
			return false
		}
	}
	return true
}

// history is what a run attempted and what was acknowledged to it.
type history struct {
	attempted map[persist.Epoch][]state // a number that left no trace may come again
	acked     []ack                     // ascending
}

type ack struct {
	op    int // number of device operations issued when it was known
	epoch persist.Epoch
}

func newHistory() *history { return &history{attempted: map[persist.Epoch][]state{}} }

func (h *history) attempt(e persist.Epoch, s state) {
	h.attempted[e] = append(h.attempted[e], s.clone())
}

// ackedAt is the newest epoch acknowledged when op operations were issued.
func (h *history) ackedAt(op int) persist.Epoch {
	var e persist.Epoch
	for _, a := range h.acked {
		if a.op <= op {
			e = a.epoch
		}
	}
	return e
}

// check proves that s is exactly what was attempted as epoch e.
func (h *history) check(e persist.Epoch, s state) error {
	for _, want := range h.attempted[e] {
		if want.equal(s) {
			return nil
		}
	}
	return fmt.Errorf("epoch %d: %d pages with meta %q are no state of %d that were attempted", e, len(s.pages), s.meta, len(h.attempted[e]))
}

// load reads everything of an open image.
func load(s *persist.Store, rec *persist.Recovered) (state, error) {
	got := state{map[persist.PageID][]byte{}, string(rec.Meta)}
	err := s.LoadAll(func(p persist.PageID) []byte {
		b := make([]byte, persist.BlockSize)
		got.pages[p] = b
		return b
	})
	if err == nil && uint64(len(got.pages)) != rec.Pages {
		err = fmt.Errorf("%d pages loaded, %d announced", len(got.pages), rec.Pages)
	}
	return got, err
}

// verifyImage opens an image after a crash at op operations.
func (h *history) verifyImage(img []byte, op int) (persist.Epoch, error) {
	dev := sim.FromImage(img)
	s, rec, err := persist.Open(dev)
	if err != nil {
		if h.ackedAt(op) == 0 && errors.Is(err, persist.ErrNotFormatted) {
			return 0, nil
		}
		return 0, err
	}
	got, err := load(s, rec)
	if err != nil {
		return 0, err
	}
	if want := h.ackedAt(op); rec.Epoch < want {
		return 0, fmt.Errorf("epoch %d recovered, %d was acknowledged", rec.Epoch, want)
	}
	if err := h.check(rec.Epoch, got); err != nil {
		return 0, err
	}
	var text bytes.Buffer
	rep, err := persist.Fsck(dev, &text)
	if err != nil || !rep.OK() || rep.Newest != rec.Epoch {
		return 0, fmt.Errorf("fsck (error %v): %s", err, text.String())
	}
	return rec.Epoch, nil
}

// randomPage is compressible by nobody and never all zero.
func randomPage(rng *rand.Rand) []byte {
	b := make([]byte, persist.BlockSize)
	for i := 0; i < len(b); i += 512 {
		b[i+rng.IntN(512)] = byte(1 + rng.IntN(255))
	}
	return b
}

// randomID prefers a few dense clusters far apart.
func randomID(rng *rand.Rand, spread int) persist.PageID {
	base := [...]persist.PageID{0, 1 << 18, 1<<26 - 1<<17}[rng.IntN(3)]
	return base + persist.PageID(rng.IntN(spread))
}

// randomCommit changes st and returns the pages that tell a store.
func randomCommit(rng *rand.Rand, st *state, n, spread int) []persist.PageImage {
	var out []persist.PageImage
	for range n {
		p := randomID(rng, spread)
		switch rng.IntN(10) {
		case 0:
			delete(st.pages, p)
			out = append(out, persist.PageImage{ID: p})
		case 1:
			delete(st.pages, p)
			out = append(out, persist.PageImage{ID: p, Data: make([]byte, persist.BlockSize)})
		default:
			b := randomPage(rng)
			st.pages[p] = b
			out = append(out, persist.PageImage{ID: p, Data: b})
		}
	}
	st.meta = fmt.Sprintf("meta %d", rng.Uint64())
	return out
}

// create formats dev and notes epoch 1.
func create(t testing.TB, h *history, dev persist.Device, ops func() int, segment int) (*persist.Store, state) {
	t.Helper()
	st := state{map[persist.PageID][]byte{}, "new"}
	h.attempt(1, st)
	s, err := persist.Create(dev, persist.Options{InstanceID: persist.InstanceID{7}, Meta: []byte("new"), SegmentBlocks: segment})
	require.NoError(t, err)
	h.acked = append(h.acked, ack{ops(), 1})
	return s, st
}
