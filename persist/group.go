package persist

// groupWriter collects the blocks of a write group in a staging buffer and
// writes neighbours together. Nothing is written before drain, or before the
// staging buffer is full: so all frozen pages are copied first and the device
// is used afterwards, which keeps the copy-on-write window short.

// maxWrite is the longest single write to the device, in blocks.
const maxWrite = 256

// maxGather is the most buffers handed to WriteGather at once.
const maxGather = 256

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
		n := 1
		for n < len(p) && n < maxWrite && p[n].block == p[0].block+uint32(n) {
			n++
		}
		if err := w.extent(p[:n]); err != nil {
			return err
		}
		p = p[n:]
	}
	w.pending = w.pending[:0]
	w.used = 0
	return nil
}

// extent writes blocks that are neighbours on the device. Slots that are
// neighbours in memory too become one buffer.
func (w *groupWriter) extent(p []pendingBlock) error {
	for len(p) > 0 {
		w.bufs = w.bufs[:0]
		n := 0
		for n < len(p) && len(w.bufs) < maxGather {
			run := 1
			if p[n].slot < 0 {
				w.bufs = append(w.bufs, p[n].buf)
			} else {
				for n+run < len(p) && p[n+run].slot == p[n].slot+run {
					run++
				}
				w.bufs = append(w.bufs, w.stage[p[n].slot*BlockSize:(p[n].slot+run)*BlockSize])
			}
			n += run
			if w.gather == nil {
				break
			}
		}
		if err := w.write(blockOffset(p[0].block)); err != nil {
			return err
		}
		w.written += int64(n) * BlockSize
		p = p[n:]
	}
	return nil
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
