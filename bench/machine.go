package main

import (
	"fmt"
	"os"
	"os/exec"
	"regexp"
	"runtime"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

var kvmOK = regexp.MustCompile(`"kvm",\s*"ok": true`)

func kvmWorks(doctor []byte) bool { return kvmOK.Match(doctor) }

// machineClass says in neutral words what the figures were measured on.
func machineClass(dir string) string {
	parts := []string{fmt.Sprintf("%d processors", runtime.NumCPU())}
	info, _ := os.ReadFile("/proc/cpuinfo") //nolint:errcheck // without it less is said
	virtual := strings.Contains(string(info), " hypervisor")
	if virtual {
		parts[0] = fmt.Sprintf("virtual machine of %d processors", runtime.NumCPU())
	}
	if f, err := os.OpenFile("/dev/kvm", os.O_RDWR, 0); err == nil {
		f.Close()
		switch hardware := strings.Contains(string(info), " vmx") || strings.Contains(string(info), " svm"); {
		case hardware && !virtual:
			parts = append(parts, "KVM")
		case hardware:
			parts = append(parts, "nested KVM")
		default:
			parts = append(parts, "nested software KVM")
		}
	}
	var u unix.Utsname
	if err := unix.Uname(&u); err == nil {
		release := strings.SplitN(unix.ByteSliceToString(u.Release[:]), ".", 3)
		parts = append(parts, "Linux "+strings.Join(release[:min(2, len(release))], "."))
	}
	return strings.Join(append(parts, disk(dir)), ", ")
}

func disk(dir string) string {
	var fs unix.Statfs_t
	var st unix.Stat_t
	if unix.Statfs(dir, &fs) != nil || unix.Stat(dir, &st) != nil {
		return "file system unknown"
	}
	name := map[int64]string{0xef53: "ext4", 0x9123683e: "btrfs", 0x58465342: "xfs", 0x01021994: "tmpfs (nothing here is durable)"}[int64(fs.Type)]
	if name == "" {
		name = fmt.Sprintf("file system %#x", fs.Type)
	}
	b, err := os.Readlink(fmt.Sprintf("/sys/dev/block/%d:%d", unix.Major(st.Dev), unix.Minor(st.Dev)))
	if err == nil {
		for _, kind := range []string{"virtio", "nvme", "ata"} {
			if strings.Contains(b, kind) {
				return name + " on " + kind
			}
		}
	}
	return name
}

// commit is the short hash of the tree that is measured.
func commit() string {
	b, err := exec.Command("git", "describe", "--always", "--dirty").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(b))
}

// others measures how busy the machine is with what does not belong to the bench.
type others struct {
	began          time.Time
	busy, idle, by float64 // seconds; by is this process and its children
}

func newOthers() *others {
	busy, idle := processorTime()
	return &others{time.Now(), busy, idle, ownTime()}
}

// share is from 0 to 1. Children that have not ended yet count as others.
func (o *others) share() float64 {
	busy, idle := processorTime()
	all := busy + idle - o.busy - o.idle
	if all <= 0 {
		return 0
	}
	return min(1, max(0, (busy-o.busy-(ownTime()-o.by))/all))
}

// processorTime is the seconds that all processors were busy and idle since the machine was started.
func processorTime() (busy, idle float64) {
	b, _ := os.ReadFile("/proc/stat") //nolint:errcheck // then nothing is known
	first, _, _ := strings.Cut(string(b), "\n")
	for i, f := range strings.Fields(first) {
		n, err := strconv.ParseFloat(f, 64)
		switch {
		case err != nil || i > 8: // guests' time is in user time already
		case i == 4 || i == 5: // idle, waiting for I/O
			idle += n / 100
		default:
			busy += n / 100
		}
	}
	return busy, idle
}

func ownTime() (seconds float64) {
	for _, who := range []int{unix.RUSAGE_SELF, unix.RUSAGE_CHILDREN} {
		var u unix.Rusage
		if unix.Getrusage(who, &u) == nil {
			seconds += float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
		}
	}
	return seconds
}
