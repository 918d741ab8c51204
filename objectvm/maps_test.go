package objectvm

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"reflect"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/bytecode"
)

// typedRig is a VM whose module has the given Go types, for tests that call the package's own functions.
type typedRig struct {
	*rig
	b *typeBuilder
}

const typedSource = `
module main
native vm.exit 1 0
entry start
trap onTrap
func start frame=150 args=0 results=0 {
	maps auto
	LDI r8, 0
	NATIVE r4, r8, vm.exit
	RET
}
func onTrap frame=16 args=6 results=0 {
	maps auto
	RET
}
`

func newTypedRig(t testing.TB, types ...reflect.Type) *typedRig {
	t.Helper()
	b := newTypeBuilder()
	for _, rt := range types {
		b.add(rt)
	}
	m, err := bytecode.Assemble(typedSource)
	require.NoError(t, err)
	require.Len(t, b.m.Funcs, 1, "the types must have no methods")
	m.Types = b.m.Types
	code, err := bytecode.Encode(m)
	require.NoError(t, err)
	r := &typedRig{newRig(t, code, Config{Seed: 1, ArenaLimit: 64 << 20}), b}
	t.Cleanup(r.close)
	return r
}

func (r *typedRig) typ(rt reflect.Type) *TypeInfo { return r.vm.types[r.b.ids[rt]] }

// reattach drops the VM and makes another one of the arena's bytes.
func (r *typedRig) reattach() {
	r.t.Helper()
	r.barrier.freeze()
	r.vm.Close()
	vm, err := Attach(r.arena, r.cfg)
	require.NoError(r.t, err)
	r.vm = vm
}

// scratch is a heap object for values on their way.
func (r *typedRig) scratch(n uint64) Addr {
	a, ok := r.vm.allocBytes(n)
	require.True(r.t, ok)
	return a
}

func (r *typedRig) putString(a Addr, s string) {
	p, ok := r.vm.newBytes([]byte(s))
	require.True(r.t, ok)
	stAddr(a, p)
	st64(a+8, uint64(len(s)))
}

// testSeed gives a random test its seed; PHANTOM_SEED repeats one.
func testSeed(t testing.TB) *rand.Rand {
	seed := rand.Uint64()
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		seed, _ = strconv.ParseUint(s, 10, 64)
	}
	t.Logf("repeat with PHANTOM_SEED=%d go test -run '%s' ./objectvm", seed, t.Name())
	return rand.New(rand.NewPCG(seed, 0))
}

// TestMapsAgreeWithGo applies random operations to a map of the VM and one of Go.
func TestMapsAgreeWithGo(t *testing.T) {
	types := []reflect.Type{
		reflect.TypeFor[map[int64]int64](), reflect.TypeFor[map[int32]string](), reflect.TypeFor[map[string]int8](),
		reflect.TypeFor[map[float64]int64](), reflect.TypeFor[map[[3]int16]struct{}](), reflect.TypeFor[map[int64][200]int64](),
	}
	r := newTypedRig(t, types...)
	rnd := testSeed(t)
	for _, mt := range types {
		t.Run(mt.String(), func(t *testing.T) { mapAgainstGo(t, r, mt, rnd) })
	}
}

func mapAgainstGo(t *testing.T, r *typedRig, mt reflect.Type, rnd *rand.Rand) {
	ti := r.typ(mt)
	et := r.vm.entriesOf(ti)
	m, ok := r.vm.mapMake(et, uint64(rnd.IntN(40)))
	require.True(t, ok)
	want := reflect.MakeMap(mt)
	key, elem := r.scratch(16), r.scratch(1600)
	for step := range 6000 {
		k := randomKey(mt.Key(), rnd)
		r.store(key, k)
		switch op := rnd.IntN(100); {
		case op < 60:
			e := randomKey(mt.Elem(), rnd)
			r.store(elem, e)
			res := make([]uint64, 1)
			require.Equal(t, Done, nativeMapAssign(r.vm, []uint64{uint64(ti.Addr), uint64(m), uint64(key), uint64(elem)}, res))
			want.SetMapIndex(k, e)
		case op < 98:
			require.Equal(t, Done, r.vm.mapDelete(et, m, key))
			want.SetMapIndex(k, reflect.Value{})
		case op == 98 && rnd.IntN(10) == 0:
			require.Equal(t, Done, r.vm.mapClear(et, m))
			want.Clear()
		case op == 99:
			ti = r.checkMap(t, mt, m, want)
			et = r.vm.entriesOf(ti)
		}
		n, ok := r.vm.mapLen(m)
		require.True(t, ok)
		require.Equal(t, want.Len(), int(n), "step %d", step)
	}
	r.checkMap(t, mt, m, want)
}

