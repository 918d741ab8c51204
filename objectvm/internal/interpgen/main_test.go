package main

import (
	"bytes"
	"os"
	"testing"
)

// TestGeneratedFileIsCurrent fails when optable.go or ops.go changed and `go generate` was not run.
func TestGeneratedFileIsCurrent(t *testing.T) {
	want, err := generate(pad)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile("../../interp_gen.go")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("objectvm/interp_gen.go is stale: run go generate ./objectvm")
	}
}
