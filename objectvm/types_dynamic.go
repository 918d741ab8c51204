package objectvm

import "phantomvm/bytecode"

// Types that reflect makes at run time lie in DATA, where the program can
// overwrite them. dynamicType reads such a descriptor once, checks what it says
// and derives a TypeInfo that no longer depends on it:
//
//   - pointers, slices, functions, channels and maps of types that are known, and arrays and structs of them;
//   - no methods, and an identity that is the descriptor's address, which is how reflect itself keeps types apart.
//
// What is read may have been forged; the TypeInfo is consistent in itself all
// the same, which is all that safety needs. Values of these types have ID 0: the
// collector takes each of their words for a pointer.

const (
	maxDynamicDepth = 100
	maxDynamicParts = 1 << 12 // descriptors and fields read for one type
	maxDynamicTypes = 1 << 12 // cached
)

// dynamicType returns the type whose descriptor the program made at a; nil if there is no sensible one.
func (vm *VM) dynamicType(a Addr) *TypeInfo {
	if a < DataBase || a&7 != 0 {
		return nil
	}
	if t, ok := vm.rt.dyn[a]; ok {
		return t
	}
	if len(vm.rt.dyn) > maxDynamicTypes {
		clear(vm.rt.dyn)
		clear(vm.rt.dynEntries)
	}
	vm.rt.parts = maxDynamicParts
	return vm.readDynamic(a, 0)
}

func (vm *VM) readDynamic(a Addr, depth int) *TypeInfo {
	if a >= ROBase && a < DataBase {
		return vm.typeAt(uint64(a))
	}
	if t, ok := vm.rt.dyn[a]; ok {
		return t
	}
	if vm.rt.parts == 0 || depth > maxDynamicDepth || a < DataBase || a&7 != 0 || !vm.checkRange(a, abiTypeSize) {
		return nil
	}
	vm.rt.parts--
	k := bytecode.Kind(ld8(a + abiKind))
	if !vm.checkRange(a, abiTypeSize+abiExtra(k)) {
		return nil
	}
	t := &TypeInfo{Kind: k, Addr: a, Hash: ld32(a + abiHash), name: "(made at run time)"}
	if !vm.fillDynamic(t, a+abiTypeSize, depth) || t.Size != ld64(a+abiSize) {
		return nil
	}
	t.finish()
	if vm.rt.dyn == nil {
		vm.rt.dyn = map[Addr]*TypeInfo{}
	}
	vm.rt.dyn[a] = t
	return t
}

// fillDynamic derives layout and parts from the kind-specific part of a descriptor at a.
func (vm *VM) fillDynamic(t *TypeInfo, a Addr, depth int) bool {
	part := func(at Addr) *TypeInfo { return vm.readDynamic(ldAddr(at), depth+1) }
	switch t.Kind {
	case bytecode.Array:
		e := part(a)
		t.Len = ld64(a + 16)
		return e != nil && t.Len <= maxTypeSize && t.setArray(e) == nil
	case bytecode.Struct:
		return vm.dynamicStruct(t, a, depth)
	case bytecode.Pointer, bytecode.Slice, bytecode.Chan:
		// The element may be a type that refers back to this one, and is not needed before a value is used.
		t.Elem = part(a)
	case bytecode.Map:
		t.Key, t.Elem = part(a), part(a+8)
		if t.Key == nil || t.Elem == nil || !t.Key.Equal {
			return false
		}
	case bytecode.FuncKind:
	default:
		return false
	}
	b := basicLayout[t.Kind]
	t.Size, t.Align, t.Equal = uint64(b.size), b.align, true
	t.setBasic()
	return true
}

func (vm *VM) dynamicStruct(t *TypeInfo, a Addr, depth int) bool {
	tab, n := ldAddr(a+8), ld64(a+16)
	if n > uint64(vm.rt.parts) || n != 0 && !vm.checkRange(tab, n*24) {
		return false
	}
	vm.rt.parts -= int(n)
	vm.charge(n << 8)
	t.Fields = make([]FieldInfo, n)
	for i := range t.Fields {
		f := tab + Addr(i)*24
		ft := vm.readDynamic(ldAddr(f+8), depth+1)
		if ft == nil {
			return false
		}
		t.Fields[i] = FieldInfo{Type: ft, Blank: vm.blankName(ldAddr(f))}
	}
	if t.setStruct(new(uint64)) != nil {
		return false
	}
	for i := range t.Fields {
		if t.Fields[i].Offset != ld64(tab+Addr(i)*24+16) {
			return false
		}
	}
	return true
}

// blankName says whether an encoded name is "_".
func (vm *VM) blankName(a Addr) bool {
	return vm.checkRange(a, 3) && ld8(a+1) == 1 && ld8(a+2) == '_'
}

// dynamicEntry is the layout of the entries of a map type made at run time.
func (vm *VM) dynamicEntry(t *TypeInfo) *entryType {
	if e := vm.rt.dynEntries[t.Addr]; e != nil {
		return e
	}
	e := vm.rt.own.entry(t)
	e.t.finish()
	if vm.rt.dynEntries == nil {
		vm.rt.dynEntries = map[Addr]*entryType{}
	}
	vm.rt.dynEntries[t.Addr] = e
	return e
}
