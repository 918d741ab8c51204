package kern

import (
	"os"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"phantomvm/hypervisor/abi"
)

// TestLayout compares the assembly's numbers with the Go types.
func TestLayout(t *testing.T) {
	text, err := os.ReadFile("layout_amd64.h")
	require.NoError(t, err)
	got := map[string]uint64{}
	for line := range strings.Lines(string(text)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "#define" {
			if n, err := strconv.ParseUint(f[2], 0, 64); err == nil {
				got[f[1]] = n
			}
		}
	}
	var th thread
	var s trapState
	for name, want := range map[string]uintptr{
		"T_RSP": unsafe.Offsetof(th.rsp), "T_RIP": unsafe.Offsetof(th.rip), "T_AX": unsafe.Offsetof(th.ax),
		"T_BX": unsafe.Offsetof(th.bx), "T_DX": unsafe.Offsetof(th.dx), "T_SI": unsafe.Offsetof(th.si),
		"T_DI": unsafe.Offsetof(th.di), "T_BP": unsafe.Offsetof(th.bp), "T_R8": unsafe.Offsetof(th.r8),
		"T_R9": unsafe.Offsetof(th.r9), "T_R10": unsafe.Offsetof(th.r10), "T_R12": unsafe.Offsetof(th.r12),
		"T_R13": unsafe.Offsetof(th.r13), "T_R14": unsafe.Offsetof(th.r14), "T_R15": unsafe.Offsetof(th.r15),
		"T_TLS": unsafe.Offsetof(th.tls),
		"S_BX":  unsafe.Offsetof(s.bx), "S_CX": unsafe.Offsetof(s.cx), "S_DX": unsafe.Offsetof(s.dx),
		"S_SI": unsafe.Offsetof(s.si), "S_DI": unsafe.Offsetof(s.di), "S_BP": unsafe.Offsetof(s.bp),
		"S_R8": unsafe.Offsetof(s.r8), "S_R9": unsafe.Offsetof(s.r9), "S_R10": unsafe.Offsetof(s.r10),
		"S_R11": unsafe.Offsetof(s.r11), "S_R12": unsafe.Offsetof(s.r12), "S_R13": unsafe.Offsetof(s.r13),
		"S_R14": unsafe.Offsetof(s.r14), "S_R15": unsafe.Offsetof(s.r15), "S_TLS": unsafe.Offsetof(s.tls),
		"KSTACK": kernStackSize, "TRAP_STACK": trapStackSize, "IST_SIZE": istSize, "TSS_SIZE": tssSize,
		"SEL_CODE3": selCode3, "SEL_DATA3": selData3, "BOOT_RESERVE": bootReserve,
		"EXIT_OOM": abi.ExitOutOfMemory, "MSG_SMALL_LEN": uintptr(len(msgSmall)),
	} {
		require.Equal(t, uint64(want), got[name], name)
		delete(got, name)
	}
	for name := range got {
		require.False(t, strings.HasPrefix(name, "T_") || strings.HasPrefix(name, "S_"), "%s is not compared", name)
	}
}

// TestInert wants the package to do nothing in an ordinary process.
func TestInert(t *testing.T) {
	require.False(t, Active())
	free, total := Memory()
	require.Zero(t, free+total)
	require.Nil(t, ManifestBytes())
}

func TestRegions(t *testing.T) {
	defer func() { nregions = 0 }()
	nregions = 0
	const base = uintptr(0x100000000000)
	page := func(i, prot uintptr) region { return region{base + i*4096, base + (i+1)*4096, prot, kindHeap} }
	insertRegion(findRegion(base), region{base, base + 10*4096, protRead, kindHeap})
	splitRegion(base + 3*4096)
	splitRegion(base + 4*4096)
	require.EqualValues(t, 3, nregions)
	require.Equal(t, page(3, protRead), *lookup(base + 3*4096 + 7))
	require.True(t, covered(base, base+10*4096))
	mergeAround(1)
	require.EqualValues(t, 1, nregions)
	cutRegions(base+4096, base+2*4096)
	require.EqualValues(t, 2, nregions)
	require.Nil(t, lookup(base+4096))
	require.False(t, covered(base, base+3*4096))
	require.True(t, overlaps(base, base+4096))
	require.False(t, overlaps(base+4096, base+2*4096))
	require.Nil(t, lookup(base+10*4096))
	cutRegions(0, userHi)
	require.Zero(t, nregions)
}
