package failover_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func TestAdmission(t *testing.T) {
	for _, c := range []struct {
		name   string
		change change
		want   string // the incarnation that is admitted then
	}{
		{"a new incarnation after two of its numbers", returns("b", "b2"), "b2"},
		{"not after one number", all(returns("b", "b2"), node("b", func(k *lease.Node) { k.Numbers = 1 })), "b1"},
		{"not one that holds no lease", all(returns("b", "b2"), node("b", func(k *lease.Node) { k.Last.Held = false })), "b1"},
		{"not one that is suspect", all(returns("b", "b2"), standing("b", lease.Suspect)), "b1"},
		{"not one of which nothing new was seen", all(returns("b", "b2"), standing("b", lease.Unseen)), "b1"},
		{"not one that cannot be read", all(returns("b", "b2"), standing("b", lease.Unreadable)), "b1"},
		{"not one that is ending", all(returns("b", "b2"), node("b", func(k *lease.Node) { k.Last.Ending = true })), "b1"},
		{"a new member", all(returns("b", "b2"), member("b", func(m *ledger.Member) { m.Admitted = "" })), "b2"},
		{"a new incarnation of one that left", all(returns("b", "b2"), member("b", func(m *ledger.Member) {
			m.Left, m.LeftBy = record.LeaveFreeze, "b1"
		})), "b2"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.change)
			m := after(s, s.plan(t)).Members["b"]
			if m.Admitted != c.want {
				t.Errorf("admitted: %q, want %q", m.Admitted, c.want)
			}
			if c.want == "b2" && (m.Left != "" || m.LeftBy != "" || m.Fence != nil) {
				t.Errorf("what was of b1 bars b2: %+v", m)
			}
		})
	}
}

func TestWhatHeartbeatsDeclareIsWrittenDown(t *testing.T) {
	s := newScene(node("b", func(k *lease.Node) {
		k.Last.Proof, k.Last.URL, k.Last.Version = record.ProofNothing, "http://b", "2.0"
	}))
	m := after(s, s.plan(t)).Members["b"]
	if m.Proof != record.ProofNothing || m.URL != "http://b" || m.Version != "2.0" {
		t.Errorf("%+v", m)
	}
	s = newScene(stale("b"), node("b", func(k *lease.Node) { k.Last.Proof = record.ProofElapsed }),
		member("b", func(m *ledger.Member) { m.Proof = record.ProofNothing }))
	if m := after(s, s.plan(t)).Members["b"]; m.Proof != record.ProofNothing {
		t.Error("a heartbeat that stands still raised what its node's silence proves")
	}
}

// What silence proves is taken over from a heartbeat at once where it is less;
// more only from a node that has read that the cluster is armed.
func TestNoProofWhereVMsRunOn(t *testing.T) {
	reads := func(seq uint64) change { return node("b", func(k *lease.Node) { k.Last.LedgerSeq = seq }) }
	armedAt90 := state(func(st *ledger.State) { st.ArmedAt = 90 })
	for _, c := range []struct {
		name   string
		change change
		want   string
	}{
		{"armed, and read by the node", all(armedAt90, reads(90)), record.ProofElapsed},
		{"armed, and not read by the node yet", all(armedAt90, reads(89)), record.ProofNothing},
		{"frozen", all(armedAt90, reads(90), frozen), record.ProofNothing},
		{"left with its VMs running on", all(armedAt90, reads(90), member("b", func(m *ledger.Member) {
			m.Left, m.LeftBy = record.LeaveFreeze, "b1"
		})), record.ProofNothing},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.change)
			if got := after(s, s.plan(t)).Members["b"].Proof; got != c.want {
				t.Errorf("its silence proves %q, want %q", got, c.want)
			}
		})
	}
}

// A node that comes back before there was a proof cancels its failover.
func TestReturnBeforeProof(t *testing.T) {
	ackedV := move("b", "v", func(mv *ledger.Move) { mv.Acked = true })
	withW := state(func(st *ledger.State) { st.VMs["w"] = ledger.VM{Owner: "b", Generation: 5} })
	for _, c := range []struct {
		name   string
		change change
		vms    map[string]ledger.VM
		open   bool // a failover is left
	}{
		{
			"the same incarnation goes on: its VMs run on", fenced("b", "", "v"),
			map[string]ledger.VM{"v": {Owner: "b", Generation: 3, Disk: true}},
			false,
		},
		{
			"another incarnation: its VMs run on", all(fenced("b", "", "v"), returns("b", "b2")),
			map[string]ledger.VM{"v": {Owner: "b", Generation: 3, Disk: true}},
			false,
		},
		{
			"another incarnation: what was acknowledged starts there again at the next generation, and nothing is rolled back",
			all(withW, fenced("b", "", "v", "w"), ackedV, returns("b", "b2")),
			map[string]ledger.VM{"v": {Owner: "b", Generation: 4, Disk: true}, "w": {Owner: "b", Generation: 5}},
			false,
		},
		{
			"the same incarnation goes on: what was acknowledged moves, all else runs on",
			all(withW, fenced("b", "", "v", "w"), ackedV),
			map[string]ledger.VM{"v": {Owner: "c", Generation: 4, Snapshot: "s3", Restore: true, Restored: 4, Disk: true}, "w": {Owner: "b", Generation: 5}},
			true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.change)
			st, why := s.settles(t)
			if st.Members["b"].Fence != nil {
				t.Errorf("b is still being fenced")
			}
			if d := cmp.Diff(c.vms, st.VMs); d != "" {
				t.Error(d)
			}
			if _, open := st.Failovers["b"]; open != c.open {
				t.Errorf("a failover of b: %t", open)
			}
			if mv, waits := st.Failovers["b"].Moves["w"]; waits {
				t.Errorf("w runs on, and its move is %s", mv.Phase)
			}
			wantSaid(t, "reason", why, "cancel the failover of b")
		})
	}
}

