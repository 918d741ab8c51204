package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// parts are the pieces of the machine on the host's file system.
type parts struct {
	qemu    string   // program
	env     []string // for qemu
	options []string // for qemu: where its firmware is
	kernel  string
	modules []string // in the order of loading
	busybox string
}

// kernelPackage depends on the newest kernel package for virtual machines.
const kernelPackage = "linux-image-cloud-amd64"

// kvmModules are needed for /dev/kvm on AMD, in the order of loading.
var kvmModules = []string{"virt/lib/irqbypass.ko", "arch/x86/kvm/kvm.ko", "arch/x86/kvm/kvm-amd.ko"}

// fetch downloads what the cache does not have. Each folder of the cache
// appears by a rename when it is complete.
func fetch(ctx context.Context, cache string, say func(string, ...any)) (parts, error) {
	var p parts
	if err := os.MkdirAll(cache, 0o755); err != nil {
		return p, err
	}
	once := func(name string, make func(dir string) error) (string, error) {
		dir := filepath.Join(cache, name)
		if _, err := os.Stat(dir); err == nil {
			return dir, nil
		}
		say("fetching %s", name)
		tmp, err := os.MkdirTemp(cache, name+"-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(tmp)
		if err := make(tmp); err != nil {
			return "", fmt.Errorf("fetch %s: %w", name, err)
		}
		if err := os.Chmod(tmp, 0o755); err != nil {
			return "", err
		}
		return dir, os.Rename(tmp, dir)
	}
	kernel, err := once("kernel", func(dir string) error { return fetchKernel(ctx, dir) })
	if err != nil {
		return p, err
	}
	busybox, err := once("busybox", func(dir string) error { return fetchPackages(ctx, dir, "busybox-static") })
	if err != nil {
		return p, err
	}
	p.busybox = filepath.Join(busybox, "bin", "busybox")
	if err := p.findKernel(kernel); err != nil {
		return p, err
	}
	if p.qemu, err = exec.LookPath("qemu-system-x86_64"); err == nil {
		return p, nil
	}
	qemu, err := once("qemu", func(dir string) error { return fetchQEMU(ctx, dir) })
	if err != nil {
		return p, err
	}
	p.qemu = filepath.Join(qemu, "usr/bin/qemu-system-x86_64")
	libs := []string{filepath.Join(qemu, "usr/lib/x86_64-linux-gnu"), filepath.Join(qemu, "lib/x86_64-linux-gnu")}
	p.env = []string{"LD_LIBRARY_PATH=" + strings.Join(libs, ":")}
	for _, share := range []string{"qemu", "seabios"} {
		p.options = append(p.options, "-L", filepath.Join(qemu, "usr/share", share))
	}
	return p, nil
}

func (p *parts) findKernel(dir string) error {
	found, err := filepath.Glob(filepath.Join(dir, "boot", "vmlinuz-*"))
	if err != nil || len(found) == 0 {
		return fmt.Errorf("no kernel in %s: %w", dir, errors.Join(err, os.ErrNotExist))
	}
	p.kernel = found[len(found)-1]
	version := strings.TrimPrefix(filepath.Base(p.kernel), "vmlinuz-")
	for _, m := range kvmModules {
		path := filepath.Join(dir, "lib/modules", version, "kernel", m)
		if _, err := os.Stat(path); err != nil {
			return fmt.Errorf("kernel package without a module: %w", err)
		}
		p.modules = append(p.modules, path)
	}
	return nil
}

// command runs a program of the package system; its error carries what it
// printed.
func command(ctx context.Context, dir, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "LC_ALL=C", "DEBIAN_FRONTEND=noninteractive")
	var out, text bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &text
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s: %w\n%s%s", strings.Join(cmd.Args, " "), err, out.Bytes(), text.Bytes())
	}
	return out.String(), nil
}

// refresh gets the package lists if the machine has none.
func refresh(ctx context.Context) error {
	if out, err := command(ctx, "", "apt-cache", "depends", kernelPackage); err == nil && strings.Contains(out, "Depends:") {
		return nil
	}
	if _, err := command(ctx, "", "apt-get", "update"); err != nil {
		return fmt.Errorf("no package lists (run apt-get update): %w", err)
	}
	return nil
}

// unpack extracts the packages in dir/debs into dir.
func unpack(ctx context.Context, dir string) error {
	debs, err := filepath.Glob(filepath.Join(dir, "debs", "*.deb"))
	if err != nil {
		return err
	}
	if len(debs) == 0 {
		return errors.New("nothing was downloaded")
	}
	for _, d := range debs {
		if _, err := command(ctx, "", "dpkg-deb", "-x", d, dir); err != nil {
			return err
		}
	}
	return os.RemoveAll(filepath.Join(dir, "debs"))
}

func fetchPackages(ctx context.Context, dir string, names ...string) error {
	if err := refresh(ctx); err != nil {
		return err
	}
	debs := filepath.Join(dir, "debs")
	if err := os.MkdirAll(debs, 0o755); err != nil {
		return err
	}
	if _, err := command(ctx, debs, "apt-get", append([]string{"download"}, names...)...); err != nil {
		return err
	}
	return unpack(ctx, dir)
}

func fetchKernel(ctx context.Context, dir string) error {
	if err := refresh(ctx); err != nil {
		return err
	}
	out, err := command(ctx, "", "apt-cache", "depends", kernelPackage)
	if err != nil {
		return err
	}
	for lines := bufio.NewScanner(strings.NewReader(out)); lines.Scan(); {
		f := strings.Fields(lines.Text())
		if len(f) == 2 && f[0] == "Depends:" && strings.HasPrefix(f[1], "linux-image-") {
			return fetchPackages(ctx, dir, f[1])
		}
	}
	return fmt.Errorf("%s depends on no kernel package:\n%s", kernelPackage, out)
}

// fetchQEMU takes QEMU and those of its libraries that the system lacks.
func fetchQEMU(ctx context.Context, dir string) error {
	debs := filepath.Join(dir, "debs")
	if err := os.MkdirAll(filepath.Join(debs, "partial"), 0o755); err != nil {
		return err
	}
	_, err := command(ctx, "", "apt-get", "install", "-y", "--no-install-recommends", "--download-only",
		"-o", "Dir::Cache::Archives="+debs, "-o", "Debug::NoLocking=1", "qemu-system-x86")
	if err != nil {
		return err
	}
	return unpack(ctx, dir)
}
