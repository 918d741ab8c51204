package disk

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"phantomvm/persist"
	"phantomvm/persist/nbddev/nbdtest"
	"phantomvm/persist/sim"
)

func TestParse(t *testing.T) {
	for text, is := range map[string]bool{
		"64G": false, "1048576": false, "64g": false, "": false,
		"./img": true, "/dev/vdb": true, "nbd://h/e": true, "NBD://h/e": true, "nbds://h": true,
	} {
		require.Equal(t, is, IsLocation(text), text)
	}
	wd, err := os.Getwd()
	require.NoError(t, err)
	at, err := Parse("./disk.go")
	require.NoError(t, err)
	require.Equal(t, Location(filepath.Join(wd, "disk.go")), at)
	at, err = Parse("nbd+unix:///e?socket=x/y")
	require.NoError(t, err)
	again, err := Parse(string(at))
	require.NoError(t, err)
	require.Equal(t, at, again, "what the record keeps is the same wherever it is read")
	_, err = Parse("./none")
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Parse(wd)
	require.ErrorIs(t, err, ErrLocation)
}

func image(t *testing.T, size int64) Location {
	p := filepath.Join(t.TempDir(), "image")
	require.NoError(t, os.WriteFile(p, nil, 0o600))
	require.NoError(t, os.Truncate(p, size))
	return Location(p)
}

// TestClaim: a disk is used by the instance whose image it holds, and formatted if it holds nothing.
func TestClaim(t *testing.T) {
	at := image(t, 16<<20)
	d, err := Open(t.Context(), at, Options{})
	require.NoError(t, err)
	_, err = Open(t.Context(), at, Options{})
	require.ErrorIs(t, err, ErrBusy)
	mine, other := persist.InstanceID{1}, persist.InstanceID{2}
	require.NoError(t, d.Vacant(false))
	_, err = persist.Create(d, persist.Options{InstanceID: mine})
	require.NoError(t, err)
	require.NoError(t, d.Claim(mine))
	require.ErrorIs(t, d.Claim(other), ErrForeign)
	require.ErrorIs(t, d.Vacant(false), ErrForeign)
	require.NoError(t, d.Vacant(true))
	_, ok := d.Descriptor()
	require.True(t, ok, "demand paging in a process reads by it")
	require.NoError(t, d.Close())
	d, err = Open(t.Context(), at, Options{})
	require.NoError(t, err)
	require.NoError(t, d.Close())
}

// failing is a device that fails as told.
type failing struct {
	sim.Gathering
}

func (failing) Close() error             { return nil }
func (failing) Prepare(_, _ int64) error { return nil }

// TestErr: the first failure is kept; a full device and the end of the device are none.
func TestErr(t *testing.T) {
	s := sim.New(1 << 20)
	d := &Disk{device: failing{sim.Gathering{Disk: s}}, at: "x"}
	s.SetFault(&sim.Fault{Err: unix.ENOSPC})
	_, err := d.WriteAt(make([]byte, 4096), 0)
	require.ErrorIs(t, err, unix.ENOSPC)
	require.NoError(t, d.Err())
	s.SetFault(&sim.Fault{Err: unix.EIO})
	require.Error(t, d.WriteGroup([][][]byte{{make([]byte, 4096)}}, []int64{0}))
	require.ErrorIs(t, d.Err(), ErrDevice)
	require.ErrorIs(t, d.Err(), unix.EIO)
	s.SetFault(nil)
	require.NoError(t, d.Flush())
	require.ErrorIs(t, d.Err(), unix.EIO)
}

func TestServer(t *testing.T) {
	s := nbdtest.Start(t, nbdtest.Nbdkit, 16<<20)
	at, err := Parse(s.URI)
	require.NoError(t, err)
	d, err := Open(t.Context(), at, Options{})
	require.NoError(t, err)
	defer d.Close()
	_, ok := d.Descriptor()
	require.False(t, ok)
	require.NoError(t, d.Settle())
	require.NoError(t, d.Discard())
	s.Kill()
	_, err = Open(t.Context(), at, Options{})
	require.ErrorIs(t, err, ErrDevice)
}

// changing is a device that somebody else writes to for some reads.
type changing struct {
	failing
	reads, until int
}

func (c *changing) ReadAt(b []byte, _ int64) (int, error) {
	c.reads++
	clear(b)
	b[len(b)-1] = byte(min(c.reads, c.until))
	return len(b), nil
}

// TestSettle: a server is left alone until the requests of another process are done.
func TestSettle(t *testing.T) {
	c := &changing{failing: failing{sim.Gathering{Disk: sim.New(1 << 20)}}, until: 4}
	d := &Disk{device: c, at: "nbd://host/x"}
	require.NoError(t, d.Settle())
	require.Equal(t, 5, c.reads)
	c.reads = 0
	d.at = "/dev/vdb"
	require.NoError(t, d.Settle())
	require.Zero(t, c.reads)
}
