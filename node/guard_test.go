package node

import (
	"context"
	"strings"
	"sync/atomic"
	"testing"
	"time"

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

// TestHungStoreWhileTheHostHasToTell: the loop that verifies is not held by what it tells
// the store.
func TestHungStoreWhileTheHostHasToTell(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		defer a.store.hungUp()()
		w.wait(testTimings.Renew - testTimings.Interval)
		w.change(func() { w.hosts["a"].vms["new"] = &fakeVM{} })
		kick(a.kickHost)
		w.until("vm1 is stopped, and nothing armed", testTimings.StopGrace+testTimings.Kill+testTimings.Interval, func() bool {
			return len(w.runsOn("vm1")) == 0 && !k.armed()
		})
		k.never()
	})
}

// TestStoreThatFailsAndThenHangs: the beat that finds the lease lost hangs after that.
func TestStoreThatFailsAndThenHangs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k, a, _ := guardedTwo(w, FenceStop, hardware)
		until, _ := a.Lease()
		a.store.cut(errNoStore)
		w.wait(until - w.now() - testTimings.Interval/2)
		release := a.store.hungUp()
		defer release()
		a.store.cut(nil)
		w.until("vm1 is stopped, and nothing armed", testTimings.StopGrace+testTimings.Kill+testTimings.Interval/2, func() bool {
			return len(w.runsOn("vm1")) == 0 && !k.armed()
		})
		k.never()
	})
}

// TestFirstAnswerLost: the watchdog is armed, its answer does not come, and it stands still
// for a while: what it is armed with is obeyed.
func TestFirstAnswerLost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := w.guarded(w.host("a", false, "vm1"), hardware)
		k.is.Software = true // its driver asks for no proof
		w.host("b", true)
		b := w.start("b", nil)
		w.one(b)
		a := k.daemon(nil, k.with(FenceStop))
		w.standby(a)
		w.ask(record.Request{Action: record.ActArm})
		k.mu.Lock()
		k.lose = true
		k.mu.Unlock()
		w.until("its answer is lost", testTimings.Timeout, func() bool {
			k.mu.Lock()
			defer k.mu.Unlock()
			return k.stopped
		})
		w.wait(testTimings.Renew) // it was never petted: its device does not count
		k.stop(false)
		w.wait(2 * testTimings.Timeout)
		k.never()
		w.stays("vm1", "a")
	})
}

// TestNotArmedNotGuarded: VMs that ran before the cluster was armed could not be started
// again; they outlive the store.
func TestNotArmedNotGuarded(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		k := w.guarded(w.host("a", false, "vm1"), hardware)
		w.hosts["a"].vms["vm1"].running = true
		w.host("b", true)
		b := w.start("b", nil)
		w.one(b)
		a := k.daemon(nil, k.with(FenceStop))
		w.until("vm1 is a's", 2*testTimings.Timeout, func() bool { return w.tail().State.VMs["vm1"].Owner == "a" })
		for end := w.now() + testTimings.Timeout; w.now() < end; w.wait(testTimings.Interval / 10) {
			if k.armed() || w.proof() == record.ProofElapsed {
				t.Fatalf("armed %t, the ledger says %q", k.armed(), w.proof())
			}
		}
		a.store.cut(errNoStore)
		w.wait(2 * testTimings.Timeout)
		a.store.cut(nil)
		w.wait(testTimings.Timeout)
		w.stays("vm1", "a")
		w.ask(record.Request{Action: record.ActArm})
		w.until("it is armed", testTimings.Timeout, k.armed)
		k.never()
	})
}

// TestNothingIsArmedAtTheEnd: a daemon that was told to end may read only then that it is
// admitted.
func TestNothingIsArmedAtTheEnd(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("b", true, "vm2")
		b := w.start("b", nil)
		w.one(b)
		w.arm("vm2")
		k := w.guarded(w.host("a", false, "vm1"), hardware)
		a := k.daemon(nil, k.with(FenceStop))
		w.until("a is about to be admitted", 3*testTimings.Timeout, func() bool { return a.getHolder() != nil })
		a.host.quit()
		w.until("vm1 is a's", testTimings.Timeout, func() bool { return w.tail().State.VMs["vm1"].Owner == "a" })
		w.wait(testTimings.Timeout)
		if k.armed() {
			t.Error("it is armed")
		}
		w.stays("vm1", "")
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
