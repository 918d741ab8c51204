// Package instance is the directory in which one life of a program lies:
//
//	instance.rec  what the instance is (msgpack, see Record); replaced atomically
//	disk.img      the block device with the arena's checkpoints (sparse), unless it is elsewhere
//	console.log   standard output, every byte once
//	stderr.log    standard error, likewise
//	input         what was or will be read as standard input
//	lock          held with flock by the process that runs the instance
//	control.sock  while it runs: stop and status requests
//
// All files are made with mode 0600, the directory with 0700.
package instance

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/vmihailenco/msgpack/v5"
	"golang.org/x/sys/unix"
)

// Errors that callers tell apart.
var (
	ErrNotInstance = errors.New("not an instance directory")
	ErrLocked      = errors.New("instance is running")
	ErrVersion     = errors.New("instance was made by a newer phantom-vm")
	ErrDamaged     = errors.New("damaged instance.rec")
	ErrExists      = errors.New("instance exists already")
	ErrForeign     = errors.New("the directory holds a file that is not an instance's")
)

// recordVersion is the newest version of Record that this program reads and writes.
//
//	1  the first
//	2  the disk may lie elsewhere; written only then, so that older programs go on with other instances
const recordVersion = 2

// Record is what an instance is. It changes only where noted.
type Record struct {
	_msgpack   struct{} `msgpack:",as_array"`
	Version    uint32
	ID         [16]byte
	Name       string   // of the program
	ModuleHash [32]byte // SHA-256 of the module's bytes
	SourceHash [32]byte
	Args       []string
	DiskSize   int64  // bytes of the disk, fixed for life
	ArenaLimit uint64 // bytes of DATA, fixed for life
	CreatedAt  int64  // Unix nanoseconds
	InputDone  bool   // input is complete: its end is the end of standard input
	Monitor    string // that ran it last; changes at every run
	Disk       string // where the disk is: an absolute path or an NBD URI; "" is disk.img. Changes when it was moved
	UnsafeDisk bool   // a server that has no flush is taken
}

// Instance is an instance directory.
type Instance struct {
	Dir    string
	Record Record
	lock   *os.File
}

// Path returns the path of one of the instance's files.
func (i *Instance) Path(name string) string { return filepath.Join(i.Dir, name) }

// Disk is where the instance's disk is.
func (i *Instance) Disk() string {
	if i.Record.Disk != "" {
		return i.Record.Disk
	}
	return i.Path("disk.img")
}

// MoveDisk changes where the disk is; Save makes it last.
func (i *Instance) MoveDisk(at string, unsafeDisk bool) {
	i.Record.Disk, i.Record.UnsafeDisk, i.Record.Version = at, unsafeDisk, recordVersion
}

// Exists says whether dir is there and holds an instance record, or may hold one that can't be seen for lack of rights.
func Exists(dir string) bool {
	_, err := os.Stat(filepath.Join(dir, "instance.rec"))
	return err == nil || errors.Is(err, os.ErrPermission)
}

// Create makes the directory and locks it. fill is called to make the disk image before the record is written,
// so that a half-made instance is never taken for one. What a creation that was killed has left is removed first.
func Create(dir string, rec Record, fill func(*Instance) error) (*Instance, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	if err := syncDir(filepath.Dir(filepath.Clean(dir))); err != nil {
		return nil, err
	}
	inst := &Instance{Dir: dir, Record: rec}
	inst.Record.Version = 1
	if rec.Disk != "" {
		inst.MoveDisk(rec.Disk, rec.UnsafeDisk)
	}
	inst.Record.CreatedAt = time.Now().UnixNano()
	if _, err := rand.Read(inst.Record.ID[:]); err != nil {
		return nil, err
	}
	_, err := os.Lstat(inst.Path("lock"))
	begun := err == nil
	if err := inst.Lock(); err != nil {
		return nil, err
	}
	err = inst.clear(begun)
	if err == nil {
		err = fill(inst)
	}
	if err == nil {
		err = inst.Save()
	}
	if err != nil {
		inst.Close()
		return nil, err
	}
	return inst, nil
}

// clear removes what an interrupted creation left. A lock file that was there shows that there was one; without it, files
// with an instance's names are somebody's.
func (i *Instance) clear(begun bool) error {
	if Exists(i.Dir) {
		return fmt.Errorf("%s: %w", i.Dir, ErrExists)
	}
	there, err := os.ReadDir(i.Dir)
	if err != nil {
		return err
	}
	if !begun && len(there) > 1 { // the lock is ours
		os.Remove(i.Path("lock")) // the next try would take it for the sign of an interrupted creation
		return fmt.Errorf("%s: %w", i.Dir, ErrForeign)
	}
	for _, name := range append([]string{"disk.img", "input", "instance.rec.new"}, LogNames[:]...) {
		if _, err := os.Lstat(i.Path(name)); errors.Is(err, os.ErrNotExist) {
			continue
		} else if err != nil {
			return err
		}
		if err := os.Remove(i.Path(name)); err != nil {
			return err
		}
	}
	return nil
}

