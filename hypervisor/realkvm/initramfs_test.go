package main

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"
)

// list reads a cpio archive in the "newc" format: names, and contents of files.
func list(t *testing.T, b []byte) map[string]string {
	t.Helper()
	r := bytes.NewReader(b)
	take := func(n int64) []byte {
		out := make([]byte, n)
		_, err := io.ReadFull(r, out)
		require.NoError(t, err)
		pad := -(int64(len(b)) - int64(r.Len())) & 3
		_, err = r.Seek(pad, io.SeekCurrent)
		require.NoError(t, err)
		return out
	}
	found := map[string]string{}
	for {
		header := make([]byte, 110)
		_, err := io.ReadFull(r, header)
		require.NoError(t, err)
		require.Equal(t, "070701", string(header[:6]))
		field := func(i int) int64 {
			n, err := strconv.ParseInt(string(header[6+i*8:14+i*8]), 16, 64)
			require.NoError(t, err)
			return n
		}
		name := take(field(11))
		require.Zero(t, name[len(name)-1])
		body := take(field(6))
		if string(name[:len(name)-1]) == trailer {
			return found
		}
		found[string(name[:len(name)-1])] = string(body)
	}
}

func TestArchive(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "tree")
	require.NoError(t, os.MkdirAll(filepath.Join(dir, "inner"), 0o755))
	require.NoError(t, os.WriteFile(filepath.Join(dir, "inner", "file"), []byte("12345"), 0o600))
	var out bytes.Buffer
	a := &archive{w: bufio.NewWriter(&out)}
	require.NoError(t, a.addText("command", "sh\x00-c"))
	require.NoError(t, a.addTree(dir))
	require.Error(t, a.addTree(filepath.Join(dir, "absent")))
	require.NoError(t, a.add(trailer, 0, 0, nil))
	require.NoError(t, a.w.Flush())
	require.Equal(t, map[string]string{
		"command": "sh\x00-c", "work/tree": "", "work/tree/inner": "", "work/tree/inner/file": "12345",
	}, list(t, out.Bytes()))
}
