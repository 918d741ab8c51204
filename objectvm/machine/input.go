package machine

import (
	"fmt"

	"phantomvm/objectvm"
	"phantomvm/objectvm/machine/wire"
)

// inputWindow is the part of standard input that the host has sent. The position up to which the program
// has read is in the arena; this is a cache that a resume fills again.
type inputWindow struct {
	begin int64 // position of data[0]
	data  []byte
	eof   bool  // nothing follows data
	asked int64 // position from which input was asked of the host, -1 if none
	need  int64 // position that the program waits for, valid if wait
	wait  bool
}

// ReadAt gives the program input from position off. ErrNoInput: none has come yet; the reader has to wait.
func (w *inputWindow) ReadAt(p []byte, off int64) (int, error) {
	if i := off - w.begin; i >= 0 && i < int64(len(w.data)) {
		return copy(p, w.data[i:]), nil
	}
	if w.eof && off >= w.begin+int64(len(w.data)) {
		return 0, nil
	}
	w.need, w.wait = off, true
	return 0, objectvm.ErrNoInput
}

// want returns a position to ask the host for, once for each time the program waits.
func (w *inputWindow) want() (off int64, ok bool) {
	if !w.wait || w.asked == w.need {
		return 0, false
	}
	w.asked = w.need
	return w.need, true
}

// add takes what the host has sent, which must be what was asked for.
func (w *inputWindow) add(m *wire.Message) error {
	if !w.wait || m.Offset != w.asked {
		return fmt.Errorf("from the host: %w: input at %d was not asked for", wire.ErrMessage, m.Offset)
	}
	w.begin, w.data, w.eof = m.Offset, m.Data, m.EOF
	w.asked, w.wait = -1, false
	return nil
}
