package machine

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"phantomvm/bytecode"
	"phantomvm/objectvm"
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
)

// Errors of Run and Inspect.
var (
	ErrOutputCut   = errors.New("a log file is shorter than what was delivered to it")
	ErrOutputAhead = errors.New("a log file is ahead of the newest checkpoint: the disk lost a checkpoint that it had acknowledged")
	errMeta        = errors.New("damaged root metadata")
)

// metaVersion is the version of rootMeta.
const metaVersion = 1

// rootMeta is what a root record says beside the pages.
type rootMeta struct {
	_msgpack    struct{} `msgpack:",as_array"`
	Version     uint32
	State       wire.State // Stopped, or how the program ended
	ExitCode    int
	Incarnation uint64
	Ends        [wire.Streams]int64 // output written when the epoch was demarcated
	Wall        int64               // wall clock at that moment, Unix nanoseconds
}

func (r *rootMeta) encode() ([]byte, error) {
	r.Version = metaVersion
	r.Wall = time.Now().UnixNano()
	return msgpack.Marshal(r)
}

// decodeMeta looks at the version before it takes the rest for what it knows.
func decodeMeta(b []byte) (rootMeta, error) {
	var r rootMeta
	d := msgpack.NewDecoder(bytes.NewReader(b))
	if n, err := d.DecodeArrayLen(); err != nil || n < 1 {
		return r, fmt.Errorf("%w: no version", errMeta)
	}
	if v, err := d.DecodeUint64(); err != nil {
		return r, fmt.Errorf("%w: %w", errMeta, err)
	} else if v > metaVersion {
		return r, fmt.Errorf("%w: the image's metadata has version %d, this program knows up to %d", persist.ErrVersion, v, metaVersion)
	}
	if err := msgpack.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%w: %w", errMeta, err)
	}
	if r.State != wire.Stopped && r.State != wire.Exited && r.State != wire.Crashed {
		return r, fmt.Errorf("%w: %v", errMeta, r.State)
	}
	return r, nil
}

// versions that this program reads and writes.
var versions = persist.Versions{ArenaLayout: objectvm.ArenaLayout, InstructionSet: bytecode.InstructionSet}

// Options of a new instance.
type Options struct {
	InstanceID [16]byte
	Args       []string // os.Args
	ArenaLimit uint64   // bytes of DATA; 0: as much as there is
}

// Create formats dev and makes epoch 2: the loaded module, before its first instruction.
func Create(dev persist.Device, module []byte, o Options) error {
	store, err := persist.Create(dev, persist.Options{InstanceID: o.InstanceID, Versions: versions})
	if err != nil {
		return err
	}
	arena, err := objectvm.MapArena()
	if err != nil {
		return err
	}
	defer arena.Unmap() //nolint:errcheck // the next MapArena says what is wrong
	ckpt := persist.NewCheckpointer(store, memory)
	defer ckpt.Close() //nolint:errcheck // Wait has told
	vm, err := objectvm.New(arena, module, objectvm.Config{
		Barrier: barrier{ckpt}, Clock: clock{}, Args: o.Args, ArenaLimit: o.ArenaLimit, Seed: binary.LittleEndian.Uint64(o.InstanceID[:]),
	})
	if err != nil {
		return err
	}
	defer vm.Close()
	meta := rootMeta{State: wire.Stopped}
	b, err := meta.encode()
	if err != nil {
		return err
	}
	if _, err := ckpt.Flip(b); err != nil {
		return err
	}
	return ckpt.Wait()
}

// Inspect reads the status at dev's newest durable epoch without running anything.
func Inspect(dev persist.Device) (wire.Status, error) {
	rec, err := persist.Inspect(dev)
	if err != nil {
		return wire.Status{}, err
	}
	meta, err := decodeMeta(rec.Meta)
	if err != nil {
		return wire.Status{}, err
	}
	st := meta.status(rec)
	return st, checkVersions(rec.Versions)
}

func (r *rootMeta) status(rec *persist.Recovered) wire.Status {
	return wire.Status{
		State: r.State, ExitCode: r.ExitCode, Epoch: uint64(rec.Epoch), Incarnation: r.Incarnation,
		DurableAt: r.Wall, ArenaPages: rec.Pages,
	}
}

