package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

// program is the whole of hoster-ha, built once for these tests.
var program string

func TestMain(m *testing.M) {
	os.Exit(func() (code int) {
		dir, err := os.MkdirTemp("", "hoster-ha-test-")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		program = filepath.Join(dir, "hoster-ha")
		build := exec.CommandContext(context.Background(), "go", "build", "-o", program, "github.com/hoster-ha/hoster-ha")
		if out, err := build.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "%v: %s", err, out)
			return 1
		}
		goleak.VerifyTestMain(m, goleak.Cleanup(func(c int) { code = c }))
		return code
	}())
}

// show is one demonstration, run as a user would.
type show struct {
	t   *testing.T
	cmd *exec.Cmd
	tmp string

	mu  sync.Mutex
	out bytes.Buffer
}

func (s *show) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.Write(p)
}

func (s *show) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.out.String()
}

func begin(t *testing.T, args ...string) *show {
	t.Helper()
	s := &show{t: t, tmp: t.TempDir()}
	s.cmd = exec.CommandContext(t.Context(), program, append([]string{"demo"}, args...)...)
	// The end of the test does not excuse it from ending what it started.
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.Stdout, s.cmd.Stderr = s, s
	// What is set for a real node must not be seen.
	s.cmd.Env = append(os.Environ(), "TMPDIR="+s.tmp, "HOSTER_HA_PERSIST_DIR=/nowhere", "HOSTER_HA_CONFIG=/nowhere")
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return s
}

// until waits until the demonstration has said something.
func (s *show) until(text string) {
	s.t.Helper()
	s.wait("it says "+text, func() bool { return strings.Contains(s.text(), text) })
}

func (s *show) wait(what string, is func() bool) {
	s.t.Helper()
	t := time.NewTicker(20 * time.Millisecond)
	defer t.Stop()
	for late := time.After(2 * time.Minute); !is(); {
		select {
		case <-t.C:
		case <-late:
			s.t.Fatalf("not within two minutes: %s\n%s", what, s.text())
		}
	}
}

// ended waits for the end and looks whether anything remains.
func (s *show) ended(code int) string {
	s.t.Helper()
	err := s.cmd.Wait()
	if s.cmd.ProcessState.ExitCode() != code {
		s.t.Errorf("%v, want exit code %d", err, code)
	}
	if left := s.processes(); len(left) > 0 {
		s.t.Errorf("these remain: %s", strings.Join(left, "; "))
	}
	left, err := os.ReadDir(s.tmp)
	if err != nil || len(left) > 0 {
		s.t.Errorf("files remain: %v, %v", left, err)
	}
	if s.t.Failed() {
		s.t.Log(s.text())
	}
	return s.text()
}

func (s *show) processes() []string {
	s.t.Helper()
	left, err := processes(context.Background(), program, s.tmp)
	if err != nil {
		s.t.Fatal(err)
	}
	return left
}

func TestWholeDemonstration(t *testing.T) {
	t.Parallel()
	out := begin(t).ended(0)
	for _, text := range []string{
		"is MASTER, three nodes live",
		"the lease of", "is over: SUSPECT",
		"is fenced, proof that it runs nothing: elapsed",
		"is admitted as a new incarnation",
		"holds new replicas of all VMs",
		"has left, and its VMs run elsewhere",
		"failed over:", "moved:",
		" 0 violations",
		"nothing remains",
	} {
		if !strings.Contains(out, text) {
			t.Errorf("it did not say %q", text)
		}
	}
	if t.Failed() {
		t.Log(out)
	}
}

func TestPlantedDoubleStartIsFound(t *testing.T) {
	t.Parallel()
	out := begin(t, "--plant", PlantDoubleStart).ended(1)
	if !strings.Contains(out, "VIOLATION") || !strings.Contains(out, "two runs at once") {
		t.Errorf("the violation is not named:\n%s", out)
	}
}

func TestInterrupted(t *testing.T) {
	t.Parallel()
	s := begin(t)
	s.until("kill -9")
	if err := s.cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if out := s.ended(1); !strings.Contains(out, "ended early") {
		t.Error(out)
	}
}

// Kept, it plays on until it is interrupted, and that is a good end.
func TestKept(t *testing.T) {
	t.Parallel()
	s := begin(t, "--keep")
	s.until("end:")
	if err := s.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	s.ended(0)
}

// Killed, it can end nothing: its daemons die with it, and the VMs stop by
// themselves.
func TestKilled(t *testing.T) {
	t.Parallel()
	s := begin(t)
	s.until("all VMs run")
	if err := s.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = s.cmd.Wait()
	s.wait("no process remains", func() bool { return len(s.processes()) == 0 })
}

func TestReaderWentAway(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	tmp := t.TempDir()
	cmd := exec.CommandContext(t.Context(), program, "demo")
	cmd.Stdout, cmd.Env = w, append(os.Environ(), "TMPDIR="+tmp)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_ = w.Close()
	if _, err := io.ReadFull(r, make([]byte, 100)); err != nil {
		t.Fatal(err)
	}
	_ = r.Close()
	_ = cmd.Wait()
	if code := cmd.ProcessState.ExitCode(); code != 1 {
		t.Errorf("exit code %d", code)
	}
	left, err := processes(context.Background(), program, tmp)
	files, readErr := os.ReadDir(tmp)
	if err := errors.Join(err, readErr); err != nil || len(left) > 0 || len(files) > 0 {
		t.Errorf("%v, %v, %v", left, files, err)
	}
}

// A store that holds anything is not touched.
func TestStoreInUse(t *testing.T) {
	tmp, store := t.TempDir(), t.TempDir()
	t.Setenv("TMPDIR", tmp)
	if err := os.WriteFile(filepath.Join(store, "cluster.json"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	err := Run(context.Background(), Options{Store: store, Out: io.Discard})
	if err == nil || !strings.Contains(err.Error(), "is not empty (cluster.json)") {
		t.Error(err)
	}
	if left, err := os.ReadDir(tmp); err != nil || len(left) > 0 {
		t.Error(left, err)
	}
}
