package integration

import (
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// usage is what the kernel accounts to a process.
type usage struct {
	state    string
	own      time.Duration // processor time of the process
	children time.Duration // of its children that have ended
}

// tick is the kernel's unit of processor time in /proc, on every Linux.
const tick = 10 * time.Millisecond

// stat reads /proc/PID/stat; an error where there is none.
func stat(pid int) (usage, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return usage{}, err
	}
	// The name, in brackets, may hold anything.
	_, rest, _ := strings.Cut(string(data[strings.LastIndexByte(string(data), ')')+1:]), " ")
	f := strings.Fields(rest)
	if len(f) < 15 {
		return usage{}, fmt.Errorf("stat of %d: %q", pid, data)
	}
	ticks := func(i int) time.Duration {
		n, _ := strconv.ParseInt(f[i], 10, 64)
		return time.Duration(n) * tick
	}
	return usage{state: f[0], own: ticks(11) + ticks(12), children: ticks(13) + ticks(14)}, nil
}

// resident is VmRSS, in bytes.
func resident(pid int) (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for text := range strings.Lines(string(data)) {
		if kb, ok := strings.CutPrefix(text, "VmRSS:"); ok {
			n, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(strings.TrimSpace(kb), "kB")), 10, 64)
			return n << 10, err
		}
	}
	return 0, fmt.Errorf("no VmRSS of %d", pid)
}
