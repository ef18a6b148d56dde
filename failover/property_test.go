package failover_test

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// die draws from 0 to n - 1, all alike: rapid's own ranges prefer their ends.
func die(t *rapid.T, label string, n int) int {
	v := 0
	for range 6 {
		v *= 2
		if rapid.Bool().Draw(t, label) {
			v++
		}
	}
	return v % n
}

// world draws any state and any observations, also such as no history leads to.
func world(t *rapid.T) *scene {
	s := newScene()
	s.join("d")
	names := []string{"a", "b", "c", "d"}
	st := s.state()
	flag := func(of int, label string) bool { return die(t, label, of) == of-1 }
	pick := func(label string, of ...string) string { return of[die(t, label, len(of))] }
	vms := []string{"u", "v", "w"}
	for _, vm := range vms {
		if vm != "v" && flag(3, "unknown VM") {
			continue
		}
		st.VMs[vm] = ledger.VM{
			Owner: pick("owner", names...), Generation: uint64(rapid.IntRange(1, 4).Draw(t, "generation")),
			Disk: flag(2, "disk"), Snapshot: pick("from", "", "s1", "s3"), Restore: flag(2, "restore"),
		}
	}
	for _, n := range names {
		// Half of the hosts are as in the scene, so that a plan finds somewhere to go.
		if flag(2, "any") {
			s.drawMember(t, n, pick, flag)
		}
		if flag(2, "any inventory") {
			s.drawInventory(t, n, vms, pick, flag)
		}
		if flag(3, "failover") {
			s.drawFailover(t, n, vms, names, pick, flag)
		}
	}
	if flag(2, "b is dead") {
		st.VMs["v"] = ledger.VM{Owner: "b", Generation: 3, Disk: flag(2, "disk")}
		dead(s)
		if flag(4, "and back") {
			s.Inventories["b"] = &record.Inventory{Cluster: "c", Node: "b", Complete: true}
			all(returns("b", "b2"), verified("b", "b2"))(s)
		}
	}
	st.Frozen, st.Armed, st.Debug = flag(16, "frozen"), !flag(16, "unarmed"), flag(16, "debug")
	if flag(16, "repair") {
		st.RepairSeq, st.Repair = uint64(rapid.IntRange(98, 101).Draw(t, "repaired")), map[string]bool{pick("to report", names...): true}
	}
	if flag(4, "booting") {
		s.Began, s.Expect = s.Now-time.Minute, rapid.IntRange(0, 4).Draw(t, "expected")
	}
	s.since[90] = time.Duration(die(t, "since the order", 2)) * time.Hour
	for range die(t, "requests", 3) {
		action := pick("action", record.ActLeave, record.ActPromote, record.ActDemote, record.ActConfirmFenced, record.ActConfirmFenced,
			record.ActUnfence, record.ActForget, record.ActFreeze, record.ActArm, record.ActDebug)
		asks(action, pick("of", names...), func(r *failover.Asked) {
			r.Debug = flag(2, "debug on")
			r.Leave = pick("leave", record.LeaveFreeze, record.LeaveMove, record.LeaveStop)
			if flag(4, "void") {
				r.Void = "old"
			}
		})(s)
	}
	return s
}

type (
	picker  = func(label string, of ...string) string
	flipper = func(of int, label string) bool
)

func (s *scene) drawMember(t *rapid.T, n string, pick picker, flag flipper) {
	member(n, func(m *ledger.Member) {
		m.Admitted = pick("admitted", n+"1", n+"1", n+"2", "")
		m.Role = pick("role", ledger.RoleCandidate, ledger.RoleCandidate, ledger.RoleWorker, ledger.RoleWitness)
		m.Proof = pick("ledger's proof", record.ProofElapsed, record.ProofElapsed, record.ProofNothing)
		m.Maintenance = flag(8, "maintenance")
		if m.Left = pick("left", "", "", "", record.LeaveFreeze, record.LeaveMove, record.LeaveStop); m.Left != "" {
			m.LeftBy = n + "1"
		}
		if flag(3, "fenced") {
			m.Fence = &ledger.Fence{Incarnation: n + "1", Order: 90, Why: "x", Manual: flag(4, "manual")}
			if m.Fence.Proof = pick("proof", "", ledger.ProvedElapsed, ledger.ProvedOperator); m.Fence.Proof != "" {
				m.Fence.Proved = 91 + uint64(die(t, "proved", 10))
			}
		}
	})(s)
	if n == s.Self {
		// Its claim admitted it.
		member(n, func(m *ledger.Member) { m.Admitted = s.Incarnation })(s)
		return
	}
	node(n, func(k *lease.Node) {
		k.Standing = lease.Standing(pick("standing", string(lease.Alive), string(lease.Alive), string(lease.Stale), string(lease.Stale),
			string(lease.Suspect), string(lease.Unseen), string(lease.Unreadable)))
		k.Numbers, k.Moved, k.Still = 1+die(t, "numbers", 3), !flag(4, "never moved"), flag(2, "still")
		k.Last.Incarnation = pick("incarnation", n+"1", n+"1", n+"2")
		k.Last.Proof = pick("heartbeat's proof", record.ProofElapsed, record.ProofElapsed, record.ProofNothing)
		k.Last.Ending = flag(8, "ending")
	})(s)
}

