package bytecode

// PtrRun is a repeated pattern of pointers: bit i of Bits says that word i of each of Count blocks of Words words,
// the first at word Start of the value, holds a pointer.
type PtrRun struct {
	Start uint64
	Words uint64
	Count uint64
	Bits  []uint64
}

// Bounds that keep pointer maps small whatever the types: patterns of at most maxPatternWords, and
// arrays are spelled out only up to maxFlatWords.
const (
	maxPatternWords = 1 << 14
	maxFlatWords    = 1 << 9
	maxPtrRuns      = 1 << 12
	maxPtrWork      = 1 << 20 // fields and elements looked at
)

// PtrRuns returns where pointers lie in a value of the type, in ascending order. layouts are those of the module. ok is false if
// the type would need thousands of runs or steps (arrays of huge structs of arrays within each other): the collector then takes
// every word for a possible pointer.
func (m *Module) PtrRuns(id TypeID, layouts []Layout) (runs []PtrRun, ok bool) {
	p := ptrBuilder{m: m, layouts: layouts}
	if !p.add(id, 0) || p.work > maxPtrWork {
		return nil, false
	}
	return p.runs, true
}

type ptrBuilder struct {
	m       *Module
	layouts []Layout
	runs    []PtrRun
	work    int
}

func (p *ptrBuilder) add(id TypeID, offset uint64) bool {
	l := &p.layouts[id]
	if p.work++; p.work > maxPtrWork {
		return false
	}
	if l.PtrBytes == 0 {
		return true
	}
	words := (l.PtrBytes + 7) / 8
	if words <= maxFlatWords {
		return p.emit(PtrRun{offset / 8, words, 1, p.flat(id, words)})
	}
	t := &p.m.Types[id]
	if t.Kind == Struct {
		for i := range t.Fields {
			if !p.add(t.Fields[i].Type, offset+l.Offsets[i]) {
				return false
			}
		}
		return true
	}
	// Only arrays are left: other kinds have at most three words.
	count := t.Len
	elem := t.Elem
	for p.m.Types[elem].Kind == Array {
		count *= p.m.Types[elem].Len
		elem = p.m.Types[elem].Elem
	}
	e := &p.layouts[elem]
	if words := e.Size / 8; words <= maxPatternWords {
		return p.emit(PtrRun{offset / 8, words, count, p.flat(elem, words)})
	}
	for i := range t.Len {
		if !p.add(t.Elem, offset+i*p.layouts[t.Elem].Size) {
			return false
		}
	}
	return true
}

func (p *ptrBuilder) emit(r PtrRun) bool {
	if n := len(p.runs); n > 0 && p.runs[n-1].Count == 1 && r.Count == 1 {
		last := &p.runs[n-1]
		if total := r.Start + r.Words - last.Start; total <= maxFlatWords {
			bits := make([]uint64, (total+63)/64)
			copy(bits, last.Bits)
			for i := range r.Words {
				if r.Bits[i/64]>>(i%64)&1 != 0 {
					setBit(bits, r.Start-last.Start+i)
				}
			}
			last.Words, last.Bits = total, bits
			return true
		}
	}
	p.runs = append(p.runs, r)
	return len(p.runs) <= maxPtrRuns
}

func (p *ptrBuilder) flat(id TypeID, words uint64) []uint64 {
	bits := make([]uint64, (words+63)/64)
	p.fill(bits, id, 0)
	return bits
}

// fill marks the pointers of a value that begins at the word. Types without pointers are not walked.
func (p *ptrBuilder) fill(bits []uint64, id TypeID, word uint64) {
	l := &p.layouts[id]
	if p.work++; l.PtrBytes == 0 || p.work > maxPtrWork {
		return
	}
	t := &p.m.Types[id]
	switch t.Kind {
	case Array:
		for i := uint64(0); i < t.Len && p.work <= maxPtrWork; i++ {
			p.fill(bits, t.Elem, word+i*p.layouts[t.Elem].Size/8)
		}
	case Struct:
		for i := 0; i < len(t.Fields) && p.work <= maxPtrWork; i++ {
			p.fill(bits, t.Fields[i].Type, word+l.Offsets[i]/8)
		}
	default:
		for _, w := range pointerWords(t.Kind) {
			setBit(bits, word+uint64(w))
		}
	}
}

func setBit(bits []uint64, i uint64) { bits[i/64] |= 1 << (i % 64) }

func getBit(bits []uint64, i int) bool {
	return i>>6 < len(bits) && bits[i>>6]>>(uint(i)&63)&1 != 0
}
