package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"time"

	"phantomvm/bench/result"
)

// heap counts the pages that a program writes by allocating.
func (b *bench) heap(g *result.Group) error {
	little, much := 16, 272
	if b.quick {
		much = 48
	}
	t := result.Table{Title: fmt.Sprintf("Objects of 16 to 128 bytes, the newest 1,024 live, %d MiB allocated", much-little), Columns: result.Cols("monitor", "checkpoints every", "pages written / MiB allocated:1", "of those of a bump allocator, %:1", "collections", "pause p99, us")}
	for _, m := range b.monitors {
		for _, every := range []string{"10ms", "1ms"} {
			b.progress.say("%s, every %s", m, every)
			before, _, err := b.churned(m, every, little)
			if err != nil {
				return err
			}
			pages, n, err := b.churned(m, every, much)
			if err != nil {
				return err
			}
			each := (pages - before) / float64(much-little)
			t.Add(m, every, each, 100*each/256, n.GCCycles, or0(n.GCPauseP99))
		}
	}
	g.Tables = append(g.Tables, t)
	g.Notes = append(g.Notes, "A bump allocator that does not use a page twice within an interval writes 256 pages per MiB. Pages of checkpoints, by `status --json --whole`; the program's start is subtracted. "+
		"The figure depends on how fast the program allocates: what it can use again within an interval is written once.")
	return nil
}

// churned returns the pages of all checkpoints of a run that allocates so many MiB.
func (b *bench) churned(monitor, every string, mib int) (float64, *numbers, error) {
	defer b.clear()
	l, err := b.launch(monitor, filepath.Join(b.tmp, "i.phantom"), "--checkpoint", every, b.suite, "--", "churn", strconv.Itoa(mib))
	if err != nil {
		return 0, nil, err
	}
	defer l.kill() //nolint:errcheck // it has nothing to lose
	if _, err := l.until("filled", 5*time.Minute); err != nil {
		return 0, nil, err
	}
	n, err := l.status("--whole")
	if err != nil {
		return 0, nil, err
	}
	return n.Rate * n.Window * or0(n.Pages), n, nil
}
