package watchdog

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// The watchdog of these tests is a process for real, this test's program anew; what it
// does in place of a reset is to write down when.
const (
	socketEnv = "WATCHDOG_TEST_SOCKET"
	recordEnv = "WATCHDOG_TEST_RECORD"
)

func TestMain(m *testing.M) {
	if len(os.Args) == 2 && os.Args[1] == "version" {
		return // what a program is asked before it takes a watchdog's place
	}
	if socket := os.Getenv(socketEnv); socket != "" {
		os.Exit(guarding(socket, os.Getenv(recordEnv)))
	}
	if len(os.Args) == 4 && os.Args[1] == started {
		os.Exit(guarding(os.Args[2], os.Args[3]))
	}
	if lasts, err := time.ParseDuration(os.Getenv(latenessEnv)); err == nil {
		late(lasts)
		return
	}
	goleak.VerifyTestMain(m)
}

func guarding(socket, record string) int {
	hesitate() // before it has said which signals it takes
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	fd, err := unix.Open(record, unix.O_WRONLY|unix.O_CREAT|unix.O_APPEND|unix.O_CLOEXEC, 0o600)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	said, err := os.OpenFile(record+".console", os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	o := Options{
		Action: ActionReboot, Now: boottime.Now, Version: "test", Reset: func() {
			_, _ = unix.Write(fd, fmt.Appendln(nil, int64(boottime.Now()))) // the parent sees whether it came
		},
		Explain: Explain{Path: record + ".fence", Boot: "this-boot", Console: said},
	}
	if path := os.Getenv(deviceEnv); path != "" {
		o.Device, o.Resume = openFileDevice(path), resumeFileDevice
	}
	if err := Run(ctx, socket, o, func(r Report) { fmt.Printf("ready %+v\n", r) }); err != nil {
		fmt.Println(err)
		return 1
	}
	return 0
}

// guarded is such a process.
type guarded struct {
	t              testing.TB
	socket, record string
	env            []string
	cmd            *exec.Cmd
	done           chan struct{}
}

func newGuarded(t testing.TB, env ...string) *guarded {
	t.Helper()
	dir := t.TempDir()
	w := &guarded{t: t, socket: filepath.Join(dir, "run", "watchdog.sock"), record: filepath.Join(dir, "resets"), env: env}
	w.start()
	return w
}

func (w *guarded) start() {
	w.t.Helper()
	w.cmd = exec.CommandContext(context.Background(), os.Args[0])
	w.cmd.Env = append(os.Environ(), socketEnv+"="+w.socket, recordEnv+"="+w.record, "GORACE=atexit_sleep_ms=0")
	w.cmd.Env = append(w.cmd.Env, w.env...)
	w.cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	out, err := w.cmd.StdoutPipe()
	must(w.t, err)
	must(w.t, w.cmd.Start())
	line := make([]byte, 512)
	n, err := out.Read(line)
	if err != nil || !strings.HasPrefix(string(line[:n]), "ready") {
		w.t.Fatalf("the watchdog says %q, %v", line[:n], err)
	}
	done := make(chan struct{})
	w.done = done
	cmd := w.cmd
	go func() {
		defer close(done)
		_, _ = io.Copy(io.Discard, out)
		_ = cmd.Wait() // how it ends is seen by the test
	}()
	w.t.Cleanup(func() {
		_ = cmd.Process.Kill()
		<-done
	})
}

func (w *guarded) dial() *Client {
	w.t.Helper()
	c, err := Dial(w.t.Context(), w.socket)
	must(w.t, err)
	w.t.Cleanup(func() { _ = c.Close() })
	return c
}

func (w *guarded) signal(s syscall.Signal) {
	w.t.Helper()
	must(w.t, w.cmd.Process.Signal(s))
}

// stop makes a watchdog stand still. That it was told so does not mean that it does yet.
func (w *guarded) stop(p *os.Process) {
	w.t.Helper()
	must(w.t, p.Signal(syscall.SIGSTOP))
	w.until("it stands still", func() bool {
		_, err := w.dial().State()
		return errors.Is(err, os.ErrDeadlineExceeded)
	})
}

// resets are when it would have ended the host.
func (w *guarded) resets() []time.Duration {
	w.t.Helper()
	data, err := os.ReadFile(w.record)
	must(w.t, err)
	var all []time.Duration
	for line := range strings.Lines(string(data)) {
		var at int64
		if _, err := fmt.Sscan(line, &at); err == nil {
			all = append(all, time.Duration(at))
		}
	}
	return all
}

func (w *guarded) until(what string, yes func() bool) {
	w.t.Helper()
	end := time.NewTimer(30 * time.Second)
	defer end.Stop()
	for !yes() {
		select {
		case <-time.After(5 * time.Millisecond):
		case <-end.C:
			w.t.Fatalf("it did not come: %s", what)
		}
	}
}

func (w *guarded) reset() time.Duration {
	w.t.Helper()
	w.until("a reset", func() bool { return len(w.resets()) > 0 })
	return w.resets()[0]
}

func (w *guarded) ended() bool {
	select {
	case <-w.done:
		return true
	default:
		return false
	}
}

// What becomes of the daemon changes nothing about the deadline that it handed last; one
// that comes back in time goes on.
func TestADaemonThatDies(t *testing.T) {
	t.Parallel()
	w := newGuarded(t)
	first := w.dial()
	handed := boottime.Now() + 10*time.Second
	_, err := first.Extend(handed, time.Second, "i1")
	must(t, err)
	must(t, first.Close())
	later := w.dial()
	s, err := later.State()
	must(t, err)
	if !s.Armed || s.By != "i1" || s.Deadline != handed {
		t.Errorf("%+v", s)
	}
	next := boottime.Now() + 2*time.Second
	_, err = later.Extend(next, time.Second, "i2")
	must(t, err)
	must(t, later.Close())
	if at := w.reset(); at < next {
		t.Errorf("reset %s before the deadline", next-at)
	}
	if _, err := w.dial().Extend(boottime.Now()+time.Minute, time.Second, "i3"); !errors.Is(err, ErrPassed) {
		t.Errorf("a deadline that has passed was extended: %v", err)
	}
}

// A watchdog that was stopped meanwhile does at once what was due, and takes nothing back.
func TestAWatchdogThatIsStopped(t *testing.T) {
	t.Parallel()
	w := newGuarded(t)
	c := w.dial()
	deadline := boottime.Now() + 5*time.Second
	_, err := c.Extend(deadline, time.Second, "i1")
	must(t, err)
	w.stop(w.cmd.Process)
	if _, err := c.Extend(boottime.Now()+time.Minute, time.Second, "i1"); err == nil || errors.Is(err, ErrPassed) {
		t.Errorf("a watchdog that stands still answered: %v", err)
	}
	w.until("the deadline is past", func() bool { return boottime.Now() > deadline })
	if n := len(w.resets()); n > 0 {
		t.Fatalf("%d resets", n)
	}
	w.signal(syscall.SIGCONT)
	w.reset()
	if s, err := w.dial().State(); err != nil || !s.Passed {
		t.Errorf("%+v, %v", s, err)
	}
}

// A watchdog that is armed does not end because it is told to; one that is not does.
func TestAWatchdogThatIsToldToEnd(t *testing.T) {
	t.Parallel()
	w := newGuarded(t)
	c := w.dial()
	_, err := c.Extend(boottime.Now()+time.Hour, time.Second, "i1")
	must(t, err)
	w.signal(syscall.SIGTERM)
	for range 20 {
		if s, err := c.State(); err != nil || !s.Armed {
			t.Fatalf("%+v, %v", s, err)
		}
		<-time.After(10 * time.Millisecond)
	}
	s, err := c.Disarm()
	must(t, err)
	if s.Armed {
		t.Errorf("%+v", s)
	}
	w.until("it ends", w.ended)
	if len(w.resets()) > 0 {
		t.Error("it has reset the host")
	}
	if _, err := os.Stat(w.socket); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("its socket is left: %v", err)
	}
}

