package main

import (
	"errors"
	"fmt"
	"io"
	"os"

	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/objectvm/machine"
	"phantomvm/persist"
)

// goBack makes an older epoch of a damaged instance the newest, and cuts its log files to what that epoch had written.
func goBack(out io.Writer, dir string, epoch uint64) error {
	inst, err := openLocked(dir)
	if err != nil {
		return err
	}
	defer inst.Close()
	dev, err := openDisk(inst, false)
	if err != nil {
		return err
	}
	defer dev.Close()
	ends, err := machine.GoBack(dev, persist.Epoch(epoch))
	if err != nil {
		return classify(fmt.Errorf("%s: epoch %d: %w", dir, epoch, err))
	}
	fmt.Fprintf(out, "went back to epoch %d\n", epoch) //nolint:errcheck // done all the same
	for stream, end := range ends {
		cut, err := cutFile(inst.Path(instance.LogNames[stream]), end)
		if err != nil {
			return classify(err)
		}
		if cut > 0 {
			fmt.Fprintf(out, "forgot the last %d bytes of %s\n", cut, instance.LogNames[stream]) //nolint:errcheck // likewise
		}
	}
	return nil
}

// cutFile shortens a file to at most size bytes, durably, and returns how much was cut.
func cutFile(path string, size int64) (cut int64, err error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, os.ErrNotExist) {
		return 0, nil
	} else if err != nil {
		return 0, err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	st, err := f.Stat()
	if err != nil || st.Size() <= size {
		return 0, err
	}
	return st.Size() - size, errors.Join(f.Truncate(size), f.Sync())
}

// olderEpoch is the newest whole root that a damaged image still has, 0 if none.
func olderEpoch(rep persist.Report) (e persist.Epoch) {
	for _, r := range rep.Roots {
		if rep.Newest == 0 && r.Complete && r.Epoch > e {
			e = r.Epoch
		}
	}
	return e
}
