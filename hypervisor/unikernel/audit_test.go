package unikernel

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"
)

// TestKernelCalls wants the guest kernel to call nothing of the runtime: its
// code runs with a g that the runtime does not know, and memory routines may use registers
// that the fault path does not save. What package guest calls on ordinary
// goroutines is exempt.
func TestKernelCalls(t *testing.T) {
	const kern = "phantomvm/hypervisor/guest/internal/kern."
	exempt := map[string]bool{"ManifestBytes": true}
	allowed := func(callee string) bool {
		for _, p := range []string{kern, ownPrefix, "runtime.morestack", "runtime.panicdivide"} {
			if strings.HasPrefix(callee, p) {
				return true
			}
		}
		return false
	}
	out := filepath.Join(t.TempDir(), "zoo")
	cmd := exec.Command("go", "build", "-ldflags=-E="+Entry, "-o", out, "./testdata/zoo")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	text, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", text)
	b, err := os.ReadFile(out)
	require.NoError(t, err)
	img, err := open(b)
	require.NoError(t, err)
	a := &auditor{img: img}
	seen := 0
	for _, f := range img.funcs {
		name, ok := strings.CutPrefix(f.name, kern)
		if !ok || exempt[name] {
			continue
		}
		seen++
		code := img.code(f)
		for pc := 0; pc < len(code); {
			in, err := x86asm.Decode(code[pc:], 64)
			if err != nil {
				pc++
				continue
			}
			pc += in.Len
			rel, isRel := in.Args[0].(x86asm.Rel)
			if in.Op != x86asm.CALL || !isRel {
				continue
			}
			i, ok := a.find(f.addr + uint64(int64(pc)+int64(rel)))
			require.True(t, ok, "%s calls into nowhere", f.name)
			require.True(t, allowed(img.funcs[i].name), "%s calls %s", f.name, img.funcs[i].name)
		}
	}
	require.Greater(t, seen, 50)
}
