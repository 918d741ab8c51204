package persist

// placeTable says at which index a page stands in the list that it joined
// last. It has memory for pages of unfinished checkpoints only: chunks of
// neighbours, which are given back when no list holds a page of theirs. Their
// directory takes 4 KiB for each 128 MiB of the arena that was ever stored to.

const (
	placeShift = 6
	placePages = 1 << placeShift
	placeFan   = 512 // chunks in a part of the directory
)

type placeChunk struct {
	held  int32 // list entries, of both lists, in this chunk
	index [placePages]uint32
}

type placeTable struct {
	parts []*[placeFan]*placeChunk
	spare []*placeChunk
}

// maxSpare bounds the chunks kept ready (272 bytes each).
const maxSpare = 1 << 12

func newPlaceTable(pages uint64) placeTable {
	const span = placePages * placeFan
	return placeTable{parts: make([]*[placeFan]*placeChunk, (pages+span-1)/span)}
}

// chunk is where p's chunk hangs. The part must exist.
func (t *placeTable) chunk(p PageID) **placeChunk {
	return &t.parts[p>>placeShift/placeFan][p>>placeShift%placeFan]
}

// add notes that a list has p at index i.
func (t *placeTable) add(p PageID, i uint32) {
	if part := &t.parts[p>>placeShift/placeFan]; *part == nil {
		*part = new([placeFan]*placeChunk)
	}
	k := *t.chunk(p)
	if k == nil {
		if n := len(t.spare); n > 0 {
			k, t.spare = t.spare[n-1], t.spare[:n-1]
		} else {
			k = new(placeChunk)
		}
		*t.chunk(p) = k
	}
	k.held++
	k.index[p&(placePages-1)] = i
}

// get returns the index in the list that p joined last. A list must hold p.
func (t *placeTable) get(p PageID) uint32 {
	return (*t.chunk(p)).index[p&(placePages-1)]
}

// release undoes one add.
func (t *placeTable) release(p PageID) {
	k := *t.chunk(p)
	if k.held--; k.held == 0 {
		*t.chunk(p) = nil
		if len(t.spare) < maxSpare {
			t.spare = append(t.spare, k)
		}
	}
}