// checkMap compares the whole map, by look-up and by iteration, with a VM made anew.
func (r *typedRig) checkMap(t *testing.T, mt reflect.Type, m Addr, want reflect.Value) *TypeInfo {
	r.reattach()
	ti := r.typ(mt)
	et := r.vm.entriesOf(ti)
	it, key := r.scratch(64), r.scratch(16)
	require.Equal(t, Done, r.vm.iterInit(et, m, it))
	seen := 0
	for {
		k, e, out := r.vm.iterNext(et, it)
		require.Equal(t, Done, out)
		if k == 0 {
			break
		}
		seen++
		gk := r.load(mt.Key(), k)
		if et.elem.Boxed {
			e = ldAddr(e)
		}
		require.Equal(t, want.MapIndex(gk).Interface(), r.load(mt.Elem(), e).Interface())
	}
	require.Equal(t, want.Len(), seen)
	for _, k := range want.MapKeys() {
		r.store(key, k)
		_, res := r.vm.mapLookup(et, m, key)
		require.Equal(t, found, res, "%v", k)
	}
	return ti
}

func randomKey(t reflect.Type, rnd *rand.Rand) reflect.Value {
	v := reflect.New(t).Elem()
	n := rnd.IntN(60)
	switch t.Kind() {
	case reflect.Int8, reflect.Int32, reflect.Int64:
		v.SetInt(int64(n) - 30)
	case reflect.Float64:
		v.SetFloat(float64(n) - 30)
		if n == 30 && rnd.IntN(2) == 0 {
			v.SetFloat(math.Copysign(0, -1))
		}
	case reflect.String:
		v.SetString(fmt.Sprint("key number ", n*n*n))
	case reflect.Array:
		v.Index(n % v.Len()).SetInt(int64(n))
	}
	return v
}

// store and load move a Go value of a simple type to and from program memory.
func (r *typedRig) store(a Addr, v reflect.Value) {
	switch v.Kind() {
	case reflect.Int8:
		st8(a, uint8(v.Int()))
	case reflect.Int16:
		st16(a, uint16(v.Int()))
	case reflect.Int32:
		st32(a, uint32(v.Int()))
	case reflect.Int64:
		st64(a, uint64(v.Int()))
	case reflect.Float64:
		st64(a, math.Float64bits(v.Float()))
	case reflect.String:
		r.putString(a, v.String())
	case reflect.Array:
		for i := range v.Len() {
			r.store(a+Addr(uintptr(i)*v.Type().Elem().Size()), v.Index(i))
		}
	}
}

func (r *typedRig) load(t reflect.Type, a Addr) reflect.Value {
	v := reflect.New(t).Elem()
	switch t.Kind() {
	case reflect.Int8:
		v.SetInt(int64(int8(ld8(a))))
	case reflect.Int16:
		v.SetInt(int64(int16(ld16(a))))
	case reflect.Int32:
		v.SetInt(int64(int32(ld32(a))))
	case reflect.Int64:
		v.SetInt(int64(ld64(a)))
	case reflect.Float64:
		v.SetFloat(f64at(a))
	case reflect.String:
		v.SetString(string(bytesAt(ldAddr(a), ld64(a+8))))
	case reflect.Array:
		for i := range t.Len() {
			v.Index(i).Set(r.load(t.Elem(), a+Addr(uintptr(i)*t.Elem().Size())))
		}
	}
	return v
}

