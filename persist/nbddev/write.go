package nbddev

import (
	"errors"
	"fmt"
	"slices"
)

// WriteAt implements io.WriterAt.
func (d *Device) WriteAt(b []byte, off int64) (int, error) {
	if err := d.WriteGather([][]byte{b}, off); err != nil {
		return 0, err
	}
	return len(b), nil
}

// WriteGather implements persist.GatherWriter: one request, or as many as the
// server's limit makes of it. What it has written is not durable before a flush.
func (d *Device) WriteGather(bufs [][]byte, off int64) error {
	list, err := d.writes(nil, bufs, off)
	if err != nil || len(list) == 0 {
		return err
	}
	m := lastBlock(list[len(list)-1])
	err = d.run(func(c *conn) error {
		if err := c.do(list); err != nil {
			return err
		}
		return d.answered(c, m)
	})
	return wrap("write", off, err)
}

// answered notes a write that the server has answered on c.
func (d *Device) answered(c *conn, m mark) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.conn != c {
		return errLink // the answer came from a server that is gone: write again
	}
	if d.fua() || !d.Durable() {
		d.mark = m // there is nothing more to be had
		return nil
	}
	c.writes++
	d.coming = m
	return nil
}

// fua tells whether writes carry FUA because there is no FLUSH.
func (d *Device) fua() bool { return d.export.flags&(hasFlush|hasFUA) == hasFUA }

// Flush implements persist.Device.
func (d *Device) Flush() error { return d.WriteGroup(nil, nil) }

// WriteGroup implements persist.GroupWriter: the requests of all runs are in flight
// together, then one FLUSH makes them and every write before them durable. A
// group of one request, with nothing unflushed before it, is one write with FUA
// instead, where the server has that.
func (d *Device) WriteGroup(runs [][][]byte, offs []int64) error {
	var list []request
	var err error
	for i, bufs := range runs {
		if list, err = d.writes(list, bufs, offs[i]); err != nil {
			return err
		}
	}
	var m mark
	if len(list) > 0 {
		m = lastBlock(list[len(list)-1])
	}
	err = d.run(func(c *conn) error { return d.group(c, list, m) })
	off := int64(0)
	if len(offs) > 0 {
		off = offs[0]
	}
	return wrap("write group and flush", off, err)
}

// group is one attempt at a write group.
func (d *Device) group(c *conn, list []request, m mark) error {
	d.mu.Lock()
	before, clean := c.writes, c.writes == c.flushed
	d.mu.Unlock()
	if d.export.flags&hasFUA != 0 && clean && len(list) == 1 {
		one := list[0]
		one.flags |= cmdFlagFUA
		if err := c.do([]request{one}); err != nil {
			return err
		}
		return d.flushed(c, before, m)
	}
	if err := c.do(list); err != nil {
		return err
	}
	if d.export.flags&hasFlush != 0 {
		if err := c.do([]request{{cmd: cmdFlush}}); err != nil {
			if errors.Is(err, errLink) {
				return err
			}
			return d.fail(nil, ErrFlush, err)
		}
	}
	return d.flushed(c, before, m)
}

// flushed notes that all but the writes after the first n of c are durable.
func (d *Device) flushed(c *conn, n uint64, m mark) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	c.flushed = max(c.flushed, n)
	switch {
	case m.b != nil:
		d.mark = m
	case d.coming.b != nil && d.conn == c && c.writes == c.flushed:
		d.mark = d.coming
	}
	return nil
}

// Prepare implements persist.Preparer with WRITE_ZEROES that leave no hole, if
// the server has them: the space is then allocated before it is needed.
func (d *Device) Prepare(off, n int64) error {
	const most = 1 << 30
	if err := d.inside(n, off); err != nil || d.export.flags&hasWriteZeros == 0 {
		return err
	}
	var list []request
	for n > 0 {
		k := min(n, most)
		list = append(list, request{cmd: cmdWriteZeros, flags: cmdFlagNoHole, off: off, n: int(k)})
		d.forget(off, k)
		off, n = off+k, n-k
	}
	return wrap("write zeroes", off, d.run(func(c *conn) error { return c.do(list) }))
}

// Discard tells the server that n bytes at off are not needed, if it takes
// that; they read as anything afterwards.
func (d *Device) Discard(off, n int64) error {
	const most = 1 << 30
	if err := d.inside(n, off); err != nil || d.export.flags&hasTrim == 0 {
		return err
	}
	var list []request
	for n > 0 {
		k := min(n, most)
		list = append(list, request{cmd: cmdTrim, off: off, n: int(k)})
		d.forget(off, k)
		off, n = off+k, n-k
	}
	return wrap("trim", off, d.run(func(c *conn) error { return c.do(list) }))
}

func wrap(what string, off int64, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("nbd: %s at %#x: %w", what, off, err)
}

func (d *Device) inside(n, off int64) error {
	if off < 0 || n < 0 || n > d.export.size || off > d.export.size-n {
		return fmt.Errorf("nbd: %d bytes at %#x are outside the export of %d bytes", n, off, d.export.size)
	}
	return nil
}

// writes appends the requests that write bufs from off on.
func (d *Device) writes(list []request, bufs [][]byte, off int64) ([]request, error) {
	total := int64(0)
	for _, b := range bufs {
		total += int64(len(b))
	}
	if err := d.inside(total, off); err != nil {
		return list, err
	}
	flags := uint16(0)
	if d.fua() {
		flags = cmdFlagFUA
	}
	d.forget(off, total)
	return d.split(list, cmdWrite, flags, bufs, off), nil
}

// forget drops the mark if n bytes at off are going to change it.
func (d *Device) forget(off, n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if off < d.mark.off+int64(len(d.mark.b)) && d.mark.off < off+n {
		d.mark = mark{}
	}
}

// split appends requests of at most the server's largest size.
func (d *Device) split(list []request, cmd, flags uint16, bufs [][]byte, off int64) []request {
	r := request{cmd: cmd, flags: flags, off: off}
	done := func() {
		if r.n > 0 {
			list = append(list, r)
		}
		r = request{cmd: cmd, flags: flags, off: r.off + int64(r.n)}
	}
	for _, b := range bufs {
		for len(b) > 0 {
			k := min(len(b), d.export.maxPayload-r.n)
			r.data = append(r.data, b[:k])
			r.n += k
			b = b[k:]
			if r.n == d.export.maxPayload {
				done()
			}
		}
	}
	done()
	return list
}

// lastBlock copies the end of a write, at most a block.
func lastBlock(r request) mark {
	b := r.data[len(r.data)-1]
	b = slices.Clone(b[max(0, len(b)-blockSize):])
	return mark{r.off + int64(r.n-len(b)), b}
}
