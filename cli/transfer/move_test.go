package transfer

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// bubble lets virtual time go on: a move waits for leases to end.
func bubble(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	synctest.Test(t, f)
}

// wantsMoved: the old store is closed for good, and the new one goes on from there.
func wantsMoved(t *testing.T, o *old, to *place) {
	t.Helper()
	closing, opening := tail(t, o.Store), tail(t, to.Store)
	if s := closing.State; closing.Kind != ledger.KindClose || !s.Closed || s.MovedTo != address || s.Master != "" || s.Incarnation != "" {
		t.Errorf("the old store ends with %+v", closing.Entry)
	}
	s := opening.State
	if opening.Kind != ledger.KindOpen || opening.PrevSeq != closing.Seq || opening.Prev != closing.Hash || opening.Epoch != closing.Epoch {
		t.Errorf("the new store ends with %+v", opening.Entry)
	}
	if s.Closed || s.MovedTo != "" || s.Master != "" || !s.Frozen || s.VMs["vm1"] != closing.State.VMs["vm1"] || s.Members["a"].Admitted != "a1" {
		t.Errorf("the new store's state is %+v", s)
	}
	all := append(keys(t, o.Store), ledger.Key(opening.Seq))
	all = slices.DeleteFunc(all, func(k string) bool { return strings.HasPrefix(k, "members/") || k == doneKey })
	slices.Sort(all)
	if got := keys(t, to.Store); !slices.Equal(got, all) {
		t.Errorf("the new store holds %q, want %q", got, all)
	}
	for _, key := range all {
		if key == ledger.Key(opening.Seq) {
			continue
		}
		was, err := o.Get(t.Context(), key)
		must(t, err)
		is, err := to.Get(t.Context(), key)
		must(t, err)
		if !bytes.Equal(was.Value, is.Value) {
			t.Errorf("%s is another", key)
		}
	}
}

func TestMove(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		o.beat(t, "a", 1, nil)
		must(t, move(t, o.way(t, to)))
		wantsMoved(t, o, to)
		// Whoever held a lease when the old store was closed holds it for T at most, and
		// may have been shown the closing entry late.
		closed, opened := o.at(t, ledger.Key(4)), to.at(t, ledger.Key(5))
		if d := opened.Sub(closed); d < 20*time.Second {
			t.Errorf("the new store was opened %s after the old one was closed, while a lease may last there", d)
		}
		if last := to.made[len(to.made)-1].key; last != "cluster.json" {
			t.Errorf("%s was made last: a daemon could have used the new store before", last)
		}
		// Once more: nothing is left to be done, and it says so.
		before := keys(t, to.Store)
		must(t, move(t, o.way(t, to)))
		if after := keys(t, to.Store); !slices.Equal(before, after) {
			t.Errorf("%q after %q", after, before)
		}
		elsewhere := o.way(t, newPlace())
		elsewhere.Address = "/elsewhere"
		wantsRefusal(t, move(t, elsewhere), "has moved to /there")
	})
}

func wantsRefusal(t *testing.T, err error, text string) {
	t.Helper()
	if _, ok := errors.AsType[*Refusal](err); !ok || !strings.Contains(err.Error(), text) {
		t.Errorf("%v, want a refusal with %q", err, text)
	}
}

// TestMoveWaitsForTheLongestLease: a node that has not read yet that timings became
// shorter holds its lease for as long as it says.
func TestMoveWaitsForTheLongestLease(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		o.beat(t, "a", 1, func(hb *record.Heartbeat) { hb.Timings.Timeout = time.Minute })
		must(t, move(t, o.way(t, to)))
		if d := to.at(t, ledger.Key(5)).Sub(o.at(t, ledger.Key(4))); d < 2*time.Minute {
			t.Errorf("opened after %s", d)
		}
	})
}

