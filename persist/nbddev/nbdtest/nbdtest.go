// Package nbdtest starts NBD servers of the system for tests: nbdkit and
// qemu-nbd. Where they are not installed they are taken from the distribution's
// packages into .cache/nbd, without installing them; where that can't be done the
// test is skipped aloud.
package nbdtest

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Kind names a server.
type Kind string

// Servers.
const (
	Nbdkit Kind = "nbdkit"
	Qemu   Kind = "qemu-nbd"

	storageDaemon Kind = "qemu-storage-daemon"
)

// libraries is where a package has its shared libraries and plugins.
const libraries = "usr/lib/x86_64-linux-gnu"

// packages of Debian that have the servers.
var packages = map[Kind]string{Nbdkit: "nbdkit", Qemu: "qemu-utils", storageDaemon: "qemu-system-common"}

// Server is an NBD server on one image file, with the export "arena".
type Server struct {
	URI   string
	Image string
	// WriteLog is the file to which qemu-nbd writes what it was asked to do, "" if it does not.
	WriteLog string

	t      testing.TB
	kind   Kind
	tools  tools
	socket string
	cmd    *exec.Cmd
	log    bytes.Buffer
}

// tools is where a server is.
type tools struct {
	program string
	root    string // where its package was unpacked, "" if it is installed
}

// env is what the program needs to find its libraries.
func (t tools) env() []string {
	if t.root == "" {
		return os.Environ()
	}
	return append(os.Environ(), "LD_LIBRARY_PATH="+filepath.Join(t.root, libraries)+":"+filepath.Join(t.root, "lib/x86_64-linux-gnu"))
}

// Start runs a server on an image of size bytes that is made new.
func Start(t testing.TB, kind Kind, size int64) *Server {
	t.Helper()
	return start(t, kind, size, false)
}

// StartLogging runs qemu-nbd with its driver blklogwrites between the server and the image: every write and
// flush goes to WriteLog as well, in the format of the Linux kernel's dm-log-writes.
func StartLogging(t testing.TB, size int64) *Server {
	t.Helper()
	return start(t, Qemu, size, true)
}

