package failover_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/hoster-ha/hoster-ha/failover"
	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// tailSeq is the number of the newest entry in every scene.
const tailSeq = 100

var wall = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)

// scene is the input of a plan. It begins with three hosts that live: a, the
// master; b, which owns and runs v, a VM with a disk; and c. Of b's snapshots
// s1 to s3 a holds the first two and c all.
type scene struct {
	failover.Input
	since map[uint64]time.Duration // how long ago an order was first read
}

// a change makes another scene of it.
type change func(s *scene)

func newScene(changes ...change) *scene {
	ts, err := lease.NewTimings(lease.DefaultTimeout, lease.DefaultInterval)
	if err != nil {
		panic(err)
	}
	s := &scene{since: map[uint64]time.Duration{}}
	s.Self, s.Incarnation, s.Now, s.Wall, s.Grace = "a", "a1", time.Hour, wall, 10*time.Minute
	s.Nodes, s.Inventories = map[string]lease.Node{}, map[string]*record.Inventory{}
	s.Tail = ledger.Stored{Hash: "hash", Entry: &ledger.Entry{
		Cluster: "c", Seq: tailSeq, Epoch: 7, Node: "a", Incarnation: "a1",
		State: ledger.State{
			Timings: ts, Master: "a", Incarnation: "a1", Armed: true,
			Members: map[string]ledger.Member{}, VMs: map[string]ledger.VM{},
		},
	}}
	s.SinceOrder = func(order uint64) time.Duration { return s.since[order] }
	for _, n := range []string{"a", "b", "c"} {
		s.join(n)
	}
	s.state().VMs["v"] = ledger.VM{Owner: "b", Generation: 3, Disk: true}
	s.inv("b").VMs = []record.HostVM{{Name: "v", State: record.VMRunning, Generation: 3, Snapshots: true}}
	s.inv("b").Datasets = []record.Dataset{{VM: "v", Generation: 3, Snapshots: snapshots("s1", "s2", "s3")}}
	s.replica("a", "v", "s1", "s2")
	s.replica("c", "v", "s1", "s2", "s3")
	for _, c := range changes {
		c(s)
	}
	return s
}

func (s *scene) state() *ledger.State { return &s.Tail.State }

// join adds a host that lives, admitted, with an inventory.
func (s *scene) join(n string) {
	s.state().Members[n] = ledger.Member{Role: ledger.RoleCandidate, Admitted: n + "1", Proof: record.ProofElapsed}
	s.Inventories[n] = &record.Inventory{Cluster: "c", Node: n, Incarnation: n + "1", Number: 1, LedgerSeq: tailSeq, Complete: true}
	hb := &record.Heartbeat{
		Held:    true,
		Cluster: "c", Node: n, Incarnation: n + "1", Seq: 50, Wall: wall, Proof: record.ProofElapsed, Timings: s.state().Timings,
	}
	if n == s.Self {
		s.Own = hb
		return
	}
	s.Nodes[n] = lease.Node{Standing: lease.Alive, Last: hb, Numbers: 2, Moved: true}
}

func (s *scene) inv(n string) *record.Inventory { return s.Inventories[n] }

// replica gives a host a received copy of a VM's disk.
func (s *scene) replica(n, vm string, guids ...string) {
	inv := s.inv(n)
	inv.Datasets = slices.DeleteFunc(inv.Datasets, func(d record.Dataset) bool { return d.VM == vm })
	inv.Datasets = append(inv.Datasets, record.Dataset{VM: vm, Snapshots: snapshots(guids...)})
}

// snapshots of these guids; the third was made 3 s after the epoch of scenes.
func snapshots(guids ...string) []record.Snapshot {
	var list []record.Snapshot
	for i, g := range guids {
		list = append(list, record.Snapshot{GUID: g, Created: wall.Add(time.Duration(i-10) * time.Second)})
	}
	return list
}

