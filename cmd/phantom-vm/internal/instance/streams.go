package instance

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync/atomic"
)

// LogNames are the files of the program's streams, by wire stream number.
var LogNames = [...]string{"console.log", "stderr.log"}

// Log is the file of one output stream. Bytes have a place, so that what is delivered again after
// a kill lands where it already lies. Size and Sync may be called while another goroutine adds.
type Log struct {
	f       *os.File
	size    atomic.Int64
	mending []byte // to compare with
}

// OpenLog opens stream's file, made if need be.
func (i *Instance) OpenLog(stream int) (*Log, error) {
	f, err := i.openOrMake(LogNames[stream])
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	l := &Log{f: f}
	l.size.Store(st.Size())
	return l, nil
}

// openOrMake opens a file for reading and writing. The name of a new one is durable before anything is in it.
func (i *Instance) openOrMake(name string) (*os.File, error) {
	f, err := os.OpenFile(i.Path(name), os.O_RDWR, 0)
	if !errors.Is(err, os.ErrNotExist) {
		return f, err
	}
	if f, err = os.OpenFile(i.Path(name), os.O_RDWR|os.O_CREATE, 0o600); err != nil {
		return nil, err
	}
	if err := syncDir(i.Dir); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// Size is the number of bytes in the file.
func (l *Log) Size() int64 { return l.size.Load() }

// Add puts data at off and returns the part of it that was not there yet. Where
// the file has other bytes than data, as a power cut may leave them at its end,
// they are put right. Bytes that would leave a hole are refused: something was lost.
func (l *Log) Add(data []byte, off int64) (fresh []byte, err error) {
	size := l.size.Load()
	if off > size {
		return nil, fmt.Errorf("%s: output at %d, but the file has only %d bytes", l.f.Name(), off, size)
	}
	have := min(size-off, int64(len(data)))
	if err := l.mend(data[:have], off); err != nil {
		return nil, err
	}
	if have == int64(len(data)) {
		return nil, nil
	}
	n, err := l.f.WriteAt(data[have:], size)
	l.size.Add(int64(n))
	return data[have : have+int64(n)], err
}

// mend writes data to its place unless it is there.
func (l *Log) mend(data []byte, off int64) error {
	if len(data) == 0 {
		return nil
	}
	l.mending = append(l.mending[:0], data...)
	if _, err := l.f.ReadAt(l.mending, off); err == nil && bytes.Equal(l.mending, data) {
		return nil
	}
	_, err := l.f.WriteAt(data, off)
	return err
}

// Sync makes what was added durable.
func (l *Log) Sync() error { return l.f.Sync() }

// Close closes the file.
func (l *Log) Close() error { return l.f.Close() }

// CopyInput makes r's bytes the whole of standard input.
func (i *Instance) CopyInput(r io.Reader) error {
	f, err := os.OpenFile(i.Path("input"), os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, r)
	if err == nil {
		err = f.Sync()
	}
	if cerr := f.Close(); err == nil {
		err = cerr
	}
	i.Record.InputDone = true
	return err
}

// Stdin serves standard input by position. What comes from live is first kept in the instance's
// input file, so that a program that is killed after it was woken reads the same again.
type Stdin struct {
	f    *os.File
	size int64
	done bool
	live io.Reader
}

// OpenStdin opens the instance's input. live is where more comes from, nil if nothing does;
// it is not read before the program asks for what the file does not have.
func (i *Instance) OpenStdin(live io.Reader) (*Stdin, error) {
	f, err := i.openOrMake("input")
	if err != nil {
		return nil, err
	}
	st, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, err
	}
	return &Stdin{f: f, size: st.Size(), done: i.Record.InputDone || live == nil, live: live}, nil
}

// Next returns up to len(buf) bytes from off on; it waits for live input. eof says that nothing follows the bytes.
func (s *Stdin) Next(buf []byte, off int64) (n int, eof bool, err error) {
	if off > s.size {
		return 0, false, fmt.Errorf("%s: the program has read %d bytes, but the file has only %d", s.f.Name(), off, s.size)
	}
	for off == s.size && !s.done {
		n, err := s.live.Read(buf)
		if n > 0 {
			if _, err := s.f.WriteAt(buf[:n], s.size); err != nil {
				return 0, false, err
			}
			if err := s.f.Sync(); err != nil {
				return 0, false, err
			}
			s.size += int64(n)
		}
		if errors.Is(err, io.EOF) {
			s.done = true
		} else if err != nil {
			return 0, false, err
		}
	}
	n, err = s.f.ReadAt(buf[:min(int64(len(buf)), s.size-off)], off)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return n, err == nil && s.done && off+int64(n) == s.size, err
}

// Close closes the file.
func (s *Stdin) Close() error { return s.f.Close() }
