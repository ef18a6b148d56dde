package node

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/local"
	"github.com/hoster-ha/hoster-ha/persistence/record"
	"github.com/hoster-ha/hoster-ha/vmctl"
)

// never checks that the watchdog has not ended the host.
func (k *kennel) never() {
	k.w.t.Helper()
	if all := k.all(); len(all) > 0 {
		k.w.t.Errorf("the host was ended at %v", all)
	}
}

// TestArmedAtAdmission: before the first VM starts, and the ledger says so.
func TestArmedAtAdmission(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, _, _ := guardedTwo(w, FenceStop, hardware)
		if !k.armed() || w.proof() != record.ProofElapsed {
			t.Errorf("armed %t, the ledger says %q", k.armed(), w.proof())
		}
		w.wait(5 * testTimings.Timeout)
		k.never()
		w.stays("vm1", "a")
	})
}

// TestArmedBeforeTheFirstStart, too, where the cluster is armed long since and the watchdog
// does not answer just then: the driver of these tests starts nothing before.
func TestArmedBeforeTheFirstStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("b", true, "vm2")
		b := w.start("b", nil)
		w.one(b)
		w.arm("vm2")
		w.wait(testTimings.Timeout)
		k := w.guarded(w.host("a", false, "vm1"), hardware)
		a := k.daemon(nil, k.with(FenceStop))
		w.until("a is about to be admitted", 3*testTimings.Timeout, func() bool { return a.getHolder() != nil })
		k.mu.Lock()
		k.absent = true
		k.mu.Unlock()
		k.kill()
		w.until("vm1 is a's", testTimings.Timeout, func() bool { return w.tail().State.VMs["vm1"].Owner == "a" })
		w.wait(2 * testTimings.Interval)
		w.stays("vm1", "")
		k.mu.Lock()
		k.absent = false
		k.mu.Unlock()
		w.comes("vm1", "a", 2*testTimings.Timeout)
		k.never()
	})
}

// TestStopThenDisarm: at D the VMs are stopped in order, and with all verified stopped the
// host stays up; they start elsewhere at T, and here nothing does before it is admitted.
func TestStopThenDisarm(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		a.store.cut(errNoStore)
		w.until("a is without a lease", testTimings.Timeout, func() bool { _, held := a.Lease(); return !held })
		w.until("vm1 is stopped", testTimings.StopGrace, func() bool { return len(w.runsOn("vm1")) == 0 })
		w.until("the watchdog is disarmed", testTimings.StopGrace+testTimings.Kill, func() bool { return !k.armed() })
		w.comes("vm1", "b", 2*testTimings.Timeout)
		if s := a.State(); s != StateIsolated {
			t.Errorf("a is %s", s)
		}
		a.store.cut(nil)
		w.until("a is admitted, and armed again", 2*testTimings.Timeout, func() bool { return k.armed() && w.proof() == record.ProofElapsed })
		k.never()
		w.stays("vm1", "b")
	})
}

// TestHungStoreStopsInTime: beats hang until the lease is over, and then for as long as
// another has; what is stopped is verified all the same before the deadline.
func TestHungStoreStopsInTime(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		release := a.store.hungUp()
		w.until("vm1 is stopped, and nothing armed", testTimings.Stopped()+testTimings.Interval, func() bool {
			return len(w.runsOn("vm1")) == 0 && !k.armed()
		})
		w.comes("vm1", "b", 2*testTimings.Timeout)
		release()
		w.wait(2 * testTimings.Timeout)
		k.never()
		w.stays("vm1", "b")
	})
}

// deaf answers no question any more, whoever asks.
type deaf struct {
	checked
	hangs *atomic.Bool
	end   chan struct{}
}

func (d deaf) List(ctx context.Context) ([]vmctl.VM, error) {
	if d.hangs.Load() {
		<-d.end
	}
	return d.checked.List(ctx)
}

