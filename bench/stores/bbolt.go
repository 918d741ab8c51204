package main

import (
	"encoding/binary"
	"path/filepath"

	"go.etcd.io/bbolt"

	"phantomvm/bench/engine"
	"phantomvm/persist"
)

const bboltConfig = "one bucket, one Update per commit, keys in order; NoFreelistSync, FreelistType map, PageSize 2048 (faster here than 4096 and 16384), initial mapping 4 GiB"

type bolt struct {
	db *bbolt.DB
	a  *engine.Arena
}

var bucket = []byte("pages")

func openBbolt(dir string, a *engine.Arena) (store, error) {
	db, err := bbolt.Open(filepath.Join(dir, "db"), 0o600, &bbolt.Options{
		NoFreelistSync: true, FreelistType: bbolt.FreelistMapType, PageSize: 2048, InitialMmapSize: 4 << 30,
	})
	if err != nil {
		return nil, err
	}
	return &bolt{db, a}, db.Update(func(tx *bbolt.Tx) error {
		_, err := tx.CreateBucket(bucket)
		return err
	})
}

func (b *bolt) commit(pages []persist.PageID) error {
	return b.db.Update(func(tx *bbolt.Tx) error {
		bk := tx.Bucket(bucket)
		for _, p := range sorted(pages) {
			if err := bk.Put(key(p), b.a.Page(p)); err != nil {
				return err
			}
		}
		return nil
	})
}

func (b *bolt) get(p persist.PageID, into []byte) error {
	return b.db.View(func(tx *bbolt.Tx) error {
		copy(into, tx.Bucket(bucket).Get(key(p)))
		return nil
	})
}

func (b *bolt) close() error { return b.db.Close() }

func key(p persist.PageID) []byte {
	return binary.BigEndian.AppendUint64(make([]byte, 0, 8), uint64(p))
}
