package nbddev

// One connection. Any number of goroutines send requests; one goroutine reads
// the replies, in whatever order they come, and is the only one that ends a
// call: so when a call has ended, nobody uses its buffers any more.

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	magicRequest = 0x25609513
	magicSimple  = 0x67446698

	cmdRead       = 0
	cmdWrite      = 1
	cmdDisconnect = 2
	cmdFlush      = 3
	cmdTrim       = 4
	cmdWriteZeros = 6

	cmdFlagFUA    = 1 << 0
	cmdFlagNoHole = 1 << 1

	requestLen = 28
	replyLen   = 16
)

// maxFlying bounds the requests in flight.
const maxFlying = 64

// errLink: the connection is gone; what was in flight may or may not have happened.
var errLink = errors.New("connection lost")

// request is one command. data is written, or filled by a read.
type request struct {
	cmd, flags uint16
	off        int64
	n          int
	data       [][]byte
}

// call is a request in flight. err is set before done is closed.
type call struct {
	into    [][]byte
	changes bool // the disk
	done    chan struct{}
	err     error
}

type conn struct {
	c       net.Conn
	timeout time.Duration
	flying  chan struct{}

	send sync.Mutex // held while one request's bytes are written

	mu    sync.Mutex
	calls map[uint64]*call
	next  uint64
	cause error // why the connection is being given up
	dead  bool  // the reader has ended
	late  bool  // the server was given up with changes unanswered, which it may yet make

	// Of Device, under its lock.
	writes, flushed uint64
}

func newConn(c net.Conn, timeout time.Duration) *conn {
	k := &conn{c: c, timeout: timeout, flying: make(chan struct{}, maxFlying), calls: map[uint64]*call{}}
	go k.receive()
	return k
}

// start sends a request.
func (k *conn) start(r request) *call {
	k.flying <- struct{}{}
	q := &call{done: make(chan struct{}), changes: r.cmd != cmdRead && r.cmd != cmdFlush}
	if r.cmd == cmdRead {
		q.into = r.data
	}
	k.send.Lock()
	defer k.send.Unlock()
	cookie, ok := k.register(q)
	if !ok {
		<-k.flying
		return q
	}
	h := make([]byte, 0, requestLen)
	h = be.AppendUint32(h, magicRequest)
	h = be.AppendUint16(h, r.flags)
	h = be.AppendUint16(h, r.cmd)
	h = be.AppendUint64(h, cookie)
	h = be.AppendUint64(h, uint64(r.off))
	h = be.AppendUint32(h, uint32(r.n))
	bufs := net.Buffers{h}
	if r.cmd == cmdWrite {
		bufs = append(bufs, r.data...)
	}
	_ = k.c.SetWriteDeadline(time.Now().Add(k.timeout)) // fails on a closed connection, as the write does
	if _, err := bufs.WriteTo(k.c); err != nil {
		k.giveUp(err)
	}
	return q
}

// register gives q a cookie, or ends it if the connection is dead.
func (k *conn) register(q *call) (cookie uint64, ok bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		q.err = k.cause
		close(q.done)
		return 0, false
	}
	if len(k.calls) == 0 {
		_ = k.c.SetReadDeadline(time.Now().Add(k.timeout))
	}
	cookie = k.next
	k.next++
	k.calls[cookie] = q
	return cookie, true
}

// giveUp closes the connection; the reader then ends all calls.
func (k *conn) giveUp(err error) {
	k.mu.Lock()
	if k.cause == nil {
		k.cause = fmt.Errorf("%w: %w", errLink, err)
	}
	k.mu.Unlock()
	k.c.Close()
}

// receive handles replies until the connection fails.
func (k *conn) receive() {
	r := bufio.NewReaderSize(k.c, 16<<10)
	for {
		if err := k.reply(r); err != nil {
			k.giveUp(err)
			break
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.dead = true
	for cookie, q := range k.calls {
		q.err = k.cause
		k.late = k.late || q.changes && errors.Is(k.cause, os.ErrDeadlineExceeded)
		delete(k.calls, cookie)
		close(q.done)
		<-k.flying
	}
}

// reply reads one reply: u32 magic, u32 error, u64 cookie, and a read's data.
func (k *conn) reply(r *bufio.Reader) error {
	var h [replyLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	if be.Uint32(h[:]) != magicSimple {
		return protocolError("bad magic %#x in a reply", be.Uint32(h[:]))
	}
	cookie := be.Uint64(h[8:])
	k.mu.Lock()
	q := k.calls[cookie]
	k.mu.Unlock()
	if q == nil {
		return protocolError("reply to a request that was not made")
	}
	var failed error
	switch e := be.Uint32(h[4:]); {
	case e == uint32(syscall.ESHUTDOWN):
		return errors.New("the server is shutting down")
	case e != 0:
		failed = errnoOf(e)
	default:
		for _, b := range q.into {
			if _, err := io.ReadFull(r, b); err != nil {
				return err
			}
		}
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.calls, cookie)
	deadline := time.Time{}
	if len(k.calls) > 0 {
		deadline = time.Now().Add(k.timeout)
	}
	_ = k.c.SetReadDeadline(deadline)
	q.err = failed
	close(q.done)
	<-k.flying
	return nil
}

// errnoOf is the host's number of an error of the protocol; the numbers are Linux's.
func errnoOf(e uint32) error {
	switch no := syscall.Errno(e); no {
	case syscall.EPERM, syscall.EIO, syscall.ENOMEM, syscall.EINVAL, syscall.ENOSPC, syscall.EOVERFLOW, syscall.EOPNOTSUPP:
		return no
	}
	return syscall.EIO
}

// do sends requests and waits for all of them. The error is the first one's;
// errLink wins, because then nothing is known of the others.
func (k *conn) do(list []request) error {
	calls := make([]*call, len(list))
	for i, r := range list {
		calls[i] = k.start(r)
	}
	var err error
	for _, q := range calls {
		<-q.done
		if q.err != nil && (err == nil || errors.Is(q.err, errLink)) {
			err = q.err
		}
	}
	return err
}

// close ends the connection as the protocol wants it.
func (k *conn) close() {
	k.send.Lock()
	h := make([]byte, requestLen)
	be.PutUint32(h, magicRequest)
	be.PutUint16(h[6:], cmdDisconnect)
	_ = k.c.SetWriteDeadline(time.Now().Add(time.Second))
	_, _ = k.c.Write(h) // a courtesy
	k.send.Unlock()
	k.giveUp(net.ErrClosed)
}
