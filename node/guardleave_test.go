package node

import (
	"context"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

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
			w.until("a ends", testTimings.Timeout, func() bool {
				select {
				case <-a.done:
					return true
				default:
					return false
				}
			})
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
