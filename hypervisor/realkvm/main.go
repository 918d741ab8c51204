// Command realkvm runs a command on a Linux whose KVM is the ordinary one for
// AMD processors, on any machine: QEMU emulates a processor with SVM, a
// Debian kernel with kvm_amd boots in it, and the command finds /dev/kvm.
//
//	go run ./hypervisor/realkvm [-v] [-timeout 5m] [-mem 2048] -- FILES... -- COMMAND ARGS...
//
// The files lie in the command's working directory under their base names, and
// in the root folder as links. A shell is at /bin/sh (busybox). Standard output, standard error and the exit status are
// those of the command; an error of realkvm itself exits with 125.
//
// What it needs comes from Debian's package archive, through apt, into a cache
// folder; nothing is installed into the system:
//
//  1. fetch.go downloads and unpacks QEMU (unless one is in PATH), a kernel
//     package and busybox.
//  2. initramfs.go packs the kernel's KVM modules, the files, busybox and the
//     init program (init/main.go).
//  3. qemu.go boots that. The guest's serial ports carry the kernel's log, the
//     command's two outputs, and its exit status.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"time"
)

// exitOwn is the exit status for realkvm's own errors.
const exitOwn = 125

type config struct {
	cache   string
	memMiB  int
	cpus    int
	timeout time.Duration
	verbose bool
	files   []string
	command []string
}

func main() {
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "realkvm:", err)
		os.Exit(exitOwn)
	}
	os.Exit(status)
}

func parse() (config, error) {
	var c config
	flag.StringVar(&c.cache, "cache", filepath.Join(".cache", "realkvm"), "`folder` for downloads")
	flag.IntVar(&c.memMiB, "mem", 2048, "memory of the machine in `MiB`")
	flag.IntVar(&c.cpus, "cpus", 2, "processors of the machine")
	flag.DurationVar(&c.timeout, "timeout", 10*time.Minute, "give up after this `time`")
	flag.BoolVar(&c.verbose, "v", false, "report progress on standard error")
	flag.Parse()
	args := flag.Args()
	i := slices.Index(args, "--")
	if i < 0 || i == len(args)-1 {
		return c, errors.New("usage: realkvm [flags] -- FILES... -- COMMAND ARGS...")
	}
	c.files, c.command = args[:i], args[i+1:]
	var err error
	c.cache, err = filepath.Abs(c.cache)
	return c, err
}

func run() (int, error) {
	c, err := parse()
	if err != nil {
		return 0, err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	say := func(format string, args ...any) {
		if c.verbose {
			fmt.Fprintf(os.Stderr, "realkvm %6.2fs: %s\n", time.Since(start).Seconds(), fmt.Sprintf(format, args...))
		}
	}
	parts, err := fetch(ctx, c.cache, say)
	if err != nil {
		return 0, err
	}
	tmp, err := os.MkdirTemp("", "realkvm-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(tmp)
	initrd := filepath.Join(tmp, "initrd")
	if err := pack(ctx, c, parts, tmp, initrd); err != nil {
		return 0, err
	}
	say("booting")
	status, err := boot(ctx, c, parts, initrd)
	say("command ended: %d %v", status, err)
	return status, err
}
