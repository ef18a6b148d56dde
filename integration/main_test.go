package integration

import (
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hoster-ha/hoster-ha/demo/vm"
	"github.com/hoster-ha/hoster-ha/integration/servers"
)

// binary is the program, built once a run, and guardedBinary the same but for what its
// watchdog does in place of a reset.
var binary, guardedBinary string

// rootName is what every folder of demonstration VMs is called, so that the
// janitor finds them.
const rootName = "hosts"

func TestMain(m *testing.M) {
	if dir := os.Getenv(janitorEnv); dir != "" {
		janitor(dir)
		return
	}
	os.Exit(run(m))
}

func run(m *testing.M) (code int) {
	dir, err := os.MkdirTemp("", "hoster-ha-integration-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	clean, err := hireJanitor(dir)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer clean()
	// The tests' own temporary folders lie in it too.
	if err := os.Setenv("TMPDIR", dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	binary, guardedBinary = filepath.Join(dir, "hoster-ha"), filepath.Join(dir, "guarded")
	for _, name := range []string{"hoster-ha", "hoster-ha/integration/guarded"} {
		build := exec.CommandContext(context.Background(), "go", "build", "-trimpath", "-buildvcs=false",
			"-o", dir, "github.com/hoster-ha/"+name)
		build.Env = append(os.Environ(), "CGO_ENABLED=0")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
			return 1
		}
	}
	go launches()
	servers.VerifyMain(m,
		goleak.IgnoreTopFunction("github.com/hoster-ha/hoster-ha/integration.launches"), // it lives as long as we do
		goleak.Cleanup(func(c int) { code = c }))
	return code
}

// janitorEnv makes the test binary the janitor of a folder.
const janitorEnv = "INTEGRATION_JANITOR"

// hireJanitor starts a process of its own session that cleans the folder up as
// soon as this process has ended, in whatever way: it reads a pipe that then
// breaks. The function returned breaks it and waits.
func hireJanitor(dir string) (clean func(), err error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(context.Background(), exe)
	cmd.Env = append(os.Environ(), janitorEnv+"="+dir, "GORACE=atexit_sleep_ms=0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	pipe, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return func() {
		_ = pipe.Close()
		_ = cmd.Wait()
	}, nil
}

// janitors undo what tests leave besides VMs and files, below a folder.
var janitors []func(dir string)

// janitor ends the VMs that are left, and removes the folder.
func janitor(dir string) {
	_, _ = io.Copy(io.Discard, os.Stdin)
	roots, _ := filepath.Glob(filepath.Join(dir, "*", "*", rootName))
	for _, root := range roots {
		_ = vm.EndAll(root)
	}
	for _, undo := range janitors {
		undo(dir)
	}
	removeAll(dir)
}

// removeAll removes a folder into which a process that is just ending may
// still write.
func removeAll(dir string) {
	poll(10*time.Second, 50*time.Millisecond, func() bool { return os.RemoveAll(dir) == nil })
}

// poll asks until the answer is yes; false if it never was within the bound.
func poll(bound, every time.Duration, yes func() bool) bool {
	end := time.NewTimer(bound)
	defer end.Stop()
	tick := time.NewTicker(every)
	defer tick.Stop()
	for !yes() {
		select {
		case <-tick.C:
		case <-end.C:
			return yes()
		}
	}
	return true
}
