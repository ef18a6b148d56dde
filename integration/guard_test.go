package integration

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/lease/boottime"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/watchdog"
)

// guardedLab is one whose hosts have watchdogs, processes alone and accepted as proof. In
// place of a reset all that runs on the host is ended.
type guardedLab struct{ *lab }

// newGuardedLab makes two hosts; vm1 runs on a, and b is the master.
func newGuardedLab(tb testing.TB) *guardedLab {
	tb.Helper()
	l := &guardedLab{emptyLab(tb, "")}
	l.prepare = func(d *daemon) {
		d.exe = guardedBinary
		pid := filepath.Join(l.dir, d.name+".pid")
		d.env = []string{
			"GUARDED_ROOT=" + l.root, "GUARDED_HOST=" + d.name, "GUARDED_RESETS=" + l.resetsFile(d.name),
			"GUARDED_PID=" + pid, fmt.Sprintf("GUARDED_BY=%d", os.Getpid()),
		}
		d.args = append(d.args, "--watchdog", "process", "--accept-unproved", "--pid-file", pid)
	}
	tb.Cleanup(l.endGuards)
	l.begin(false, map[string][]string{"a": {"vm1"}, "b": nil})
	l.op("promote", "b")
	l.await("b is master", func() bool { return l.tail().State.Master == "b" })
	l.await("a's silence proves that it has ended", func() bool {
		hb := l.heartbeat("a")
		return hb != nil && hb.Proof == record.ProofElapsed && l.tail().State.Members["a"].Proof == record.ProofElapsed
	})
	return l
}

func (l *guardedLab) a() *daemon { return l.daemons[0] }

func (l *guardedLab) resetsFile(host string) string { return filepath.Join(l.dir, "resets-"+host) }

// resets are when a host was ended, by the boot-time clock.
func (l *guardedLab) resets(host string) []time.Duration {
	data, err := os.ReadFile(l.resetsFile(host))
	if err != nil {
		return nil
	}
	var all []time.Duration
	for line := range strings.Lines(string(data)) {
		var at int64
		if _, err := fmt.Sscan(line, &at); err == nil {
			all = append(all, time.Duration(at))
		}
	}
	return all
}

// guard asks a host's watchdog; false: none answers.
func (l *guardedLab) guard(host string) (watchdog.State, bool) {
	c, err := watchdog.Dial(context.Background(), filepath.Join(l.dir, "state-"+host, "watchdog.sock"))
	if err != nil {
		return watchdog.State{}, false
	}
	defer c.Close()
	s, err := c.State()
	return s, err == nil
}

// signalGuard sends a host's watchdog a signal.
func (l *guardedLab) signalGuard(host string, s syscall.Signal) (pid int) {
	l.tb.Helper()
	st, ok := l.guard(host)
	if !ok || st.PID <= 1 || st.PID == os.Getpid() {
		l.tb.Fatalf("the watchdog of %s does not answer: %+v", host, st)
	}
	if err := syscall.Kill(st.PID, s); err != nil {
		l.tb.Fatal(err)
	}
	return st.PID
}

// endGuards ends the watchdogs, which outlive the daemons.
func (l *guardedLab) endGuards() {
	for _, d := range l.daemons {
		if d.proc != nil {
			d.kill()
		}
		if st, ok := l.guard(d.name); ok && st.PID > 1 && st.PID != os.Getpid() {
			_ = syscall.Kill(st.PID, syscall.SIGKILL)
		}
	}
}

// life names the life of vm1 that runs on a; "": it does not run there.
func (l *guardedLab) life() string {
	l.tb.Helper()
	if on := l.runsOn("vm1"); len(on) != 1 || on[0] != "a" {
		return ""
	}
	lives, err := filepath.Glob(filepath.Join(l.root, "evidence", "vm1", "a-*"))
	if err != nil || len(lives) == 0 {
		l.tb.Fatalf("vm1 runs and has left no evidence: %v", err)
	}
	// Their names end in a ULID each.
	return slices.MaxFunc(lives, func(x, y string) int {
		return strings.Compare(x[strings.LastIndex(x, "-"):], y[strings.LastIndex(y, "-"):])
	})
}

// labTimings are those of the cluster.
func labTimings(tb testing.TB) lease.Timings {
	tb.Helper()
	t, err := lease.NewTimings(takeoverTimeout, interval)
	if err != nil {
		tb.Fatal(err)
	}
	return t
}