func checkVersions(v persist.Versions) error {
	if v.ArenaLayout != versions.ArenaLayout || v.InstructionSet > versions.InstructionSet {
		return fmt.Errorf("%w: the image has arena layout %d and instruction set %d, this program has %d and %d",
			persist.ErrVersion, v.ArenaLayout, v.InstructionSet, versions.ArenaLayout, versions.InstructionSet)
	}
	return nil
}

// memory is the arena as persist sees it.
var memory = persist.Memory{
	Base: uintptr(objectvm.ArenaBase), Pages: uint64(objectvm.ArenaPages), State: uintptr(objectvm.StateBase), Open: uintptr(objectvm.OpenState),
	Pins: uintptr(objectvm.PinBase),
}

// pageBytes is where a page of the image is loaded; one outside the arena is proven and left out.
func pageBytes(p persist.PageID) []byte {
	if objectvm.PageID(p) >= objectvm.ArenaPages {
		return nil
	}
	return objectvm.PageBytes(objectvm.PageID(p))
}

// barrier is the write barrier's slow path.
type barrier struct{ *persist.Checkpointer }

func (b barrier) Touch(page uint64) { b.Checkpointer.Touch(persist.PageID(page)) }

// clock is the host's wall clock.
type clock struct{}

func (clock) Now() int64 { return time.Now().UnixNano() }

// resume loads the newest durable epoch and builds the VM on it. What it has made when it fails is left to close.
func (m *machine) resume() error {
	if m.cfg.Interval <= 0 {
		m.cfg.Interval = DefaultInterval
	}
	if m.cfg.Fuel <= 0 {
		m.cfg.Fuel = sliceFuel
	}
	store, rec, err := persist.Open(m.cfg.Device)
	if err != nil {
		return err
	}
	if err := checkVersions(rec.Versions); err != nil {
		return err
	}
	if m.meta, err = decodeMeta(rec.Meta); err != nil {
		return err
	}
	m.store, m.notes = store, rec.Notes // from here on the image is understood, and close may write to it
	if m.arena, err = objectvm.MapArena(); err != nil {
		return err
	}
	if err := m.fill(); err != nil {
		return err
	}
	m.ckpt = persist.NewCheckpointer(store, memory)
	if m.pager != nil {
		m.ckpt.LimitPool(int(m.pager.Limit() / 16))
	}
	m.input = &inputWindow{asked: -1}
	m.vm, err = objectvm.Attach(m.arena, objectvm.Config{Barrier: m.barrier(), Clock: clock{}, Input: m.input})
	if err != nil {
		return err
	}
	m.vm.SyncFlipped() // what was loaded is durable
	m.meter.Syncs += uint64(m.vm.SyncDurable())
	if m.meta.State != wire.Stopped {
		m.final = &wire.Status{State: m.meta.State, ExitCode: m.meta.ExitCode}
	} else {
		m.meta.Incarnation++
	}
	m.status = m.meta.status(rec)
	m.status.State = wire.Running
	m.status.Resumed = uint64(rec.Epoch)
	now := time.Now()
	m.began(now)
	m.status.FirstInstr = now.UnixNano()
	m.status.Durable = m.cfg.Durable
	return m.reconcile(m.meta.Ends)
}

// reconcile compares the host's files with the arena. What the arena still holds is sent once more, although the
// host's file is long enough: nobody has said that it is on the host's disk, and after a power cut a file may have its
// length without its last bytes.
func (m *machine) reconcile(ends [wire.Streams]int64) error {
	m.durableEnds = ends
	for s, have := range m.cfg.Delivered {
		from, to := m.vm.OutputRange(s + 1)
		begin := int64(from)
		if begin < 0 || ends[s] != int64(to) {
			return fmt.Errorf("%w: stream %d ends at %d, the arena says %d", errMeta, s, ends[s], to)
		}
		switch {
		case have < 0: // nobody knows
		case have < begin:
			return fmt.Errorf("%w: %d bytes of stream %d are there, %d were delivered", ErrOutputCut, have, s, begin)
		case have > ends[s]:
			return fmt.Errorf("%w: %d bytes of stream %d are there, the checkpoint knows %d", ErrOutputAhead, have, s, ends[s])
		}
		m.sent[s], m.acked[s] = begin, begin
	}
	return nil
}
