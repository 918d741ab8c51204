package sim

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"hash/maphash"
	"slices"
	"sync"

	"phantomvm/persist"
)

const sectorsPerBlock = persist.BlockSize / Sector

// hashSeed is one for the whole process: sums are compared between recordings.
var hashSeed = maphash.MakeSeed()

// sectorSum is a hash of a sector's place and contents, 0 for a sector of
// zeros. The sum of a whole disk is the sum over its sectors modulo 2^64, so
// it does not depend on how the contents came about, and a changed sector
// changes it in constant time.
func sectorSum(sector int64, b []byte) uint64 {
	if bytes.Equal(b, zeroSector[:]) {
		return 0
	}
	var at [8]byte
	binary.LittleEndian.PutUint64(at[:], uint64(sector))
	var h maphash.Hash
	h.SetSeed(hashSeed)
	_, _ = h.Write(at[:]) // never fails
	_, _ = h.Write(b)
	return h.Sum64()
}

var zeroSector [Sector]byte

// Base is the unchanging contents that images share.
type Base struct {
	data []byte
	sums []uint64 // by sector
	sum  uint64
}

// NewBase takes the contents over.
func NewBase(data []byte) *Base {
	b := &Base{data: data, sums: make([]uint64, len(data)/Sector)}
	for i := range b.sums {
		b.sums[i] = sectorSum(int64(i), data[i*Sector:(i+1)*Sector])
		b.sum += b.sums[i]
	}
	return b
}

// write changes the base itself; no image may lie over it.
func (b *Base) write(s sector) {
	copy(b.data[s.at*Sector:], s.data)
	b.sum += s.sum - b.sums[s.at]
	b.sums[s.at] = s.sum
}

// sector is one sector of a write that is not flushed yet.
type sector struct {
	at   int64 // number on the disk
	data []byte
	sum  uint64
}

// block is what an image has instead of its base's block.
type block struct {
	data [persist.BlockSize]byte
	sums [sectorsPerBlock]uint64
}

// Image is a disk that lies over a [Base] and holds only the blocks in which
// it differs: making one costs no more than those. It implements
// persist.Device, persist.GatherWriter and persist.GroupWriter.
type Image struct {
	mu      sync.Mutex
	base    *Base
	blocks  []*block // by number, nil where the base shows
	changed []int
	spare   []*block
	sum     uint64
	faults
	record bool
	ops    []Op
}

var _ interface {
	persist.Device
	persist.GatherWriter
	persist.GroupWriter
} = (*Image)(nil)

// NewImage is an image without differences.
func NewImage(base *Base) *Image {
	return &Image{base: base, blocks: make([]*block, len(base.data)/persist.BlockSize), sum: base.sum}
}

// Reset drops all differences, recorded operations and faults.
func (m *Image) Reset() {
	for _, b := range m.changed {
		m.spare = append(m.spare, m.blocks[b])
		m.blocks[b] = nil
	}
	m.changed, m.sum, m.record, m.ops, m.faults = m.changed[:0], m.base.sum, false, nil, faults{}
}

// Sum is the hash of the contents that [Image.save] and [Image.Flip] have made.
// What was written through WriteAt is not in it.
func (m *Image) Sum() uint64 { return m.sum }

// own makes the image's own copy of a block.
func (m *Image) own(n int) *block {
	if b := m.blocks[n]; b != nil {
		return b
	}
	var b *block
	if k := len(m.spare); k > 0 {
		b, m.spare = m.spare[k-1], m.spare[:k-1]
	} else {
		b = new(block)
	}
	copy(b.data[:], m.base.data[n*persist.BlockSize:])
	copy(b.sums[:], m.base.sums[n*sectorsPerBlock:])
	m.blocks[n] = b
	m.changed = append(m.changed, n)
	return b
}

