package node

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// TestStopsAtD: where silence proves that all has stopped, VMs are stopped when
// the lease ends, long before their own deadline.
func TestStopsAtD(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := two(w, true)
		a.store.cut(errNoStore)
		w.wait(testTimings.Renew + 2*testTimings.Interval)
		if on := w.runsOn("vm1"); len(on) != 0 {
			t.Errorf("vm1 runs on %v after D", on)
		}
	})
}

// stubborn neither stops nor kills: what it runs ends by its own deadline alone.
type stubborn struct{ selfStopping }

var errStubborn = errors.New("it does not stop")

func (stubborn) Stop(context.Context, string) error { return errStubborn }

func (stubborn) Kill(context.Context, string) error { return errStubborn }

// TestNoDeadlineIsExtendedBeforeAllHasStopped: the store is back just after the
// lease was lost, and new renewals are answered; what ran under the lost lease
// keeps the deadline that it had.
func TestNoDeadlineIsExtendedBeforeAllHasStopped(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true)
		b := w.start("b", nil)
		w.one(b)
		a := w.start("a", nil, func(c *Config) { c.Driver = stubborn{selfStopping{w.hosts["a"]}} })
		w.until("a is standby", 10*time.Second, func() bool { return a.State() == StateStandby })
		w.ask(record.Request{Action: record.ActArm})
		w.until("vm1 runs", 20*time.Second, func() bool { return len(w.runsOn("vm1")) == 1 })
		w.wait(5 * time.Second)
		a.store.cut(errNoStore)
		w.wait(testTimings.Renew + testTimings.Interval/2)
		a.store.cut(nil)
		w.until("vm1 has stopped itself", testTimings.Timeout, func() bool { return len(w.runsOn("vm1")) == 0 })
		w.until("vm1 runs again, under a new lease", 20*time.Second, func() bool { return len(w.runsOn("vm1")) == 1 })
	})
}

// TestAFencedNodeKillsWhatItOwns, too: it was proved to run nothing, wrongly, and
// nobody else could take its VMs; they start anew there when it is admitted.
func TestAFencedNodeKillsWhatItOwns(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", false, "vm1")
		b := w.start("b", nil, func(c *Config) { c.Role = ledger.RoleWitness })
		w.one(b)
		a := w.start("a", nil)
		w.until("a is standby", 10*time.Second, func() bool { return a.State() == StateStandby })
		w.ask(record.Request{Action: record.ActArm})
		w.until("vm1 runs", 20*time.Second, func() bool { return len(w.runsOn("vm1")) == 1 })
		w.wait(10 * time.Second)
		a.store.cut(errNoStore)
		w.until("a is being fenced", 5*testTimings.Timeout, func() bool { return w.tail().State.Members["a"].Fence != nil })
		hb := b.getView().nodes["a"].Last
		w.ask(record.Request{Action: record.ActConfirmFenced, Node: "a", Incarnation: hb.Incarnation, Heartbeat: hb.Seq})
		w.until("a is fenced", 10*time.Second, func() bool { return w.tail().State.Members["a"].Fence.Proof != "" })
		a.store.cut(nil)
		w.until("a is admitted again", 30*time.Second, func() bool { return w.tail().State.Members["a"].Fence == nil })
		w.until("vm1 runs again", 20*time.Second, func() bool { return len(w.runsOn("vm1")) == 1 })
		if v := w.tail().State.VMs["vm1"]; v.Generation != 2 || w.hosts["a"].started != 2 {
			t.Errorf("%+v, started %d times", v, w.hosts["a"].started)
		}
	})
}
