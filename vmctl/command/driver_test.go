package command

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
	"github.com/hoster-ha/hoster-ha/vmctl/run"
)

// script is a command that runs a shell script of the test's. It is read by the
// shell and not executed itself: another test's fork may still have it open.
func script(t *testing.T, text string, args ...string) []string {
	t.Helper()
	f, err := os.CreateTemp(t.TempDir(), "*.sh")
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	return append([]string{"/bin/sh", f.Name()}, args...)
}

// with fills in what a test leaves out, by commands that must not run.
func with(t *testing.T, c DriverConfig) vmctl.Driver {
	t.Helper()
	never := []string{"/nowhere/never"}
	c.Kind = Kind
	for _, args := range []*[]string{&c.List, &c.Start, &c.Stop} {
		if len(*args) == 0 {
			*args = never
		}
	}
	d, err := NewDriver(c, Host{Node: "a", BootID: "boot-1", DeadlineFile: filepath.Join(t.TempDir(), "deadline")})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

type journal struct{}

func (journal) Issued(string, uint64) error         { return nil }
func (journal) Resolved(string, uint64, bool) error { return nil }
func (journal) Prepared(string, uint64) error       { return nil }
func (journal) IsPrepared(string, uint64) bool      { return false }

// start starts a VM the one way there is: through a gate that is open.
func start(ctx context.Context, d vmctl.Driver, p vmctl.Provider, vm string) error {
	facts := vmctl.Facts{
		Host: "a", Now: time.Second, LeaseUntil: time.Hour, TailRead: time.Second, Renew: time.Minute, Incarnation: "i",
		Closed: func(string) uint64 { return 0 },
		State: &ledger.State{
			Armed:   true,
			Members: map[string]ledger.Member{"a": {Admitted: "i"}},
			VMs:     map[string]ledger.VM{vm: {Owner: "a", Generation: 7, Restore: p != nil, Snapshot: "g-1"}},
		},
	}
	return vmctl.NewGate(d, p, func() vmctl.Facts { return facts }, journal{}).Start(ctx, vm)
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	t.Cleanup(cancel)
	return ctx
}

func exists(path string) bool { _, err := os.Stat(path); return err == nil }

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	over := time.After(10 * time.Second)
	for !ok() {
		select {
		case <-tick.C:
		case <-over:
			t.Fatalf("%s: not in 10 s", what)
		}
	}
}

func TestList(t *testing.T) {
	t.Parallel()
	d := with(t, DriverConfig{
		List:           script(t, "echo web running; echo good; echo down; echo hung; echo killed; echo dunno; echo missing"),
		Monitor:        script(t, `case $1 in good) exit 0;; hung) exec sleep 60;; killed) kill -9 $$;; dunno) exit 4;; missing) nowhere-at-all;; *) exit 1;; esac`, "{vm}"),
		MonitorTimeout: 1500 * time.Millisecond,
	})
	vms, err := d.List(t.Context())
	want := []vmctl.VM{
		{Name: "web", State: record.VMRunning},
		{Name: "good", State: record.VMRunning},
		{Name: "down", State: record.VMStopped},
		{Name: "hung", State: record.VMUnknown},
		{Name: "killed", State: record.VMUnknown},
		{Name: "dunno", State: record.VMUnknown},
		{Name: "missing", State: record.VMUnknown},
	}
	if err != nil || !slices.Equal(vms, want) {
		t.Fatalf("%v %v", vms, err)
	}
	if d.Healthy(t.Context(), "good") != nil || d.Healthy(t.Context(), "killed") == nil || d.Healthy(t.Context(), "down") == nil || d.Healthy(t.Context(), "hung") == nil {
		t.Error("health")
	}
	if d.Healthy(t.Context(), "a;b") == nil {
		t.Error("a bad name is healthy")
	}
	d = with(t, DriverConfig{List: script(t, "echo web")})
	if vms, err = d.List(t.Context()); err != nil || vms[0].State != record.VMUnknown {
		t.Errorf("without a monitor: %v %v", vms, err)
	}
	if err := d.Healthy(t.Context(), "web"); err != nil {
		t.Errorf("without a monitor: %v", err)
	}
}

