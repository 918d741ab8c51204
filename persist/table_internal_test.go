package persist

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestChecksums: all ways to compute it agree.
func TestChecksums(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	words, addr := alignedBlock()
	require.Zero(t, addr%BlockSize)
	b := make([]byte, BlockSize)
	for range 20 {
		for i := range words {
			words[i] = rng.Uint64()
			for k := range 8 {
				b[8*i+k] = byte(words[i] >> (8 * k))
			}
		}
		require.Equal(t, checksum(b), checksumAt(addr))
		require.Equal(t, checksum(b), checksumBytes(b))
	}
}

// TestOverlay compares it with a map.
func TestOverlay(t *testing.T) {
	rng := rand.New(rand.NewPCG(1, 2))
	o, want := newOverlay(), map[tag]uint64{}
	for range 200_000 {
		k := makeTag(rng.IntN(4), uint64(rng.IntN(900)))
		switch rng.IntN(3) {
		case 0:
			o.remove(k)
			delete(want, k)
		default:
			v := rng.Uint64() >> rng.IntN(64)
			if v == gone {
				continue
			}
			o.put(k, v)
			want[k] = v
		}
		k = makeTag(rng.IntN(4), uint64(rng.IntN(900)))
		v, ok := o.get(k)
		w, wok := want[k]
		require.Equal(t, wok, ok)
		if ok {
			require.Equal(t, w, v)
		}
	}
	n := 0
	o.each(func(k tag, v uint64) bool {
		require.Equal(t, want[k], v)
		n++
		return true
	})
	require.Len(t, want, n)
}

func TestNodeCache(t *testing.T) {
	c := newNodeCache(2 * nodeSetBytes)
	require.Len(t, c.sets, 2)
	node, got := make([]uint64, nodeFan), make([]uint64, nodeFan)
	c.put(5<<32|1, node)
	_, ok := c.word(5<<32|1, 0)
	require.False(t, ok, "no set exists")
	c.growAll()
	here := 0
	for r := range uint64(100) {
		r = (r+1)<<32 | r*77
		for i := range node {
			node[i] = r + uint64(i)
		}
		c.put(r, node)
		v, ok := c.word(r, 17)
		require.True(t, ok)
		require.Equal(t, r+17, v)
	}
	for r := range uint64(100) {
		r = (r+1)<<32 | r*77
		if c.get(r, got) {
			here++
			for i := range got {
				require.Equal(t, r+uint64(i), got[i])
			}
		}
	}
	require.Equal(t, 16, here)
}
