package watchdog

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/hoster-ha/hoster-ha/lease/boottime"
)

// started is this test's program as a keeper starts it: with a socket and a record.
const started = "started-by-a-keeper"

// kept is a keeper, and what it starts.
type kept struct {
	*Keeper
	*guarded
	log     string
	process *os.Process // that answered last
}

func newKept(t *testing.T, patience time.Duration) *kept {
	t.Helper()
	dir := t.TempDir()
	k := &kept{guarded: &guarded{t: t, socket: filepath.Join(dir, "s"), record: filepath.Join(dir, "resets")}, log: filepath.Join(dir, "log")}
	k.Keeper = NewKeeper(KeeperConfig{Socket: k.socket, Command: []string{os.Args[0], started, k.socket, k.record}, Log: k.log, Patience: patience})
	var all []*os.Process // under the starter's lock
	k.starts.seen = func(p *os.Process) {
		k.starts.mu.Lock()
		defer k.starts.mu.Unlock()
		all = append(all, p)
	}
	t.Cleanup(func() {
		must(t, k.Close())
		k.until("no start is under way", func() bool {
			k.starts.mu.Lock()
			defer k.starts.mu.Unlock()
			return !k.starts.under
		})
		// One that was started too, and had no place yet, would take that of the other.
		for _, p := range all {
			k.kill(p)
		}
	})
	return k
}

// answers waits for a watchdog.
func (k *kept) answers() State {
	k.t.Helper()
	var s State
	k.until("an answer", func() bool {
		var err error
		s, err = k.State()
		return err == nil
	})
	p, err := os.FindProcess(s.PID) // a handle of this very process
	must(k.t, err)
	k.process = p
	return s
}

// kill ends a process that the keeper has started, and waits until it is waited for.
func (k *kept) kill(p *os.Process) {
	k.t.Helper()
	_ = p.Kill()
	k.until("it is gone", func() bool { return p.Signal(syscall.Signal(0)) != nil })
}

// Where nothing answers one is started, which is no part of the daemon; when that dies,
// another, and it claims nothing of what the first was handed.
func TestKeeper(t *testing.T) {
	t.Parallel()
	k := newKept(t, 5*time.Second)
	if _, err := k.State(); !errors.Is(err, unix.ENOENT) || !strings.Contains(err.Error(), "it is being started") {
		t.Errorf("%v", err)
	}
	first := k.answers()
	if sid, err := unix.Getsid(first.PID); err != nil || sid != first.PID {
		t.Errorf("its session is %d, %v", sid, err)
	}
	deadline := boottime.Now() + time.Hour
	s, err := k.Extend(deadline, time.Second, "i1")
	if err != nil || !s.Armed || s.Deadline != deadline || s.By != "i1" || s.PID != first.PID {
		t.Errorf("%+v, %v", s, err)
	}
	k.kill(k.process)
	if s, err := k.State(); err == nil {
		t.Errorf("%+v", s)
	}
	if second := k.answers(); second.PID == first.PID || second.Armed {
		t.Errorf("%+v", second)
	}
	if data, err := os.ReadFile(k.log); err != nil || strings.Count(string(data), "ready") != 2 {
		t.Errorf("its log: %s, %v", data, err)
	}
	must(t, k.Close())
	if _, err := k.State(); !errors.Is(err, ErrClosed) {
		t.Errorf("%v", err)
	}
}

// The watchdog's words come through as they are; a refusal is no reason to ask anew.
func TestKeeperIsTold(t *testing.T) {
	t.Parallel()
	k := newKept(t, 5*time.Second)
	k.answers()
	if _, err := k.Extend(1, time.Second, "i1"); err == nil || !strings.Contains(err.Error(), "has passed already") || errors.Is(err, ErrPassed) {
		t.Errorf("%v", err)
	}
	if s, err := k.Disarm(); err != nil || s.Armed {
		t.Errorf("%+v, %v", s, err)
	}
	_, err := k.Extend(boottime.Now()+300*time.Millisecond, time.Second, "i1")
	must(t, err)
	k.reset()
	for what, ask := range map[string]func() (State, error){
		"extend": func() (State, error) { return k.Extend(boottime.Now()+time.Hour, time.Second, "i1") }, "disarm": k.Disarm, "acknowledge": k.Acknowledge,
	} {
		if s, err := ask(); !errors.Is(err, ErrPassed) || !s.Passed {
			t.Errorf("%s: %+v, %v", what, s, err)
		}
	}
}

// A watchdog that stands still costs each caller its patience and no more. What was asked
// meanwhile is not carried out later, and answers nothing that is asked later.
func TestKeeperOfAWatchdogThatIsStopped(t *testing.T) {
	t.Parallel()
	const patience = time.Second
	k := newKept(t, patience)
	s := k.answers()
	k.stop(k.process)
	began := time.Now()
	var callers sync.WaitGroup
	for i := range 6 {
		callers.Go(func() {
			if s, err := k.Extend(boottime.Now()+time.Hour, time.Second, fmt.Sprint(i)); err == nil || errors.Is(err, ErrPassed) {
				t.Errorf("%+v, %v", s, err)
			}
		})
	}
	callers.Wait()
	if took := time.Since(began); took > 4*patience {
		t.Errorf("six callers took %s", took)
	}
	must(t, k.process.Signal(unix.SIGCONT))
	if now := k.answers(); now.Armed || now.PID != s.PID {
		t.Errorf("%+v", now)
	}
	// The questions before are read by now, or never: each is on its own connection.
	for range 20 {
		if now, err := k.State(); err != nil || now.Armed {
			t.Fatalf("%+v, %v", now, err)
		}
		<-time.After(5 * time.Millisecond)
	}
}

