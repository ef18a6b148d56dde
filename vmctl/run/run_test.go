package run_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/vmctl/run"
)

func sh(script string, args ...string) run.Command {
	return run.Command{
		Args:    append([]string{"/bin/sh", "-c", script, "sh"}, args...),
		Timeout: 20 * time.Second, Grace: 200 * time.Millisecond,
		WaitDelay: 200 * time.Millisecond,
	}
}

func failure(t *testing.T, err error) *run.Error {
	t.Helper()
	var e *run.Error
	if !errors.As(err, &e) {
		t.Fatalf("%v is no *run.Error", err)
	}
	if strings.ContainsAny(e.Error(), "\n\r") {
		t.Errorf("more than a line: %q", e.Error())
	}
	return e
}

// eventually waits for a condition that real processes bring about.
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

// pidFrom waits for a file with a pid.
func pidFrom(t *testing.T, path string) int {
	t.Helper()
	var pid int
	eventually(t, "pid in "+path, func() bool {
		b, _ := os.ReadFile(path)
		text, whole := strings.CutSuffix(string(b), "\n")
		var err error
		pid, err = strconv.Atoi(text)
		return whole && err == nil
	})
	return pid
}

// alive does not count what is dead and only not yet reaped.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	return err != nil || !strings.Contains(string(b), ") Z ")
}

func TestOutputAndArguments(t *testing.T) {
	c := sh(`printf '%s|' "$@"; cat; echo oops >&2`, "a b", "$(touch pwned);", "")
	c.Stdin, c.Dir = []byte("in"), t.TempDir()
	res, err := run.Run(t.Context(), c)
	if err != nil || res.Stdout != "a b|$(touch pwned);||in" || res.Stderr != "oops\n" || res.Exit != 0 || res.Truncated || res.Open {
		t.Fatalf("%+v %v", res, err)
	}
	if left, _ := os.ReadDir(c.Dir); len(left) > 0 {
		t.Fatalf("a shell read an argument: %v", left)
	}
}

func TestExitCode(t *testing.T) {
	res, err := run.Run(t.Context(), sh("echo; echo ' no disk\x01 '>&2; echo more >&2; exit 3"))
	e := failure(t, err)
	if res.Exit != 3 || e.Exit != 3 || e.Stderr != "no disk?" || e.TimedOut || !e.BySelf() {
		t.Fatalf("%+v %+v", res, e)
	}
	_, err = run.Run(t.Context(), sh("sh -c 'kill -9 $$'; exit $?"))
	if e := failure(t, err); e.Exit != 137 || e.BySelf() {
		t.Fatalf("a shell that tells of a signal: %+v", e)
	}
}

func TestDeathBySignal(t *testing.T) {
	res, err := run.Run(t.Context(), sh("kill -9 $$"))
	e := failure(t, err)
	if e.Signal != syscall.SIGKILL || res.Exit != -1 || e.Exit != -1 || e.BySelf() || e.TimedOut {
		t.Fatalf("%+v %+v", res, e)
	}
}

