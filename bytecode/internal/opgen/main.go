// Command opgen derives from bytecode/optable.go what is written by a machine:
// the constants and decoder tables of ops_gen.go, the tables of docs/bytecode.md
// and the list of pinned numbers.
//
// It reads the table's source instead of importing the package, so that it still
// works while the rest of the package does not compile because a constant is
// missing.
package main

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", ".", "folder of package bytecode")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "opgen:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	files, err := generate(dir)
	if err != nil {
		return err
	}
	for name, data := range files {
		if err := os.WriteFile(name, data, 0o644); err != nil {
			return fmt.Errorf("write generated file: %w", err)
		}
	}
	return nil
}

// generate returns the content of every generated file, by path. dir is the folder of package bytecode.
func generate(dir string) (map[string][]byte, error) {
	table, err := readTable(filepath.Join(dir, "optable.go"))
	if err != nil {
		return nil, err
	}
	source, err := goSource(table)
	if err != nil {
		return nil, err
	}
	pinPath := filepath.Join(dir, "testdata", "opnumbers.txt")
	pinned, err := os.ReadFile(pinPath)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("read pinned numbers: %w", err)
	}
	pins, err := pin(pinned, table)
	if err != nil {
		return nil, err
	}
	docPath := filepath.Join(dir, "..", "docs", "bytecode.md")
	doc, err := os.ReadFile(docPath)
	if err != nil {
		return nil, fmt.Errorf("read document: %w", err)
	}
	doc, err = docTables(doc, table)
	if err != nil {
		return nil, err
	}
	return map[string][]byte{
		filepath.Join(dir, "ops_gen.go"): source,
		pinPath:                          pins,
		docPath:                          doc,
	}, nil
}