// One watchdog at a time; what a killed one has left does not stand in the way.
func TestOneWatchdog(t *testing.T) {
	t.Parallel()
	w := newGuarded(t)
	if _, err := claim(t.Context(), w.socket); !errors.Is(err, ErrBusy) {
		t.Errorf("%v", err)
	}
	for path, want := range map[string]os.FileMode{w.socket: 0o600, filepath.Dir(w.socket): 0o700} {
		if i, err := os.Stat(path); err != nil || i.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", path, i.Mode(), err)
		}
	}
	w.signal(syscall.SIGKILL)
	w.until("it is gone", w.ended)
	w.start()
	if s, err := w.dial().State(); err != nil || s.Armed {
		t.Errorf("%+v, %v", s, err)
	}
}

// Nothing that is no question changes anything.
func TestConverse(t *testing.T) {
	y := newYard(nil)
	for _, text := range []string{"", "\n", "{", `{"op":"extend","deadline":-1}` + "\n", `{"op":"reboot"}` + "\n", strings.Repeat("x", 2*longest) + "\n", `{"op":"extend","deadline":"x"}` + "\n"} {
		var said strings.Builder
		y.converse(struct {
			io.Reader
			io.Writer
		}{strings.NewReader(text), &said})
		if s := y.State(); s.Armed || s.Passed {
			t.Errorf("%q: %+v", text, s)
		}
	}
}
