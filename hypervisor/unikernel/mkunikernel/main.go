// Command mkunikernel builds a Solo5 unikernel from a main package that
// imports hypervisor/guest:
//
//	go run ./hypervisor/unikernel/mkunikernel -o OUT [-block NAME]... PACKAGE
//
// Without -block the manifest asks for one device with the name "storage".
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"phantomvm/hypervisor/abi"
	"phantomvm/hypervisor/unikernel"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "mkunikernel:", err)
		os.Exit(1)
	}
}

func run() error {
	var devices []abi.Device
	out := flag.String("o", "", "write the unikernel to this `file`")
	verbose := flag.Bool("v", false, "tell what was patched")
	none := flag.Bool("no-devices", false, "a manifest without devices")
	flag.Func("block", "ask for a block device of this `name`", func(name string) error {
		devices = append(devices, abi.Device{Name: name, Type: abi.DeviceBlock})
		return nil
	})
	flag.Parse()
	if flag.NArg() != 1 || *out == "" {
		return fmt.Errorf("usage: mkunikernel -o OUT [-block NAME]... PACKAGE")
	}
	manifest := abi.DefaultManifest()
	if len(devices) > 0 || *none {
		manifest = abi.NewManifest(devices...)
	}
	image, report, err := unikernel.Build(context.Background(), "", flag.Arg(0), manifest)
	if err != nil {
		return err
	}
	if *verbose {
		fmt.Fprintf(os.Stderr, "%d SYSCALL sites patched, %d left to the trap %v; nosplit stack %d bytes\n",
			len(report.Patched), len(report.Trapped), report.Trapped, report.StackNeed)
	}
	return os.WriteFile(*out, image, 0o755)
}
