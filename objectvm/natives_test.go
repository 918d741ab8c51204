package objectvm

import (
	"math"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

// TestNativesAreDocumented compares the table of natives with docs/natives.md and docs/abi.md, both ways.
func TestNativesAreDocumented(t *testing.T) {
	doc, err := os.ReadFile("../docs/natives.md")
	require.NoError(t, err)
	abi, err := os.ReadFile("../docs/abi.md")
	require.NoError(t, err)
	listed := map[string]string{}
	for _, row := range regexp.MustCompile(`(?m)^\| ([\w./]+)(?:\(.*?)? \| (\d+ -> \d+) \|`).FindAllStringSubmatch(string(doc), -1) {
		listed[row[1]] = row[2]
	}
	names := regexp.MustCompile(`vm\.\w+`)
	helpers := map[string]bool{}
	for _, line := range strings.Split(string(abi), "\n") {
		if strings.HasPrefix(line, "| vm.") {
			for _, n := range names.FindAllString(strings.SplitN(line, "|", 3)[1], -1) {
				helpers[n] = true
			}
		}
	}
	table := nativeTable()
	require.Len(t, table, len(nativeRows), "a name occurs twice")
	for name, n := range table {
		if strings.HasPrefix(name, "vm.") {
			require.True(t, helpers[name] || listed[name] != "", "%s is not documented", name)
			delete(helpers, name)
			continue
		}
		require.Equal(t, listed[name], strconv.Itoa(int(n.Args))+" -> "+strconv.Itoa(int(n.Results)), name)
	}
	for name := range listed {
		require.Contains(t, table, name)
	}
	require.Empty(t, helpers, "documented, but not there")
}

// TestNativesSurviveAnything calls every native with words of all kinds; none may panic, hang or write outside DATA.
func TestNativesSurviveAnything(t *testing.T) {
	r := newTypedRig(t, reflect.TypeFor[map[string]int](), reflect.TypeFor[map[any]any](), reflect.TypeFor[chan [3]int](), reflect.TypeFor[[]string](), reflect.TypeFor[error]())
	rnd := testSeed(t)
	for round := range 400 {
		for i := range nativeRows {
			n := &nativeRows[i]
			switch n.Name {
			case "runtime.Goexit", "vm.exit", "runtime.exit": // end the program, whatever the arguments
				continue
			}
			r.vm.cur = 1
			args, res := make([]uint64, n.Args), make([]uint64, n.Results)
			for k := range args {
				args[k] = forgedWord(rnd)
				if rnd.IntN(4) == 0 {
					args[k] = uint64(r.vm.types[1+rnd.IntN(len(r.vm.mod.Types)-1)].Addr)
				}
			}
			clock := *r.clock
			r.enter()
			n.Fn(r.vm, args, res)
			*r.clock = clock
		}
		if round%20 == 0 {
			r.restart()
		}
	}
}

// enter makes goroutine 1 the running one, with nothing left of what it did before.
func (r *typedRig) enter() {
	g := GID(1)
	r.vm.unlinkAll(g)
	for w := gwWaits; w < gUser+32; w++ {
		r.vm.setGWait(g, w, 0)
	}
	for list := range r.vm.waking {
		r.vm.hset(hdrWaitIO+list, 0)
	}
	r.vm.gSet(g, gStatus, gRunning)
	h := hot()
	r.vm.cur, h.pc, h.fp = g, Addr(gGet(g, gPC)), Addr(gGet(g, gFP))
	c := Addr(gGet(g, gChunk))
	h.stackLimit = c + Addr(ld64(c+chunkSize))
}

// restart begins anew in an empty arena.
func (r *typedRig) restart() {
	r.t.Helper()
	module := append([]byte(nil), bytesAt(metaModule, hget(hdrModLen))...)
	r.rig.close()
	*r.rig = *newRig(r.t, module, Config{Seed: 1, ArenaLimit: 16 << 20})
}

func TestPrintedFloats(t *testing.T) {
	for f, want := range map[float64]string{
		0: "0", 1: "1", -2.5: "-2.5", 1e100: "1e+100", 1.5e-9: "1.5e-09", math.Inf(1): "+Inf", math.Inf(-1): "-Inf", math.Copysign(0, -1): "-0",
	} {
		require.Equal(t, want, string(appendFloat(nil, f, 64)))
		require.Equal(t, strconv.FormatComplex(complex(1, f), 'g', -1, 128), string(appendComplex(nil, 1, f, 64)))
	}
	require.Equal(t, "0.1", string(appendFloat(nil, float64(float32(0.1)), 32)))
}

// TestGrowthIsGo compares the capacity after append with that of gc.
func TestGrowthIsGo(t *testing.T) {
	type big struct {
		_ [5]string
		_ int32
	}
	r := newTypedRig(t, reflect.TypeFor[[]byte](), reflect.TypeFor[[]string](), reflect.TypeFor[[]big](), reflect.TypeFor[[]int64](), reflect.TypeFor[[]int32]())
	check := func(rt reflect.Type, old, more int) {
		s := reflect.MakeSlice(reflect.SliceOf(rt), old, old)
		want := reflect.AppendSlice(s, reflect.MakeSlice(reflect.SliceOf(rt), more, more)).Cap()
		ti := r.typ(rt)
		base, ok := r.vm.allocArray(ti, uint64(old))
		require.True(t, ok)
		_, c, out := r.vm.growSlice(ti, base, uint64(old), uint64(old), uint64(more))
		require.Equal(t, Done, out)
		require.Equal(t, want, int(c), "%v: %d + %d", rt, old, more)
	}
	for _, rt := range []reflect.Type{reflect.TypeFor[byte](), reflect.TypeFor[string](), reflect.TypeFor[big](), reflect.TypeFor[int64](), reflect.TypeFor[int32]()} {
		for old := range 70 {
			check(rt, old*old, 1)
			check(rt, old, 1+old*7%100)
		}
		r.resetHeap()
	}
}

// TestEqualityIsGo compares equality and hashing of interface values with Go's.
func TestEqualityIsGo(t *testing.T) {
	r := newTypedRig(t, reflect.TypeFor[[2]float64](), reflect.TypeFor[[2]float32](), reflect.TypeFor[string](), reflect.TypeFor[struct {
		_ int32
		A int16
		S string
	}]())
	blank := reflect.TypeFor[struct {
		_ int32
		A int16
		S string
	}]()
	vm := r.vm
	p, q := r.scratch(32), r.scratch(32)
	both := func(rt reflect.Type) (eq bool) {
		eq, ok := vm.equalAt(r.typ(rt), p, q)
		require.True(t, ok)
		if eq {
			hp, _ := vm.hashAt(r.typ(rt), p, 7)
			hq, _ := vm.hashAt(r.typ(rt), q, 7)
			require.Equal(t, hp, hq)
		}
		return eq
	}
	floats := []float64{0, math.Copysign(0, -1), 1, math.NaN(), math.Inf(1)}
	for _, a := range floats {
		for _, b := range floats {
			r.store(p, reflect.ValueOf([2]float64{1, a}))
			r.store(q, reflect.ValueOf([2]float64{1, b}))
			require.Equal(t, a == b, both(reflect.TypeFor[[2]float64]()), "%v %v", a, b)
			st64(p, uint64(math.Float32bits(float32(a))))
			st64(q, uint64(math.Float32bits(float32(b))))
			require.Equal(t, float32(a) == float32(b), both(reflect.TypeFor[[2]float32]()), "%v %v", a, b)
		}
	}
	off := Addr(unsafe.Offsetof(struct {
		_ int32
		A int16
		S string
	}{}.S))
	for i, a := range []Addr{p, q} {
		clear(bytesAt(a, 32))
		st32(a, uint32(i)) // a blank field does not count
		st16(a+4, 9)
		r.putString(a+off, "same text")
	}
	require.True(t, both(blank))
	st16(q+4, 8)
	require.False(t, both(blank))
}