// Whatever goes wrong is an error, and never an empty or a shorter list.
func TestListFails(t *testing.T) {
	t.Parallel()
	pwned := filepath.Join(t.TempDir(), "pwned")
	for name, text := range map[string]string{
		"exit code":  "echo web running; exit 1",
		"signal":     "echo web running; kill -9 $$",
		"hang":       "echo web running; exec sleep 60",
		"flood":      "while :; do echo web running; done | head -c 10485760; exit 0",
		"bad line":   "echo web running; echo 'a;touch " + pwned + "'",
		"still open": "echo web running; (sleep 3; echo db running) &",
	} {
		d := with(t, DriverConfig{List: script(t, text), ListTimeout: time.Second})
		if vms, err := d.List(t.Context()); err == nil || vms != nil {
			t.Errorf("%s: %v %v", name, vms, err)
		} else if strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %q", name, err)
		}
	}
	if exists(pwned) {
		t.Error("a shell read a name")
	}
}

func TestStartSees(t *testing.T) {
	t.Setenv("HOSTER_HA_TOKEN", "secret")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	out := filepath.Join(t.TempDir(), "o u t")
	d := with(t, DriverConfig{
		Start:    script(t, `out=$1; shift; { printf '%s|' "$@"; pwd; env | grep -e ^HOSTER_HA -e ^AWS | sort; } >"$out"`, out, "a b {vm}", "{vm}{generation}", "$HOME;{other}", ""),
		SelfStop: true,
	})
	if err := start(t.Context(), d, nil, "web"); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(out)
	file := d.(*selfStopping).path
	want := "a b web|web7|$HOME;{other}||/\nHOSTER_HA_BOOT_ID=boot-1\nHOSTER_HA_DEADLINE_FILE=" + file + "\nHOSTER_HA_GENERATION=7\nHOSTER_HA_NODE=a\nHOSTER_HA_VM=web\n"
	if err != nil || string(b) != want {
		t.Fatalf("%q %v", b, err)
	}
}

func TestStartOutcomes(t *testing.T) {
	t.Parallel()
	left := filepath.Join(t.TempDir(), "left")
	for _, row := range []struct {
		name, text string
		unresolved bool
		says       string
	}{
		{"fails", "echo 'no memory' >&2; exit 3", false, "no memory"},
		{"signal", "kill -9 $$", true, "signal"},
		{"shell tells of a signal", "exit 137", true, "exit 137"},
		{"deadline", "exec sleep 60", true, "deadline"},
		{"deadline and then 0", "trap 'exit 0' TERM; while :; do sleep 0.05; done", true, "deadline"},
		{"fails and leaves a process", `sleep 60 >/dev/null 2>&1 & echo $! >` + left + `; exit 1`, true, "exit 1"},
	} {
		d := with(t, DriverConfig{Start: script(t, row.text), StartTimeout: time.Second})
		err := start(t.Context(), d, nil, "web")
		if err == nil || errors.Is(err, vmctl.ErrUnresolved) != row.unresolved || !strings.Contains(err.Error(), row.says) {
			t.Errorf("%s: %v", row.name, err)
		}
		var failed *run.Error
		if !errors.As(err, &failed) {
			t.Errorf("%s: the cause is lost", row.name)
		}
	}
	syscall.Kill(pidFrom(t, left), syscall.SIGKILL)

	if err := start(t.Context(), with(t, DriverConfig{}), nil, "web"); err == nil || errors.Is(err, vmctl.ErrUnresolved) {
		t.Errorf("not started: %v", err)
	}
	ready := filepath.Join(t.TempDir(), "ready")
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		defer cancel()
		eventually(t, "start", func() bool { return exists(ready) })
	}()
	d := with(t, DriverConfig{Start: script(t, `: >"$1"; exec sleep 60`, ready)})
	if err := start(ctx, d, nil, "web"); !errors.Is(err, vmctl.ErrUnresolved) || !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if err := start(t.Context(), with(t, DriverConfig{Start: []string{"/bin/true"}}), nil, "-rf"); err == nil {
		t.Error("a bad name was started")
	}
}

func pidFrom(t *testing.T, path string) int {
	t.Helper()
	pid := 0
	eventually(t, path, func() bool {
		b, _ := os.ReadFile(path)
		text, whole := strings.CutSuffix(string(b), "\n")
		for _, c := range text {
			pid = pid*10 + int(c-'0')
		}
		return whole
	})
	return pid
}

