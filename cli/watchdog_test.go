package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"
	"github.com/spf13/pflag"

	"github.com/hoster-ha/hoster-ha/config"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/node"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// watchdogEnv makes this test's program the command line, with a reset that is written
// into the file that it names.
const watchdogEnv = "CLI_TEST_WATCHDOG"

// versionEnv makes it one of another version.
const versionEnv = "CLI_TEST_VERSION"

func guarding(record string) int {
	if v := os.Getenv(versionEnv); v != "" {
		Version = v
	}
	return MainWithReset(context.Background(), os.Args[1:], os.Stdout, os.Stderr, func() {
		_ = os.WriteFile(record, fmt.Append(nil, int64(boottime.Now())), 0o600)
	})
}

// guardian is such a process.
type guardian struct {
	t      *testing.T
	cmd    *exec.Cmd
	record string
	stderr bytes.Buffer
	done   chan struct{}
}

func guard(t *testing.T, args ...string) *guardian {
	t.Helper()
	return guardAs(t, Version, args...)
}

func guardAs(t *testing.T, version string, args ...string) *guardian {
	t.Helper()
	g := &guardian{t: t, record: filepath.Join(t.TempDir(), "reset"), done: make(chan struct{})}
	g.cmd = exec.CommandContext(context.Background(), os.Args[0], append([]string{"watchdog"}, args...)...)
	g.cmd.Env = append(os.Environ(), watchdogEnv+"="+g.record, versionEnv+"="+version, "GORACE=atexit_sleep_ms=0")
	g.cmd.Stderr = &g.stderr
	must(t, g.cmd.Start())
	go func() {
		defer close(g.done)
		_ = g.cmd.Wait() // how it ends is seen by the test
	}()
	t.Cleanup(func() {
		_ = g.cmd.Process.Kill()
		<-g.done
	})
	return g
}

func (g *guardian) until(what string, yes func() bool) {
	g.t.Helper()
	end := time.NewTimer(30 * time.Second)
	defer end.Stop()
	for !yes() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-end.C:
			g.t.Fatalf("it did not come: %s", what)
		}
	}
}

func (g *guardian) dial(socket string) *watchdog.Client {
	g.t.Helper()
	var c *watchdog.Client
	g.until("an answer at "+socket, func() (ok bool) {
		var err error
		c, err = watchdog.Dial(g.t.Context(), socket)
		return err == nil
	})
	g.t.Cleanup(func() { _ = c.Close() })
	return c
}

// The command guards as it was told, and says of itself what it is.
func TestWatchdogCommand(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	g := guard(t, "--state-dir", state)
	c := g.dial(filepath.Join(state, "watchdog.sock"))
	deadline := boottime.Now() + 5*time.Second
	s, err := c.Extend(deadline, time.Second, "i1")
	must(t, err)
	if !s.Armed || s.Device != nil || s.PID != g.cmd.Process.Pid || s.Version != Version || s.Action != watchdog.ActionReboot {
		t.Errorf("%+v", s)
	}
	// The same command line goes on in another program.
	k := watchdog.NewKeeper(watchdog.KeeperConfig{Socket: filepath.Join(state, "watchdog.sock")})
	defer k.Close()
	if s, err = k.Upgrade(os.Args[0]); err != nil || s.PID != g.cmd.Process.Pid || s.Replaced != 1 || s.Deadline != deadline {
		t.Errorf("%+v, %v", s, err)
	}
	must(t, g.cmd.Process.Signal(syscall.SIGTERM))
	var at time.Duration
	g.until("the reset", func() bool {
		data, _ := os.ReadFile(g.record)
		n, _ := fmt.Sscan(string(data), (*int64)(&at))
		return n == 1
	})
	if at < deadline {
		t.Errorf("reset %s before the deadline", deadline-at)
	}
}

// Where the action is to log nothing is done; and a second one finds the place taken.
func TestWatchdogThatLogs(t *testing.T) {
	t.Parallel()
	state := t.TempDir()
	socket := filepath.Join(state, "s")
	g := guard(t, "--state-dir", state, "--socket", socket, "--device", "none", "--fence-action", "log")
	c := g.dial(socket)
	_, err := c.Extend(boottime.Now()+100*time.Millisecond, time.Second, "i1")
	must(t, err)
	g.until("the deadline has passed", func() bool {
		s, err := c.State()
		return err == nil && s.Passed && s.Action == watchdog.ActionLog
	})
	second := guard(t, "--state-dir", state, "--socket", socket)
	<-second.done
	if code := second.cmd.ProcessState.ExitCode(); code != ExitName || !strings.Contains(second.stderr.String(), "another watchdog runs already") {
		t.Errorf("exit %d: %s", code, second.stderr.String())
	}
	g.until("it is told", func() bool {
		f, err := watchdog.ReadFence(filepath.Join(state, fenceFile))
		return err == nil && f.Passed && f.By == "i1"
	})
	_, err = c.Acknowledge()
	must(t, err)
	must(t, g.cmd.Process.Signal(syscall.SIGTERM))
	<-g.done
	if code := g.cmd.ProcessState.ExitCode(); code != ExitOK {
		t.Errorf("exit %d: %s", code, g.stderr.String())
	}
	if _, err := os.Stat(g.record); err == nil {
		t.Error("it has reset the host")
	}
}

