package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"strings"
)

// archive writes a cpio archive in the "newc" format, which the kernel unpacks
// into its first file system.
type archive struct {
	w     *bufio.Writer
	size  int64
	inode int
}

const (
	modeDir  = 0o040755
	modeFile = 0o100000
	trailer  = "TRAILER!!!"
)

func (a *archive) pad() {
	for a.size%4 != 0 {
		_ = a.w.WriteByte(0) // the error stays in the writer until Flush
		a.size++
	}
}

func (a *archive) add(name string, mode uint32, size int64, body io.Reader) error {
	a.inode++
	n, _ := fmt.Fprintf(a.w, "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%s\x00",
		a.inode, mode, 0, 0, 1, 0, size, 0, 0, 0, 0, len(name)+1, 0, name)
	a.size += int64(n)
	a.pad()
	if body != nil {
		got, err := io.Copy(a.w, io.LimitReader(body, size))
		if err == nil && got != size {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return fmt.Errorf("initramfs: %s: %w", name, err)
		}
		a.size += size
		a.pad()
	}
	return nil
}

func (a *archive) addDir(name string) error { return a.add(name, modeDir, 0, nil) }

func (a *archive) addText(name, text string) error {
	return a.add(name, modeFile|0o644, int64(len(text)), strings.NewReader(text))
}

func (a *archive) addFile(name, from string) error {
	f, err := os.Open(from)
	if err != nil {
		return err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return err
	}
	return a.add(name, modeFile|uint32(st.Mode().Perm()), st.Size(), f)
}

// addTree adds a file, or a folder with what is in it, below the folder "work".
func (a *archive) addTree(from string) error {
	base := filepath.Dir(filepath.Clean(from))
	return filepath.WalkDir(from, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(base, p)
		if err != nil {
			return err
		}
		name := path.Join("work", filepath.ToSlash(rel))
		if d.IsDir() {
			return a.addDir(name)
		}
		return a.addFile(name, p)
	})
}

// pack builds init and writes the initramfs.
func pack(ctx context.Context, c config, p parts, tmp, out string) error {
	initPath := filepath.Join(tmp, "init")
	build := exec.CommandContext(ctx, "go", "build", "-o", initPath, "phantomvm/hypervisor/realkvm/init")
	build.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH=amd64")
	if text, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build init: %w\n%s", err, text)
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	defer f.Close()
	a := &archive{w: bufio.NewWriterSize(f, 1<<20)}
	for _, d := range []string{"dev", "proc", "sys", "tmp", "bin", "modules", "work"} {
		if err := a.addDir(d); err != nil {
			return err
		}
	}
	if err := a.addFile("init", initPath); err != nil {
		return err
	}
	if err := a.addFile("bin/busybox", p.busybox); err != nil {
		return err
	}
	for i, m := range p.modules {
		if err := a.addFile(fmt.Sprintf("modules/%02d-%s", i, filepath.Base(m)), m); err != nil {
			return err
		}
	}
	libraries := map[string]bool{}
	for _, from := range c.files {
		if err := a.addTree(from); err != nil {
			return err
		}
		if err := a.addLibraries(from, libraries); err != nil {
			return err
		}
	}
	if err := a.addText("command", strings.Join(c.command, "\x00")); err != nil {
		return err
	}
	if err := a.add(trailer, 0, 0, nil); err != nil {
		return err
	}
	if err := a.w.Flush(); err != nil {
		return fmt.Errorf("initramfs: %w", err)
	}
	return f.Close()
}
