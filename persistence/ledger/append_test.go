package ledger_test

import (
	"bytes"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

func TestNext(t *testing.T) {
	l := follow(t, founded(t))
	extend(t, l, 3)
	tail := l.Tail()
	e, other := entry(l, ledger.KindDecide, "a"), entry(l, ledger.KindDecide, "a")
	if e.Seq != 5 || e.PrevSeq != 4 || e.Prev != tail.Hash || e.Epoch != tail.Epoch || e.ID == "" || e.ID == other.ID {
		t.Errorf("%+v", e)
	}
	e.State.Members["b"] = ledger.Member{}
	if _, leaked := l.Tail().State.Members["b"]; leaked {
		t.Error("changing the next state changed the tail's")
	}
}

func TestOneWriterWins(t *testing.T) {
	for _, c := range []struct {
		name          string
		first, second string
	}{
		{"two claims", ledger.KindClaim, ledger.KindClaim},
		{"a claim and the old master's decision", ledger.KindClaim, ledger.KindDecide},
		{"a decision and a claim", ledger.KindDecide, ledger.KindClaim},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := founded(t)
			one, two := follow(t, raw), follow(t, raw)
			won, beaten := entry(one, c.first, "a"), entry(two, c.second, "b")
			if err := one.Append(t.Context(), won); err != nil {
				t.Fatal(err)
			}
			if err := two.Append(t.Context(), beaten); !errors.Is(err, ledger.ErrSuperseded) {
				t.Fatalf("the second writer: %v", err)
			}
			if got := two.Tail(); got.ID != won.ID || got.Hash != one.Tail().Hash || got.Epoch != won.Epoch {
				t.Errorf("the second writer sees entry %d of %s", got.Seq, got.Node)
			}
			if !two.Settled() {
				t.Error("a write that was refused is still open")
			}
			extend(t, two, 1)
		})
	}
}

