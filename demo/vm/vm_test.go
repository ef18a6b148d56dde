package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/hoster-ha/hoster-ha/demo/check"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/vmctl"
	"github.com/hoster-ha/hoster-ha/vmctl/deadline"
)

// asProgram makes the test binary the program.
const asProgram = "DEMO_VM_TEST_AS_PROGRAM"

const testBoot = "test-boot"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" && len(os.Args) > 1 && os.Args[1] == Command {
		os.Exit(Main(context.Background(), os.Args[2:], os.Stdout, os.Stderr))
	}
	goleak.VerifyTestMain(m)
}

// lab is a root with hosts, all of whose processes end with the test.
type lab struct {
	t        *testing.T
	root     string
	deadline string
}

func newLab(t *testing.T, hosts ...string) *lab {
	t.Helper()
	l := &lab{t: t, root: t.TempDir(), deadline: filepath.Join(t.TempDir(), "deadline")}
	t.Cleanup(func() {
		if err := EndAll(l.root); err != nil {
			t.Error(err)
		}
	})
	for _, h := range hosts {
		l.must(h, "create")
	}
	l.hand(vmctl.NoDeadline)
	return l
}

func (l *lab) hand(d time.Duration) {
	l.t.Helper()
	if err := deadline.WriteDeadline(l.deadline, testBoot, d); err != nil {
		l.t.Fatal(err)
	}
}

func (l *lab) command(host string, args ...string) *exec.Cmd {
	exe, err := os.Executable()
	if err != nil {
		l.t.Fatal(err)
	}
	cmd := exec.CommandContext(l.t.Context(), exe, append([]string{Command, "--root", l.root, "--host", host}, args...)...)
	// A program under the race detector waits a second before it exits.
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", asProgram+"=1", EnvDeadline+"="+l.deadline, EnvBootID+"="+testBoot, EnvGeneration+"=7")
	return cmd
}

func (l *lab) do(host string, args ...string) (string, error) {
	var out, errs bytes.Buffer
	cmd := l.command(host, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, errs.String())
	}
	return out.String(), nil
}

func (l *lab) must(host string, args ...string) string {
	l.t.Helper()
	out, err := l.do(host, args...)
	if err != nil {
		l.t.Fatalf("%s %v: %v", host, args, err)
	}
	return out
}

func (l *lab) refused(why, host string, args ...string) {
	l.t.Helper()
	if _, err := l.do(host, args...); err == nil || !strings.Contains(err.Error(), why) {
		l.t.Fatalf("%s %v: %v, want an error with %q", host, args, err, why)
	}
}

// await asks until yes; a host that is slow gets its time.
func (l *lab) await(what string, ask func() bool) {
	l.t.Helper()
	ctx, cancel := context.WithTimeout(l.t.Context(), 10*time.Second)
	defer cancel()
	if poll(ctx, func() (bool, error) { return ask(), nil }) != nil {
		l.t.Fatalf("%s did not happen", what)
	}
}

func (l *lab) evidence(vm, kind string) []evidence {
	l.t.Helper()
	files, _ := filepath.Glob(filepath.Join(l.root, evidenceDir, vm, "*.jsonl"))
	var out []evidence
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			l.t.Fatal(err)
		}
		for line := range bytes.Lines(data) {
			var e evidence
			if err := json.Unmarshal(line, &e); err != nil {
				l.t.Fatal(err)
			}
			if e.Kind == kind {
				out = append(out, e)
			}
		}
	}
	return out
}

// guids are those that the host lists for the VM, oldest first.
func (l *lab) guids(host, vm string) []string {
	l.t.Helper()
	var out []string
	for line := range strings.Lines(l.must(host, "snapshots")) {
		if w := strings.Fields(line); w[0] == vm && len(w) == 3 {
			out = append(out, w[1])
		}
	}
	return out
}

func (l *lab) clean() {
	l.t.Helper()
	r, err := check.Check(l.root)
	if err != nil {
		l.t.Fatal(err)
	}
	if len(r.Violations) > 0 {
		l.t.Fatalf("violations: %v", r.Violations)
	}
}

func TestLife(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web", "db")
	l.must("a", "start", "web")
	if got := l.must("a", "list"); got != "db stopped\nweb running\n" {
		t.Fatalf("list: %q", got)
	}
	l.must("a", "start", "web") // it runs
	l.must("a", "monitor", "web")
	l.refused("does not run", "a", "monitor", "db")
	l.must("a", "stop", "web")
	if got := l.must("a", "list"); got != "db stopped\nweb stopped\n" {
		t.Fatalf("list: %q", got)
	}
	stops := l.evidence("web", seenStop)
	if len(stops) != 1 || stops[0].Reason != "asked to stop" || stops[0].Generation != 7 {
		t.Fatalf("stops: %+v", stops)
	}
	l.must("a", "start", "web")
	if starts := l.evidence("web", seenStart); len(starts) != 2 || max(starts[0].Counter, starts[1].Counter) != stops[0].Counter {
		t.Fatalf("starts %+v after a stop at %d", starts, stops[0].Counter)
	}
	l.must("a", "kill", "web")
	if n := len(l.evidence("web", seenStop)); n != 1 {
		t.Fatalf("%d stop records after a kill", n)
	}
	l.must("a", "stop", "web") // it has stopped
	l.refused("no own disk", "a", "start", "nosuch")
	l.refused("no name for a VM", "a", "start", "../web")
	l.refused("wrong usage", "a", "prepare", "web")
	l.clean()
}

