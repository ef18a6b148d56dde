package ledger

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence/memory"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// past is a ledger written by hand.
type past struct {
	t     *testing.T
	store *memory.Store
	l     *Ledger
	marks map[uint64]Mark // all ever made, also of lost branches: the last by number
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// newPast makes a cluster of a and b with n entries: VM "web" of a at
// generation 1.
func newPast(t *testing.T, n int) *past {
	t.Helper()
	p := &past{t: t, store: memory.New(), marks: map[uint64]Mark{}}
	p.l = New(p.store, "c")
	ok(t, p.l.Found(t.Context(), &Entry{Node: "a", Time: time.Now(), By: "a", Why: "found", State: State{
		Armed:   true,
		Members: map[string]Member{"a": {Role: RoleCandidate, Admitted: "a1"}, "b": {Role: RoleCandidate, Admitted: "b1", Fence: &Fence{Why: "x"}}},
		VMs:     map[string]VM{"web": {Owner: "a", Generation: 1}},
	}}))
	ok(t, p.l.Load(t.Context(), Mark{}))
	p.marks[1] = p.l.Tail().Mark()
	for range n - 1 {
		p.add(nil)
	}
	return p
}

func (p *past) add(change func(e *Entry)) Mark {
	p.t.Helper()
	e := p.l.Next(KindDecide, "a", "a1", time.Now())
	if change != nil {
		change(e)
	}
	ok(p.t, p.l.Append(context.Background(), e))
	m := p.l.Tail().Mark()
	p.marks[m.Seq] = m
	return m
}

func (p *past) remove(seqs ...uint64) {
	p.t.Helper()
	for _, seq := range seqs {
		ok(p.t, p.store.Delete(context.Background(), Key(seq)))
	}
}

func (p *past) tear(seq uint64) {
	p.t.Helper()
	ok(p.t, p.store.Put(context.Background(), Key(seq), []byte(`{"format":1`)))
}

// restart follows the store anew, as a master without memory would.
func (p *past) restart() {
	p.t.Helper()
	p.l = New(p.store, "c")
	ok(p.t, p.l.Load(context.Background(), Mark{}))
}

func (p *past) walk() *Survey {
	p.t.Helper()
	w, err := Walk(p.t.Context(), p.store, "c")
	ok(p.t, err)
	return w
}

// repair does what the command does, and gives the entry as it was read back.
func (p *past) repair(ev Evidence) *Entry {
	p.t.Helper()
	w := p.walk()
	e := w.Repair(w.End, ev)
	e.Node, e.By, e.Why, e.Time = "operator", "me", "repair", time.Now()
	data, err := record.Seal(record.KindEntry, e)
	ok(p.t, err)
	ok(p.t, p.store.Create(p.t.Context(), Key(e.Seq), data))
	return e
}

// accepts: a reader with this memory follows the ledger.
func (p *past) accepts(m Mark) error {
	l := New(p.store, "c")
	return l.Load(context.Background(), m)
}

func remembers(node string, m Mark) *record.Heartbeat {
	return &record.Heartbeat{Node: node, LedgerSeq: m.Seq, LedgerHash: m.Hash}
}

// Whatever was lost, every reader accepts the repaired ledger, also one that
// remembers what is set aside, and after it the next entries.
func TestRepairIsAccepted(t *testing.T) {
	for name, c := range map[string]struct {
		harm func(p *past) Evidence
		prev uint64
		bad  []uint64 // marks that nobody accepts before
	}{
		"a torn tail": {func(p *past) Evidence { p.tear(10); return Evidence{} }, 9, []uint64{5, 9, 10}},
		"lost entries": {func(p *past) Evidence {
			p.remove(8, 9, 10)
			return Evidence{Heartbeats: []*record.Heartbeat{remembers("b", p.marks[9])}}
		}, 7, []uint64{8, 10}},
		"lost entries that only a local memory knows": {func(p *past) Evidence { p.remove(8, 9, 10); return Evidence{Mark: p.marks[10]} }, 7, []uint64{8, 10}},
		"a late entry after lost ones":                {func(p *past) Evidence { p.remove(8, 9); return Evidence{} }, 7, []uint64{7, 8}},
		"a fork": {func(p *past) Evidence {
			lost := p.marks[8]
			p.remove(7, 8, 9, 10)
			p.restart()
			for range 5 {
				p.add(nil)
			}
			p.marks[8] = lost
			return Evidence{Heartbeats: []*record.Heartbeat{remembers("b", lost), remembers("a", p.l.Tail().Mark())}}
		}, 7, []uint64{8}},
		"a hole": {func(p *past) Evidence { p.tear(3); return Evidence{} }, 10, nil},
		"a lost beginning": {func(p *past) Evidence {
			p.remove(1, 2, 3)
			return Evidence{Heartbeats: []*record.Heartbeat{remembers("b", p.marks[2])}}
		}, 0, []uint64{2}},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPast(t, 10)
			ev := c.harm(p)
			for _, seq := range c.bad {
				if _, is := errors.AsType[*HistoryError](p.accepts(p.marks[seq])); !is {
					t.Errorf("mark %d was accepted before the repair", seq)
				}
			}
			e := p.repair(ev)
			if e.PrevSeq != c.prev {
				t.Errorf("it continues %d, want %d", e.PrevSeq, c.prev)
			}
			for seq := range uint64(11) {
				if name == "a hole" && seq > 0 && seq < 4 {
					continue // who remembers less than the hole never can
				}
				if err := p.accepts(p.marks[seq]); err != nil {
					t.Errorf("mark %d: %v", seq, err)
				}
			}
			p.restart()
			if next := p.add(nil); next.Seq != e.Seq+1 {
				t.Errorf("the next entry is %d", next.Seq)
			}
			if w := p.walk(); w.End.Seq != e.Seq+1 || name != "a hole" && len(w.Aside)+len(w.Bad) > 0 {
				t.Errorf("after it: ends at %d, aside %q, bad %v", w.End.Seq, w.Aside, w.Bad)
			}
			aside, err := Aside(t.Context(), p.store, p.l.Tail())
			if err != nil || len(aside) != len(e.Aside) {
				t.Errorf("%d keys set aside, want %d: %v", len(aside), len(e.Aside), err)
			}
		})
	}
}

