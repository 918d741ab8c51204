package machine

import (
	"bufio"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
	"phantomvm/persist/filedev"
	"phantomvm/persist/nbddev"
	"phantomvm/persist/nbddev/nbdtest"
	"phantomvm/persist/sim"
)

// counted is a device whose operations nobody counts here: the log has them.
type counted struct{ persist.Device }

func (counted) Len() int { return 0 }

// TestCrashSweepQEMU runs programs on storage that QEMU makes of a file, with a log of all writes and flushes that
// arrive at its bottom (QEMU's driver blklogwrites): the operations are not what the program meant to write, but what
// came out at the other end of the kernel, a connection and a server. The log is replayed, and crashes are made at
// every one of its operations.
func TestCrashSweepQEMU(t *testing.T) {
	if raceDetector || testing.Short() {
		t.Skip("not under the race detector, not with -short")
	}
	for name, open := range map[string]func(t *testing.T, size int64) (dev persist.Device, log string, end func()){
		"NBD": func(t *testing.T, size int64) (persist.Device, string, func()) {
			server := nbdtest.StartLogging(t, size)
			target, err := nbddev.ParseTarget(server.URI)
			require.NoError(t, err)
			d, err := nbddev.Open(t.Context(), target, nbddev.Options{})
			require.NoError(t, err)
			return d, server.WriteLog, func() { require.NoError(t, d.Close()) }
		},
		"FUSE": func(t *testing.T, size int64) (persist.Device, string, func()) {
			disk := nbdtest.MountLogging(t, size)
			d, err := filedev.Open(disk.Path)
			require.NoError(t, err)
			return d, disk.WriteLog, func() {
				require.NoError(t, d.Close())
				disk.Close()
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := &sweep{T: t, rng: newRand(t), size: quickSweep, seen: sim.Seen{}, begin: time.Now()}
			programs, how := 1, sim.Sweep{Subsets: 3, Sectors: 2, Tears: 2, Blocks: 2}
			if os.Getenv("PHANTOM_SOAK") != "" {
				programs, how = 10, sim.Sweep{Subsets: 8, Sectors: 8, Tears: 10, Blocks: 8}
			}
			for n := range programs {
				sub := s.randomSubject(n)
				dev, log, end := open(t, sub.disk)
				s.logged(sub, dev, log, end, how)
			}
			t.Logf("%d distinct images, %d run on to the program's end", s.images, s.continued)
			require.Greater(t, s.images, 50)
			require.NotZero(t, s.continued)
		})
	}
}

// logged runs a program on a device and sweeps over the log below it.
func (s *sweep) logged(sub *subject, dev persist.Device, log string, end func(), how sim.Sweep) {
	require.NoError(s, Create(dev, sub.module, Options{InstanceID: [16]byte{3}, ArenaLimit: 32 << 20}))
	h := newHost(s.rng, counted{dev}, console{}, [wire.Streams]int64{})
	cfg := sub.cfg
	cfg.Device = dev
	h.run(s.T, cfg)
	end()
	sub.want, sub.code = h.files, h.end.Status.ExitCode

	f, err := os.Open(log)
	require.NoError(s, err)
	ops, err := sim.ReadLog(bufio.NewReader(f))
	require.NoError(s, err)
	require.NoError(s, f.Close())
	rec := &sim.Recording{Base: make([]byte, sub.disk), Ops: ops}
	l := s.newLife(sub, h, rec, nil)
	require.Equal(s, persist.Epoch(h.end.Status.Epoch), l.timeline.acked(len(ops)), "the log has all epochs")
	how.Rand, how.Seen = s.rng, s.seen
	images, err := how.Run(rec, func(c sim.Crash) error {
		epoch, err := l.timeline.check(c)
		if err != nil {
			return s.keep(l, c, err)
		}
		if epoch < 2 || s.rng.IntN(20) != 0 {
			return nil
		}
		s.continued++
		return s.onward(l, c, epoch)
	})
	require.NoError(s, err)
	s.images += images
	s.Logf("%s: %d operations in the log, %d epochs", sub.name, len(ops), len(l.timeline.flushes))
}

// onward runs an image on. What was delivered by then is not in the server's log: all that the state may show.
func (s *sweep) onward(l *life, c sim.Crash, epoch persist.Epoch) error {
	rec, err := persist.Inspect(c.Image)
	if err != nil {
		return err
	}
	meta, err := decodeMeta(rec.Meta)
	if err != nil {
		return err
	}
	h := newHost(s.rng, c.Image, l.host.files.upto(meta.Ends), meta.Ends)
	cfg := l.cfg
	cfg.Device = c.Image
	h.run(s.T, cfg)
	if err := l.compare(h, epoch); err != nil {
		return s.keep(l, c, fmt.Errorf("run on: %w", err))
	}
	return nil
}