// TestDeadlockWhileHeartbeatsGoOn: the host's loop stands still, and the lease is held by
// beats that know nothing of it. When the lease is lost nothing is verified, and the host
// is ended.
func TestDeadlockWhileHeartbeatsGoOn(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		hangs, end := new(atomic.Bool), make(chan struct{})
		k, a, _ := guardedTwo(w, FenceStop, hardware, func(c *Config) { c.Driver = deaf{c.Driver.(checked), hangs, end} })
		defer close(end)
		hangs.Store(true)
		w.wait(3 * testTimings.Timeout)
		if _, held := a.Lease(); !held {
			t.Fatal("its heartbeats do not go on")
		}
		k.never()
		a.store.cut(errNoStore)
		w.until("the host is ended", testTimings.Timeout, func() bool { return len(k.all()) > 0 })
		w.comes("vm1", "b", testTimings.Timeout)
	})
}

// TestGoingDown: a host that is shut down moves its VMs, where a daemon that is told to
// stop would leave them running.
func TestGoingDown(t *testing.T) {
	for down, want := range map[bool]string{false: "a", true: "b"} {
		bubble(t, func(t *testing.T, w *world) {
			k, a, _ := guardedTwo(w, FenceStop, hardware, func(c *Config) { c.GoingDown = func() bool { return down } })
			a.stop()
			w.comes("vm1", want, testTimings.Timeout)
			w.wait(testTimings.Timeout)
			k.never()
		})
	}
}

// stuck neither stops nor kills what it runs.
type stuck struct{ checked }

func (stuck) Stop(context.Context, string) error { return errStubborn }

func (stuck) Kill(context.Context, string) error { return errStubborn }

// TestResetWhenNotStopped: what does not stop ends with the host, at D+S+K after the last
// renewal was dated, and is taken over at T.
func TestResetWhenNotStopped(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware, func(c *Config) { c.Driver = stuck{c.Driver.(checked)} })
		until, _ := a.Lease()
		renewed := until - testTimings.Renew
		a.store.cut(errNoStore)
		w.until("the host is ended", testTimings.Timeout, func() bool { return len(k.all()) > 0 })
		if at := k.all()[0]; at < renewed+testTimings.Stopped() || at > renewed+testTimings.Interval+testTimings.Stopped()+100*time.Millisecond {
			t.Errorf("ended %s after the last renewal, want %s", at-renewed, testTimings.Stopped())
		}
		w.comes("vm1", "b", testTimings.Timeout)
	})
}

// TestDaemonDies: its VMs run on, and end with the host; one that is back in time goes on.
func TestDaemonDies(t *testing.T) {
	for name, back := range map[string]bool{"for good": false, "and is back": true} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				k, a, _ := guardedTwo(w, FenceStop, hardware)
				a.kill()
				w.wait(testTimings.Interval)
				if !back {
					w.until("the host is ended", testTimings.Stopped(), func() bool { return len(k.all()) > 0 })
					w.comes("vm1", "b", testTimings.Timeout)
					return
				}
				again := k.daemon(a, k.with(FenceStop))
				w.until("it is admitted", testTimings.Timeout, func() bool {
					h := again.getHolder()
					return h != nil && w.tail().State.Members["a"].Admitted == h.Incarnation()
				})
				w.wait(3 * testTimings.Timeout)
				k.never()
				w.stays("vm1", "a")
				if w.hosts["a"].started != 1 || !k.armed() || w.proof() != record.ProofElapsed {
					t.Errorf("started %d times, armed %t, proof %q", w.hosts["a"].started, k.armed(), w.proof())
				}
			})
		})
	}
}

// TestInheritedDeadline: a daemon that is back extends what its forerunner has handed
// before anybody has admitted it, here for longer than that would have lasted.
func TestInheritedDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, b := guardedTwo(w, FenceStop, hardware)
		b.kill()
		a.kill()
		again := k.daemon(a, k.with(FenceStop))
		w.one(again)
		w.wait(testTimings.Timeout)
		k.never()
		w.stays("vm1", "a")
	})
}

// TestWatchdogDies: it is started again before its device has counted down.
func TestWatchdogDies(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, _, _ := guardedTwo(w, FenceStop, hardware)
		k.mu.Lock()
		k.timer.Stop() // the time until it is back is the keeper's affair
		k.mu.Unlock()
		k.kill()
		w.until("it is armed again", 3*testTimings.Interval, k.armed)
		w.wait(3 * testTimings.Timeout)
		k.never()
		w.stays("vm1", "a")
	})
}

