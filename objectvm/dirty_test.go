package objectvm

import "testing"

// dirtyPrograms allocate in different ways beside LIVE megabytes that stay.
var dirtyPrograms = map[string]string{
	"trees": `
type tree struct{ left, right *tree }

func build(n int) *tree {
	if n == 0 {
		return &tree{}
	}
	return &tree{build(n - 1), build(n - 1)}
}

func work(i int) { build(10) }
`,
	"strings": `
var last string

func work(i int) {
	s := ""
	for j := range 100 {
		s += string(rune('a' + (i+j)%26))
	}
	last = s
}
`,
	"maps": `
func work(i int) {
	m := map[int]string{}
	for j := range 200 {
		m[i+j] = "x"
	}
}
`,
	"server": `
type request struct {
	path    string
	headers map[string]string
	body    []byte
}

var sessions [1000]*request

func work(i int) {
	r := &request{path: "/" + string(rune('a'+i%26)), headers: map[string]string{"host": "example", "n": string(rune('0' + i%10))}, body: make([]byte, 2000)}
	copy(r.body, r.path)
	if i%50 == 0 {
		sessions[i/50%1000] = r
	}
}
`,
}

const dirtyMain = `package main

type block struct {
	next *block
	data [63]int
}

var live *block

func main() {
	for range 32 << 20 / 512 {
		live = &block{next: live}
	}
	println("ready")
	for i := range 1 << 30 {
		work(i)
	}
}
`

// pagesPerMiB runs a program until it has allocated much beside its live objects, and returns how many pages its checkpoints hold for each megabyte that it
// allocates. A flip comes after every 4 MiB, as it does when a program allocates 400 MiB a second.
func pagesPerMiB(t testing.TB, src string, cfg Config) float64 {
	cfg.ArenaLimit = 1 << 30
	r := gcProgram(t, dirtyMain+src, cfg)
	defer r.close()
	pages, bytes, last, begun := 0, uint64(0), uint64(0), false
	for !begun || bytes < 256<<20 {
		before, freed := r.vm.heap.used, r.vm.gc.stats.Freed
		if st := r.vm.RunSlice(5_000); st.Kind != Running {
			t.Fatalf("%+v: %s", st, r.stdout(2))
		}
		bytes += r.vm.heap.used + (r.vm.gc.stats.Freed - freed) - before
		if !begun && r.stdout(2) != "" {
			begun, pages, bytes, last = true, 0, 0, 0
		}
		if bytes-last > 4<<20 {
			pages, last = pages+len(r.barrier.touched), bytes
			r.barrier.freeze()
			r.vm.flipped()
		}
	}
	return float64(pages) / (float64(bytes) / (1 << 20))
}

// BenchmarkDirtyPages prints pages written per megabyte allocated, with two generations and with one. A new page for everything would be 256.
//
//	go test ./objectvm -run '^$' -bench DirtyPages -benchtime 1x
func BenchmarkDirtyPages(b *testing.B) {
	for name, src := range dirtyPrograms {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				b.ReportMetric(pagesPerMiB(b, src, Config{OneGeneration: true}), "one-pages/MiB")
				b.ReportMetric(pagesPerMiB(b, src, Config{}), "two-pages/MiB")
			}
		})
	}
}