func TestRepairLeapsOverAllThatIsRemembered(t *testing.T) {
	p := newPast(t, 5)
	p.add(func(e *Entry) {
		e.Epoch = 7
		e.State.VMs["web"] = VM{Owner: "b", Generation: 4}
		e.State.VMs["db"] = VM{Owner: "b", Generation: 2, Disk: true}
	})
	p.tear(5)
	e := p.repair(Evidence{
		Heartbeats: []*record.Heartbeat{{Node: "b", LedgerSeq: 1234, LedgerHash: "lost", Epoch: 9}, {Node: "a", Released: 11}},
		Inventories: map[string]*record.Inventory{
			"a": {VMs: []record.HostVM{{Name: "web", Generation: 6, State: record.VMRunning}}, Acks: []record.Ack{{VM: "db", Generation: 12}}},
			"b": {VMs: []record.HostVM{{Name: "new", Generation: 3, State: record.VMRunning}, {Name: "other", State: record.VMRunning}}, Datasets: []record.Dataset{{VM: "web", Generation: 5}, {VM: "new"}}},
			"c": nil,
		},
		Mark:   Mark{2500, "x"},
		Closed: func(vm string) uint64 { return map[string]uint64{"web": 20}[vm] },
	})
	if e.Seq <= 2500 || e.Seq%perFolder != 0 || e.Epoch <= 11 {
		t.Errorf("number %d, epoch %d", e.Seq, e.Epoch)
	}
	for vm, above := range map[string]uint64{"web": 20, "db": 12, "new": 3} {
		if g := e.State.VMs[vm].Generation; g <= above {
			t.Errorf("%s: generation %d, want above %d", vm, g, above)
		}
	}
	if _, known := e.State.VMs["other"]; known {
		t.Error("a VM that the cluster never had is in the state")
	}
	if v := e.State.VMs["new"]; v.Owner != "b" || !v.Disk {
		t.Errorf("new: %+v", v)
	}
	// Entry 4 ends the longest good chain; what entry 6 knew besides is kept.
	if v := e.State.VMs["web"]; v.Owner != "a" {
		t.Errorf("web: %+v", v)
	}
	if v := e.State.VMs["db"]; v.Owner != "b" || !v.Disk {
		t.Errorf("db: %+v", v)
	}
	if diff := cmp.Diff([]string{Key(5), Key(6)}, e.Aside); diff != "" {
		t.Error(diff)
	}
}

