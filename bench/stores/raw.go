package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"golang.org/x/sys/unix"

	"phantomvm/bench/engine"
	"phantomvm/persist"
)

const (
	rawSize   = 512 << 20
	maxGather = 1024 // buffers of one pwritev
)

// raw appends pages to a file and comes back to its start at the end.
type raw struct {
	f    *os.File
	a    *engine.Arena
	at   int64
	bufs [][]byte
	// Of the last commit, for get.
	pages  []persist.PageID
	starts []int64 // of each maxGather pages
}

func openRaw(dir string, a *engine.Arena) (store, error) {
	f, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	zero := make([]byte, 1<<20)
	for off := int64(0); off < rawSize; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero, off); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return &raw{f: f, a: a}, f.Sync()
}

func (r *raw) commit(pages []persist.PageID) error {
	r.pages, r.starts = append(r.pages[:0], pages...), r.starts[:0]
	for len(pages) > 0 {
		n := min(len(pages), maxGather)
		r.bufs = r.bufs[:0]
		for _, p := range pages[:n] {
			r.bufs = append(r.bufs, r.a.Page(p))
		}
		if r.at+int64(n*persist.BlockSize) > rawSize {
			r.at = 0
		}
		if _, err := unix.Pwritev(int(r.f.Fd()), r.bufs, r.at); err != nil {
			return err
		}
		r.starts = append(r.starts, r.at)
		r.at += int64(n * persist.BlockSize)
		pages = pages[n:]
	}
	return unix.Fdatasync(int(r.f.Fd()))
}

// get finds pages of the last commit only: there is no index.
func (r *raw) get(p persist.PageID, b []byte) error {
	i := slices.Index(r.pages, p)
	if i < 0 {
		return fmt.Errorf("page %d was not in the last commit", p)
	}
	_, err := r.f.ReadAt(b, r.starts[i/maxGather]+int64(i%maxGather*persist.BlockSize))
	return err
}

func (r *raw) close() error { return r.f.Close() }
