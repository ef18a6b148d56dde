package node

import (
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// TestAfterARepairWhoRunsAVMOwnsIt: the ledger is repaired from an entry by which
// vm1 was b's; since then it has come to a and runs there. a reads that it belongs
// to b, and does not kill it before the master has learned that a runs it.
func TestAfterARepairWhoRunsAVMOwnsIt(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, false)
		started := w.hosts["a"].started
		a.kill()
		b.kill()
		w.repair(func(s *ledger.State) {
			v := s.VMs["vm1"]
			v.Owner = "b"
			s.VMs["vm1"] = v
		})
		w.start("a", a.memory)
		w.start("b", b.memory)
		w.until("vm1 belongs to a", 60*time.Second, func() bool { return w.tail().State.VMs["vm1"].Owner == "a" })
		w.wait(30 * time.Second)
		w.stays("vm1", "a")
		if w.hosts["a"].started != started {
			t.Error("vm1 was started anew")
		}
	})
}

// TestARepairWaitsForNoWitness: a witness runs nothing and reports nothing.
func TestARepairWaitsForNoWitness(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, false)
		c := w.start("c", nil, witness)
		w.standby(c)
		w.wait(5 * time.Second)
		for _, r := range []*running{a, b, c} {
			r.kill()
		}
		w.repair(func(*ledger.State) {})
		w.start("a", a.memory)
		w.start("b", b.memory)
		w.start("c", c.memory, witness)
		w.until("nobody is waited for", time.Minute, func() bool { return len(w.tail().State.Repair) == 0 })
	})
}
