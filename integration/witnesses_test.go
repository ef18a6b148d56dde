package integration

import (
	"strings"
	"testing"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
)

// The witnesses themselves: what they must accuse, and what they must not.

// forged is a ledger of a founding, a claim by a and a claim by b; change
// alters one entry, or adds one.
func forged(change func(all []ledger.Entry) []ledger.Entry) []ledger.Stored {
	vms := map[string]ledger.VM{"vm": {Owner: "a", Generation: 2}}
	all := []ledger.Entry{
		{Kind: ledger.KindFound, Node: "a"},
		{Kind: ledger.KindClaim, Node: "a", Incarnation: "a1", Epoch: 1, State: ledger.State{Master: "a", Incarnation: "a1"}},
		{Kind: ledger.KindDecide, Node: "a", Incarnation: "a1", Epoch: 1, State: ledger.State{Master: "a", Incarnation: "a1", VMs: vms}},
		{Kind: ledger.KindClaim, Node: "b", Incarnation: "b1", Epoch: 2, State: ledger.State{Master: "b", Incarnation: "b1", VMs: vms}},
	}
	var stored []ledger.Stored
	for i, e := range change(all) {
		e.Seq, e.PrevSeq = uint64(i)+1, uint64(i)
		if i > 0 && e.Prev == "" {
			e.Prev = stored[i-1].Hash
		}
		stored = append(stored, ledger.Stored{Entry: &e, Hash: strings.Repeat("x", i+1)})
	}
	return stored
}

func TestJudgeOfTheLedger(t *testing.T) {
	t.Parallel()
	then := func(e ledger.Entry) func([]ledger.Entry) []ledger.Entry {
		return func(all []ledger.Entry) []ledger.Entry {
			if e.State.VMs == nil {
				e.State.VMs = all[3].State.VMs
			}
			return append(all, e)
		}
	}
	vm := func(owner string, generation uint64) ledger.State {
		return ledger.State{Master: "b", Incarnation: "b1", VMs: map[string]ledger.VM{"vm": {Owner: owner, Generation: generation}}}
	}
	decide := func(s ledger.State) ledger.Entry {
		return ledger.Entry{Kind: ledger.KindDecide, Node: "b", Incarnation: "b1", Epoch: 2, State: s}
	}
	for name, c := range map[string]struct {
		change func([]ledger.Entry) []ledger.Entry
		want   string
	}{
		"nothing wrong": {func(all []ledger.Entry) []ledger.Entry { return all }, ""},
		"a move":        {then(decide(vm("b", 3))), ""},
		"the old master writes on": {
			then(ledger.Entry{Kind: ledger.KindDecide, Node: "a", Incarnation: "a1", Epoch: 1}), "epoch 1 after 2",
		},
		"another writes in the epoch": {
			then(ledger.Entry{Kind: ledger.KindDecide, Node: "a", Incarnation: "a1", Epoch: 2}), "claimed by another",
		},
		"another life of the claimant writes": {
			then(ledger.Entry{Kind: ledger.KindDecide, Node: "b", Incarnation: "b2", Epoch: 2}), "claimed by another",
		},
		"an epoch claimed twice": {
			then(ledger.Entry{Kind: ledger.KindClaim, Node: "a", Incarnation: "a2", Epoch: 2, State: ledger.State{Master: "a", Incarnation: "a2"}}),
			"a claim of epoch 2 after epoch 2",
		},
		"an epoch left out": {
			then(ledger.Entry{Kind: ledger.KindClaim, Node: "a", Incarnation: "a2", Epoch: 4, State: ledger.State{Master: "a", Incarnation: "a2"}}),
			"a claim of epoch 4",
		},
		"a broken chain":              {then(ledger.Entry{Kind: ledger.KindDecide, Node: "b", Incarnation: "b1", Epoch: 2, Prev: "other"}), "does not continue"},
		"an owner without generation": {then(decide(vm("b", 2))), "changes from"},
		"a generation that goes back": {then(decide(vm("b", 1))), "goes from generation 2 to 1"},
		"a VM that is gone":           {then(decide(ledger.State{VMs: map[string]ledger.VM{}})), "goes from generation 2 to 0"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := strings.Join(judge(forged(c.change)).faults, "; ")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("faults %q, want %q", got, c.want)
			}
		})
	}
}

func TestWatchOfThePrimaries(t *testing.T) {
	t.Parallel()
	master := func(node string, epoch uint64) primary { return primary{node, "MASTER", epoch} }
	for name, c := range map[string]struct {
		saw  func(w *watch)
		want string
	}{
		"one after the other": {func(w *watch) {
			w.saw(w.highest(), master("a", 1))
			w.saw(w.highest(), master("b", 2))
		}, ""},
		// The old master's answer came later, but its request had been sent before.
		"a slow answer": {func(w *watch) {
			w.saw(w.highest(), master("a", 1))
			before := w.highest()
			w.saw(before, master("b", 2))
			w.saw(before, master("a", 1))
		}, ""},
		"an old master": {func(w *watch) {
			w.saw(w.highest(), master("b", 2))
			w.saw(w.highest(), master("a", 1))
		}, "a was primary under epoch 1 after b had been under 2"},
		"two of one epoch": {func(w *watch) {
			before := w.highest()
			w.saw(before, master("b", 2))
			w.saw(before, master("a", 2))
		}, "epoch 2 has two primaries"},
		"not claimed": {func(w *watch) {
			w.saw(w.highest(), master("a", 1))
			w.against(map[uint64]string{1: "b"})
		}, `epoch 1, which "b" has claimed`},
		"no master": {func(w *watch) {
			w.saw(w.highest(), primary{"a", "STANDBY", 1})
		}, "answered 200 on /primary as STANDBY"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := &watch{of: map[uint64]string{}}
			c.saw(w)
			got := strings.Join(w.found(), "; ")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("faults %q, want %q", got, c.want)
			}
		})
	}
}
