package tender

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"strings"

	"phantomvm/hypervisor/abi"
)

// Page table flags.
const (
	ptePresent = 1
	pteWrite   = 2
	pteLarge   = 0x80
)

// Descriptors of the GDT that the guest starts with.
const (
	descCode = 0x00af99000000ffff
	descData = 0x00cf93000000ffff
)

// build makes the machine and lays out its memory.
func (vm *VM) build() error {
	m, err := newMachine(vm.cfg.MemBytes)
	if err != nil {
		return err
	}
	vm.cleanup = m.close
	if m.hasEvents && !vm.cfg.NoEventKick {
		vm.events = m
	}
	vm.mem, vm.cpu, vm.waker = m.mem, m.cpu, m.waker
	vm.entropy = rand.Reader
	vm.writeTables()
	vm.writeBootInfo(m.cpu.tscHz)
	if !vm.cfg.NoExtension {
		vm.offerExtension()
	}
	for _, s := range vm.kernel.segments {
		copy(vm.mem.b[s.addr:], s.data)
		if !s.write {
			if err := vm.mem.protect(s); err != nil {
				return err
			}
		}
	}
	return m.cpu.setStart(vm.kernel.entry, vm.cfg.MemBytes-8)
}

// writeTables builds the GDT and the identity map: the first 2 MiB in small
// pages, absent below boot info and read-only up to MinLoadAddr, the rest in large ones.
func (vm *VM) writeTables() {
	put := func(a, v uint64) { binary.LittleEndian.PutUint64(vm.mem.b[a:], v) }
	put(abi.GDTAddr+abi.CodeSel, descCode)
	put(abi.GDTAddr+abi.DataSel, descData)
	put(abi.PML4Addr, abi.PDPTAddr|ptePresent|pteWrite)
	for i := range uint64(4) {
		put(abi.PDPTAddr+i*8, (abi.PDAddr+i*abi.PageSize)|ptePresent|pteWrite)
	}
	put(abi.PDAddr, abi.PTAddr|ptePresent|pteWrite)
	for a := uint64(abi.BootInfoAddr); a < abi.LargePageSize; a += abi.PageSize {
		flags := uint64(ptePresent | pteWrite)
		if a < abi.MinLoadAddr {
			flags = ptePresent
		}
		put(abi.PTAddr+a/abi.PageSize*8, a|flags)
	}
	for a := uint64(abi.LargePageSize); a < vm.cfg.MemBytes; a += abi.LargePageSize {
		put(abi.PDAddr+a/abi.LargePageSize*8, a|ptePresent|pteWrite|pteLarge)
	}
}

func (vm *VM) writeBootInfo(tscHz uint64) {
	manifest := vm.kernel.manifest.Encode()
	cmdline := uint64(abi.ManifestAddr + len(manifest))
	abi.BootInfo{
		MemSize: vm.cfg.MemBytes, KernelEnd: vm.kernel.end, TSCHz: tscHz,
		Cmdline: cmdline, Manifest: abi.ManifestAddr,
	}.Encode(vm.mem.b[abi.BootInfoAddr:])
	copy(vm.mem.b[abi.ManifestAddr:], manifest)
	copy(vm.mem.b[cmdline:cmdline+abi.CmdlineSize-1], strings.Join(vm.cfg.Cmdline, " "))
}

// offerExtension writes ExtInfo.
func (vm *VM) offerExtension() {
	b := vm.mem.b[abi.ExtInfoAddr:]
	var args bytes.Buffer
	for _, a := range vm.cfg.Cmdline {
		args.WriteString(a)
		args.WriteByte(0)
	}
	copy(b, abi.ExtMagic)
	binary.LittleEndian.PutUint32(b[abi.ExtFeaturesOff:], uint32(vm.offered()))
	binary.LittleEndian.PutUint32(b[abi.ExtArgCountOff:], uint32(len(vm.cfg.Cmdline)))
	binary.LittleEndian.PutUint32(b[abi.ExtArgBytesOff:], uint32(args.Len()))
	copy(b[abi.ExtArgsOff:], args.Bytes())
}

func (vm *VM) offered() abi.ExtFeature {
	f := abi.ExtBlockQueue | abi.ExtEntropy | abi.ExtPrepare
	if vm.cfg.Channel != nil {
		f |= abi.ExtChannel
	}
	if vm.events != nil {
		f |= abi.ExtEventKick
	}
	return f
}
