package persist

import (
	"bytes"
	"fmt"
)

// Contents says what a device holds, as far as its two ends show it.
type Contents struct {
	// Image: there is a whole superblock, of the instance InstanceID.
	Image      bool
	InstanceID InstanceID
	// Free: nothing is there that anybody could miss: zeros, or an image whose
	// formatting was interrupted.
	Free bool
	// What says it in words.
	What string
}

// probeBytes at each end of a device are looked at. All common file systems,
// partition tables and volume managers sign there.
const probeBytes = 1 << 20

// signatures of what a device may hold, for messages: anything but zeros counts.
var signatures = []struct {
	off  int
	text string
	name string
}{
	{0x438, "\x53\xef", "an ext2, ext3 or ext4 file system"},
	{0, "XFSB", "an XFS file system"},
	{0x10040, "_BHRfS_M", "a Btrfs file system"},
	{0, "LUKS\xba\xbe", "a LUKS volume"},
	{512, "LABELONE", "an LVM volume"},
	{512, "EFI PART", "a partition table (GPT)"},
	{4096, "EFI PART", "a partition table (GPT)"},
	{4086, "SWAPSPACE2", "swap space"},
	{4096, "\xfc\x4e\x2b\xa9", "a member of a RAID"},
	{3, "NTFS", "an NTFS file system"},
	{0, "QFI\xfb", "a qcow2 image"},
	{510, "\x55\xaa", "a boot sector or a partition table"},
}

// Probe looks at a device before it is formatted or trusted. It only reads. The
// error is the device's.
func Probe(dev Device) (Contents, error) {
	size := dev.Size() &^ (BlockSize - 1)
	head := make([]byte, min(size, probeBytes))
	tail := make([]byte, min(size-int64(len(head)), probeBytes))
	if err := readFull(dev, head, 0); err != nil {
		return Contents{}, err
	}
	if err := readFull(dev, tail, size-int64(len(tail))); err != nil {
		return Contents{}, err
	}
	if size < blockOffset(logStart) {
		return Contents{Free: allZero(head), What: fmt.Sprintf("%d bytes, too few for an image", size)}, nil
	}
	block := func(b uint32) []byte { return head[blockOffset(b):][:BlockSize] }
	for _, b := range []uint32{superBlock, superCopyBlock} {
		if s, err := decodeSuper(block(b), b); err == nil && !(b == superCopyBlock && allZero(block(superBlock))) {
			return Contents{Image: true, InstanceID: s.instance, What: fmt.Sprintf("the image of instance %v", s.instance)}, nil
		}
		if bytes.HasPrefix(block(b), []byte(superMagic)) && !allZero(block(superBlock)) {
			return Contents{What: "a damaged image, or one of another version"}, nil
		}
	}
	if allZero(head) && allZero(tail) {
		return Contents{Free: true, What: "zeros"}, nil
	}
	if allZero(block(superBlock)) && bytes.HasPrefix(block(rootSlots[0]), []byte(rootMagic)) {
		return Contents{Free: true, What: "an image whose formatting was interrupted"}, nil
	}
	for _, s := range signatures {
		if s.off+len(s.text) <= len(head) && string(head[s.off:][:len(s.text)]) == s.text {
			return Contents{What: s.name}, nil
		}
	}
	return Contents{What: "data that is not an image"}, nil
}
