package persist_test

import (
	"bytes"
	"encoding/binary"
	"hash/crc32"
	"io"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// smallImage is a valid image of 256 KiB.
func smallImage(t testing.TB, clean bool) []byte {
	h, d := newHistory(), sim.New(256<<10)
	s, _ := create(t, h, d, d.Len, 4)
	for i := range persist.PageID(4) {
		_, err := s.Commit([]byte("meta"), []persist.PageImage{
			{ID: i, Data: bytes.Repeat([]byte{byte(i + 1)}, 4096)}, {ID: 1<<26 - 1 - i, Data: bytes.Repeat([]byte{9}, 4096)},
		})
		require.NoError(t, err)
	}
	if clean {
		require.NoError(t, s.Close())
	}
	return d.Image()
}

// sealer makes checksums fit the bytes again, bottom up, so that the fuzzer
// gets behind them.
type sealer struct {
	img    []byte
	budget int // blocks left to visit: the references may form loops
}

var crcTable = crc32.MakeTable(crc32.Castagnoli)

func (s *sealer) at(b uint32) []byte {
	if o := int64(b) * 4096; o+4096 <= int64(len(s.img)) {
		return s.img[o : o+4096]
	}
	return nil
}

// ref seals what an 8-byte reference refers to, by inner, and then the reference.
func (s *sealer) ref(ref []byte, inner func([]byte)) {
	block := binary.LittleEndian.Uint32(ref)
	b := s.at(block)
	if block == 0 || b == nil || s.budget == 0 {
		return
	}
	s.budget--
	if inner != nil {
		inner(b)
	}
	binary.LittleEndian.PutUint32(ref[4:], crc32.Checksum(b, crcTable))
}

func (s *sealer) node(level int) func([]byte) {
	if level == 0 {
		return nil
	}
	return func(b []byte) {
		for i := 0; i < 4096; i += 8 {
			s.ref(b[i:], s.node(level-1))
		}
	}
}

func (s *sealer) record(b []byte) {
	s.ref(b[20:], s.record)
	for i := range min(252, binary.LittleEndian.Uint32(b[4:])) {
		e := b[64+16*i:]
		tag := binary.LittleEndian.Uint32(e)
		level := int(tag >> 30)
		if tag > 3<<30 {
			level = 0 // a usage block or a summary
		}
		s.ref(e[4:], s.node(level))
	}
	inner(b, 48)
}

// inner seals a record or a summary.
func inner(b []byte, at int) {
	c := crc32.Update(crc32.ChecksumIEEE(b[:at]), crc32.IEEETable, b[at+4:])
	binary.LittleEndian.PutUint32(b[at:], c)
}

func (s *sealer) root(b []byte) {
	le := binary.LittleEndian
	s.ref(b[72:], s.node(3)) // both references lie in the first sector
	s.ref(b[56:], s.record)
	var payload []byte
	for i := range 8 {
		payload = append(payload, b[i*512:i*512+504]...)
	}
	le.PutUint32(b[7*512+500:], crc32.Checksum(payload[:4028], crcTable))
	for i := range 8 {
		c := b[i*512 : (i+1)*512]
		le.PutUint32(c[504:], le.Uint32(b[8:])<<8|uint32(i))
		le.PutUint32(c[508:], crc32.Checksum(c[:508], crcTable))
	}
}

func reseal(img []byte) {
	s := &sealer{img: img, budget: 1000}
	for _, b := range []uint32{0, 15} {
		if b := s.at(b); b != nil {
			binary.LittleEndian.PutUint32(b[4092:], crc32.Checksum(b[:4092], crcTable))
		}
	}
	for _, slot := range []uint32{1, 8} {
		if b := s.at(slot); b != nil {
			s.root(b)
		}
	}
}

// FuzzImage: nothing panics or hangs on arbitrary bytes, and a store that
// opens can be used. Input: patches of {block, offset, value} on a valid image,
// or the whole image. Run it with -fuzzminimizetime 1x: inputs are large.
func FuzzImage(f *testing.F) {
	clean, dirty := smallImage(f, true), smallImage(f, false)
	f.Add(uint8(0), clean[:4<<10])
	f.Add(uint8(1), []byte{1, 0, 80, 0, 17, 0, 0, 0})
	f.Add(uint8(3), []byte{8, 0, 72, 0, 16, 0, 0, 0, 16, 0, 0, 0, 1, 2, 3, 4})
	f.Fuzz(func(t *testing.T, mode uint8, in []byte) {
		var img []byte
		if mode&1 == 0 {
			if len(in) > 1<<20 {
				return
			}
			img = make([]byte, (len(in)+4095)&^4095)
			copy(img, in)
		} else {
			img = bytes.Clone(clean)
			if mode&4 != 0 {
				img = bytes.Clone(dirty)
			}
			for ; len(in) >= 8; in = in[8:] {
				off := int(binary.LittleEndian.Uint16(in))*4096 + int(binary.LittleEndian.Uint16(in[2:]))
				if off+4 <= len(img) {
					copy(img[off:], in[4:8])
				}
			}
		}
		if mode&2 != 0 {
			reseal(img)
		}
		useImage(t, img)
	})
}

func useImage(t *testing.T, img []byte) {
	_, _ = persist.Fsck(sim.FromImage(bytes.Clone(img)), io.Discard)
	_ = persist.Dump(sim.FromImage(bytes.Clone(img)), io.Discard)
	d := sim.FromImage(img)
	s, rec, err := persist.Open(d)
	if err != nil {
		return
	}
	if _, err := load(s, rec); err != nil {
		return
	}
	page := bytes.Repeat([]byte{3}, 4096)
	for i := range persist.PageID(6) {
		if _, err := s.Commit([]byte{byte(i)}, []persist.PageImage{{ID: i, Data: page}, {ID: 600 * i, Data: page}}); err != nil {
			return
		}
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := persist.Open(d); err != nil {
		t.Fatalf("an image that was committed to can't be opened: %v", err)
	}
}
