package instance

import (
	"bytes"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
)

func echo(q Request) Reply {
	if q.Op == "bad" {
		return Reply{Error: "no such thing"}
	}
	return Reply{Monitor: q.Op, PID: 42, Status: wire.Status{Epoch: 7}}
}

func dial(t *testing.T, i *Instance) net.Conn {
	var c net.Conn
	require.NoError(t, i.atSocket(func(path string) (err error) {
		c, err = net.Dial("unix", path)
		return err
	}))
	t.Cleanup(func() { c.Close() })
	return c
}

func TestControl(t *testing.T) {
	i := create(t)
	_, err := i.Ask(Request{Op: "status"})
	require.Error(t, err, "nobody answers")
	require.NoError(t, os.WriteFile(i.Path("control.sock"), nil, 0o600)) // of a dead process
	stop, err := i.Serve(echo)
	require.NoError(t, err)
	st, err := os.Stat(i.Path("control.sock"))
	require.NoError(t, err)
	require.Equal(t, os.FileMode(0o600), st.Mode().Perm())
	r, err := i.Ask(Request{Op: "status"})
	require.NoError(t, err)
	require.Equal(t, &Reply{Monitor: "status", PID: 42, Status: wire.Status{Epoch: 7}}, r)
	_, err = i.Ask(Request{Op: "bad"})
	require.EqualError(t, err, "no such thing")
	stop()
	require.NoFileExists(t, i.Path("control.sock"))
	_, err = i.Ask(Request{Op: "status"})
	require.Error(t, err)
}

// TestControlBadClients: clients that talk nonsense, too much or not at all harm nobody else.
func TestControlBadClients(t *testing.T) {
	i := create(t)
	stop, err := i.Serve(echo)
	require.NoError(t, err)
	defer stop()
	for range 10 {
		dial(t, i) // says nothing and stays
	}
	for name, text := range map[string][]byte{
		"text":                 []byte("GET / HTTP/1.0\r\n\r\n"),
		"another type":         {0x93, 1, 2, 3},
		"a string without end": append([]byte{0x91, 0xdb, 0xff, 0xff, 0xff, 0xff}, bytes.Repeat([]byte("a"), 2*requestMax)...),
		"deep arrays":          bytes.Repeat([]byte{0x91}, requestMax),
	} {
		c := dial(t, i)
		c.Write(text)                                     //nolint:errcheck // it may hang up in the middle
		c.SetDeadline(time.Now().Add(requestLimit - 1e9)) //nolint:errcheck // a socket
		b, err := io.ReadAll(c)
		if err != nil {
			require.NotErrorIs(t, err, os.ErrDeadlineExceeded, name)
		}
		require.Empty(t, b, name)
	}
	r, err := i.Ask(Request{Op: "still there"})
	require.NoError(t, err)
	require.Equal(t, "still there", r.Monitor)
}

func TestControlInDeepDirectory(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", 200), strings.Repeat("e", 200))
	require.NoError(t, os.MkdirAll(dir, 0o700))
	i, err := Create(filepath.Join(dir, "i.phantom"), Record{}, nothing)
	require.NoError(t, err)
	defer i.Close()
	stop, err := i.Serve(echo)
	require.NoError(t, err)
	r, err := i.Ask(Request{Op: "far away"})
	require.NoError(t, err)
	require.Equal(t, "far away", r.Monitor)
	stop()
	require.NoFileExists(t, i.Path("control.sock"))
}
