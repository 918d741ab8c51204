package main

import (
	"bytes"
	"os"
	"testing"
)

const packageDir = "../.."

// Generated files are committed; this fails when the table was edited without `go generate ./bytecode`.
func TestGeneratedFilesAreCurrent(t *testing.T) {
	files, err := generate(packageDir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range files {
		got, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not current: run go generate ./bytecode", name)
		}
	}
}

func TestNumbersArePinned(t *testing.T) {
	table := &opTable{rows: []row{{num: 1, name: "NOP"}, {num: 7, name: "NEW"}}}
	got, err := pin([]byte("1 NOP\n3 OLD retired\n"), table)
	if err != nil {
		t.Fatal(err)
	}
	if want := "1 NOP\n3 OLD retired\n7 NEW\n"; string(got) != want {
		t.Errorf("pins %q, want %q", got, want)
	}
	for name, list := range map[string]string{
		"renamed":        "1 NOPE\n",
		"reused":         "1 NOP\n7 OLD retired\n",
		"left silently":  "1 NOP\n9 GONE\n",
		"listed twice":   "1 NOP\n1 NOP\n",
		"malformed line": "NOP\n",
	} {
		if _, err := pin([]byte(list), table); err == nil {
			t.Errorf("%s: pin accepted %q", name, list)
		}
	}
}

func TestTableOrder(t *testing.T) {
	for name, rows := range map[string][]row{
		"descending": {{num: 2, name: "A", since: 1}, {num: 1, name: "B", since: 1}},
		"same name":  {{num: 1, name: "A", since: 1}, {num: 2, name: "A", since: 1}},
		"future":     {{num: 1, name: "A", since: 2}},
		"too large":  {{num: 256, name: "A", since: 1}},
	} {
		if err := (&opTable{version: 1, rows: rows}).check(); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
