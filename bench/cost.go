package main

import (
	"fmt"
	"strconv"
	"time"

	"phantomvm/bench/result"
)

// stores is how many stores into its pages suite's program dirty does.
const stores = 1_500_000

// cost compares a program with and without checkpoints, by the number of pages that it dirties in an interval.
func (b *bench) cost(g *result.Group) error {
	t := result.Table{Title: "CPU-bound program, checkpoints every 10 ms", Columns: result.Cols("pages dirtied per 10 ms", "monitor", "without, ms:1", "with, ms:1", "slower by, %:1", "noise, %:1", "checkpoints/s", "pages each", "stores that are first touches, %:2", "of them with a copy, %:1")}
	plot := g.Plot("cost", "What durable checkpoints every 10 ms cost a program", "pages dirtied per interval", "slower by, %")
	plot.LogY = false
	for _, pages := range []int{10, 100, 1000, 3000, 10000} {
		runs := min(b.runs, 3)
		if pages == 100 && !b.quick {
			runs = 2 * b.runs // a goal
		}
		var ways []way
		for _, m := range b.monitors {
			ways = append(ways, way{m + ", without", b.under(m, "--checkpoint", "1h")}, way{m + ", with", b.under(m, "--checkpoint", "10ms")})
		}
		all, err := b.interleaved(ways, runs, "dirty", strconv.Itoa(pages))
		if err != nil {
			return err
		}
		best := leasts(all)
		for i, m := range b.monitors {
			off, on := best[2*i], best[2*i+1]
			slower, noise := 100*(on/off-1), 100*(result.Quantile(all[2*i], 0.5)/off-1)
			b.progress.say("%s, %d pages, first touches", m, pages)
			n, err := b.watch(m, 2*time.Second, b.suite, "--", "steady", strconv.Itoa(pages))
			if err != nil {
				return err
			}
			touches := n.FirstTouches / n.Window // a second; the program does stores*1000/on stores a second
			t.Add(pages, m, off, on, slower, noise, n.Rate, or0(n.Pages), 100*touches/(stores*1e3/on), 100*n.Copied/max(1, n.FirstTouches))
			plot.Point(m, float64(pages), slower)
			if pages == 100 {
				g.Goals = append(g.Goals, costGoal(m, slower, noise))
			}
		}
	}
	g.Tables = append(g.Tables, t)
	g.Notes = append(g.Notes, "*noise*: how much the median of the runs without checkpoints is above the least of them.")
	g.Notes = append(g.Notes, fmt.Sprintf("The program stores into each of its pages in turn, 200 steps of arithmetic beside each store. *without*: `--checkpoint 1h`. Least of %d interleaved runs (%d at 100 pages), by the program's own clock. Checkpoints and first touches are those of two seconds of the same loop, by `status --json`.", min(b.runs, 3), 2*b.runs))
	return nil
}

// unresolved is the noise in percent above which a small slowdown can't be told.
const unresolved = 10

func costGoal(monitor string, slower, noise float64) result.Goal {
	g := result.Goal{What: "cost to a program that dirties 100 pages per 10 ms, " + monitor, Want: "<= 2 %", Reached: fmt.Sprintf("%.1f %%", slower), Met: slower <= 2}
	if noise > unresolved {
		g.Reached, g.Met = fmt.Sprintf("can't be told: runs of the same thing differ by %.0f %%", noise), false
	}
	return g
}
