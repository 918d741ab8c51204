// Command stores commits the same dirty pages durably to this project's checkpoint engine and to other embedded
// stores, and prints what it found as JSON. `make bench GROUPS=peers` runs it. It is a module of its own, so that
// what it compares with is no dependency of the product.
package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"phantomvm/bench/engine"
	"phantomvm/bench/result"
	"phantomvm/persist"
)

// store keeps pages by number.
type store interface {
	// commit returns when the pages, as they are in the arena now, are durable.
	commit(pages []persist.PageID) error
	// get copies a page into b, as it was committed.
	get(p persist.PageID, b []byte) error
	close() error
}

// peer is one kind of store in its best durable configuration, as far as we could find it.
type peer struct {
	name, config string
	open         func(dir string, a *engine.Arena) (store, error)
}

var peers = []peer{
	{"raw log", "pwritev to a prewritten file, fdatasync; no index, no checksums, no cleaning: the disk's limit", openRaw},
	{"bbolt 1.5", bboltConfig, openBbolt},
	{"pebble 2.1", pebbleConfig, openPebble},
	{"pebble 2.1, blobs", pebbleBlobConfig, openPebbleBlobs},
	{"badger 4.9", badgerConfig, openBadger},
	{"SQLite (modernc)", sqliteConfig, openSQLite},
}

const ours = "phantom-vm persist"

// sample is the commits of one store at one number of pages.
type sample struct {
	ms []float64
}

type run struct {
	pages   int // of the arena
	blocks  int
	commits map[int]int // by dirty pages, in a block
	rig     *engine.Rig
	stores  []store
	rng     *rand.Rand
}

func main() {
	dir := flag.String("dir", os.TempDir(), "where the stores are made")
	quick := flag.Bool("quick", false, "less of everything")
	flag.Parse()
	g, err := measure(*dir, *quick)
	if err == nil {
		err = json.NewEncoder(os.Stdout).Encode(g)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "stores:", err)
		os.Exit(1)
	}
}

func measure(dir string, quick bool) (*result.Group, error) {
	r := &run{pages: 1 << 17, blocks: 5, commits: map[int]int{100: 80, 1000: 20, 10000: 4}, rng: rand.New(rand.NewPCG(3, 4))}
	if quick {
		r.pages, r.blocks, r.commits = 1<<14, 2, map[int]int{100: 10, 1000: 3}
	}
	var err error
	if r.rig, err = engine.NewRig(dir, r.pages, 64<<30); err != nil {
		return nil, err
	}
	defer r.rig.Close()
	if err := r.load(r.commitOurs); err != nil { // the rig has all pages already: this is the second time
		return nil, err
	}
	for _, p := range peers {
		path := filepath.Join(dir, p.name)
		if err := os.Mkdir(path, 0o700); err != nil {
			return nil, err
		}
		defer os.RemoveAll(path)
		s, err := p.open(path, r.rig.Arena)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.name, err)
		}
		defer s.close() //nolint:errcheck // its data is thrown away
		for range 2 {
			if err := r.load(s.commit); err != nil {
				return nil, fmt.Errorf("%s: %w", p.name, err)
			}
		}
		r.stores = append(r.stores, s)
	}
	return r.table()
}

// load commits all pages in turn.
func (r *run) load(commit func([]persist.PageID) error) error {
	list := make([]persist.PageID, 0, 4096)
	for p := range r.pages {
		if list = append(list, persist.PageID(p)); len(list) == cap(list) || p == r.pages-1 {
			if err := commit(list); err != nil {
				return err
			}
			list = list[:0]
		}
	}
	return nil
}

