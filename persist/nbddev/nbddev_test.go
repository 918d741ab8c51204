package nbddev

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
)

var (
	_ persist.Device       = (*Device)(nil)
	_ persist.GatherWriter = (*Device)(nil)
	_ persist.GroupWriter  = (*Device)(nil)
	_ persist.Preparer     = (*Device)(nil)
)

func TestTarget(t *testing.T) {
	for text, want := range map[string]Target{
		"nbd://host/export":                {"tcp", "host:10809", "export"},
		"nbd://host":                       {"tcp", "host:10809", ""},
		"nbd://[::1]:99/a/b":               {"tcp", "[::1]:99", "a/b"},
		"nbd://h:1/with%20space":           {"tcp", "h:1", "with space"},
		"nbd+unix:///e?socket=/run/s.sock": {"unix", "/run/s.sock", "e"},
		"nbd+unix://?socket=/a%20b":        {"unix", "/a b", ""},
	} {
		require.True(t, IsTarget(text))
		got, err := ParseTarget(text)
		require.NoError(t, err, text)
		require.Equal(t, want, got, text)
		again, err := ParseTarget(got.String())
		require.NoError(t, err, got.String())
		require.Equal(t, want, again)
	}
	for _, text := range []string{
		"nbd://", "nbd:///e", "nbd+unix:///e", "nbd+unix://host/e?socket=/s", "nbds://h/e", "nbds+unix:///e?socket=/s",
		"nbd://user@h/e", "nbd://h/e?x=1", "nbd://h/e#f", "nbd:h", "nbd://h:port/e", "nbdx://h/e", "nbd://h/%ff", "nbd://h/a%00b",
		"nbd://h/" + strings.Repeat("x", 5000), "nbd://h/e?socket=/s", "nbd://h/%zz",
	} {
		_, err := ParseTarget(text)
		require.ErrorIs(t, err, ErrTarget, text)
	}
	require.False(t, IsTarget("/dev/sdb"))
	require.False(t, IsTarget("64G"))
}

func pattern(n, seed int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + i>>8*13 + seed)
	}
	return b
}

func TestTransfers(t *testing.T) {
	for _, flags := range []uint16{allFlags, hasFlags | hasFlush, hasFlags | hasFUA} {
		for _, payload := range []uint32{0, 4096, 1 << 20} {
			s := newFake(flags, 8<<20)
			s.maxPayload = payload
			d := s.open(t, Options{})
			require.Equal(t, int64(8<<20), d.Size())
			runs := [][][]byte{{pattern(4096, 1), pattern(8192, 2)}, {pattern(3<<20, 3)}, {pattern(4096, 4)}}
			offs := []int64{4096, 1 << 20, 6 << 20}
			require.NoError(t, d.WriteGroup(runs, offs))
			s.kill()
			for i, r := range runs {
				want := bytes.Join(r, nil)
				got := make([]byte, len(want))
				n, err := d.ReadAt(got, offs[i])
				require.NoError(t, err)
				require.Equal(t, len(want), n)
				require.True(t, bytes.Equal(want, got), "run %d, flags %#x, payload %d", i, flags, payload)
			}
			require.Equal(t, 1, d.Losses())
			require.LessOrEqual(t, s.cmds[cmdFlush], 1, "one flush a group")

			_, err := d.WriteAt(pattern(4096, 5), 8<<20-4096)
			require.NoError(t, err)
			require.NoError(t, d.Flush())
			got := make([]byte, 8192)
			n, err := d.ReadAt(got, 8<<20-4096)
			require.ErrorIs(t, err, io.EOF)
			require.Equal(t, pattern(4096, 5), got[:n])
			_, err = d.WriteAt(got, 8<<20-4096)
			require.ErrorContains(t, err, "outside")
			_, err = d.WriteAt(got, -4096)
			require.Error(t, err)
			_, err = d.ReadAt(got, -1)
			require.Error(t, err)
			require.NoError(t, d.Prepare(1<<20, 3<<20))
			require.NoError(t, d.Discard(1<<20, 3<<20))
			require.Error(t, d.Prepare(1<<20, 8<<20))
		}
	}
}

// TestGroupIsOneFlush: the requests of a group are in flight together, and one flush follows them.
func TestGroupIsOneFlush(t *testing.T) {
	s := newFake(hasFlags|hasFlush, 1<<20)
	d := s.open(t, Options{})
	var runs [][][]byte
	var offs []int64
	for i := range 100 { // more than may be in flight
		runs, offs = append(runs, [][]byte{pattern(4096, i), pattern(4096, i+1)}), append(offs, int64(i)*8192)
	}
	require.NoError(t, d.WriteGroup(runs, offs))
	require.Equal(t, map[uint16]int{cmdWrite: 100, cmdFlush: 1}, s.cmds)
	require.Equal(t, uint16(cmdFlush), s.requests[100].cmd, "the flush comes last")
}

