package unikernel_test

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/tender"
	"phantomvm/hypervisor/unikernel"
)

// plain builds a program with the go command alone.
func plain(t *testing.T, pkg string, flags ...string) []byte {
	t.Helper()
	out := filepath.Join(t.TempDir(), "out")
	cmd := exec.Command("go", append(append([]string{"build", "-o", out}, flags...), pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	return b
}

func TestLink(t *testing.T) {
	in := plain(t, "./testdata/hello", "-ldflags=-E="+unikernel.Entry)
	before := bytes.Clone(in)
	out, report, err := unikernel.Link(in, abi.DefaultManifest())
	require.NoError(t, err)
	require.Equal(t, before, in, "the input was changed")
	require.Greater(t, len(report.Patched), 30)
	require.LessOrEqual(t, len(report.Trapped), 4, "%v", report.Trapped)
	require.Greater(t, report.StackNeed, 8)
	t.Logf("%d patched, trapped %v, stack %d", len(report.Patched), report.Trapped, report.StackNeed)

	f, err := elf.NewFile(bytes.NewReader(out))
	require.NoError(t, err)
	last := uint64(0)
	for _, p := range f.Progs {
		if p.Type == elf.PT_LOAD {
			require.GreaterOrEqual(t, p.Vaddr, last)
			require.NotEqual(t, elf.PF_W|elf.PF_X, p.Flags&(elf.PF_W|elf.PF_X))
			last = p.Vaddr + p.Memsz
		}
	}
	again, _, err := unikernel.Link(in, abi.DefaultManifest())
	require.NoError(t, err)
	require.Equal(t, out, again)
}

// TestOrdinaryProcess wants an import of guest to be harmless.
func TestOrdinaryProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "hello")
	require.NoError(t, os.WriteFile(path, plain(t, "./testdata/hello"), 0o700))
	out, err := exec.Command(path, "x").CombinedOutput()
	require.NoError(t, err)
	require.Equal(t, "hello false [\"x\"]\n", string(out))
}

func TestLinkRefuses(t *testing.T) {
	for name, in := range map[string][]byte{
		"text":        []byte("#!/bin/sh"),
		"empty":       nil,
		"no guest":    plain(t, "cmd/pack"),
		"entry point": plain(t, "./testdata/hello"),
		"stripped":    plain(t, "./testdata/hello", "-ldflags=-s -E="+unikernel.Entry),
		"pie":         plain(t, "./testdata/hello", "-buildmode=pie"),
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := unikernel.Link(in, abi.DefaultManifest())
			require.ErrorIs(t, err, unikernel.ErrImage)
		})
	}
	_, _, err := unikernel.Link(nil, abi.Manifest{})
	require.ErrorIs(t, err, abi.ErrManifest)
}

// TestDamagedImage flips bytes of headers of the input and of the result:
// nothing may panic.
func TestDamagedImage(t *testing.T) {
	in := plain(t, "./testdata/hello", "-ldflags=-E="+unikernel.Entry)
	for i := range 0x190 {
		b := bytes.Clone(in)
		b[i] ^= 0xff
		if out, _, err := unikernel.Link(b, abi.NewManifest()); err == nil {
			// Parsed, and then refused for a device that it does not have.
			_, err = tender.New(tender.Config{Kernel: out, MemBytes: 64 << 20, Blocks: []tender.BlockAttach{{Name: "none"}}})
			require.Error(t, err)
		}
	}
}
