package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"phantomvm/bench/result"
)

// idle counts what a program that sleeps makes the command write.
func (b *bench) idle(g *result.Group) error {
	t := result.Table{Title: "A program that sleeps, 5 s", Columns: result.Cols("monitor", "bytes written by calls", "bytes sent to the disk", "image changed")}
	for _, m := range b.monitors {
		b.progress.say("%s", m)
		calls, disk, changed, err := b.sleeper(m)
		if err != nil {
			return err
		}
		t.Add(m, int(calls), int(disk), map[bool]string{true: "yes", false: "no"}[changed])
		g.Goals = append(g.Goals, result.Goal{What: "an idle program causes no writes, " + m, Want: "0 bytes", Reached: fmt.Sprintf("%d bytes to the disk", disk), Met: disk == 0 && !changed})
	}
	g.Tables = append(g.Tables, t)
	g.Notes = append(g.Notes, "From half a second after the program began to sleep, by the kernel's accounts of the command's process (`/proc/PID/io`) and the image's time of modification.")
	return nil
}

func (b *bench) sleeper(monitor string) (calls, disk int64, changed bool, err error) {
	defer b.clear()
	dir := filepath.Join(b.tmp, "i.phantom")
	l, err := b.launch(monitor, dir, b.suite, "--", "idle")
	if err != nil {
		return 0, 0, false, err
	}
	defer l.kill() //nolint:errcheck // it has nothing to lose
	if _, err := l.until("filled", time.Minute); err != nil {
		return 0, 0, false, err
	}
	time.Sleep(500 * time.Millisecond)
	calls, disk, err = l.written()
	if err != nil {
		return 0, 0, false, err
	}
	before, err := os.Stat(filepath.Join(dir, "disk.img"))
	if err != nil {
		return 0, 0, false, err
	}
	time.Sleep(5 * time.Second)
	calls2, disk2, err := l.written()
	if err != nil {
		return 0, 0, false, err
	}
	after, err := os.Stat(filepath.Join(dir, "disk.img"))
	if err != nil {
		return 0, 0, false, err
	}
	return calls2 - calls, disk2 - disk, after.ModTime() != before.ModTime(), nil
}
