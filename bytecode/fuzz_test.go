package bytecode

import (
	"bytes"
	"encoding/binary"
	"reflect"
	"testing"
)

// checkDecoded is what must hold for everything that Decode accepts.
func checkDecoded(t *testing.T, m *Module) {
	t.Helper()
	data, err := Encode(m)
	if err != nil {
		t.Fatalf("a decoded module does not encode: %v", err)
	}
	again, err := Decode(data)
	if err != nil || !reflect.DeepEqual(m, again) {
		t.Fatalf("a decoded module does not survive encoding: %v", err)
	}
	var text bytes.Buffer
	if err := Disassemble(m, &text); err != nil {
		t.Fatal(err)
	}
	if Verify(m) == nil {
		checkTextRoundTrip(t, m)
	}
}

func FuzzDecode(f *testing.F) {
	for _, text := range asmFiles(f) {
		m, err := Assemble(text)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(mustEncode(f, m))
	}
	f.Add(mustEncode(f, randomModule(1, 1, 5)))
	f.Fuzz(func(t *testing.T, data []byte) {
		if m, err := Decode(data); err == nil {
			checkDecoded(t, m)
		}
		// Almost no change passes the checksums, so they are made right.
		if len(data) < headerSize || len(data) > 1<<16 {
			return
		}
		data = bytes.Clone(data)
		binary.LittleEndian.PutUint64(data[16:], uint64(len(data)))
		if m, err := Decode(reseal(data)); err == nil {
			checkDecoded(t, m)
		}
	})
}

// FuzzSections changes one section of a valid file; header and checksums are made anew, so that the change reaches the section's decoder.
func FuzzSections(f *testing.F) {
	for i := range numSections - 1 {
		f.Add(uint8(i), uint16(3), uint16(2), []byte{0xce, 0xff, 0xff, 0xff, 0xff})
		f.Add(uint8(i), uint16(0), uint16(0), []byte{0xdd, 0x00, 0xff, 0xff, 0xff})
	}
	good := mustEncode(f, randomModule(1, 2, 12))
	f.Fuzz(func(t *testing.T, section uint8, at, cut uint16, insert []byte) {
		sections, err := unseal(good)
		if err != nil {
			t.Fatal(err)
		}
		s := &sections[1+int(section)%(numSections-1)]
		from := int(at) % (len(*s) + 1)
		to := from + int(cut)%(len(*s)-from+1)
		*s = append(append(bytes.Clone((*s)[:from]), insert...), (*s)[to:]...)
		data, err := seal(&sections)
		if err != nil {
			t.Fatal(err)
		}
		if m, err := Decode(data); err == nil {
			checkDecoded(t, m)
		}
	})
}

// FuzzVerify changes a valid module; edits are a list of (what, where, value).
func FuzzVerify(f *testing.F) {
	f.Add(uint64(1), []byte("code 1234567890"))
	f.Add(uint64(2), bytes.Repeat([]byte{3, 1, 0, 0xff, 0xff, 0xff, 0xff}, 8))
	f.Add(uint64(3), []byte{})
	f.Fuzz(func(t *testing.T, seed uint64, edits []byte) {
		if len(edits) > 1000 {
			return
		}
		m := randomModule(seed%64, 2, 20)
		for len(edits) >= 7 {
			edit(m, edits[0], int(binary.LittleEndian.Uint16(edits[1:])), binary.LittleEndian.Uint32(edits[3:]))
			edits = edits[7:]
		}
		verifyWithin(t, m)
	})
}

func verifyWithin(t *testing.T, m *Module) {
	t.Helper()
	if Verify(m) != nil {
		return
	}
	checkTextRoundTrip(t, m)
	layouts, err := m.Layouts()
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i < len(m.Types); i++ {
		if m.SlotsOf(TypeID(i)) != int(layouts[i].Slots) || m.IsDirect(TypeID(i)) != layouts[i].Direct {
			t.Fatalf("type %d: slots or directness differ", i)
		}
		m.SlotPointers(TypeID(i))
		m.PtrRuns(TypeID(i), layouts)
	}
}

// edit changes one number of the module.
func edit(m *Module, what byte, where int, value uint32) {
	f := &m.Funcs[1+where%(len(m.Funcs)-1)]
	t := &m.Types[1+where%(len(m.Types)-1)]
	switch what % 24 {
	case 0, 1, 2, 3, 4, 5, 6, 7:
		// One byte of one word.
		pc := where % len(f.Code)
		shift := 8 * (what % 8)
		f.Code[pc] = f.Code[pc]&^(0xff<<shift) | uint64(value&0xff)<<shift
	case 8:
		f.Frame = uint16(value)
	case 9:
		f.Args = uint16(value)
	case 10:
		f.Results = uint16(value)
	case 11:
		f.RecoverPC = value
	case 12:
		if len(f.Points) > 0 {
			f.Points[where%len(f.Points)].PC = value
		}
	case 13:
		if n := len(f.Points); n > 0 {
			f.Points = append(f.Points[:where%n], f.Points[where%n+1:]...)
		}
	case 14:
		f.Bitmaps[where%len(f.Bitmaps)] = []uint64{uint64(value)}
	case 15:
		f.Code = f.Code[:1+where%len(f.Code)]
	case 16:
		f.Flags = FuncFlags(value)
	case 17:
		t.Elem, t.Key = TypeID(value), TypeID(where)
	case 18:
		t.Kind = Kind(value)
	case 19:
		t.Len, t.Size = uint64(value), uint64(where)
	case 20:
		if len(t.Fields) > 0 {
			t.Fields[where%len(t.Fields)].Type = TypeID(value)
		}
	case 21:
		if len(t.Methods) > 0 {
			t.Methods[0].Ifn = FuncID(value)
		}
	case 22:
		m.Entry = FuncID(value)
	case 23:
		f.Always = []uint64{uint64(value) << 3}
	}
}

func FuzzAssemble(f *testing.F) {
	for _, text := range asmFiles(f) {
		f.Add(text)
	}
	f.Add(function("NOP"))
	var text bytes.Buffer
	if err := Disassemble(randomModule(2, 1, 10), &text); err != nil {
		f.Fatal(err)
	}
	f.Add(text.String())
	f.Fuzz(func(t *testing.T, text string) {
		m, err := Assemble(text)
		if err != nil {
			return
		}
		if Verify(m) == nil {
			checkTextRoundTrip(t, m)
		}
	})
}