func TestReturnAfterProof(t *testing.T) {
	back := all(fenced("b", ledger.ProvedElapsed, "v"), returns("b", "b2"))
	// Nobody else can take v.
	alone := all(stale("c"), inventory("a", func(i *record.Inventory) { i.Datasets = nil }), state(func(st *ledger.State) { delete(st.Members, "c") }))
	for _, c := range []struct {
		name     string
		change   change
		admitted bool
		alarm    string
	}{
		{"verified stopped, by this incarnation, since the proof", verified("b", "b2"), true, ""},
		{"nothing published yet", func(s *scene) { delete(s.Inventories, "b") }, false, "has not verified yet that nothing runs there"},
		{"not verified", all(verified("b", "b2"), inventory("b", func(i *record.Inventory) { i.VerifiedStopped = false })), false, "has not verified"},
		{"verified without an answer of the driver", all(verified("b", "b2"), inventory("b", func(i *record.Inventory) { i.Complete = false })), false, "has not verified"},
		{"verified by another incarnation", verified("b", "b1"), false, "has not verified"},
		{"verified before the proof was written down", all(verified("b", "b2"), inventory("b", func(i *record.Inventory) { i.LedgerSeq = 94 })), false, "has not verified"},
		{"fenced too often", all(verified("b", "b2"), member("b", func(m *ledger.Member) { m.Fence.Manual = true })), false, "stays so until: hoster-ha unfence b"},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(back, alone, c.change)
			out := s.plan(t)
			st := after(s, out)
			if got := st.Members["b"].Admitted == "b2"; got != c.admitted || (st.Members["b"].Fence == nil) != c.admitted {
				t.Errorf("admitted %t, fence %v", got, st.Members["b"].Fence)
			}
			wantSaid(t, "alarm", out.Alarms, c.alarm)
			want := ledger.VM{Owner: "b", Generation: 3, Disk: true}
			if c.admitted {
				// What was proved and has not moved restarts on its owner.
				want.Generation = 4
			}
			if d := cmp.Diff(want, st.VMs["v"]); d != "" {
				t.Error(d)
			}
		})
	}
}

// A restart on the owner rolls nothing back, also where the VM once came from a
// snapshot: the restore is that of the generation that ordered it, done or not.
func TestRestartOnTheOwnerRollsNothingBack(t *testing.T) {
	s := newScene(
		state(func(st *ledger.State) {
			st.VMs["v"] = ledger.VM{Owner: "b", Generation: 3, Disk: true, Snapshot: "s1", Restore: true, Restored: 2}
		}),
		fenced("b", ledger.ProvedElapsed, "v"), returns("b", "b2"), verified("b", "b2"),
	)
	v := after(s, s.plan(t)).VMs["v"]
	if v.Owner != "b" || v.Generation != 4 || v.Restored != 2 {
		t.Errorf("%+v", v)
	}
}

func TestWhatHasMovedStaysWhereItIs(t *testing.T) {
	s := newScene(
		fenced("b", ledger.ProvedElapsed, "v"),
		move("b", "v", func(mv *ledger.Move) { mv.Phase, mv.To, mv.Snapshot = ledger.MovePlaced, "c", "s3" }),
		state(func(st *ledger.State) {
			st.VMs["v"] = ledger.VM{Owner: "c", Generation: 4, Disk: true, Snapshot: "s3", Restore: true}
		}),
		returns("b", "b2"), verified("b", "b2"),
	)
	st := after(s, s.plan(t))
	if st.VMs["v"].Owner != "c" || st.VMs["v"].Generation != 4 {
		t.Errorf("%+v", st.VMs["v"])
	}
	if st.Members["b"].Admitted != "b2" || st.Failovers["b"].Moves["v"].Phase != ledger.MovePlaced {
		t.Error("the return ended a move that was under way")
	}
}

// A move that is left over is of an ownership that was the node's once.
func TestAReturnTouchesOnlyWhatItsNodeOwns(t *testing.T) {
	s := newScene(fenced("b", ledger.ProvedElapsed, "v"), returns("b", "b2"), verified("b", "b2"))
	v := ledger.VM{Owner: "c", Generation: 4, Disk: true, Snapshot: "s3", Restore: true}
	s.state().VMs["v"] = v
	if d := cmp.Diff(v, after(s, s.plan(t)).VMs["v"]); d != "" {
		t.Error(d)
	}
}

// A master that was fenced under an earlier incarnation is barred until it has
// verified that it runs nothing, though its claim admitted it.
func TestAFencedNodeThatIsMasterIsBarred(t *testing.T) {
	fencedSelf := member("a", func(m *ledger.Member) {
		m.Fence = &ledger.Fence{Incarnation: "a0", Order: 80, Proof: ledger.ProvedElapsed, Proved: 85}
	})
	s := newScene(fencedSelf)
	if st := after(s, s.plan(t)); st.Members["a"].Fence == nil {
		t.Error("its claim ended its fence")
	}
	s = newScene(fencedSelf, inventory("a", func(i *record.Inventory) { i.VerifiedStopped = true }))
	if st := after(s, s.plan(t)); st.Members["a"].Fence != nil {
		t.Error("verified, and still fenced")
	}
}

// A fence was proved and its very incarnation goes on: a contradiction.
func TestAFencedNodeThatGoesOnIsAnAlarm(t *testing.T) {
	s := newScene(fenced("b", ledger.ProvedElapsed))
	out := s.plan(t)
	if after(s, out).Members["b"].Fence == nil {
		t.Error("the fence ended")
	}
	wantSaid(t, "alarm", out.Alarms, "its heartbeat goes on")
}