// TestMoveIsRefused: each refusal leaves both stores as they were.
func TestMoveIsRefused(t *testing.T) {
	for _, c := range []struct {
		name, text string
		set        func(t *testing.T, o *old, to *place)
	}{
		{"not frozen", "is not frozen", func(t *testing.T, o *old, _ *place) {
			o.decide(t, func(e *ledger.Entry) { e.State.Frozen = false })
		}},
		{"not empty", "is not empty: it holds letters", func(t *testing.T, _ *old, to *place) {
			must(t, to.Put(t.Context(), "letters/x", []byte("x")))
		}},
		{"another cluster", "holds cluster cluster-2", func(t *testing.T, _ *old, to *place) {
			data, err := record.Seal(record.KindCluster, record.Cluster{ID: "cluster-2", Format: record.Format, Founder: "z"})
			must(t, err)
			must(t, to.Store.Create(t.Context(), "cluster.json", data))
		}},
		{"itself", "it is the same place", func(t *testing.T, o *old, to *place) {
			must(t, walk(t.Context(), o, "", func(key string) error {
				v, err := o.Get(t.Context(), key)
				must(t, err)
				return to.Put(t.Context(), key, v.Value)
			}))
		}},
		{"another ledger", "holds the ledger of something else", func(t *testing.T, _ *old, to *place) {
			must(t, ledger.New(to.Store, "cluster-2").Found(t.Context(), &ledger.Entry{Node: "z", State: ledger.State{Members: map[string]ledger.Member{"z": {}}}}))
		}},
		{"a longer ledger", "holds the ledger of something else", func(t *testing.T, _ *old, to *place) {
			must(t, to.Put(t.Context(), ledger.Key(70), []byte("x")))
		}},
		{"forked", "is forked at", func(t *testing.T, o *old, _ *place) {
			e := o.led.Next(ledger.KindDecide, "a", "a1", time.Now())
			o.decide(t, func(*ledger.Entry) {})
			e.Kind, e.Seq = ledger.KindRepair, e.Seq+10
			data, err := record.Seal(record.KindEntry, e)
			must(t, err)
			must(t, o.Put(t.Context(), ledger.Key(e.Seq), data))
		}},
		{"a member that does not know", "b has not read yet", func(t *testing.T, o *old, _ *place) {
			o.beat(t, "b", 1, func(hb *record.Heartbeat) { hb.LedgerSeq, hb.LedgerHash = 1, first(t, o.Store) })
			go o.keepBeating(t, "b", func(hb *record.Heartbeat) { hb.LedgerSeq, hb.LedgerHash = 1, first(t, o.Store) })
		}},
		{"a member that cannot be read", "the heartbeat of b cannot be read", func(t *testing.T, o *old, _ *place) {
			go func() {
				tick := time.NewTicker(time.Second / 2)
				defer tick.Stop()
				for n := 0; ; n++ {
					must(t, o.Put(t.Context(), record.HeartbeatKey("b"), fmt.Appendf(nil, "{torn %d", n)))
					select {
					case <-tick.C:
					case <-t.Context().Done():
						return
					}
				}
			}()
		}},
		{"a member whose VMs have a deadline", "the VMs of b still have a deadline", func(t *testing.T, o *old, _ *place) {
			go o.keepBeating(t, "b", func(hb *record.Heartbeat) { hb.Proof = record.ProofElapsed })
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				o, to := newOld(t), newPlace()
				c.set(t, o, to)
				was := tail(t, o.Store)
				wantsRefusal(t, move(t, o.way(t, to)), c.text)
				if is := tail(t, o.Store); is.Hash != was.Hash {
					t.Errorf("the old store ends with %+v", is.Entry)
				}
				if slices.ContainsFunc(to.made, func(w write) bool { return w.key == "cluster.json" }) {
					t.Error("the new store has a cluster")
				}
			})
		})
	}
}

// keepBeating is a node that lives until the test ends.
func (o *old) keepBeating(t *testing.T, node string, change func(hb *record.Heartbeat)) {
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	for seq := uint64(2); ; seq++ {
		o.beat(t, node, seq, change)
		select {
		case <-tick.C:
		case <-t.Context().Done():
			return
		}
	}
}

