// Command guarded is the program for the integration tests, with one difference: where
// its watchdog would reset the host, it ends what a reset would have ended, and writes
// down when. Nothing of it can reboot the machine that it runs on.
package main

import (
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hoster-ha/hoster-ha/cli"
	"github.com/hoster-ha/hoster-ha/demo/vm"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// The environment that the harness gives: the hosts' folder, this host's name, the files
// of its resets and of its daemon's process id, and the harness's own process id.
const (
	envRoot   = "GUARDED_ROOT"
	envHost   = "GUARDED_HOST"
	envResets = "GUARDED_RESETS"
	envPid    = "GUARDED_PID"
	envBy     = "GUARDED_BY"
)

func main() {
	if by, err := strconv.Atoi(os.Getenv(envBy)); err == nil {
		go outlives(by)
	}
	os.Exit(cli.MainWithReset(context.Background(), os.Args[1:], os.Stdout, os.Stderr, reset))
}

// outlives ends this process when the harness has gone: a watchdog is nobody's child.
func outlives(by int) {
	for range time.Tick(time.Second) {
		if unix.Kill(by, 0) != nil {
			os.Exit(0)
		}
	}
}

// reset ends the daemon and the VMs of this host, and then itself.
func reset() {
	line := fmt.Sprintln(int64(boottime.Now()))
	if f, err := os.OpenFile(os.Getenv(envResets), os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600); err == nil {
		_, _ = f.WriteString(line)
		_ = f.Close()
	}
	if data, err := os.ReadFile(os.Getenv(envPid)); err == nil {
		if pid, err := strconv.Atoi(strings.TrimSpace(string(data))); err == nil && pid > 1 {
			_ = unix.Kill(pid, syscall.SIGKILL)
		}
	}
	if h, err := vm.NewHost(os.Getenv(envRoot), os.Getenv(envHost)); err == nil {
		states, _ := h.List()
		for _, s := range states {
			_ = h.Kill(context.Background(), s.Name)
		}
	}
	_ = unix.Kill(os.Getpid(), syscall.SIGKILL)
}
