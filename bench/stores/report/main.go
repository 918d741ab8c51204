// Command report makes docs/performance.md and its plots from the data that `make bench-docs` has saved. In the
// document it replaces what stands between <!-- bench:GROUP --> and <!-- /bench:GROUP -->, and the goals likewise.
package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"

	"phantomvm/bench/result"
)

func main() {
	doc := flag.String("doc", "docs/performance.md", "the document")
	plots := flag.String("plots", "docs/plots", "folder of the data (data.json) and the plots, beside the document")
	format := flag.String("format", "svg", "of the plots; png to look at them")
	flag.Parse()
	if err := run(*doc, *plots, *format); err != nil {
		fmt.Fprintln(os.Stderr, "report:", err)
		os.Exit(1)
	}
}

func run(doc, plots, format string) error {
	groups, err := result.Load(filepath.Join(plots, "data.json"))
	if err != nil {
		return err
	}
	if len(groups) == 0 {
		return fmt.Errorf("%s has no data; `make bench-docs` makes it", plots)
	}
	text, err := os.ReadFile(doc)
	if err != nil {
		return err
	}
	if text, err = replace(text, "goals", goals(groups)); err != nil {
		return err
	}
	for i := range groups {
		g := &groups[i]
		var b bytes.Buffer
		g.Markdown(&b, filepath.Base(plots))
		if text, err = replace(text, g.Name, b.Bytes()); err != nil {
			return err
		}
		for _, p := range g.Plots {
			if err := drawTo(p, filepath.Join(plots, p.File+"."+format)); err != nil {
				return fmt.Errorf("%s: %w", p.File, err)
			}
		}
	}
	return os.WriteFile(doc, text, 0o644)
}

// replace puts text between the marks of that name.
func replace(doc []byte, name string, text []byte) ([]byte, error) {
	re := regexp.MustCompile(`(?s)(<!-- bench:` + name + ` -->\n).*?(<!-- /bench:` + name + ` -->)`)
	if !re.Match(doc) {
		return nil, fmt.Errorf("the document has no place <!-- bench:%s -->", name)
	}
	return re.ReplaceAllFunc(doc, func(old []byte) []byte {
		m := re.FindSubmatch(old)
		return bytes.Join([][]byte{m[1], text, m[2]}, nil)
	}), nil
}

// goals is the table of all goals.
func goals(groups []result.Group) []byte {
	var b bytes.Buffer
	fmt.Fprint(&b, "| what | goal | reached | | command |\n|---|---|---|---|---|\n")
	for _, g := range groups {
		for _, goal := range g.Goals {
			v := goal.Verdict()
			if !goal.Met {
				v = "**" + v + "**"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s | `%s` |\n", goal.What, goal.Want, goal.Reached, v, g.Command)
		}
	}
	return b.Bytes()
}
