package nbddev

import (
	"context"
	"io"
	"net"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fakeServer is an NBD server with a disk in memory that has a volatile cache:
// what was not flushed is gone when the server is killed.
type fakeServer struct {
	flags      uint16
	maxPayload uint32

	mu       sync.Mutex
	durable  []byte
	volatile []byte
	conns    []net.Conn
	requests []request           // that were received, data left out
	hook     func(n int) verdict // called with the number of each request, from 0
	down     bool
	cmds     map[uint16]int
}

// verdict is what the server does at a request.
type verdict int

const (
	serve   verdict = iota
	dieNow          // before it is executed
	dieDone         // executed, but not answered
	refuse          // EIO
	silent          // never answered
	garbage         // answered with nonsense
)

const allFlags = hasFlags | hasFlush | hasFUA | hasTrim | hasWriteZeros

func newFake(flags uint16, size int) *fakeServer {
	return &fakeServer{flags: flags, durable: make([]byte, size), volatile: make([]byte, size), cmds: map[uint16]int{}}
}

// dial is Options.Dial.
func (s *fakeServer) dial(context.Context, string, string) (net.Conn, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.down {
		return nil, syscall.ECONNREFUSED
	}
	a, b := net.Pipe()
	s.conns = append(s.conns, b)
	go s.serve(b)
	return a, nil
}

// kill loses the cache and all connections. The server is there again at once.
func (s *fakeServer) kill() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.killLocked()
}

func (s *fakeServer) killLocked() {
	copy(s.volatile, s.durable)
	for _, c := range s.conns {
		c.Close()
	}
	s.conns = nil
}

func (s *fakeServer) serve(c net.Conn) {
	defer c.Close()
	if s.greet(c) != nil {
		return
	}
	for {
		var h [requestLen]byte
		if _, err := io.ReadFull(c, h[:]); err != nil {
			return
		}
		r := request{cmd: be.Uint16(h[6:]), flags: be.Uint16(h[4:]), off: int64(be.Uint64(h[16:])), n: int(be.Uint32(h[24:]))}
		var data []byte
		if r.cmd == cmdWrite {
			data = make([]byte, r.n)
			if _, err := io.ReadFull(c, data); err != nil {
				return
			}
		}
		reply, ok := s.execute(c, r, data)
		if !ok {
			return
		}
		copy(reply[min(8, len(reply)):], h[8:16]) // the cookie
		if _, err := c.Write(reply); err != nil {
			return
		}
	}
}

// execute performs a request and gives the reply, without its cookie. It is false if the server dies.
func (s *fakeServer) execute(c net.Conn, r request, data []byte) (reply []byte, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Contains(s.conns, c) {
		return nil, false // killed
	}
	what := serve
	if s.hook != nil {
		what = s.hook(len(s.requests))
	}
	s.requests = append(s.requests, r)
	s.cmds[r.cmd]++
	code := syscall.Errno(0)
	var out []byte
	switch {
	case what == dieNow:
		s.killLocked()
		return nil, false
	case what == silent:
		return nil, true
	case what == garbage:
		return make([]byte, 100), true
	case what == refuse:
		code = syscall.EIO
	case r.off < 0 || r.off+int64(r.n) > int64(len(s.durable)) || s.maxPayload != 0 && len(data) > int(s.maxPayload):
		code = syscall.EINVAL
	default:
		out = s.apply(r, data)
	}
	if what == dieDone {
		s.killLocked()
		return nil, false
	}
	reply = be.AppendUint32(nil, magicSimple)
	reply = be.AppendUint32(reply, uint32(code))
	return append(append(reply, make([]byte, 8)...), out...), true
}

// apply changes the disk; it returns what a read reads.
func (s *fakeServer) apply(r request, data []byte) []byte {
	at := s.volatile[r.off:][:r.n]
	switch r.cmd {
	case cmdRead:
		return append([]byte(nil), at...)
	case cmdWrite:
		copy(at, data)
	case cmdWriteZeros, cmdTrim:
		clear(at)
	case cmdFlush:
		if s.flags&hasFlush != 0 {
			copy(s.durable, s.volatile)
		}
	}
	if r.flags&cmdFlagFUA != 0 {
		copy(s.durable[r.off:], at)
	}
	return nil
}

// greet offers the export.
func (s *fakeServer) greet(c net.Conn) error {
	b := be.AppendUint64(nil, magicServer)
	b = be.AppendUint64(b, magicOption)
	b = be.AppendUint16(b, flagFixedNewstyle|flagNoZeroes)
	if _, err := c.Write(b); err != nil {
		return err
	}
	var h [20]byte
	if _, err := io.ReadFull(c, h[:]); err != nil {
		return err
	}
	if _, err := io.CopyN(io.Discard, c, int64(be.Uint32(h[16:]))); err != nil {
		return err
	}
	info := be.AppendUint16(nil, infoExport)
	info = be.AppendUint64(info, uint64(len(s.durable)))
	info = be.AppendUint16(info, s.flags)
	out := optionReply(repInfo, info)
	if s.maxPayload != 0 {
		sizes := be.AppendUint16(nil, infoBlockSize)
		sizes = be.AppendUint32(sizes, 512)
		sizes = be.AppendUint32(sizes, 4096)
		out = append(out, optionReply(repInfo, be.AppendUint32(sizes, s.maxPayload))...)
	}
	_, err := c.Write(append(out, optionReply(repAck, nil)...))
	return err
}

func optionReply(kind uint32, data []byte) []byte {
	b := be.AppendUint64(nil, magicReply)
	b = be.AppendUint32(b, optGo)
	b = be.AppendUint32(b, kind)
	b = be.AppendUint32(b, uint32(len(data)))
	return append(b, data...)
}

// open makes a device on the server.
func (s *fakeServer) open(t testing.TB, o Options) *Device {
	if o.Dial == nil {
		o.Dial = s.dial
	}
	d, err := Open(t.Context(), Target{"tcp", "fake:1", "x"}, o)
	require.NoError(t, err)
	t.Cleanup(func() { d.Close() })
	return d
}

// survived is what the disk holds after a crash.
func (s *fakeServer) survived(off, n int) []byte {
	s.kill()
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.durable[off:][:n])
}

var quick = Options{Timeout: 30 * time.Second, Reconnect: 10 * time.Second}
