package objectvm

import (
	"testing"
	"time"
)

// BenchmarkSuite runs the programs of `make bench` without a monitor. All pages are frozen every 10 ms, so that the write barrier has work to do,
// but nothing is written to disk. For a profile:
//
//	go test ./objectvm -run '^$' -bench Suite/trees -cpuprofile /tmp/cpu
func BenchmarkSuite(b *testing.B) {
	module := compileProgram(b, "../bench/suite")
	for _, program := range []string{"fib", "sieve", "nbody", "matmul", "trees", "bytes"} {
		b.Run(program, func(b *testing.B) {
			for b.Loop() {
				r := newRig(b, module, Config{Args: []string{"suite", program}})
				r.runBench()
				r.close()
			}
		})
	}
}

func (r *rig) runBench() {
	r.t.Helper()
	frozen := time.Now()
	for {
		switch st := r.vm.RunSlice(100_000); st.Kind {
		case Exited:
			if st.Code != 0 {
				r.t.Fatalf("exit code %d: %s", st.Code, r.stdout(2))
			}
			return
		case Fatal:
			r.t.Fatal(st.Err)
		case Idle:
			r.clock.t = max(r.clock.t, st.Until)
		}
		if time.Since(frozen) > 10*time.Millisecond {
			r.barrier.freeze()
			r.vm.flipped()
			frozen = time.Now()
		}
	}
}
