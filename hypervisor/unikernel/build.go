package unikernel

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"

	"phantomvm/hypervisor/abi"
)

// Build compiles the main package pkg, which imports hypervisor/guest, with
// the go command found in PATH, in directory dir ("" is the current one), and
// links it into a unikernel.
func Build(ctx context.Context, dir, pkg string, manifest abi.Manifest) ([]byte, Report, error) {
	tmp, err := os.MkdirTemp("", "unikernel-")
	if err != nil {
		return nil, Report{}, fmt.Errorf("build: %w", err)
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "image")
	cmd := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-w -E="+Entry, "-o", out, pkg)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64", "GOAMD64=v1", "GOFLAGS=")
	var text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &text, &text
	if err := cmd.Run(); err != nil {
		return nil, Report{}, fmt.Errorf("go build %s: %w\n%s", pkg, err, text.Bytes())
	}
	in, err := os.ReadFile(out)
	if err != nil {
		return nil, Report{}, fmt.Errorf("build: %w", err)
	}
	return Link(in, manifest)
}
