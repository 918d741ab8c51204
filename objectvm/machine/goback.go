package machine

import (
	"phantomvm/objectvm/machine/wire"
	"phantomvm/persist"
)

// GoBack makes an older epoch of a damaged image the newest: what came after it is forgotten for ever. Every page of
// that epoch is proven before anything is written. It returns how far its program had written each stream; the host
// cuts its files there, or Run says that they are ahead (ErrOutputAhead). Calling it again after a crash does no harm.
func GoBack(dev persist.Device, epoch persist.Epoch) (ends [wire.Streams]int64, err error) {
	store, rec, err := persist.OpenAt(dev, epoch)
	if err != nil {
		return ends, err
	}
	if err := checkVersions(rec.Versions); err != nil {
		return ends, err
	}
	meta, err := decodeMeta(rec.Meta)
	if err != nil {
		return ends, err
	}
	if err := store.LoadAll(func(persist.PageID) []byte { return nil }); err != nil {
		return ends, err
	}
	if _, err := store.Commit(rec.Meta, nil); err != nil {
		return ends, err
	}
	return meta.Ends, store.Close()
}