// The command reads the daemon's settings: what these say of the watchdog holds without a
// flag of its own, which goes before them.
func TestWatchdogReadsTheSettings(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "settings.yaml")
	must(t, os.WriteFile(file, []byte("watchdog: process\nfence-action: log\n"), 0o600))
	for want, args := range map[string][]string{watchdog.ActionLog: nil, watchdog.ActionReboot: {"--fence-action", node.FenceReboot}} {
		state := t.TempDir()
		g := guard(t, append(args, "--state-dir", state, "--config", file)...)
		if s, err := g.dial(filepath.Join(state, socketFile)).State(); err != nil || s.Action != want {
			t.Errorf("%q: %+v, %v", args, s, err)
		}
	}
	h := host{first: "/dev/first"}
	for setting, want := range map[string]string{
		config.WatchdogAuto: deviceAuto, config.WatchdogOff: deviceNone, config.WatchdogProcess: deviceNone,
		config.WatchdogDevice: h.first, config.WatchdogRequired: h.first, "/dev/second": "/dev/second",
	} {
		if device := h.deviceOf(setting); device != want {
			t.Errorf("--watchdog %s: %q", setting, device)
		}
	}
}

// Bad input is one line, and nothing is begun.
func TestWatchdogUsage(t *testing.T) {
	dir := t.TempDir()
	for text, args := range map[string][]string{
		`--fence-action "x"`:           {"--fence-action", "x"},
		`--device "watchdog0"`:         {"--device", "watchdog0"},
		"no device may be opened":      {"--device", "/dev/watchdog0"},
		"unexpected argument":          {"now"},
		"unknown flag":                 {"--reset"},
		"characters at most":           {"--socket", filepath.Join(dir, strings.Repeat("x", 120))},
		"may not be guarded from here": nil,
	} {
		var out bytes.Buffer
		a := &app{stdout: &out, stderr: &out, host: func() host {
			return host{reset: func() (func(), string) { return func() { t.Error("the host was reset") }, "" }}
		}}
		want := ExitUsage
		if args == nil || args[0] == "--socket" {
			want = ExitFailed
		}
		if args == nil {
			a.host = nil
		}
		code := a.main(t.Context(), append([]string{"watchdog", "--state-dir", dir}, args...))
		if code != want || !strings.Contains(out.String(), text) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("%q: exit %d: %s", args, code, out.String())
		}
	}
	if left, _ := os.ReadDir(dir); len(left) > 0 {
		t.Errorf("%v", left)
	}
}

// What is asked for as the device is what is opened; nothing that is missing is opened,
// and where any would do the host is guarded without.
func TestWatchdogDevices(t *testing.T) {
	const file = os.DevNull // a device, which nothing here opens
	var opened []string
	fails := errors.New("busy")
	h := host{device: func(path string, _ time.Duration) (watchdog.Device, error) {
		opened = append(opened, path)
		return nil, fails
	}}
	log := zerolog.New(io.Discard)
	open, err := h.opens(file, log)
	must(t, err)
	if _, err := open(time.Second); !errors.Is(err, fails) || len(opened) != 1 || opened[0] != file {
		t.Errorf("%v, %q", err, opened)
	}
	if _, err := h.opens(file+"0", log); err == nil {
		t.Error("a device that is not there was taken")
	}
	if open, err := h.opens(deviceNone, log); open != nil || err != nil {
		t.Errorf("none: %v", err)
	}
	if open, err := (host{device: h.device, first: file}).opens(deviceAuto, log); err != nil {
		t.Error(err)
	} else if d, err := open(time.Second); d != nil || err != nil || len(opened) != 2 || opened[1] != file {
		t.Errorf("any: %v, %q", err, opened)
	}
	if open, err := (host{device: h.device, first: file + "0"}).opens(deviceAuto, log); open != nil || err != nil {
		t.Errorf("any, and there is none: %v", err)
	}
}

// Each flag of the command is described, and none that it does not have.
func TestWatchdogIsDocumented(t *testing.T) {
	text, err := os.ReadFile("../docs/commands.md")
	must(t, err)
	_, section, found := strings.Cut(string(text), "\n## watchdog\n")
	if !found {
		t.Fatal("there is no such section")
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var described, flags []string
	for _, m := range regexp.MustCompile("`--([a-z-]+) [^`]*`").FindAllStringSubmatch(section, -1) {
		described = append(described, m[1])
	}
	watchdogCommand(&app{}).LocalFlags().VisitAll(func(f *pflag.Flag) { flags = append(flags, f.Name) })
	slices.Sort(described)
	if !slices.Equal(described, flags) {
		t.Errorf("%q are described, it has %q", described, flags)
	}
}
