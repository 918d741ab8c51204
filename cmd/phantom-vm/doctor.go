package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"sort"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"phantomvm/cmd/phantom-vm/internal/monitor"
	"phantomvm/hypervisor/tender"
	"phantomvm/persist/filedev"
)

// finding is one line of doctor's report.
type finding struct {
	What   string `json:"what"`
	OK     bool   `json:"ok"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

func newDoctor() *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Report what this machine offers, and a remedy for each thing missing",
		Long: `Doctor checks /dev/kvm, memory, the flush of the disk under the working directory
and the Go toolchain. It exits with 0 if programs can be compiled and run in some way.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			fs := []finding{checkKVM(), checkKernel(), checkMemory(), checkFlush(), checkGo()}
			if asJSON {
				e := json.NewEncoder(cmd.OutOrStdout())
				e.SetIndent("", "  ")
				return e.Encode(fs)
			}
			for _, f := range fs {
				mark := "ok  "
				if !f.OK {
					mark = "WARN"
				}
				fmt.Fprintf(cmd.OutOrStdout(), "%s  %-10s %s\n", mark, f.What, f.Detail)
				if f.Remedy != "" {
					fmt.Fprintf(cmd.OutOrStdout(), "      %-10s %s\n", "", f.Remedy)
				}
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return cmd
}

func checkKVM() finding {
	if err := tender.Available(); err != nil {
		return finding{
			"kvm", false, err.Error(),
			"load the module kvm_intel or kvm_amd, and give yourself the group of /dev/kvm; until then --monitor process is used",
		}
	}
	return finding{"kvm", true, "/dev/kvm can be used", ""}
}

func checkKernel() finding {
	if err := monitor.KernelPresent(); err != nil {
		return finding{"unikernel", false, err.Error(), "build with `make build`"}
	}
	return finding{"unikernel", true, "built in", ""}
}

func checkMemory() finding {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return finding{"memory", false, err.Error(), ""}
	}
	for _, line := range strings.Split(string(b), "\n") {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "MemAvailable:" {
			continue
		}
		kib, err := strconv.Atoi(f[1])
		if err != nil {
			break
		}
		d := fmt.Sprintf("%d MiB available", kib>>10)
		if kib < 512<<10 {
			return finding{"memory", false, d, "a guest takes 256 MiB by default; --mem asks for less"}
		}
		return finding{"memory", true, d, ""}
	}
	return finding{"memory", false, "/proc/meminfo does not say", ""}
}

// checkFlush times small durable writes in the working directory.
func checkFlush() finding {
	f, err := os.CreateTemp(".", ".phantom-doctor-")
	if err != nil {
		return finding{"disk", false, err.Error(), "run where files can be made"}
	}
	path := f.Name()
	f.Close()
	defer os.Remove(path)
	if err := os.Remove(path); err != nil {
		return finding{"disk", false, err.Error(), ""}
	}
	dev, err := filedev.Create(path, 1<<20)
	if err != nil {
		return finding{"disk", false, err.Error(), ""}
	}
	defer dev.Close()
	var took []time.Duration
	buf := make([]byte, 4096)
	for i := range 21 {
		t := time.Now()
		if _, err := dev.WriteAt(buf, int64(i)*4096); err != nil {
			return finding{"disk", false, err.Error(), ""}
		}
		if err := dev.Flush(); err != nil {
			return finding{"disk", false, err.Error(), "this file system can't make writes durable"}
		}
		took = append(took, time.Since(t))
	}
	sort.Slice(took, func(i, j int) bool { return took[i] < took[j] })
	median := took[len(took)/2]
	wd, _ := filepath.Abs(".")
	d := fmt.Sprintf("a durable 4 KiB write takes %v in %s", median.Round(time.Microsecond), wd)
	if median > 10*time.Millisecond {
		return finding{"disk", false, d, "checkpoints every 10 ms need a faster disk; a larger --checkpoint costs latency of output only"}
	}
	return finding{"disk", true, d, ""}
}

func checkGo() finding {
	out, err := exec.Command("go", "env", "GOVERSION").Output()
	if err != nil {
		return finding{"go", false, "no go command: " + err.Error(), "programs are compiled with the library of Go 1.26; modules built before run without it"}
	}
	v := strings.TrimSpace(string(out))
	if !strings.HasPrefix(v, "go1.26") {
		return finding{"go", false, v, "install Go 1.26: its library is what programs are compiled with"}
	}
	return finding{"go", true, fmt.Sprintf("%s (this command: %s)", v, runtime.Version()), ""}
}
