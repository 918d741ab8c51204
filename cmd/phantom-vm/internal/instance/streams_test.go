package instance

import (
	"errors"
	"io"
	"os"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

func TestLogAdd(t *testing.T) {
	i := create(t)
	l, err := i.OpenLog(0)
	require.NoError(t, err)
	for _, c := range []struct {
		data  string
		off   int64
		fresh string
	}{
		{"hello", 0, "hello"},
		{"hello", 0, ""},          // again
		{"lo, wor", 3, ", wor"},   // a part of it again
		{"wor", 7, ""},            // inside
		{"", 10, ""},              // nothing
		{"ld", 10, "ld"},          // behind
		{"hello, world!", 0, "!"}, // all of it and more
	} {
		fresh, err := l.Add([]byte(c.data), c.off)
		require.NoError(t, err, "%q at %d", c.data, c.off)
		require.Equal(t, c.fresh, string(fresh), "%q at %d", c.data, c.off)
	}
	_, err = l.Add([]byte("x"), 14)
	require.Error(t, err, "a hole")
	require.Equal(t, int64(13), l.Size())
	require.NoError(t, l.Sync())
	require.NoError(t, l.Close())
	b, err := os.ReadFile(i.Path("console.log"))
	require.NoError(t, err)
	require.Equal(t, "hello, world!", string(b))
	l, err = i.OpenLog(0)
	require.NoError(t, err)
	defer l.Close()
	require.Equal(t, int64(13), l.Size())
	_, err = l.Add([]byte("?"), 13)
	require.NoError(t, err)
}

// TestLogAfterPowerCut: a file that has its length but not its last bytes.
func TestLogAfterPowerCut(t *testing.T) {
	i := create(t)
	require.NoError(t, os.WriteFile(i.Path("console.log"), []byte("hello\x00\x00\x00\x00\x00"), 0o600))
	l, err := i.OpenLog(0)
	require.NoError(t, err)
	defer l.Close()
	fresh, err := l.Add([]byte("lo, wor"), 3)
	require.NoError(t, err)
	require.Empty(t, fresh, "its length says that it was shown")
	fresh, err = l.Add([]byte("ld!"), 10)
	require.NoError(t, err)
	require.Equal(t, "ld!", string(fresh))
	b, err := os.ReadFile(i.Path("console.log"))
	require.NoError(t, err)
	require.Equal(t, "hello, world!", string(b))
}

func TestLogOnFullDisk(t *testing.T) {
	f, err := os.OpenFile("/dev/full", os.O_RDWR, 0)
	if err != nil {
		t.Skip(err)
	}
	l := &Log{f: f}
	defer l.Close()
	fresh, err := l.Add([]byte("text"), 0)
	require.Error(t, err)
	require.Empty(t, fresh)
	require.Zero(t, l.Size())
}

// readAll reads standard input as a program does, from off on, in pieces of n bytes.
func readAll(t *testing.T, s *Stdin, off int64, n int) string {
	var text strings.Builder
	for {
		buf := make([]byte, n)
		got, eof, err := s.Next(buf, off)
		require.NoError(t, err)
		text.Write(buf[:got])
		off += int64(got)
		if eof {
			got, eof, err = s.Next(buf, off)
			require.NoError(t, err)
			require.True(t, eof)
			require.Zero(t, got)
			return text.String()
		}
		require.NotZero(t, got, "neither bytes nor the end")
	}
}

func TestStdinFileThenLive(t *testing.T) {
	i := create(t)
	s, err := i.OpenStdin(iotest.OneByteReader(strings.NewReader("first life, ")))
	require.NoError(t, err)
	require.Equal(t, "first life, ", readAll(t, s, 0, 7))
	require.NoError(t, s.Close())

	s, err = i.OpenStdin(iotest.DataErrReader(strings.NewReader("second life")))
	require.NoError(t, err)
	require.Equal(t, "life, second life", readAll(t, s, 6, 4), "a resume reads the rest of the file, then goes on live")
	_, _, err = s.Next(make([]byte, 1), 1000)
	require.Error(t, err, "a position that the file does not have")
	require.NoError(t, s.Close())

	s, err = i.OpenStdin(nil)
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, "first life, second life", readAll(t, s, 0, 100))
}

func TestStdinCopied(t *testing.T) {
	i := create(t)
	require.NoError(t, i.CopyInput(strings.NewReader("all there is")))
	s, err := i.OpenStdin(iotest.ErrReader(errors.New("must not be read")))
	require.NoError(t, err)
	defer s.Close()
	require.Equal(t, "all there is", readAll(t, s, 0, 5))
}

func TestStdinLiveError(t *testing.T) {
	i := create(t)
	bad := errors.New("the terminal is gone")
	s, err := i.OpenStdin(io.MultiReader(strings.NewReader("ab"), iotest.ErrReader(bad)))
	require.NoError(t, err)
	defer s.Close()
	buf := make([]byte, 9)
	n, eof, err := s.Next(buf, 0)
	require.NoError(t, err)
	require.False(t, eof)
	require.Equal(t, "ab", string(buf[:n]))
	_, _, err = s.Next(buf, 2)
	require.ErrorIs(t, err, bad)
	n, _, err = s.Next(buf, 1)
	require.NoError(t, err, "what was kept can still be read")
	require.Equal(t, "b", string(buf[:n]))
}
