package instance

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"github.com/vmihailenco/msgpack/v5"
)

func nothing(*Instance) error { return nil }

func create(t testing.TB) *Instance {
	i, err := Create(filepath.Join(t.TempDir(), "i.phantom"), Record{Name: "prog", Args: []string{"prog", "-x"}, DiskSize: 1 << 20}, nothing)
	require.NoError(t, err)
	t.Cleanup(i.Close)
	return i
}

func TestCreateAndOpen(t *testing.T) {
	i := create(t)
	require.True(t, Exists(i.Dir))
	j, err := Open(i.Dir)
	require.NoError(t, err)
	require.Equal(t, i.Record, j.Record)
	require.NotZero(t, j.Record.ID)
	st, err := os.Stat(i.Dir)
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o700), st.Mode().Perm())
	for _, name := range []string{"instance.rec", "lock"} {
		st, err := os.Stat(i.Path(name))
		require.NoError(t, err)
		require.Equal(t, os.FileMode(0o600), st.Mode().Perm(), name)
	}
	_, err = Open(t.TempDir())
	require.ErrorIs(t, err, ErrNotInstance)
	_, err = Open(filepath.Join(i.Dir, "missing"))
	require.ErrorIs(t, err, ErrNotInstance)
}

func TestLock(t *testing.T) {
	i := create(t)
	j, err := Open(i.Dir)
	require.NoError(t, err)
	require.True(t, j.Locked())
	require.ErrorIs(t, j.Lock(), ErrLocked)
	i.Close()
	require.False(t, j.Locked())
	require.NoError(t, j.Lock())
	require.True(t, j.Locked())
	require.ErrorIs(t, i.Lock(), ErrLocked)
	j.Close()
	j.Close()
	require.NoError(t, i.Lock())
}

// TestAskingDoesNotLock: somebody who asks whether an instance runs must not keep another one from running it.
func TestAskingDoesNotLock(t *testing.T) {
	i := create(t)
	i.Close()
	stop := make(chan struct{})
	var asking sync.WaitGroup
	for range 2 {
		asking.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				j := Instance{Dir: i.Dir}
				j.Locked()
				time.Sleep(50 * time.Microsecond)
			}
		})
	}
	for range 300 {
		if err := i.Lock(); err != nil {
			t.Error(err)
			break
		}
		i.Close()
	}
	close(stop)
	asking.Wait()
}

// TestInterruptedCreate: what a killed creation left is no obstacle, and nothing of it gets into the new instance.
func TestInterruptedCreate(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "i.phantom")
	killed := errors.New("killed")
	half, err := Create(dir, Record{}, func(i *Instance) error {
		require.NoError(t, i.CopyInput(bytes.NewReader([]byte("old input"))))
		require.NoError(t, os.WriteFile(i.Path("disk.img"), []byte("half"), 0o600))
		return killed
	})
	require.ErrorIs(t, err, killed)
	require.Nil(t, half)
	require.False(t, Exists(dir))
	i, err := Create(dir, Record{}, func(i *Instance) error {
		f, err := os.OpenFile(i.Path("disk.img"), os.O_CREATE|os.O_EXCL, 0o600)
		if err == nil {
			f.Close()
		}
		return err
	})
	require.NoError(t, err)
	defer i.Close()
	s, err := i.OpenStdin(nil)
	require.NoError(t, err)
	defer s.Close()
	n, eof, err := s.Next(make([]byte, 10), 0)
	require.NoError(t, err)
	require.True(t, eof)
	require.Zero(t, n)
}

func TestCreateKeepsWhatIsThere(t *testing.T) {
	i := create(t)
	_, err := Create(i.Dir, Record{}, nothing)
	require.ErrorIs(t, err, ErrLocked)
	i.Close()
	before, err := os.ReadFile(i.Path("instance.rec"))
	require.NoError(t, err)
	_, err = Create(i.Dir, Record{}, nothing)
	require.ErrorIs(t, err, ErrExists)
	after, err := os.ReadFile(i.Path("instance.rec"))
	require.NoError(t, err)
	require.Equal(t, before, after)

	dir := t.TempDir() // somebody's directory
	require.NoError(t, os.WriteFile(filepath.Join(dir, "input"), []byte("precious"), 0o600))
	for range 2 {
		_, err = Create(dir, Record{}, nothing)
		require.ErrorIs(t, err, ErrForeign)
	}
	b, err := os.ReadFile(filepath.Join(dir, "input"))
	require.NoError(t, err)
	require.Equal(t, "precious", string(b))
}

