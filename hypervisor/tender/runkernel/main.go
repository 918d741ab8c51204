// Command runkernel runs a Solo5 unikernel:
//
//	go run ./hypervisor/tender/runkernel [-mem MiB] [-block NAME=PATH]... KERNEL [ARGS]
//
// Its exit status is the guest's, or 1 for an error of the tender.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"

	"phantomvm/hypervisor/tender"
)

func main() {
	status, err := run()
	if err != nil {
		fmt.Fprintln(os.Stderr, "runkernel:", err)
		os.Exit(1)
	}
	os.Exit(status)
}

func run() (int, error) {
	cfg := tender.Config{Console: os.Stdout}
	mem := flag.Uint64("mem", 512, "guest memory in `MiB`")
	plain := flag.Bool("plain", false, "offer no extension")
	limit := flag.Duration("timeout", 0, "stop the guest after this `time`")
	flag.Func("block", "attach a file as a block device: `NAME=PATH`", func(s string) error {
		name, path, ok := strings.Cut(s, "=")
		if !ok {
			return fmt.Errorf("want NAME=PATH")
		}
		image, err := tender.OpenImage(path)
		if err != nil {
			return err
		}
		cfg.Blocks = append(cfg.Blocks, tender.BlockAttach{Name: name, Dev: image})
		return nil
	})
	flag.Parse()
	if flag.NArg() < 1 {
		return 0, fmt.Errorf("usage: runkernel [-mem MiB] [-block NAME=PATH]... KERNEL [ARGS]")
	}
	var err error
	if cfg.Kernel, err = tender.ReadKernel(flag.Arg(0)); err != nil {
		return 0, err
	}
	cfg.MemBytes, cfg.Cmdline, cfg.NoExtension = *mem<<20, flag.Args()[1:], *plain
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	defer cancel()
	if *limit > 0 {
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	vm, err := tender.New(cfg)
	if err != nil {
		return 0, err
	}
	defer vm.Close()
	return vm.Run(ctx)
}
