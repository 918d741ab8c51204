package persist

// The goroutine that writes checkpoints (see checkpointer.go for the claims).

func (c *Checkpointer) run() {
	defer close(c.stopped)
	for job := range c.jobs {
		job.next.prepare(len(job.set.pages))
		err := c.store.commit(job.epoch, job.meta, job.set)
		if err != nil {
			job.set.abandon()
		}
		c.growPool(job.grow)
		c.finish(job, err)
		if err == nil {
			c.store.prepareAhead()
		}
	}
}

// finish announces the end of a checkpoint.
func (c *Checkpointer) finish(job checkpointJob, err error) {
	if err == nil {
		c.durable.Store(uint64(job.epoch))
	} else {
		c.mu.Lock()
		c.err = err
		c.mu.Unlock()
		c.failed.Store(true)
	}
	c.busy.Store(false)
	close(job.done)
	select {
	case c.completed <- struct{}{}:
	default:
	}
	if c.onComplete != nil {
		c.onComplete(job.epoch, err)
	}
}

// growPool adds chunks for the next checkpoint; the flip takes them over.
func (c *Checkpointer) growPool(pages int) {
	for ; pages > 0; pages -= poolChunk {
		c.grown = append(c.grown, newPoolChunk())
	}
}

// Len, At, Stage and Staged make a frozenSet a pageSource.
func (s *frozenSet) Len() int { return len(s.pages) }

func (s *frozenSet) At(i int) (PageID, bool) {
	p := s.pages[i]
	return PageID(p &^ discardBit), p&discardBit != 0
}

// Stage copies the page, or takes the mutator's copy if that came first.
func (s *frozenSet) Stage(i int, into []byte) []byte {
	if s.claim[i].Load() == claimFree {
		copy(into, s.mem.page(PageID(s.pages[i])))
		if s.claim[i].CompareAndSwap(claimFree, claimStaged) {
			return into
		}
	}
	return s.copy[i]
}

func (s *frozenSet) Staged() {}

// abandon spares the mutator copies that nobody will read.
func (s *frozenSet) abandon() {
	for i := range s.claim {
		s.claim[i].CompareAndSwap(claimFree, claimStaged)
	}
}