// A daemon that dies, or stands still, leaves its VMs running; the host ends at the
// deadline that was handed last, not before, and its VMs start on the other one.
func TestGuardedDaemon(t *testing.T) {
	t.Parallel()
	for name, strike := range map[string]func(d *daemon){
		"killed":  func(d *daemon) { d.kill() },
		"stopped": func(d *daemon) { d.freeze() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newGuardedLab(t)
			st, _ := l.guard("a")
			strike(l.a())
			struck := boottime.Now()
			if last, ok := l.guard("a"); ok {
				st = last
			}
			l.await("the host is ended", func() bool { return len(l.resets("a")) > 0 })
			at := l.resets("a")[0]
			if at < st.Deadline || at > st.Deadline+500*time.Millisecond || st.Deadline > struck+labTimings(t).Stopped() {
				t.Errorf("ended %s after the deadline, which lay %s ahead", at-st.Deadline, st.Deadline-struck)
			}
			l.await("vm1 runs on b", func() bool { on := l.runsOn("vm1"); return len(on) == 1 && on[0] == "b" })
		})
	}
}

// A daemon that is back within the deadline goes on, and its VM has noticed nothing.
func TestGuardedDaemonIsBack(t *testing.T) {
	t.Parallel()
	l := newGuardedLab(t)
	life, st := l.life(), watchdog.State{}
	for range 3 {
		l.a().kill()
		l.a().start()
		l.await("its new incarnation has handed a deadline", func() bool {
			s, ok := l.guard("a")
			changed := ok && s.By != st.By && l.tail().State.Members["a"].Admitted == s.By
			if changed {
				st = s
			}
			return changed
		})
	}
	if now := l.life(); now != life || life == "" || len(l.resets("a")) > 0 {
		t.Errorf("vm1 is %q, was %q; resets %v", now, life, l.resets("a"))
	}
}

// A watchdog that dies is started again and armed before anything comes of it.
func TestGuardThatDies(t *testing.T) {
	t.Parallel()
	l := newGuardedLab(t)
	life := l.life()
	old := l.signalGuard("a", syscall.SIGKILL)
	l.await("another is armed", func() bool {
		s, ok := l.guard("a")
		return ok && s.PID != old && s.Armed
	})
	l.holds("vm1 runs on", takeoverTimeout, func() bool { return l.life() == life })
	if len(l.resets("a")) > 0 {
		t.Errorf("resets %v", l.resets("a"))
	}
}

// A watchdog that stands still counts as a lost lease: what it would guard is stopped.
func TestGuardThatIsStopped(t *testing.T) {
	t.Parallel()
	l := newGuardedLab(t)
	pid := l.signalGuard("a", syscall.SIGSTOP)
	l.await("vm1 is stopped", func() bool { return l.life() == "" })
	if err := syscall.Kill(pid, syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	l.await("vm1 runs again", l.allRun)
}

// A daemon that is told to end leaves its VMs running and nothing armed.
func TestGuardedDaemonLeaves(t *testing.T) {
	t.Parallel()
	l := newGuardedLab(t)
	life := l.life()
	l.a().terminate()
	s, ok := l.guard("a")
	if !ok || s.Armed || s.Passed {
		t.Errorf("%+v, %t", s, ok)
	}
	if now := l.life(); now != life || now == "" {
		t.Errorf("vm1 is %q, was %q", now, life)
	}
	l.a().start()
	l.await("it is armed again", func() bool { s, ok := l.guard("a"); return ok && s.Armed })
}

// A start of the daemon that fails, again and again, while the deadline runs out: the VMs
// are stopped in order, and the host stays up.
func TestGuardedDaemonThatCannotStart(t *testing.T) {
	t.Parallel()
	l := newGuardedLab(t)
	l.a().kill()
	args := l.a().args
	l.a().args = append(append([]string{}, args...), "--persist-dir", filepath.Join(l.dir, "nowhere"))
	l.await("vm1 is stopped, and nothing armed", func() bool {
		l.a().launch()
		if !poll(patience, 5*time.Millisecond, l.a().proc.ended) {
			t.Fatal("it does not end")
		}
		s, ok := l.guard("a")
		return l.life() == "" && ok && !s.Armed && !s.Passed
	})
	if len(l.resets("a")) > 0 {
		t.Errorf("resets %v", l.resets("a"))
	}
	l.a().args = args
	l.a().start()
	l.await("vm1 runs again", l.allRun)
}
