package failover_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

type asked = failover.Asked

// request is one request to newScene, and its whole answer.
type request struct {
	name    string
	change  change // before it is asked
	action  string
	node    string
	with    func(r *asked)
	ok      bool
	text    string
	then    func(st *ledger.State) bool // what has become of it
	release bool
	heir    string
}

var (
	frozen   = state(func(st *ledger.State) { st.Frozen = true })
	unarmed  = state(func(st *ledger.State) { st.Armed = false })
	debug    = state(func(st *ledger.State) { st.Debug = true })
	nothing  = all()
	newcomer = &record.Join{Role: ledger.RoleWorker, Priority: 3, Machine: "m", Key: "k", URL: "u", Version: "1"}
)

func joins(j *record.Join) func(r *asked) { return func(r *asked) { r.Join = j } }

func bound(machine, key string) change {
	return member("b", func(m *ledger.Member) { m.Machine, m.Key = machine, key })
}

func debugs(on bool) func(r *asked) { return func(r *asked) { r.Debug = on } }

func leaves(how string) func(r *asked) { return func(r *asked) { r.Leave = how } }

func TestRequests(t *testing.T) {
	ts, _ := lease.NewTimings(2*lease.DefaultTimeout, lease.DefaultInterval)
	tooShort := ts
	tooShort.Renew = ts.Timeout
	noVMs := state(func(st *ledger.State) { st.VMs = nil })
	left := func(how string) func(st *ledger.State) bool {
		return func(st *ledger.State) bool {
			_, moving := st.Failovers["b"]
			m := st.Members["b"]
			return m.Left == how && m.LeftBy == "b1" && m.Fence == nil && moving == (how == record.LeaveMove)
		}
	}
	for _, c := range []request{
		{
			name: "a node joins", action: record.ActJoin, node: "d", with: joins(newcomer), ok: true, text: "d is a member now",
			then: func(st *ledger.State) bool {
				want := ledger.Member{Role: ledger.RoleWorker, Priority: 3, Machine: "m", Key: "k", URL: "u", Version: "1"}
				return cmp.Equal(st.Members["d"], want)
			},
		},
		{name: "a join of nobody", action: record.ActJoin, with: joins(newcomer), text: "a join without the node's particulars"},
		{name: "a join without particulars", action: record.ActJoin, node: "d", text: "a join without the node's particulars"},
		{
			name: "a name that is bound to another machine", change: bound("other", "k"), action: record.ActJoin, node: "b", with: joins(newcomer),
			text: `the name "b" is bound to another machine or another --state-dir`,
		},
		{
			name: "a name that is bound to another key", change: bound("m", "other"), action: record.ActJoin, node: "b", with: joins(newcomer),
			text: `the name "b" is bound to another machine or another --state-dir`,
		},
		{
			name: "a join again", change: bound("m", "k"), action: record.ActJoin, node: "b", with: joins(newcomer), ok: true, text: "b is a member already",
			then: func(st *ledger.State) bool { return st.Members["b"].Admitted == "b1" },
		},

		{
			name: "freeze", action: record.ActFreeze, ok: true, text: "no VM is started, stopped or failed over until: hoster-ha arm",
			then: func(st *ledger.State) bool { return st.Frozen },
		},
		{
			name: "arm", change: all(frozen, unarmed), action: record.ActArm, ok: true, text: "the cluster is armed",
			then: func(st *ledger.State) bool { return st.Armed && !st.Frozen },
		},
		{
			name: "timings while frozen", change: frozen, action: record.ActTimings, with: func(r *asked) { r.Timings = &ts }, ok: true,
			text: "timeout 1m0s, interval 1s", then: func(st *ledger.State) bool { return st.Timings == ts },
		},
		{
			name: "timings while not frozen", action: record.ActTimings, with: func(r *asked) { r.Timings = &ts },
			text: "timings change only while the cluster is frozen: hoster-ha freeze",
		},
		{
			name: "timings that do not fit", change: frozen, action: record.ActTimings, with: func(r *asked) { r.Timings = &tooShort },
			text: "is more than the timeout 1m0s",
		},
		{
			name: "debug mode while frozen", change: frozen, action: record.ActDebug, with: debugs(true), ok: true,
			text: "after hoster-ha arm everything is logged and nothing done",
			then: func(st *ledger.State) bool { return st.Debug && st.Frozen && len(st.Repair) == 0 },
		},
		{
			name: "debug mode while not frozen", action: record.ActDebug, with: debugs(true),
			text: "debug mode changes only while the cluster is frozen: hoster-ha freeze", then: func(st *ledger.State) bool { return !st.Debug },
		},
		{
			name: "debug mode before all have read the freeze", action: record.ActDebug, with: debugs(true),
			change: all(frozen, state(func(st *ledger.State) { st.FrozenAt = tailSeq }), node("b", func(k *lease.Node) { k.Last.LedgerSeq = tailSeq - 1 }),
				node("c", func(k *lease.Node) { k.Last.LedgerSeq = tailSeq }), func(s *scene) { s.Own.LedgerSeq = tailSeq }),
			text: "b has not read yet that the cluster is frozen; ask again",
		},
		{
			name: "debug mode during a failover", change: all(frozen, stale("b"), fenced("b", "", "v")), action: record.ActDebug, with: debugs(true),
			text: "a failover of b is under way",
		},
		{name: "debug mode again", change: debug, action: record.ActDebug, with: debugs(true), ok: true, text: "the cluster is in debug mode already"},
		{name: "no debug mode again", action: record.ActDebug, with: debugs(false), ok: true, text: "the cluster is not in debug mode"},
		{
			name: "the end of debug mode while not frozen", change: debug, action: record.ActDebug, with: debugs(false),
			text: "debug mode changes only while the cluster is frozen: hoster-ha freeze", then: func(st *ledger.State) bool { return st.Debug },
		},
		{
			name: "the end of debug mode", change: all(frozen, debug, member("c", func(m *ledger.Member) { m.Role = ledger.RoleWitness })),
			action: record.ActDebug, with: debugs(false), ok: true,
			text: "debug mode is off; who runs a VM owns it, once all members have said what they run: hoster-ha arm",
			then: func(st *ledger.State) bool {
				return !st.Debug && st.RepairSeq == tailSeq+1 && cmp.Equal(st.Repair, map[string]bool{"a": true, "b": true})
			},
		},
		{
			name: "the end of debug mode with no VMs", change: all(frozen, debug, noVMs), action: record.ActDebug, with: debugs(false), ok: true,
			text: "debug mode is off", then: func(st *ledger.State) bool { return !st.Debug && len(st.Repair) == 0 },
		},
		{name: "no timings", change: frozen, action: record.ActTimings, text: "no timings given"},

		{name: "a node that is none", action: record.ActPriority, node: "x", text: `no node "x" in this cluster (its nodes: a, b, c)`},
		{name: "an action of a later version", action: "dance", node: "b", text: `this version knows no "dance"`},
		{
			name: "priority", action: record.ActPriority, node: "b", with: func(r *asked) { r.Priority = 9 }, ok: true, text: "priority of b is 9, was 0",
			then: func(st *ledger.State) bool { return st.Members["b"].Priority == 9 },
		},

		{
			name: "leave, the VMs running on", action: record.ActLeave, node: "b", with: leaves(record.LeaveFreeze), ok: true,
			text: "b leaves: freeze", then: left(record.LeaveFreeze),
		},
		{
			name: "leave, the VMs stopped", action: record.ActLeave, node: "b", with: leaves(record.LeaveStop), ok: true,
			text: "b leaves: stop", then: left(record.LeaveStop),
		},
		{
			name: "leave, the VMs moving", action: record.ActLeave, node: "b", with: leaves(record.LeaveMove), ok: true,
			text: "b leaves: move", then: left(record.LeaveMove),
		},
		{
			name: "leave with nothing to move", change: noVMs, action: record.ActLeave, node: "b", with: leaves(record.LeaveMove), ok: true,
			text: "b leaves: move", then: func(st *ledger.State) bool { return len(st.Failovers) == 0 },
		},
		{
			name: "nothing moves from a frozen cluster", change: frozen, action: record.ActLeave, node: "b", with: leaves(record.LeaveMove), ok: true,
			text: "b leaves: freeze", then: left(record.LeaveFreeze),
		},
		{
			name: "nothing moves from a cluster that is not armed", change: unarmed, action: record.ActLeave, node: "b", with: leaves(record.LeaveMove),
			ok: true, text: "b leaves: freeze", then: left(record.LeaveFreeze),
		},
		{
			name: "nothing moves in debug", change: debug, action: record.ActLeave, node: "b", with: leaves(record.LeaveMove), ok: true,
			text: "b leaves: freeze", then: left(record.LeaveFreeze),
		},
		{
			name: "nobody stops VMs in debug", change: debug, action: record.ActLeave, node: "b", with: leaves(record.LeaveStop), ok: true,
			text: "b leaves: freeze", then: left(record.LeaveFreeze),
		},
		{name: "leave in no way that there is", action: record.ActLeave, node: "b", with: leaves("run"), text: `no way to leave is called "run"`},
		{
			name: "an incarnation that is not admitted leaves", action: record.ActLeave, node: "b",
			with: func(r *asked) { r.Leave, r.Incarnation = record.LeaveStop, "b0" }, text: "incarnation b0 of b is not the admitted one",
		},
		{
			name: "a fenced node leaves", change: all(stale("b"), fenced("b", "", "v")), action: record.ActLeave, node: "b",
			with: leaves(record.LeaveStop), text: "b is fenced: x",
		},

		{
			name: "promote", change: member("b", func(m *ledger.Member) { m.HoldBack = true }), action: record.ActPromote, node: "b", ok: true,
			text: "a hands the mastership to b", release: true, heir: "b", then: func(st *ledger.State) bool { return !st.Members["b"].HoldBack },
		},
		{
			name: "promote a witness", change: member("b", func(m *ledger.Member) { m.Role = ledger.RoleWitness }), action: record.ActPromote, node: "b",
			ok: true, text: "a hands the mastership to b", release: true, heir: "b",
		},
		{name: "promote the master", action: record.ActPromote, node: "a", ok: true, text: "a is the master already"},
		{
			name: "promote a worker", change: member("b", func(m *ledger.Member) { m.Role = ledger.RoleWorker }), action: record.ActPromote, node: "b",
			text: "b is a worker and never master",
		},
		{name: "promote the silent", change: standing("b", lease.Suspect), action: record.ActPromote, node: "b", text: "b does not live (suspect)"},
		{
			name: "promote one that was never seen", change: func(s *scene) { delete(s.Nodes, "b") }, action: record.ActPromote, node: "b",
			text: "b does not live (unseen)",
		},
		{
			name: "promote a hot backup", change: node("b", func(k *lease.Node) { k.Last.State = failover.StateHotBackup }), action: record.ActPromote,
			node: "b", text: "b is a hot backup and never claims",
		},
		{
			name: "demote", action: record.ActDemote, node: "a", ok: true, text: "a gives the mastership up and holds back while another can claim",
			release: true, then: func(st *ledger.State) bool { return st.Members["a"].HoldBack },
		},
		{name: "demote one that is not master", action: record.ActDemote, node: "b", text: "b is not the master, a is"},

		{
			name: "confirm-fenced", change: all(stale("b"), proves("b", "", "")), action: record.ActConfirmFenced, node: "b", ok: true,
			text: "b is taken to run nothing", then: func(st *ledger.State) bool {
				f := st.Members["b"].Fence
				return f.Proof == ledger.ProvedOperator && f.Proved == tailSeq+1 && st.Failovers["b"].Moves["v"].Generation == 3
			},
		},
		{
			name: "confirm-fenced of one that is being fenced", change: all(stale("b"), proves("b", "", ""), fenced("b", "", "v")),
			action: record.ActConfirmFenced, node: "b", ok: true, text: "b is taken to run nothing",
			then: func(st *ledger.State) bool { return st.Members["b"].Fence.Order == 90 },
		},
		{
			name: "confirm-fenced of one that cannot be read", change: node("b", func(k *lease.Node) { k.Standing = lease.Unreadable }),
			action: record.ActConfirmFenced, node: "b", ok: true, text: "b is taken to run nothing",
		},
		{name: "confirm-fenced of one that lives", action: record.ActConfirmFenced, node: "b", text: "b lives: its heartbeat was seen to move"},
		{name: "confirm-fenced of the master", action: record.ActConfirmFenced, node: "a", text: "a lives: its heartbeat was seen to move"},
		{
			name: "confirm-fenced of an older heartbeat", change: stale("b"), action: record.ActConfirmFenced, node: "b",
			with: func(r *asked) { r.Heartbeat = 49 }, text: "b wrote a newer heartbeat than the one confirmed (b1 49)",
		},
		{
			name: "confirm-fenced of another incarnation", change: stale("b"), action: record.ActConfirmFenced, node: "b",
			with: func(r *asked) { r.Incarnation = "b0" }, text: "b wrote a newer heartbeat than the one confirmed (b0 50)",
		},
		{
			name: "confirm-fenced twice", change: all(stale("b"), fenced("b", ledger.ProvedElapsed)), action: record.ActConfirmFenced, node: "b", ok: true,
			text: "b is fenced already, proof: elapsed",
		},
		{name: "a cluster in debug confirms no fence", change: all(stale("b"), debug), action: record.ActConfirmFenced, node: "b", text: "debug"},

		{
			name: "unfence", change: all(stale("b"), fenced("b", ledger.ProvedElapsed), member("b", func(m *ledger.Member) { m.Fence.Manual = true })),
			action: record.ActUnfence, node: "b", ok: true, text: "b may rejoin", then: func(st *ledger.State) bool {
				m := st.Members["b"]
				return m.Fence != nil && !m.Fence.Manual && len(m.Fences) == 0
			},
		},
		{name: "unfence one that is not fenced", action: record.ActUnfence, node: "b", text: "b is not fenced"},
		{
			name: "unfence one that rejoins by itself", change: all(stale("b"), fenced("b", ledger.ProvedElapsed)), action: record.ActUnfence, node: "b",
			text: "b rejoins by itself when it is back and has verified that it runs nothing",
		},

		{
			name: "forget one that is fenced", change: all(stale("b"), noVMs, fenced("b", ledger.ProvedElapsed)), action: record.ActForget, node: "b",
			ok: true, text: "b is forgotten", then: func(st *ledger.State) bool { _, there := st.Members["b"]; return !there },
		},
		{
			name: "forget one that left", change: all(stale("b"), noVMs, member("b", func(m *ledger.Member) { m.Left = record.LeaveStop })),
			action: record.ActForget, node: "b", ok: true, text: "b is forgotten",
		},
		{
			name: "forget one that was never admitted", change: all(stale("b"), noVMs, member("b", func(m *ledger.Member) { m.Admitted = "" })),
			action: record.ActForget, node: "b", ok: true, text: "b is forgotten",
		},
		{name: "forget the master", action: record.ActForget, node: "a", text: "a is the master"},
		{name: "forget one that lives", change: noVMs, action: record.ActForget, node: "b", text: "b lives; stop it first"},
		{name: "forget one that owns VMs", change: all(stale("b"), fenced("b", "", "v")), action: record.ActForget, node: "b", text: "b owns v"},
		{
			name: "forget one that is not fenced", change: all(stale("b"), noVMs), action: record.ActForget, node: "b",
			text: "b neither left nor is it fenced: hoster-ha confirm-fenced b",
		},
		{
			name: "forget one whose fence is not proved", change: all(stale("b"), noVMs, proves("b", "", ""), fenced("b", "")), action: record.ActForget,
			node: "b", text: "b neither left nor is it fenced: hoster-ha confirm-fenced b",
		},

		{
			name: "a request that is void", action: record.ActFreeze, with: func(r *asked) { r.Void = "entry 99 is a newer claim" },
			text: "void: entry 99 is a newer claim", then: func(st *ledger.State) bool { return !st.Frozen },
		},
	} {
		t.Run(c.name, func(t *testing.T) { c.check(t) })
	}
}