func member(n string, with func(m *ledger.Member)) change {
	return func(s *scene) {
		m := s.state().Members[n]
		with(&m)
		s.state().Members[n] = m
	}
}

func node(n string, with func(k *lease.Node)) change {
	return func(s *scene) {
		k := s.Nodes[n]
		if k.Last != nil {
			hb := *k.Last
			k.Last = &hb
		}
		with(&k)
		s.Nodes[n] = k
	}
}

func state(with func(st *ledger.State)) change { return func(s *scene) { with(s.state()) } }

func inventory(n string, with func(inv *record.Inventory)) change {
	return func(s *scene) { with(s.inv(n)) }
}

// all makes one change of many.
func all(changes ...change) change {
	return func(s *scene) {
		for _, c := range changes {
			c(s)
		}
	}
}

func standing(n string, st lease.Standing) change {
	return node(n, func(k *lease.Node) { k.Standing, k.Age = st, lease.DefaultTimeout })
}

// stale is silent for T.
func stale(n string) change { return standing(n, lease.Stale) }

// proves says what heartbeat and ledger declare.
func proves(n, heartbeat, inLedger string) change {
	return all(
		member(n, func(m *ledger.Member) { m.Proof = inLedger }),
		node(n, func(k *lease.Node) { k.Last.Proof = heartbeat }),
	)
}

// returns is a host that lives again, as another incarnation.
func returns(n, incarnation string) change {
	return node(n, func(k *lease.Node) {
		k.Standing, k.Numbers, k.Age, k.Last.Incarnation, k.Last.Seq = lease.Alive, 2, 0, incarnation, 2
	})
}

// verified: the inventory of an incarnation that has verified that it runs nothing.
func verified(n, incarnation string) change {
	return inventory(n, func(inv *record.Inventory) {
		inv.Incarnation, inv.VerifiedStopped, inv.LedgerSeq, inv.VMs = incarnation, true, tailSeq, nil
	})
}

// fenced: the failover of a host was journaled in entry 90, for these VMs of
// its own; proof may be "".
func fenced(n, proof string, vms ...string) change {
	return all(
		member(n, func(m *ledger.Member) {
			m.Fence = &ledger.Fence{Incarnation: m.Admitted, Heartbeat: 50, Order: 90, Why: "x", Proof: proof}
			if proof != "" {
				m.Fence.Proved = 95
			}
			m.Fences = append(m.Fences, wall.Add(-time.Minute))
		}),
		journaled(n, vms...),
	)
}

// journaled: the VMs of a host are to move since entry 90.
func journaled(n string, vms ...string) change {
	return state(func(st *ledger.State) {
		f := ledger.Failover{Node: n, Incarnation: n + "1", Order: 90, Why: "x", Began: wall.Add(-time.Minute), Moves: map[string]ledger.Move{}}
		for _, vm := range vms {
			f.Moves[vm] = ledger.Move{Phase: ledger.MoveWaiting, Generation: st.VMs[vm].Generation}
		}
		if st.Failovers == nil {
			st.Failovers = map[string]ledger.Failover{}
		}
		st.Failovers[n] = f
	})
}

// move changes the journal of one VM's move.
func move(n, vm string, with func(mv *ledger.Move)) change {
	return state(func(st *ledger.State) {
		mv := st.Failovers[n].Moves[vm]
		with(&mv)
		st.Failovers[n].Moves[vm] = mv
	})
}

// acks: the host's inventory acknowledges the order of entry 90 for v, but for
// what is changed.
func acks(n string, with func(a *record.Ack)) change {
	return inventory(n, func(inv *record.Inventory) {
		a := record.Ack{Order: 90, Incarnation: n + "1", VM: "v", Generation: 3}
		if with != nil {
			with(&a)
		}
		inv.Acks = append(inv.Acks, a)
	})
}

