package main

import (
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// render draws a round for a terminal: lines of at most width columns, at most height of them. chosen is the instance
// that is shown in full.
func render(all []sample, chosen, width, height int) []string {
	now := time.Now()
	if len(all) > 0 {
		now = all[0].At
	}
	lines := []string{fmt.Sprintf("phantom-vm top   %s   q ends", now.Local().Format("15:04:05")), ""}
	if len(all) == 0 {
		all = []sample{{Dir: "top", Error: "no answer yet"}}
	}
	if len(all) > 1 {
		lines[0] += ", up and down choose"
		lines = append(lines, "    "+tableHead)
		for i := range all {
			mark := "  "
			if i == chosen {
				mark = "▸ "
			}
			lines = append(lines, "  "+mark+all[i].row())
		}
		lines = append(lines, "")
	}
	lines = append(lines, all[chosen].details()...)
	for i, l := range lines {
		lines[i] = cut(l, width)
	}
	return lines[:min(len(lines), max(height, 1))]
}

const tableHead = "INSTANCE             STATE        EPOCH   CKPT/S  PAGES  FLIP p99  COMMIT p99   AGE p99   W.AMP  RESIDENT  FAULTS  GC p99     HELD"

// row is an instance in the table.
func (s *sample) row() string {
	name := cut(printableLine(s.Dir), 20)
	if s.statusReport == nil {
		return fmt.Sprintf("%-20s %s", name, s.Error)
	}
	if s.liveNumbers == nil {
		return fmt.Sprintf("%-20s %-8s %9d", name, s.State, s.Epoch)
	}
	held := float64(s.HeldBack)
	return fmt.Sprintf("%-20s %-8s %9d %8.1f %6s %9s %11s %9s %7s %9d %7d %7s %8s", name, s.State, s.Epoch, s.CheckpointRate, number(s.CheckpointPages),
		micros(s.FlipP99), millis(s.CommitP99), millis(s.AgeP99), number(s.WriteAmp), s.Resident, s.MajorFaults, micros(s.GCPauseP99), bytesText(&held))
}

// details are all numbers of an instance.
func (s *sample) details() []string {
	name := printableLine(s.Dir)
	if s.statusReport == nil {
		return []string{name + ": " + s.Error}
	}
	head := fmt.Sprintf("%s   %s   epoch %d   incarnation %d   %s", name, s.State, s.Epoch, s.Incarnation, s.Monitor)
	if s.liveNumbers == nil {
		return []string{head, fmt.Sprintf("  %d pages, durable at %s", s.ArenaPages, s.DurableAt)}
	}
	head += fmt.Sprintf("   pid %d   up %s   %d goroutines", s.PID, time.Duration(s.Uptime*1e9).Round(time.Second), s.Goroutines)
	n := s.liveNumbers
	arena, resident, dirty, heap := pagesBytes(s.ArenaPages), pagesBytes(n.Resident), pagesBytes(n.Dirty), float64(n.HeapBytes)
	outRate, held := float64(n.OutputBytes)/n.Window, float64(n.HeldBack)
	rate := func(v uint64) string { f := float64(v) / n.Window; return number(&f) }
	return []string{
		head, "",
		field("checkpoints", "%.1f/s", n.CheckpointRate) + field("pages each", "%s", number(n.CheckpointPages)) + field("bytes each", "%s", bytesText(n.CheckpointBytes)) + "  " + curve(s.rates),
		field("flip", "%s", micros(n.FlipP50)) + field("p99", "%s", micros(n.FlipP99)) + field("late starts", "%d, %s", n.Stretched, millis(&n.StretchedTime)),
		field("commit", "%s", millis(n.CommitP50)) + field("p99", "%s", millis(n.CommitP99)) + field("interval", "%s", millis(&n.Interval)),
		field("not durable", "%s", millis(n.AgeP50)) + field("p99", "%s", millis(n.AgeP99)) + field("now", "%s", millis(&n.Age)),
		field("device", "%s/s", bytesText(&n.WriteRate)) + field("amplification", "%s", number(n.WriteAmp)) + field("cleaned", "%s/s", rate(n.Cleaned)),
		"",
		field("slices", "%s", micros(n.SliceP50)) + field("p99", "%s", micros(n.SliceP99)),
		field("collector", "%d cycles", n.GCCycles) + field("pause p99", "%s", micros(n.GCPauseP99)) + field("longest", "%s", micros(n.GCPauseMax)),
		"",
		field("arena", "%s", bytesText(&arena)) + field("resident", "%s", bytesText(&resident)) + field("dirty", "%s", bytesText(&dirty)),
		field("heap", "%s", bytesText(&heap)) + field("first touches", "%s/s", rate(n.FirstTouches)) + field("copied", "%s/s", rate(n.Copied)),
		field("faults", "%s/s", rate(n.MajorFaults)) + field("read ahead", "%s/s", rate(n.ReadAhead)) + field("evicted", "%s/s", rate(n.Evicted)),
		field("page waits", "%d, %s", n.PageWaits, millis(&n.PageWaitTime)) + field("memory waits", "%d, %s", n.MemoryWaits, millis(&n.MemoryWaitTime)),
		"",
		field("output", "%s/s", bytesText(&outRate)) + field("held back", "%s", bytesText(&held)) + field("in Sync", "%d, %s/s back", n.SyncWaiting, rate(n.Syncs)),
	}
}

func pagesBytes(n uint64) float64 { return float64(n) * 4096 }

// field is a name and a value in columns.
func field(name, format string, args ...any) string {
	value := fmt.Sprintf(format, args...)
	return fmt.Sprintf("  %-14s%-14s", name, value)
}

// curve draws values as little columns, the greatest in full height.
func curve(values []float64) string {
	top := 0.0
	for _, v := range values {
		top = max(top, v)
	}
	var b strings.Builder
	for _, v := range values {
		if top == 0 {
			b.WriteRune('▁')
			continue
		}
		b.WriteRune([]rune("▁▂▃▄▅▆▇█")[min(7, int(v/top*8))])
	}
	return b.String()
}

// cut shortens a line to so many columns; each character here takes one.
func cut(s string, width int) string {
	if utf8.RuneCountInString(s) <= width {
		return s
	}
	return string([]rune(s)[:max(width-1, 0)]) + "…"
}

// printableLine is a file's name as it may go to a terminal.
func printableLine(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return unicode.ReplacementChar
	}, s)
}
