package instance

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"github.com/vmihailenco/msgpack/v5"

	"phantomvm/objectvm/machine/wire"
)

// Request is what a client asks of the process that runs an instance.
type Request struct {
	_msgpack struct{} `msgpack:",as_array"`
	Op       string   // "state", "status" (state and numbers) or "stop"
}

// Reply is the answer to a Request.
type Reply struct {
	_msgpack struct{} `msgpack:",as_array"`
	Error    string
	Status   wire.Status
	Monitor  string
	PID      int
	All      *wire.Stats // of the incarnation; nil if there are none yet
	Recent   *wire.Stats // of the last ten seconds, or a little more
	Start    int64       // nanoseconds from the command's start to the first instruction
	Metrics  string      // URL
}

// Handler answers a request.
type Handler func(Request) Reply

// requestLimit is the time a client has to say what it wants, and to read the answer.
const requestLimit = 5 * time.Second

// requestMax bounds the bytes of a request.
const requestMax = 4096

// Serve answers requests at the instance's control socket until the returned function is called.
// The instance must be locked, so a socket that is there is a dead process's.
func (i *Instance) Serve(h Handler) (stop func(), err error) {
	var l net.Listener
	err = i.atSocket(func(path string) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		ul, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			return err
		}
		ul.SetUnlinkOnClose(false)
		l = ul
		return os.Chmod(path, 0o600)
	})
	if err != nil {
		return nil, fmt.Errorf("control socket: %w", err)
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serveOne(c, h)
		}
	}()
	return func() {
		l.Close()
		os.Remove(i.Path("control.sock"))
	}, nil
}

func serveOne(c net.Conn, h Handler) {
	defer c.Close()
	c.SetDeadline(time.Now().Add(requestLimit))
	var q Request
	if err := msgpack.NewDecoder(io.LimitReader(c, requestMax)).Decode(&q); err != nil {
		return
	}
	r := h(q)
	b, err := msgpack.Marshal(&r)
	if err != nil {
		return
	}
	c.SetDeadline(time.Now().Add(requestLimit))
	c.Write(b) //nolint:errcheck // a client that went away needs no answer
}

// Ask sends a request to the process that runs the instance.
func (i *Instance) Ask(q Request) (*Reply, error) {
	var c net.Conn
	err := i.atSocket(func(path string) (err error) {
		c, err = net.DialTimeout("unix", path, requestLimit)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("%s: no answer from the running instance: %w", i.Dir, err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(requestLimit))
	b, err := msgpack.Marshal(&q)
	if err != nil {
		return nil, err
	}
	if _, err := c.Write(b); err != nil {
		return nil, err
	}
	r := new(Reply)
	if err := msgpack.NewDecoder(c).Decode(r); err != nil {
		return nil, fmt.Errorf("%s: bad answer: %w", i.Dir, err)
	}
	if r.Error != "" {
		return nil, errors.New(r.Error)
	}
	return r, nil
}

// atSocket calls f with a path of the control socket that is short enough for
// the kernel's 108-byte limit, however deep the directory lies.
func (i *Instance) atSocket(f func(path string) error) error {
	d, err := os.Open(i.Dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return f(fmt.Sprintf("/proc/self/fd/%d/control.sock", d.Fd()))
}