func (r *run) table() (*result.Group, error) {
	g := &result.Group{}
	t := result.Table{
		Title:   fmt.Sprintf("Durable commit of D dirty pages of 4 KiB, arena of %d MiB", r.pages>>8),
		Columns: result.Cols("D", "store", "median, ms:2", "mean:2", "most:1", "median / ours:2"),
	}
	plot := g.Plot("peers", fmt.Sprintf("Durable commit (median), arena of %d MiB", r.pages>>8), "dirty pages", "ms")
	var sizes []int
	for d := range r.commits {
		sizes = append(sizes, d)
	}
	slices.Sort(sizes)
	for _, d := range sizes {
		all, err := r.measure(d)
		if err == nil {
			err = r.verify(d)
		}
		if err != nil {
			return nil, err
		}
		mine := result.Quantile(all[0].ms, 0.5)
		best, who := 1e9, ""
		for i, s := range all {
			name := ours
			if i > 0 {
				name = peers[i-1].name
			}
			med := result.Quantile(s.ms, 0.5)
			t.Add(d, name, med, mean(s.ms), result.Quantile(s.ms, 1), med/mine)
			plot.Point(name, float64(d), med)
			if i > 1 && med < best { // the raw log is no store
				best, who = med, name
			}
		}
		g.Goals = append(g.Goals, result.Goal{
			What: fmt.Sprintf("faster than every peer, D = %d, median of durable commits", d), Want: "> 1x",
			Reached: fmt.Sprintf("%.1fx as fast as the next, %s", best/mine, who), Met: best > mine,
		})
	}
	for i := range plot.Series {
		plot.Series[i].Dashed = plot.Series[i].Name == peers[0].name
	}
	g.Tables = append(g.Tables, t, configurations())
	g.Notes = append(g.Notes, fmt.Sprintf("The same random pages for all, %d turns; within a turn each store makes its commits (%s) after the other, the order rotates. "+
		"All stores hold all pages, which were written twice, and their files lie in one file system. Of ours the time is that of the first touches, the flip and the commit; of the others that of the puts and the commit.", r.blocks, r.commitList(sizes)))
	return g, nil
}

func (r *run) commitList(sizes []int) string {
	var s []string
	for _, d := range sizes {
		s = append(s, fmt.Sprintf("%d at D = %d", r.commits[d], d))
	}
	return strings.Join(s, ", ")
}

func configurations() result.Table {
	t := result.Table{Title: "Configurations", Columns: result.Cols("store", "configuration")}
	t.Add(ours, "zero Options: segments of 1 MiB, CRC-32C of everything, cleaning on; a checkpoint ends with fdatasync")
	for _, p := range peers {
		t.Add(p.name, p.config)
	}
	return t
}

// measure returns the samples of ours and the peers.
func (r *run) measure(d int) ([]sample, error) {
	all := make([]sample, 1+len(r.stores))
	for b := range r.blocks {
		turns := make([][]persist.PageID, r.commits[d])
		for i := range turns {
			turns[i] = r.pick(d)
		}
		for k := range all {
			i := (k + b) % len(all)
			runtime.GC()
			for _, list := range turns {
				took, err := r.one(i, list)
				if err != nil {
					return nil, err
				}
				all[i].ms = append(all[i].ms, took.Seconds()*1e3)
			}
			time.Sleep(200 * time.Millisecond) // what it left for later should not hit the next one
		}
	}
	return all, nil
}

// one commits the pages to the store with that index, 0 is ours. A page is changed by ours alone; the others
// write what is there.
func (r *run) one(i int, list []persist.PageID) (time.Duration, error) {
	if i > 0 {
		began := time.Now()
		err := r.stores[i-1].commit(list)
		return time.Since(began), err
	}
	began := time.Now()
	err := r.commitOurs(list)
	return time.Since(began), err
}

func (r *run) commitOurs(list []persist.PageID) error {
	r.rig.Dirty(list)
	return r.rig.Commit()
}

// verify brings all stores up to date with d pages, and compares them with what the stores then have.
func (r *run) verify(d int) error {
	list := r.pick(d)
	if err := r.commitOurs(list); err != nil {
		return err
	}
	b := make([]byte, persist.BlockSize)
	for i, s := range r.stores {
		if err := s.commit(list); err != nil {
			return fmt.Errorf("%s: %w", peers[i].name, err)
		}
		for _, p := range list {
			if err := s.get(p, b); err != nil {
				return fmt.Errorf("%s: %w", peers[i].name, err)
			}
			if !bytes.Equal(b, r.rig.Arena.Page(p)) {
				return fmt.Errorf("%s does not have page %d as it was committed", peers[i].name, p)
			}
		}
	}
	return nil
}

// pick returns d different pages.
func (r *run) pick(d int) []persist.PageID {
	seen := make(map[persist.PageID]bool, d)
	list := make([]persist.PageID, 0, d)
	for len(list) < d {
		if p := persist.PageID(r.rng.IntN(r.pages)); !seen[p] {
			seen[p] = true
			list = append(list, p)
		}
	}
	return list
}

func mean(s []float64) float64 {
	sum := 0.0
	for _, x := range s {
		sum += x
	}
	return sum / float64(len(s))
}
