package main

import (
	"encoding/hex"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/cmd/phantom-vm/internal/monitor"
	"phantomvm/metrics"
	"phantomvm/objectvm/machine/wire"
)

// collector turns a machine's numbers into metrics whenever somebody scrapes them; docs/metrics.md lists them.
type collector struct {
	info    prometheus.Metric
	numbers func() monitor.Numbers
}

// scalar is a counter or gauge with a plain number.
type scalar struct {
	desc  *prometheus.Desc
	kind  prometheus.ValueType
	value func(s *wire.Stats) float64
}

// distribution is a histogram: its values are shown divided by unit, with limits at powers of two from 1<<low to 1<<high.
type distribution struct {
	desc      *prometheus.Desc
	unit      float64
	low, high int
	of        func(s *wire.Stats) *metrics.Histogram
}

func desc(name, help string) *prometheus.Desc {
	return prometheus.NewDesc("phantom_"+name, help, nil, nil)
}

func counter(name, help string, of func(s *wire.Stats) uint64) scalar {
	return scalar{desc(name, help), prometheus.CounterValue, func(s *wire.Stats) float64 { return float64(of(s)) }}
}

func counterSeconds(name, help string, of func(s *wire.Stats) uint64) scalar {
	return scalar{desc(name, help), prometheus.CounterValue, func(s *wire.Stats) float64 { return float64(of(s)) / 1e9 }}
}

func gauge(name, help string, of func(s *wire.Stats) uint64) scalar {
	return scalar{desc(name, help), prometheus.GaugeValue, func(s *wire.Stats) float64 { return float64(of(s)) }}
}

func seconds(name, help string, of func(s *wire.Stats) *metrics.Histogram) distribution {
	return distribution{desc(name+"_seconds", help), 1e9, 10, 34, of} // 1 µs to 17 s
}

func sizes(name, help string, low, high int, of func(s *wire.Stats) *metrics.Histogram) distribution {
	return distribution{desc(name, help), 1, low, high, of}
}

var scalars = []scalar{
	gauge("epoch", "Newest durable epoch.", func(s *wire.Stats) uint64 { return s.Epoch }),
	{desc("root_age_seconds", "Age of the newest durable root."), prometheus.GaugeValue, func(s *wire.Stats) float64 { return float64(max(0, s.At-s.DurableAt)) / 1e9 }},
	{desc("oldest_change_seconds", "Age of the oldest change that is not durable; 0 if everything is."), prometheus.GaugeValue, func(s *wire.Stats) float64 { return float64(s.OldestChange) / 1e9 }},
	{desc("checkpoint_interval_seconds", "Interval between checkpoints that was asked for."), prometheus.GaugeValue, func(s *wire.Stats) float64 { return float64(s.Interval) / 1e9 }},
	{desc("start_time_seconds", "Unix time at the first instruction of this incarnation."), prometheus.GaugeValue, func(s *wire.Stats) float64 { return float64(s.Began) / 1e9 }},
	gauge("goroutines", "Goroutines that exist.", func(s *wire.Stats) uint64 { return s.Goroutines }),
	gauge("arena_pages", "Live pages of the arena, of 4 KiB.", func(s *wire.Stats) uint64 { return s.ArenaPages }),
	gauge("resident_pages", "Pages of the arena that are in memory.", func(s *wire.Stats) uint64 { return s.ResidentPages }),
	gauge("dirty_pages", "Pages changed since the last flip.", func(s *wire.Stats) uint64 { return s.DirtyPages }),
	gauge("heap_bytes", "Live bytes of the heap, as far as the collector knows.", func(s *wire.Stats) uint64 { return s.HeapBytes }),
	gauge("output_held_back_bytes", "Output that no durable checkpoint covers yet.", func(s *wire.Stats) uint64 { return s.HeldBack }),
	gauge("syncs_waiting", "Goroutines in phantom.Sync.", func(s *wire.Stats) uint64 { return s.SyncWaiting }),
	counter("checkpoints_total", "Checkpoints that became durable.", func(s *wire.Stats) uint64 { return s.Checkpoints }),
	counter("device_written_bytes_total", "Bytes written to the device, everything.", func(s *wire.Stats) uint64 { return s.DeviceBytes }),
	counter("cleaned_pages_total", "Pages moved by the cleaning of segments.", func(s *wire.Stats) uint64 { return s.CleanedPages }),
	counter("stretched_checkpoints_total", "Checkpoints that began late, because the one before was not acknowledged.", func(s *wire.Stats) uint64 { return s.Stretched }),
	counterSeconds("stretched_seconds_total", "By how much they were late.", func(s *wire.Stats) uint64 { return s.StretchedNanos }),
	counter("first_touches_total", "First stores to a page since a flip.", func(s *wire.Stats) uint64 { return s.FirstTouches }),
	counter("copied_pages_total", "Pages that the program copied for a checkpoint under way.", func(s *wire.Stats) uint64 { return s.CopiedPages }),
	counter("cold_copies_total", "Such copies that found no memory prepared.", func(s *wire.Stats) uint64 { return s.ColdCopies }),
	counter("output_bytes_total", "Output handed to the host.", func(s *wire.Stats) uint64 { return s.OutputBytes }),
	counter("syncs_total", "Calls of phantom.Sync that have returned.", func(s *wire.Stats) uint64 { return s.Syncs }),
	counter("sync_checkpoints_total", "Checkpoints that began early for them.", func(s *wire.Stats) uint64 { return s.SyncFlips }),
	counter("major_faults_total", "Pages read from the device because the program touched them.", func(s *wire.Stats) uint64 { return s.MajorFaults }),
	counter("read_ahead_pages_total", "Pages read from the device before the program touched them.", func(s *wire.Stats) uint64 { return s.ReadAhead }),
	counter("evicted_pages_total", "Pages given up in memory for others.", func(s *wire.Stats) uint64 { return s.Evicted }),
	counter("memory_waits_total", "Times the program waited for memory.", func(s *wire.Stats) uint64 { return s.MemoryWaits }),
	counterSeconds("memory_wait_seconds_total", "Time the program waited for memory.", func(s *wire.Stats) uint64 { return s.MemoryWaitNanos }),
	counter("page_waits_total", "Times the program waited for a page that was not resident.", func(s *wire.Stats) uint64 { return s.PageWaits }),
	counterSeconds("page_wait_seconds_total", "Time the program waited for pages.", func(s *wire.Stats) uint64 { return s.PageWaitNanos }),
	counter("gc_cycles_total", "Completed collections.", func(s *wire.Stats) uint64 { return s.GCCycles }),
	counterSeconds("gc_seconds_total", "Time in the collector.", func(s *wire.Stats) uint64 { return s.GCNanos }),
}

