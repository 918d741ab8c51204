package main

import (
	"fmt"
	"math"
	"path/filepath"
	"strconv"
	"time"

	"phantomvm/bench/result"
)

// some says that a figure is not that of all arenas.
var some = map[bool]string{false: " (of the arenas that were measured)", true: ""}

// startArena is an instance whose resume is timed.
type startArena struct {
	name    string
	mib     float64 // of live pages, for the plot
	program []string
}

// start measures resumes of instances that were killed: from the command's start to the program's next instruction.
func (b *bench) start(g *result.Group) error {
	arenas := []startArena{{"16 MiB, filled", 16, []string{"fill", "16"}}, {"1 GiB, filled", 1024, []string{"fill", "1024"}}}
	if b.quick {
		arenas[1] = startArena{"128 MiB, filled", 128, []string{"fill", "128"}}
	} else if n := b.fill >> 20; n > 1024 {
		arenas = append(arenas, startArena{fmt.Sprintf("%d GiB, filled", n>>10), float64(n), []string{"fill", strconv.FormatInt(n, 10)}})
	}
	if !b.quick {
		arenas = append(arenas, startArena{"60 GiB of addresses, a page in every 2 MiB written", 120, []string{"sparse", "60"}})
	}
	t := result.Table{Title: "Resume after kill -9, ms from the start of the command to the program's first instruction", Columns: result.Cols("arena", "image used, MiB", "monitor", "least:1", "median:1", "most:1", "least by its own clock:1", "least / 16 MiB:2")}
	plot := g.Plot("start", "From start to the first instruction (least), filled arenas", "arena, MiB", "ms")
	first := make(map[string]float64)
	worst, spread, rows := make(map[string]float64), make(map[string]float64), make(map[string]int)
	for _, a := range arenas {
		r, err := b.resumes(a)
		if err != nil {
			g.Notes = append(g.Notes, fmt.Sprintf("%s: left out: %s.", a.name, b.why(err)))
			continue
		}
		for _, m := range b.monitors {
			if r.failed[m] != nil {
				g.Notes = append(g.Notes, fmt.Sprintf("%s, %s: left out: %s.", a.name, m, b.why(r.failed[m])))
				continue
			}
			q := result.Quantile
			least := result.Least(r.took[m])
			if first[m] == 0 {
				first[m] = least
			}
			t.Add(a.name, r.used, m, least, q(r.took[m], 0.5), q(r.took[m], 1), result.Least(r.own[m]), least/first[m])
			rows[m]++
			worst[m], spread[m] = max(worst[m], least), max(spread[m], least/first[m])
			if a.program[0] == "fill" {
				plot.Point(m, a.mib, least)
			}
		}
	}
	for _, m := range b.monitors {
		all := rows[m] == len(arenas)
		g.Goals = append(g.Goals,
			result.Goal{What: "from start to first instruction, slowest arena, " + m, Want: "<= 100 ms", Reached: fmt.Sprintf("%.1f ms", worst[m]) + some[all], Met: worst[m] <= 100 && all},
			result.Goal{What: "the same: slowest arena / 16 MiB", Want: "<= 1.2", Reached: fmt.Sprintf("%.2f", spread[m]) + some[all], Met: spread[m] <= 1.2 && all})
	}
	if len(t.Rows) > 0 {
		g.Tables = append(g.Tables, t)
	}
	g.Notes = append(g.Notes, "From exec of `phantom-vm run INSTANCE` to the line that says the program runs. *by its own clock* is the line's own figure, which leaves out the start of the process. Monitors in turns; the goals are about the least, which other work on the machine disturbs least.",
		"*filled*: every page of that much memory was written by the program and is live in the image. Images were in the host's page cache.")
	return nil
}

// resumed is what resumes of one arena took, by monitor, in ms.
type resumed struct {
	took, own map[string][]float64
	failed    map[string]error
	used      float64 // MiB of the image
}

// resumes makes the instance and resumes it some times under each monitor, in turns.
func (b *bench) resumes(a startArena) (*resumed, error) {
	defer b.clear()
	dir := filepath.Join(b.tmp, "i.phantom")
	b.progress.say("%s: filling", a.name)
	l, err := b.launch("process", dir, append([]string{"--arena", "64G", "--disk", "256G", "--checkpoint", "50ms", b.suite, "--"}, a.program...)...)
	if err != nil {
		return nil, err
	}
	if _, err := l.until("filled", 5*time.Minute); err != nil {
		return nil, err
	}
	if err := l.stop(); err != nil {
		return nil, err
	}
	used, err := usedMiB(filepath.Join(dir, "disk.img"))
	if err != nil {
		return nil, err
	}
	r := &resumed{make(map[string][]float64), make(map[string][]float64), make(map[string]error), math.Round(used)}
	for n := range 2*b.runs + 1 {
		for _, m := range b.monitors {
			if r.failed[m] != nil {
				continue
			}
			b.progress.say("%s: %s, run %d of %d", a.name, m, n, 2*b.runs)
			ms, byItself, err := b.resume(m, dir)
			if err != nil {
				r.failed[m] = err
			} else if n > 0 { // the first one comes after a clean stop, and warms the cache
				r.took[m], r.own[m] = append(r.took[m], ms), append(r.own[m], byItself)
			}
		}
	}
	return r, b.ctx.Err()
}

func (b *bench) resume(monitor, dir string) (ms, own float64, err error) {
	l, err := b.launchInstance(monitor, dir)
	if err != nil {
		return 0, 0, err
	}
	defer l.kill() //nolint:errcheck // the next resume tells
	return l.first()
}
