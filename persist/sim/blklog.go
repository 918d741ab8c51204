package sim

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// ErrLog is wrapped by the errors of [ReadLog].
var ErrLog = errors.New("damaged write log")

// The format of the Linux kernel's dm-log-writes, which QEMU's driver
// blklogwrites writes too (Documentation/admin-guide/device-mapper/log-writes.rst,
// drivers/md/dm-log-writes.c). Numbers are little-endian. A super block, then
// entries; each of these parts and the data of an entry begin at multiples of
// the log's sector size.
//
//	super block:  magic 8, version 8, number of entries 8, sector size 4
//	entry:        first sector 8, number of sectors 8, flags 8, length of the data 8
const (
	logMagic     = 0x6a736677736872
	logVersion   = 1
	logFlush     = 1 << 0 // before the entry's write
	logFUA       = 1 << 1 // the entry's write, and nothing else, is durable when it is answered
	logDiscard   = 1 << 2
	logMark      = 1 << 3
	maxLogSector = 64 << 10
	maxLogWrite  = 64 << 20
)

// ReadLog reads a log of writes. Marks are left out, a discard becomes a write
// of zeros, and a write with FUA an ordinary one, which loses what it promised:
// every image that may be left is among those of the operations returned.
func ReadLog(r io.Reader) ([]Op, error) {
	head := make([]byte, Sector)
	if _, err := io.ReadFull(r, head); err != nil {
		return nil, fmt.Errorf("%w: super block: %w", ErrLog, err)
	}
	le := binary.LittleEndian
	entries, size := le.Uint64(head[16:]), int64(le.Uint32(head[24:]))
	switch {
	case le.Uint64(head) != logMagic || le.Uint64(head[8:]) != logVersion:
		return nil, fmt.Errorf("%w: magic %#x, version %d", ErrLog, le.Uint64(head), le.Uint64(head[8:]))
	case size < Sector || size > maxLogSector || size&(size-1) != 0:
		return nil, fmt.Errorf("%w: sectors of %d bytes", ErrLog, size)
	}
	if err := skip(r, size-Sector); err != nil {
		return nil, err
	}
	var ops []Op
	entry := make([]byte, size)
	for n := range entries {
		if _, err := io.ReadFull(r, entry); err != nil {
			return ops, fmt.Errorf("%w: entry %d of %d: %w", ErrLog, n, entries, err)
		}
		at, count, flags, length := le.Uint64(entry), le.Uint64(entry[8:]), le.Uint64(entry[16:]), le.Uint64(entry[24:])
		if at > 1<<40 || count > maxLogWrite/Sector || length > maxLogWrite || flags >= logMark<<1 {
			return ops, fmt.Errorf("%w: entry %d: sector %d, %d sectors, flags %#x, %d bytes", ErrLog, n, at, count, flags, length)
		}
		if flags&logFlush != 0 {
			ops = append(ops, Op{})
		}
		switch {
		case flags&logMark != 0:
			if err := skip(r, (int64(length)+size-1)/size*size); err != nil {
				return ops, err
			}
		case flags&logDiscard != 0:
			ops = append(ops, Op{int64(at) * size, make([]byte, count*uint64(size))})
		case count > 0:
			data := make([]byte, count*uint64(size))
			if _, err := io.ReadFull(r, data); err != nil {
				return ops, fmt.Errorf("%w: data of entry %d: %w", ErrLog, n, err)
			}
			ops = append(ops, Op{int64(at) * size, data})
		}
	}
	return ops, nil
}

func skip(r io.Reader, n int64) error {
	if _, err := io.CopyN(io.Discard, r, n); err != nil {
		return fmt.Errorf("%w: %w", ErrLog, err)
	}
	return nil
}
