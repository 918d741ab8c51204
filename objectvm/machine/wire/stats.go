package wire

import "phantomvm/metrics"

// Stats are the numbers of one incarnation. The machine counts in one of
// these, and sends copies to the host: at most one a second by itself, others
// when it is asked (Ask). Counters begin at 0 with the incarnation and only
// grow; gauges say how it is now. Histograms of times are in nanoseconds.
//
// New fields are added at the end.
type Stats struct {
	_msgpack struct{} `msgpack:",as_array"`

	// When.
	At       int64 // wall clock of this copy, Unix nanoseconds
	Began    int64 // wall clock at the first instruction of this incarnation
	Interval int64 // between checkpoints, as asked for, nanoseconds

	// The newest durable root.
	DurableAt int64  // wall clock when it was acknowledged; of what this incarnation began from, when it was demarcated
	Epoch     uint64 // its number

	// Gauges.
	Goroutines    uint64 // that exist
	OldestChange  int64  // age of the oldest change that is not durable, nanoseconds; 0: everything is
	ArenaPages    uint64 // live pages of the arena at the newest durable epoch
	ResidentPages uint64 // pages of it that are in memory, live or not yet
	DirtyPages    uint64 // pages changed since the last flip
	HeapBytes     uint64 // live bytes of the heap, by the last collection and what was allocated since
	HeldBack      uint64 // bytes of output that no durable checkpoint covers
	SyncWaiting   uint64 // goroutines in phantom.Sync

	// Checkpoints.
	Checkpoints    uint64 // acknowledged
	Pages          uint64 // dirty pages in them that were written
	DeviceBytes    uint64 // written to the device, everything
	CleanedPages   uint64 // pages moved by the cleaning of segments
	Stretched      uint64 // checkpoints that began late, because the one before was not acknowledged
	StretchedNanos uint64 // by how much, in all
	FirstTouches   uint64 // first stores to a page since a flip
	CopiedPages    uint64 // pages copied by them for a checkpoint under way
	ColdCopies     uint64 // such copies that found no memory prepared

	// Output and synchronisation.
	OutputBytes uint64 // handed to the host
	Syncs       uint64 // calls of phantom.Sync that have returned
	SyncFlips   uint64 // checkpoints that began early for them

	// Memory.
	MajorFaults     uint64 // pages read from the device because the program touched them
	ReadAhead       uint64 // pages read from the device before that
	Evicted         uint64 // pages given up for others
	PageWaits       uint64 // times the program waited for a page that was not resident
	PageWaitNanos   uint64
	MemoryWaits     uint64 // times the program waited for memory: nothing could be evicted or copied before a commit ended
	MemoryWaitNanos uint64
	GCCycles        uint64 // completed collections
	GCNanos         uint64 // time in the collector

	// Histograms.
	Slice           metrics.Histogram // times of slices in which the program ran
	GCPause         metrics.Histogram // times of the collector within one slice, of slices in which it ran
	Flip            metrics.Histogram // times in which the program stood still for a demarcation
	Commit          metrics.Histogram // times from a flip to its acknowledgement by the device
	DurableAge      metrics.Histogram // ages of the oldest change that was not durable, just before each acknowledgement
	CheckpointPages metrics.Histogram // dirty pages per checkpoint
	CheckpointBytes metrics.Histogram // bytes written to the device per checkpoint
	PageWait        metrics.Histogram // times that the program waited for pages
}

// gauges, counters and histograms list the fields: every one but the five times at the top.
func (s *Stats) gauges() []*uint64 {
	return []*uint64{&s.Epoch, &s.Goroutines, &s.ArenaPages, &s.ResidentPages, &s.DirtyPages, &s.HeapBytes, &s.HeldBack, &s.SyncWaiting}
}

func (s *Stats) counters() []*uint64 {
	return []*uint64{
		&s.Checkpoints, &s.Pages, &s.DeviceBytes, &s.CleanedPages, &s.Stretched, &s.StretchedNanos, &s.FirstTouches, &s.CopiedPages,
		&s.ColdCopies, &s.OutputBytes, &s.Syncs, &s.SyncFlips, &s.MajorFaults, &s.ReadAhead, &s.Evicted, &s.PageWaits, &s.PageWaitNanos,
		&s.MemoryWaits, &s.MemoryWaitNanos, &s.GCCycles, &s.GCNanos,
	}
}

func (s *Stats) histograms() []*metrics.Histogram {
	return []*metrics.Histogram{&s.Slice, &s.GCPause, &s.Flip, &s.Commit, &s.DurableAge, &s.CheckpointPages, &s.CheckpointBytes, &s.PageWait}
}

// Since returns what was counted after older, an earlier copy of the same incarnation's Stats. Began is then the time
// of that copy, and the gauges are those of s.
func (s *Stats) Since(older *Stats) *Stats {
	d := &Stats{At: s.At, Began: older.At, Interval: s.Interval, OldestChange: s.OldestChange, DurableAt: s.DurableAt}
	for i, g := range s.gauges() {
		*d.gauges()[i] = *g
	}
	for i, c := range s.counters() {
		*d.counters()[i] = *c - min(*c, *older.counters()[i])
	}
	for i, h := range s.histograms() {
		d.histograms()[i].CopyFrom(h)
		d.histograms()[i].Sub(older.histograms()[i])
	}
	return d
}

// WriteAmplification is bytes written to the device per byte of dirty pages, 0 if nothing was written.
func (s *Stats) WriteAmplification() float64 {
	if s.Pages == 0 {
		return 0
	}
	return float64(s.DeviceBytes) / float64(s.Pages*pageSize)
}

const pageSize = 4096
