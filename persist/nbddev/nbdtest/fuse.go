package nbdtest

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Logged is storage that other software makes out of a file, with a log of the
// writes and flushes that arrive at the bottom (dm-log-writes' format).
type Logged struct {
	Path     string // the file to use
	WriteLog string // complete after Close

	cmd *exec.Cmd
	log bytes.Buffer
}

// MountLogging shows a new image of size bytes as a file in a FUSE file system
// of qemu-storage-daemon, with its driver blklogwrites below. It needs root; what
// is missing is said, and the test skipped.
//
// Not for a loop device: where two writes are in flight at once, QEMU 7.2 writes
// the second one's bytes to the first one's place (its FUSE export has one
// request buffer, which a nested poll overwrites).
func MountLogging(t testing.TB, size int64) *Logged {
	t.Helper()
	if os.Getuid() != 0 {
		skip(t, "without root", fmt.Errorf("user %d can't mount", os.Getuid()))
	}
	if _, err := os.Stat("/dev/fuse"); err != nil {
		skip(t, "without FUSE", err)
	}
	found, err := find(storageDaemon)
	if err != nil {
		skip(t, "without qemu-storage-daemon", err)
	}
	dir := t.TempDir()
	l := &Logged{Path: filepath.Join(dir, "disk"), WriteLog: filepath.Join(dir, "writes")}
	image := filepath.Join(dir, "image")
	for _, f := range []string{image, l.WriteLog, l.Path} {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(image, size); err != nil {
		t.Fatal(err)
	}
	l.cmd = exec.Command(found.program,
		"--blockdev", "driver=file,node-name=image,filename="+image,
		"--blockdev", "driver=file,node-name=log,filename="+l.WriteLog,
		"--blockdev", "driver=blklogwrites,node-name=disk,file=image,log=log",
		"--export", "type=fuse,id=e,node-name=disk,mountpoint="+l.Path+",writable=on")
	l.cmd.Env, l.cmd.Stdout, l.cmd.Stderr = found.env(), &l.log, &l.log
	if err := l.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		if fi, err := os.Stat(l.Path); err == nil && fi.Size() == size {
			break
		}
		if time.Now().After(deadline) {
			l.Close()
			skip(t, "without a FUSE export", fmt.Errorf("qemu-storage-daemon: %s", l.log.String()))
		}
	}
	return l
}

// Close takes the storage away and leaves the log.
func (l *Logged) Close() {
	if l.cmd == nil {
		return
	}
	l.cmd.Process.Signal(unix.SIGTERM) //nolint:errcheck // it may have ended
	l.cmd.Wait()                       //nolint:errcheck // a signal ended it
	l.cmd = nil
	unix.Unmount(l.Path, unix.MNT_DETACH) //nolint:errcheck // the daemon has done it
}