// TestFUA: one write with nothing unflushed before it needs no flush.
func TestFUA(t *testing.T) {
	s := newFake(allFlags, 1<<20)
	d := s.open(t, Options{})
	require.NoError(t, d.WriteGroup([][][]byte{{pattern(4096, 1)}}, []int64{0}))
	s.mu.Lock()
	require.Zero(t, s.cmds[cmdFlush])
	s.mu.Unlock()
	require.Equal(t, pattern(4096, 1), s.survived(0, 4096))
	_, err := d.WriteAt(pattern(4096, 2), 4096)
	require.NoError(t, err)
	require.NoError(t, d.WriteGroup([][][]byte{{pattern(4096, 3)}}, []int64{8192}))
	require.Equal(t, 1, s.cmds[cmdFlush])
	require.Equal(t, pattern(4096, 2), s.survived(4096, 4096))
}

func TestRefusedServers(t *testing.T) {
	for name, c := range map[string]struct {
		flags uint16
		o     Options
		want  error
	}{
		"no flush":                {hasFlags, Options{}, ErrNoFlush},
		"no flush, unsafe":        {hasFlags, Options{Unsafe: true}, nil},
		"no flush, for reading":   {hasFlags, Options{ReadOnly: true}, nil},
		"read-only":               {hasFlags | hasFlush | isReadOnly, Options{}, ErrReadOnly},
		"read-only, for reading":  {hasFlags | hasFlush | isReadOnly, Options{ReadOnly: true}, nil},
		"flags that do not count": {hasFlush, Options{}, ErrNoFlush},
	} {
		t.Run(name, func(t *testing.T) {
			s := newFake(c.flags, 1<<20)
			c.o.Dial = s.dial
			d, err := Open(t.Context(), Target{"tcp", "h:1", ""}, c.o)
			require.ErrorIs(t, err, c.want)
			if err == nil {
				require.NoError(t, d.Flush())
				require.NoError(t, d.Close())
				require.Error(t, d.Flush(), "closed")
			}
		})
	}
}

// TestServerDiesEverywhere kills the server at every request of a sequence, before
// and after the request is executed. What a call has acknowledged as durable is there
// afterwards, whatever the server's cache lost.
func TestServerDiesEverywhere(t *testing.T) {
	for _, flags := range []uint16{allFlags, hasFlags | hasFlush, hasFlags | hasFUA} {
		for _, how := range []verdict{dieNow, dieDone} {
			for at := 0; ; at++ {
				s := newFake(flags, 1<<20)
				fired := false
				s.hook = func(n int) verdict {
					if n == at {
						fired = true
						return how
					}
					return serve
				}
				name := fmt.Sprintf("flags %#x, verdict %d, request %d", flags, how, at)
				diesOnce(t, s, name)
				if !fired {
					break
				}
			}
		}
	}
}

func diesOnce(t *testing.T, s *fakeServer, name string) {
	d := s.open(t, quick)
	want := map[int64][]byte{}
	lost := false
	check := func(err error, acked map[int64][]byte) {
		if lost || err != nil {
			require.Error(t, err, name)
			require.ErrorIs(t, err, ErrLost, name)
			require.ErrorIs(t, d.Lost(), ErrLost, name)
			lost = true
			return
		}
		for off, b := range acked {
			want[off] = b
		}
	}
	for i := range 4 {
		a, b, c, e := pattern(8192, i), pattern(4096, i+50), pattern(4096, i+100), pattern(4096, i+150)
		at := int64(i) << 16
		_, err := d.WriteAt(a, at) // not durable yet
		check(err, nil)
		err = d.WriteGroup([][][]byte{{b}, {c}}, []int64{at + 1<<14, at + 1<<15})
		check(err, map[int64][]byte{at: a, at + 1<<14: b, at + 1<<15: c})
		check(d.WriteGroup([][][]byte{{e}}, []int64{at + 3<<14}), map[int64][]byte{at + 3<<14: e})
		got := make([]byte, 4096)
		if _, err := d.ReadAt(got, at+3<<14); !lost {
			check(err, nil)
			if err == nil {
				require.Equal(t, e, got, name)
			}
		}
	}
	d.Close()
	for off, b := range want {
		require.True(t, bytes.Equal(b, s.survived(int(off), len(b))), "%s: %#x was acknowledged", name, off)
	}
}

