package failover_test

import (
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// lists: a host reports x, a VM that the ledger does not know.
func lists(n, state string, disk bool) change {
	return inventory(n, func(i *record.Inventory) {
		i.VMs = append(i.VMs, record.HostVM{Name: "x", State: state, Snapshots: disk})
	})
}

func TestAdoption(t *testing.T) {
	const running, stopped, unknown = record.VMRunning, record.VMStopped, record.VMUnknown
	silentToo := func(n string) change { return all(stale(n), func(s *scene) { delete(s.Inventories, n) }) }
	for _, c := range []struct {
		name     string
		change   change
		owner    string // "" is not adopted
		conflict string
		alarm    string
	}{
		{"it runs on one host", lists("b", running, true), "b", "", ""},
		{"it runs on one and lies stopped on another", all(lists("a", stopped, true), lists("c", running, false)), "c", "", ""},
		{"unknown counts as running", all(lists("a", stopped, false), lists("c", unknown, false)), "c", "", ""},
		{"it lies stopped on one host", lists("c", stopped, true), "c", "", ""},
		{"a service that several have: the highest priority", all(lists("a", stopped, false), lists("c", stopped, false), priority("c", 1)), "c", "", ""},
		{"a service that several have: the fewest VMs", all(lists("b", stopped, false), lists("c", stopped, false)), "c", "", ""},

		{"it runs on two", all(lists("a", running, false), lists("c", running, false)), "", "it runs on several hosts", "x is not managed"},
		{"it runs on one and is unknown on another", all(lists("a", running, false), lists("c", unknown, false)), "", "it runs on several hosts", "x is not managed"},
		{"stopped, with a disk on two", all(lists("a", stopped, true), lists("c", stopped, true)), "", "several hosts hold a disk of it as their own", "x is not managed"},

		{"not before every member has told", all(lists("a", stopped, true), silentToo("c")), "", "", "c has not said what it runs"},
		{
			"not by what another incarnation told", all(lists("a", stopped, true), inventory("c", func(i *record.Inventory) { i.Incarnation = "c0" })),
			"", "", "c has not said what it runs",
		},
		{
			"not by what was told without the driver's answer", all(lists("a", stopped, true), inventory("c", func(i *record.Inventory) { i.Complete = false })),
			"", "", "c has not said what it runs",
		},
		{"not while a member that told is silent now: it may run it since", all(lists("a", stopped, true), stale("c")), "", "", "c has not said what it runs"},
		{"not while one that told has left", all(lists("a", stopped, true), member("c", func(m *ledger.Member) {
			m.Left, m.LeftBy = record.LeaveFreeze, "c1"
		})), "", "", "c has not said what it runs"},
		{
			"not while one that told is ending", all(lists("a", stopped, true), node("c", func(k *lease.Node) { k.Last.Ending = true })),
			"", "", "c has not said what it runs",
		},
		{"a witness has nothing to tell", all(lists("a", stopped, true), silentToo("c"), member("c", func(m *ledger.Member) { m.Role = ledger.RoleWitness })), "a", "", ""},
		{"one that left is not there to be asked", all(lists("a", stopped, true), silentToo("c"), member("c", func(m *ledger.Member) { m.Left = record.LeaveStop })), "", "", "c has not said what it runs"},
		{"one that is proved to run nothing has told", all(lists("a", stopped, true), silentToo("c"), fenced("c", ledger.ProvedElapsed)), "a", "", ""},
		{"one that is being fenced has not", all(lists("a", stopped, true), silentToo("c"), fenced("c", "")), "", "", "c has not said what it runs"},

		// Who cannot be given a VM may run it all the same.
		{"it runs on a member that has fallen silent: nobody else's", all(lists("a", stopped, false), lists("c", running, false), stale("c")), "-a", "", ""},
		{"it runs on a member that left with its VMs running: nobody else's", all(lists("a", stopped, false), lists("c", running, false), stale("c"),
			member("c", func(m *ledger.Member) { m.Left, m.LeftBy = record.LeaveFreeze, "c1" })), "-a", "", ""},
		{"it runs on a member in maintenance: nobody else's", all(lists("a", stopped, false), lists("c", running, false),
			member("c", func(m *ledger.Member) { m.Maintenance = true })), "-a", "", ""},
		{"it runs on a member that is being fenced: nobody else's", all(lists("a", stopped, false), lists("c", running, false), stale("c"), fenced("c", "")), "-a", "", ""},
		{"it lies stopped with a disk on a silent member and another", all(lists("a", stopped, true), lists("c", stopped, true), stale("c")), "-a", "", ""},

		{"not in a frozen cluster", all(lists("b", running, true), frozen), "", "", ""},
		{"not in debug", all(lists("b", running, true), debug), "", "", ""},
		{"in a cluster that is not armed as well: it runs there already", all(lists("b", running, true), unarmed), "b", "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(proves("b", record.ProofElapsed, record.ProofElapsed), proves("c", "", ""), c.change)
			out := s.plan(t)
			st := after(s, out)
			x, adopted := st.VMs["x"]
			switch {
			case c.owner == "-a" && x.Owner == "a":
				t.Error("a may start it while another runs it")
			case c.owner != "-a" && x.Owner != c.owner:
				t.Errorf("it belongs to %q, want %q", x.Owner, c.owner)
			}
			if adopted && (x.Generation != 1 || x.Restore || x.Snapshot != "") {
				t.Errorf("%+v", x)
			}
			if got := st.Conflicts["x"].Why; c.owner != "-a" && got != c.conflict {
				t.Errorf("conflict %q, want %q", got, c.conflict)
			}
			wantSaid(t, "alarm", out.Alarms, c.alarm)
		})
	}
}

