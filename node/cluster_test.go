package node

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// bubble runs a test on a clock of its own.
func bubble(t *testing.T, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		defer w.end()
		f(t, w)
	})
}

func TestFoundAndJoin(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.until("a is master", 10*time.Second, func() bool { return len(masters(a)) == 1 })
		b := w.start("b", nil)
		w.until("b is standby", 10*time.Second, func() bool { return b.State() == StateStandby })
		if e := w.tail(); e.Epoch != 1 || len(e.State.Members) != 2 || e.State.Armed {
			t.Errorf("ledger: epoch %d, members %v, armed %v", e.Epoch, e.State.Members, e.State.Armed)
		}
		b.stop()
		a.stop()
	})
}

func TestTakeoverAfterDeath(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		w.until("b is standby", 10*time.Second, func() bool { return b.State() == StateStandby })
		w.wait(20 * time.Second)
		epoch := w.tail().Epoch
		a.kill()
		took := w.until("b is master", 2*testTimings.Timeout, func() bool { return len(masters(b)) == 1 })
		if took > testTimings.Timeout+testTimings.Interval {
			t.Errorf("takeover took %s", took)
		}
		if e := w.tail(); e.Epoch != epoch+1 {
			t.Errorf("epoch %d, want one more than %d", e.Epoch, epoch)
		}
		b.stop()
	})
}

func TestGracefulRelease(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		w.until("b is standby", 10*time.Second, func() bool { return b.State() == StateStandby })
		w.wait(5 * time.Second)
		a.stop()
		if took := w.until("b is master", testTimings.Timeout, func() bool { return len(masters(b)) == 1 }); took > 2*testTimings.Interval {
			t.Errorf("handover took %s", took)
		}
		b.stop()
	})
}

// two makes an armed cluster of two hosts with self-stopping VMs.
func two(w *world, self bool) (a, b *running) {
	w.t.Helper()
	w.host("a", self, "vm1", "vm2")
	w.host("b", self, "vm3")
	a = w.start("a", nil)
	w.one(a)
	b = w.start("b", nil)
	w.until("b is standby", 10*time.Second, func() bool { return b.State() == StateStandby })
	w.ask(record.Request{Action: record.ActArm})
	w.until("all run", 20*time.Second, func() bool {
		return len(w.runsOn("vm1")) == 1 && len(w.runsOn("vm2")) == 1 && len(w.runsOn("vm3")) == 1
	})
	for range 10 {
		w.replicate("vm1")
		w.replicate("vm2")
		w.replicate("vm3")
		w.wait(time.Second)
	}
	return a, b
}

func TestFailoverOfSelfStoppingVMs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		a.kill() // the daemon alone: its VMs stop by themselves
		w.until("vm1 and vm2 run on b", 2*testTimings.Timeout+10*time.Second, func() bool {
			one, two := w.runsOn("vm1"), w.runsOn("vm2")
			return len(one) == 1 && one[0] == "b" && len(two) == 1 && two[0] == "b"
		})
		w.until("the failover is complete", 10*time.Second, func() bool { return len(w.tail().State.Failovers) == 0 })
		// The old owner comes back: it starts nothing of what has moved.
		a = w.start("a", a.memory)
		w.until("a is unfenced", 40*time.Second, func() bool { return w.tail().State.Members["a"].Fence == nil })
		w.wait(10 * time.Second)
		if on := w.runsOn("vm1"); len(on) != 1 || on[0] != "b" {
			t.Errorf("vm1 runs on %v", on)
		}
		a.stop()
		b.stop()
	})
}

func TestNoProofNoFailover(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, false)
		a.kill() // its VMs run on, and nobody may take them
		w.wait(5 * testTimings.Timeout)
		if on := w.runsOn("vm1"); len(on) != 1 || on[0] != "a" {
			t.Errorf("vm1 runs on %v", on)
		}
		s := w.tail().State
		if f := s.Members["a"].Fence; f == nil || f.Proof != "" {
			t.Fatalf("fence of a: %+v", f)
		}
		// The operator's word, after the host is really off.
		w.hosts["a"].crash()
		hb := b.getView().nodes["a"].Last
		w.ask(record.Request{Action: record.ActConfirmFenced, Node: "a", Incarnation: hb.Incarnation, Heartbeat: hb.Seq})
		w.until("vm1 runs on b", 10*time.Second, func() bool { on := w.runsOn("vm1"); return len(on) == 1 && on[0] == "b" })
		b.stop()
	})
}