// A VM that is left behind with the start's output open lives on.
func TestStartDaemonises(t *testing.T) {
	t.Parallel()
	pid := filepath.Join(t.TempDir(), "pid")
	d := with(t, DriverConfig{Start: script(t, `sh -c 'echo $$ >"$1"; exec sleep 60' sh "$1" & exit 0`, pid)})
	began := time.Now()
	if err := start(t.Context(), d, nil, "web"); err != nil || time.Since(began) > 5*time.Second {
		t.Fatalf("%v after %v", err, time.Since(began))
	}
	if n := pidFrom(t, pid); syscall.Kill(n, 0) != nil {
		t.Error("the VM was ended")
	} else {
		syscall.Kill(n, syscall.SIGKILL)
	}
}

// vm is a pretended VM: it runs while the file is there.
func vmList(t *testing.T, file string) []string {
	return script(t, `if test -e "$1"; then echo web running; else echo web stopped; fi`, file)
}

func TestStop(t *testing.T) {
	t.Parallel()
	for name, text := range map[string]string{
		"plain":                          `rm -f "$1"`,
		"exit code is not believed":      `rm -f "$1"; exit 9`,
		"later":                          `(sleep 0.4; rm -f "$1") & exit 0`,
		"hangs afterwards, ignores TERM": `rm -f "$1"; trap '' TERM; while :; do sleep 0.1; done`,
		"fails at first":                 `if test -e "$1.once"; then rm -f "$1"; else : >"$1.once"; exit 1; fi`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "up")
			if err := os.WriteFile(file, nil, 0o600); err != nil {
				t.Fatal(err)
			}
			d := with(t, DriverConfig{List: vmList(t, file), Stop: script(t, text, file), StopTimeout: time.Second})
			for range 2 { // and again when it has stopped
				if err := d.Stop(within(t, 20*time.Second), "web"); err != nil {
					t.Fatal(err)
				}
				if exists(file) {
					t.Fatal("it runs")
				}
			}
		})
	}
}

func TestStopDoesNotBelieve(t *testing.T) {
	t.Parallel()
	for name, list := range map[string]string{
		"runs on":    "echo web running",
		"unknown":    "echo web unknown",
		"not listed": "echo db stopped",
		"no listing": "exit 1",
	} {
		d := with(t, DriverConfig{List: script(t, list), Stop: []string{"/bin/true"}})
		if err := d.Stop(within(t, 600*time.Millisecond), "web"); !errors.Is(err, context.DeadlineExceeded) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if err := with(t, DriverConfig{}).Stop(t.Context(), "../web"); err == nil {
		t.Error("a bad name was stopped")
	}
}

func TestKill(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "up")
	c := DriverConfig{List: vmList(t, file), Stop: []string{"/bin/true"}, Kill: script(t, `rm -f "$1"`, file)}
	// Without a kill command the stop command is repeated, though it says 0.
	twice := DriverConfig{List: vmList(t, file), Stop: script(t, `if test -e "$1.once"; then rm -f "$1"; else : >"$1.once"; fi`, file)}
	for _, c := range []DriverConfig{c, twice} {
		if err := os.WriteFile(file, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := with(t, c).Kill(within(t, 20*time.Second), "web"); err != nil || exists(file) {
			t.Fatal(err)
		}
	}
}

func TestSelfStop(t *testing.T) {
	if _, ok := with(t, DriverConfig{}).(vmctl.SelfStopper); ok {
		t.Fatal("self-stopping without saying so")
	}
	d := with(t, DriverConfig{SelfStop: true})
	s := d.(vmctl.SelfStopper)
	path := d.(*selfStopping).path
	if got, err := s.Deadline(); got != 0 || err != nil {
		t.Fatalf("at first: %v %v", got, err)
	}
	for _, want := range []time.Duration{time.Hour, vmctl.NoDeadline} {
		if err := s.HandDeadline(want); err != nil {
			t.Fatal(err)
		}
		if got, err := s.Deadline(); got != want || err != nil {
			t.Fatalf("%v %v", got, err)
		}
	}
	if err := os.Truncate(path, 20); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Deadline(); !errors.Is(err, deadline.ErrMalformed) {
		t.Fatalf("torn: %v", err)
	}
	if err := s.HandDeadline(time.Hour); err != nil {
		t.Fatal(err)
	}
	for _, h := range []Host{{Node: "a", DeadlineFile: path}, {Node: "a", BootID: "b"}, {Node: "a", BootID: "b", DeadlineFile: t.TempDir()}} {
		c := DriverConfig{Kind: Kind, List: []string{"/x"}, Start: []string{"/x"}, Stop: []string{"/x"}, SelfStop: true}
		if d, err := NewDriver(c, h); err == nil || d != nil {
			t.Errorf("%+v: %v", h, d)
		}
	}
}