// Nobody is master, admitted or fenced after a repair, and nothing is armed.
func TestRepairedState(t *testing.T) {
	p := newPast(t, 3)
	p.add(func(e *Entry) {
		s := &e.State
		s.Master, s.Incarnation, s.Frozen = "a", "a1", true
		s.Failovers = map[string]Failover{"b": {Node: "b"}}
		m := s.Members["a"]
		m.Left, m.LeftBy, m.Proof, m.HoldBack, m.Priority = "freeze", "a1", record.ProofElapsed, true, 4
		s.Members["a"] = m
	})
	p.tear(5)
	e := p.repair(Evidence{})
	want := State{
		Frozen: true, Repair: map[string]bool{"a": true, "b": true}, RepairSeq: e.Seq,
		Members: map[string]Member{"a": {Role: RoleCandidate, HoldBack: true, Priority: 4}, "b": {Role: RoleCandidate}},
		VMs:     map[string]VM{"web": {Owner: "a", Generation: 1 + leapGenerations}},
	}
	if diff := cmp.Diff(want, e.State); diff != "" {
		t.Error(diff)
	}
	if e.Kind != KindRepair || e.ID == "" || !slices.Contains(e.Touched, "vm:web") || !slices.Contains(e.Touched, "node:a") {
		t.Errorf("%+v", e)
	}
}

// A VM that had only been given to a host is still to be made from its
// snapshot there; one that has begun there is not rolled back.
func TestRepairAndRestores(t *testing.T) {
	for name, c := range map[string]struct {
		phase string
		inv   *record.Inventory
		want  bool
	}{
		"placed":                   {MovePlaced, nil, true},
		"placed, the disk is made": {MovePlaced, &record.Inventory{Datasets: []record.Dataset{{VM: "web", Generation: 2}}}, false},
		"placed, an older disk":    {MovePlaced, &record.Inventory{Datasets: []record.Dataset{{VM: "web", Generation: 1}}}, true},
		"placed, it runs":          {MovePlaced, &record.Inventory{VMs: []record.HostVM{{Name: "web", State: record.VMRunning, Generation: 2}}}, false},
		"running":                  {MoveRunning, nil, false},
		"no failover any more":     {"", nil, false},
	} {
		t.Run(name, func(t *testing.T) {
			p := newPast(t, 2)
			p.add(func(e *Entry) {
				e.State.VMs["web"] = VM{Owner: "b", Generation: 2, Snapshot: "g", Restore: true, Disk: true}
				if c.phase != "" {
					e.State.Failovers = map[string]Failover{"a": {Node: "a", Moves: map[string]Move{"web": {Phase: c.phase, To: "b"}}}}
				}
			})
			p.tear(4)
			if got := p.repair(Evidence{Inventories: map[string]*record.Inventory{"b": c.inv}}).State.VMs["web"]; got.Restore != c.want || got.Snapshot != "g" {
				t.Errorf("%+v, want restore %t", got, c.want)
			}
		})
	}
}

