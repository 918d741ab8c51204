package unikernel_test

import (
	"io"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/tender"
)

// BenchmarkBoot makes a VM, boots a program that prints a line, and ends it.
func BenchmarkBoot(b *testing.B) {
	requireKVM(b)
	kernel := build(b, "./testdata/hello", abi.NewManifest())
	for b.Loop() {
		vm, err := tender.New(tender.Config{Kernel: kernel, MemBytes: 64 << 20, Console: io.Discard})
		require.NoError(b, err)
		_, err = vm.Run(b.Context())
		require.NoError(b, err)
		require.NoError(b, vm.Close())
	}
}

// BenchmarkDevice reports what a guest measures on a device in memory.
func BenchmarkDevice(b *testing.B) {
	for b.Loop() {
		r := ok(b, options{dev: newRAM(16 << 20), mem: 256 << 20}, "async")
		for line := range strings.Lines(r.out) {
			what, value, _ := strings.Cut(strings.TrimSpace(line), ": ")
			if d, err := time.ParseDuration(value); err == nil {
				b.ReportMetric(float64(d.Microseconds()), "us/"+strings.ReplaceAll(what, " ", "-"))
			}
		}
	}
}