// What a writer that goes on after Next and before Append has been overtaken by.
func TestAnEntryMadeFromAnOldTailIsSuperseded(t *testing.T) {
	raw := founded(t)
	l, other := follow(t, raw), follow(t, raw)
	old := entry(l, ledger.KindDecide, "a")
	extend(t, other, 3)
	if _, err := l.Refresh(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := l.Append(t.Context(), old); !errors.Is(err, ledger.ErrSuperseded) {
		t.Errorf("%v", err)
	}
	if l.Tail().Seq != 4 || !l.Settled() {
		t.Errorf("tail %d, settled %t", l.Tail().Seq, l.Settled())
	}
}

func TestFoundOnce(t *testing.T) {
	raw := founded(t)
	err := ledger.New(immutable{raw, t}, cluster).Found(t.Context(), &ledger.Entry{Node: "b", State: stateOf("b")})
	if !errors.Is(err, persistence.ErrExists) {
		t.Errorf("a second founding: %v", err)
	}
	if tail := follow(t, raw).Tail(); tail.Node != "a" || tail.Seq != 1 || tail.Epoch != 0 || tail.Kind != ledger.KindFound {
		t.Errorf("%+v", tail.Entry)
	}
}

// step is a call of a writer whose store is faulty, and what has to come of it.
type step struct {
	do      string
	want    error
	settled bool
}

// The steps.
const (
	appends   = "append"
	settles   = "settle"
	refreshes = "refresh"
	abandons  = "abandon"
	landing   = "the late one lands"
	rival     = "another writer appends"
)

func TestUnclearOutcomes(t *testing.T) {
	type steps = []step
	for _, c := range []struct {
		name    string
		creates []string
		gets    []string
		steps   steps
		mine    bool // the writer's entry stands in the ledger at the end
	}{
		{
			"landed without an answer: it settles as made",
			[]string{lands},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {settles, nil, true}},
			true,
		},
		{
			"lost: it is sent again",
			[]string{lost, lost},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {settles, persistence.ErrUnknown, false}, {settles, nil, true}},
			true,
		},
		{
			"open: nothing else is written",
			[]string{lost},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {appends, ledger.ErrPending, false}, {settles, nil, true}},
			true,
		},
		{
			"lost and overtaken: it is superseded",
			[]string{lost},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {rival, nil, false}, {settles, ledger.ErrSuperseded, true}},
			false,
		},
		{
			"lost and overtaken, and that was read: it is superseded",
			[]string{lost},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {rival, nil, false}, {refreshes, nil, false}, {settles, ledger.ErrSuperseded, true}},
			false,
		},
		{
			"late, before it is sent again: it settles as made",
			[]string{late},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {landing, nil, false}, {settles, nil, true}},
			true,
		},
		{
			"late, after a rival: it is superseded",
			[]string{late},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {rival, nil, false}, {landing, nil, false}, {settles, ledger.ErrSuperseded, true}},
			false,
		},
		{
			"a plain failure at first is one",
			[]string{fails},
			nil,
			steps{{appends, errStore, true}, {settles, nil, true}},
			false,
		},
		{
			"a plain failure after an open one leaves it open",
			[]string{late, fails},
			nil,
			steps{
				{appends, persistence.ErrUnknown, false},
				{settles, persistence.ErrUnknown, false},
				{landing, nil, false},
				{settles, nil, true},
			},
			true,
		},
		{
			"landed, and cannot be read back: it stays open",
			[]string{lands},
			[]string{unread},
			steps{{appends, persistence.ErrUnknown, false}, {settles, persistence.ErrUnknown, false}, {settles, nil, true}},
			true,
		},
		{
			"landed, and read by a refresh: it settles as made",
			[]string{lands},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {refreshes, nil, false}, {settles, nil, true}},
			true,
		},
		{
			"given up, and landed: it is learned like anybody's",
			[]string{late},
			nil,
			steps{{appends, persistence.ErrUnknown, false}, {abandons, nil, true}, {landing, nil, true}, {refreshes, nil, true}},
			true,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			raw := founded(t)
			store := &faulty{Store: raw}
			l := follow(t, store)
			store.creates, store.gets = c.creates, c.gets
			mine := entry(l, ledger.KindDecide, "a")
			for i, s := range c.steps {
				var err error
				switch s.do {
				case appends:
					err = l.Append(t.Context(), mine)
				case settles:
					err = l.Settle(t.Context())
				case refreshes:
					_, err = l.Refresh(t.Context())
				case abandons:
					l.Abandon()
				case landing:
					store.hanging()
				case rival:
					extend(t, follow(t, raw), 1)
				}
				if !errors.Is(err, s.want) || l.Settled() != s.settled {
					t.Fatalf("step %d, %s: %v, settled %t; want %v, %t", i, s.do, err, l.Settled(), s.want, s.settled)
				}
			}
			if there := follow(t, raw).Tail(); (there.ID == mine.ID) != c.mine {
				t.Errorf("entry %d of %s stands there", there.Seq, there.Node)
			}
			if !c.mine == (l.Tail().ID == mine.ID) || (l.Tail().ID == mine.ID && l.Tail().Hash != follow(t, raw).Tail().Hash) {
				t.Errorf("its tail is %d of %s", l.Tail().Seq, l.Tail().Node)
			}
			for _, sent := range store.sent[1:] {
				if !bytes.Equal(sent, store.sent[0]) {
					t.Error("another record was sent the second time")
				}
			}
		})
	}
}

// What a writer keeps as the tail is what every reader reads.
func TestTheTailIsWhatReadersRead(t *testing.T) {
	raw := founded(t)
	l := follow(t, raw)
	e := entry(l, ledger.KindDecide, "a")
	e.State.VMs = map[string]ledger.VM{"v": {Owner: "a", Generation: 1}}
	if err := l.Append(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(follow(t, raw).Tail(), l.Tail()); d != "" {
		t.Error(d)
	}
}
