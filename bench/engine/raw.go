package engine

import (
	"errors"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"

	"phantomvm/persist"
)

// RawLog appends pages to a prewritten file and flushes: what the disk alone takes for a durable commit, without
// index, checksums and cleaning. At its end it begins again at its start.
type RawLog struct {
	f    *os.File
	size int64
	at   int64
	bufs [][]byte

	// Of the last commit, for Find.
	pages  []persist.PageID
	starts []int64 // of each maxGather pages
}

// maxGather is how many buffers one pwritev takes (IOV_MAX).
const maxGather = 1024

// NewRawLog makes the file in dir; size is a multiple of 1 MiB.
func NewRawLog(dir string, size int64) (*RawLog, error) {
	f, err := os.Create(filepath.Join(dir, "raw.log"))
	if err != nil {
		return nil, err
	}
	zero := make([]byte, 1<<20)
	for off := int64(0); off < size; off += int64(len(zero)) {
		if _, err := f.WriteAt(zero, off); err != nil {
			return nil, errors.Join(err, f.Close())
		}
	}
	return &RawLog{f: f, size: size}, f.Sync()
}

// Commit returns when the pages are durable.
func (r *RawLog) Commit(a *Arena, pages []persist.PageID) error {
	r.pages, r.starts = append(r.pages[:0], pages...), r.starts[:0]
	for len(pages) > 0 {
		n := min(len(pages), maxGather)
		r.bufs = r.bufs[:0]
		for _, p := range pages[:n] {
			r.bufs = append(r.bufs, a.Page(p))
		}
		if r.at+int64(n*persist.BlockSize) > r.size {
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

// Find reads the i-th page of the last commit.
func (r *RawLog) Find(i int, b []byte) error {
	_, err := r.f.ReadAt(b, r.starts[i/maxGather]+int64(i%maxGather*persist.BlockSize))
	return err
}

// Pages of the last commit.
func (r *RawLog) Pages() []persist.PageID { return r.pages }

// Close removes the file.
func (r *RawLog) Close() error { return errors.Join(r.f.Close(), os.Remove(r.f.Name())) }

// disk notes what the raw log takes for commits like those of the load, for a while.
func (r *Rig) disk(b *program, l Load, t *Timing, seconds float64) error {
	list := make([]persist.PageID, l.Dirty)
	for began := time.Now(); time.Since(began).Seconds() < seconds; {
		for i := range list {
			list[i] = b.newPage()
		}
		from := time.Now()
		if err := r.raw.Commit(r.Arena, list); err != nil {
			return err
		}
		t.Disk = append(t.Disk, time.Since(from).Seconds()*1e3)
	}
	return nil
}
