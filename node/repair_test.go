package node

import (
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
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

// TestADearListingIsMadeBeforeAClaim: a master slept through a repair, which leaves
// names out, and claims anew the moment it is back: above the repair, though it looks
// for entries by their names.
func TestADearListingIsMadeBeforeAClaim(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil, dear)
		w.one(a)
		// Just after a listing, so that none is due when it comes back.
		lists := make(chan struct{}, 1)
		a.store.on(func(op, key string) error {
			if op == "list" && key == ledger.Folder {
				kick(lists)
			}
			return nil
		})
		<-lists
		w.wait(testTimings.Interval / 2)
		a.store.cut(errNoStore)
		w.wait(testTimings.Renew - testTimings.Interval)
		release := a.store.hungUp() // the beats of the outage do not count on until then
		w.wait(2 * testTimings.Interval)
		w.repair(func(*ledger.State) {})
		repaired := w.tail().Seq
		a.store.cut(nil)
		release()
		w.until("a is master", time.Minute, func() bool { return len(masters(a)) == 1 })
		for seq := uint64(1); seq < repaired; seq++ {
			e, err := ledger.Read(t.Context(), w.store, w.tail().Cluster, seq)
			if err == nil && e.Kind == ledger.KindClaim && e.Epoch > 1 {
				t.Errorf("it claimed epoch %d in entry %d, below the repair in %d", e.Epoch, seq, repaired)
			}
		}
	})
}

// TestDearListingsAreFew: of the ledger in a tenth of the beats, of the requests in each
// of the master's and in a fifth of the others'.
func TestDearListingsAreFew(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil, dear)
		w.one(a)
		b := w.start("b", nil, dear)
		w.standby(b)
		w.wait(5 * time.Second)
		count := func(r *running) (ledgers, requests uint64) {
			s := r.Stats().Requests
			return s["tail"]["list"], s["requests"]["list"]
		}
		al, ar := count(a)
		bl, br := count(b)
		const beats = 100
		w.wait(beats * testTimings.Interval)
		al2, ar2 := count(a)
		bl2, br2 := count(b)
		if n := al2 - al; n < 18 || n > 24 {
			t.Errorf("the master listed the ledger %d times in %d beats", n, beats)
		}
		if n := bl2 - bl; n < 18 || n > 24 {
			t.Errorf("the standby listed the ledger %d times in %d beats", n, beats)
		}
		if n := ar2 - ar; n < 95 || n > 105 {
			t.Errorf("the master listed the requests %d times in %d beats", n, beats)
		}
		if n := br2 - br; n < 18 || n > 22 {
			t.Errorf("the standby listed the requests %d times in %d beats", n, beats)
		}
		// What is asked of a standby is seen all the same.
		w.ask(record.Request{Action: record.ActPromote, Node: "b", Force: true})
		w.until("b is master", 10*testTimings.Interval, func() bool { return len(masters(b)) == 1 })
	})
}
