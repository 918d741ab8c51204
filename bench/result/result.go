// Package result is what a benchmark found: tables, curves and goals, as data. The same data is printed on a
// terminal, written as JSON, and made into docs/performance.md with its plots.
package result

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
)

// Group is one run of one group of benchmarks.
type Group struct {
	Name    string   `json:"name"`
	Title   string   `json:"title"`
	Command string   `json:"command"` // makes this group again
	Date    string   `json:"date"`    // UTC, day and time
	Commit  string   `json:"commit"`
	Machine string   `json:"machine"` // class, in neutral words
	Seconds float64  `json:"seconds"` // that the run took
	Others  float64  `json:"others"`  // share of the processors' time that other processes used meanwhile, 0 to 1
	Notes   []string `json:"notes,omitempty"`
	Goals   []Goal   `json:"goals,omitempty"`
	Tables  []Table  `json:"tables,omitempty"`
	Plots   []*Plot  `json:"plots,omitempty"`
}

// Goal is a number to reach, and what was reached.
type Goal struct {
	What    string `json:"what"`
	Want    string `json:"want"`
	Reached string `json:"reached"`
	Met     bool   `json:"met"`
}

// Table is rows of cells; a cell is a string or a float64.
type Table struct {
	Title   string   `json:"title"`
	Columns []Column `json:"columns"`
	Rows    [][]any  `json:"rows"`
	Notes   []string `json:"notes,omitempty"`
}

// Column describes the cells below it.
type Column struct {
	Name   string `json:"name"` // with the unit
	Digits int    `json:"digits"`
}

// Plot is curves over common axes. Its SVG is docs/plots/FILE.svg.
type Plot struct {
	File   string   `json:"file"`
	Title  string   `json:"title"`
	X      string   `json:"x"` // with units
	Y      string   `json:"y"`
	LogX   bool     `json:"log_x,omitempty"`
	LogY   bool     `json:"log_y,omitempty"`
	Series []Series `json:"series"`
}

// Series is one curve.
type Series struct {
	Name   string       `json:"name"`
	Points [][2]float64 `json:"points"`
	Dashed bool         `json:"dashed,omitempty"`
}

// Cols makes columns of names; "ms:2" has two digits, a name without a colon none.
func Cols(names ...string) []Column {
	out := make([]Column, len(names))
	for i, n := range names {
		name, d, _ := strings.Cut(n, ":")
		out[i].Name = name
		if d != "" {
			out[i].Digits = int(d[0] - '0')
		}
	}
	return out
}

// Add appends a row; numbers become float64.
func (t *Table) Add(cells ...any) {
	for i, c := range cells {
		switch v := c.(type) {
		case int:
			cells[i] = float64(v)
		case string, float64:
		default:
			cells[i] = fmt.Sprint(v)
		}
	}
	t.Rows = append(t.Rows, cells)
}

// Plot returns the plot of that file, with logarithmic axes; it is made if there is none.
func (g *Group) Plot(file, title, x, y string) *Plot {
	i := slices.IndexFunc(g.Plots, func(p *Plot) bool { return p.File == file })
	if i < 0 {
		i = len(g.Plots)
		g.Plots = append(g.Plots, &Plot{File: file, Title: title, X: x, Y: y, LogX: true, LogY: true})
	}
	return g.Plots[i]
}

// Point appends to the series of that name.
func (p *Plot) Point(series string, x, y float64) {
	i := slices.IndexFunc(p.Series, func(s Series) bool { return s.Name == series })
	if i < 0 {
		i = len(p.Series)
		p.Series = append(p.Series, Series{Name: series})
	}
	p.Series[i].Points = append(p.Series[i].Points, [2]float64{x, y})
}

// cell is the text of one cell.
func (t *Table) cell(r, c int) string {
	if c >= len(t.Rows[r]) {
		return ""
	}
	switch v := t.Rows[r][c].(type) {
	case float64:
		return fmt.Sprintf("%.*f", t.Columns[c].Digits, v)
	case string:
		return v
	}
	return "?"
}

