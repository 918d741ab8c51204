package sim

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

// logEntry builds an entry of a log with sectors of 512 bytes.
func logEntry(at, count, flags, length uint64, data []byte) []byte {
	b := make([]byte, Sector)
	for i, v := range []uint64{at, count, flags, length} {
		binary.LittleEndian.PutUint64(b[i*8:], v)
	}
	b = append(b, data...)
	return append(b, make([]byte, (Sector-len(b)%Sector)%Sector)...)
}

func logHead(entries uint64, size uint32) []byte {
	b := make([]byte, Sector)
	binary.LittleEndian.PutUint64(b, logMagic)
	binary.LittleEndian.PutUint64(b[8:], logVersion)
	binary.LittleEndian.PutUint64(b[16:], entries)
	binary.LittleEndian.PutUint32(b[24:], size)
	return b
}

func TestReadLog(t *testing.T) {
	one, two := bytes.Repeat([]byte{1}, Sector), bytes.Repeat([]byte{2}, 2*Sector)
	log := bytes.Join([][]byte{
		logHead(5, Sector),
		logEntry(8, 1, 0, 0, one),
		logEntry(0, 0, logFlush, 0, nil),
		logEntry(0, 0, logMark, 5, []byte("hello")),
		logEntry(16, 2, logFlush|logFUA, 0, two),
		logEntry(24, 3, logDiscard, 0, nil),
	}, nil)
	ops, err := ReadLog(bytes.NewReader(log))
	require.NoError(t, err)
	require.Equal(t, []Op{{8 * Sector, one}, {}, {}, {16 * Sector, two}, {24 * Sector, make([]byte, 3*Sector)}}, ops)

	for n := range log {
		_, err := ReadLog(bytes.NewReader(log[:n]))
		require.ErrorIs(t, err, ErrLog, "cut to %d bytes", n)
	}
	for _, bad := range [][]byte{
		append(logHead(1, Sector), logEntry(0, 1<<60, 0, 0, nil)...),
		append(logHead(1, Sector), logEntry(1<<60, 1, 0, 0, nil)...),
		append(logHead(1, Sector), logEntry(0, 0, 1<<9, 0, nil)...),
		append(logHead(1, Sector), logEntry(0, 0, logMark, 1<<50, nil)...),
		logHead(1, 0), logHead(1, 1000), logHead(1, 1<<31),
	} {
		_, err := ReadLog(bytes.NewReader(bad))
		require.ErrorIs(t, err, ErrLog)
	}
	rng := rand.New(rand.NewPCG(1, 2))
	for range 2000 {
		b := bytes.Clone(log)
		for range 3 {
			b[rng.IntN(len(b))] = byte(rng.Uint32())
		}
		if ops, err := ReadLog(bytes.NewReader(b)); err == nil {
			require.LessOrEqual(t, len(ops), 10)
		}
	}
}
