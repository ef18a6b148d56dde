package ledger_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// writer appends and claims on a store that loses answers, and keeps what it
// was told it had made.
func writer(ctx context.Context, raw persistence.Store, name string, seed uint64) (made map[uint64]string, err error) {
	dice := rand.New(rand.NewPCG(seed, 1))
	store := &faulty{Store: raw}
	l := ledger.New(store, cluster)
	if err := l.Load(ctx, ledger.Mark{}); err != nil {
		return nil, err
	}
	made = map[uint64]string{}
	last := l.Tail()
	var open *ledger.Entry
	for range 60 {
		switch dice.IntN(4) {
		case 0:
			store.creates = []string{lands}
		case 1:
			store.creates = []string{lost}
		default:
			store.creates = nil
		}
		var err error
		e := open
		if e != nil {
			err = l.Settle(ctx)
		} else {
			kind := ledger.KindDecide
			if dice.IntN(3) == 0 {
				kind = ledger.KindClaim
			}
			e = entry(l, kind, name)
			err = l.Append(ctx, e)
		}
		open = nil
		switch {
		case err == nil:
			made[e.Seq] = e.ID
		case errors.Is(err, persistence.ErrUnknown):
			open = e
		case !errors.Is(err, ledger.ErrSuperseded):
			return nil, fmt.Errorf("entry %d of %s: %w", e.Seq, name, err)
		}
		tail := l.Tail()
		if tail.Seq < last.Seq || tail.Epoch < last.Epoch {
			return nil, fmt.Errorf("%s: the tail went from %d (epoch %d) to %d (epoch %d)", name, last.Seq, last.Epoch, tail.Seq, tail.Epoch)
		}
		last = tail
	}
	return made, nil
}

// Eight writers, none of whom knows of the others: every number is made once,
// number and epoch never go down, and each was told the truth.
func TestManyWriters(t *testing.T) {
	raw := founded(t)
	store := immutable{raw, t}
	var wg sync.WaitGroup
	var mu sync.Mutex
	made := map[uint64]string{}
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	for i := range 8 {
		wg.Go(func() {
			mine, err := writer(t.Context(), store, fmt.Sprintf("n%d", i), seed+uint64(i))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			for seq, id := range mine {
				if other, twice := made[seq]; twice {
					t.Errorf("entry %d was made by two: %s and %s", seq, id, other)
				}
				made[seq] = id
			}
		})
	}
	wg.Wait()
	last, err := ledger.Last(t.Context(), raw)
	if err != nil || last < 30 {
		t.Fatalf("%d entries: %v", last, err)
	}
	before, err := ledger.Read(t.Context(), raw, cluster, 1)
	for seq := uint64(2); seq <= last && err == nil; seq++ {
		var e ledger.Stored
		if e, err = ledger.Read(t.Context(), raw, cluster, seq); err != nil {
			break
		}
		rise := uint64(0)
		if e.Kind == ledger.KindClaim {
			rise = 1
		}
		if e.PrevSeq != before.Seq || e.Prev != before.Hash || e.Epoch != before.Epoch+rise {
			t.Errorf("entry %d, a %s of epoch %d, after epoch %d", seq, e.Kind, e.Epoch, before.Epoch)
		}
		if id, told := made[seq]; told && id != e.ID {
			t.Errorf("entry %d is %s, %s was told that it is its own", seq, e.ID, id)
		}
		before = e
	}
	if err != nil {
		t.Fatal(err)
	}
}

func TestCloneSharesNoMap(t *testing.T) {
	full := func() ledger.State {
		s := stateOf("a")
		s.Repair = map[string]bool{"a": true}
		s.VMs = map[string]ledger.VM{"v": {Owner: "a"}}
		s.Answers = map[string]ledger.Answer{"r": {OK: true}}
		s.Conflicts = map[string]ledger.Conflict{"w": {Why: "x"}}
		s.Failovers = map[string]ledger.Failover{"a": {Moves: map[string]ledger.Move{"v": {}}}}
		return s
	}
	s := full()
	c := s.Clone()
	if d := cmp.Diff(full(), *c); d != "" {
		t.Errorf("the clone differs: %s", d)
	}
	delete(c.Repair, "a")
	delete(c.Members, "a")
	delete(c.VMs, "v")
	delete(c.Answers, "r")
	delete(c.Conflicts, "w")
	delete(c.Failovers["a"].Moves, "v")
	delete(c.Failovers, "a")
	if d := cmp.Diff(full(), s); d != "" {
		t.Errorf("changing the clone changed the state: %s", d)
	}
}

func TestTouched(t *testing.T) {
	base := func() *ledger.State {
		s := stateOf("a", "b")
		s.VMs = map[string]ledger.VM{"v": {Owner: "a", Generation: 1}}
		return &s
	}
	member := func(change func(m *ledger.Member)) func(s *ledger.State) {
		return func(s *ledger.State) {
			m := s.Members["a"]
			change(&m)
			s.Members["a"] = m
		}
	}
	for _, c := range []struct {
		name   string
		change func(s *ledger.State)
		want   []string
	}{
		{"nothing", func(*ledger.State) {}, nil},
		{"a new member", func(s *ledger.State) { s.Members["c"] = ledger.Member{} }, []string{"node:c"}},
		{"a forgotten member", func(s *ledger.State) { delete(s.Members, "a") }, []string{"node:a"}},
		{"an admission", member(func(m *ledger.Member) { m.Admitted = "x" }), []string{"node:a"}},
		{"a priority", member(func(m *ledger.Member) { m.Priority = 3 }), []string{"node:a"}},
		{"a demotion", member(func(m *ledger.Member) { m.HoldBack = true }), []string{"node:a"}},
		{"a leave", member(func(m *ledger.Member) { m.Left = record.LeaveStop }), []string{"node:a"}},
		{"a proof declared", member(func(m *ledger.Member) { m.Proof = record.ProofElapsed }), []string{"node:a"}},
		{"a fence", member(func(m *ledger.Member) { m.Fence = &ledger.Fence{Order: 2} }), []string{"node:a"}},
		{"a version touches nobody", member(func(m *ledger.Member) { m.Version = "2" }), nil},
		{"a VM that moved", func(s *ledger.State) { s.VMs["v"] = ledger.VM{Owner: "b", Generation: 2} }, []string{"vm:v"}},
		{"a VM that was adopted", func(s *ledger.State) { s.VMs["w"] = ledger.VM{Owner: "b"} }, []string{"vm:w"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			to := base()
			c.change(to)
			if d := cmp.Diff(c.want, ledger.Touched(base(), to)); d != "" {
				t.Error(d)
			}
		})
	}
}