func start(t testing.TB, kind Kind, size int64, logging bool) *Server {
	t.Helper()
	found, err := find(kind)
	if err != nil {
		skip(t, fmt.Sprintf("without %s", kind), err)
	}
	dir, err := os.MkdirTemp("", "nbd-") // short: a socket's path is bounded
	if err != nil {
		t.Fatal(err)
	}
	s := &Server{t: t, kind: kind, tools: found, socket: filepath.Join(dir, "s"), Image: filepath.Join(dir, "image")}
	files := []string{s.Image}
	if logging {
		s.WriteLog = filepath.Join(dir, "writes")
		files = append(files, s.WriteLog)
	}
	s.URI = "nbd+unix:///arena?socket=" + s.socket
	t.Cleanup(func() {
		s.Kill()
		os.RemoveAll(dir)
	})
	for _, f := range files {
		if err := os.WriteFile(f, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Truncate(s.Image, size); err != nil {
		t.Fatal(err)
	}
	s.Restart()
	return s
}

func skip(t testing.TB, why string, err error) {
	t.Helper()
	fmt.Fprintf(os.Stderr, "SKIPPED %s: %s: %v\n", why, t.Name(), err)
	t.Skipf("%s: %v", why, err)
}

// Restart starts a server that was killed.
func (s *Server) Restart() {
	s.t.Helper()
	os.Remove(s.socket)
	var args []string
	switch s.kind {
	case Nbdkit:
		plugin := "file"
		if s.tools.root != "" {
			plugin = filepath.Join(s.tools.root, libraries, "nbdkit/plugins/nbdkit-file-plugin.so")
		}
		args = []string{"--foreground", "--exit-with-parent", "--exportname", "arena", "--unix", s.socket, plugin, s.Image}
	case Qemu:
		args = []string{"--format=raw", "--cache=writeback", "--discard=unmap", "--persistent", "--shared=0", "--export-name=arena", "--socket=" + s.socket, s.Image}
		if s.WriteLog != "" {
			args = []string{
				"--image-opts", "--cache=writeback", "--persistent", "--shared=0", "--export-name=arena", "--socket=" + s.socket,
				"driver=blklogwrites,file.driver=file,file.filename=" + s.Image + ",log.driver=file,log.filename=" + s.WriteLog,
			}
		}
	}
	s.cmd = exec.Command(s.tools.program, args...)
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	s.cmd.Env = s.tools.env()
	if err := s.cmd.Start(); err != nil {
		s.t.Fatal(err)
	}
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		c, err := net.Dial("unix", s.socket)
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(deadline) {
			s.Kill()
			s.t.Fatalf("%s does not listen: %v\n%s", s.kind, err, s.log.String())
		}
	}
}

// Kill ends the server with SIGKILL, if it runs.
func (s *Server) Kill() {
	if s.cmd == nil {
		return
	}
	s.cmd.Process.Kill() //nolint:errcheck // it may have ended
	s.cmd.Wait()         //nolint:errcheck // it was killed
	s.cmd = nil
}

// find looks for a server in the system, then in the cache, which it fills if need be.
func find(kind Kind) (tools, error) {
	if p, err := exec.LookPath(string(kind)); err == nil {
		return tools{program: p}, nil
	}
	root, err := moduleRoot()
	if err != nil {
		return tools{}, err
	}
	cache := filepath.Join(root, ".cache", "nbd")
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return tools{}, err
	}
	lock, err := os.OpenFile(filepath.Join(cache, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return tools{}, err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil { // tests of other packages fetch as well
		return tools{}, err
	}
	dir := filepath.Join(cache, string(kind))
	if _, err := os.Stat(dir); err != nil {
		if err := fetch(dir, packages[kind]); err != nil {
			return tools{}, err
		}
	}
	found := tools{root: dir}
	for _, bin := range []string{"usr/sbin", "usr/bin"} {
		p := filepath.Join(dir, bin, string(kind))
		if _, err := os.Stat(p); err == nil {
			found.program = p
			return found, nil
		}
	}
	return tools{}, fmt.Errorf("no %s in %s", kind, dir)
}

func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	for ; err == nil; dir = filepath.Dir(dir) {
		if _, serr := os.Stat(filepath.Join(dir, "go.mod")); serr == nil {
			return dir, nil
		}
		if dir == filepath.Dir(dir) {
			err = errors.New("no go.mod above")
		}
	}
	return "", err
}

// fetch unpacks a package and those of its libraries that the system lacks into dir,
// which appears when it is complete.
func fetch(dir, name string) error {
	tmp := dir + ".tmp"
	if err := os.RemoveAll(tmp); err != nil {
		return err
	}
	debs := filepath.Join(tmp, "debs")
	if err := os.MkdirAll(filepath.Join(debs, "partial"), 0o755); err != nil {
		return err
	}
	download := []string{
		"apt-get", "install", "-y", "--no-install-recommends", "--download-only",
		"-o", "Dir::Cache::Archives=" + debs, "-o", "Debug::NoLocking=1", name,
	}
	if err := command(download...); err != nil {
		if uerr := command("apt-get", "update"); uerr != nil {
			return errors.Join(err, uerr)
		}
		if err := command(download...); err != nil {
			return err
		}
	}
	all, err := filepath.Glob(filepath.Join(debs, "*.deb"))
	if err != nil {
		return err
	}
	for _, d := range all {
		if err := command("dpkg-deb", "-x", d, tmp); err != nil {
			return err
		}
	}
	if err := os.RemoveAll(debs); err != nil {
		return err
	}
	return os.Rename(tmp, dir)
}

func command(args ...string) error {
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w\n%s", strings.Join(args, " "), err, out)
	}
	return nil
}