// asks: a request lies in the store.
func asks(action, n string, with func(r *failover.Asked)) change {
	return func(s *scene) {
		a := failover.Asked{Request: &record.Request{
			Cluster: "c", ID: fmt.Sprintf("r%d", len(s.Requests)+1), Action: action, Node: n, By: "op", Seen: tailSeq,
		}}
		if k := s.Nodes[n]; k.Last != nil {
			a.Incarnation, a.Heartbeat = k.Last.Incarnation, k.Last.Seq
		}
		if with != nil {
			with(&a)
		}
		s.Requests = append(s.Requests, a)
	}
}

// plan makes the plan, and checks what must be so of every plan.
func (s *scene) plan(t failer) failover.Output {
	t.Helper()
	before, out := deepCopy(s.Input), failover.Plan(s.Input)
	if d := cmp.Diff(before, s.Input, comparing); d != "" {
		t.Fatalf("the plan changed its input: %s", d)
	}
	if d := cmp.Diff(failover.Plan(before), out, comparing); d != "" {
		t.Fatalf("the same input gave another plan: %s", d)
	}
	if broken := invariants(s.Input, out); broken != "" {
		t.Fatalf("%s\nwhy: %s", broken, strings.Join(out.Why, "; "))
	}
	return out
}

// after is the state when the plan's entry is made.
func after(s *scene, out failover.Output) *ledger.State {
	if out.State == nil {
		return s.state()
	}
	return out.State
}

// settles makes plans and their entries until nothing is left to write. Hosts
// that live publish a fresh inventory after each.
func (s *scene) settles(t failer) (st *ledger.State, why []string) {
	t.Helper()
	for range 20 {
		out := s.plan(t)
		why = append(why, out.Why...)
		if out.State == nil {
			return s.state(), why
		}
		e := *s.Tail.Entry
		e.Seq++
		e.State = *out.State
		s.Tail.Entry = &e
		for n, inv := range s.Inventories {
			if n == s.Self || s.Nodes[n].Standing == lease.Alive {
				fresh := *inv
				fresh.LedgerSeq = e.Seq
				s.Inventories[n] = &fresh
			}
		}
	}
	t.Fatalf("it never comes to rest: %s", strings.Join(why, "; "))
	return nil, nil
}

// failer is what testing.T and rapid.T have in common here.
type failer interface {
	Helper()
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
}

var comparing = cmp.Options{
	cmpopts.IgnoreFields(failover.Input{}, "SinceOrder"), cmpopts.EquateErrors(),
}

func deepCopy[T any](v T) T { return copied(reflect.ValueOf(v)).Interface().(T) }

// copied copies pointers, maps and slices; times and errors are values.
func copied(v reflect.Value) reflect.Value {
	if v.Type() == reflect.TypeFor[time.Time]() {
		return v
	}
	switch v.Kind() {
	case reflect.Pointer:
		if v.IsNil() {
			return v
		}
		c := reflect.New(v.Type().Elem())
		c.Elem().Set(copied(v.Elem()))
		return c
	case reflect.Map:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeMap(v.Type())
		for it := v.MapRange(); it.Next(); {
			c.SetMapIndex(it.Key(), copied(it.Value()))
		}
		return c
	case reflect.Slice:
		if v.IsNil() {
			return v
		}
		c := reflect.MakeSlice(v.Type(), v.Len(), v.Len())
		for i := range v.Len() {
			c.Index(i).Set(copied(v.Index(i)))
		}
		return c
	case reflect.Struct:
		c := reflect.New(v.Type()).Elem()
		for i := range v.NumField() {
			c.Field(i).Set(copied(v.Field(i)))
		}
		return c
	default:
		return v
	}
}

// said says whether one of the lines contains the text.
func said(lines []string, text string) bool {
	return slices.ContainsFunc(lines, func(l string) bool { return strings.Contains(l, text) })
}

func wantSaid(t testing.TB, what string, lines []string, text string) {
	t.Helper()
	if text != "" && !said(lines, text) {
		t.Errorf("no %s says %q:\n%s", what, text, strings.Join(lines, "\n"))
	}
}
