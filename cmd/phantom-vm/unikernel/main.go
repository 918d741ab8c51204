// Command unikernel is the guest: the machine of package objectvm/machine on
// the block device "storage", as a Solo5 unikernel. It is linked with the guest
// kernel and post-processed by `make build`; as an ordinary program it only says so.
//
// Arguments: checkpoint=INTERVAL, stdout=BYTES and stderr=BYTES, what the host
// has of each stream. Under a tender without a channel there are no arguments
// needed: output goes to the console as it becomes durable, at least once.
package main

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"phantomvm/hypervisor/guest"
	"phantomvm/objectvm/machine"
	"phantomvm/objectvm/machine/wire"
)

// exitFailed is the status of a guest that could not tell its host why it ended.
const exitFailed = 70

func main() {
	if !guest.Active() {
		fmt.Fprintln(os.Stderr, "this is a Solo5 unikernel; a tender has to start it")
		os.Exit(127)
	}
	code, err := run(os.Args[1:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "phantom-vm guest:", err)
	}
	os.Exit(code)
}

func run(args []string) (int, error) {
	cfg := machine.Config{Interval: machine.DefaultInterval, Delivered: [wire.Streams]int64{-1, -1}, Yield: guest.Yield}
	if err := parse(&cfg, args); err != nil {
		return exitFailed, err
	}
	dev, err := guest.OpenBlock("storage")
	if err != nil {
		return exitFailed, err
	}
	cfg.Device, cfg.Durable, cfg.Paging = dev, dev.Durable(), pageFrom(dev)
	if !cfg.Durable {
		fmt.Fprintln(os.Stderr, "phantom-vm guest: this tender has no flush: checkpoints survive a crash of the tender, not of the host")
	}
	ch, ok := guest.OpenChannel()
	if ok {
		cfg.Link = channelLink{ch}
		return 0, machine.Run(cfg)
	}
	fmt.Fprintln(os.Stderr, "phantom-vm guest: this tender has no channel: output is at-least-once, there is no input")
	l := &consoleLink{}
	cfg.Link = l
	err = machine.Run(cfg)
	return l.code, err
}

func parse(cfg *machine.Config, args []string) error {
	for _, a := range args {
		name, value, _ := strings.Cut(a, "=")
		var err error
		switch name {
		case "checkpoint":
			cfg.Interval, err = time.ParseDuration(value)
		case "stdout":
			cfg.Delivered[wire.Stdout], err = strconv.ParseInt(value, 10, 64)
		case "stderr":
			cfg.Delivered[wire.Stderr], err = strconv.ParseInt(value, 10, 64)
		default:
			err = fmt.Errorf("unknown argument")
		}
		if err != nil {
			return fmt.Errorf("argument %q: %w", a, err)
		}
	}
	return nil
}
