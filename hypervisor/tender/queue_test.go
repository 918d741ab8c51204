package tender

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"phantomvm/hypervisor/abi"
)

// groups is a device that notes what reaches it, and fails as told.
type groups struct {
	*memDisk
	calls []string
	err   error
}

func (g *groups) call(format string, args ...any) error {
	g.calls = append(g.calls, fmt.Sprintf(format, args...))
	return g.err
}

func (g *groups) WriteGather(bufs [][]byte, off int64) error {
	return g.call("%d buffers at %d", len(bufs), off)
}

func (g *groups) WriteGroup(runs [][][]byte, offs []int64) error {
	text := "group"
	for i, r := range runs {
		text += fmt.Sprintf(", %d at %d", len(r), offs[i])
	}
	return g.call("%s", text)
}
func (g *groups) Flush() error { return g.call("flush") }

// TestPerform: which requests go to the device together, and what the guest is told.
func TestPerform(t *testing.T) {
	dev, other := &groups{memDisk: diskOf(1 << 20)}, &groups{memDisk: diskOf(1 << 20)}
	page := make([]byte, 4096)
	write := func(off int64) job {
		return job{op: abi.QueueWrite, handle: 1, dev: dev, off: off, bufs: [][]byte{page}, bytes: 4096}
	}
	flush := job{op: abi.QueueFlush, handle: 1, dev: dev}
	foreign := job{op: abi.QueueWrite, handle: 2, dev: other, off: 8192, bufs: [][]byte{page}, bytes: 4096}
	foreignFlush := job{op: abi.QueueFlush, handle: 2, dev: other}
	read := job{op: abi.QueueRead, handle: 1, dev: dev, bufs: [][]byte{page}, bytes: 4096}
	refused := job{op: abi.QueueWrite, handle: 1}
	for name, c := range map[string]struct {
		jobs  []job
		calls []string
		errno []uint32 // of each step
	}{
		"neighbours":       {[]job{write(0), write(4096), write(8192)}, []string{"3 buffers at 0"}, []uint32{0}},
		"a group":          {[]job{write(0), write(4096), write(1 << 19), flush}, []string{"group, 2 at 0, 1 at 524288"}, []uint32{0}},
		"two groups":       {[]job{write(0), flush, write(4096), flush}, []string{"group, 1 at 0", "group, 1 at 4096"}, []uint32{0, 0}},
		"a read between":   {[]job{write(0), read, write(4096), flush}, []string{"1 buffers at 0", "group, 1 at 4096"}, []uint32{0, 0, 0}},
		"another device":   {[]job{write(0), foreign, flush}, []string{"1 buffers at 0", "flush"}, []uint32{0, 0, 0}},
		"another's flush":  {[]job{write(0), foreignFlush, flush}, []string{"1 buffers at 0", "flush"}, []uint32{0, 0, 0}},
		"only a flush":     {[]job{flush}, []string{"flush"}, []uint32{0}},
		"refused":          {[]job{refused, write(0), refused, flush}, []string{"1 buffers at 0", "flush"}, []uint32{22, 0, 22, 0}},
		"unknown":          {[]job{{op: 99, handle: 1, dev: dev}}, nil, []uint32{22}},
		"prepare by force": {[]job{{op: abi.QueuePrepare, handle: 1, dev: dev}}, nil, []uint32{22}},
		"a flush of nobody": {
			[]job{write(0), {op: abi.QueueFlush, handle: 9}},
			[]string{"1 buffers at 0"},
			[]uint32{0, 22},
		},
	} {
		t.Run(name, func(t *testing.T) {
			dev.calls, dev.err = nil, nil
			var errnos []uint32
			for jobs := c.jobs; len(jobs) > 0; {
				n, errno := perform(jobs)
				require.Positive(t, n)
				errnos = append(errnos, errno)
				jobs = jobs[n:]
			}
			require.Equal(t, c.calls, dev.calls)
			require.Equal(t, c.errno, errnos)
		})
	}
	dev.err = unix.ENOSPC
	n, errno := perform([]job{write(0), write(8192), flush})
	require.Equal(t, 3, n, "a failed group fails as a whole")
	require.Equal(t, uint32(unix.ENOSPC), errno)
	require.Equal(t, uint32(unix.EINVAL), prepare(job{dev: dev, bytes: abi.MaxPrepare + 1}))
	require.Zero(t, prepare(job{dev: dev, bytes: 4096}), "a device that needs no preparing")
}
