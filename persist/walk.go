package persist

// Going through the page map: for tools, tests and fsck.

import (
	"errors"
	"sort"
)

// walk calls f for everything that the page map refers to: pages in ascending
// order, nodes and usage blocks before what is below them. It stops at the
// first error.
func (s *Store) walk(f func(tag, ref) error) error {
	top, err := s.where(topTag)
	if err != nil {
		return err
	}
	if top.block != 0 {
		if err := f(topTag, top); err != nil {
			return err
		}
	}
	return s.walkNode(topTag, s.aboveDirty(), f)
}

// aboveDirty is the set of nodes that are dirty or have dirty ones below: a
// node there may be on the device nowhere and yet lead to pages.
func (s *Store) aboveDirty() map[tag]bool {
	m := map[tag]bool{}
	for t := range s.journal.dirty {
		for ok := true; ok && !m[t]; t, _, ok = t.parent() {
			m[t] = true
		}
	}
	return m
}

func (s *Store) walkNode(t tag, dirty map[tag]bool, f func(tag, ref) error) error {
	node := make([]uint64, nodeFan)
	if err := s.content(t, node); err != nil {
		return err
	}
	for i, v := range node {
		c := t.child(i)
		if v == 0 && !dirty[c] {
			continue
		}
		if v != 0 {
			if err := f(c, unpackRef(v)); err != nil {
				return err
			}
		}
		if c.level() > 0 && c.level() < t.level() {
			if err := s.walkNode(c, dirty, f); err != nil {
				return err
			}
		}
	}
	return nil
}

// livePages calls f for every live page in ascending order until it fails.
func (s *Store) livePages(f func(PageID, ref) error) error {
	return s.walk(func(t tag, r ref) error {
		if t.level() > 0 {
			return nil
		}
		return f(t.page(), r)
	})
}

// Pages calls f for every live page in ascending order until f returns false,
// or a part of the page map can't be read.
func (s *Store) Pages(f func(PageID) bool) error {
	err := s.livePages(func(p PageID, _ ref) error {
		if !f(p) {
			return errStop
		}
		return nil
	})
	if errors.Is(err, errStop) {
		return nil
	}
	return err
}

// Mapped tells whether the page is live; one that is not reads as zeros. It is
// true too if the page map can't be read there: LoadPage tells why.
func (s *Store) Mapped(p PageID) bool {
	if p >= MaxPages {
		return false
	}
	r, err := s.table.lookup(makeTag(0, uint64(p)))
	return err != nil || r.block != 0
}

// LoadPage reads one page into buf (4 KiB) and proves its checksum. A page
// that is not live reads as zeros.
func (s *Store) LoadPage(p PageID, buf []byte) error {
	if s.failed != nil {
		return s.failed
	}
	var r ref
	if p < MaxPages {
		var err error
		if r, err = s.table.lookup(makeTag(0, uint64(p))); err != nil {
			return err
		}
	}
	if r.block == 0 {
		clear(buf[:BlockSize])
		return nil
	}
	return s.readBlock(r, buf[:BlockSize], p, "page checksum differs")
}

// LoadAll reads all live pages in the order they lie on the device, proves
// their checksums and copies each to dst(page), which must be 4 KiB. It stops
// at the first damaged page with a *CorruptError. dst may return nil to skip a
// page; the page is proven all the same.
func (s *Store) LoadAll(dst func(PageID) []byte) error {
	if s.failed != nil {
		return s.failed
	}
	type item struct {
		ref
		page PageID
	}
	var all []item
	err := s.livePages(func(p PageID, r ref) error {
		if !s.space.inLog(r.block) {
			return &CorruptError{p, blockOffset(r.block), "reference to a block outside the log"}
		}
		all = append(all, item{r, p})
		return nil
	})
	if err != nil {
		return err
	}
	if uint64(len(all)) != s.pages {
		return s.pagesDiffer(uint64(len(all)))
	}
	sort.Slice(all, func(i, j int) bool { return all[i].block < all[j].block })
	buf := make([]byte, min(len(all), maxRead)*BlockSize)
	for len(all) > 0 {
		n := 1
		for n < len(all) && n < maxRead && all[n].block == all[0].block+uint32(n) {
			n++
		}
		off := blockOffset(all[0].block)
		if err := readFull(s.dev, buf[:n*BlockSize], off); err != nil {
			return err
		}
		for i, it := range all[:n] {
			b := buf[i*BlockSize : (i+1)*BlockSize]
			if checksum(b) != it.crc {
				return &CorruptError{it.page, blockOffset(it.block), "page checksum differs"}
			}
			if d := dst(it.page); d != nil {
				copy(d[:BlockSize], b)
			}
		}
		all = all[n:]
	}
	return nil
}
