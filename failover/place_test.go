package failover_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func TestNewest(t *testing.T) {
	for _, c := range []struct {
		name    string
		owner   string
		replica string
		written bool
		want    string // "" is none
	}{
		{"the furthest of the owner's list that the replica holds", "1 2 3", "1 2", false, "2"},
		{"all of it", "1 2 3", "1 2 3", false, "3"},
		{"gaps do not matter", "1 2 3", "1 3", false, "3"},
		{"the owner's order counts, not the replica's", "1 2 3", "3 1", false, "3"},
		{"made after the list, on a replica that holds its end and is unwritten", "1 2", "1 2 8 9", false, "9"},
		{"made after the list, on a replica that was written to since", "1 2", "1 2 8 9", true, "2"},
		{"made after the list, on a replica without its end", "1 2 3", "1 2 8 9", false, "2"},
		{"another lineage", "1 2 3", "7 8 9", false, ""},
		{"an owner that published nothing", "", "1 2", false, ""},
		{"a replica without snapshots", "1 2", "", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			list := func(s string) []record.Snapshot { return snapshots(strings.Fields(s)...) }
			_, guid, ok := failover.Newest(list(c.owner), record.Dataset{Snapshots: list(c.replica), Written: c.written})
			if guid != c.want || ok != (c.want != "") {
				t.Errorf("%q, %t, want %q", guid, ok, c.want)
			}
		})
	}
}

// dead is b, fenced with proof, v not moved yet.
var dead = all(stale("b"), fenced("b", ledger.ProvedElapsed, "v"))

// service makes v one without a disk, that these hosts have configured.
func service(hosts ...string) change {
	return func(s *scene) {
		s.state().VMs["v"] = ledger.VM{Owner: "b", Generation: 3}
		for _, n := range []string{"a", "b", "c"} {
			s.inv(n).Datasets, s.inv(n).VMs = nil, nil
			if slices.Contains(hosts, n) {
				s.inv(n).VMs = []record.HostVM{{Name: "v", State: record.VMStopped}}
			}
		}
	}
}

func holds(n string, guids ...string) change { return func(s *scene) { s.replica(n, "v", guids...) } }

func priority(n string, p int) change {
	return member(n, func(m *ledger.Member) { m.Priority = p })
}

// ownersList changes what b published of v's disk.
func ownersList(with func(d *record.Dataset)) change {
	return inventory("b", func(i *record.Inventory) { with(&i.Datasets[0]) })
}

func startedFrom(guid string) change {
	return state(func(st *ledger.State) {
		st.VMs["v"] = ledger.VM{Owner: "b", Generation: 3, Disk: true, Snapshot: guid, Restore: true}
	})
}