func (t *Table) isText(c int) bool {
	for _, r := range t.Rows {
		if c < len(r) {
			if _, ok := r[c].(string); !ok {
				return false
			}
		}
	}
	return true
}

// Text writes the group for a terminal.
func (g *Group) Text(w io.Writer) {
	fmt.Fprintf(w, "\n== %s (%s; %.0f s; others used %.0f %% of the processors)\n", g.Title, g.Machine, g.Seconds, 100*g.Others)
	for i := range g.Tables {
		g.Tables[i].text(w)
	}
	for _, goal := range g.Goals {
		fmt.Fprintf(w, "  %s: %s; goal %s: %s\n", goal.What, goal.Reached, goal.Want, goal.Verdict())
	}
	for _, n := range g.Notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
}

// Verdict is "met" or "not met".
func (g *Goal) Verdict() string {
	if g.Met {
		return "met"
	}
	return "not met"
}

func (t *Table) text(w io.Writer) {
	fmt.Fprintf(w, "\n%s\n", t.Title)
	width := make([]int, len(t.Columns))
	for c := range t.Columns {
		width[c] = len([]rune(t.Columns[c].Name))
		for r := range t.Rows {
			width[c] = max(width[c], len([]rune(t.cell(r, c))))
		}
	}
	line := func(cell func(c int) string) {
		for c := range t.Columns {
			if t.isText(c) {
				fmt.Fprintf(w, "  %-*s", width[c], cell(c))
			} else {
				fmt.Fprintf(w, "  %*s", width[c], cell(c))
			}
		}
		fmt.Fprintln(w)
	}
	line(func(c int) string { return t.Columns[c].Name })
	for r := range t.Rows {
		line(func(c int) string { return t.cell(r, c) })
	}
	for _, n := range t.Notes {
		fmt.Fprintf(w, "  %s\n", n)
	}
}

// Markdown writes the group's tables, plots and notes, but not its goals. plots is the folder of the SVG files
// as seen from the document.
func (g *Group) Markdown(w io.Writer, plots string) {
	fmt.Fprintf(w, "`%s`, %s, commit %s; %s; %.0f s, during which other processes used %.0f %% of the processors.\n", g.Command, g.Date, g.Commit, g.Machine, g.Seconds, 100*g.Others)
	for _, t := range g.Tables {
		fmt.Fprintf(w, "\n**%s**\n\n", t.Title)
		for c := range t.Columns {
			fmt.Fprintf(w, "| %s ", t.Columns[c].Name)
		}
		fmt.Fprint(w, "|\n")
		for c := range t.Columns {
			if t.isText(c) {
				fmt.Fprint(w, "|---")
			} else {
				fmt.Fprint(w, "|--:")
			}
		}
		fmt.Fprint(w, "|\n")
		for r := range t.Rows {
			for c := range t.Columns {
				fmt.Fprintf(w, "| %s ", t.cell(r, c))
			}
			fmt.Fprint(w, "|\n")
		}
		for _, n := range t.Notes {
			fmt.Fprintf(w, "\n%s\n", n)
		}
	}
	for _, n := range g.Notes {
		fmt.Fprintf(w, "\n%s\n", n)
	}
	for _, p := range g.Plots {
		fmt.Fprintf(w, "\n![%s](%s/%s.svg)\n", p.Title, plots, p.File)
	}
}

// Load reads a file of groups; one that does not exist has none.
func Load(path string) ([]Group, error) {
	b, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var all []Group
	if err := json.Unmarshal(b, &all); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return all, nil
}

// Save replaces the groups of those names in the file and keeps the others.
func Save(path string, news []Group) error {
	all, err := Load(path)
	if err != nil {
		return err
	}
	for _, g := range news {
		i := slices.IndexFunc(all, func(x Group) bool { return x.Name == g.Name })
		if i < 0 {
			all = append(all, g)
		} else {
			all[i] = g
		}
	}
	b, err := json.MarshalIndent(all, "", " ")
	if err != nil {
		return err
	}
	return os.WriteFile(path, append(b, '\n'), 0o644)
}
