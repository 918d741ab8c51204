package main

import (
	"context"
	"fmt"

	"phantomvm/cmd/phantom-vm/internal/disk"
	"phantomvm/cmd/phantom-vm/internal/instance"
	"phantomvm/objectvm/machine"
	"phantomvm/persist"
)

// diskFlag is the value of --disk: how large the image is, or where the disk is.
type diskFlag struct {
	size size
	text string        // as given, "" if a size was
	at   disk.Location // of text, by check
}

func (d *diskFlag) Set(text string) error {
	if disk.IsLocation(text) {
		d.text = text
		return nil
	}
	d.text = ""
	return d.size.Set(text)
}

func (d *diskFlag) String() string {
	if d.text != "" {
		return d.text
	}
	return d.size.String()
}

func (d *diskFlag) Type() string { return "size|place" }

func (d *diskFlag) check() (err error) {
	switch {
	case d.text != "":
		if d.at, err = disk.Parse(d.text); err != nil {
			return fail(exitUsage, "--disk: %w", err)
		}
	case d.size < minDisk:
		return fail(exitUsage, "--disk %v: at least 16M", &d.size)
	}
	return nil
}

// openDisk opens an instance's disk, and refuses one that is another's.
func openDisk(inst *instance.Instance, readOnly bool) (*disk.Disk, error) {
	dev, err := disk.Open(context.Background(), disk.Location(inst.Disk()), disk.Options{ReadOnly: readOnly, Unsafe: inst.Record.UnsafeDisk})
	if err == nil {
		if err = dev.Claim(inst.Record.ID); err == nil && !readOnly {
			err = dev.Settle()
		}
		if err != nil {
			dev.Close()
		}
	}
	if err != nil {
		return nil, classify(err)
	}
	return dev, nil
}

// newDisk opens the device on which a new instance is to lie, and looks whether it may be formatted.
func newDisk(f *runFlags) (*disk.Disk, error) {
	dev, err := disk.Open(context.Background(), f.disk.at, disk.Options{Unsafe: f.unsafeDisk})
	if err == nil {
		if err = dev.Vacant(f.force); err == nil && dev.Size() < minDisk {
			err = fmt.Errorf("%w: %s has %d bytes, at least 16M are needed", persist.ErrTooSmall, f.disk.at, dev.Size())
		}
		if err != nil {
			dev.Close()
		}
	}
	if err != nil {
		return nil, classify(err)
	}
	return dev, nil
}

// relocate notes that an instance's disk is elsewhere now, if --disk says so and the instance is there.
func relocate(f *runFlags, inst *instance.Instance) error {
	if f.disk.at == "" || string(f.disk.at) == inst.Disk() && f.unsafeDisk == inst.Record.UnsafeDisk {
		return nil
	}
	dev, err := disk.Open(context.Background(), f.disk.at, disk.Options{ReadOnly: true})
	if err == nil {
		if err = dev.Claim(inst.Record.ID); err == nil {
			_, err = machine.Inspect(dev)
		}
		dev.Close()
	}
	if err != nil {
		return classify(fmt.Errorf("--disk: %s lies on %s; %w", inst.Dir, inst.Disk(), err))
	}
	moved := string(f.disk.at) != inst.Disk()
	inst.MoveDisk(string(f.disk.at), f.unsafeDisk)
	if err := inst.Save(); err != nil {
		return classify(err)
	}
	if moved {
		say(f, "the disk of %s is %s from now on", inst.Dir, f.disk.at)
	}
	return nil
}
