package bytecode

import (
	"encoding/binary"
	"math"
)

// The part of MessagePack that sections use: unsigned integers, strings, byte strings and arrays. Integers and
// lengths are written in their shortest form, so that a module has one encoding. Tables with many small numbers
// are byte strings of LEB128 integers.

const (
	mpArray4 = 0x90
	mpStr5   = 0xa0
	mpBin8   = 0xc4
	mpBin16  = 0xc5
	mpBin32  = 0xc6
	mpUint8  = 0xcc
	mpUint16 = 0xcd
	mpUint32 = 0xce
	mpUint64 = 0xcf
	mpStr8   = 0xd9
	mpStr16  = 0xda
	mpStr32  = 0xdb
	mpArr16  = 0xdc
	mpArr32  = 0xdd
)

type writer struct{ data []byte }

func (w *writer) uint(v uint64) {
	switch {
	case v < 0x80:
		w.data = append(w.data, byte(v))
	case v <= math.MaxUint8:
		w.data = append(w.data, mpUint8, byte(v))
	case v <= math.MaxUint16:
		w.data = binary.BigEndian.AppendUint16(append(w.data, mpUint16), uint16(v))
	case v <= math.MaxUint32:
		w.data = binary.BigEndian.AppendUint32(append(w.data, mpUint32), uint32(v))
	default:
		w.data = binary.BigEndian.AppendUint64(append(w.data, mpUint64), v)
	}
}

// length writes a header with a 16-bit and a 32-bit form, and an 8-bit form unless code8 is 0.
func (w *writer) length(n int, code8, code16, code32 byte) {
	switch {
	case code8 != 0 && n <= math.MaxUint8:
		w.data = append(w.data, code8, byte(n))
	case n <= math.MaxUint16:
		w.data = binary.BigEndian.AppendUint16(append(w.data, code16), uint16(n))
	default:
		w.data = binary.BigEndian.AppendUint32(append(w.data, code32), uint32(n))
	}
}

func (w *writer) array(n int) {
	if n < 16 {
		w.data = append(w.data, mpArray4|byte(n))
		return
	}
	w.length(n, 0, mpArr16, mpArr32)
}

func (w *writer) str(s string) {
	if len(s) < 32 {
		w.data = append(w.data, mpStr5|byte(len(s)))
	} else {
		w.length(len(s), mpStr8, mpStr16, mpStr32)
	}
	w.data = append(w.data, s...)
}

func (w *writer) bin(b []byte) {
	w.length(len(b), mpBin8, mpBin16, mpBin32)
	w.data = append(w.data, b...)
}

// reader reads a section, or a byte string within one. The first fault sticks; all later reads return zeros.
type reader struct {
	data    []byte
	text    string // the same bytes, where strings are cut from
	pos     int
	base    int // of data in the section, for messages
	section string
	err     error
}

func (r *reader) fail(sentinel error, reason string) {
	if r.err == nil {
		r.err = &FormatError{Err: sentinel, Section: r.section, Offset: r.base + r.pos, Reason: reason}
	}
	r.pos = len(r.data)
}

func (r *reader) byte() byte {
	if r.pos >= len(r.data) {
		r.fail(ErrMalformed, "ends too early")
		return 0
	}
	b := r.data[r.pos]
	r.pos++
	return b
}

// bigEndian reads n bytes.
func (r *reader) bigEndian(n int) uint64 {
	if n > len(r.data)-r.pos {
		r.fail(ErrMalformed, "ends too early")
		return 0
	}
	v := uint64(0)
	for _, b := range r.data[r.pos : r.pos+n] {
		v = v<<8 | uint64(b)
	}
	r.pos += n
	return v
}

// uint reads an integer of at most limit.
func (r *reader) uint(limit uint64) uint64 {
	code := r.byte()
	v := uint64(code)
	if code >= 0x80 {
		if code < mpUint8 || code > mpUint64 {
			r.fail(ErrMalformed, "not an unsigned integer")
			return 0
		}
		v = r.bigEndian(1 << (code - mpUint8))
	}
	if v > limit {
		r.fail(ErrLimit, "integer too large")
		return 0
	}
	return v
}

// array reads an array's length. Every element takes a byte at least.
func (r *reader) array(limit int) int {
	code := r.byte()
	n := uint64(code & 15)
	switch {
	case code == mpArr16:
		n = r.bigEndian(2)
	case code == mpArr32:
		n = r.bigEndian(4)
	case code&0xf0 != mpArray4:
		r.fail(ErrMalformed, "not an array")
		return 0
	}
	if n > uint64(len(r.data)-r.pos) {
		r.fail(ErrMalformed, "array is longer than its section")
		return 0
	}
	if n > uint64(limit) {
		r.fail(ErrLimit, "array too long")
		return 0
	}
	return int(n)
}

// tuple reads the header of an array of exactly n elements.
func (r *reader) tuple(n int) {
	if got := r.array(n); got != n && r.err == nil {
		r.fail(ErrMalformed, "record has the wrong number of fields")
	}
}

// records reads the header of an array of records that are written one after the other without headers of their own.
func (r *reader) records(fields, limit int) int {
	n := r.array(fields * limit)
	if n%fields != 0 {
		r.fail(ErrMalformed, "array ends within a record")
		return 0
	}
	return n / fields
}

// span returns the start of the next n bytes and passes over them.
func (r *reader) span(n uint64) int {
	if n > uint64(len(r.data)-r.pos) {
		r.fail(ErrMalformed, "string is longer than its section")
		return r.pos
	}
	start := r.pos
	r.pos += int(n)
	return start
}

func (r *reader) str() string {
	code := r.byte()
	n := uint64(code & 31)
	switch {
	case code >= mpStr8 && code <= mpStr32:
		n = r.bigEndian(1 << (code - mpStr8))
	case code&0xe0 != mpStr5:
		r.fail(ErrMalformed, "not a string")
		return ""
	}
	start := r.span(n)
	return r.text[start:r.pos]
}

func (r *reader) bin() []byte {
	code := r.byte()
	if code < mpBin8 || code > mpBin32 {
		r.fail(ErrMalformed, "not a byte string")
		return nil
	}
	start := r.span(r.bigEndian(1 << (code - mpBin8)))
	return r.data[start:r.pos]
}

// blob reads a byte string and returns a reader of its LEB128 integers.
func (r *reader) blob() reader {
	b := r.bin()
	return reader{data: b, base: r.base + r.pos - len(b), section: r.section, err: r.err}
}

// leb reads a LEB128 integer of at most 32 bits.
func (r *reader) leb() uint32 {
	if r.pos < len(r.data) && r.data[r.pos] < 0x80 {
		r.pos++
		return uint32(r.data[r.pos-1])
	}
	v, n := binary.Uvarint(r.data[r.pos:])
	if n <= 0 || v > math.MaxUint32 {
		r.fail(ErrMalformed, "bad LEB128 integer")
		return 0
	}
	r.pos += n
	return uint32(v)
}

// count reads a number of entries that take size bytes or more each.
func (r *reader) count(size int) int {
	n := r.leb()
	if int64(n)*int64(size) > int64(len(r.data)-r.pos) {
		r.fail(ErrMalformed, "table is longer than its byte string")
		return 0
	}
	return int(n)
}

func (r *reader) end() {
	if r.err == nil && r.pos != len(r.data) {
		r.fail(ErrMalformed, "bytes left over")
	}
}