func (c request) check(t *testing.T) {
	change := c.change
	if change == nil {
		change = nothing
	}
	s := newScene(change, asks(c.action, c.node, c.with))
	out := s.plan(t)
	st := after(s, out)
	ans, answered := st.Answers["r1"]
	if !answered || ans.OK != c.ok {
		t.Fatalf("answered %t: %+v", answered, ans)
	}
	wantSaid(t, "answer", []string{ans.Text}, c.text)
	if c.then != nil && !c.then(st) {
		t.Errorf("not what was asked for: %+v", st)
	}
	if out.Release != c.release || out.Successor != c.heir {
		t.Errorf("release %t to %q, want %t to %q", out.Release, out.Successor, c.release, c.heir)
	}
	if d := cmp.Diff([]string{"r1"}, out.Requests); d != "" {
		t.Errorf("executed: %s", d)
	}
	if d := cmp.Diff([]string{"op"}, out.By); d != "" {
		t.Errorf("by: %s", d)
	}
	if !c.ok {
		wantSaid(t, "reason", out.Why, "refuse "+c.action)
	}
}

func TestAnswersAreGivenOnce(t *testing.T) {
	s := newScene(asks(record.ActFreeze, "", nil), state(func(st *ledger.State) {
		st.Answers = map[string]ledger.Answer{"r1": {OK: true}, "gone": {OK: true}, "missed": {OK: true, At: tailSeq - 19}}
	}))
	out := s.plan(t)
	if out.State != nil || !cmp.Equal(out.Drop, []string{"r1"}) {
		t.Errorf("an entry: %t, to be dropped: %v", out.State != nil, out.Drop)
	}
	// With the next entry the answer goes whose request is gone, but for one that may only
	// be missed by this listing.
	asks(record.ActFreeze, "", nil)(s)
	st := after(s, s.plan(t))
	if _, kept := st.Answers["gone"]; kept || !st.Answers["missed"].OK || len(st.Answers) != 3 {
		t.Errorf("%v", st.Answers)
	}
}

