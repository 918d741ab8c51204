package persist

import (
	"errors"
	"fmt"
	"syscall"
)

var (
	// ErrNotFormatted: the device holds no image.
	ErrNotFormatted = errors.New("persist: the device holds no Phantom image")
	// ErrVersion: the image was made by a version that can't be read here.
	ErrVersion = errors.New("persist: unsupported version")
	// ErrCorrupt is what every [CorruptError] unwraps to.
	ErrCorrupt = errors.New("persist: damaged image")
	// ErrRootDamaged: the newest committed state is damaged; see [RootDamagedError].
	ErrRootDamaged = errors.New("persist: newest root damaged")
	// ErrNoSpace: the device, or the file system below it, is full. The last
	// durable root stays good.
	ErrNoSpace = errors.New("persist: no space left for a checkpoint")
	// ErrFailed: a commit failed earlier; the image must be opened again.
	ErrFailed = errors.New("persist: an earlier checkpoint failed")
	// ErrBusy: a flip was asked for while a commit is unacknowledged.
	ErrBusy = errors.New("persist: a checkpoint is still being written")
	// ErrMetaTooLong: more root metadata than [MaxMeta] bytes.
	ErrMetaTooLong = errors.New("persist: root metadata too long")
	// ErrTooSmall: the device can't hold an image.
	ErrTooSmall = errors.New("persist: device too small")
	// ErrClosed: the store or checkpointer was closed.
	ErrClosed = errors.New("persist: closed")
	// ErrBypass: a store went round the write barrier.
	ErrBypass = errors.New("persist: a page changed behind the write barrier")
)

// CorruptError names one damaged place. It unwraps to [ErrCorrupt].
type CorruptError struct {
	Page   PageID // the page, the first page below a map node, or NoPage
	Offset int64  // byte offset on the device
	Reason string
}

func (e *CorruptError) Error() string {
	if e.Page == NoPage {
		return fmt.Sprintf("persist: damaged image: offset %#x: %s", e.Offset, e.Reason)
	}
	return fmt.Sprintf("persist: damaged image: page %#x at offset %#x: %s", uint64(e.Page), e.Offset, e.Reason)
}

// Unwrap makes errors.Is(err, ErrCorrupt) true.
func (e *CorruptError) Unwrap() error { return ErrCorrupt }

// RootDamagedError says that the newest state can't be used although it was
// committed, and which older states can be opened with [OpenAt]. Going back
// forgets what was acknowledged, so it is never done silently.
type RootDamagedError struct {
	Newest    Epoch // 0 if even the number is unreadable
	Available []Epoch
	Cause     error
}

func (e *RootDamagedError) Error() string {
	newest := "newest root"
	if e.Newest != 0 {
		newest = fmt.Sprintf("root of epoch %d", e.Newest)
	}
	if len(e.Available) == 0 {
		return fmt.Sprintf("persist: %s is damaged and no older one is usable: %v", newest, e.Cause)
	}
	return fmt.Sprintf("persist: %s is damaged: %v; older epochs that can be opened: %v", newest, e.Cause, e.Available)
}

// Is makes errors.Is(err, ErrRootDamaged) true.
func (e *RootDamagedError) Is(target error) bool { return target == ErrRootDamaged }

// Unwrap returns the cause.
func (e *RootDamagedError) Unwrap() error { return e.Cause }

// noSpace recognises a full device however the device says it.
func noSpace(err error) bool {
	var n interface{ NoSpace() bool }
	return errors.Is(err, ErrNoSpace) || errors.Is(err, syscall.ENOSPC) || errors.As(err, &n) && n.NoSpace()
}

// ioError wraps a device error with what was tried, keeping ErrNoSpace visible.
func ioError(what string, off int64, err error) error {
	if noSpace(err) && !errors.Is(err, ErrNoSpace) {
		return fmt.Errorf("persist: %s at offset %#x: %w: %w", what, off, ErrNoSpace, err)
	}
	return fmt.Errorf("persist: %s at offset %#x: %w", what, off, err)
}
