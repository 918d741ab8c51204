package persist

// groupWriter collects the blocks of a write group in a staging buffer and
// writes neighbours together, the last of them with the root and the flush. Nothing is written before drain, or before the
// staging buffer is full: so all frozen pages are copied first and the device
// is used afterwards, which keeps the copy-on-write window short.

// maxWrite and maxRead are the longest runs of neighbours that are written and
// read at once, in blocks.
const (
	maxWrite = 1024
	maxRead  = 256
)

// maxGather is the most buffers of a run: IOV_MAX of Linux.
const maxGather = 1024

type pendingBlock struct {
	block uint32
	slot  int    // staging slot, or -1
	buf   []byte // if not in a slot
}

type groupWriter struct {
	dev     Device
	gather  GatherWriter // nil if the device has none
	stage   []byte
	used    int // slots given out
	pending []pendingBlock
	bufs    [][]byte
	runs    [][][]byte
	offs    []int64
	written int64 // bytes, for statistics
}

func newGroupWriter(dev Device, stageBlocks int) groupWriter {
	w := groupWriter{dev: dev, stage: make([]byte, stageBlocks*BlockSize)}
	w.gather, _ = dev.(GatherWriter)
	return w
}

func (w *groupWriter) at(slot int) []byte {
	return w.stage[slot*BlockSize : (slot+1)*BlockSize]
}

// reserve returns a free staging slot, valid until the next call that drains.
// It may write what is pending. The slot is taken by putSlot only.
func (w *groupWriter) reserve() (int, error) {
	if (w.used+1)*BlockSize > len(w.stage) {
		if err := w.drain(); err != nil {
			return 0, err
		}
	}
	return w.used, nil
}

// putSlot queues the contents of the reserved slot for block.
func (w *groupWriter) putSlot(block uint32, slot int) {
	w.used = slot + 1
	w.pending = append(w.pending, pendingBlock{block: block, slot: slot})
}

// putBuf queues a foreign buffer, which must not change before drain. Only a
// device that gathers gains from it, so others get a copy in the slot.
func (w *groupWriter) putBuf(block uint32, slot int, buf []byte) {
	if w.gather == nil {
		copy(w.at(slot), buf)
		w.putSlot(block, slot)
		return
	}
	w.pending = append(w.pending, pendingBlock{block: block, slot: -1, buf: buf})
}

// drain writes everything pending.
func (w *groupWriter) drain() error {
	for p := w.pending; len(p) > 0; {
		var n int
		w.bufs, n = w.run(w.bufs[:0], p, w.gather != nil)
		if err := w.write(blockOffset(p[0].block)); err != nil {
			return err
		}
		p = p[n:]
	}
	w.clear()
	return nil
}

func (w *groupWriter) clear() {
	w.pending = w.pending[:0]
	w.used = 0
}

// run appends the buffers of blocks at the head of p that are neighbours on the
// device, and tells how many blocks they are. Slots that are neighbours in memory
// too become one buffer; without gather there is just one.
func (w *groupWriter) run(bufs [][]byte, p []pendingBlock, gather bool) ([][]byte, int) {
	n := 0
	for first := len(bufs); n < len(p) && n < maxWrite && p[n].block == p[0].block+uint32(n); {
		if len(bufs) > first && (!gather || len(bufs)-first == maxGather) {
			break
		}
		k := 1
		if p[n].slot < 0 {
			bufs = append(bufs, p[n].buf)
		} else {
			for n+k < len(p) && n+k < maxWrite && p[n+k].block == p[n].block+uint32(k) && p[n+k].slot == p[n].slot+k {
				k++
			}
			bufs = append(bufs, w.stage[p[n].slot*BlockSize:(p[n].slot+k)*BlockSize])
		}
		n += k
	}
	w.written += int64(n) * BlockSize
	return bufs, n
}

func (w *groupWriter) write(off int64) error {
	var err error
	if len(w.bufs) > 1 {
		err = w.gather.WriteGather(w.bufs, off)
	} else {
		_, err = w.dev.WriteAt(w.bufs[0], off)
	}
	if err != nil {
		return ioError("write", off, err)
	}
	return nil
}

// finish writes everything pending and the root at off, and makes it durable: in
// one operation, if the device has one.
func (w *groupWriter) finish(root []byte, off int64) error {
	w.written += BlockSize
	d, ok := w.dev.(GroupWriter)
	if !ok {
		if err := w.drain(); err != nil {
			return err
		}
		if _, err := w.dev.WriteAt(root, off); err != nil {
			return ioError("write root", off, err)
		}
		if err := w.dev.Flush(); err != nil {
			return ioError("flush after root", off, err)
		}
		return nil
	}
	w.bufs, w.runs, w.offs = w.bufs[:0], w.runs[:0], w.offs[:0]
	for p := w.pending; len(p) > 0; {
		first, n := len(w.bufs), 0
		w.bufs, n = w.run(w.bufs, p, true)
		w.runs = append(w.runs, w.bufs[first:len(w.bufs):len(w.bufs)])
		w.offs = append(w.offs, blockOffset(p[0].block))
		p = p[n:]
	}
	w.runs, w.offs = append(w.runs, [][]byte{root}), append(w.offs, off)
	if err := d.WriteGroup(w.runs, w.offs); err != nil {
		return ioError("write group and flush", off, err)
	}
	w.clear()
	return nil
}