func TestPlacement(t *testing.T) {
	olderList := ownersList(func(d *record.Dataset) { d.Generation = 2 })
	written := func(n string) change {
		return inventory(n, func(i *record.Inventory) { i.Datasets[0].Written = true })
	}
	owns := func(n string, vms ...string) change {
		return state(func(st *ledger.State) {
			for _, vm := range vms {
				st.VMs[vm] = ledger.VM{Owner: n, Generation: 1}
			}
		})
	}
	for _, c := range []struct {
		name     string
		change   change
		to       string // "b": it stays
		snapshot string
		problem  string
	}{
		{"the host with the newest snapshot of the owner's list", nothing, "c", "s3", ""},
		{"newest before priority", priority("a", 9), "c", "s3", ""},
		{"equal replicas: the higher priority", all(holds("a", "s1", "s2", "s3"), priority("c", 1)), "c", "s3", ""},
		{"equal priority: the host with fewer VMs", all(holds("a", "s1", "s2", "s3"), owns("a", "x", "y"), owns("c", "z")), "c", "s3", ""},
		{"all equal: the first name", holds("a", "s1", "s2", "s3"), "a", "s3", ""},
		{"never by the name of a snapshot", all(holds("a", "s1"), holds("c", "s9", "s2")), "c", "s2", ""},
		{"never by the clock", all(holds("a", "s1", "s2"), holds("c", "s1"), inventory("c", func(i *record.Inventory) {
			i.Datasets[0].Snapshots[0].Created = wall
		})), "a", "s2", ""},
		{"made beyond the owner's list, if it holds the end", all(holds("a", "s1", "s2", "s3"), holds("c", "s1", "s2", "s3", "s4")), "c", "s4", ""},
		{"the further beyond", all(holds("a", "s1", "s2", "s3", "s4", "s5"), holds("c", "s1", "s2", "s3", "s4")), "a", "s5", ""},
		{"beyond counts for nothing without the end", all(holds("a", "s1", "s2", "s4", "s5"), holds("c", "s1", "s2", "s3")), "c", "s3", ""},
		{"beyond counts for nothing on a written replica", all(holds("c", "s1", "s2", "s3", "s4"), written("c")), "c", "s3", ""},
		{
			"replicas of another lineage want the operator", all(holds("a", "t1"), holds("c", "t1", "t2")), "b", "",
			"no snapshot in common with its owner's: the operator has to choose",
		},
		{
			"no replica at all", all(inventory("a", func(i *record.Inventory) { i.Datasets = nil }), inventory("c", func(i *record.Inventory) { i.Datasets = nil })),
			"b", "", "no living host holds a replica of it",
		},

		{
			"the list of an older generation is not used: the snapshot it started from is",
			all(olderList, startedFrom("s2"), holds("a", "s1", "s3"), holds("c", "s1", "s2")), "c", "s2", "",
		},
		{
			"without a list and without such a snapshot no replica can be judged", olderList, "b", "",
			"its owner never published the snapshots of its disk, so no replica can be judged",
		},
		{"the owner's list wins over the snapshot it started from", startedFrom("s1"), "c", "s3", ""},

		{"a service goes to a host that has it configured", service("c"), "c", "", ""},
		{"a service that several have goes by priority", all(service("a", "c"), priority("c", 1)), "c", "", ""},
		{"a service that no living host has", service("b"), "b", "", "no living host has it configured"},

		{"never to a host in maintenance", member("c", func(m *ledger.Member) { m.Maintenance = true }), "a", "s2", ""},
		{"never to one that is being fenced", member("c", func(m *ledger.Member) { m.Fence = &ledger.Fence{Order: 90, Incarnation: "c1", Proof: "x", Proved: 91} }), "a", "s2", ""},
		{"never to one that left", member("c", func(m *ledger.Member) { m.Left, m.LeftBy = record.LeaveFreeze, "c1" }), "a", "s2", ""},
		{"never to a witness", member("c", func(m *ledger.Member) { m.Role = ledger.RoleWitness }), "a", "s2", ""},
		{"to a worker as well", member("c", func(m *ledger.Member) { m.Role = ledger.RoleWorker }), "c", "s3", ""},
		{"never to an incarnation that is not admitted", node("c", func(k *lease.Node) { k.Last.Incarnation, k.Numbers = "c2", 1 }), "a", "s2", ""},
		{"never by the inventory of another incarnation", inventory("c", func(i *record.Inventory) { i.Incarnation = "c0" }), "a", "s2", ""},
		{"never by an inventory without the driver's answer", inventory("c", func(i *record.Inventory) { i.Complete = false }), "a", "s2", ""},
		{"never to a node that runs no VMs", node("c", func(k *lease.Node) { k.Last.NoVMs = true }), "a", "s2", ""},
		{"never to a host that is ending", node("c", func(k *lease.Node) { k.Last.Ending = true }), "a", "s2", ""},
		{"never to a dead host", stale("c"), "a", "s2", ""},
		{"never to a host that is suspect", standing("c", lease.Suspect), "a", "s2", ""},
		{"never to one whose heartbeat cannot be read", standing("c", lease.Unreadable), "a", "s2", ""},
		{
			"nobody lives who could run it", all(stale("c"), member("a", func(m *ledger.Member) { m.Role = ledger.RoleWitness })), "b", "",
			"no other host lives that may run VMs",
		},

		{"nothing moves in a frozen cluster", frozen, "b", "", ""},
		{"nothing moves in a cluster that is not armed", unarmed, "b", "", ""},
		{"nothing moves in debug", debug, "b", "", ""},
		{"nothing moves before all have reported to a repaired ledger", state(func(st *ledger.State) {
			st.Repair, st.RepairSeq = map[string]bool{"c": true}, tailSeq+1
		}), "b", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(dead, c.change)
			// Who was asked and does not answer is waited for only so long.
			s.since[90] = time.Minute
			disk := s.state().VMs["v"].Disk
			out := s.plan(t)
			st := after(s, out)
			want := ledger.VM{Owner: c.to, Generation: 4, Disk: disk, Snapshot: c.snapshot, Restore: disk, Restored: 4}
			if c.to == "b" {
				want = s.state().VMs["v"]
			}
			if d := cmp.Diff(want, st.VMs["v"]); d != "" {
				t.Error(d)
			}
			wantSaid(t, "alarm", out.Alarms, c.problem)
			if c.problem != "" && !strings.Contains(st.Failovers["b"].Moves["v"].Problem, c.problem) {
				t.Errorf("the journal says %q", st.Failovers["b"].Moves["v"].Problem)
			}
		})
	}
}