// Open reads an instance's record. It does not lock it.
func Open(dir string) (*Instance, error) {
	b, err := os.ReadFile(filepath.Join(dir, "instance.rec"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("%s: %w", dir, ErrNotInstance)
	}
	if err != nil {
		return nil, err
	}
	inst := &Instance{Dir: dir}
	v, err := version(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrDamaged, err)
	} else if v > recordVersion {
		return nil, fmt.Errorf("%s: record version %d: %w", dir, v, ErrVersion)
	}
	if inst.Record, err = decode(b, v); err != nil {
		return nil, fmt.Errorf("%s: %w: %w", dir, ErrDamaged, err)
	}
	return inst, nil
}

// record1 is a Record as version 1 has it.
type record1 struct {
	_msgpack   struct{} `msgpack:",as_array"`
	Version    uint32
	ID         [16]byte
	Name       string
	ModuleHash [32]byte
	SourceHash [32]byte
	Args       []string
	DiskSize   int64
	ArenaLimit uint64
	CreatedAt  int64
	InputDone  bool
	Monitor    string
}

func decode(b []byte, version uint64) (r Record, err error) {
	if version > 1 {
		err = msgpack.Unmarshal(b, &r)
		return r, err
	}
	var o record1
	err = msgpack.Unmarshal(b, &o)
	return Record{
		Version: o.Version, ID: o.ID, Name: o.Name, ModuleHash: o.ModuleHash, SourceHash: o.SourceHash, Args: o.Args,
		DiskSize: o.DiskSize, ArenaLimit: o.ArenaLimit, CreatedAt: o.CreatedAt, InputDone: o.InputDone, Monitor: o.Monitor,
	}, err
}

func (r *Record) encode() ([]byte, error) {
	if r.Version > 1 {
		return msgpack.Marshal(r)
	}
	return msgpack.Marshal(&record1{
		Version: r.Version, ID: r.ID, Name: r.Name, ModuleHash: r.ModuleHash, SourceHash: r.SourceHash, Args: r.Args,
		DiskSize: r.DiskSize, ArenaLimit: r.ArenaLimit, CreatedAt: r.CreatedAt, InputDone: r.InputDone, Monitor: r.Monitor,
	})
}

// version is a record's first element; what follows may look different in another version.
func version(b []byte) (uint64, error) {
	d := msgpack.NewDecoder(bytes.NewReader(b))
	if n, err := d.DecodeArrayLen(); err != nil {
		return 0, err
	} else if n < 1 {
		return 0, errors.New("no version")
	}
	return d.DecodeUint64()
}

// Save replaces the record.
func (i *Instance) Save() error {
	b, err := i.Record.encode()
	if err != nil {
		return err
	}
	tmp := i.Path("instance.rec.new")
	if err := writeSync(tmp, b); err != nil {
		return err
	}
	if err := os.Rename(tmp, i.Path("instance.rec")); err != nil {
		return err
	}
	return syncDir(i.Dir)
}

// Lock takes the instance for this process, until Close or the process's end. ErrLocked: another has it.
func (i *Instance) Lock() error {
	f, err := os.OpenFile(i.Path("lock"), os.O_RDWR|os.O_CREATE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return err
	}
	err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	for try := 0; errors.Is(err, unix.EWOULDBLOCK) && try < 10; try++ {
		time.Sleep(2 * time.Millisecond) // it may be somebody who only asks (Locked)
		err = unix.Flock(int(f.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	}
	if err != nil {
		f.Close()
		if errors.Is(err, unix.EWOULDBLOCK) {
			return fmt.Errorf("%s: %w", i.Dir, ErrLocked)
		}
		return fmt.Errorf("lock %s: %w", i.Dir, err)
	}
	i.lock = f
	return nil
}

// Locked says whether some process runs the instance.
func (i *Instance) Locked() bool {
	if i.lock != nil {
		return true
	}
	err := i.Lock()
	if err == nil {
		i.Close()
	}
	return errors.Is(err, ErrLocked)
}

// Close gives the lock back.
func (i *Instance) Close() {
	if i.lock != nil {
		i.lock.Close()
		i.lock = nil
	}
}

// MoveAside renames a directory to the first free NAME.old-N and returns that name.
func MoveAside(dir string) (string, error) {
	for n := 1; ; n++ {
		old := fmt.Sprintf("%s.old-%d", dir, n)
		if _, err := os.Lstat(old); errors.Is(err, os.ErrNotExist) {
			return old, os.Rename(dir, old)
		} else if err != nil {
			return "", err
		}
	}
}

func writeSync(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	return err
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