// TestWatchdogThatCannotBeStarted: what it would guard is stopped, as if the lease were
// lost, and nothing starts before it is back.
func TestWatchdogThatCannotBeStarted(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		k.mu.Lock()
		k.absent = true
		k.timer.Stop()
		k.mu.Unlock()
		k.kill()
		w.until("vm1 is stopped", testTimings.Timeout, func() bool { return len(w.runsOn("vm1")) == 0 })
		w.wait(2 * testTimings.Timeout)
		w.stays("vm1", "")
		if l := a.cfg.Memory.Lost(); !a.alarms("the watchdog does not answer") || l == nil || !strings.Contains(l.Why, "does not answer") {
			t.Errorf("%v, remembered: %+v", a.Alarms(), l)
		}
		k.mu.Lock()
		k.absent = false
		k.mu.Unlock()
		w.comes("vm1", "a", 2*testTimings.Timeout)
		k.never()
	})
}

// TestWatchdogIsStopped by a signal: its device ends the host.
func TestWatchdogIsStopped(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, _, _ := guardedTwo(w, FenceStop, hardware)
		k.stop(true)
		w.until("the host is ended", testTimings.Watchdog+time.Second, func() bool { return len(k.all()) > 0 })
		w.comes("vm1", "b", 2*testTimings.Timeout)
	})
}

// TestFreezeDisarms, once the ledger and an answered heartbeat say so; the VMs outlive
// the store, and arm arms.
func TestFreezeDisarms(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		w.ask(record.Request{Action: record.ActFreeze})
		w.until("the watchdog is disarmed", testTimings.Timeout, func() bool { return !k.armed() })
		if w.proof() != record.ProofNothing {
			t.Errorf("the ledger says %q", w.proof())
		}
		a.store.cut(errNoStore)
		w.wait(2 * testTimings.Timeout)
		w.stays("vm1", "a")
		a.store.cut(nil)
		w.until("a has a lease", testTimings.Timeout, func() bool { _, held := a.Lease(); return held })
		w.wait(testTimings.Timeout)
		w.ask(record.Request{Action: record.ActArm})
		w.until("it is armed again", 2*testTimings.Timeout, func() bool { return k.armed() && w.proof() == record.ProofElapsed })
		k.never()
		w.stays("vm1", "a")
	})
}

// TestSoftwareProvesNothing: it is not armed for long, and the VMs run on without a lease.
func TestSoftwareProvesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		soft := hardware
		soft.Software = true
		k, a, b := guardedTwo(w, FenceStop, soft)
		if k.armed() || w.proof() != record.ProofNothing {
			t.Errorf("armed %t, the ledger says %q", k.armed(), w.proof())
		}
		if hb := b.getView().nodes["a"].Last; hb.Unproved == "" {
			t.Error("its heartbeat does not say why")
		}
		a.store.cut(errNoStore)
		w.wait(3 * testTimings.Timeout)
		w.stays("vm1", "a")
		k.never()
	})
}

// TestProofRequired: nothing starts where silence proves nothing.
func TestProofRequired(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		soft := hardware
		soft.Software = true
		k := w.guarded(w.host("a", false, "vm1"), soft)
		a := k.daemon(nil, k.with(FenceStop), func(c *Config) { c.ProofRequired = true })
		w.one(a)
		w.ask(record.Request{Action: record.ActArm})
		w.wait(3 * testTimings.Timeout)
		w.stays("vm1", "")
	})
}

// TestPetsThatFail: less is declared at once, and the watchdog disarmed after the ledger
// says so; until then a lost lease stops the VMs.
func TestPetsThatFail(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, _, _ := guardedTwo(w, FenceStop, hardware)
		k.mu.Lock()
		k.lazy = true
		k.timer.Stop()
		k.mu.Unlock()
		w.until("the ledger says that it proves nothing", testTimings.Timeout, func() bool {
			over := w.proof() == record.ProofNothing
			if !over && !k.armed() {
				t.Fatal("disarmed, and the ledger says that its silence proves something")
			}
			return over
		})
		w.until("the watchdog is disarmed", testTimings.Timeout, func() bool { return !k.armed() })
		k.mu.Lock()
		k.lazy = false
		k.mu.Unlock()
		w.until("it is tried again", 2*retryAfter, func() bool { return k.armed() && w.proof() == record.ProofElapsed })
		k.never()
		w.stays("vm1", "a")
	})
}

