package main

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm"
	"phantomvm/persist"
	"phantomvm/persist/filedev"
)

const larger = "./cmd/phantom-vm/testdata/larger"

// nativeRun is what a package prints when the ordinary toolchain builds it.
func nativeRun(t *testing.T, pkg string, args ...string) string {
	bin := filepath.Join(t.TempDir(), "native")
	build := exec.Command("go", "build", "-o", bin, pkg)
	build.Dir = repoRoot(t)
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	out, err = exec.Command(bin, args...).Output()
	require.NoError(t, err)
	return string(out)
}

// watchMemory keeps the largest resident size of a process, in bytes, until it ends.
func watchMemory(pid int, peak *atomic.Int64) {
	line := regexp.MustCompile(`VmHWM:\s+(\d+) kB`)
	for {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
		m := line.FindSubmatch(b)
		if err != nil || m == nil {
			return
		}
		n, _ := strconv.ParseInt(string(m[1]), 10, 64)
		if n <<= 10; n > peak.Load() {
			peak.Store(n)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// TestArenaLargerThanMemory runs a program whose heap is several times as large as the memory that guest or process may take,
// kills it now and then, compares what it prints with an ordinary build's, and looks at the resident size of the command.
// A guest's memory is part of that: its pages are the tender's.
func TestArenaLargerThanMemory(t *testing.T) {
	if testing.Short() {
		t.Skip("half a gigabyte of heap takes a while; not with -short")
	}
	heap, kills := 512, 3
	if os.Getenv("PHANTOM_SOAK") != "" {
		heap, kills = 4096, 40
	}
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed %d; again: PHANTOM_SEED=%d go test -run TestArenaLargerThanMemory ./cmd/phantom-vm", seed, seed)
	want := nativeRun(t, larger, strconv.Itoa(heap))
	mod := module(t, larger)
	const memory = 96 << 20
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(seed, 0))
			dir := filepath.Join(t.TempDir(), "i.phantom")
			var peak atomic.Int64
			for life := 0; ; life++ {
				cmd := exec.Command(command(t), "run", "--quiet", "--monitor", mon, "--mem", "96M", "--dir", dir, mod, "--", strconv.Itoa(heap))
				if life > 0 {
					cmd = exec.Command(command(t), "run", "--quiet", "--monitor", mon, "--mem", "96M", dir)
				}
				var errs bytes.Buffer
				cmd.Stderr = &errs
				require.NoError(t, cmd.Start())
				go watchMemory(cmd.Process.Pid, &peak)
				done := make(chan error, 1)
				go func() { done <- cmd.Wait() }()
				if life < kills {
					select {
					case err := <-done:
						done <- err
					case <-time.After(time.Duration(500+rnd.IntN(2000)) * time.Millisecond):
						_ = cmd.Process.Kill() // it may have ended at this moment, which is as good
						<-done
						continue
					}
				}
				require.NoError(t, <-done, errs.String())
				break
			}
			require.Equal(t, want, readFile(t, filepath.Join(dir, "console.log")))
			t.Logf("at most %d MiB resident", peak.Load()>>20)
			require.Positive(t, peak.Load())
			require.Less(t, peak.Load(), int64(memory+64<<20), "resident size of the command")
		})
	}
}

// TestDamagedPageOnDemand damages pages that a program will touch later: it ends with an error that names one, and goes
// on when the image is whole again.
func TestDamagedPageOnDemand(t *testing.T) {
	mod := module(t, larger)
	want := nativeRun(t, larger, "24")
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "i.phantom")
			image := filepath.Join(dir, "disk.img")
			cmd := exec.Command(command(t), "run", "--quiet", "--monitor", mon, "--dir", dir, mod, "--", "24")
			require.NoError(t, cmd.Start())
			eventually(t, "some checkpoints after the heap is made", func() bool {
				st, ok := peek(image)
				return ok && st.Epoch >= 9 && strings.Contains(readFile(t, filepath.Join(dir, "console.log")), "visited 4000\n")
			})
			require.NoError(t, cmd.Process.Kill())
			require.Error(t, cmd.Wait())
			whole := damageData(t, image)
			r := vm(t, "run", "--quiet", "--monitor", mon, dir)
			require.Equal(t, exitData, r.code, r.stderr)
			require.Regexp(t, `damaged: .*page 0x[0-9a-f]+ at offset 0x[0-9a-f]+: page checksum differs`, r.stderr)
			require.NotContains(t, r.stderr, "goroutine ")
			whole()
			r = vm(t, "run", "--quiet", "--monitor", mon, dir)
			require.Zero(t, r.code, r.stderr)
			require.Equal(t, want, readFile(t, filepath.Join(dir, "console.log")))
		})
	}
}

// damageData damages half of the heap's pages, those that were written first, so that the newest checkpoint is whole. It
// returns what repairs them.
func damageData(t *testing.T, image string) (repair func()) {
	dev, err := filedev.Open(image)
	require.NoError(t, err)
	defer dev.Close()
	store, _, err := persist.Open(dev)
	require.NoError(t, err)
	defer store.Close()
	store.Table().SetReader(func(off int64, dst, n uintptr) bool {
		_, err := dev.ReadAt(unsafe.Slice((*byte)(unsafe.Add(unsafe.Pointer(nil), dst)), n), off)
		return err == nil
	})
	var places []int64
	first := persist.PageID((objectvm.DataBase - objectvm.ArenaBase) >> objectvm.PageShift)
	buf := make([]byte, persist.BlockSize)
	store.Pages(func(p persist.PageID) bool {
		if p < first+1024 { // what comes first is changed often
			return true
		}
		if store.Table().Fetch(uint64(p), uintptr(unsafe.Pointer(&buf[0]))) == persist.FetchOK {
			block, _, ok := store.Table().Ref(uint64(p))
			require.True(t, ok)
			places = append(places, int64(block)*persist.BlockSize)
		}
		return true
	})
	slices.Sort(places)
	places = places[:len(places)/2]
	require.NotEmpty(t, places)
	flip := func(dev *filedev.Device) {
		for _, off := range places {
			_, err := dev.ReadAt(buf, off)
			require.NoError(t, err)
			buf[1000] ^= 4
			_, err = dev.WriteAt(buf, off)
			require.NoError(t, err)
		}
	}
	flip(dev)
	return func() {
		dev, err := filedev.Open(image)
		require.NoError(t, err)
		defer dev.Close()
		flip(dev)
	}
}

// TestMemoryIsFull runs a program that changes more pages in one instruction than there is memory.
func TestMemoryIsFull(t *testing.T) {
	mod := module(t, "./cmd/phantom-vm/testdata/huge")
	for _, mon := range monitors(t) {
		t.Run(mon, func(t *testing.T) {
			dir := filepath.Join(t.TempDir(), "i.phantom")
			r := vm(t, "run", "--quiet", "--monitor", mon, "--mem", "64M", "--dir", dir, mod)
			require.Equal(t, exitFailed, r.code, r.stderr)
			require.Contains(t, r.stderr, "out of memory")
			require.Contains(t, r.stderr, "--mem")
			require.Equal(t, "before\n", r.stdout)
			r = vm(t, "run", "--quiet", "--monitor", mon, "--mem", "1G", dir)
			require.Zero(t, r.code, r.stderr)
			require.Equal(t, "after 167772160\n", r.stdout)
		})
	}
}