func TestAFloodOfRequestsIsWorkedOffInParts(t *testing.T) {
	s := newScene()
	for range 120 {
		asks(record.ActPriority, "b", func(r *asked) { r.Priority = len(s.Requests) })(s)
	}
	out := s.plan(t)
	if len(out.Requests) == 0 || len(out.Requests) >= 120 || out.Requests[0] != "r1" {
		t.Errorf("%d requests in one entry", len(out.Requests))
	}
	st, _ := s.settles(t)
	for i := 1; i <= 120; i++ {
		if !st.Answers[fmt.Sprintf("r%d", i)].OK {
			t.Fatalf("request %d was never answered", i)
		}
	}
	if st.Members["b"].Priority != 119 {
		t.Errorf("priority %d: not in the order of asking", st.Members["b"].Priority)
	}
}

// What was in force before is kept, the longest of each, with the number of the
// entry that changed it last.
func TestTimingsBeforeAreKept(t *testing.T) {
	founded := newScene().state().Timings
	longer, _ := lease.NewTimings(2*lease.DefaultTimeout, lease.DefaultInterval)
	shorter, _ := lease.NewTimings(lease.DefaultTimeout/3, lease.DefaultInterval/2)
	rare, _ := lease.NewTimings(lease.DefaultTimeout, 2*lease.DefaultInterval)
	type timings = lease.Timings
	for _, c := range []struct {
		name   string
		set    [][]timings // asked for, entry by entry
		seq    uint64
		before timings
	}{
		{"changed once", [][]timings{{shorter}}, tailSeq + 1, founded},
		{"changed twice, the longest in between", [][]timings{{longer}, {shorter}}, tailSeq + 2, longer},
		{"changed twice, the longest in the end", [][]timings{{shorter}, {longer}}, tailSeq + 2, founded},
		{"changed thrice, the longest of each", [][]timings{{longer}, {rare}, {shorter}}, tailSeq + 3, longer.Max(rare)},
		{"set to what they are", [][]timings{{founded}}, 0, timings{}},
		{"set to what they are after a change", [][]timings{{shorter}, {shorter}}, tailSeq + 1, founded},
		{"changed twice in one entry: no heartbeat has said the first", [][]timings{{longer, shorter}}, tailSeq + 1, founded},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(frozen)
			for _, entry := range c.set {
				s.Requests = nil
				for _, ts := range entry {
					asks(record.ActTimings, "", func(r *asked) { r.Timings = &ts })(s)
				}
				s.state().Answers = nil
				st := after(s, s.plan(t))
				s.Tail.Entry = &ledger.Entry{Cluster: "c", Seq: s.Tail.Seq + 1, Epoch: 7, Node: "a", Incarnation: "a1", State: *st}
			}
			st, last := s.state(), c.set[len(c.set)-1]
			if st.Timings != last[len(last)-1] || st.TimingsSeq != c.seq {
				t.Errorf("timings %+v of entry %d, want those of %d", st.Timings, st.TimingsSeq, c.seq)
			}
			if d := cmp.Diff(c.before, st.TimingsBefore); d != "" {
				t.Error(d)
			}
		})
	}
}