func TestEndAllEndsTheRoot(t *testing.T) {
	l := newLab(t, "a", "b")
	l.must("a", "create", "web")
	l.must("a", "start", "web")
	repl := l.command("a", "replicate")
	if err := repl.Start(); err != nil {
		t.Fatal(err)
	}
	l.await("replication", func() bool { return len(l.guids("b", "web")) > 0 })
	l.must("b", "start", "--plant", "web")
	if err := EndAll(l.root); err != nil {
		t.Fatal(err)
	}
	if err := repl.Wait(); err == nil {
		t.Fatal("the replication ended by itself")
	}
	if got := l.must("a", "list"); got != "web stopped\n" {
		t.Fatalf("list: %q", got)
	}
	l.refused(errEnded.Error(), "a", "start", "web")
	l.refused(errEnded.Error(), "a", "replicate")
}

func TestStopsItselfWithNobodyElseAlive(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web", "db")
	limit := boottime.Now() + 1500*time.Millisecond
	l.hand(limit)
	// One is started by a caller that is gone, one has a parent that is stopped.
	l.must("a", "start", "web")
	parent := exec.CommandContext(t.Context(), "/bin/sh", "-c", `"$@" & wait`, "sh")
	direct := l.command("a", "run", "db")
	parent.Args, parent.Env = append(parent.Args, direct.Args...), direct.Env
	parent.Args[4] = direct.Path
	parent.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	l.await("start of db", func() bool { return len(l.evidence("db", seenStart)) == 1 })
	if err := parent.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, vm := range []string{"web", "db"} {
		l.await("end of "+vm, func() bool { return len(l.evidence(vm, seenStop)) == 1 })
		stop := l.evidence(vm, seenStop)[0]
		late := time.Duration(stop.Boot) - limit
		if stop.Reason != "its deadline has come" || late < 0 || late > time.Second {
			t.Errorf("%s: %q %s after the deadline", vm, stop.Reason, late)
		}
	}
	_ = parent.Process.Signal(syscall.SIGCONT)
	_ = parent.Wait()
	l.clean()
}

func TestDeadlineMovesWhileItRuns(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web")
	l.hand(boottime.Now() + time.Second)
	l.must("a", "start", "web")
	l.hand(vmctl.NoDeadline)
	first := l.evidence("web", seenStart)[0].Boot
	l.await("a beat after the first deadline", func() bool {
		beats := l.evidence("web", seenBeat)
		return len(beats) > 0 && time.Duration(beats[len(beats)-1].Boot-first) > 1100*time.Millisecond
	})
	if err := os.Remove(l.deadline); err != nil {
		t.Fatal(err)
	}
	l.must("a", "monitor", "web") // what was handed over last counts
	l.hand(boottime.Now())
	l.await("end", func() bool { return len(l.evidence("web", seenStop)) == 1 })
}

// A VM process that was itself stopped past the deadline does not count once
// more.
func TestFrozenPastDeadlineCountsNoMore(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web")
	l.must("a", "start", "web")
	lock := filepath.Join(l.root, "a", "vms", "web", "lock")
	if _, held, err := signalHolder(lock, syscall.SIGSTOP); err != nil || !held {
		t.Fatal(held, err)
	}
	before, err := readDisk("web", filepath.Join(l.root, "a", "vms", "web", "disk"))
	if err != nil {
		t.Fatal(err)
	}
	l.hand(boottime.Now())
	if _, _, err := signalHolder(lock, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	l.await("end", func() bool { return len(l.evidence("web", seenStop)) == 1 })
	// It can have been stopped between its look at the deadline and its count.
	if stop := l.evidence("web", seenStop)[0]; stop.Counter > before+1 {
		t.Fatalf("it counted from %d to %d", before, stop.Counter)
	}
}

func TestNoStartWithoutDeadline(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web")
	for name, c := range map[string]struct {
		write func() error
		why   string
	}{
		"none":       {func() error { return os.Remove(l.deadline) }, "no deadline of this boot"},
		"malformed":  {func() error { return os.WriteFile(l.deadline, []byte("soon\n"), 0o600) }, "malformed"},
		"other boot": {func() error { return deadline.WriteDeadline(l.deadline, "other", vmctl.NoDeadline) }, "no deadline of this boot"},
		"passed":     {func() error { return deadline.WriteDeadline(l.deadline, testBoot, boottime.Now()) }, "passed"},
	} {
		_ = os.Remove(l.deadline)
		l.hand(vmctl.NoDeadline)
		if err := c.write(); err != nil {
			t.Fatal(err)
		}
		t.Run(name, func(t *testing.T) { l.refused(c.why, "a", "start", "web") })
	}
	l.deadline = ""
	l.refused("names no deadline file", "a", "start", "web")
	if n := len(l.evidence("web", seenStart)); n != 0 {
		t.Fatalf("%d start records", n)
	}
}

// A start that was ended before its VM had begun takes no effect.
func TestStopsWhenNobodyWaitsForTheStart(t *testing.T) {
	l := newLab(t, "a")
	l.must("a", "create", "web")
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	run := l.command("a", "run", "web", "--ready")
	run.ExtraFiles = []*os.File{w}
	err = run.Start()
	_ = w.Close()
	if err != nil {
		t.Fatal(err)
	}
	_ = run.Wait()
	stops := l.evidence("web", seenStop)
	if len(stops) != 1 || stops[0].Reason != "nobody waits for the start any more" || stops[0].Counter != 0 {
		t.Fatalf("stops: %+v", stops)
	}
}