// TestUnflushedWriteIsNotLostSilently: the server dies between an answered write and its flush.
func TestUnflushedWriteIsNotLostSilently(t *testing.T) {
	s := newFake(hasFlags|hasFlush, 1<<20)
	d := s.open(t, quick)
	_, err := d.WriteAt(pattern(4096, 1), 0)
	require.NoError(t, err)
	s.kill()
	err = d.Flush()
	require.ErrorIs(t, err, ErrLost)
	require.ErrorContains(t, err, "not flushed")
	_, err = d.WriteAt(pattern(4096, 1), 0)
	require.ErrorIs(t, err, ErrLost, "it stays lost")
}

// TestOtherDisk: a server that comes back without what it acknowledged is told.
func TestOtherDisk(t *testing.T) {
	s := newFake(hasFlags|hasFlush, 1<<20)
	d := s.open(t, quick)
	require.NoError(t, d.WriteGroup([][][]byte{{pattern(4096, 1)}}, []int64{0}))
	s.mu.Lock()
	clear(s.durable)
	s.mu.Unlock()
	s.kill()
	_, err := d.ReadAt(make([]byte, 4096), 0)
	require.ErrorIs(t, err, ErrLost)
	require.ErrorContains(t, err, "came back without what was flushed at offset 0x0")

	s = newFake(hasFlags|hasFlush, 1<<20)
	d = s.open(t, quick)
	s.mu.Lock()
	s.durable, s.volatile = make([]byte, 2<<20), make([]byte, 2<<20)
	s.mu.Unlock()
	s.kill()
	require.ErrorContains(t, d.Flush(), "came back as another one")
}

func TestServerStaysAway(t *testing.T) {
	s := newFake(hasFlags|hasFlush, 1<<20)
	d := s.open(t, Options{Reconnect: 200 * time.Millisecond})
	s.mu.Lock()
	s.down = true
	s.mu.Unlock()
	s.kill()
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			_, err := d.ReadAt(make([]byte, 4096), 0)
			if !errors.Is(err, ErrLost) || !errors.Is(err, syscall.ECONNREFUSED) {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	_, err := Open(t.Context(), Target{"tcp", "h:1", ""}, Options{Dial: s.dial})
	require.ErrorIs(t, err, ErrLost)
}

// TestSilentServer: a server that holds the connection and answers nothing.
func TestSilentServer(t *testing.T) {
	s := newFake(hasFlags|hasFlush, 1<<20)
	s.hook = func(int) verdict { return silent }
	d := s.open(t, Options{Timeout: 50 * time.Millisecond, Reconnect: 200 * time.Millisecond})
	require.ErrorIs(t, d.Flush(), ErrLost)
	require.ErrorIs(t, d.Lost(), os.ErrDeadlineExceeded)
}

// TestFailedFlush: after a flush failed, nothing is taken as durable any more.
func TestFailedFlush(t *testing.T) {
	s := newFake(hasFlags|hasFlush, 1<<20)
	s.hook = func(n int) verdict {
		if n == 1 {
			return refuse
		}
		return serve
	}
	d := s.open(t, Options{})
	_, err := d.WriteAt(pattern(4096, 1), 0)
	require.NoError(t, err)
	require.ErrorIs(t, d.Flush(), ErrFlush)
	require.ErrorIs(t, d.Flush(), ErrFlush)
	require.ErrorIs(t, d.WriteGroup([][][]byte{{pattern(4096, 1)}}, []int64{0}), syscall.EIO)
	require.NoError(t, d.Lost(), "the server is there")
}

func TestErrorsOfTheServer(t *testing.T) {
	s := newFake(allFlags, 1<<20)
	s.hook = func(int) verdict { return refuse }
	d := s.open(t, Options{})
	_, err := d.ReadAt(make([]byte, 8192), 4096)
	require.ErrorIs(t, err, syscall.EIO)
	require.ErrorIs(t, d.Prepare(0, 4096), syscall.EIO)
	require.ErrorIs(t, d.WriteGather([][]byte{make([]byte, 4096)}, 0), syscall.EIO)
	require.ErrorIs(t, errnoOf(28), syscall.ENOSPC)
	require.ErrorIs(t, errnoOf(12345), syscall.EIO)
}

// TestConcurrent has readers and a writer of groups beside each other, while the server dies now and then.
func TestConcurrent(t *testing.T) {
	s := newFake(hasFlags|hasFlush, 1<<20)
	s.hook = func(n int) verdict {
		if n%97 == 96 {
			return dieDone
		}
		return serve
	}
	d := s.open(t, quick)
	require.NoError(t, d.WriteGroup([][][]byte{{pattern(4096, 9)}}, []int64{1 << 19}))
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 100 {
				b := make([]byte, 4096)
				if _, err := d.ReadAt(b, 1<<19); err != nil || !bytes.Equal(b, pattern(4096, 9)) {
					t.Errorf("read: %v", err)
					return
				}
			}
		})
	}
	for i := range 100 {
		require.NoError(t, d.WriteGroup([][][]byte{{pattern(8192, i)}, {pattern(4096, i)}}, []int64{0, 1 << 16}))
	}
	wg.Wait()
	require.Positive(t, d.Losses())
}