// save puts one sector of a write on the disk.
func (m *Image) save(s sector) {
	b, i := m.own(int(s.at/sectorsPerBlock)), s.at%sectorsPerBlock
	copy(b.data[i*Sector:], s.data)
	m.sum += s.sum - b.sums[i]
	b.sums[i] = s.sum
}

// Flip changes one bit.
func (m *Image) Flip(off int64, bit int) {
	at := off / Sector
	b, i := m.own(int(at/sectorsPerBlock)), at%sectorsPerBlock
	b.data[off%persist.BlockSize] ^= 1 << bit
	s := sectorSum(at, b.data[i*Sector:(i+1)*Sector])
	m.sum += s - b.sums[i]
	b.sums[i] = s
}

// Size implements persist.Device.
func (m *Image) Size() int64 { return int64(len(m.base.data)) }

// ReadAt implements io.ReaderAt.
func (m *Image) ReadAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || off+int64(len(p)) > m.Size() {
		return 0, fmt.Errorf("sim: read of %d bytes at %#x is outside the disk", len(p), off)
	}
	if f := m.failing(true); f != nil {
		return 0, f.Err
	}
	n := copy(p, m.base.data[off:])
	if len(m.changed) == 0 {
		return n, nil
	}
	for k := off / persist.BlockSize; k*persist.BlockSize < off+int64(n); k++ {
		if b := m.blocks[k]; b != nil {
			from, to := max(off, k*persist.BlockSize), min(off+int64(n), (k+1)*persist.BlockSize)
			copy(p[from-off:to-off], b.data[from-k*persist.BlockSize:])
		}
	}
	return n, nil
}

// WriteAt implements io.WriterAt.
func (m *Image) WriteAt(p []byte, off int64) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if off < 0 || off+int64(len(p)) > m.Size() || off%persist.BlockSize != 0 || len(p)%persist.BlockSize != 0 {
		return 0, fmt.Errorf("sim: write of %d bytes at %#x is outside the disk or not aligned", len(p), off)
	}
	n, err := len(p), error(nil)
	if f := m.failing(false); f != nil {
		n, err = min(f.Torn*Sector, len(p)), f.Err
	}
	if n == 0 {
		return 0, err
	}
	for o := 0; o < n; o += persist.BlockSize {
		copy(m.own(int(off+int64(o)) / persist.BlockSize).data[:], p[o:n])
	}
	if m.record {
		m.ops = append(m.ops, Op{off, slices.Clone(p[:n])})
	}
	return n, err
}

// Flush implements persist.Device.
func (m *Image) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if f := m.failing(false); f != nil {
		return f.Err
	}
	if m.record {
		m.ops = append(m.ops, Op{})
	}
	return nil
}

// WriteGather implements persist.GatherWriter; each buffer is a write of its own.
func (m *Image) WriteGather(bufs [][]byte, off int64) error { return gather(m, bufs, off) }

// WriteGroup implements persist.GroupWriter.
func (m *Image) WriteGroup(runs [][][]byte, offs []int64) error { return writeGroup(m, runs, offs) }

// SetFault replaces the fault; nil heals the device.
func (m *Image) SetFault(f *Fault) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.faults = faults{fault: f}
}

// Contents is a copy of the whole disk.
func (m *Image) Contents() []byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	out := bytes.Clone(m.base.data)
	for _, n := range m.changed {
		copy(out[n*persist.BlockSize:], m.blocks[n].data[:])
	}
	return out
}

// Record begins a recording with the present contents. The image may be used
// until the next Reset; [Image.Recording] returns what was recorded so far.
func (m *Image) Record() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.record, m.ops = true, nil
}

// Recording returns the operations since Record; base is what Contents
// returned then.
func (m *Image) Recording(base []byte) *Recording {
	m.mu.Lock()
	defer m.mu.Unlock()
	return &Recording{Base: base, Ops: slices.Clone(m.ops)}
}

// Len is the number of operations recorded so far.
func (m *Image) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.ops)
}