func TestStoreOutageOfOneWithProof(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		a.store.cut(errNoStore)
		w.until("vm1 runs on b", 3*testTimings.Timeout, func() bool { on := w.runsOn("vm1"); return len(on) == 1 && on[0] == "b" })
		if a.State() != StateIsolated {
			t.Errorf("a is %s", a.State())
		}
		a.store.cut(nil)
		w.until("a is unfenced", 40*time.Second, func() bool { return w.tail().State.Members["a"].Fence == nil })
		if on := w.runsOn("vm3"); len(on) != 1 {
			t.Errorf("vm3 runs on %v", on)
		}
		a.stop()
		b.stop()
	})
}

func TestStoreOutageOfAll(t *testing.T) {
	for _, d := range []time.Duration{3 * time.Second, 60 * time.Second} {
		t.Run(d.String(), func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) {
				a, b := two(w, false)
				started := w.hosts["a"].started + w.hosts["b"].started
				a.store.cut(errNoStore)
				b.store.cut(errNoStore)
				w.wait(d)
				a.store.cut(nil)
				b.store.cut(nil)
				w.wait(30 * time.Second)
				w.one(a, b)
				if w.hosts["a"].started+w.hosts["b"].started != started {
					t.Error("VMs were started again after an outage common to all")
				}
				for _, m := range w.tail().State.Members {
					if m.Fence != nil {
						t.Errorf("fenced: %+v", m.Fence)
					}
				}
				a.stop()
				b.stop()
			})
		})
	}
}

func TestStopMovesSelfStoppingVMs(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		a.stop()
		w.until("vm1 runs on b", 15*time.Second, func() bool { on := w.runsOn("vm1"); return len(on) == 1 && on[0] == "b" })
		if v := w.tail().State.VMs["vm1"]; v.Generation != 2 {
			t.Errorf("vm1: %+v", v)
		}
		if g := a.cfg.Memory.Closed("vm1"); g != 1 {
			t.Errorf("generation %d of vm1 is closed on a, though 1 was acknowledged", g)
		}
		a = w.start("a", a.memory)
		w.until("a is back", 40*time.Second, func() bool { return w.tail().State.Members["a"].Left == "" })
		w.wait(10 * time.Second)
		b.stop()
		w.until("vm3 runs on a", 15*time.Second, func() bool { on := w.runsOn("vm3"); return len(on) == 1 && on[0] == "a" })
		a.stop()
	})
}

func TestStopFreezesVMsWithoutProof(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, false)
		a.stop()
		w.wait(4 * testTimings.Timeout)
		if on := w.runsOn("vm1"); len(on) != 1 || on[0] != "a" {
			t.Errorf("vm1 runs on %v", on)
		}
		if f := w.tail().State.Members["a"].Fence; f != nil {
			t.Errorf("a node that left by itself is fenced: %+v", f)
		}
		a = w.start("a", a.memory)
		w.until("a is managed again", 40*time.Second, func() bool { return w.tail().State.Members["a"].Left == "" })
		a.stop()
		b.stop()
	})
}

// TestFounderStartsNothing until the operator arms the cluster; what runs
// already runs on and belongs to its host.
func TestFounderStartsNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", false, "vm1", "vm2")
		w.hosts["a"].vms["vm2"].running = true
		a := w.start("a", nil)
		w.one(a)
		w.wait(30 * time.Second)
		if w.hosts["a"].started != 0 || len(w.runsOn("vm2")) != 1 {
			t.Fatalf("%d started, vm2 on %v", w.hosts["a"].started, w.runsOn("vm2"))
		}
		w.ask(record.Request{Action: record.ActArm})
		w.until("vm1 runs", 5*time.Second, func() bool { return len(w.runsOn("vm1")) == 1 })
	})
}

// TestKillsWhatIsAnothers: a VM that was moved away, and that somebody starts
// again by hand on its old host, is killed there as soon as it is seen.
func TestKillsWhatIsAnothers(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := two(w, false)
		a.kill()
		a = w.start("a", a.memory, func(c *Config) { c.OnStop = record.LeaveMove })
		w.until("a is admitted", 20*time.Second, func() bool {
			return a.State() != StateInitializing && w.tail().State.Members["a"].Admitted == a.cfg.Memory.Incarnation()
		})
		a.stop()
		w.until("vm1 runs on b", 10*time.Second, func() bool { on := w.runsOn("vm1"); return len(on) == 1 && on[0] == "b" })
		a = w.start("a", a.memory)
		w.until("a is admitted", 20*time.Second, func() bool { return w.tail().State.Members["a"].Left == "" })
		w.mu.Lock()
		// b's copy is out of the way, so that the test itself runs nothing twice.
		w.hosts["b"].startErr = errors.New("no memory")
		w.hosts["b"].vms["vm1"].running = false
		w.hosts["a"].vms["vm1"].running = true
		w.mu.Unlock()
		w.until("a has killed it", 3*time.Second, func() bool { return len(w.runsOn("vm1")) == 0 })
	})
}
