package node

import (
	"errors"
	"testing"
	"time"
)

// TestAnOldUnresolvedStartBarsOnlyItself: a's daemon died while it started vm2,
// and nobody will ever know whether that start has ended. Its next process loses
// the lease for a while and has to see everything stopped, which the driver shows
// only after the deadline has passed. By then vm2 does not keep it from that any
// more, and vm1 comes back.
func TestAnOldUnresolvedStartBarsOnlyItself(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := two(w, true)
		a.kill()
		w.change(func() {
			w.hosts["a"].vms["vm2"].running = false
			w.hosts["a"].startErr = errors.New("no memory")
		})
		if err := a.cfg.Memory.Issued("vm2", 1); err != nil {
			t.Fatal(err)
		}
		a = w.start("a", a.memory, func(c *Config) { c.Driver = slowKill{selfStopping{w.hosts["a"]}} })
		w.until("a is back", 20*time.Second, func() bool { return a.State() == StateStandby || a.State() == StateMaster })
		w.wait(5 * time.Second)
		a.store.cut(errNoStore)
		w.wait(testTimings.Renew + 2*time.Second) // the lease is lost, and a not fenced yet
		w.change(func() { w.hosts["a"].listErr = errors.New("no answer") })
		a.store.cut(nil)
		w.wait(testTimings.Stopped())
		w.change(func() { w.hosts["a"].listErr, w.hosts["a"].startErr = nil, nil })
		w.until("vm1 runs", 2*time.Minute, func() bool { return len(w.runsOn("vm1")) == 1 })
	})
}

// TestAnUnresolvedStartThatCameUpIsKilled: a's daemon dies before its start of
// vm1 has returned, and the VM is up. The operator says that a runs nothing, and
// vm1 becomes b's. a, back again, has no memory of a start that succeeded, but of
// one that was issued: what runs is its own doing, and ends.
func TestAnUnresolvedStartThatCameUpIsKilled(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", false, "vm1")
		w.host("b", false)
		b := w.start("b", nil)
		w.one(b)
		a := w.start("a", nil, func(c *Config) { c.Driver = endless{w.hosts["a"]} })
		w.standby(a)
		w.wait(10 * time.Second)
		w.arm("vm1")
		w.replicated(7, "vm1")
		a.kill()
		w.fenced("a")
		// b cannot start it, so that the operator's error is seen to be mended.
		w.change(func() { w.hosts["b"].startErr = errors.New("no memory") })
		w.confirmFenced("a", b)
		w.until("vm1 belongs to b", 20*time.Second, func() bool { return w.tail().State.VMs["vm1"].Owner == "b" })
		w.stays("vm1", "a")
		w.start("a", a.memory)
		w.until("a has killed it", 10*time.Second, func() bool { return len(w.runsOn("vm1")) == 0 })
	})
}

// TestATornDeadlineHasPassed: a loss of power left half a file where the VMs'
// deadline was. The daemon begins all the same, sees that nothing runs, and
// starts its VMs under a new one.
func TestATornDeadlineHasPassed(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		whole := false
		a := w.start("a", nil, func(c *Config) { c.Driver = torn{selfStopping{w.hosts["a"]}, &whole} })
		w.one(a)
		w.arm("vm1")
		select {
		case <-a.done:
			t.Errorf("the daemon has ended: %v", a.err)
		case <-time.After(time.Minute):
		}
		w.stays("vm1", "a")
	})
}
