package failover_test

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// unproved: the ledger takes nobody's silence for a proof, as in debug mode.
func unproved(s *scene) {
	for n, m := range s.state().Members {
		m.Proof = record.ProofNothing
		s.state().Members[n] = m
	}
}

// TestWouldHaveFailedOver: a debug cluster says what it would do, and writes nothing.
func TestWouldHaveFailedOver(t *testing.T) {
	noVMs := state(func(st *ledger.State) { st.VMs = nil })
	left := func(how string) change { return member("b", func(m *ledger.Member) { m.Left = how }) }
	for _, c := range []struct {
		name   string
		change change
		would  []string
		vms    []string
	}{
		{"a silent host", all(debug, stale("b")), []string{"b"}, []string{"v"}},
		{"one that owns nothing", all(debug, stale("b"), noVMs), []string{"b"}, []string{"v"}},
		{
			"one that runs nothing",
			all(debug, stale("b"), inventory("b", func(inv *record.Inventory) { inv.VMs[0].State = record.VMStopped })),
			[]string{"b"},
			nil,
		},
		{"two", all(debug, stale("b"), stale("c")), []string{"b", "c"}, []string{"v"}},
		{"one whose heartbeat stands still unread", all(debug, node("b", func(k *lease.Node) {
			k.Standing, k.Still, k.Problem = lease.Unreadable, true, record.ErrTorn
		})), []string{"b"}, []string{"v"}},
		{"a host that lives", debug, nil, nil},
		{"a suspect one", all(debug, standing("b", lease.Suspect)), nil, nil},
		{"one that left", all(debug, stale("b"), left(record.LeaveFreeze)), nil, nil},
		{"one that ended", all(debug, stale("b"), node("b", func(k *lease.Node) { k.Last.Ending = true })), nil, nil},
		{"one that may be booting", all(debug, stale("b"), never("b"), looksFor(1)), nil, nil},
		{"one that was never admitted", all(debug, stale("b"), member("b", func(m *ledger.Member) { m.Admitted = "" })), nil, nil},
		{"a frozen cluster", all(debug, frozen, stale("b")), nil, nil},
		{"no debug mode", stale("b"), nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newScene(c.change, unproved)
			out := s.plan(t)
			var would, vms []string
			for _, w := range out.Would {
				would = append(would, w.Node)
				if w.Node == "b" {
					vms = w.VMs
				}
			}
			if !slices.Equal(would, c.would) || !slices.Equal(vms, c.vms) {
				t.Errorf("%v (%v), want %v (%v)", would, vms, c.would, c.vms)
			}
			if said(out.Alarms, "debug: would have failed over b: no sign of life") != slices.Contains(c.would, "b") {
				t.Errorf("alarms: %q", out.Alarms)
			}
			if len(out.Would) > 0 && out.State != nil {
				t.Errorf("something is done: %q", out.Why)
			}
		})
	}
}

// TestDebugDoesNothing: whatever VMs and snapshots hosts report, a debug cluster takes
// over no VM, believes no silence, and takes no acknowledgement.
func TestDebugDoesNothing(t *testing.T) {
	for name, change := range map[string]change{
		"a VM that nobody owns":     state(func(st *ledger.State) { delete(st.VMs, "v") }),
		"a silence that would do":   all(stale("b"), fenced("b", "", "v")),
		"an acknowledgement":        all(stale("b"), fenced("b", "", "v"), acks("b", nil)),
		"a proof taken before":      all(stale("b"), fenced("b", ledger.ProvedElapsed, "v")),
		"a VM on two hosts":         inventory("c", func(inv *record.Inventory) { inv.VMs = []record.HostVM{{Name: "v", State: record.VMRunning}} }),
		"a repair that all joined":  state(func(st *ledger.State) { st.Repair, st.RepairSeq = map[string]bool{"b": true}, tailSeq-1 }),
		"a heartbeat with elapsed":  member("b", func(m *ledger.Member) { m.Proof = record.ProofNothing }),
		"a host that has come back": standing("b", lease.Unseen),
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(change, debug, unproved)
			if out := s.plan(t); out.State != nil {
				t.Errorf("it did: %q", out.Why)
			}
			s.state().Debug = false
			if out := failover.Plan(s.Input); out.State == nil {
				t.Error("nothing would be done without debug mode either")
			}
		})
	}
}

// TestEndOfDebug: VMs were moved by hand meanwhile. Nothing starts before all members
// have told, and then who runs a VM owns it.
func TestEndOfDebug(t *testing.T) {
	s := newScene(frozen, debug,
		inventory("b", func(inv *record.Inventory) { inv.VMs[0].State = record.VMStopped }),
		inventory("c", func(inv *record.Inventory) { inv.VMs = []record.HostVM{{Name: "v", State: record.VMRunning}} }),
		asks(record.ActDebug, "", debugs(false)), asks(record.ActArm, "", nil))
	out := s.plan(t)
	if st := after(s, out); st.Debug || st.Frozen || !cmp.Equal(st.Repair, map[string]bool{"a": true, "b": true, "c": true}) || st.VMs["v"].Owner != "b" {
		t.Fatalf("%+v", st)
	}
	st, why := s.settles(t)
	if v := st.VMs["v"]; v.Owner != "c" || v.Generation != 4 || len(st.Repair) > 0 {
		t.Errorf("%+v, waiting for %v: %q", v, st.Repair, why)
	}
}
