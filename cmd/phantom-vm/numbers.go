package main

import (
	"time"

	"phantomvm/metrics"
	"phantomvm/objectvm/machine/wire"
)

// liveNumbers is what status --json and top --json say of a running instance, beside its state. docs/metrics.md
// explains each name. Averages and percentiles of nothing are null.
type liveNumbers struct {
	Window          float64  `json:"window_seconds"`
	Uptime          float64  `json:"uptime_seconds"`
	Interval        float64  `json:"interval_ms"`
	CheckpointRate  float64  `json:"checkpoints_per_second"`
	CheckpointPages *float64 `json:"pages_per_checkpoint"`
	CheckpointBytes *float64 `json:"bytes_per_checkpoint"`
	WriteAmp        *float64 `json:"write_amplification"`
	WriteRate       float64  `json:"device_bytes_per_second"`
	FlipP50         *float64 `json:"flip_us_p50"`
	FlipP99         *float64 `json:"flip_us_p99"`
	SliceP50        *float64 `json:"slice_us_p50"`
	SliceP99        *float64 `json:"slice_us_p99"`
	CommitP50       *float64 `json:"commit_ms_p50"`
	CommitP99       *float64 `json:"commit_ms_p99"`
	AgeP50          *float64 `json:"durable_age_ms_p50"`
	AgeP99          *float64 `json:"durable_age_ms_p99"`
	Age             float64  `json:"durable_age_ms"`
	RootAge         float64  `json:"root_age_ms"`
	Stretched       uint64   `json:"stretched_checkpoints"`
	StretchedTime   float64  `json:"stretched_ms"`
	Resident        uint64   `json:"resident_pages"`
	Dirty           uint64   `json:"dirty_pages"`
	FirstTouches    uint64   `json:"first_touches"`
	Copied          uint64   `json:"copied_pages"`
	ColdCopies      uint64   `json:"cold_copies"`
	Cleaned         uint64   `json:"cleaned_pages"`
	MajorFaults     uint64   `json:"major_faults"`
	ReadAhead       uint64   `json:"read_ahead_pages"`
	Evicted         uint64   `json:"evicted_pages"`
	PageWaits       uint64   `json:"page_waits"`
	PageWaitTime    float64  `json:"page_wait_ms"`
	PageWaitP99     *float64 `json:"page_wait_us_p99"`
	MemoryWaits     uint64   `json:"memory_waits"`
	MemoryWaitTime  float64  `json:"memory_wait_ms"`
	HeapBytes       uint64   `json:"heap_bytes"`
	GCCycles        uint64   `json:"gc_cycles"`
	GCTime          float64  `json:"gc_ms"`
	GCPauseP50      *float64 `json:"gc_pause_us_p50"`
	GCPauseP99      *float64 `json:"gc_pause_us_p99"`
	GCPauseMax      *float64 `json:"gc_pause_us_max"`
	OutputBytes     uint64   `json:"output_bytes"`
	Syncs           uint64   `json:"syncs"`
	SyncFlips       uint64   `json:"sync_checkpoints"`
	SyncWaiting     uint64   `json:"syncs_waiting"`
	StartMillis     *float64 `json:"start_to_first_instruction_ms"`
	HeldBack        uint64   `json:"output_held_back"`
}

// newLiveNumbers turns what was counted in s, which began when its window did, into numbers. uptime is that of the incarnation.
func newLiveNumbers(s *wire.Stats, began int64, start time.Duration) *liveNumbers {
	window := max(float64(s.At-s.Began)/1e9, 1e-9)
	ms := func(ns uint64) float64 { return float64(ns) / 1e6 }
	n := &liveNumbers{
		Window: window, Uptime: float64(s.At-began) / 1e9, Interval: float64(s.Interval) / 1e6,
		CheckpointRate: float64(s.Checkpoints) / window, WriteRate: float64(s.DeviceBytes) / window,
		FlipP50: quantile(&s.Flip, 0.5, 1e3), FlipP99: quantile(&s.Flip, 0.99, 1e3),
		SliceP50: quantile(&s.Slice, 0.5, 1e3), SliceP99: quantile(&s.Slice, 0.99, 1e3),
		CommitP50: quantile(&s.Commit, 0.5, 1e6), CommitP99: quantile(&s.Commit, 0.99, 1e6),
		AgeP50: quantile(&s.DurableAge, 0.5, 1e6), AgeP99: quantile(&s.DurableAge, 0.99, 1e6), Age: float64(s.OldestChange) / 1e6, RootAge: float64(max(0, s.At-s.DurableAt)) / 1e6,
		GCPauseP50: quantile(&s.GCPause, 0.5, 1e3), GCPauseP99: quantile(&s.GCPause, 0.99, 1e3), GCPauseMax: quantile(&s.GCPause, 1, 1e3),
		PageWaitP99: quantile(&s.PageWait, 0.99, 1e3),
		Stretched:   s.Stretched, StretchedTime: ms(s.StretchedNanos),
		Resident: s.ResidentPages, Dirty: s.DirtyPages, FirstTouches: s.FirstTouches, Copied: s.CopiedPages, ColdCopies: s.ColdCopies, Cleaned: s.CleanedPages,
		MajorFaults: s.MajorFaults, ReadAhead: s.ReadAhead, Evicted: s.Evicted,
		PageWaits: s.PageWaits, PageWaitTime: ms(s.PageWaitNanos), MemoryWaits: s.MemoryWaits, MemoryWaitTime: ms(s.MemoryWaitNanos),
		HeapBytes: s.HeapBytes, GCCycles: s.GCCycles, GCTime: ms(s.GCNanos),
		OutputBytes: s.OutputBytes, Syncs: s.Syncs, SyncFlips: s.SyncFlips, SyncWaiting: s.SyncWaiting, HeldBack: s.HeldBack,
	}
	if s.Checkpoints > 0 {
		n.CheckpointPages, n.CheckpointBytes = ratio(s.Pages, s.Checkpoints), ratio(s.DeviceBytes, s.Checkpoints)
	}
	if s.Pages > 0 {
		amp := s.WriteAmplification()
		n.WriteAmp = &amp
	}
	if start > 0 {
		v := float64(start) / 1e6
		n.StartMillis = &v
	}
	return n
}

// quantile is that of a histogram in units of so many of its own, nil of an empty one.
func quantile(h *metrics.Histogram, q, unit float64) *float64 {
	if h.Count() == 0 {
		return nil
	}
	v := float64(h.Quantile(q)) / unit
	return &v
}

func ratio(a, b uint64) *float64 {
	v := float64(a) / float64(b)
	return &v
}
