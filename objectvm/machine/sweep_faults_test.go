package machine

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
	"phantomvm/persist/sim"
)

// What crashes alone don't show: devices that fail, and images that decay. Like the crash sweep these go over
// recorded lives of random programs.

// TestCrashSweepFaults fails the Nth write or flush of a life, once and for good, with and without a part of the
// write on the disk, from the formatting on. The life ends with an error, the next one, on what the disk has kept,
// goes on from what was durable to the program's end. What was written before a flush that failed may be gone
// although later flushes succeed.
func TestCrashSweepFaults(t *testing.T) {
	if raceDetector || testing.Short() {
		t.Skip("many lives: not under the race detector, not with -short; TestFailingDevice fails fewer")
	}
	soak := os.Getenv("PHANTOM_SOAK") != ""
	s := &sweep{T: t, rng: newRand(t), size: quickSweep, seen: sim.Seen{}, begin: time.Now()}
	programs, step, tried := 2, 5, 0
	if soak {
		programs, step = 12, 0
	}
	for n := range programs {
		sub := s.randomSubject(n)
		s.failingFormat(sub)
		first := sim.New(sub.disk)
		require.NoError(t, Create(first, sub.module, Options{InstanceID: [16]byte{9}, ArenaLimit: 32 << 20}))
		base := sim.NewBase(first.Image())
		image := sim.NewImage(base)
		h := s.faulty(sub, image, nil)
		sub.want, sub.code = h.files, h.end.Status.ExitCode
		for _, kind := range []sim.Fault{{Err: sim.ErrIO}, {Err: sim.ErrIO, Sticky: true}, {Err: persist.ErrNoSpace}, {Err: persist.ErrNoSpace, Sticky: true}} {
			for at := s.rng.IntN(1 + step); ; at += 1 + s.rng.IntN(1+2*step) {
				f := kind
				f.At, f.Torn = at, s.rng.IntN(12)
				if !s.fault(sub, image, first, f) {
					break
				}
				tried++
			}
		}
	}
	t.Logf("%d faults in lives of %d programs", tried, programs)
	require.Greater(t, tried, 40)
}

// faulty runs an image with a fault, from the beginning of the program.
func (s *sweep) faulty(sub *subject, image *sim.Image, f *sim.Fault) *crashHost {
	image.Reset()
	image.Record()
	image.SetFault(f)
	h := newHost(s.rng, image, console{}, [wire.Streams]int64{})
	cfg := sub.cfg
	cfg.Device = image
	return h.run(s.T, cfg)
}

// fault is false if the life came to its end before the fault.
func (s *sweep) fault(sub *subject, image *sim.Image, first *sim.Disk, f sim.Fault) bool {
	h := s.faulty(sub, image, &f)
	if h.end.Status.State != wire.Failed {
		require.NoError(s, sub.compare(h, 0))
		return false
	}
	what := fmt.Sprintf("%s: fault %+v: %s", sub.name, f, h.end.Reason)
	require.Equal(s, errors.Is(f.Err, persist.ErrNoSpace), h.end.NoSpace, what)
	require.False(s, h.end.Damaged, what)
	image.SetFault(nil)
	var dev recorder = image // what the device kept is all that was issued
	if s.rng.IntN(2) == 0 {  // or power fails too
		dev = sim.FromImage(image.Recording(first.Image()).PowerDies(s.rng))
	}
	next := newHost(s.rng, dev, h.files, h.saved)
	cfg := sub.cfg
	cfg.Device = dev
	next.run(s.T, cfg)
	require.NoError(s, sub.compare(next, persist.Epoch(h.end.Status.Epoch)), what)
	return true
}

// failingFormat fails each I/O of the creation: it says so, what is left is no image or one without a program,
// and creating it again succeeds.
func (s *sweep) failingFormat(sub *subject) {
	for n := 0; ; n++ {
		d := sim.New(sub.disk)
		d.SetFault(&sim.Fault{At: n, Err: sim.ErrIO, Torn: s.rng.IntN(9)})
		err := Create(d, sub.module, Options{InstanceID: [16]byte{9}, ArenaLimit: 32 << 20})
		if err == nil {
			require.Greater(s, n, 5)
			return
		}
		require.ErrorIs(s, err, sim.ErrIO)
		_, rec, err := persist.Open(d)
		if err == nil {
			require.LessOrEqual(s, rec.Epoch, persist.Epoch(2))
		} else {
			require.ErrorIs(s, err, persist.ErrNotFormatted)
		}
		require.NoError(s, Create(d, sub.module, Options{InstanceID: [16]byte{9}, ArenaLimit: 32 << 20}))
		if n > 20 {
			n += s.rng.IntN(20)
		}
	}
}

// rot counts what became of damaged images.
type rot struct {
	*sweep
	sectors, harmless, named, refused, offered, interrupted, unread int
}

