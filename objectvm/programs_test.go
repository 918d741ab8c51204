package objectvm

import (
	"bytes"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"phantomvm/bytecode"
	"phantomvm/bytecode/gofront"
)

// Programs are compared with what gc's own output was: testdata/programs/NAME.stdout ends in a line with the exit code,
// NAME.stderr holds standard error without tracebacks.

// mode is a way to torture a program; the result must not depend on it.
type mode struct {
	name     string
	slice    int64
	cfg      Config
	freeze   bool
	reattach bool
}

var modes = []mode{
	{name: "plain", slice: 100_000},
	{name: "freeze", slice: 997, freeze: true},
	{name: "attach", slice: 4001, freeze: true, reattach: true},
	{name: "increments", slice: 500, cfg: Config{GCUnits: 30}, freeze: true},
	{name: "by hand", slice: 3000, cfg: Config{GCUnits: 100, GCCopies: 1}},
	{name: "collect", slice: 300, cfg: Config{GCStress: true}, freeze: true},
}

func compileProgram(t testing.TB, path string) []byte {
	t.Helper()
	m, err := gofront.Compile(gofront.Config{Patterns: []string{path}})
	if err != nil {
		t.Fatal(err)
	}
	b, err := bytecode.Encode(m)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestPrograms(t *testing.T) {
	files, err := filepath.Glob("testdata/programs/*.go")
	if err != nil || len(files) == 0 {
		t.Fatal("no programs", err)
	}
	for _, path := range files {
		base := strings.TrimSuffix(path, ".go")
		t.Run(filepath.Base(base), func(t *testing.T) {
			module := compileProgram(t, path)
			want, wantErr := readFile(t, base+".stdout"), readFile(t, base+".stderr")
			for _, m := range modes {
				if m.name != "plain" && filepath.Base(base) == "overflow" {
					continue // a gigabyte of stack takes too long in the other modes
				}
				t.Run(m.name, func(t *testing.T) {
					out, stderr := runMode(t, module, m)
					if out != want {
						t.Errorf("stdout:\n%s\nwant:\n%s", out, want)
					}
					if got := withoutTraceback(stderr); got != wantErr {
						t.Errorf("stderr:\n%s\nwant:\n%s\nall:\n%s", got, wantErr, stderr)
					}
				})
			}
		})
	}
}

func readFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// withoutTraceback keeps of standard error what does not name addresses or positions.
func withoutTraceback(s string) string {
	var out strings.Builder
	for line := range strings.Lines(s) {
		drop := line == "\n" || line[0] == '\t'
		for _, p := range []string{"goroutine ", "main.", "created by ", "[signal", "runtime.", "...", "panic("} {
			drop = drop || strings.HasPrefix(line, p)
		}
		if !drop {
			out.WriteString(line)
		}
	}
	return out.String()
}

// runMode runs a module to its end and returns its output and, as a last line of stdout, its exit code.
func runMode(t *testing.T, module []byte, m mode) (string, string) {
	t.Helper()
	r := newRig(t, module, m.cfg)
	defer r.close()
	frozen := frozenPages{}
	var out [2]bytes.Buffer
	for {
		st := r.vm.RunSlice(m.slice)
		for i := range out {
			r.drain(&out[i], i+1)
		}
		if m.freeze {
			frozen.verify(t)
			frozen.add(r.barrier)
			r.barrier.freeze()
			r.vm.flipped()
		}
		switch st.Kind {
		case Exited:
			return out[0].String() + fmt.Sprintf("exit %d\n", st.Code), out[1].String()
		case Fatal:
			t.Fatal(st.Err)
		case Idle:
			r.clock.t = max(r.clock.t, st.Until)
		}
		r.clock.t += 1000
		if m.reattach {
			r.vm.Close()
			vm, err := Attach(r.arena, r.cfg)
			if err != nil {
				t.Fatal(err)
			}
			r.vm = vm
		}
	}
}

func (r *rig) drain(out *bytes.Buffer, stream int) {
	from, to := r.vm.OutputRange(stream)
	if from == to {
		return
	}
	p, err := r.vm.Output(stream, from)
	if err == nil {
		out.Write(p)
		err = r.vm.Trim(stream, to)
	}
	if err != nil {
		r.t.Fatal(err)
	}
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// frozenPages holds checksums of pages that were frozen: none may change before the barrier has heard of it.
type frozenPages map[uint64]uint32

func (f frozenPages) add(b *openBarrier) {
	for p := range b.touched {
		f[p] = crc32.Checksum(PageBytes(PageID(p)), castagnoli)
	}
}

func (f frozenPages) verify(t *testing.T) {
	t.Helper()
	for p, sum := range f {
		if !isOpen(StateBase+Addr(p)) && crc32.Checksum(PageBytes(PageID(p)), castagnoli) != sum {
			t.Fatalf("page %d, address %#x, changed while it was frozen", p, uint64(ArenaBase)+p<<PageShift)
		}
	}
}
