package bytecode

import (
	"bytes"
	"encoding/binary"
	"errors"
	"math/rand/v2"
	"reflect"
	"runtime"
	"testing"

	"github.com/vmihailenco/msgpack/v5"
)

// testSeeds runs f on a few seeds; a failure names the one to run alone.
func testSeeds(t *testing.T, n uint64, f func(t *testing.T, seed uint64)) {
	t.Helper()
	for seed := range n {
		f(t, seed)
		if t.Failed() {
			t.Fatalf("seed %d: reproduce with randomModule(%d, ...)", seed, seed)
		}
	}
}

func mustEncode(t testing.TB, m *Module) []byte {
	t.Helper()
	data, err := Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

func TestEncodeDecodeRoundTrip(t *testing.T) {
	used := map[Op]bool{}
	testSeeds(t, 40, func(t *testing.T, seed uint64) {
		m := randomModule(seed, 10, 150)
		if err := Verify(m); err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		data := mustEncode(t, m)
		got, err := Decode(data)
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		if err := Verify(got); err != nil {
			t.Fatalf("seed %d: decoded: %v", seed, err)
		}
		if !bytes.Equal(mustEncode(t, got), data) {
			t.Errorf("seed %d: encoding is not stable", seed)
		}
		trimBitmaps(m)
		if !reflect.DeepEqual(got, m) {
			t.Errorf("seed %d: decoded module differs", seed)
		}
		if _, err := CheckIdentity(data); err != nil {
			t.Error(err)
		}
		for i := range m.Funcs {
			for pc := 0; pc < len(m.Funcs[i].Code); pc += WordOp(m.Funcs[i].Code[pc]).Len() {
				used[WordOp(m.Funcs[i].Code[pc])] = true
			}
		}
	})
	for _, row := range Table[1:] {
		if !used[Op(row.Num)] {
			t.Errorf("random modules never use %s", row.Name)
		}
	}
}

// trimBitmaps brings a module into the form that Decode returns.
func trimBitmaps(m *Module) {
	for i := range m.Funcs {
		f := &m.Funcs[i]
		trim := func(b *[]uint64) {
			if *b = (*b)[:bitmapWords(*b)]; len(*b) == 0 {
				*b = nil
			}
		}
		trim(&f.Always)
		for k := range f.Bitmaps {
			trim(&f.Bitmaps[k])
		}
	}
	if len(m.RO) == 0 {
		m.RO = nil
	}
}

// Another implementation of MessagePack reads every section.
func TestSectionsAreMessagePack(t *testing.T) {
	sections, err := unseal(mustEncode(t, randomModule(7, 10, 100)))
	if err != nil {
		t.Fatal(err)
	}
	for i, s := range sections[1:] {
		dec := msgpack.NewDecoder(bytes.NewReader(s))
		if _, err := dec.DecodeInterface(); err != nil {
			t.Errorf("section %s: %v", sectionNames[i+1], err)
		}
		if dec.Buffered().(*bytes.Reader).Len() != 0 {
			t.Errorf("section %s: bytes left over", sectionNames[i+1])
		}
	}
}

func TestContainerFaults(t *testing.T) {
	good := mustEncode(t, randomModule(3, 4, 30))
	change := func(f func(b []byte) []byte) []byte { return f(bytes.Clone(good)) }
	for _, c := range []struct {
		name string
		data []byte
		want error
	}{
		{"empty", nil, ErrNotModule},
		{"other magic", change(func(b []byte) []byte { b[1] = 'X'; return b }), ErrNotModule},
		{"text conversion", change(func(b []byte) []byte { b[4] = '\n'; return b }), ErrNotModule},
		{"half a header", good[:40], ErrTruncated},
		{"half a file", good[:len(good)/2], ErrTruncated},
		{"one byte short", good[:len(good)-1], ErrTruncated},
		{"one byte long", append(bytes.Clone(good), 0), ErrMalformed},
		{"header bit", change(func(b []byte) []byte { b[20] ^= 1; return b }), ErrChecksum},
		{"body bit", change(func(b []byte) []byte { b[len(b)/2] ^= 1; return b }), ErrChecksum},
		{"newer format", change(func(b []byte) []byte { b[8], b[10] = 2, 2; return reseal(b) }), ErrVersion},
		{"newer instructions", change(func(b []byte) []byte { b[12]++; return reseal(b) }), ErrVersion},
		{"version 0", change(func(b []byte) []byte { b[8] = 0; return reseal(b) }), ErrMalformed},
		{"unknown section", change(func(b []byte) []byte { b[64+16*8] = 99; return reseal(b) }), ErrMalformed},
		{"many sections", change(func(b []byte) []byte { b[14] = 200; return reseal(b) }), ErrLimit},
		{"bytes behind the sections", change(func(b []byte) []byte {
			b = append(b, 0)
			binary.LittleEndian.PutUint64(b[16:], uint64(len(b)))
			return reseal(b)
		}), ErrMalformed},
		{"section beyond the file", change(func(b []byte) []byte { b[64+16*8+8] += 5; return reseal(b) }), ErrMalformed},
		{"sections out of order", change(func(b []byte) []byte { b[64] = 3; return reseal(b) }), ErrMalformed},
		{"huge", change(func(b []byte) []byte { b[21] = 200; return reseal(b) }), ErrLimit},
	} {
		if _, err := Decode(c.data); !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", c.name, err, c.want)
		}
	}
	later := change(func(b []byte) []byte { b[10] = 2; b[64+16*8] = 99; return reseal(b) })
	if _, err := Decode(later); !errors.Is(err, ErrMalformed) {
		t.Errorf("a newer writer's section in place of ro: %v", err)
	}
}