// hostile answers a connection with bytes, whatever it is asked.
func hostile(b []byte) Options {
	return Options{Timeout: 10 * time.Second, Reconnect: -1, Dial: func(context.Context, string, string) (net.Conn, error) {
		a, c := net.Pipe()
		go io.Copy(io.Discard, c) //nolint:errcheck // until the client has had enough
		go func() {
			c.Write(b) //nolint:errcheck // likewise
			c.Close()
		}()
		return a, nil
	}}
}

func greeting(replies ...[]byte) []byte {
	b := be.AppendUint64(nil, magicServer)
	b = be.AppendUint64(b, magicOption)
	b = be.AppendUint16(b, flagFixedNewstyle)
	return append(b, bytes.Join(replies, nil)...)
}

func exportInfo(size uint64, flags uint16) []byte {
	b := be.AppendUint16(nil, infoExport)
	b = be.AppendUint64(b, size)
	return optionReply(repInfo, be.AppendUint16(b, flags))
}

func blockInfo(least, most uint32) []byte {
	b := be.AppendUint16(nil, infoBlockSize)
	b = be.AppendUint32(b, least)
	b = be.AppendUint32(b, 4096)
	return optionReply(repInfo, be.AppendUint32(b, most))
}

func TestHostileHandshake(t *testing.T) {
	ack := optionReply(repAck, nil)
	badMagic := optionReply(repAck, nil)
	badMagic[0] ^= 1
	long := optionReply(repInfo, nil)
	be.PutUint32(long[16:], 1<<31)
	for name, c := range map[string]struct {
		b    []byte
		want error
		text string
	}{
		"nothing":            {nil, ErrLost, "EOF"},
		"http":               {[]byte("HTTP/1.1 400 Bad Request\r\n\r\n"), ErrProtocol, "not an NBD server"},
		"oldstyle":           {be.AppendUint64(be.AppendUint64(nil, magicServer), magicOldstyle), ErrProtocol, "oldstyle"},
		"other handshake":    {be.AppendUint64(be.AppendUint64(nil, magicServer), 1), ErrProtocol, "unknown"},
		"not fixed":          {append(greeting()[:16], 0, 2), ErrProtocol, "fixed newstyle"},
		"cut":                {greeting()[:17], ErrLost, "EOF"},
		"no export":          {greeting(optionReply(repUnknown, []byte("no \x1b[31mway"))), ErrServer, "no such export: no .[31mway"},
		"TLS":                {greeting(optionReply(repTLS, nil)), ErrServer, "TLS"},
		"unknown error":      {greeting(optionReply(repError+77, nil)), ErrServer, "error 77"},
		"shutdown":           {greeting(optionReply(repShutdown, nil)), ErrLost, "shutting down"},
		"no size":            {greeting(ack), ErrProtocol, "size"},
		"huge size":          {greeting(exportInfo(1<<63, allFlags), ack), ErrProtocol, "9223372036854775808"},
		"long reply":         {greeting(long), ErrProtocol, "2147483648 bytes"},
		"bad reply magic":    {greeting(badMagic), ErrProtocol, "bad reply"},
		"unknown reply":      {greeting(optionReply(7, nil)), ErrProtocol, "type 7"},
		"short info":         {greeting(optionReply(repInfo, []byte{0})), ErrProtocol, "short"},
		"short export info":  {greeting(optionReply(repInfo, []byte{0, 0, 1})), ErrProtocol, "3 bytes"},
		"coarse blocks":      {greeting(blockInfo(8192, 1<<20)), ErrServer, "8192"},
		"tiny requests":      {greeting(blockInfo(512, 512)), ErrProtocol, "512"},
		"endless handshake":  {greeting(bytes.Repeat(exportInfo(1<<20, allFlags), 1000)), ErrProtocol, "does not end"},
		"information for us": {greeting(optionReply(repInfo, []byte{0, 9, 1, 2, 3}), exportInfo(1<<20, allFlags), ack), nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(t.Context(), Target{"tcp", "h:1", "x"}, hostile(c.b))
			require.ErrorIs(t, err, c.want)
			if c.want != nil {
				require.ErrorContains(t, err, c.text)
				return
			}
			require.NoError(t, d.Close())
		})
	}
}

