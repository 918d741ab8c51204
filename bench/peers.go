package main

import (
	"bytes"
	"encoding/json"
	"os"
	"os/exec"

	"phantomvm/bench/result"
)

// peers runs the module bench/stores, which has the other stores in its go.mod.
func (b *bench) peers(g *result.Group) error {
	args := []string{"run", "-mod=mod", ".", "-dir", b.tmp} // go.mod may be behind the one above
	if b.quick {
		args = append(args, "-quick")
	}
	var out bytes.Buffer
	cmd := exec.CommandContext(b.ctx, "go", args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = "bench/stores", &out, os.Stderr
	if err := cmd.Run(); err != nil {
		return err
	}
	var found result.Group
	if err := json.Unmarshal(out.Bytes(), &found); err != nil {
		return err
	}
	g.Tables, g.Plots, g.Goals, g.Notes = found.Tables, found.Plots, found.Goals, found.Notes
	return nil
}
