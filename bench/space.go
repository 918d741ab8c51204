package main

import (
	"fmt"

	"phantomvm/bench/engine"
	"phantomvm/bench/result"
)

// space measures write amplification and the size of the log in long runs of checkpoints.
func (b *bench) space(g *result.Group) error {
	pages, times := 1<<16, 5
	if b.quick {
		pages, times = 1<<12, 3
	}
	t := result.Table{Title: "Arena of " + mib(pages) + ", all of it live", Columns: result.Cols("access", "dirty pages", "checkpoints", "bytes written / dirty bytes:3", "log used / live:2", "blocks moved / dirty pages:3")}
	curve := g.Plot("space", "Write amplification as a long run goes on, arena of "+mib(pages), "dirty pages written so far / pages of the arena", "bytes written / dirty bytes")
	curve.LogX, curve.LogY = false, false
	worst := 0.0
	for _, zipf := range []bool{false, true} {
		for _, dirty := range []int{100, 1000, 10000} {
			if dirty > pages/4 {
				continue
			}
			access := map[bool]string{false: "uniform", true: "zipf 1.1"}[zipf]
			b.progress.say("%s, %d dirty pages", access, dirty)
			r, err := engine.NewRig(b.tmp, pages, imageSize)
			if err != nil {
				return err
			}
			s, err := r.Steady(dirty, zipf, times)
			if err != nil {
				r.Close() //nolint:errcheck // the first error counts
				return err
			}
			if err := r.Close(); err != nil {
				return err
			}
			t.Add(access, dirty, s.Rounds, s.Amplification, s.Slack, float64(s.Moved)/float64(s.Pages))
			if dirty == 1000 {
				worst = max(worst, s.Amplification)
			}
			name := fmt.Sprintf("%s, %d", access, dirty)
			for _, p := range s.Mean(25) {
				curve.Point(name, p[0], p[1])
			}
		}
	}
	g.Tables = append(g.Tables, t)
	g.Goals = append(g.Goals, result.Goal{What: "write amplification, steady state, with cleaning, 1000 dirty pages (uniform and zipf, the worse)", Want: "<= 1.3", Reached: fmt.Sprintf("%.2f", worst), Met: worst <= 1.3})
	g.Notes = append(g.Notes, fmt.Sprintf("Checkpoints follow one another until %d times the arena was dirtied; the figures are of the second half, all bytes that went to the device included: "+
		"pages, map, commit records, roots, cleaning and prewritten segments. *log used / live* is the slack that this was measured with.", 2*times))
	return nil
}
