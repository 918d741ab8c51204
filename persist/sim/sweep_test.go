package sim

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
)

// randomRecording has writes of one to three blocks, some to the same place.
func randomRecording(rng *rand.Rand, flushes, writes int) *Recording {
	d := New(16 * persist.BlockSize)
	for range flushes {
		for range writes {
			b := make([]byte, persist.BlockSize*(1+rng.IntN(3)))
			for i := range b {
				b[i] = byte(rng.Uint32())
			}
			_, _ = d.WriteAt(b, int64(rng.IntN(13))*persist.BlockSize)
		}
		_ = d.Flush()
	}
	return d.Recording()
}

// TestSweepImages compares each image with what the recording allows: every
// sector is the durable one or one that was written since, and the hash is that
// of the contents.
func TestSweepImages(t *testing.T) {
	for seed := range uint64(6) {
		rng := rand.New(rand.NewPCG(seed, 0))
		rec := randomRecording(rng, 4, 4)
		for _, lost := range []int{0, 1, 2} {
			s := &Sweep{Rand: rng, Seen: Seen{}, Subsets: 4, Sectors: 4, Tears: 16, Blocks: 3, Lost: lost}
			contents := map[string]bool{}
			images, err := s.Run(rec, func(c Crash) error {
				got := c.Contents()
				require.Equal(t, NewBase(got).sum, c.Sum())
				contents[string(got)] = true
				flushed := 0 // operations that are surely durable
				for i, n := c.Point-1, lost; i >= 0; i-- {
					if rec.Ops[i].Data == nil {
						if n == 0 {
							flushed = i + 1
							break
						}
						n--
					}
				}
				legal := make([][][]byte, len(got)/Sector)
				durable := bytes.Clone(rec.Base)
				copyPending(durable, rec.Ops[:flushed])
				for i := range legal {
					legal[i] = append(legal[i], durable[i*Sector:(i+1)*Sector])
				}
				for _, op := range rec.Ops[flushed:c.Point] {
					for o := 0; o < len(op.Data); o += Sector {
						i := (int(op.Off) + o) / Sector
						legal[i] = append(legal[i], op.Data[o:o+Sector])
					}
				}
				for i, l := range legal {
					ok := false
					for _, b := range l {
						ok = ok || bytes.Equal(b, got[i*Sector:(i+1)*Sector])
					}
					if !ok {
						t.Fatalf("seed %d: %s after %d operations: sector %d", seed, c.How, c.Point, i)
					}
				}
				return nil
			})
			require.NoError(t, err)
			require.Equal(t, len(contents), images)
			require.Len(t, s.Seen, images)
			require.Greater(t, images, 50)
		}
	}
}

// TestSweepIsComplete counts the images of writes that don't overlap.
func TestSweepIsComplete(t *testing.T) {
	d := New(16 * persist.BlockSize)
	for group := range 2 {
		for i := range 5 {
			b := bytes.Repeat([]byte{byte(1 + group*5 + i)}, persist.BlockSize)
			_, err := d.WriteAt(b, int64(group*5+i)*persist.BlockSize)
			require.NoError(t, err)
		}
		require.NoError(t, d.Flush())
	}
	s := &Sweep{Rand: rand.New(rand.NewPCG(1, 1)), Seen: Seen{}, Subsets: 5}
	n, err := s.Run(d.Recording(), func(Crash) error { return nil })
	require.NoError(t, err)
	require.Equal(t, 32+32-1, n, "all subsets of each group; the first group's whole is the second one's nothing")
	again, err := s.Run(d.Recording(), func(Crash) error { return nil })
	require.NoError(t, err)
	require.Zero(t, again)

	s = &Sweep{Rand: s.Rand, Seen: Seen{}, Tears: 16}
	n, err = s.Run(d.Recording(), func(Crash) error { return nil })
	require.NoError(t, err)
	require.Greater(t, n, 2*(256-2), "the last block of each group in every way")
}

// TestImageIsADisk runs the same random operations on an image and on a disk.
func TestImageIsADisk(t *testing.T) {
	rng := rand.New(rand.NewPCG(7, 7))
	start := make([]byte, 16*persist.BlockSize)
	for i := range start {
		start[i] = byte(rng.Uint32())
	}
	m, d := NewImage(NewBase(bytes.Clone(start))), FromImage(bytes.Clone(start))
	m.Record()
	for range 300 {
		n, off := persist.BlockSize*(1+rng.IntN(4)), int64(rng.IntN(17))*persist.BlockSize
		if rng.IntN(10) == 0 {
			f := Fault{At: rng.IntN(3), Err: ErrIO, Torn: rng.IntN(20), Reads: rng.IntN(2) == 0}
			m.SetFault(&f)
			d.SetFault(&f)
		}
		a, b := make([]byte, n), make([]byte, n)
		if rng.IntN(2) == 0 {
			_, err := m.ReadAt(a, off)
			_, err2 := d.ReadAt(b, off)
			require.Equal(t, err, err2)
			require.Equal(t, b, a)
			continue
		}
		a[rng.IntN(n)] = byte(rng.Uint32())
		_, err := m.WriteAt(a, off)
		_, err2 := d.WriteAt(a, off)
		require.Equal(t, err2, err)
		if rng.IntN(4) == 0 {
			require.Equal(t, d.Flush(), m.Flush())
		}
	}
	require.Equal(t, d.Image(), m.Contents())
	require.Equal(t, d.Recording().Ops, m.Recording(nil).Ops)
	m.Reset()
	require.Equal(t, start, m.Contents())
	m.Flip(5000, 3)
	require.Equal(t, start[5000]^8, m.Contents()[5000])
}
