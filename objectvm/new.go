package objectvm

import (
	"errors"
	"fmt"

	"phantomvm/bytecode"
)

// Config says how a VM runs. The zero value works except for Barrier and Clock.
type Config struct {
	Barrier       Barrier     // learns of first stores to frozen pages
	Clock         Clock       // wall time
	Input         InputSource // standard input; nil: empty
	ArenaLimit    uint64      // bytes of DATA for a new arena; 0: 1 GiB
	Args          []string    // os.Args of a new program
	Env           []string    // its environment
	Seed          uint64      // seed of everything random in a new program
	Memory        uint64      // bytes of memory that pages may take; 0: all fit. A heap larger than that is not read as a whole unless the arena gets full
	OneGeneration bool        // for comparison: every cycle is a major one and begins when the heap has doubled
	GCStress      bool        // for tests: collect at every safepoint outside the loop, poison freed objects
	GCUnits       int         // for tests: the collector always works, this many units after each slice; freed objects are poisoned
	GCCopies      int         // pages that the collector may copy aside in one cycle; 0: 32 MiB
}

// ErrModule says that a module cannot be run by this VM.
var ErrModule = errors.New("module not runnable")

const defaultLimit = 1 << 30

// New starts a program in an arena that reads as zeros. module is the content of a .pbc file.
func New(a *Arena, module []byte, cfg Config) (*VM, error) {
	if hget(hdrMagic) != 0 {
		return nil, fmt.Errorf("%w: not empty", ErrArena)
	}
	if len(module) > metaModMax {
		return nil, fmt.Errorf("%w: %d bytes", ErrModule, len(module))
	}
	vm, err := load(a, cfg, module)
	if err != nil {
		return nil, err
	}
	limit := cfg.ArenaLimit
	if limit == 0 {
		limit = defaultLimit
	}
	vm.touch(metaModule, uint64(len(module)))
	copy(bytesAt(metaModule, uint64(len(module))), module)
	for w, v := range map[int]uint64{
		hdrMagic: headerMagic, hdrLayout: ArenaLayout, hdrISA: bytecode.InstructionSet, hdrModLen: uint64(len(module)),
		hdrArenaLimit: min(limit, DataSize), hdrSeed: cfg.Seed,
	} {
		vm.hset(w, v)
	}
	if need := alignUp(vm.mod.GlobalsSize, heapPage); need > hget(hdrArenaLimit) {
		return nil, fmt.Errorf("%w: %d bytes of globals in an arena of %d", ErrModule, need, hget(hdrArenaLimit))
	}
	vm.startClock(true)
	vm.initHeap()
	if err := vm.attachRuntime(); err != nil {
		return nil, err
	}
	g, ok := vm.newG(vm.funcval(vm.mod.Entry))
	if !ok {
		return nil, fmt.Errorf("%w: no entry", ErrModule)
	}
	vm.hset(hdrMainG, uint64(g))
	return vm, nil
}

// Attach goes on with the program whose pages are in the arena; all of them are frozen. Only the arena's bytes matter; cfg's ArenaLimit, Args, Env and Seed are not used.
// It reads the module and a few pages besides, however large the heap is and however many goroutines and timers there are: each is a read
// of the device if pages come on demand. What else comes from disk is checked when it is used first.
func Attach(a *Arena, cfg Config) (*VM, error) {
	if err := checkHeader(); err != nil {
		return nil, err
	}
	if v := hget(hdrISA); v > bytecode.InstructionSet {
		return nil, fmt.Errorf("%w: instruction set %d, this VM has %d", ErrArena, v, bytecode.InstructionSet)
	}
	module := append([]byte(nil), bytesAt(metaModule, hget(hdrModLen))...)
	vm, err := load(a, cfg, module)
	if err != nil {
		return nil, err
	}
	vm.startClock(false)
	if err := vm.attachHeap(); err != nil {
		return nil, err
	}
	if err := vm.attachSync(); err != nil {
		return nil, err
	}
	if err := vm.attachRuntime(); err != nil {
		return nil, err
	}
	vm.attachIO()
	return vm, nil
}

// load decodes and verifies a module and fills the volatile regions.
func load(a *Arena, cfg Config, module []byte) (*VM, error) {
	if cfg.Barrier == nil || cfg.Clock == nil {
		return nil, errors.New("objectvm: Config needs Barrier and Clock")
	}
	m, err := bytecode.Decode(module)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	if err := bytecode.Verify(m); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	vm := &VM{cfg: cfg, barrier: cfg.Barrier, clock: cfg.Clock, mod: m}
	vm.code.flags = opFlags()
	if err := a.forgetViews(); err != nil {
		return nil, err
	}
	*hot() = hotState{}
	for id := range min(uint64(len(m.Types)), batchTypes) {
		st64(batchAddr(id)+batchBit, 0)
		st64(batchAddr(id)+batchKnown, 0)
	}
	if err := vm.bindNatives(); err != nil {
		return nil, err
	}
	if err := vm.buildRO(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	if err := vm.layoutCode(); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrModule, err)
	}
	return vm, nil
}

// bindNatives finds the functions that the module wants of the VM.
func (vm *VM) bindNatives() error {
	table := nativeTable()
	vm.natives = make([]*native, len(vm.mod.Natives))
	for i, ref := range vm.mod.Natives {
		n := table[ref.Name]
		if n == nil {
			return fmt.Errorf("%w: no native function %s", ErrModule, ref.Name)
		}
		if n.Args != ref.Args || n.Results != ref.Results {
			return fmt.Errorf("%w: native function %s has %d and %d slots, the module says %d and %d", ErrModule, ref.Name, n.Args, n.Results, ref.Args, ref.Results)
		}
		vm.natives[i] = n
	}
	return nil
}

// Close ends the use of the arena's addresses by this VM; the arena's persistent bytes stay.
func (vm *VM) Close() {
	*hot() = hotState{}
	clear(bytesAt(ROBase, uint64(len(vm.rt.ro.data))))
}

// Module returns the program's module.
func (vm *VM) Module() *bytecode.Module { return vm.mod }
