package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
)

const kernelOptions = "console=ttyS0 loglevel=4 panic=-1 reboot=t 8250.nr_uarts=4 random.trust_cpu=on mitigations=off nokaslr rdinit=/init"

// boot runs QEMU until the command has ended, and gives the command's status.
func boot(ctx context.Context, c config, p parts, initrd string) (int, error) {
	var log, result bytes.Buffer
	args := append([]string{
		"-machine", "q35", "-accel", "tcg,thread=multi", "-cpu", "max,+svm",
		"-smp", strconv.Itoa(c.cpus), "-m", strconv.Itoa(c.memMiB),
		"-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
		"-kernel", p.kernel, "-initrd", initrd, "-append", kernelOptions,
	}, p.options...)
	cmd := exec.CommandContext(ctx, p.qemu)
	cmd.Env = append(os.Environ(), p.env...)
	var own bytes.Buffer
	cmd.Stdout, cmd.Stderr = &own, &own
	var copies sync.WaitGroup
	// Serial ports 0 to 3: the kernel's log, the outputs, the status.
	for i, w := range []io.Writer{&log, os.Stdout, os.Stderr, &result} {
		r, child, err := os.Pipe()
		if err != nil {
			return 0, err
		}
		defer child.Close()
		cmd.ExtraFiles = append(cmd.ExtraFiles, child)
		args = append(args,
			"-chardev", fmt.Sprintf("file,id=s%d,path=/dev/fd/%d", i, 3+i),
			"-serial", fmt.Sprintf("chardev:s%d", i))
		copies.Go(func() {
			defer r.Close()
			_, _ = io.Copy(w, r)
		})
	}
	cmd.Args = append(cmd.Args, args...)
	if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("start qemu: %w", err)
	}
	for _, f := range cmd.ExtraFiles {
		f.Close()
	}
	err := cmd.Wait()
	copies.Wait()
	if status, ok := strings.CutPrefix(strings.TrimSpace(result.String()), "exit "); ok {
		if n, err := strconv.Atoi(status); err == nil {
			return n, nil
		}
	}
	return 0, fmt.Errorf("the machine ended without a result: %w\n%s%s", errors.Join(err, context.Cause(ctx)), own.Bytes(), log.Bytes())
}