func TestHostileReplies(t *testing.T) {
	start := greeting(exportInfo(1<<20, allFlags), optionReply(repAck, nil))
	reply := func(magic, code uint32, cookie uint64) []byte {
		return be.AppendUint64(be.AppendUint32(be.AppendUint32(nil, magic), code), cookie)
	}
	for name, b := range map[string][]byte{
		"nothing":       nil,
		"garbage":       bytes.Repeat([]byte{0x5a}, 100),
		"bad magic":     reply(1, 0, 0),
		"wrong cookie":  reply(magicSimple, 0, 99),
		"short data":    append(reply(magicSimple, 0, 0), 1, 2, 3),
		"cut":           reply(magicSimple, 0, 0)[:7],
		"shutting down": reply(magicSimple, 108, 0),
		"twice":         append(append(reply(magicSimple, 5, 0), reply(magicSimple, 5, 0)...), reply(magicSimple, 5, 0)...),
	} {
		t.Run(name, func(t *testing.T) {
			d, err := Open(t.Context(), Target{"tcp", "h:1", "x"}, hostile(append(start[:len(start):len(start)], b...)))
			require.NoError(t, err)
			defer d.Close()
			_, err = d.ReadAt(make([]byte, 4096), 0)
			require.Error(t, err)
			if name != "twice" {
				require.ErrorIs(t, err, ErrLost)
			}
			require.Error(t, d.Flush())
		})
	}
	// The same from a server that serves well at first.
	s := newFake(allFlags, 1<<20)
	s.hook = func(n int) verdict { return []verdict{serve, garbage}[n%2] }
	d := s.open(t, quick)
	require.NoError(t, d.WriteGroup([][][]byte{{pattern(4096, 1)}}, []int64{0}))
	require.ErrorIs(t, d.WriteGroup([][][]byte{{pattern(4096, 1)}}, []int64{0}), ErrProtocol)
}

// TestStore keeps an arena on a server that dies now and then, and reads it again.
func TestStore(t *testing.T) {
	s := newFake(allFlags, 16<<20)
	d := s.open(t, quick)
	st, err := persist.Create(d, persist.Options{})
	require.NoError(t, err)
	for i := range 50 {
		_, err := st.Commit([]byte{byte(i)}, []persist.PageImage{{ID: 1, Data: pattern(4096, i)}, {ID: persist.PageID(i + 2), Data: pattern(4096, i)}})
		require.NoError(t, err)
		if i%10 == 9 {
			s.kill()
		}
	}
	require.NoError(t, st.Close())
	require.Positive(t, d.Losses())
	s.kill()
	r := s.open(t, Options{ReadOnly: true})
	rep, err := persist.Fsck(r, io.Discard)
	require.NoError(t, err)
	require.True(t, rep.OK())
	st, rec, err := persist.Open(d)
	require.NoError(t, err)
	require.Equal(t, []byte{49}, rec.Meta)
	page := make([]byte, 4096)
	require.NoError(t, st.LoadPage(1, page))
	require.Equal(t, pattern(4096, 49), page)
}

// FuzzServer lets a server say anything. The client gives an error or it does not; it never
// crashes, and never reads outside its buffers.
func FuzzServer(f *testing.F) {
	ok := greeting(exportInfo(1<<20, allFlags), blockInfo(512, 1<<16), optionReply(repAck, nil))
	f.Add(ok)
	f.Add(append(ok[:len(ok):len(ok)], bytes.Repeat(append(be.AppendUint32(nil, magicSimple), make([]byte, 12+4096)...), 3)...))
	f.Add(greeting(optionReply(repUnknown, []byte("x"))))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := Open(t.Context(), Target{"tcp", "h:1", "x"}, hostile(b))
		if err != nil {
			return
		}
		defer d.Close()
		n := min(int(d.Size()), 3*4096)
		d.ReadAt(make([]byte, n), 0)                                      //nolint:errcheck // anything is right
		d.WriteGroup([][][]byte{{make([]byte, n)}, {nil}}, []int64{0, 0}) //nolint:errcheck // likewise
		d.WriteGather([][]byte{make([]byte, n)}, 0)                       //nolint:errcheck // likewise
		d.Prepare(0, int64(n))                                            //nolint:errcheck // likewise
		if err := d.Flush(); err == nil && d.Lost() != nil {
			t.Fatal("a flush on a lost device succeeded")
		}
	})
}
