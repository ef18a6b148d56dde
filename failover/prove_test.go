package failover_test

import (
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// looksFor is how long the master has been looking, within the grace of 10 min.
func looksFor(d time.Duration) change { return func(s *scene) { s.Began = s.Now - d } }

func never(n string) change { return node(n, func(k *lease.Node) { k.Moved = false }) }

func TestDetection(t *testing.T) {
	unreadable := func(still bool) change {
		return node("b", func(k *lease.Node) {
			k.Standing, k.Still, k.Problem = lease.Unreadable, still, record.ErrTorn
		})
	}
	expect := func(n int) change { return func(s *scene) { s.Expect = n } }
	for _, c := range []struct {
		name   string
		change change
		fenced bool
		alarm  string
	}{
		{"a host that lives is not failed over", all(), false, ""},
		{"a suspect host is not failed over", standing("b", lease.Suspect), false, ""},
		{"a host of which nothing was seen is not failed over", standing("b", lease.Unseen), false, ""},
		{"a stale host is", stale("b"), true, ""},
		{"a heartbeat that cannot be read is an alarm and no silence", unreadable(false), false, "heartbeat of b is unreadable"},
		{"one that stood still unread for T is failed over", unreadable(true), true, "cannot be read"},
		{"the master never fails itself over", func(s *scene) { s.Nodes["a"] = lease.Node{Standing: lease.Stale} }, false, ""},
		{"a host that owns nothing has nothing to fail over", all(stale("b"), state(func(st *ledger.State) { delete(st.VMs, "v") })), false, ""},
		{"a host that was never admitted started nothing", all(stale("b"), member("b", func(m *ledger.Member) { m.Admitted = "" })), false, ""},
		{
			"a host that left, its VMs running on, is not failed over",
			all(stale("b"), member("b", func(m *ledger.Member) { m.Left = record.LeaveFreeze })), false, "",
		},
		{
			"a host that left, its VMs stopped, is not failed over",
			all(stale("b"), member("b", func(m *ledger.Member) { m.Left = record.LeaveStop })), false, "",
		},
		{
			"a host that fell silent while its VMs were moving is failed over",
			all(stale("b"), journaled("b", "v"), member("b", func(m *ledger.Member) { m.Left = record.LeaveMove })), true, "",
		},
		{
			"a host that fell silent after it had acknowledged all is not",
			all(stale("b"), journaled("b", "v"), move("b", "v", func(mv *ledger.Move) { mv.Acked = true }),
				member("b", func(m *ledger.Member) { m.Left = record.LeaveMove })), false, "",
		},

		{"a frozen cluster fails nobody over", all(stale("b"), frozen), false, ""},
		{"a cluster in debug fails nobody over", all(stale("b"), debug), false, ""},
		{
			"during the grace a host that was never seen to move may be booting", all(stale("b"), never("b"), looksFor(9*time.Minute)), false,
			"b has not been seen since this node began to look",
		},
		{"after the grace it counts as dead", all(stale("b"), never("b"), looksFor(10*time.Minute)), true, ""},
		{"during the grace a host that was seen to move counts as dead", all(stale("b"), looksFor(time.Minute)), true, ""},
		{"enough living nodes end the grace", all(stale("b"), never("b"), looksFor(time.Minute), expect(2)), true, ""},
		{"fewer living nodes than expected do not", all(stale("b"), never("b"), looksFor(time.Minute), expect(3)), false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.change)
			out := s.plan(t)
			fence := after(s, out).Members["b"].Fence
			if (fence != nil) != c.fenced {
				t.Errorf("fenced: %t, want %t", fence != nil, c.fenced)
			}
			wantSaid(t, "alarm", out.Alarms, c.alarm)
		})
	}
}

func TestFenceNamesWhatItSaw(t *testing.T) {
	s := newScene(stale("b"), proves("b", record.ProofNothing, record.ProofNothing))
	st := after(s, s.plan(t))
	f, fo := st.Members["b"].Fence, st.Failovers["b"]
	if f.Incarnation != "b1" || f.Heartbeat != 50 || f.Order != tailSeq+1 || f.Proof != "" {
		t.Errorf("%+v", f)
	}
	if fo.Incarnation != "b1" || fo.Order != tailSeq+1 || fo.Moves["v"].Phase != ledger.MoveWaiting || fo.Moves["v"].Generation != 3 {
		t.Errorf("%+v", fo)
	}
}

func TestFencedTooOftenStaysFenced(t *testing.T) {
	hoursAgo := func(hours ...int) change {
		return member("b", func(m *ledger.Member) {
			for _, h := range hours {
				m.Fences = append(m.Fences, wall.Add(-time.Duration(h)*time.Hour))
			}
		})
	}
	for _, c := range []struct {
		name   string
		change change
		manual bool
		kept   int
	}{
		{"the third fence of a day ends by itself", hoursAgo(1, 2), false, 3},
		{"the fourth does not", hoursAgo(1, 2, 3), true, 4},
		{"those of yesterday do not count", hoursAgo(25, 26, 27, 1), false, 2},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(stale("b"), c.change)
			m := after(s, s.plan(t)).Members["b"]
			if m.Fence.Manual != c.manual || len(m.Fences) != c.kept {
				t.Errorf("manual %t, %d fences; want %t, %d", m.Fence.Manual, len(m.Fences), c.manual, c.kept)
			}
		})
	}
}