// TestLeavesDisarmed: whatever becomes of the VMs, a daemon that was told to stop leaves
// no deadline behind it; one that cannot stop them does.
func TestLeavesDisarmed(t *testing.T) {
	for _, order := range []string{record.LeaveFreeze, record.LeaveMove, record.LeaveStop} {
		t.Run(order, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				k, a, _ := guardedTwo(w, FenceStop, hardware, func(c *Config) { c.OnStop = order })
				a.stop()
				w.wait(2 * testTimings.Timeout)
				k.never()
				if k.armed() {
					t.Error("it is armed")
				}
				w.stays("vm1", map[string]string{record.LeaveFreeze: "a", record.LeaveMove: "b", record.LeaveStop: ""}[order])
			})
		})
	}
	t.Run("stuck", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			k, a, _ := guardedTwo(w, FenceStop, hardware, func(c *Config) {
				c.OnStop, c.Driver = record.LeaveStop, stuck{c.Driver.(checked)}
			})
			a.cancel(context.Canceled)
			w.until("the host is ended", 10*testTimings.Timeout, func() bool { return len(k.all()) > 0 })
		})
	})
	t.Run("by an error", func(t *testing.T) {
		bubble(t, func(t *testing.T, w *world) {
			k, a, _ := guardedTwo(w, FenceStop, hardware)
			w.repair(func(s *ledger.State) {
				delete(s.Members, "a")
				delete(s.VMs, "vm1")
			})
			<-a.done
			if k.armed() || len(w.runsOn("vm1")) > 0 {
				t.Errorf("armed %t, vm1 runs on %v", k.armed(), w.runsOn("vm1"))
			}
			w.wait(testTimings.Timeout)
			k.never()
		})
	})
}

// TestStartsThatFail: a daemon that finds no store costs nothing while another may be in
// time; then the VMs are stopped in order, and the host stays up.
func TestStartsThatFail(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		a.kill()
		deadline := func() time.Duration { s, _ := k.State(); return s.Deadline }()
		for w.now() < deadline {
			r := k.daemon(a, k.with(FenceStop), func(c *Config) { c.Store = cutOff{} })
			<-r.done
			if on := w.runsOn("vm1"); w.now() < deadline-testTimings.StopGrace-testTimings.Kill && len(on) == 0 {
				t.Fatalf("stopped %s before the deadline", deadline-w.now())
			}
			w.wait(testTimings.Interval)
		}
		if k.armed() || len(w.runsOn("vm1")) > 0 && w.runsOn("vm1")[0] == "a" {
			t.Errorf("armed %t, vm1 runs on %v", k.armed(), w.runsOn("vm1"))
		}
		k.never()
	})
}

// cutOff is a store that cannot be had.
type cutOff struct{}

func (cutOff) Get(context.Context, string) (persistence.Object, error) {
	return persistence.Object{}, errNoStore
}
func (cutOff) Put(context.Context, string, []byte) error      { return errNoStore }
func (cutOff) Create(context.Context, string, []byte) error   { return errNoStore }
func (cutOff) Delete(context.Context, string) error           { return errNoStore }
func (cutOff) List(context.Context, string) ([]string, error) { return nil, errNoStore }

// TestOrphanedStart: one that an earlier process left under way may come up at any time;
// where nothing is verified for that the host is ended.
func TestOrphanedStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		a.kill()
		m, err := local.NewOn(a.memory, local.Host{Machine: "machine-a", Boot: "boot-a"})
		if err != nil {
			t.Fatal(err)
		}
		if err := m.Issued("vm1", 1); err != nil {
			t.Fatal(err)
		}
		w.hosts["a"].crash() // it runs no more, and its start was issued
		w.hosts["a"].startErr = errStubborn
		again := k.daemon(a, k.with(FenceStop))
		w.until("it has a lease", testTimings.Timeout, func() bool { _, held := again.Lease(); return held })
		again.store.cut(errNoStore)
		w.until("the host is ended", 2*testTimings.Timeout, func() bool { return len(k.all()) > 0 })
	})
}

