package main

import (
	"fmt"
	"strconv"

	"phantomvm/bench/result"
)

// cost compares a program with and without checkpoints, by the number of pages that it dirties in an interval.
func (b *bench) cost(g *result.Group) error {
	t := result.Table{Title: "CPU-bound program, checkpoints every 10 ms", Columns: result.Cols("pages dirtied per 10 ms", "monitor", "without, ms:1", "with, ms:1", "slower by, %:1")}
	plot := g.Plot("cost", "What durable checkpoints every 10 ms cost a program", "pages dirtied per interval", "slower by, %")
	plot.LogY = false
	for _, pages := range []int{10, 100, 1000, 3000, 10000} {
		runs := b.runs
		if pages == 100 && !b.quick {
			runs *= 2 // a goal
		}
		var ways []way
		for _, m := range b.monitors {
			ways = append(ways, way{m + ", without", b.under(m, "--checkpoint", "1h")}, way{m + ", with", b.under(m, "--checkpoint", "10ms")})
		}
		best, err := b.least(ways, runs, "dirty", strconv.Itoa(pages))
		if err != nil {
			return err
		}
		for i, m := range b.monitors {
			off, on := best[2*i], best[2*i+1]
			slower := 100 * (on/off - 1)
			t.Add(pages, m, off, on, slower)
			plot.Point(m, float64(pages), slower)
			if pages == 100 {
				g.Goals = append(g.Goals, result.Goal{What: "cost to a program that dirties 100 pages per 10 ms, " + m, Want: "<= 2 %", Reached: fmt.Sprintf("%.1f %%", slower), Met: slower <= 2})
			}
		}
	}
	g.Tables = append(g.Tables, t)
	g.Notes = append(g.Notes, fmt.Sprintf("The program stores into each of its pages in turn, 200 steps of arithmetic beside each store. *without*: `--checkpoint 1h`. Least of %d interleaved runs (twice as many at 100 pages), by the program's own clock.", b.runs))
	return nil
}
