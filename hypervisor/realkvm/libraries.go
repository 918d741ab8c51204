package main

import (
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// libraryFolders are where the dynamic linker of Debian looks by default.
var libraryFolders = []string{"/lib64", "/lib/x86_64-linux-gnu", "/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/lib", "/usr/lib"}

// addLibraries adds the dynamic linker and the libraries that a program needs,
// at the paths that they have here. A file that is no dynamic program needs
// none.
func (a *archive) addLibraries(program string, done map[string]bool) error {
	f, err := elf.Open(program)
	if err != nil {
		return nil // not a program; the machine will say so if it is run
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type != elf.PT_INTERP {
			continue
		}
		name, err := io.ReadAll(p.Open())
		if err != nil {
			return err
		}
		path := strings.TrimRight(string(name), "\x00")
		if _, err := os.Stat(path); err != nil {
			return nil // a unikernel's is meant to be absent
		}
		if err := a.addLibrary(path, done); err != nil {
			return err
		}
	}
	needed, err := f.ImportedLibraries()
	if err != nil {
		return nil
	}
	for _, lib := range needed {
		path, err := findLibrary(lib)
		if err != nil {
			return fmt.Errorf("%s: %w", program, err)
		}
		if err := a.addLibrary(path, done); err != nil {
			return err
		}
	}
	return nil
}

func findLibrary(name string) (string, error) {
	for _, dir := range libraryFolders {
		path := filepath.Join(dir, name)
		if _, err := os.Stat(path); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("library %s: %w", name, os.ErrNotExist)
}

func (a *archive) addLibrary(path string, done map[string]bool) error {
	if done[path] {
		return nil
	}
	done[path] = true
	rel := strings.TrimPrefix(path, "/")
	for i, c := range rel {
		if dir := rel[:i]; c == '/' && !done[dir] {
			done[dir] = true
			if err := a.addDir(dir); err != nil {
				return err
			}
		}
	}
	if err := a.addFile(rel, path); err != nil {
		return err
	}
	return a.addLibraries(path, done)
}