// TestShorterTimingsShortenTheWatchdogsDeadline: as those of VMs that stop themselves. None
// of a's heartbeats is answered, so that the deadline it has is one of the long timings; it
// says the short ones, and dies.
func TestShorterTimingsShortenTheWatchdogsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := w.guarded(w.host("a", false, "vm1"), hardware)
		w.host("b", true)
		b := w.start("b", nil, withLongTimings)
		w.one(b)
		a := k.daemon(nil, withLongTimings, k.with(FenceStop))
		w.standby(a)
		w.arm("vm1")
		w.replicated(40, "vm1")
		a.store.mu.Lock()
		a.store.Store = &lossy{Store: w.store, lost: func(key string) bool { return key == record.HeartbeatKey("a") }}
		a.store.mu.Unlock()
		w.ask(record.Request{Action: record.ActFreeze})
		w.until("a has read that it is frozen", 10*time.Second, reads(b, "a", w.frozenAt))
		if ans := w.answer(w.ask(record.Request{Action: record.ActTimings, Timings: &testTimings})); !ans.OK {
			t.Fatalf("answer: %+v", ans)
		}
		w.arm()
		w.until("the silence of a proves", 10*time.Second, func() bool {
			return says(b, "a", testTimings)() && w.proof() == record.ProofElapsed
		})
		w.stays("vm1", "a")
		a.kill()
		w.comes("vm1", "b", 3*testTimings.Timeout)
	})
}

// TestReboot: nothing is stopped in order, the host ends at D.
func TestReboot(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceReboot, hardware)
		until, _ := a.Lease()
		a.store.cut(errNoStore)
		w.until("the host is ended", testTimings.Timeout, func() bool { return len(k.all()) > 0 })
		if at := k.all()[0]; at < until || at > until+testTimings.Interval+100*time.Millisecond {
			t.Errorf("ended %s after the lease", at-until)
		}
		w.comes("vm1", "b", 2*testTimings.Timeout)
	})
}

// TestLogDoesNothing but tell: nothing is proved, and the VMs run on.
func TestLogDoesNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := w.guarded(w.host("a", false, "vm1"), hardware)
		k.is.Software = true // its driver asks for no proof
		b := w.start("b", nil)
		w.one(b)
		a := k.daemon(nil, k.with(FenceLog))
		w.standby(a)
		w.arm("vm1")
		w.until("it is rehearsed", testTimings.Timeout, k.armed)
		a.store.cut(errNoStore)
		w.wait(2 * testTimings.Timeout)
		w.stays("vm1", "a")
		if s, err := k.State(); err != nil || !s.Passed {
			t.Errorf("%+v, %v", s, err)
		}
		a.store.cut(nil)
		w.until("it is rehearsed again", 2*testTimings.Timeout, k.armed)
		if w.proof() == record.ProofElapsed {
			t.Error("the ledger says that its silence proves something")
		}
		k.never()
	})
}

// TestFencedWhileItLives: an operator's word, given wrongly; what runs is killed, and the
// watchdog disarmed.
func TestFencedWhileItLives(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		a.store.cut(errNoStore)
		w.fenced("a")
		a.store.cut(nil)
		w.until("a is admitted again", 5*testTimings.Timeout, func() bool { return w.tail().State.Members["a"].Fence == nil })
		w.until("and armed", testTimings.Timeout, k.armed)
		k.never()
	})
}

// TestAnIdleWorkerIsNotArmed before a VM is given to it.
func TestAnIdleWorkerIsNotArmed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("b", true, "vm1")
		b := w.start("b", nil)
		w.one(b)
		k := w.guarded(w.host("a", false), hardware)
		a := k.daemon(nil, k.with(FenceStop), func(c *Config) { c.Role = ledger.RoleWorker })
		w.standby(a)
		w.arm("vm1")
		w.replicated(10, "vm1")
		if k.armed() {
			t.Error("it is armed")
		}
		b.kill()
		w.hosts["b"].crash()
	})
}

// TestSuspend: a host that slept through its deadline is ended as it wakes, before
// anything else happens.
func TestSuspend(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, _, _ := guardedTwo(w, FenceStop, hardware)
		k.mu.Lock()
		k.timer.Stop() // its device slept too
		k.mu.Unlock()
		k.host.ahead.Store(int64(time.Hour))
		w.until("the host is ended", time.Second, func() bool { return len(k.all()) > 0 })
	})
}
