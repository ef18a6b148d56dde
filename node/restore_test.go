package node

import (
	"errors"
	"testing"
	"time"
)

// TestARestoreThatWasNotDoneStaysOrdered: vm1 is given to b, which cannot make
// its replica the disk, and dies. Back again it is given vm1 anew, under a higher
// generation: the disk it never made is still to be made.
func TestARestoreThatWasNotDoneStaysOrdered(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true)
		c := w.start("c", nil, witness)
		w.one(c)
		a := w.start("a", nil)
		fail := true
		busy := func(c *Config) { c.Provider = unprepared{disks{w.hosts["b"]}, &fail} }
		b := w.start("b", nil, busy)
		w.standby(a, b)
		w.arm("vm1")
		w.replicated(15, "vm1")
		w.powerOff(a)
		w.until("vm1 is given to b", 40*time.Second, func() bool { return w.tail().State.VMs["vm1"].Owner == "b" })
		w.wait(2 * time.Second)
		w.powerOff(b)
		w.until("b is fenced", 60*time.Second, func() bool {
			f := w.tail().State.Members["b"].Fence
			return f != nil && f.Proof != ""
		})
		w.wait(5 * time.Second)
		w.change(func() { fail = false })
		w.start("b", b.memory, busy)
		w.unfenced("b")
		w.comes("vm1", "b", 60*time.Second)
		if v := w.tail().State.VMs["vm1"]; !v.Restore || v.Generation <= v.Restored {
			t.Errorf("vm1: %+v", v)
		}
	})
}

// TestARestoreIsDoneOnce: vm1 has moved to b, runs there and writes. b dies and
// comes back before anybody else could take vm1: it starts where it was, and not
// from the snapshot that it was moved at.
func TestARestoreIsDoneOnce(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true)
		c := w.start("c", nil, witness)
		w.one(c)
		a, b := w.start("a", nil), w.start("b", nil)
		w.standby(a, b)
		w.arm("vm1")
		w.replicated(15, "vm1")
		w.powerOff(a)
		w.comes("vm1", "b", 60*time.Second)
		w.replicated(15, "vm1")
		wrote := len(w.hosts["b"].vms["vm1"].disk)
		w.powerOff(b)
		w.fenced("b")
		w.start("b", b.memory)
		w.unfenced("b")
		w.comes("vm1", "b", 60*time.Second)
		if kept := len(w.hosts["b"].vms["vm1"].disk); kept != wrote {
			t.Errorf("vm1 had %d snapshots and has %d", wrote, kept)
		}
		if v := w.tail().State.VMs["vm1"]; !v.Restore || v.Generation <= v.Restored {
			t.Errorf("vm1: %+v", v)
		}
	})
}

// TestAnOldFailoverBarsNoNewStart: of a's VMs one has moved to b, and the other
// cannot start on c, so that a's failover lasts. a comes back, b dies, and vm1
// moves to a: that it once moved away from there does not keep it from starting,
// nor from moving away again when a dies once more.
func TestAnOldFailoverBarsNoNewStart(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1", "vm2")
		w.host("b", true)
		w.host("c", true)
		d := w.start("d", nil, witness)
		w.one(d)
		first := func(c *Config) { c.Priority = 10 }
		a, b, c := w.start("a", nil, first), w.start("b", nil), w.start("c", nil)
		w.standby(a, b, c)
		w.arm("vm1", "vm2")
		w.replicated(15, "vm1", "vm2")
		w.change(func() { w.hosts["c"].startErr = errors.New("broken") })
		w.powerOff(a)
		w.comes("vm1", "b", 60*time.Second)
		a = w.start("a", a.memory, first)
		w.unfenced("a")
		w.wait(10 * time.Second)
		if f, ok := w.tail().State.Failovers["a"]; !ok || f.Moves["vm2"].To != "c" {
			t.Fatalf("the failover of a: %+v", f)
		}
		w.powerOff(b)
		w.comes("vm1", "a", 60*time.Second)
		w.start("b", b.memory)
		w.unfenced("b")
		w.replicated(15, "vm1")
		if _, ok := w.tail().State.Failovers["a"]; !ok {
			t.Fatal("the failover of a is over")
		}
		w.powerOff(a)
		w.until("vm1 moves away again", 60*time.Second, func() bool { return w.tail().State.VMs["vm1"].Owner != "a" })
		w.change(func() { w.hosts["c"].startErr = nil })
		w.until("both run", 2*time.Minute, func() bool { return len(w.runsOn("vm1")) == 1 && len(w.runsOn("vm2")) == 1 })
	})
}

// TestADisabledNodeIsGivenNothing: it would start nothing.
func TestADisabledNodeIsGivenNothing(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", true, "vm1")
		w.host("b", true)
		w.host("c", true)
		c := w.start("c", nil)
		w.one(c)
		a := w.start("a", nil)
		b := w.start("b", nil, func(c *Config) { c.Mode = ModeDisabled })
		w.standby(a)
		w.until("b follows", 10*time.Second, func() bool { return b.State() == StateHotBackup })
		w.arm("vm1")
		w.replicated(15, "vm1")
		w.powerOff(a)
		w.comes("vm1", "c", 60*time.Second)
	})
}