func TestRecordVersions(t *testing.T) {
	i := create(t)
	put := func(v any) {
		b, err := msgpack.Marshal(v)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(i.Path("instance.rec"), b, 0o600))
	}
	newer := i.Record
	newer.Version = recordVersion + 1
	put(&newer)
	_, err := Open(i.Dir)
	require.ErrorIs(t, err, ErrVersion)
	put([]any{recordVersion + 1, map[string]int{"another": 1}, "shape"})
	_, err = Open(i.Dir)
	require.ErrorIs(t, err, ErrVersion)
}

// TestRecordDamage flips every bit of a record and cuts it at every length: an error or another record, never a panic.
func TestRecordDamage(t *testing.T) {
	i := create(t)
	good, err := os.ReadFile(i.Path("instance.rec"))
	require.NoError(t, err)
	put := func(b []byte) error {
		require.NoError(t, os.WriteFile(i.Path("instance.rec"), b, 0o600))
		_, err := Open(i.Dir)
		return err
	}
	for n := range good {
		require.Error(t, put(good[:n]), "%d bytes", n)
		for bit := range 8 {
			b := bytes.Clone(good)
			b[n] ^= 1 << bit
			put(b) //nolint:errcheck // anything but a panic
		}
	}
	require.Error(t, put([]byte("not a record at all")))
	require.Error(t, put(nil))
	require.NoError(t, put(good))
}

func TestSaveReplaces(t *testing.T) {
	i := create(t)
	require.NoError(t, os.WriteFile(i.Path("instance.rec.new"), bytes.Repeat([]byte("x"), 5000), 0o600)) // of a killed Save
	i.Record.Monitor = "kvm"
	require.NoError(t, i.Save())
	j, err := Open(i.Dir)
	require.NoError(t, err)
	require.Equal(t, "kvm", j.Record.Monitor)
	_, err = os.Stat(i.Path("instance.rec.new"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func TestMoveAside(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "i")
	for n, want := range []string{".old-1", ".old-2", ".old-4"} {
		require.NoError(t, os.Mkdir(dir, 0o700))
		if n == 2 {
			require.NoError(t, os.Symlink("/nowhere", dir+".old-3")) // taken, although it leads nowhere
		}
		got, err := MoveAside(dir)
		require.NoError(t, err)
		require.Equal(t, dir+want, got)
		require.NoDirExists(t, dir)
		require.DirExists(t, got)
	}
	_, err := MoveAside(dir)
	require.ErrorIs(t, err, os.ErrNotExist)
}

// TestDiskElsewhere: only an instance whose disk is elsewhere needs a newer program, and records of the first
// version, which end before that, are read.
func TestDiskElsewhere(t *testing.T) {
	i := create(t)
	require.Equal(t, uint32(1), i.Record.Version)
	require.Equal(t, i.Path("disk.img"), i.Disk())
	type first struct {
		_msgpack               struct{} `msgpack:",as_array"`
		Version                uint32
		ID                     [16]byte
		Name                   string
		ModuleHash, SourceHash [32]byte
		Args                   []string
		DiskSize               int64
		ArenaLimit             uint64
		CreatedAt              int64
		InputDone              bool
		Monitor                string
	}
	b, err := msgpack.Marshal(&first{Version: 1, ID: i.Record.ID, Name: "old", Monitor: "kvm"})
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(i.Path("instance.rec"), b, 0o600))
	j, err := Open(i.Dir)
	require.NoError(t, err)
	require.Equal(t, "kvm", j.Record.Monitor)
	require.Equal(t, i.Path("disk.img"), j.Disk())

	require.NoError(t, j.Save())
	again, err := os.ReadFile(i.Path("instance.rec"))
	require.NoError(t, err)
	require.Equal(t, b, again, "an older program goes on with it")

	j.MoveDisk("/dev/vdb", true)
	require.NoError(t, j.Save())
	j, err = Open(i.Dir)
	require.NoError(t, err)
	require.Equal(t, "/dev/vdb", j.Disk())
	require.True(t, j.Record.UnsafeDisk)
	require.Equal(t, uint32(2), j.Record.Version)
}
