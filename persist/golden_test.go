package persist_test

import (
	"bytes"
	"compress/gzip"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

var writeGolden = flag.Bool("write-golden", false, "write the golden image of a new format version; never for an old one")

// goldenImage is written by the present code. The worked example of
// docs/format.md is its dump.
func goldenImage(t *testing.T) (*sim.Disk, state) {
	t.Helper()
	d := sim.New(256 << 10)
	s, err := persist.Create(d, persist.Options{
		InstanceID: persist.InstanceID{0xa0, 0xa1, 0xa2, 0xa3, 0xa4, 0xa5, 0xa6, 0xa7, 0xa8, 0xa9, 0xaa, 0xab, 0xac, 0xad, 0xae, 0xaf},
		Versions:   persist.Versions{ArenaLayout: 2, InstructionSet: 3}, Meta: []byte("empty"), SegmentBlocks: 4,
	})
	require.NoError(t, err)
	st := state{map[persist.PageID][]byte{}, ""}
	commit := func(meta string, ids ...persist.PageID) {
		st.meta = meta
		var list []persist.PageImage
		for _, id := range ids {
			b := bytes.Repeat(fmt.Appendf(nil, "%15x\n", uint64(id)), persist.BlockSize/16)
			st.pages[id] = b
			list = append(list, persist.PageImage{ID: id, Data: b})
		}
		_, err := s.Commit([]byte(meta), list)
		require.NoError(t, err)
	}
	commit("first", 0, 1, 0x2ffffff)
	delete(st.pages, 1)
	_, err = s.Commit([]byte("drop"), []persist.PageImage{{ID: 1}})
	require.NoError(t, err)
	commit("last", 5)
	require.NoError(t, s.Close())
	return d, st
}

// goldenLarge has all kinds of blocks: nodes of every level, a usage block,
// moved pages, records of several commits.
func goldenLarge(t *testing.T) (*sim.Disk, state) {
	t.Helper()
	d, rng := sim.New(4<<20), rand.New(rand.NewPCG(2, 2))
	s, err := persist.Create(d, persist.Options{InstanceID: persist.InstanceID{0xb0}, Meta: []byte("empty"), SegmentBlocks: 8})
	require.NoError(t, err)
	st := state{map[persist.PageID][]byte{}, ""}
	for i := 0; i < 150 || s.Stats().Moved == 0; i++ {
		_, err := s.Commit([]byte(st.meta), randomCommit(rng, &st, 12, 300))
		require.NoError(t, err)
		require.NoError(t, persist.Audit(s))
	}
	_, err = s.Commit([]byte(st.meta), nil)
	require.NoError(t, err)
	return d, st
}

// TestGolden opens the image of each format version, and proves that the
// present code writes the present version's image byte for byte.
func TestGolden(t *testing.T) {
	for name, make := range map[string]func(*testing.T) (*sim.Disk, state){"": goldenImage, "-large": goldenLarge} {
		t.Run("image"+name, func(t *testing.T) { testGolden(t, name, make) })
	}
}

func testGolden(t *testing.T, kind string, make func(*testing.T) (*sim.Disk, state)) {
	d, want := make(t)
	name := fmt.Sprintf("testdata/format-v%d%s.img.gz", persist.FormatVersion, kind)
	if *writeGolden {
		var z bytes.Buffer
		w, err := gzip.NewWriterLevel(&z, gzip.BestCompression)
		require.NoError(t, err)
		_, err = w.Write(d.Image())
		require.NoError(t, err)
		require.NoError(t, w.Close())
		require.NoFileExists(t, name, "a golden image is never rewritten")
		require.NoError(t, os.WriteFile(name, z.Bytes(), 0o644))
	}
	for v := 2; v <= persist.FormatVersion; v++ { // no release wrote version 1
		z, err := os.ReadFile(fmt.Sprintf("testdata/format-v%d%s.img.gz", v, kind))
		require.NoError(t, err)
		r, err := gzip.NewReader(bytes.NewReader(z))
		require.NoError(t, err)
		img, err := io.ReadAll(r)
		require.NoError(t, err)
		if v == persist.FormatVersion {
			require.True(t, bytes.Equal(img, d.Image()), "the encoding changed without a new version")
		}
		dev := sim.FromImage(img)
		s, rec, err := persist.Open(dev)
		require.NoError(t, err)
		require.Equal(t, uint32(v), rec.Versions.Format)
		if kind == "" {
			require.Equal(t, persist.Epoch(4), rec.Epoch)
			require.Equal(t, persist.Versions{Format: uint32(v), ArenaLayout: 2, InstructionSet: 3}, rec.Versions)
		}
		got, err := load(s, rec)
		require.NoError(t, err)
		require.True(t, want.equal(got))
		rep, err := persist.Fsck(dev, nil)
		require.NoError(t, err)
		require.Empty(t, rep.Problems)
	}
}

// TestFormatDocument: the worked example in docs/format.md is what Dump says.
func TestFormatDocument(t *testing.T) {
	d, _ := goldenImage(t)
	var dump bytes.Buffer
	require.NoError(t, persist.Dump(d, &dump))
	doc, err := os.ReadFile("../docs/format.md")
	require.NoError(t, err)
	require.Contains(t, string(doc), dump.String(), "the dump is now:\n%s", dump.String())
}