var distributions = []distribution{
	seconds("slice", "Times of slices in which the program ran.", func(s *wire.Stats) *metrics.Histogram { return &s.Slice }),
	seconds("gc_pause", "Times of the collector within one slice.", func(s *wire.Stats) *metrics.Histogram { return &s.GCPause }),
	seconds("flip", "Times in which the program stood still for a demarcation.", func(s *wire.Stats) *metrics.Histogram { return &s.Flip }),
	seconds("commit", "Times from a flip to its acknowledgement by the device.", func(s *wire.Stats) *metrics.Histogram { return &s.Commit }),
	seconds("durable_age", "Ages of the oldest change that was not durable, just before each acknowledgement.", func(s *wire.Stats) *metrics.Histogram { return &s.DurableAge }),
	seconds("page_wait", "Times that the program waited for a page.", func(s *wire.Stats) *metrics.Histogram { return &s.PageWait }),
	sizes("checkpoint_pages", "Dirty pages per checkpoint.", 0, 20, func(s *wire.Stats) *metrics.Histogram { return &s.CheckpointPages }),
	sizes("checkpoint_bytes", "Bytes written to the device per checkpoint.", 12, 32, func(s *wire.Stats) *metrics.Histogram { return &s.CheckpointBytes }),
}

func newCollector(rec instance.Record, kind monitor.Kind, numbers func() monitor.Numbers) *collector {
	d := prometheus.NewDesc("phantom_info", "What runs; the value is 1.", nil, prometheus.Labels{
		"program": strings.ToValidUTF8(rec.Name, "?"), "instance_id": hex.EncodeToString(rec.ID[:]), "monitor": string(kind),
	})
	return &collector{info: prometheus.MustNewConstMetric(d, prometheus.GaugeValue, 1), numbers: numbers}
}

// Describe sends nothing: what is collected is checked then.
func (c *collector) Describe(chan<- *prometheus.Desc) {}

// Collect sends the newest numbers.
func (c *collector) Collect(out chan<- prometheus.Metric) {
	out <- c.info
	n := c.numbers()
	if n.All == nil {
		return // the machine has not begun
	}
	if n.Start > 0 {
		out <- prometheus.MustNewConstMetric(startDesc, prometheus.GaugeValue, n.Start.Seconds())
	}
	for _, m := range scalars {
		out <- prometheus.MustNewConstMetric(m.desc, m.kind, m.value(n.All))
	}
	for _, m := range distributions {
		out <- m.collect(n.All)
	}
}

var startDesc = desc("start_to_first_instruction_seconds", "Time from the command's start to the program's first instruction.")

func (d *distribution) collect(s *wire.Stats) prometheus.Metric {
	h := d.of(s)
	buckets := map[float64]uint64{}
	for k := d.low; k <= d.high; k++ {
		limit := uint64(1)<<k - 1 // the last value of a power of two
		buckets[float64(limit)/d.unit] = h.CountBelow(limit)
	}
	return prometheus.MustNewConstHistogram(d.desc, h.Count(), float64(h.Sum())/d.unit, buckets)
}