func TestAnAdoptedVMHasADiskWhereItsHostHasOne(t *testing.T) {
	for _, disk := range []bool{true, false} {
		s := newScene(lists("b", record.VMRunning, disk))
		if x := after(s, s.plan(t)).VMs["x"]; x.Disk != disk {
			t.Errorf("disk %t, want %t", x.Disk, disk)
		}
	}
}

func TestAConflictEnds(t *testing.T) {
	s := newScene(lists("a", record.VMRunning, false), lists("c", record.VMRunning, false))
	st, _ := s.settles(t)
	if d := cmp.Diff(ledger.Conflict{Nodes: []string{"a", "c"}, Why: "it runs on several hosts"}, st.Conflicts["x"]); d != "" {
		t.Fatal(d)
	}
	if out := s.plan(t); out.State != nil {
		t.Errorf("a conflict that stands is written down again: %v", out.Why)
	}
	s.inv("a").VMs = []record.HostVM{{Name: "x", State: record.VMStopped}}
	st, _ = s.settles(t)
	if _, conflict := st.Conflicts["x"]; conflict || st.VMs["x"].Owner != "c" {
		t.Errorf("%+v, %+v", st.Conflicts, st.VMs["x"])
	}
}

// reports: a member has joined the repaired ledger and says what it runs.
func reports(n, state string) change {
	return inventory(n, func(i *record.Inventory) {
		i.LedgerSeq = tailSeq
		i.VMs = []record.HostVM{{Name: "v", State: state, Generation: 3}}
	})
}

// repaired: the ledger was repaired at the newest entry; these have not reported.
func repaired(missing ...string) change {
	return all(state(func(st *ledger.State) {
		st.Armed, st.RepairSeq, st.Repair = false, tailSeq, map[string]bool{"a": true, "b": true, "c": true}
	}), func(s *scene) {
		for _, n := range missing {
			s.inv(n).LedgerSeq = tailSeq - 1
		}
	})
}

func TestRepair(t *testing.T) {
	const running, stopped, unknown = record.VMRunning, record.VMStopped, record.VMUnknown
	own := ledger.VM{Owner: "b", Generation: 3, Disk: true}
	byC := ledger.VM{Owner: "c", Generation: 4, Disk: true}
	for _, c := range []struct {
		name   string
		change change
		want   ledger.VM
		open   []string
	}{
		{"all have reported, and it runs on its owner", repaired(), own, nil},
		{"it runs on another: that one owns it", all(repaired(), reports("b", stopped), reports("c", running)), byC, nil},
		{"it runs nowhere: it stays its owner's", all(repaired(), reports("b", stopped), reports("c", stopped)), own, nil},
		{"it runs on both: nothing is decided", all(repaired(), reports("c", running)), own, nil},
		{"unknown on another while it runs on its owner: it stays", all(repaired(), reports("c", unknown)), own, nil},
		{"a member has not reported", repaired("c"), own, []string{"c"}},
		{"the owner has not reported: nobody takes it from there", all(repaired("b"), reports("c", running)), own, []string{"b"}},
		{"the owner has not reported, and what is unknown is no report", all(repaired("b"), reports("c", unknown)), own, []string{"b", "c"}},
		{"a node that is no member any more is not waited for", all(repaired(), state(func(st *ledger.State) { st.Repair["z"] = true })), own, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.change)
			if len(c.open) > 0 {
				// Whoever has not reported lives and is not admitted again yet.
				for _, n := range c.open {
					member(n, func(m *ledger.Member) { m.Admitted = "" })(s)
					standing(n, lease.Suspect)(s)
				}
			}
			out := s.plan(t)
			st := after(s, out)
			if d := cmp.Diff(c.want, st.VMs["v"]); d != "" {
				t.Error(d)
			}
			open := slices.Sorted(maps.Keys(st.Repair))
			if c.open != nil && fmt.Sprint(open) != fmt.Sprint(c.open) {
				t.Errorf("still to report: %v, want %v", open, c.open)
			}
			if len(c.open) > 0 {
				wantSaid(t, "alarm", out.Alarms, "no VM starts before these have reported")
			}
		})
	}
}
