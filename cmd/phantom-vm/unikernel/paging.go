package main

import (
	"fmt"
	"runtime/debug"

	"phantomvm/hypervisor/guest"
	"phantomvm/objectvm/machine"
	"phantomvm/objectvm/paging"
)

// pageFrom pages the arena from dev. Pages may take all of the guest's memory but for a reserve, from which the Go heap
// grows between two slices, and the kernel takes page tables.
func pageFrom(dev *guest.Block) *machine.Paging {
	free, total := guest.Memory()
	reserve := uintptr(max(total/16, 8<<20))
	debug.SetMemoryLimit(int64(total / 3))
	return &machine.Paging{
		Limit: free - min(free, uint64(reserve)), Hard: free,
		Platform: func(ranges []paging.Range) (paging.Platform, error) {
			for _, r := range ranges {
				if err := guest.PageRange(r.Lo, r.Hi); err != nil {
					return paging.Platform{}, err
				}
			}
			buffer := guest.ReservePages(paging.Window * 4096)
			if buffer == 0 {
				return paging.Platform{}, fmt.Errorf("%w: no memory for a buffer", paging.ErrMemory)
			}
			return paging.Platform{
				Name: "guest", Read: dev.ReadRaw, Install: guest.InstallPages, Drop: guest.DropPages,
				Accessed: guest.PageAccessed, Now: guest.Nanos, Buffer: buffer, KeepVectors: true,
				Spare: func() uintptr { return max(guest.FreeMemory(), reserve) - reserve },
			}, nil
		},
	}
}
