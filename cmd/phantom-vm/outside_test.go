package main

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"phantomvm/objectvm"
)

// TestNothingOutside drops the VM after every slice and builds a new one on the arena's bytes, for all examples and
// all programs under testdata/go. If any state of a program were on the host's side, it would be lost.
// The slices have random lengths; the seed is printed.
func TestNothingOutside(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("PHANTOM_SEED"); s != "" {
		var err error
		seed, err = strconv.ParseUint(s, 10, 64)
		require.NoError(t, err)
	}
	t.Logf("seed %d; again: PHANTOM_SEED=%d go test -run TestNothingOutside ./cmd/phantom-vm", seed, seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	programs, err := filepath.Glob(filepath.Join(repoRoot(t), "testdata", "go", "*.go"))
	require.NoError(t, err)
	for _, s := range storms {
		programs = append(programs, "./examples/"+s.name)
	}
	for _, p := range programs {
		t.Run(strings.TrimSuffix(filepath.Base(p), ".go"), func(t *testing.T) {
			input := ""
			if strings.HasSuffix(p, "wordfreq") {
				input = text()[:200<<10]
			}
			want := goRun(t, p, input)
			code, err := os.ReadFile(module(t, p))
			require.NoError(t, err)
			fuel := int64(1000)
			if strings.HasPrefix(p, "./examples") {
				fuel = 200_000
			}
			got, attaches := dropEverySlice(t, code, input, fuel, rnd)
			require.Equal(t, want.stdout, got.stdout)
			require.Equal(t, message(want.stderr), message(got.stderr))
			require.Equal(t, want.code, got.code)
			require.Greater(t, attaches, 2)
		})
	}
}

// message is standard error up to the first goroutine's stack.
func message(s string) string {
	head, _, _ := strings.Cut(s, "\ngoroutine ")
	return head
}

type hostClock struct{}

func (hostClock) Now() int64 { return time.Now().UnixNano() }

// dropEverySlice runs a module to its end with a new VM for each slice.
func dropEverySlice(t *testing.T, code []byte, input string, longest int64, rnd *rand.Rand) (result, int) {
	arena, err := objectvm.MapArena()
	require.NoError(t, err)
	defer func() { require.NoError(t, arena.Unmap()) }()
	barrier := opener{}
	cfg := objectvm.Config{
		Barrier: barrier, Clock: hostClock{}, Input: strings.NewReader(input), Args: []string{"program"}, ArenaLimit: 1 << 30, Seed: rnd.Uint64(),
	}
	machine, err := objectvm.New(arena, code, cfg)
	require.NoError(t, err)
	var out [2]strings.Builder
	for n := 1; ; n++ {
		// Most slices are long enough for progress, some end almost at once.
		fuel := rnd.Int64N(longest)
		if n%4 == 0 {
			fuel = rnd.Int64N(50)
		}
		st := machine.RunSlice(fuel)
		for s := range out {
			from, to := machine.OutputRange(s + 1)
			b, err := machine.Output(s+1, from)
			require.NoError(t, err)
			out[s].Write(b)
			require.NoError(t, machine.Trim(s+1, to))
		}
		switch st.Kind {
		case objectvm.Exited:
			machine.Close()
			return result{out[0].String(), out[1].String(), st.Code}, n
		case objectvm.Fatal:
			t.Fatal(st.Err)
		case objectvm.Idle:
			if machine.Syncing() > 0 {
				break // it goes on below
			}
			time.Sleep(min(time.Until(time.Unix(0, st.Until)), time.Second))
		}
		machine.Close()
		barrier.freeze()
		machine, err = objectvm.Attach(arena, objectvm.Config{Barrier: barrier, Clock: hostClock{}, Input: strings.NewReader(input)})
		require.NoError(t, err)
		machine.SyncFlipped() // what it was built on counts as durable
		machine.SyncDurable()
	}
}