// TestCrashSweepRot flips a bit in sectors of images between two checkpoints, where a crash leaves them, and after
// a clean stop. The state is right, or the damage is reported with its place; nothing is lost silently. It also
// fails each read of a recovery.
func TestCrashSweepRot(t *testing.T) {
	if raceDetector || testing.Short() {
		t.Skip("many images: not under the race detector, not with -short; TestBitRot (persist) flips fewer")
	}
	r := &rot{sweep: &sweep{T: t, rng: newRand(t), size: quickSweep, seen: sim.Seen{}, begin: time.Now()}}
	programs, images, each := 2, 3, 2
	if os.Getenv("PHANTOM_SOAK") != "" {
		programs, images, each = 25, 6, 1
	}
	for n := range programs {
		sub := r.randomSubject(n)
		sub.disk = 6 << 20
		l := r.record(sub)
		acked := l.timeline.flushes
		last := acked[len(acked)-1].ops
		chosen := map[int]bool{last: true}
		for range images {
			chosen[acked[r.rng.IntN(len(acked))].ops] = true
		}
		require.NoError(t, l.rec.Settled(func(image *sim.Image, ops int, flushed bool) error {
			epoch := l.timeline.acked(ops)
			if !chosen[ops] || epoch < 2 || !flushed {
				return nil
			}
			if err := r.decay(l, image, epoch, ops == last, each); err != nil {
				return err
			}
			return r.unreadable(l, image, epoch)
		}))
	}
	t.Logf("%d sectors with a flipped bit in %v: %d harmless, %d named by fsck, %d states refused, %d older ones offered, %d like an interrupted commit, which is said; %d failing reads",
		r.sectors, time.Since(r.begin).Round(time.Second), r.harmless, r.named, r.refused, r.offered, r.interrupted, r.unread)
	require.NotZero(t, r.harmless)
	require.NotZero(t, r.named)
	require.NotZero(t, r.offered)
	require.NotZero(t, r.interrupted)
	require.NotZero(t, r.unread)
}

// decay flips a bit in one of each sectors that hold anything.
func (r *rot) decay(l *life, image *sim.Image, acked persist.Epoch, stopped bool, each int) error {
	contents := image.Contents()
	for at := 0; at < len(contents); at += sim.Sector {
		if bytes.Count(contents[at:at+sim.Sector], []byte{0}) == sim.Sector && r.rng.IntN(30) != 0 || r.rng.IntN(each) != 0 {
			continue
		}
		r.sectors++
		off := int64(at + r.rng.IntN(sim.Sector))
		image.Reset()
		image.Flip(off, r.rng.IntN(8))
		if err := r.damaged(l, image, acked, stopped, off); err != nil {
			return fmt.Errorf("%s, epoch %d, stopped %v, offset %#x: %w", l.name, acked, stopped, off, err)
		}
	}
	image.Reset()
	return nil
}

func (r *rot) damaged(l *life, image *sim.Image, acked persist.Epoch, stopped bool, off int64) error {
	rep, fsck := persist.Fsck(image, nil)
	named := errors.Is(fsck, persist.ErrVersion)
	for _, p := range rep.Problems {
		named = named || p.Offset/sim.Sector == off/sim.Sector || p.Offset/persist.BlockSize == off/persist.BlockSize && p.Offset%persist.BlockSize == 0
	}
	if named {
		r.named++
	} else if len(rep.Problems) > 0 {
		return fmt.Errorf("fsck names another place: %+v", rep.Problems)
	}
	store, rec, err := persist.Open(image)
	if err == nil {
		err = l.timeline.compare(store, rec)
		switch {
		case err == nil && rec.Epoch == acked:
			r.harmless++
			return nil
		case err == nil && (stopped || rec.Incomplete < acked):
			return fmt.Errorf("epoch %d was recovered and nothing is said of epoch %d (incomplete: %d)", rec.Epoch, acked, rec.Incomplete)
		case err == nil:
			r.interrupted++
			return nil
		}
	}
	r.refused++
	var rd *persist.RootDamagedError
	switch {
	case !errors.Is(err, persist.ErrCorrupt) && !errors.Is(err, persist.ErrVersion):
		return err
	case !named || fsck == nil && rep.OK():
		return fmt.Errorf("refused (%w), but fsck finds %+v", err, rep.Problems)
	case !errors.As(err, &rd):
		return nil
	}
	for _, e := range rd.Available {
		store, rec, err := persist.OpenAt(image, e)
		if err == nil {
			err = l.timeline.compare(store, rec)
		}
		if err == nil && rec.Epoch == e {
			r.offered++
		} else if !errors.Is(err, persist.ErrCorrupt) {
			return fmt.Errorf("epoch %d was offered: %w", e, err)
		}
	}
	return nil
}

// unreadable fails each read of a recovery, once and for good: the error shows, or the state is the right one.
func (r *rot) unreadable(l *life, image *sim.Image, acked persist.Epoch) error {
	for n, failed := 0, true; failed || n < 4; n++ { // an early one may hit the superblock, which has a copy
		failed = false
		for _, sticky := range []bool{false, true} {
			image.Reset()
			image.SetFault(&sim.Fault{At: n, Reads: true, Sticky: sticky, Err: sim.ErrIO})
			epoch, err := l.timeline.open(image)
			switch {
			case err == nil && epoch != acked:
				return fmt.Errorf("read %d failed: epoch %d instead of %d", n, epoch, acked)
			case err == nil:
				continue
			case !errors.Is(err, sim.ErrIO):
				return fmt.Errorf("read %d failed: %w", n, err)
			}
			failed = true
			r.unread++
		}
	}
	image.Reset()
	return nil
}
