package main

import (
	"fmt"
	"strconv"
	"time"

	"phantomvm/bench/result"
)

// machine lets whole machines say how their checkpoints went.
func (b *bench) machine(g *result.Group) error {
	t := result.Table{Title: "A CPU-bound program that dirties its pages all the time, numbers of `status --json`", Columns: result.Cols(
		"monitor", "dirty pages", "interval", "checkpoints/s", "pages each", "flip p50, us:1", "p99:1", "commit p50, ms:2", "p99:2", "age p99, ms:1",
		"slice p99, us", "without", "ratio:2", "bytes written / dirty bytes:3", "pages cleaned / dirty pages:3")}
	watch := 9 * time.Second
	if b.quick {
		watch = time.Second
	}
	for _, m := range b.monitors {
		for _, l := range []struct{ pages, ms int }{{100, 10}, {100, 1}, {1000, 10}} {
			every := fmt.Sprintf("%dms", l.ms)
			b.progress.say("%s, %d pages every %s", m, l.pages, every)
			program := []string{b.suite, "--", "steady", strconv.Itoa(l.pages)}
			n, err := b.watch(m, watch, append([]string{"--checkpoint", every}, program...)...)
			if err != nil {
				return err
			}
			off, err := b.watch(m, watch/3, append([]string{"--checkpoint", "1h"}, program...)...)
			if err != nil {
				return err
			}
			ratio, age, wa := or0(n.SliceP99)/or0(off.SliceP99), or0(n.AgeP99), or0(n.Amplification)
			t.Add(m, l.pages, every, n.Rate, or0(n.Pages), or0(n.FlipP50), or0(n.FlipP99), or0(n.CommitP50), or0(n.CommitP99), age,
				or0(n.SliceP99), or0(off.SliceP99), ratio, wa, n.Cleaned/max(1, n.Rate*n.Window*or0(n.Pages)))
			g.Goals = append(g.Goals, machineGoals(m, l.pages, l.ms, n, ratio)...)
		}
	}
	g.Tables = append(g.Tables, t)
	g.Notes = append(g.Notes, fmt.Sprintf("Each figure is of the first %v of a run. *slice*: how long the program ran on without checkpoints, timers or messages; *without* has `--checkpoint 1h`. "+
		"*age*: of the oldest change that is not durable, just before each acknowledgement, when it is greatest.", watch))
	return nil
}

func machineGoals(m string, pages, ms int, n *numbers, ratio float64) []result.Goal {
	what := fmt.Sprintf("%s, %d dirty pages every %d ms, flushed: ", m, pages, ms)
	age := result.Goal{What: what + "age of the oldest change that is not durable, p99", Want: "< 30 ms", Reached: fmt.Sprintf("%.1f ms", or0(n.AgeP99)), Met: or0(n.AgeP99) < 30}
	switch {
	case pages == 1000:
		return []result.Goal{
			{What: what + "checkpoints", Want: "99/s", Reached: fmt.Sprintf("%.1f/s", n.Rate), Met: n.Rate >= 98.95},
			{What: what + "flip p99", Want: "< 50 us", Reached: fmt.Sprintf("%.1f us", or0(n.FlipP99)), Met: or0(n.FlipP99) < 50},
			{What: what + "slice p99 with checkpoints / without", Want: "< 1.5", Reached: fmt.Sprintf("%.2f", ratio), Met: ratio < 1.5},
			{What: what + "write amplification with cleaning", Want: "<= 1.3", Reached: fmt.Sprintf("%.2f", or0(n.Amplification)), Met: or0(n.Amplification) <= 1.3},
			age,
		}
	case ms == 1:
		return []result.Goal{{What: what + "checkpoints", Want: ">= 900/s", Reached: fmt.Sprintf("%.0f/s", n.Rate), Met: n.Rate >= 900}}
	}
	return []result.Goal{age}
}