func TestFreshInventoriesAreWaitedFor(t *testing.T) {
	old := func(n string) change { return inventory(n, func(i *record.Inventory) { i.LedgerSeq = 89 }) }
	after90 := func(d time.Duration) change { return func(s *scene) { s.since[90] = d } }
	for _, c := range []struct {
		name   string
		change change
		moves  bool
	}{
		{"all living hosts have told", nothing, true},
		{"one has not", old("a"), false},
		{"one has published nothing", func(s *scene) { delete(s.Inventories, "a") }, false},
		{"one has not, within a tenth of T and five intervals", all(old("a"), after90(5*time.Second-1)), false},
		{"one has not, and has had its time", all(old("a"), after90(5*time.Second)), true},
		{"a dead host is not waited for", all(old("a"), func(s *scene) {}, holds("c", "s1"), stale("c"), old("c"), inventory("a", func(i *record.Inventory) { i.LedgerSeq = 90 })), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(dead, c.change)
			if moved := after(s, s.plan(t)).VMs["v"].Owner != "b"; moved != c.moves {
				t.Errorf("moved: %t, want %t", moved, c.moves)
			}
		})
	}
}

// From the death to the end: fenced, proved, placed, running, reported.
func TestFailover(t *testing.T) {
	s := newScene(stale("b"))
	st, why := s.settles(t)
	if v := st.VMs["v"]; v.Owner != "c" || v.Generation != 4 || v.Snapshot != "s3" || !v.Restore {
		t.Fatalf("%+v", v)
	}
	if mv := st.Failovers["b"].Moves["v"]; mv.Phase != ledger.MovePlaced || mv.Generation != 3 || mv.To != "c" || mv.Lost == nil {
		t.Errorf("%+v", mv)
	}
	if !st.Members["b"].Fence.Moved {
		t.Error("the fence does not say that a VM has moved")
	}
	wantSaid(t, "reason", why, "MOVING VM: v FROM offline parent: b TO: c at snapshot s3")

	running := func(state string, generation uint64) {
		s.inv("c").VMs = []record.HostVM{{Name: "v", State: state, Generation: generation, Problem: "no disk"}}
	}
	for _, c := range []struct {
		name       string
		state      string
		generation uint64
	}{
		{"stopped", record.VMStopped, 0}, {"unknown", record.VMUnknown, 4}, {"of an older generation", record.VMRunning, 3},
	} {
		running(c.state, c.generation)
		if out := s.plan(t); out.State != nil || !said(out.Alarms, "v does not start on c: no disk") {
			t.Errorf("%s counts as running: %v", c.name, out.Why)
		}
	}
	running(record.VMRunning, 4)
	st, why = s.settles(t)
	if len(st.Failovers) != 0 {
		t.Errorf("%+v", st.Failovers)
	}
	wantSaid(t, "reason", why, "failover of b is complete")
	if st.Members["b"].Fence == nil {
		t.Error("b is not fenced any more, and has not come back")
	}
}

