// Command init is the first process of realkvm's machine: it loads the KVM
// modules, runs the command and reports its status.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"golang.org/x/sys/unix"
)

// The serial ports, as realkvm connects them.
const (
	portOut    = "/dev/ttyS1"
	portErr    = "/dev/ttyS2"
	portStatus = "/dev/ttyS3"
)

// statusFailed is reported when the command could not be started.
const statusFailed = 126

func main() {
	if os.Getpid() != 1 {
		fmt.Fprintln(os.Stderr, "init: runs only as the first process of realkvm's machine")
		os.Exit(1)
	}
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "init:", err)
	}
	if f, err := openPort(portStatus); err == nil {
		fmt.Fprintf(f, "exit %d\n", status)
		drain(f)
	}
	unix.Sync()
	_ = unix.Reboot(unix.LINUX_REBOOT_CMD_RESTART)
	select {}
}

func run() (int, error) {
	for _, m := range [][2]string{{"devtmpfs", "/dev"}, {"proc", "/proc"}, {"sysfs", "/sys"}, {"tmpfs", "/tmp"}} {
		if err := unix.Mount(m[0], m[1], m[0], 0, ""); err != nil {
			return statusFailed, fmt.Errorf("mount %s: %w", m[1], err)
		}
	}
	stdout, err := openPort(portOut)
	if err != nil {
		return statusFailed, err
	}
	stderr, err := openPort(portErr)
	if err != nil {
		return statusFailed, err
	}
	defer drain(stdout)
	defer drain(stderr)
	if err := loadModules(); err != nil {
		fmt.Fprintln(stderr, "init:", err)
	}
	if err := exec.Command("/bin/busybox", "--install", "-s", "/bin").Run(); err != nil {
		return statusFailed, fmt.Errorf("busybox: %w", err)
	}
	if err := linkFiles(); err != nil {
		return statusFailed, err
	}
	text, err := os.ReadFile("/command")
	if err != nil {
		return statusFailed, err
	}
	var argv []string
	for _, a := range bytes.Split(text, []byte{0}) {
		argv = append(argv, string(a))
	}
	env := []string{"PATH=/work:/bin", "HOME=/tmp", "TMPDIR=/tmp", "TERM=dumb"}
	_ = os.Setenv("PATH", "/work:/bin")
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = "/work", env, stdout, stderr
	err = cmd.Run()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return 0, nil
	case errors.As(err, &exit):
		if ws, ok := exit.Sys().(syscall.WaitStatus); ok && ws.Signaled() {
			return 128 + int(ws.Signal()), nil
		}
		return exit.ExitCode(), nil
	}
	fmt.Fprintln(stderr, "init:", err)
	return statusFailed, err
}

// linkFiles lets the files be found in the root folder too.
func linkFiles() error {
	entries, err := os.ReadDir("/work")
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := os.Symlink(filepath.Join("/work", e.Name()), filepath.Join("/", e.Name())); err != nil && !errors.Is(err, os.ErrExist) {
			return err
		}
	}
	return nil
}

func loadModules() error {
	paths, err := filepath.Glob("/modules/*.ko")
	if err != nil {
		return err
	}
	for _, p := range paths {
		f, err := os.Open(p)
		if err != nil {
			return err
		}
		err = unix.FinitModule(int(f.Fd()), "", 0)
		f.Close()
		if err != nil {
			return fmt.Errorf("load %s: %w", filepath.Base(p), err)
		}
	}
	return nil
}

// openPort opens a serial port that passes bytes as they are.
func openPort(path string) (*os.File, error) {
	fd, err := unix.Open(path, unix.O_WRONLY|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: path, Err: err}
	}
	t, err := unix.IoctlGetTermios(fd, unix.TCGETS)
	if err != nil {
		return nil, &os.PathError{Op: "tcgetattr", Path: path, Err: err}
	}
	t.Oflag &^= unix.OPOST
	t.Lflag &^= unix.ECHO | unix.ICANON
	t.Cflag |= unix.CLOCAL
	if err := unix.IoctlSetTermios(fd, unix.TCSETS, t); err != nil {
		return nil, &os.PathError{Op: "tcsetattr", Path: path, Err: err}
	}
	return os.NewFile(uintptr(fd), path), nil
}

// drain waits until everything has left the port.
func drain(f *os.File) { _ = unix.IoctlSetInt(int(f.Fd()), unix.TCSBRK, 1) }
