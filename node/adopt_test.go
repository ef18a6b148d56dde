package node

import (
	"errors"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func noProvider(c *Config) { c.Provider = nil }

func (w *world) unmanaged(vm string) {
	w.t.Helper()
	if v, ok := w.tail().State.VMs[vm]; ok {
		w.t.Errorf("%s was adopted: %+v", vm, v)
	}
}

// TestNothingIsAdoptedFromUnderASilentMember: while the cluster is frozen, a runs
// a VM that no entry knows, and b has it configured. a falls silent and its VM
// runs on; the cluster is armed. That b could run the VM does not make it b's.
func TestNothingIsAdoptedFromUnderASilentMember(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", false)
		w.host("b", false)
		b := w.start("b", nil, noProvider)
		w.one(b)
		a := w.start("a", nil, noProvider)
		w.standby(a)
		w.arm()
		w.wait(5 * time.Second)
		w.ask(record.Request{Action: record.ActFreeze})
		w.wait(5 * time.Second)
		w.change(func() {
			w.hosts["a"].vms["svc"] = &fakeVM{running: true}
			w.hosts["b"].vms["svc"] = &fakeVM{}
		})
		w.wait(5 * time.Second)
		a.kill()
		w.wait(30 * time.Second)
		w.arm()
		w.wait(20 * time.Second)
		w.unmanaged("svc")
		w.stays("svc", "a")
		if !b.alarms("svc is not managed yet") {
			t.Errorf("alarms: %q", b.Alarms())
		}
	})
}

// TestANewMasterAdoptsNothingOfAMemberThatLeft: a was master and leaves; what is
// started there afterwards, nobody tells. b takes over, and finds the same VM
// configured at home. Only when a has told what it runs is it known to be a's.
func TestANewMasterAdoptsNothingOfAMemberThatLeft(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", false)
		w.host("b", false)
		a := w.start("a", nil, noProvider)
		w.one(a)
		b := w.start("b", nil, noProvider)
		w.standby(b)
		w.arm()
		w.wait(12 * time.Second)
		a.stop()
		w.change(func() { w.hosts["a"].vms["svc"] = &fakeVM{running: true} })
		w.one(b)
		w.change(func() { w.hosts["b"].vms["svc"] = &fakeVM{} })
		w.wait(30 * time.Second)
		w.unmanaged("svc")
		w.stays("svc", "a")
		w.start("a", a.memory, noProvider)
		w.until("svc is adopted", 30*time.Second, func() bool { return w.tail().State.VMs["svc"].Owner == "a" })
		w.stays("svc", "a")
	})
}

// TestAHostWithoutADriverBarsNoAdoption: it runs no VMs, and so has nothing to
// tell that others would have to wait for.
func TestAHostWithoutADriverBarsNoAdoption(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		w.host("a", false, "vm1")
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		w.standby(b)
		w.wait(30 * time.Second)
		w.change(func() { w.hosts["a"].vms["new"] = &fakeVM{} })
		w.until("new is adopted", 30*time.Second, func() bool { return w.tail().State.VMs["new"].Owner == "a" })
	})
}

// TestAVMWhoseSnapshotsWereListedLateHasADisk: when a's VM appears, its pool is
// still being imported and no snapshots are listed. The VM is not one without a
// disk for that: after a's death b starts it from its replica.
func TestAVMWhoseSnapshotsWereListedLateHasADisk(t *testing.T) {
	for name, err := range map[string]error{"not listed": errors.New("the pool is being imported"), "none listed": nil} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T, w *world) { listedLate(t, w, err) })
		})
	}
}

func listedLate(t *testing.T, w *world, err error) {
	w.host("a", true, "vm1")
	w.host("b", true)
	b := w.start("b", nil)
	w.one(b)
	fail := true
	a := w.start("a", nil, func(c *Config) { c.Provider = unlisted{disks{w.hosts["a"]}, &fail, err} })
	w.standby(a)
	w.wait(3 * time.Second)
	if err != nil {
		w.unmanaged("vm1") // nobody knows yet what a has
	}
	w.change(func() { fail = false })
	w.arm("vm1")
	w.replicated(20, "vm1")
	w.powerOff(a)
	w.comes("vm1", "b", 60*time.Second)
	if v := w.tail().State.VMs["vm1"]; !v.Disk || v.Snapshot == "" {
		t.Errorf("vm1: %+v", v)
	}
}