// TestMapIteration checks what Go promises while a map changes: each entry at most once, removed ones not at all,
// those that stay always, NaN keys too.
func TestMapIteration(t *testing.T) {
	r := newTypedRig(t, reflect.TypeFor[map[float64]int64]())
	rnd := testSeed(t)
	et := r.vm.entriesOf(r.typ(reflect.TypeFor[map[float64]int64]()))
	key, elem, it := r.scratch(8), r.scratch(8), r.scratch(64)
	set := func(m Addr, k float64, v uint64) {
		st64(key, math.Float64bits(k))
		st64(elem, v)
		require.Equal(t, Done, r.vm.mapInsert(et, m, key, key, elem))
	}
	for round := range 300 {
		m, _ := r.vm.mapMake(et, 0)
		n := 1 + rnd.IntN(40)
		for i := range n {
			set(m, float64(i), uint64(i))
		}
		set(m, math.NaN(), 1000)
		require.Equal(t, Done, r.vm.iterInit(et, m, it))
		deleted, seen, cleared := map[float64]bool{}, map[float64]int{}, false
		nan := 0
		for {
			k, e, out := r.vm.iterNext(et, it)
			require.Equal(t, Done, out)
			if k == 0 {
				break
			}
			f := f64at(k)
			require.False(t, cleared, "round %d: entry %v after clear", round, f)
			if f != f {
				nan++
				require.Equal(t, uint64(1000), ld64(e))
			} else {
				require.False(t, deleted[f], "round %d: %v was deleted", round, f)
				seen[f]++
			}
			switch rnd.IntN(6) {
			case 0:
				d := float64(rnd.IntN(n))
				st64(key, math.Float64bits(d))
				require.Equal(t, Done, r.vm.mapDelete(et, m, key))
				deleted[d] = true
			case 1, 2:
				for range rnd.IntN(30) {
					set(m, float64(100+rnd.IntN(1000)), 0)
				}
			case 3:
				if rnd.IntN(20) == 0 {
					require.Equal(t, Done, r.vm.mapClear(et, m))
					cleared = true
				}
			}
		}
		for f, c := range seen {
			require.Equal(t, 1, c, "round %d: %v", round, f)
		}
		if !cleared {
			require.Equal(t, 1, nan, "round %d", round)
			for i := range n {
				require.True(t, deleted[float64(i)] || seen[float64(i)] == 1, "round %d: %d is missing", round, i)
			}
		}
	}
}

// TestForgedMaps gives the map operations objects full of random words: they trap or do something, but stay in DATA and end.
func TestForgedMaps(t *testing.T) {
	mt := reflect.TypeFor[map[string][200]int64]()
	r := newTypedRig(t, mt)
	rnd := testSeed(t)
	ti := r.typ(mt)
	et := r.vm.entriesOf(ti)
	good, _ := r.vm.mapMake(et, 20)
	key, elem, it := r.scratch(16), r.scratch(1600), r.scratch(64)
	r.putString(key, "a key")
	for range 20000 {
		m := r.scratch(mapObjSize)
		copy(bytesAt(m, mapObjSize), bytesAt(good, mapObjSize))
		for range 1 + rnd.IntN(3) {
			st64(m+Addr(rnd.IntN(mapObjSize/8))*8, forgedWord(rnd))
		}
		st64(it+Addr(rnd.IntN(8))*8, forgedWord(rnd))
		r.enter()
		res := make([]uint64, 2)
		args := []uint64{uint64(ti.Addr), uint64(m), uint64(key), uint64(elem)}
		nativeMapAccess(r.vm, args[:3], res)
		nativeMapAssign(r.vm, args, res)
		r.vm.mapDelete(et, m, key)
		if r.vm.iterInit(et, m, it) == Done {
			for range 10 {
				r.vm.iterNext(et, it)
			}
		}
		r.vm.mapClear(et, m)
		if r.vm.gcWanted {
			r.resetHeap()
			good, _ = r.vm.mapMake(et, 20)
			key, elem, it = r.scratch(16), r.scratch(1600), r.scratch(64)
			r.putString(key, "a key")
		}
	}
}

// resetHeap collects everything: the tests' objects have no roots.
func (r *typedRig) resetHeap() {
	r.vm.cur = 0
	r.vm.collect()
}

// forgedWord is a number that a hostile program might put where the VM expects its own.
func forgedWord(rnd *rand.Rand) uint64 {
	switch rnd.IntN(8) {
	case 0:
		return rnd.Uint64()
	case 1:
		return uint64(rnd.IntN(100))
	case 2:
		return uint64(DataBase) + uint64(rnd.IntN(1<<20))
	case 3:
		return uint64(ROBase) + uint64(rnd.IntN(1<<16))
	case 4:
		return uint64(MetaBase) + uint64(rnd.IntN(1<<20))
	case 5:
		return 1 << rnd.IntN(64)
	case 6:
		return -uint64(rnd.IntN(1000))
	}
	return 0
}
