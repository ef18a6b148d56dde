package node

import (
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func leaves(how string) func(*Config) { return func(c *Config) { c.OnStop = how } }

// TestLeavingMovesWhatNeverCameUpHere: avm is given to b, which cannot make its
// disk, and whose driver does not know it. When b leaves, its own zvm moves, and
// so does avm: what was never there need not be seen to stop.
func TestLeavingMovesWhatNeverCameUpHere(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", false, "avm")
		w.host("b", false, "zvm")
		w.host("c", false)
		c := w.start("c", nil)
		w.one(c)
		fail := true
		a := w.start("a", nil)
		b := w.start("b", nil, leaves(record.LeaveMove), func(c *Config) {
			c.Driver, c.Provider, c.Priority = patient{w.hosts["b"]}, unprepared{disks{w.hosts["b"]}, &fail}, 10
		})
		w.standby(a, b)
		w.arm("avm", "zvm")
		w.replicated(12, "avm", "zvm")
		w.powerOff(a)
		w.fenced("a")
		w.confirmFenced("a", c)
		w.until("avm belongs to b", 30*time.Second, func() bool { return w.tail().State.VMs["avm"].Owner == "b" })
		w.wait(2 * time.Second)
		b.stop()
		w.comes("zvm", "c", 30*time.Second)
		w.comes("avm", "c", 30*time.Second)
	})
}

// TestALeaveOfWhomNobodyWaitsIsRefused: a asks to leave while there is no master,
// gives up, stops its VM, and ends. b, master at last, finds the request. Were it
// granted, a would have left with VMs that run on, and nobody could take them.
func TestALeaveOfWhomNobodyWaitsIsRefused(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true)
		c := w.start("c", nil, witness)
		w.one(c)
		a := w.start("a", nil, leaves(record.LeaveFreeze), func(c *Config) { c.Promotion = PromotionManual })
		b := w.start("b", nil, leaves(record.LeaveFreeze))
		w.standby(a, b)
		w.arm("vm1")
		w.replicated(15, "vm1")
		c.kill()
		b.store.on(func(op, key string) error {
			if op == "create" && strings.HasPrefix(key, "ledger") {
				return errNoStore // no claim of b gets through
			}
			return nil
		})
		a.stop()
		w.stays("vm1", "")
		if m := masters(b); len(m) > 0 {
			t.Fatalf("%v is master", m)
		}
		b.store.cut(nil)
		w.comes("vm1", "b", 2*time.Minute)
		if m := w.tail().State.Members["a"]; m.Left != "" {
			t.Errorf("a: %+v", m)
		}
	})
}

// TestAFreezeThatCouldNotLetGo: the ledger says that a left with its VM running,
// and then a's store is gone: no heartbeat says that the VM has no deadline any
// more, and it stops. Nobody knows that but the operator: the master asks.
func TestAFreezeThatCouldNotLetGo(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true)
		b := w.start("b", nil)
		w.one(b)
		a := w.start("a", nil, leaves(record.LeaveFreeze))
		w.standby(a)
		w.arm("vm1")
		w.replicated(12, "vm1")
		a.store.on(func(op, _ string) error {
			if op == "put" && w.tail().State.Members["a"].Left != "" {
				return errNoStore
			}
			return nil
		})
		a.stop()
		w.stays("vm1", "")
		w.until("the operator is asked", 3*testTimings.Timeout, func() bool { return b.alarms("hoster-ha confirm-fenced a") })
		w.wait(3 * time.Minute)
		w.stays("vm1", "")
		if s := w.tail().State; s.VMs["vm1"].Owner != "a" || s.Members["a"].Left != record.LeaveFreeze {
			t.Errorf("vm1: %+v, a: %+v", s.VMs["vm1"], s.Members["a"])
		}
		w.confirmFenced("a", b)
		w.comes("vm1", "b", 30*time.Second)
		w.until("the alarm is over", testTimings.Timeout, func() bool { return !b.alarms("confirm-fenced") })
	})
}