// reseal makes the checksums right again.
func reseal(b []byte) []byte {
	if len(b) < headerSize {
		return b
	}
	id := identity(b)
	copy(b[32:], id[:])
	putU32 := func(at int, v uint32) {
		b[at], b[at+1], b[at+2], b[at+3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
	}
	putU32(24, bodyCRC(b))
	putU32(28, headerCRC(b))
	return b
}

// Changed bytes under right checksums reach the decoder proper: it must refuse them or return something that encodes again.
func TestDecodeMutated(t *testing.T) {
	testSeeds(t, 30, func(t *testing.T, seed uint64) {
		r := rand.New(rand.NewPCG(seed, 2))
		good := mustEncode(t, randomModule(seed, 3, 30))
		for range 200 {
			b := bytes.Clone(good)
			for range 1 + r.IntN(3) {
				b[headerSize+r.IntN(len(b)-headerSize)] = byte(r.Uint32())
			}
			m, err := Decode(reseal(b))
			if err != nil {
				continue
			}
			again, err := Decode(mustEncode(t, m))
			if err != nil || !reflect.DeepEqual(m, again) {
				t.Errorf("seed %d: decoded module does not survive: %v", seed, err)
			}
			_ = Verify(m)
		}
	})
}

// A bitmap has one form: a last byte of 0 is refused.
func TestDecodeBitmapForm(t *testing.T) {
	for _, c := range []struct {
		bytes []byte
		ok    bool
	}{{[]byte{0}, true}, {[]byte{1, 8}, true}, {[]byte{2, 8, 0}, false}, {[]byte{1, 0}, false}, {[]byte{2, 8}, false}} {
		d := &decoder{m: &Module{}, bits: make([]uint64, 4)}
		r := &reader{data: c.bytes, section: "funcs"}
		d.bitmap(r)
		if r.end(); (r.err == nil) != c.ok {
			t.Errorf("% x: %v", c.bytes, r.err)
		}
	}
}

// Lengths that nothing stands behind cost no memory.
func TestDecodeAllocatesLittle(t *testing.T) {
	good := mustEncode(t, randomModule(1, 4, 30))
	for section := secMeta; section < numSections; section++ {
		for _, lie := range [][]byte{
			{0xdd, 0x00, 0x0f, 0xff, 0xff},
			{0xdd, 0xff, 0xff, 0xff, 0xff},
			{0xdc, 0xff, 0xff},
			{0xc6, 0xff, 0xff, 0xff, 0xff},
			{0x96, 0xce, 0x03, 0xff, 0xff, 0xff, 0xce, 0x00, 0x7f, 0xff, 0xff},
			{0x96, 0, 0xce, 0x00, 0x7f, 0xff, 0xff},
			{0x96, 0, 0, 0, 0, 0, 0xdd, 0x00, 0x0f, 0xff, 0xff},
			{0xdb, 0xff, 0xff, 0xff, 0xff},
		} {
			sections, err := unseal(good)
			if err != nil {
				t.Fatal(err)
			}
			sections[section] = append(bytes.Clone(lie), sections[section]...)
			data, err := seal(&sections)
			if err != nil {
				t.Fatal(err)
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err = Decode(data)
			runtime.ReadMemStats(&after)
			if err == nil {
				t.Errorf("section %s: %x was accepted", sectionNames[section], lie)
			}
			if n := after.TotalAlloc - before.TotalAlloc; n > uint64(100*len(data)) {
				t.Errorf("section %s: %x made Decode of %d bytes allocate %d", sectionNames[section], lie, len(data), n)
			}
		}
	}
}

// bigModule has about 200,000 instructions and 3,000 types.
func bigModule(b *testing.B) *Module {
	m := randomModule(5, 4000, 50)
	for len(m.Types) < 3000 {
		t := m.Types[30]
		t.PtrTo, t.Methods = 0, nil
		m.Types = append(m.Types, t)
	}
	if err := Verify(m); err != nil {
		b.Fatal(err)
	}
	return m
}

func BenchmarkDecode(b *testing.B) {
	data := mustEncode(b, bigModule(b))
	b.SetBytes(int64(len(data)))
	for b.Loop() {
		if _, err := Decode(data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkVerify(b *testing.B) {
	m := bigModule(b)
	for b.Loop() {
		if err := Verify(m); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkEncode(b *testing.B) {
	m := bigModule(b)
	for b.Loop() {
		mustEncode(b, m)
	}
}