func (s *scene) drawInventory(t *rapid.T, n string, vms []string, pick picker, flag flipper) {
	if flag(6, "no inventory") {
		delete(s.Inventories, n)
		return
	}
	inv := s.inv(n)
	inv.Incarnation = pick("inventory's incarnation", n+"1", n+"1", n+"2")
	inv.Complete, inv.VerifiedStopped = !flag(6, "incomplete"), flag(3, "verified")
	inv.LedgerSeq = 100 - uint64(die(t, "inventory's entry", 13))
	inv.VMs, inv.Datasets, inv.Acks = nil, nil, nil
	for _, vm := range vms {
		known := s.state().VMs[vm]
		if !flag(2, "not there") {
			inv.VMs = append(inv.VMs, record.HostVM{
				Name: vm, State: pick("state", record.VMStopped, record.VMRunning, record.VMUnknown),
				Generation: known.Generation, Snapshots: flag(2, "snapshots"),
			})
		}
		if flag(2, "dataset") {
			ds := record.Dataset{VM: vm, Written: flag(3, "written")}
			ds.Snapshots = snapshots(rapid.Permutation([]string{"s1", "s2", "s3", "s4"}).Draw(t, "snapshots")[:die(t, "many", 5)]...)
			if known.Owner == n && flag(2, "listed") {
				ds.Generation = known.Generation
			}
			inv.Datasets = append(inv.Datasets, ds)
		}
		if flag(3, "ack") {
			inv.Acks = append(inv.Acks, record.Ack{
				Order: uint64(rapid.IntRange(89, 90).Draw(t, "order")), Incarnation: pick("ack's incarnation", n+"1", n+"2"), VM: vm,
				Generation: known.Generation - uint64(rapid.IntRange(0, 1).Draw(t, "older")),
			})
		}
	}
}

func (s *scene) drawFailover(t *rapid.T, n string, vms, names []string, pick picker, flag flipper) {
	var moving []string
	for _, vm := range vms {
		if _, known := s.state().VMs[vm]; known && flag(2, "moving") {
			moving = append(moving, vm)
		}
	}
	journaled(n, moving...)(s)
	for _, vm := range moving {
		move(n, vm, func(mv *ledger.Move) {
			mv.Phase = pick("phase", ledger.MoveWaiting, ledger.MoveWaiting, ledger.MovePlaced, ledger.MoveRunning)
			mv.Acked, mv.To = flag(3, "acked"), pick("to", names...)
			mv.Generation -= uint64(rapid.IntRange(0, 1).Draw(t, "moved on"))
		})(s)
	}
}

// Whatever the state and whatever is seen, no plan breaks what must be so of
// every plan, nor does the next, and the one after it.
func TestAnyPlan(t *testing.T) {
	moved, returned := 0, 0
	check := func(t *rapid.T) {
		s := world(t)
		for range 3 {
			out := s.plan(t)
			if out.State == nil {
				return
			}
			for vm, v := range s.state().VMs {
				if out.State.VMs[vm].Owner != v.Owner {
					moved++
				} else if out.State.VMs[vm].Generation != v.Generation {
					returned++
				}
			}
			e := *s.Tail.Entry
			e.Seq, e.State = e.Seq+1, *out.State
			s.Tail.Entry, s.Requests = &e, nil
		}
	}
	for range 5 { // most states lead nowhere
		rapid.Check(t, check)
	}
	if moved < 8 || returned < 8 {
		t.Errorf("%d moves and %d returns in all: the states reach too little", moved, returned)
	}
}

// The same input twice gives the same plan, and neither plan changes it: plan
// checks so each time; here all at once, over an input with something of all.
func TestPlanIsPure(t *testing.T) {
	s := newScene(
		stale("b"), fenced("b", "", "v"), acks("b", nil), lists("c", record.VMRunning, false),
		asks(record.ActPriority, "c", func(r *failover.Asked) { r.Priority = 4 }),
		asks(record.ActDemote, "a", nil),
		state(func(st *ledger.State) { st.Answers = map[string]ledger.Answer{"gone": {}} }),
	)
	if out := s.plan(t); len(out.Why) < 4 {
		t.Errorf("too little happens to show anything: %v", out.Why)
	}
}
