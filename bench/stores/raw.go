package main

import (
	"fmt"
	"slices"

	"phantomvm/bench/engine"
	"phantomvm/persist"
)

const rawSize = 512 << 20

// raw is the disk's limit, and no store.
type raw struct {
	log *engine.RawLog
	a   *engine.Arena
}

func openRaw(dir string, a *engine.Arena) (store, error) {
	l, err := engine.NewRawLog(dir, rawSize)
	return &raw{l, a}, err
}

func (r *raw) commit(pages []persist.PageID) error { return r.log.Commit(r.a, pages) }

// get finds pages of the last commit only: there is no index.
func (r *raw) get(p persist.PageID, b []byte) error {
	i := slices.Index(r.log.Pages(), p)
	if i < 0 {
		return fmt.Errorf("page %d was not in the last commit", p)
	}
	return r.log.Find(i, b)
}

func (r *raw) close() error { return r.log.Close() }
