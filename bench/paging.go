package main

import (
	"fmt"

	"phantomvm/bench/result"
)

// paging compares zipf visits of an arena ten times as large as the guest's memory with the same when all fits.
func (b *bench) paging(g *result.Group) error {
	arena, small, large, visits := 1280, "128M", "3G", 1_000_000
	if b.quick {
		visits = 100_000
	}
	t := result.Table{Title: fmt.Sprintf("%d MiB of pages visited by Zipf's law (exponent 1), a write in every tenth visit", arena), Columns: result.Cols("monitor", "a visit reads", "all in memory, us a visit:2", "memory "+small+", us a visit:2", "ratio:2")}
	for _, m := range b.monitors {
		for _, words := range []int{512, 1} {
			argv := []string{"zipf", fmt.Sprint(arena), fmt.Sprint(words), fmt.Sprint(visits)}
			flags := []string{"--arena", "4G"}
			all, err := b.interleaved([]way{
				{m + ", all in memory", b.under(m, append(flags, "--mem", large)...)},
				{m + ", memory " + small, b.under(m, append(flags, "--mem", small)...)},
			}, max(1, b.runs/2), argv...)
			if err != nil {
				g.Notes = append(g.Notes, fmt.Sprintf("%s, %d words: left out: %s.", m, words, b.why(err)))
				if words == 512 {
					g.Goals = append(g.Goals, pagingGoal(m, "it failed, see below", false))
				}
				b.clear()
				continue
			}
			best := leasts(all)
			us := 1e3 / float64(visits)
			t.Add(m, fmt.Sprintf("%d words", words), best[0]*us, best[1]*us, best[1]/best[0])
			if words == 512 {
				g.Goals = append(g.Goals, pagingGoal(m, fmt.Sprintf("%.1fx", best[1]/best[0]), best[1]/best[0] <= 3))
			}
		}
	}
	if len(t.Rows) > 0 {
		g.Tables = append(g.Tables, t)
	}
	return nil
}

func pagingGoal(monitor, reached string, met bool) result.Goal {
	return result.Goal{What: "arena 10x memory, zipf visits that read a page, " + monitor, Want: "<= 3x of all in memory", Reached: reached, Met: met}
}
