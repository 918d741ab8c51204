package engine

import (
	"reflect"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/persist/filedev"
)

// TestDeviceCounts: a method that filedev gets later must not write uncounted.
func TestDeviceCounts(t *testing.T) {
	known := map[string]bool{"Close": true, "Descriptor": true, "Discard": true, "Lock": true, "Flush": true, "Prepare": true, "ReadAt": true, "Size": true, "WriteAt": true, "WriteGather": true, "WriteGroup": true}
	typ := reflect.TypeFor[*filedev.Device]()
	for i := range typ.NumMethod() {
		name := typ.Method(i).Name
		require.True(t, known[name], "filedev.Device has a method %s: does it write? Then Device has to count it", name)
	}
}

func TestRun(t *testing.T) {
	r, err := NewRig(t.TempDir(), 1<<10, 1<<30)
	require.NoError(t, err)
	m, err := r.Run(Load{Dirty: 100, Interval: 2 * time.Millisecond}, 0.2)
	require.NoError(t, err)
	require.Positive(t, m.Checkpoints)
	require.Len(t, m.Flips, m.Checkpoints)
	require.Len(t, m.Commits, m.Checkpoints)
	require.GreaterOrEqual(t, m.Written, m.Pages*4096, "every dirty page is written")
	require.NoError(t, r.Ckpt.VerifyClean())
	require.NoError(t, r.Close())
}

func TestSteady(t *testing.T) {
	for _, zipf := range []bool{false, true} {
		r, err := NewRig(t.TempDir(), 1<<11, 1<<30)
		require.NoError(t, err)
		s, err := r.Steady(100, zipf, 2)
		require.NoError(t, err)
		require.Equal(t, int64(100*s.Rounds), s.Pages)
		require.Greater(t, s.Amplification, 1.0)
		require.GreaterOrEqual(t, s.Slack, 1.0)
		require.NoError(t, r.Ckpt.VerifyClean())
		require.NoError(t, r.Close())
	}
}