func TestAFailoverEndsOnlyWhenAllRun(t *testing.T) {
	s := newScene(state(func(st *ledger.State) { st.VMs["w"] = ledger.VM{Owner: "b", Generation: 1} }), stale("b"))
	s.settles(t)
	s.inv("c").VMs = []record.HostVM{{Name: "v", State: record.VMRunning, Generation: 4}}
	st, _ := s.settles(t)
	if f, open := st.Failovers["b"]; !open || f.Moves["w"].Phase != ledger.MoveWaiting || f.Moves["w"].Problem == "" {
		t.Fatalf("w runs nowhere, and the failover is %+v", f)
	}
	// A host that has it appears.
	s.inv("a").VMs = []record.HostVM{{Name: "w", State: record.VMStopped}}
	if st, _ = s.settles(t); st.VMs["w"].Owner != "a" {
		t.Fatalf("w belongs to %s", st.VMs["w"].Owner)
	}
	s.inv("a").VMs[0].State, s.inv("a").VMs[0].Generation = record.VMRunning, 2
	if st, _ = s.settles(t); len(st.Failovers) != 0 {
		t.Errorf("all run, and a failover is left: %+v", st.Failovers)
	}
}

func TestATargetThatDiesBeforeItStarts(t *testing.T) {
	s := newScene(stale("b"), priority("c", 1), holds("a", "s2", "s3"))
	if st, _ := s.settles(t); st.VMs["v"].Owner != "c" {
		t.Fatalf("%+v", st.VMs["v"])
	}
	stale("c")(s)
	st, _ := s.settles(t)
	if v := st.VMs["v"]; v.Owner != "a" || v.Generation != 5 || v.Snapshot != "s3" {
		t.Fatalf("%+v", v)
	}
	if _, open := st.Failovers["b"]; open {
		t.Error("the failover of b still has v, which c's has now")
	}
	s.inv("a").VMs = []record.HostVM{{Name: "v", State: record.VMRunning, Generation: 5}}
	if st, _ = s.settles(t); len(st.Failovers) != 0 {
		t.Errorf("v runs, and a failover is left: %+v", st.Failovers)
	}
}

// What c was to start from is all that is known of its disk: a replica without it
// wants the operator.
func TestATargetThatDiesAndLeavesOnlyOlderReplicas(t *testing.T) {
	s := newScene(stale("b"))
	s.settles(t)
	stale("c")(s)
	st, _ := s.settles(t)
	if v := st.VMs["v"]; v.Owner != "c" || v.Generation != 4 {
		t.Fatalf("%+v", v)
	}
	if mv := st.Failovers["c"].Moves["v"]; !strings.Contains(mv.Problem, "the operator has to choose") {
		t.Errorf("%+v", mv)
	}
}

// A move that is left over speaks of an ownership that was the node's once. What
// somebody else owns by now does not go by it.
func TestAMoveOfAnothersVMMovesNothing(t *testing.T) {
	for _, c := range []struct {
		name string
		vm   ledger.VM
	}{
		{"another owns it", ledger.VM{Owner: "c", Generation: 4, Disk: true, Snapshot: "s3"}},
		{"it has begun anew on its owner", ledger.VM{Owner: "b", Generation: 4, Disk: true, Snapshot: "s3"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(standing("b", lease.Suspect), journaled("b", "v"), move("b", "v", func(mv *ledger.Move) { mv.Acked = true }))
			if c.vm.Owner == "c" {
				dead(s)
			}
			s.state().VMs["v"] = c.vm
			if v := after(s, s.plan(t)).VMs["v"]; v.Owner != c.vm.Owner {
				t.Errorf("v went to %s", v.Owner)
			}
		})
	}
}
