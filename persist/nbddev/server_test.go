package nbddev

import (
	"bytes"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
	"phantomvm/persist/nbddev/nbdtest"
)

// TestServers speaks to the NBD servers of the system.
func TestServers(t *testing.T) {
	for _, kind := range []nbdtest.Kind{nbdtest.Nbdkit, nbdtest.Qemu} {
		t.Run(string(kind), func(t *testing.T) {
			s := nbdtest.Start(t, kind, 64<<20)
			target, err := ParseTarget(s.URI)
			require.NoError(t, err)
			d, err := Open(t.Context(), target, Options{Reconnect: 20 * time.Second})
			require.NoError(t, err)
			defer d.Close()
			require.Equal(t, int64(64<<20), d.Size())
			t.Logf("%s: flags %#x, requests up to %d bytes", kind, d.export.flags, d.export.maxPayload)
			require.NotZero(t, d.export.flags&hasFlush)

			runs := [][][]byte{{pattern(40<<20, 1)}, {pattern(4096, 2), pattern(8192, 3)}}
			offs := []int64{1 << 20, 50 << 20}
			require.NoError(t, d.WriteGroup(runs, offs))
			require.NoError(t, d.WriteGroup([][][]byte{{pattern(4096, 4)}}, []int64{60 << 20})) // with FUA
			require.NoError(t, d.Prepare(55<<20, 1<<20))
			require.NoError(t, d.Discard(57<<20, 1<<20))
			for range 2 {
				for i, r := range runs {
					want := bytes.Join(r, nil)
					got := make([]byte, len(want))
					_, err := d.ReadAt(got, offs[i])
					require.NoError(t, err)
					require.True(t, bytes.Equal(want, got))
				}
				s.Kill()
				s.Restart()
			}
			require.Equal(t, 1, d.Losses())

			st, err := persist.Create(d, persist.Options{})
			require.NoError(t, err)
			for i := range 20 {
				_, err := st.Commit(nil, []persist.PageImage{{ID: persist.PageID(i), Data: pattern(4096, i)}})
				require.NoError(t, err)
				if i == 10 {
					s.Kill()
					s.Restart()
				}
			}
			require.NoError(t, st.Close())
			require.NoError(t, d.Close())
			d, err = Open(t.Context(), target, Options{ReadOnly: true})
			require.NoError(t, err)
			defer d.Close()
			rep, err := persist.Fsck(d, io.Discard)
			require.NoError(t, err)
			require.True(t, rep.OK())

			target.Export = "no such export"
			_, err = Open(t.Context(), target, Options{})
			if kind == nbdtest.Qemu { // nbdkit takes any name
				require.ErrorIs(t, err, ErrServer)
			}
		})
	}
}

// proxy passes TCP connections on to a server's socket, until it is cut.
type proxy struct {
	l      net.Listener
	silent atomic.Bool // bytes are taken and not passed on, as by a network that lost its route
}

func newProxy(t *testing.T, socket string) *proxy {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	t.Cleanup(func() { l.Close() })
	p := &proxy{l: l}
	go func() {
		for {
			a, err := l.Accept()
			if err != nil {
				return
			}
			b, err := net.Dial("unix", socket)
			if err != nil {
				a.Close()
				continue
			}
			go p.pass(a, b)
			go p.pass(b, a)
		}
	}()
	return p
}

func (p *proxy) pass(to, from net.Conn) {
	defer to.Close()
	b := make([]byte, 64<<10)
	for {
		n, err := from.Read(b)
		if err != nil {
			return
		}
		if p.silent.Load() {
			continue
		}
		if _, err := to.Write(b[:n]); err != nil {
			return
		}
	}
}

// TestNetwork speaks TCP, through a network that goes silent. A read is sent again on a new connection; a write
// is not: the old one may still arrive, after others have been made at its place.
func TestNetwork(t *testing.T) {
	s := nbdtest.Start(t, nbdtest.Nbdkit, 64<<20)
	u, err := ParseTarget(s.URI)
	require.NoError(t, err)
	p := newProxy(t, u.Address)
	target, err := ParseTarget("nbd://" + p.l.Addr().String() + "/arena")
	require.NoError(t, err)
	d, err := Open(t.Context(), target, Options{Timeout: 2 * time.Second, Reconnect: 10 * time.Second})
	require.NoError(t, err)
	defer d.Close()
	want := pattern(3<<20, 1)
	require.NoError(t, d.WriteGroup([][][]byte{{want}, {pattern(4096, 2)}}, []int64{0, 8 << 20}))

	p.silent.Store(true)
	time.AfterFunc(500*time.Millisecond, func() { p.silent.Store(false) })
	got := make([]byte, len(want))
	_, err = d.ReadAt(got, 0)
	require.NoError(t, err)
	require.True(t, bytes.Equal(want, got))
	require.Equal(t, 1, d.Losses())

	p.silent.Store(true)
	time.AfterFunc(500*time.Millisecond, func() { p.silent.Store(false) })
	err = d.WriteGroup([][][]byte{{want}}, []int64{0})
	require.ErrorIs(t, err, ErrLost)
	require.ErrorContains(t, err, "late")
	require.ErrorIs(t, d.Lost(), os.ErrDeadlineExceeded)
}
