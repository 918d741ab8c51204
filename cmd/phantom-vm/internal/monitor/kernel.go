package monitor

import (
	"embed"
	"errors"
)

// The unikernel is put into this folder by `make build`, before this package is compiled.
//
//go:embed kernel
var kernelFiles embed.FS

// ErrNoKernel: this command was built without `make`, so it has no unikernel in it.
var ErrNoKernel = errors.New("this phantom-vm was built without its unikernel")

// KernelPresent returns ErrNoKernel if no unikernel is built in.
func KernelPresent() error {
	_, err := kernelImage()
	return err
}

func kernelImage() ([]byte, error) {
	b, err := kernelFiles.ReadFile("kernel/unikernel.elf")
	if err != nil {
		return nil, ErrNoKernel
	}
	return b, nil
}
