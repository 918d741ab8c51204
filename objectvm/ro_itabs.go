package objectvm

import (
	"encoding/binary"
	"errors"
	"fmt"

	"phantomvm/bytecode"
)

// Itabs. A static one is named by the code, a dynamic one is made when the
// program first converts a type to an interface at run time. The pairs of the
// dynamic ones are persisted in order, so that a restart lays them out alike.

// errNoMethod says which method a type lacks.
type errNoMethod struct{ method, pkg string }

func (e *errNoMethod) Error() string { return "missing method " + e.method }

var errNotInterface = errors.New("not an interface type")

// itabSize is the size of an itab with n methods; an itab has room for one at least.
func itabSize(n int) uint64 { return 24 + 8*uint64(max(n, 1)) }

// addItab appends the itab of a pair, or returns the one that is there.
func (r *roImage) addItab(iface, typ bytecode.TypeID) (Addr, error) {
	k := itabKey{iface, typ}
	if a, ok := r.itabOf[k]; ok {
		return a, nil
	}
	if iface == 0 || int(iface) >= len(r.types) || typ == 0 || int(typ) >= len(r.types) {
		return 0, fmt.Errorf("%w: %d, %d", ErrBadType, iface, typ)
	}
	funs, err := r.methodsFor(iface, typ)
	if err != nil {
		return 0, err
	}
	r.align(8)
	off := r.off()
	if off+itabSize(len(funs)) > roLimit {
		return 0, ErrROFull
	}
	r.word(uint64(r.types[iface].Addr))
	r.word(uint64(r.types[typ].Addr))
	r.word(uint64(r.types[typ].Hash))
	for _, f := range funs {
		r.word(uint64(f))
	}
	if len(funs) == 0 {
		r.word(0)
	}
	a := r.addr(off)
	r.itabOf[k], r.itabKeys[a] = a, k
	return a, nil
}

// methodsFor lists the functions of typ that implement iface's methods, in the interface's order.
func (r *roImage) methodsFor(iface, typ bytecode.TypeID) ([]bytecode.FuncID, error) {
	if r.types[iface].Kind != bytecode.Interface {
		return nil, fmt.Errorf("%w: %s", errNotInterface, r.types[iface].name)
	}
	ims := r.mod.Types[iface].IMethods
	funs := make([]bytecode.FuncID, len(ims))
	ms := r.methodSet(typ)
	for i, im := range ims {
		k := methodKey{im.Name, ""}
		if exportedFlag(im.Name) == 0 {
			k.pkg = im.PkgPath
		}
		m, ok := ms[k]
		if !ok || m.Type != im.Type {
			return nil, &errNoMethod{im.Name, im.PkgPath}
		}
		funs[i] = m.Ifn
	}
	return funs, nil
}

type methodKey struct{ name, pkg string }

// methodSet is the concrete type's methods by name, cached.
func (r *roImage) methodSet(typ bytecode.TypeID) map[methodKey]*bytecode.Method {
	if ms, ok := r.methodSets[typ]; ok {
		return ms
	}
	src := r.mod.Types[typ].Methods
	ms := make(map[methodKey]*bytecode.Method, len(src))
	for i := range src {
		k := methodKey{src[i].Name, ""}
		if exportedFlag(src[i].Name) == 0 {
			k.pkg = src[i].PkgPath
		}
		ms[k] = &src[i]
	}
	if r.methodSets == nil {
		r.methodSets = map[bytecode.TypeID]map[methodKey]*bytecode.Method{}
	}
	r.methodSets[typ] = ms
	return ms
}

// missingMethod names the first method of iface that typ lacks, for a failed assertion: its name, and where the name's bytes lie.
func (r *roImage) missingMethod(iface, typ bytecode.TypeID) (name string, at Addr) {
	_, err := r.methodsFor(iface, typ)
	var no *errNoMethod
	if !errors.As(err, &no) {
		return "", 0
	}
	off := uint64(r.methodName(no.method, no.pkg)) // written with the interface's descriptor
	var buf [binary.MaxVarintLen64]byte
	return no.method, r.addr(off + 1 + uint64(binary.PutUvarint(buf[:], uint64(len(no.method)))))
}
