package nbddev

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
	"net"
	"strings"
	"unicode"
)

// The numbers of the protocol, from the NBD project's doc/proto.md. All are
// big-endian on the wire.
const (
	magicServer   = 0x4e42444d41474943 // "NBDMAGIC"
	magicOption   = 0x49484156454f5054 // "IHAVEOPT"
	magicOldstyle = 0x00420281861253
	magicReply    = 0x0003e889045565a9

	flagFixedNewstyle = 1 << 0
	flagNoZeroes      = 1 << 1

	optAbort = 2
	optGo    = 7

	repAck        = 1
	repInfo       = 3
	repError      = 1 << 31
	repUnsup      = repError + 1
	repPolicy     = repError + 2
	repTLS        = repError + 5
	repUnknown    = repError + 6
	repShutdown   = repError + 7
	repBlockSize  = repError + 8
	infoExport    = 0
	infoBlockSize = 3

	// Bounds on what a server may make us read.
	maxReplyLen = 16 << 10
	maxReplies  = 64
)

// Transmission flags of an export.
const (
	hasFlags      = 1 << 0
	isReadOnly    = 1 << 1
	hasFlush      = 1 << 2
	hasFUA        = 1 << 3
	hasTrim       = 1 << 5
	hasWriteZeros = 1 << 6
)

// defaultMaxPayload bounds a request to a server that does not say what it takes.
const defaultMaxPayload = 32 << 20

// export is what the server says about the export.
type export struct {
	size       int64
	flags      uint16
	maxPayload int // bytes of one read or write
}

var be = binary.BigEndian

// handshake selects the export: fixed newstyle, NBD_OPT_GO.
//
//	S: NBDMAGIC IHAVEOPT u16 flags
//	C: u32 flags
//	C: IHAVEOPT u32 option u32 length data
//	S: magic u64, u32 option, u32 type, u32 length, data; until ACK or an error
func handshake(c net.Conn, name string) (export, error) {
	var b [20]byte
	if _, err := io.ReadFull(c, b[:16]); err != nil {
		return export{}, fmt.Errorf("greeting: %w", err)
	}
	switch {
	case be.Uint64(b[:]) != magicServer:
		return export{}, protocolError("this is not an NBD server")
	case be.Uint64(b[8:]) == magicOldstyle:
		return export{}, protocolError("the server speaks the oldstyle protocol only")
	case be.Uint64(b[8:]) != magicOption:
		return export{}, protocolError("unknown kind of handshake")
	}
	if _, err := io.ReadFull(c, b[:2]); err != nil {
		return export{}, fmt.Errorf("greeting: %w", err)
	}
	flags := be.Uint16(b[:])
	if flags&flagFixedNewstyle == 0 {
		return export{}, protocolError("the server lacks the fixed newstyle handshake")
	}
	msg := be.AppendUint32(nil, uint32(flags&(flagFixedNewstyle|flagNoZeroes)))
	data := be.AppendUint32(nil, uint32(len(name)))
	data = append(data, name...)
	data = be.AppendUint16(data, 1)
	data = be.AppendUint16(data, infoBlockSize)
	msg = append(appendOption(msg, optGo, len(data)), data...)
	if _, err := c.Write(msg); err != nil {
		return export{}, fmt.Errorf("handshake: %w", err)
	}
	return readGo(c)
}

func appendOption(b []byte, option uint32, n int) []byte {
	b = be.AppendUint64(b, magicOption)
	b = be.AppendUint32(b, option)
	return be.AppendUint32(b, uint32(n))
}

// readGo reads the replies to NBD_OPT_GO.
func readGo(c net.Conn) (export, error) {
	e := export{size: -1, maxPayload: defaultMaxPayload}
	for range maxReplies {
		var h [20]byte
		if _, err := io.ReadFull(c, h[:]); err != nil {
			return e, fmt.Errorf("handshake: %w", err)
		}
		kind, n := be.Uint32(h[12:]), be.Uint32(h[16:])
		if be.Uint64(h[:]) != magicReply || be.Uint32(h[8:]) != optGo {
			return e, protocolError("bad reply to NBD_OPT_GO")
		}
		if n > maxReplyLen {
			return e, protocolError("a reply of %d bytes in the handshake", n)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(c, data); err != nil {
			return e, fmt.Errorf("handshake: %w", err)
		}
		switch {
		case kind == repAck:
			if e.size < 0 {
				return e, protocolError("the server did not tell the size of the export")
			}
			return e, nil
		case kind == repInfo:
			if err := e.info(data); err != nil {
				return e, err
			}
		case kind&repError != 0:
			_, _ = c.Write(appendOption(nil, optAbort, 0)) // a courtesy
			return e, refusal(kind, data)
		default:
			return e, protocolError("unknown reply type %d in the handshake", kind)
		}
	}
	return e, protocolError("the handshake does not end")
}

func (e *export) info(b []byte) error {
	if len(b) < 2 {
		return protocolError("short information about the export")
	}
	switch kind := be.Uint16(b); {
	case kind == infoExport && len(b) == 12:
		size := be.Uint64(b[2:])
		if size > math.MaxInt64 {
			return protocolError("an export of %d bytes", size)
		}
		e.size, e.flags = int64(size), be.Uint16(b[10:])
		if e.flags&hasFlags == 0 {
			e.flags = 0
		}
	case kind == infoBlockSize && len(b) == 14:
		least, most := be.Uint32(b[2:]), be.Uint32(b[10:])
		if least > blockSize {
			return fmt.Errorf("%w: it takes blocks of at least %d bytes, we use %d", ErrServer, least, blockSize)
		}
		if most < blockSize {
			return protocolError("largest request of %d bytes", most)
		}
		e.maxPayload = int(min(most, defaultMaxPayload)) &^ (blockSize - 1)
	case kind == infoExport || kind == infoBlockSize:
		return protocolError("information %d of %d bytes", kind, len(b))
	}
	return nil
}

// refusal is the error that a server's refusal of the export stands for. What
// it says about it comes along, if it is text.
func refusal(kind uint32, text []byte) error {
	what, ok := map[uint32]string{
		repUnsup: "it does not know NBD_OPT_GO", repPolicy: "not allowed", repTLS: "it wants TLS, which is not supported",
		repUnknown: "no such export", repShutdown: "it is shutting down", repBlockSize: "it insists on other block sizes",
	}[kind]
	if !ok {
		what = fmt.Sprintf("error %d", kind&^uint32(repError))
	}
	if len(text) > 0 {
		what += ": " + printable(text)
	}
	err := fmt.Errorf("%w: %s", ErrServer, what)
	if kind == repShutdown {
		return errors.Join(errLink, err)
	}
	return err
}

// printable is a server's text as it may go to a terminal.
func printable(b []byte) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return '.'
	}, string(b[:min(len(b), 200)]))
}
