// Package nbddev is a persist.Device on an export of an NBD server: the arena
// lies on whatever storage speaks the Network Block Device protocol.
//
// # What is durable
//
// A write group is sent as a whole, its requests in flight together; when all
// are answered, one FLUSH follows. A server that has FUA but no FLUSH gets every
// write with FUA. A server that has neither is refused, unless the user takes
// the risk.
//
// # When the connection is lost
//
//  1. What a call in progress has sent is unknown, but the call still has its
//     buffers: on a new connection it sends everything again, flush included.
//  2. A write that was answered and not flushed may be lost, and its buffer is
//     gone. Then there is no new connection: every later call fails with ErrLost.
//  3. The same if a write was not answered in time, but the connection did not break: the server
//     lives and may do it late, over what a new connection has written since.
//  4. A new connection must show an export of the same size and abilities,
//     which still holds the newest block that was flushed; else ErrLost.
//  5. Without a new connection in time: ErrLost.
//
// So a write is never lost silently. After a flush that the server answered with
// an error, nothing is written any more: the next one could succeed
// although the server has dropped what it could not write.
package nbddev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"time"
)

// Errors that the package's errors wrap.
var (
	ErrTarget   = errors.New("bad NBD URI")
	ErrServer   = errors.New("NBD server refused the export")
	ErrProtocol = errors.New("NBD server broke the protocol")
	ErrNoFlush  = errors.New("NBD server offers neither FLUSH nor FUA: nothing on it is durable")
	ErrReadOnly = errors.New("NBD export is read-only")
	ErrLost     = errors.New("NBD server lost")
	ErrFlush    = errors.New("NBD flush failed")
)

func protocolError(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrProtocol, fmt.Sprintf(format, args...))
}

// blockSize is that of persist: all requests are multiples of it.
const blockSize = 4096

// Options of a Device. The zero value works.
type Options struct {
	ReadOnly bool // for looking at an export; writes fail
	// Unsafe takes a server without FLUSH and FUA. A crash of the server's host
	// may then lose everything.
	Unsafe bool
	// Timeout is how long the server may leave requests unanswered; 0 means 30 s.
	Timeout time.Duration
	// Reconnect is how long a lost server is looked for; 0 means 5 s, negative not at all.
	Reconnect time.Duration
	// Dial makes a connection, nil for the network's.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

const (
	defaultTimeout   = 30 * time.Second
	defaultReconnect = 5 * time.Second
	handshakeTimeout = 10 * time.Second
	// maxLosses bounds how often one call survives the loss of the connection.
	maxLosses = 5
)

// Device is a connection to an export. Its methods may be called from any
// number of goroutines at once; their requests are in flight together.
type Device struct {
	target Target
	opts   Options
	export export

	replacing sync.Mutex // held while a new connection is made

	mu     sync.Mutex
	conn   *conn
	failed error // for good
	losses int
	// The newest block known to be durable, and the newest that will be with the
	// next flush.
	mark, coming mark
}

// mark is a block of the export as it must be.
type mark struct {
	off int64
	b   []byte
}

// Open connects to the export.
func Open(ctx context.Context, t Target, o Options) (*Device, error) {
	if o.Timeout == 0 {
		o.Timeout = defaultTimeout
	}
	if o.Reconnect == 0 {
		o.Reconnect = defaultReconnect
	}
	if o.Dial == nil {
		o.Dial = (&net.Dialer{KeepAlive: 10 * time.Second}).DialContext
	}
	d := &Device{target: t, opts: o}
	c, e, err := d.dial(ctx)
	if err != nil {
		if errors.Is(err, errLink) {
			return nil, fmt.Errorf("%w: %w", ErrLost, err)
		}
		return nil, err
	}
	if err := d.accept(e); err != nil {
		c.close()
		return nil, fmt.Errorf("%s: %w", t, err)
	}
	d.conn, d.export = c, e
	return d, nil
}

// accept refuses an export that can't hold an arena.
func (d *Device) accept(e export) error {
	switch {
	case d.opts.ReadOnly:
	case e.flags&isReadOnly != 0:
		return ErrReadOnly
	case e.flags&(hasFlush|hasFUA) == 0 && !d.opts.Unsafe:
		return ErrNoFlush
	}
	return nil
}

// dial makes a connection and shakes hands. What another attempt could mend is errLink.
func (d *Device) dial(ctx context.Context) (*conn, export, error) {
	ctx, cancel := context.WithTimeout(ctx, min(d.opts.Timeout, handshakeTimeout))
	defer cancel()
	c, err := d.opts.Dial(ctx, d.target.Network, d.target.Address)
	if err != nil {
		return nil, export{}, fmt.Errorf("%s: %w: %w", d.target, errLink, err)
	}
	deadline, _ := ctx.Deadline()
	_ = c.SetDeadline(deadline) // a connection that has none fails later
	e, err := handshake(c, d.target.Export)
	if err != nil {
		c.Close()
		if !errors.Is(err, ErrServer) && !errors.Is(err, ErrProtocol) {
			err = fmt.Errorf("%w: %w", errLink, err)
		}
		return nil, export{}, fmt.Errorf("%s: %w", d.target, err)
	}
	_ = c.SetDeadline(time.Time{})
	return newConn(c, d.opts.Timeout), e, nil
}

// run calls f with a connection, again with a new one if that is lost.
// Precondition: f may be repeated.
func (d *Device) run(f func(*conn) error) error {
	for losses := 0; ; losses++ {
		d.mu.Lock()
		c, err := d.conn, d.failed
		d.mu.Unlock()
		if err != nil {
			return err
		}
		err = f(c)
		if err == nil || !errors.Is(err, errLink) {
			return err
		}
		if losses == maxLosses || errors.Is(err, ErrProtocol) {
			return d.fail(c, ErrLost, err)
		}
		if err := d.replace(c, err); err != nil {
			return err
		}
	}
}

// fail ends all use of the device.
func (d *Device) fail(c *conn, kind, cause error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.failed == nil {
		d.failed = fmt.Errorf("%s: %w: %w", d.target, kind, cause)
	}
	if c != nil {
		c.giveUp(cause)
	}
	return d.failed
}

// replace makes a new connection after c was lost, unless somebody else has.
func (d *Device) replace(c *conn, cause error) error {
	d.replacing.Lock()
	defer d.replacing.Unlock()
	d.mu.Lock()
	failed, replaced := d.failed, d.conn != c
	d.mu.Unlock()
	c.mu.Lock()
	late := c.late
	c.mu.Unlock()
	switch {
	case failed != nil:
		return failed
	case replaced:
		return nil
	}
	if late {
		return d.fail(c, ErrLost, fmt.Errorf("%w; an unanswered write may be done late", cause))
	}
	c.giveUp(cause)
	ctx, cancel := context.WithTimeout(context.Background(), max(d.opts.Reconnect, 0))
	defer cancel()
	for pause := 10 * time.Millisecond; ; pause = min(2*pause, time.Second) {
		if err := d.unflushed(c); err != nil {
			return d.fail(c, ErrLost, errors.Join(cause, err))
		}
		if d.opts.Reconnect < 0 {
			return d.fail(c, ErrLost, cause)
		}
		fresh, e, err := d.dial(ctx)
		if err == nil {
			err = d.take(c, fresh, e)
			if err == nil {
				return nil
			}
			fresh.close()
		}
		if !errors.Is(err, errLink) {
			return d.fail(c, ErrLost, errors.Join(cause, err))
		}
		select {
		case <-ctx.Done():
			return d.fail(c, ErrLost, fmt.Errorf("%w; no answer for %v: %w", cause, d.opts.Reconnect, err))
		case <-time.After(pause):
		}
	}
}

// unflushed is an error if writes were answered on c and not flushed.
func (d *Device) unflushed(c *conn) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if c.writes != c.flushed {
		return errors.New("writes that were not flushed yet may be lost")
	}
	return nil
}

