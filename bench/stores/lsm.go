package main

import (
	"fmt"
	"slices"
	"time"

	"github.com/cockroachdb/pebble/v2"
	"github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"

	"phantomvm/bench/engine"
	"phantomvm/persist"
)

// sorted returns the pages in order, which trees like.
func sorted(pages []persist.PageID) []persist.PageID {
	pages = slices.Clone(pages)
	slices.Sort(pages)
	return pages
}

const (
	pebbleConfig     = "one Batch per commit, pebble.Sync; memtables of 64 MiB, no compression, WAL files recycled"
	pebbleBlobConfig = "the same, values of 1 KiB and more in blob files"
)

type peb struct {
	db *pebble.DB
	a  *engine.Arena
}

func openPebbleBlobs(dir string, a *engine.Arena) (store, error) {
	return openPebbleWith(dir, a, pebble.ValueSeparationPolicy{Enabled: true, MinimumSize: 1024, MaxBlobReferenceDepth: 10, RewriteMinimumAge: time.Minute, TargetGarbageRatio: 0.5})
}

func openPebble(dir string, a *engine.Arena) (store, error) {
	return openPebbleWith(dir, a, pebble.ValueSeparationPolicy{})
}

func openPebbleWith(dir string, a *engine.Arena, blobs pebble.ValueSeparationPolicy) (store, error) {
	o := &pebble.Options{
		FormatMajorVersion: pebble.FormatNewest, MemTableSize: 64 << 20, MemTableStopWritesThreshold: 4,
		L0CompactionThreshold: 4, L0StopWritesThreshold: 24, Logger: quiet{},
	}
	o.ApplyCompressionSettings(func() pebble.DBCompressionSettings { return pebble.DBCompressionNone })
	o.Experimental.ValueSeparationPolicy = func() pebble.ValueSeparationPolicy { return blobs }
	db, err := pebble.Open(dir, o)
	return &peb{db, a}, err
}

func (s *peb) commit(pages []persist.PageID) error {
	b := s.db.NewBatchWithSize(len(pages) * (persist.BlockSize + 32))
	for _, p := range pages {
		if err := b.Set(key(p), s.a.Page(p), nil); err != nil {
			return err
		}
	}
	return b.Commit(pebble.Sync)
}

func (s *peb) get(p persist.PageID, b []byte) error {
	v, c, err := s.db.Get(key(p))
	if err != nil {
		return err
	}
	copy(b, v)
	return c.Close()
}

func (s *peb) close() error { return s.db.Close() }

// quiet is a logger that says nothing: what goes wrong is returned as an error.
type quiet struct{}

func (quiet) Infof(string, ...any)      {}
func (quiet) Errorf(string, ...any)     {}
func (quiet) Fatalf(f string, a ...any) { panic(fmt.Sprintf(f, a...)) }

const badgerConfig = "one WriteBatch per commit, then db.Sync(); SyncWrites off, ValueThreshold 1 KiB, memtables of 64 MiB, no compression, no block cache, one version, no conflict detection; value log not collected"

type badge struct {
	db *badger.DB
	a  *engine.Arena
}

func openBadger(dir string, a *engine.Arena) (store, error) {
	db, err := badger.Open(badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(false).WithValueThreshold(1 << 10).
		WithMemTableSize(64 << 20).WithCompression(options.None).WithBlockCacheSize(0).WithNumVersionsToKeep(1).
		WithDetectConflicts(false).WithMetricsEnabled(false))
	return &badge{db, a}, err
}

func (s *badge) commit(pages []persist.PageID) error {
	b := s.db.NewWriteBatch()
	for _, p := range pages {
		if err := b.Set(key(p), s.a.Page(p)); err != nil {
			return err
		}
	}
	if err := b.Flush(); err != nil {
		return err
	}
	return s.db.Sync()
}

func (s *badge) get(p persist.PageID, b []byte) error {
	return s.db.View(func(tx *badger.Txn) error {
		it, err := tx.Get(key(p))
		if err != nil {
			return err
		}
		return it.Value(func(v []byte) error {
			copy(b, v)
			return nil
		})
	})
}

func (s *badge) close() error { return s.db.Close() }
