package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/persist"
)

// TestGoBack: bit rot in the newest root. Nothing goes on silently; the user asks for the older epoch, and the program
// goes on from there.
func TestGoBack(t *testing.T) {
	want := goRun(t, "./examples/counter", "")
	dir := filepath.Join(t.TempDir(), "i.phantom")
	r := vm(t, "run", "--detach", "--monitor", "process", "--dir", dir, module(t, "./examples/counter"))
	require.Zero(t, r.code, r.stderr)
	eventually(t, "output", func() bool { return strings.Count(readFile(t, filepath.Join(dir, "console.log")), "\n") > 100 })
	require.Zero(t, vm(t, "stop", dir).code)
	before := readFile(t, filepath.Join(dir, "console.log"))

	var rep persist.Report
	require.NoError(t, json.Unmarshal([]byte(vm(t, "fsck", "--json", dir).stdout), &rep))
	require.Len(t, rep.Roots, 2)
	newest, older := rep.Roots[0], rep.Roots[1]
	if newest.Epoch < older.Epoch {
		newest, older = older, newest
	}
	f, err := os.OpenFile(filepath.Join(dir, "disk.img"), os.O_RDWR, 0)
	require.NoError(t, err)
	_, err = f.WriteAt([]byte("rot"), newest.Offset+100)
	require.NoError(t, err)
	require.NoError(t, f.Close())

	for _, command := range []string{"run", "fsck"} {
		r = vm(t, command, dir)
		require.Equal(t, exitData, r.code, r.stderr)
		require.Contains(t, r.stderr, fmt.Sprint(older.Epoch), "the epoch that is whole")
	}
	require.Contains(t, r.stderr, "--go-back")
	require.Equal(t, before, readFile(t, filepath.Join(dir, "console.log")))
	r = vm(t, "fsck", "--go-back", "999999", dir)
	require.Equal(t, exitData, r.code, r.stderr)

	for range 2 { // again, as after a crash on the way: from what is the newest now
		r = vm(t, "fsck", "--go-back", fmt.Sprint(older.Epoch), dir)
		require.Zero(t, r.code, r.stderr)
		require.Contains(t, r.stdout, fmt.Sprintf("went back to epoch %d", older.Epoch))
	}
	require.True(t, strings.HasPrefix(before, readFile(t, filepath.Join(dir, "console.log"))))
	require.Zero(t, vm(t, "fsck", dir).code)
	r = vm(t, "run", "--quiet", dir)
	require.Zero(t, r.code, r.stderr)
	require.Equal(t, want.stdout, readFile(t, filepath.Join(dir, "console.log")))
}