// TestMoveGoesOn: whatever write fails, and whether it was done or not, the old store is
// not open for decisions once the new one is, and running it again ends the move.
func TestMoveGoesOn(t *testing.T) {
	errFull := errors.New("no space left on device")
	for _, failing := range []string{"from", "to"} {
		for _, how := range []error{errFull, errLost} {
			for n := 1; ; n++ {
				failed := false
				bubble(t, func(t *testing.T) {
					o, to := newOld(t), newPlace()
					p, count := to, 0
					if failing == "from" {
						p = o.place
					}
					p.create = func(string) error {
						if count++; count < n {
							return nil
						}
						failed = true
						return how
					}
					err := move(t, o.way(t, to))
					if !failed {
						return
					}
					if (err == nil) != (how == errLost) { //nolint:errorlint // it is that very one
						t.Fatalf("%s: write %d ended with %v, the move with %v", failing, n, how, err)
					}
					if _, err := to.Get(t.Context(), "cluster.json"); err == nil && tail(t, to.Store).Kind != ledger.KindOpen {
						t.Errorf("%s: after write %d a daemon may use a store that is not open", failing, n)
					}
					if e := tail(t, o.Store); e.Kind != ledger.KindClose && !errors.Is(errOpening(t, to), persistence.ErrNotFound) {
						t.Errorf("%s: after write %d the new store is open and the old one is not closed", failing, n)
					}
					p.create = nil
					must(t, move(t, o.way(t, to)))
					wantsMoved(t, o, to)
				})
				if !failed {
					break
				}
			}
		}
	}
}

// errOpening is why no entry follows those of the old store.
func errOpening(t *testing.T, to *place) error {
	t.Helper()
	_, err := to.Get(t.Context(), ledger.Key(5))
	return err
}

// TestMoveBesideDecisions: a master that decides meanwhile loses nothing, whether its
// entry came before the closing one or was refused because of it.
func TestMoveBesideDecisions(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		var refused *ledger.Entry
		o.create = func(key string) error {
			switch key {
			case ledger.Key(4): // it is faster than the first closing entry
				o.create = func(string) error { return nil }
				o.decide(t, func(e *ledger.Entry) { e.State.VMs["vm1"] = ledger.VM{Owner: "b", Generation: 4} })
				refused = o.led.Next(ledger.KindDecide, "a", "a1", time.Now())
			}
			return nil
		}
		must(t, move(t, o.way(t, to)))
		wantsMoved(t, o, to)
		if e := tail(t, to.Store); e.Seq != 6 || e.State.VMs["vm1"].Generation != 4 {
			t.Errorf("what was decided meanwhile is lost: %+v", e.Entry)
		}
		if err := o.led.Append(t.Context(), refused); !errors.Is(err, ledger.ErrSuperseded) {
			t.Errorf("a master that has not read the closing entry decides on: %v", err)
		}
	})
}

// TestMoveThawed: whoever arms the cluster during a move ends it, before it is closed.
func TestMoveThawed(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		o.create = func(string) error {
			o.create = nil
			o.decide(t, func(e *ledger.Entry) { e.State.Frozen = false })
			return nil
		}
		wantsRefusal(t, move(t, o.way(t, to)), "is not frozen")
		if tail(t, o.Store).State.Closed {
			t.Error("it was closed")
		}
	})
}

// liar does not keep to Create.
type liar struct{ *place }

func (l liar) Create(ctx context.Context, key string, value []byte) error {
	return l.Put(ctx, key, value)
}

func TestMoveToALiar(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOld(t)
		if err := move(t, o.way(t, liar{newPlace()})); !errors.Is(err, persistence.ErrRefused) {
			t.Errorf("%v", err)
		}
		if tail(t, o.Store).State.Closed {
			t.Error("it was closed")
		}
	})
}

// TestAFinishedMoveIsNotBegunAnew: when the new store was lost, or moved from in its turn,
// whoever was left behind would decide from what lay in the old one.
func TestAFinishedMoveIsNotBegunAnew(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o := newOld(t)
		must(t, move(t, o.way(t, newPlace())))
		emptied := newPlace()
		wantsRefusal(t, move(t, o.way(t, emptied)), "and is not there")
		if left := keys(t, emptied); len(left) > 0 {
			t.Errorf("%q was written", left)
		}
		wantsRefusal(t, move(t, o.way(t, o.Store)), "not as it went on there")
	})
}

// TestMoveBesideAFounder: a cluster that is founded in the new place meanwhile ends the
// move before anything is closed.
func TestMoveBesideAFounder(t *testing.T) {
	bubble(t, func(t *testing.T) {
		o, to := newOld(t), newPlace()
		to.create = func(string) error {
			data, err := record.Seal(record.KindCluster, record.Cluster{ID: "cluster-2", Format: record.Format, Founder: "z"})
			must(t, err)
			return errors.Join(to.Put(t.Context(), "cluster.json", data))
		}
		wantsRefusal(t, move(t, o.way(t, to)), "holds cluster cluster-2")
		if tail(t, o.Store).State.Closed {
			t.Error("it was closed")
		}
	})
}
