package persist_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

func TestProbe(t *testing.T) {
	const size = 8 << 20
	put := func(d *sim.Disk, off int64, text string) {
		b := make([]byte, persist.BlockSize)
		_, err := d.ReadAt(b, off&^(persist.BlockSize-1))
		require.NoError(t, err)
		copy(b[off%persist.BlockSize:], text)
		_, err = d.WriteAt(b, off&^(persist.BlockSize-1))
		require.NoError(t, err)
	}
	for name, c := range map[string]struct {
		fill func(d *sim.Disk)
		want persist.Contents
	}{
		"blank":         {func(*sim.Disk) {}, persist.Contents{Free: true, What: "zeros"}},
		"ext4":          {func(d *sim.Disk) { put(d, 0x438, "\x53\xef") }, persist.Contents{What: "an ext2, ext3 or ext4 file system"}},
		"btrfs":         {func(d *sim.Disk) { put(d, 0x10040, "_BHRfS_M") }, persist.Contents{What: "a Btrfs file system"}},
		"GPT":           {func(d *sim.Disk) { put(d, 510, "\x55\xaaEFI PART") }, persist.Contents{What: "a partition table (GPT)"}},
		"backup GPT":    {func(d *sim.Disk) { put(d, size-512, "EFI PART") }, persist.Contents{What: "data that is not an image"}},
		"one byte":      {func(d *sim.Disk) { put(d, 1<<20-1, "x") }, persist.Contents{What: "data that is not an image"}},
		"damaged image": {func(d *sim.Disk) { put(d, 0, "PHANTOMV and then something else") }, persist.Contents{What: "a damaged image, or one of another version"}},
	} {
		d := sim.New(size)
		c.fill(d)
		got, err := persist.Probe(d)
		require.NoError(t, err)
		require.Equal(t, c.want, got, name)
	}

	// At every moment of a formatting the device is free, or holds the image.
	id := persist.InstanceID{1, 2, 3}
	d := sim.New(size)
	_, err := persist.Create(d, persist.Options{InstanceID: id})
	require.NoError(t, err)
	for r := d.Replay(); ; {
		probed := sim.FromImage(r.ProcessDies(0))
		got, err := persist.Probe(probed)
		require.NoError(t, err)
		require.True(t, got.Free || got.Image && got.InstanceID == id, "%+v", got)
		if !r.Next() {
			require.True(t, got.Image)
			break
		}
	}
}
