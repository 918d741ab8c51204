package main

import (
	"database/sql"
	"errors"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver

	"phantomvm/bench/engine"
	"phantomvm/persist"
)

const sqliteConfig = "table with an INTEGER PRIMARY KEY and a BLOB, one transaction of prepared REPLACEs per commit, keys in order; journal_mode WAL, synchronous FULL, page_size 8192 (as fast as 4096 and 16384), cache of 1 GiB, wal_autocheckpoint 16384 pages, locking_mode EXCLUSIVE"

type lite struct {
	db *sql.DB
	a  *engine.Arena
}

func openSQLite(dir string, a *engine.Arena) (store, error) {
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "db")+
		"?_pragma=page_size(8192)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=cache_size(-1048576)"+
		"&_pragma=wal_autocheckpoint(16384)&_pragma=locking_mode(EXCLUSIVE)")
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(1)
	if _, err := db.Exec("CREATE TABLE pages (id INTEGER PRIMARY KEY, data BLOB)"); err != nil {
		return nil, errors.Join(err, db.Close())
	}
	return &lite{db, a}, nil
}

func (s *lite) commit(pages []persist.PageID) error {
	tx, err := s.db.Begin()
	if err != nil {
		return err
	}
	put, err := tx.Prepare("REPLACE INTO pages (id, data) VALUES (?, ?)")
	if err != nil {
		return errors.Join(err, tx.Rollback())
	}
	for _, p := range sorted(pages) {
		if _, err := put.Exec(int64(p), s.a.Page(p)); err != nil {
			return errors.Join(err, tx.Rollback())
		}
	}
	return tx.Commit()
}

func (s *lite) get(p persist.PageID, b []byte) error {
	var v []byte
	err := s.db.QueryRow("SELECT data FROM pages WHERE id = ?", int64(p)).Scan(&v)
	copy(b, v)
	return err
}

func (s *lite) close() error { return s.db.Close() }