// Elapsed time needs all of it; without any of them the failover waits.
func TestElapsedProof(t *testing.T) {
	for _, c := range []struct {
		name   string
		change change
		proved bool
		waits  string
	}{
		{"stale, readable, admitted, declared in both and seen to move", all(), true, ""},
		{"suspect is not enough", standing("b", lease.Suspect), false, "it has not been silent for the takeover timeout"},
		{"unseen is not enough", standing("b", lease.Unseen), false, "it has not been silent for the takeover timeout"},
		{
			"unreadable proves nothing, however long it stands still",
			node("b", func(k *lease.Node) { k.Standing, k.Still = lease.Unreadable, true }), false, "its heartbeat cannot be read",
		},
		{
			"an incarnation that was not admitted proves nothing", node("b", func(k *lease.Node) { k.Last.Incarnation = "b2" }), false,
			"its last heartbeat is of an incarnation that was not admitted",
		},
		{"the ledger does not say elapsed", proves("b", record.ProofElapsed, record.ProofNothing), false, "its silence proves nothing (ledger)"},
		{"the heartbeat does not say elapsed", proves("b", record.ProofNothing, record.ProofElapsed), false, "its silence proves nothing (heartbeat)"},
		{"neither says anything", proves("b", "", ""), false, "its silence proves nothing (ledger)"},
		{"never seen to move, within the grace", all(never("b"), looksFor(time.Minute)), false, "it has not been seen since this node began to look"},
		{"never seen to move, the grace over", all(never("b"), looksFor(time.Hour)), true, ""},
		{"a frozen cluster takes no proof", state(func(st *ledger.State) { st.Frozen = true }), false, ""},
		{"a cluster in debug takes no proof", state(func(st *ledger.State) { st.Debug = true }), false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(stale("b"), fenced("b", "", "v"), c.change)
			out := s.plan(t)
			f := after(s, out).Members["b"].Fence
			if (f.Proof == ledger.ProvedElapsed) != c.proved {
				t.Errorf("proof %q", f.Proof)
			}
			if c.proved && f.Proved != tailSeq+1 {
				t.Errorf("proved in entry %d", f.Proved)
			}
			wantSaid(t, "alarm", out.Alarms, c.waits)
			if !c.proved && after(s, out).VMs["v"].Owner != "b" {
				t.Error("v left b without a proof")
			}
		})
	}
}

func TestAcknowledgements(t *testing.T) {
	for _, c := range []struct {
		name   string
		change change
		acked  bool
	}{
		{"of the admitted incarnation, for the order and the generation", acks("b", nil), true},
		{"of another incarnation", acks("b", func(a *record.Ack) { a.Incarnation = "b0" }), false},
		{"in the inventory of another incarnation", all(acks("b", nil), inventory("b", func(i *record.Inventory) { i.Incarnation = "b0" })), false},
		{"when another incarnation was admitted since", all(acks("b", nil), member("b", func(m *ledger.Member) { m.Admitted = "b2" })), false},
		{"for another order", acks("b", func(a *record.Ack) { a.Order = 89 }), false},
		{"for an older generation", acks("b", func(a *record.Ack) { a.Generation = 2 }), false},
		{"for another VM", acks("b", func(a *record.Ack) { a.VM = "w" }), false},
		{"by another host", acks("c", func(a *record.Ack) { a.Incarnation = "b1" }), false},
		{
			"by a host that does not own it any more",
			all(acks("b", nil), state(func(st *ledger.State) { st.VMs["v"] = ledger.VM{Owner: "c", Generation: 3, Disk: true} })), false,
		},
		{"in a frozen cluster", all(acks("b", nil), state(func(st *ledger.State) { st.Frozen = true })), false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(standing("b", lease.Suspect), fenced("b", "", "v"), c.change)
			owner := s.state().VMs["v"].Owner
			st, _ := s.settles(t)
			if mv := st.Failovers["b"].Moves["v"]; mv.Acked != c.acked {
				t.Errorf("acknowledged: %t, want %t", mv.Acked, c.acked)
			}
			if left := st.VMs["v"].Owner != owner; left != c.acked {
				t.Errorf("v belongs to %s", st.VMs["v"].Owner)
			}
		})
	}
}

// One VM's acknowledgement frees that VM and no other.
func TestAnAcknowledgementFreesOneVM(t *testing.T) {
	s := newScene(
		state(func(st *ledger.State) { st.VMs["w"] = ledger.VM{Owner: "b", Generation: 3} }),
		inventory("c", func(i *record.Inventory) { i.VMs = []record.HostVM{{Name: "w", State: record.VMStopped}} }),
		standing("b", lease.Suspect), fenced("b", "", "v", "w"), acks("b", nil),
	)
	st, _ := s.settles(t)
	if st.VMs["v"].Owner != "c" || st.VMs["w"].Owner != "b" {
		t.Errorf("v belongs to %s, w to %s", st.VMs["v"].Owner, st.VMs["w"].Owner)
	}
}
