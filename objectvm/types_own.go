package objectvm

import "phantomvm/bytecode"

// The VM's own types: what it allocates on the heap for maps, channels and
// timers has a TypeInfo like everything else, so that the collector and the
// persisted allocation records need no second kind of description. Their ids
// follow the module's and depend on nothing but the module.

// ownTypes are the VM's own types of one module.
type ownTypes struct {
	word    *TypeInfo // one pointer
	mapObj  *TypeInfo
	chanObj *TypeInfo

	entries []*entryType // by TypeID of the map type
}

// entryType is the layout of a map's entry: hash word, key, element.
type entryType struct {
	t              *TypeInfo // the entry
	key, elem      *TypeInfo // as in the map's type
	keyOff, elOff  uint64
	keySize, elLen uint64 // bytes as stored: a boxed value is stored as its address
	fast           uint8  // see mapFast
	keyUpdate      bool   // equal keys can differ: the newest is stored
}

// add appends the VM's types to the module's and returns the whole table.
func (o *ownTypes) add(types []*TypeInfo) []*TypeInfo {
	if len(types) == 0 {
		types = []*TypeInfo{nil}
	}
	all := types[:len(types):len(types)]
	put := func(t *TypeInfo, name string) *TypeInfo {
		t.ID, t.name = bytecode.TypeID(len(all)), name
		t.finish()
		all = append(all, t)
		return t
	}
	o.word = put(&TypeInfo{Kind: bytecode.UnsafePointer, Size: 8, Align: 8, PtrBytes: 8, Mask: []uint64{1}, Regular: true, Equal: true}, "vm.word")
	o.mapObj = put(record(mapObjSize, mapEntries, mapIndex), "vm.map")
	o.chanObj = put(record(chanObjSize, chanBuf), "vm.chan")
	o.entries = make([]*entryType, len(types))
	for _, t := range types[1:] {
		if t.Kind == bytecode.Map && t.Key.Equal {
			e := o.entry(t)
			put(e.t, "vm.entry("+t.name+")")
			o.entries[t.ID] = e
		}
	}
	return all
}

// record is a TypeInfo of size bytes with pointers at the given offsets.
func record(size uint64, ptrs ...uint64) *TypeInfo {
	t := &TypeInfo{Kind: bytecode.Struct, Size: size, Align: 8, Mask: []uint64{0}}
	for _, o := range ptrs {
		t.Mask[0] |= 1 << (o / 8)
		t.PtrBytes = max(t.PtrBytes, o+8)
	}
	return t
}

// stored is the type as which a value of t lies in a map's entry or a channel's buffer.
func (o *ownTypes) stored(t *TypeInfo) *TypeInfo {
	if t.Boxed {
		return o.word
	}
	return t
}

// entry lays out the entry of a map type.
func (o *ownTypes) entry(m *TypeInfo) *entryType {
	k, v := o.stored(m.Key), o.stored(m.Elem)
	t := &TypeInfo{Kind: bytecode.Struct, Align: 8}
	t.Fields = []FieldInfo{{Type: hashWord}, {Type: k}}
	if v.Size != 0 { // a zero-size last field would be padded
		t.Fields = append(t.Fields, FieldInfo{Type: v})
	}
	// Entries are small (at most 8+1024+1024 bytes), so the mask limit can't be reached.
	_ = t.setStruct(new(uint64))
	return &entryType{
		t: t, key: m.Key, elem: m.Elem, keyOff: t.Fields[1].Offset, elOff: t.Fields[len(t.Fields)-1].Offset,
		keySize: k.Size, elLen: v.Size, fast: mapFast(m.Key), keyUpdate: needKeyUpdate(m.Key),
	}
}

// hashWord is the type of an entry's first word.
var hashWord = &TypeInfo{Kind: bytecode.Uint64, Size: 8, Align: 8, Regular: true, Equal: true}