// The entry that moved a VM is lost: the host that had it under a newer generation
// than any entry left knows of has its disk.
func TestRepairFollowsTheNewestOwner(t *testing.T) {
	p := newPast(t, 2)
	p.add(func(e *Entry) {
		e.State.VMs["web"] = VM{Owner: "a", Generation: 3, Snapshot: "g", Restore: true, Disk: true}
	})
	for name, c := range map[string]struct {
		inv  record.Inventory
		want VM
	}{
		"it ran there": {
			record.Inventory{VMs: []record.HostVM{{Name: "web", State: record.VMRunning, Generation: 4}}},
			VM{Owner: "b", Generation: 4 + leapGenerations, Disk: true},
		},
		"it had made its disk": {
			record.Inventory{Datasets: []record.Dataset{{VM: "web", Generation: 5}}},
			VM{Owner: "b", Generation: 5 + leapGenerations, Disk: true},
		},
		"it had it before": {
			record.Inventory{Datasets: []record.Dataset{{VM: "web", Generation: 2}}},
			VM{Owner: "a", Generation: 3 + leapGenerations, Snapshot: "g", Disk: true},
		},
		"a replica": {
			record.Inventory{Datasets: []record.Dataset{{VM: "web"}}},
			VM{Owner: "a", Generation: 3 + leapGenerations, Snapshot: "g", Disk: true},
		},
	} {
		t.Run(name, func(t *testing.T) {
			e := p.walk().Repair(p.l.Tail(), Evidence{Inventories: map[string]*record.Inventory{"b": &c.inv}})
			if diff := cmp.Diff(c.want, e.State.VMs["web"]); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestRepairOfARepair(t *testing.T) {
	p := newPast(t, 5)
	p.tear(5)
	first := p.repair(Evidence{})
	p.restart()
	p.add(nil)
	p.tear(p.l.Tail().Seq)
	w := p.walk()
	if w.End.Seq != first.Seq || !slices.Equal(w.Aside, []string{Key(first.Seq + 1)}) || len(w.Bad) != 1 {
		t.Fatalf("ends at %d, aside %q, bad %v", w.End.Seq, w.Aside, w.Bad)
	}
	second := p.repair(Evidence{})
	if second.PrevSeq != first.Seq || second.Seq <= first.Seq+1 {
		t.Errorf("%d continues %d", second.Seq, second.PrevSeq)
	}
	p.restart()
	aside, err := Aside(t.Context(), p.store, p.l.Tail())
	if err != nil || !aside[Key(5)] || !aside[Key(first.Seq+1)] || len(aside) != 2 {
		t.Errorf("%v, %v", aside, err)
	}
	// Who remembers what the first repair leapt over contradicts nothing.
	if w := p.walk(); w.Conflicts(Mark{7, "old"}) || !w.Conflicts(Mark{4, "other"}) || !w.Conflicts(Mark{second.Seq + 1, "more"}) {
		t.Error("conflicts are judged wrongly")
	}
}

func TestSurveyOfNothingGood(t *testing.T) {
	p := newPast(t, 2)
	p.tear(1)
	p.tear(2)
	if w := p.walk(); w.End.Entry != nil || w.Last != 2 || len(w.Bad) != 2 || len(w.Aside) != 2 {
		t.Errorf("%+v", w)
	}
}

func TestNumbers(t *testing.T) {
	s := memory.New()
	var want []uint64
	for _, seq := range []uint64{1, 2, 999, 1000, 1001, 2500, 10_000} {
		want = append(want, seq)
		ok(t, s.Create(t.Context(), Key(seq), []byte("x")))
	}
	for _, stray := range []string{"ledger/readme", "ledger/1/note.json", "ledger/x/00000000000000000005.json"} {
		ok(t, s.Create(t.Context(), stray, []byte("x")))
	}
	for last := range 10 {
		var got []uint64
		for seq, err := range Numbers(t.Context(), s, last) {
			ok(t, err)
			got = append(got, seq)
		}
		from := 0
		if last > 0 {
			from = max(len(want)-last, 0)
		}
		if !slices.Equal(got, want[from:]) {
			t.Errorf("last %d: %v", last, got)
		}
	}
	for range Numbers(t.Context(), s, 0) {
		break // a reader may stop early
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(fmt.Errorf("no more"))
	for _, err := range Numbers(ctx, s, 0) {
		if err == nil || !strings.Contains(err.Error(), "no more") {
			t.Errorf("%v", err)
		}
	}
}