func TestNotStarted(t *testing.T) {
	for _, args := range [][]string{nil, {""}, {"/nowhere/at-all", "x"}, {t.TempDir()}} {
		_, err := run.Run(t.Context(), run.Command{Args: args})
		if e := failure(t, err); !e.NotStarted || e.BySelf() || e.Err == nil {
			t.Errorf("%v: %+v", args, e)
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("lease lost"))
	_, err := run.Run(ctx, sh("exit 0"))
	if e := failure(t, err); !e.NotStarted || !strings.Contains(e.Error(), "lease lost") {
		t.Errorf("ended context: %+v", e)
	}
}

func TestFlood(t *testing.T) {
	c := sh("head -c 10485760 /dev/zero; head -c 10485760 /dev/zero >&2; echo end >&2")
	c.MaxOutput = 1000
	res, err := run.Run(t.Context(), c)
	if err != nil || !res.Truncated || len(res.Stdout) != 1000 || len(res.Stderr) != 64<<10 {
		t.Fatalf("%d %d %v %v", len(res.Stdout), len(res.Stderr), res.Truncated, err)
	}
}

func TestUnreadInput(t *testing.T) {
	c := sh("exit 0")
	c.Stdin = make([]byte, 1<<20)
	if _, err := run.Run(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// The deadline ends the whole group, with those of it that ignore TERM.
func TestDeadlineEndsTheGroup(t *testing.T) {
	file := filepath.Join(t.TempDir(), "pid")
	c := sh(`trap '' TERM; sh -c 'trap "" TERM; echo $$ >"$1"; while :; do sleep 1; done' sh "$1" & wait; wait`, file)
	c.Timeout = 500 * time.Millisecond
	res, err := run.Run(t.Context(), c)
	e := failure(t, err)
	if !e.TimedOut || !errors.Is(err, context.DeadlineExceeded) || e.BySelf() || e.Ended != nil || res.Exit != -1 {
		t.Fatalf("%+v %+v", res, e)
	}
	if res.Duration > 5*time.Second {
		t.Fatalf("it took %v", res.Duration)
	}
	pid := pidFrom(t, file)
	eventually(t, "end of the grandchild", func() bool { return !alive(pid) })
}

// A context that ends asks first: the command may clean up, and still it has
// not ended by itself.
func TestCancelAsksFirst(t *testing.T) {
	dir := t.TempDir()
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		eventually(t, "trap", func() bool { _, err := os.Stat(dir + "/ready"); return err == nil })
		cancel(errors.New("lease lost"))
	}()
	c := sh(`trap 'echo bye; exit 0' TERM; sleep 60 & : >"$1/ready"; wait`, dir)
	c.Grace = 10 * time.Second
	res, err := run.Run(ctx, c)
	e := failure(t, err)
	if res.Stdout != "bye\n" || e.TimedOut || e.BySelf() || e.Err.Error() != "lease lost" {
		t.Fatalf("%+v %+v", res, e)
	}
}

func TestContextDeadlineIsKept(t *testing.T) {
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	began := time.Now()
	c := sh("trap '' TERM; while :; do sleep 0.1; done")
	c.Grace, c.WaitDelay = 0, 0
	_, err := run.Run(ctx, c)
	if e := failure(t, err); !e.TimedOut {
		t.Fatalf("%+v", e)
	}
	if took := time.Since(began); took > 1500*time.Millisecond {
		t.Fatalf("it took %v of 1 s", took)
	}
}

// What a command leaves behind lives on, also when it writes to the pipe.
func TestLeavesBehind(t *testing.T) {
	dir := t.TempDir()
	c := sh(`sh -c 'echo $$ >"$1/pid"; until test -e "$1/go"; do sleep 0.05; done; echo a; echo b; : >"$1/wrote"; exec sleep 60' sh "$1" & exit 0`, dir)
	c.Leaves = true
	res, err := run.Run(t.Context(), c)
	pid := pidFrom(t, dir+"/pid")
	defer syscall.Kill(pid, syscall.SIGKILL)
	if err != nil || !res.Open || res.Duration > 5*time.Second {
		t.Fatalf("%+v %v", res, err)
	}
	if err := os.WriteFile(dir+"/go", nil, 0o600); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its writing", func() bool { _, err := os.Stat(dir + "/wrote"); return err == nil })
	if !alive(pid) {
		t.Fatal("what was left behind was ended")
	}
}

// A failed command with processes left says so.
func TestFailedButLeft(t *testing.T) {
	dir := t.TempDir()
	c := sh(`sleep 60 >/dev/null 2>&1 & echo $! >"$1/pid"; exit 1`, dir)
	c.Leaves = true
	res, err := run.Run(t.Context(), c)
	defer syscall.Kill(pidFrom(t, dir+"/pid"), syscall.SIGKILL)
	if failure(t, err).Exit != 1 || !res.Left || res.Open {
		t.Fatalf("%+v %v", res, err)
	}
}

// One that leaves the group escapes; the call returns all the same.
func TestEscapedGrandchildHoldsPipes(t *testing.T) {
	if _, err := os.Stat("/usr/bin/setsid"); err != nil {
		t.Skip("no setsid program here")
	}
	dir := t.TempDir()
	c := sh(`setsid sh -c 'echo $$ >"$1/pid"; exec sleep 60' sh "$1" & sleep 60`, dir)
	c.Timeout = 500 * time.Millisecond
	res, err := run.Run(t.Context(), c)
	defer syscall.Kill(pidFrom(t, dir+"/pid"), syscall.SIGKILL)
	if e := failure(t, err); !e.TimedOut || !res.Open || res.Duration > 5*time.Second {
		t.Fatalf("%+v %+v", res, e)
	}
}