// take makes fresh the connection if the export is what it was.
func (d *Device) take(old, fresh *conn, e export) error {
	if e.size != d.export.size || e.flags != d.export.flags {
		return protocolError("the export came back as another one: %d bytes, flags %#x; it had %d, %#x",
			e.size, e.flags, d.export.size, d.export.flags)
	}
	d.mu.Lock()
	m := d.mark
	d.mu.Unlock()
	if len(m.b) > 0 {
		got := make([]byte, len(m.b))
		if err := fresh.do([]request{{cmd: cmdRead, off: m.off, n: len(got), data: [][]byte{got}}}); err != nil {
			return err
		}
		if !bytes.Equal(got, m.b) {
			return fmt.Errorf("the export came back without what was flushed at offset %#x: "+
				"the server acknowledges flushes that it does not do, or shows another disk", m.off)
		}
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if old.writes != old.flushed { // answered just before the connection broke, and seen only now
		return errors.New("writes that were not flushed yet may be lost")
	}
	d.conn = fresh
	d.losses++
	d.coming = mark{}
	return nil
}

// Size is the export's, rounded down to whole blocks.
func (d *Device) Size() int64 { return d.export.size &^ (blockSize - 1) }

// Losses is how often the connection was lost and made anew.
func (d *Device) Losses() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.losses
}

// Lost is the error that ended all use of the device because the server is
// gone; nil if none did.
func (d *Device) Lost() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if errors.Is(d.failed, ErrLost) {
		return d.failed
	}
	return nil
}

// Durable tells whether Flush reaches the server's medium, by what the server says.
func (d *Device) Durable() bool { return d.export.flags&(hasFlush|hasFUA) != 0 }

// String is the target's URI.
func (d *Device) String() string { return d.target.String() }

// Close ends the connection. It does not flush.
func (d *Device) Close() error {
	d.replacing.Lock()
	defer d.replacing.Unlock()
	d.mu.Lock()
	c := d.conn
	if d.failed == nil {
		d.failed = fmt.Errorf("%s: %w", d.target, net.ErrClosed)
	}
	d.mu.Unlock()
	c.close()
	return nil
}

// ReadAt implements io.ReaderAt.
func (d *Device) ReadAt(b []byte, off int64) (int, error) {
	if off < 0 {
		return 0, fmt.Errorf("nbd: read at %d", off)
	}
	n := int(min(int64(len(b)), max(0, d.export.size-off)))
	list := d.split(nil, cmdRead, 0, [][]byte{b[:n]}, off)
	if err := d.run(func(c *conn) error { return c.do(list) }); err != nil {
		return 0, fmt.Errorf("nbd: read %d bytes at %#x: %w", n, off, err)
	}
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}