// An answer that comes too late is not taken for that of the next question.
func TestKeeperOfALateAnswer(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "unix", path)
	must(t, err)
	var talks sync.WaitGroup
	late := make(chan struct{})
	talks.Go(func() {
		for _, by := range []string{"late", "right"} {
			c, err := l.Accept()
			if err != nil {
				return
			}
			talks.Go(func() {
				defer c.Close()
				for in := bufio.NewScanner(c); in.Scan(); {
					if by == "late" {
						<-late
					}
					fmt.Fprintf(c, `{"state":{"by":%q}}`+"\n", by)
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		talks.Wait()
	})
	k := NewKeeper(KeeperConfig{Socket: path, Patience: 500 * time.Millisecond})
	t.Cleanup(func() { _ = k.Close() })
	if s, err := k.State(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%+v, %v", s, err)
	}
	close(late)
	if s, err := k.State(); err != nil || s.By != "right" {
		t.Errorf("%+v, %v", s, err)
	}
}

// One that ends at once is started once a second and no more often, and its end is told.
func TestKeeperOfAWatchdogThatEnds(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	socket := filepath.Join(dir, strings.Repeat("x", 120)) // too long for a socket
	k := NewKeeper(KeeperConfig{Socket: filepath.Join(dir, "s"), Command: []string{os.Args[0], started, socket, filepath.Join(dir, "r")}, Log: log})
	w := &guarded{t: t}
	var last error
	told := false
	starts := func() int {
		_, last = k.State()
		told = told || strings.Contains(last.Error(), "has ended: exit status 1")
		data, _ := os.ReadFile(log)
		return strings.Count(string(data), "characters at most")
	}
	w.until("a start", func() bool { return starts() == 1 })
	began := time.Now() // a little later than that of the start
	w.until("two more", func() bool { return starts() == 3 })
	if took := time.Since(began); took < again {
		t.Errorf("three starts within %s", took)
	}
	w.until("its end is told", func() bool { starts(); return told })
	nobody := NewKeeper(KeeperConfig{Socket: filepath.Join(dir, "s")})
	if _, err := nobody.State(); err == nil || !strings.Contains(err.Error(), "none is started") {
		t.Errorf("%v", err)
	}
	relative := NewKeeper(KeeperConfig{Socket: filepath.Join(dir, "s"), Command: []string{"hoster-ha"}})
	if _, err := relative.State(); err == nil || !strings.Contains(err.Error(), "absolute") {
		t.Errorf("%v", err)
	}
	lost := NewKeeper(KeeperConfig{Socket: filepath.Join(dir, "s"), Command: []string{filepath.Join(dir, "none")}})
	w.until("it says why", func() bool {
		_, err := lost.State()
		return strings.Contains(err.Error(), "cannot be started")
	})
	w.until("all that was started has ended", func() bool {
		k.starts.mu.Lock()
		defer k.starts.mu.Unlock()
		return strings.Contains(k.starts.last, "has ended")
	})
}

// Of several that begin at once one guards, for as long as it lives, and it is the one
// that answers.
func TestWatchdogsThatBeginAtOnce(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	w := &guarded{t: t, socket: filepath.Join(dir, "s")}
	for range 3 {
		var all []*exec.Cmd
		var out []*strings.Builder
		for i := range 6 {
			cmd := exec.CommandContext(context.Background(), os.Args[0], started, w.socket, filepath.Join(dir, "r"))
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
			out = append(out, &strings.Builder{})
			cmd.Stdout = out[i]
			must(t, cmd.Start())
			all = append(all, cmd)
		}
		ended := make(chan int, len(all))
		for i, cmd := range all {
			go func() {
				_ = cmd.Wait() // what it said is looked at
				ended <- i
			}()
			t.Cleanup(func() { _ = cmd.Process.Kill() })
		}
		left := map[int]bool{0: true, 1: true, 2: true, 3: true, 4: true, 5: true}
		for len(left) > 1 {
			select {
			case i := <-ended:
				delete(left, i)
				if !strings.Contains(out[i].String(), ErrBusy.Error()) {
					t.Errorf("%s", out[i])
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("%d guard", len(left))
			}
		}
		for i := range left {
			c, err := Dial(t.Context(), w.socket)
			must(t, err)
			if s, err := c.State(); err != nil || s.PID != all[i].Process.Pid {
				t.Errorf("%+v, %v; %d guards", s, err, all[i].Process.Pid)
			}
			must(t, c.Close())
			must(t, all[i].Process.Kill())
		}
		<-ended
	}
}
