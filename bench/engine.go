package main

import (
	"fmt"
	"slices"
	"time"

	"phantomvm/bench/engine"
	"phantomvm/bench/result"
	"phantomvm/persist"
)

// imageSize is the capacity of the image; it is sparse.
const imageSize = 64 << 30

func mib(pages int) string {
	if n := pages * persist.BlockSize >> 20; n < 1024 {
		return fmt.Sprintf("%d MiB", n)
	}
	return fmt.Sprintf("%d GiB", pages*persist.BlockSize>>30)
}

var engineColumns = []string{
	"dirty pages", "interval", "checkpoints/s", "pages each", "flip p50, us:1", "p99:1", "commit p50, ms:2", "p99:2", "disk alone p50, ms:2", "p99:2",
	"age p99, ms:1", "slice p99, us:1", "without:1", "ratio:2", "program slower by, %:1", "of it first touches, %:1",
}

func engineRow(t *result.Table, l engine.Load, m *engine.Timing) {
	q := result.Quantile
	slower, touches := m.Slowdown()
	t.Add(l.Dirty, l.Interval, float64(m.Checkpoints)/m.Seconds, float64(m.Pages)/float64(max(1, m.Checkpoints)),
		q(m.Flips, 0.5), q(m.Flips, 0.99), q(m.Commits, 0.5), q(m.Commits, 0.99), q(m.Disk, 0.5), q(m.Disk, 0.99), q(m.Ages, 0.99),
		q(m.Slices, 0.99), q(m.BaseSlices, 0.99), q(m.Slices, 0.99)/q(m.BaseSlices, 0.99), 100*slower, 100*touches)
}

// engine measures the checkpointer with a mutator of its own: no VM, no guest.
func (b *bench) engine(g *result.Group) error {
	seconds, arenas := 2.0, []int{1 << 12, 1 << 16, 1 << 18}
	if b.quick {
		seconds, arenas = 0.3, []int{1 << 12, 1 << 14}
	}
	large := arenas[len(arenas)-1]
	if err := b.engineGoals(g, large, seconds); err != nil {
		return err
	}
	for _, pages := range arenas {
		if err := b.engineArena(g, pages, pages == large, seconds/2); err != nil {
			return err
		}
	}
	g.Notes = append(g.Notes,
		"A mutator thread works in slices of 800 stores and 5,600 loads (8 us), with the VM's write barrier; between slices it flips when the interval is over. Each checkpoint is flushed with fdatasync. "+
			"Turns without checkpoints (all pages open) and with them alternate; *ratio* and *slower* compare the two. A slice's time includes the flip before it.",
		"*commit*: from the flip to durable. *disk alone*: the same number of pages written to a prewritten file and flushed by nobody but a loop, in turns with the rest: what the disk allowed at that time. *age*: from the flip before, after which the first change of this checkpoint came, to durable; its p99 is over checkpoints and is thus an upper bound of the age of the oldest change that is not durable at a random moment. "+
			"*first touches*: time in the barrier's slow path, every 16th timed.")
	return nil
}

// engineGoals measures the loads that the goals name, longer than others.
func (b *bench) engineGoals(g *result.Group, pages int, seconds float64) error {
	r, err := engine.NewRig(b.tmp, pages, imageSize)
	if err != nil {
		return err
	}
	defer r.Close()
	t := result.Table{Title: "Loads of the goals, arena of " + mib(pages) + ", all of it live", Columns: result.Cols(engineColumns...)}
	for _, l := range []engine.Load{
		{Dirty: 10, Interval: 500 * time.Microsecond},
		{Dirty: 100, Interval: time.Millisecond},
		{Dirty: 100, Interval: 10 * time.Millisecond},
		{Dirty: 1000, Interval: 10 * time.Millisecond},
		{Dirty: 10000, Interval: 50 * time.Millisecond},
	} {
		b.progress.say("%d pages every %v", l.Dirty, l.Interval)
		m, err := r.Run(l, 2*seconds)
		if err != nil {
			return err
		}
		engineRow(&t, l, m)
		q, rate := result.Quantile, float64(m.Checkpoints)/m.Seconds
		switch {
		case l.Dirty == 1000:
			ratio := q(m.Slices, 0.99) / q(m.BaseSlices, 0.99)
			flip, age := q(m.Flips, 0.99), q(m.Ages, 0.99)
			g.Goals = append(g.Goals,
				result.Goal{What: "engine, 1000 dirty pages every 10 ms, flushed: checkpoints", Want: "99/s", Reached: fmt.Sprintf("%.1f/s; the disk alone %.0f/s", rate, 1e3/mean(m.Disk)), Met: rate >= 98.95},
				result.Goal{What: "the same: flip p99", Want: "< 50 us", Reached: fmt.Sprintf("%.1f us", flip), Met: flip < 50},
				result.Goal{What: "the same: slice p99 with checkpoints / without", Want: "< 1.5", Reached: fmt.Sprintf("%.2f", ratio), Met: ratio < 1.5},
				result.Goal{What: "the same: age of the oldest change that is not durable, p99", Want: "< 30 ms", Reached: fmt.Sprintf("%.1f ms", age), Met: age < 30})
		case l.Interval == time.Millisecond:
			g.Goals = append(g.Goals, result.Goal{What: "engine, 100 dirty pages every 1 ms, flushed: checkpoints", Want: ">= 900/s", Reached: fmt.Sprintf("%.0f/s; the disk alone %.0f/s", rate, 1e3/mean(m.Disk)), Met: rate >= 900})
		}
	}
	g.Tables = append(g.Tables, t)
	return nil
}

// fastest is how many pages a program may dirty in a second for the curves: 4 GB/s, several times what a disk takes.
const fastest = 1e6

func mean(sample []float64) float64 {
	sum := 0.0
	for _, x := range sample {
		sum += x
	}
	return sum / float64(len(sample))
}

var intervals = []time.Duration{500 * time.Microsecond, time.Millisecond, 2 * time.Millisecond, 5 * time.Millisecond, 10 * time.Millisecond, 20 * time.Millisecond, 50 * time.Millisecond}

// engineArena measures the curves in one arena: every interval in the largest, 10 ms in the others.
func (b *bench) engineArena(g *result.Group, pages int, all bool, seconds float64) error {
	r, err := engine.NewRig(b.tmp, pages, imageSize)
	if err != nil {
		return err
	}
	defer r.Close()
	t := result.Table{Title: "Arena of " + mib(pages), Columns: result.Cols(engineColumns...)}
	commit := g.Plot("engine-commit", "From flip to durable (p50), interval 10 ms", "dirty pages", "ms")
	flip := g.Plot("engine-flip", "Flip (p99), interval 10 ms", "dirty pages", "us")
	var rate, slow *result.Plot
	if all {
		rate = g.Plot("engine-rate", "Checkpoints per second, arena of "+mib(pages), "interval, ms", "checkpoints/s")
		slow = g.Plot("engine-slow", "Slowdown of the program, arena of "+mib(pages), "interval, ms", "slower by, % (less than 0.01 is drawn there)")
	}
	for _, dirty := range []int{10, 100, 1000, 10000} {
		for _, every := range intervals {
			if dirty > pages/2 || !all && every != 10*time.Millisecond || float64(dirty)/every.Seconds() > fastest {
				continue
			}
			l := engine.Load{Dirty: dirty, Interval: every}
			b.progress.say("arena of %s, %d pages every %v", mib(pages), dirty, every)
			m, err := r.Run(l, max(seconds, 10*every.Seconds()))
			if err != nil {
				return err
			}
			engineRow(&t, l, m)
			ms := every.Seconds() * 1e3
			if all {
				name := fmt.Sprintf("%d dirty pages", dirty)
				rate.Point(name, ms, float64(m.Checkpoints)/m.Seconds)
				s, _ := m.Slowdown()
				slow.Point(name, ms, max(0.01, 100*s))
			}
			if every == 10*time.Millisecond {
				if all {
					commit.Point("the disk alone", float64(dirty), result.Quantile(m.Disk, 0.5))
				}
				commit.Point("arena "+mib(pages), float64(dirty), result.Quantile(m.Commits, 0.5))
				flip.Point("arena "+mib(pages), float64(dirty), result.Quantile(m.Flips, 0.99))
			}
		}
	}
	if all {
		for _, every := range intervals {
			ms := every.Seconds() * 1e3
			rate.Point("1 / interval", ms, 1e3/ms)
		}
		s := rate.Series
		s[len(s)-1].Dashed = true
		i := slices.IndexFunc(commit.Series, func(s result.Series) bool { return s.Name == "the disk alone" })
		commit.Series[i].Dashed = true
	}
	g.Tables = append(g.Tables, t)
	return nil
}
