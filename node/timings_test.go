package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

var longTimings, _ = lease.NewTimings(60*time.Second, time.Second)

func withLongTimings(c *Config) { c.Timings = longTimings }

// armedForLong makes an armed cluster with long timings: b is master, and vm1
// runs on a.
func armedForLong(w *world) (a, b *running) {
	w.t.Helper()
	w.host("a", true, "vm1")
	w.host("b", true)
	b = w.start("b", nil, withLongTimings)
	w.one(b)
	a = w.start("a", nil, withLongTimings)
	w.standby(a)
	w.arm("vm1")
	w.replicated(40, "vm1")
	return a, b
}

// says: a node's newest heartbeat, as another saw it, advertises the timings.
func says(seen *running, node string, t lease.Timings) func() bool {
	return func() bool {
		hb := seen.getView().nodes[node].Last
		return hb != nil && hb.Timings == t
	}
}

func (w *world) frozenAt() uint64 { return w.tail().State.FrozenAt }

// reads: a node's newest heartbeat, as another saw it, was made after the entry
// was read.
func reads(seen *running, node string, entry func() uint64) func() bool {
	return func() bool {
		hb, at := seen.getView().nodes[node].Last, entry()
		return hb != nil && at > 0 && hb.LedgerSeq >= at
	}
}

// TestShorterTimingsEndTheLeaseSooner: the master reads that the timings have
// become shorter, says so in its heartbeat, and loses the store. Others judge it
// by the timings that it said; so does it itself, though the lease it held was
// good for longer.
func TestShorterTimingsEndTheLeaseSooner(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil, withLongTimings)
		w.one(a)
		b := w.start("b", nil, withLongTimings)
		w.standby(b)
		w.wait(30 * time.Second)
		w.ask(record.Request{Action: record.ActFreeze})
		w.wait(3 * time.Second)
		w.ask(record.Request{Action: record.ActTimings, Timings: &testTimings})
		w.until("a says the short timings", 10*time.Second, says(b, "a", testTimings))
		a.store.cut(errNoStore)
		for range 400 {
			w.wait(100 * time.Millisecond)
			if m := masters(a, b); len(m) > 1 {
				t.Fatalf("two masters: %v in epoch %d", m, w.tail().Epoch)
			}
		}
		w.one(b)
	})
}

// TestNoTimingsBeforeAllHaveReadTheFreeze: asked for in one beat, freeze, shorter
// timings and arm would reach a as one. It would have said nothing of the freeze,
// and its VM could have a deadline by the old timings while b judges by the new.
func TestNoTimingsBeforeAllHaveReadTheFreeze(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := armedForLong(w)
		w.ask(record.Request{Action: record.ActFreeze})
		id := w.ask(record.Request{Action: record.ActTimings, Timings: &testTimings})
		w.ask(record.Request{Action: record.ActArm})
		if ans := w.answer(id); ans.OK || !strings.Contains(ans.Text, "a has not read yet that the cluster is frozen") {
			t.Errorf("answer: %+v", ans)
		}
		w.wait(3 * time.Second)
		if s := w.tail().State; s.Timings != longTimings || s.Frozen {
			t.Errorf("timings %+v, frozen %v", s.Timings, s.Frozen)
		}
		a.store.cut(errNoStore)
		a.kill()
		w.comes("vm1", "b", 3*longTimings.Timeout)
		w.one(b)
	})
}

// TestShorterTimingsShortenTheVMsDeadline: a has read the freeze, but none of its
// heartbeats is answered any more, and so its VM keeps the deadline it has, by the
// long timings. a reads the short ones and that the cluster is armed, says so,
// and dies. b judges by what a said, and so must the VM have been told.
func TestShorterTimingsShortenTheVMsDeadline(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := armedForLong(w)
		a.store.mu.Lock()
		a.store.Store = &lossy{Store: w.store, lost: func(key string) bool { return key == record.HeartbeatKey("a") }}
		a.store.mu.Unlock()
		w.ask(record.Request{Action: record.ActFreeze})
		w.until("a has read that it is frozen", 10*time.Second, reads(b, "a", w.frozenAt))
		id := w.ask(record.Request{Action: record.ActTimings, Timings: &testTimings})
		if ans := w.answer(id); !ans.OK {
			t.Fatalf("answer: %+v", ans)
		}
		w.arm()
		w.until("the silence of a proves", 10*time.Second, func() bool {
			return says(b, "a", testTimings)() && w.tail().State.Members["a"].Proof == record.ProofElapsed
		})
		w.stays("vm1", "a")
		a.kill()
		w.comes("vm1", "b", 3*testTimings.Timeout)
	})
}

// TestFailoverUnderShorterTimings: the timings are changed as they should be, in
// a frozen cluster of which every node knows that it is frozen. Then a's daemon
// dies: its VM stops by a deadline of the new timings before b may start it.
func TestFailoverUnderShorterTimings(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := armedForLong(w)
		w.ask(record.Request{Action: record.ActFreeze})
		w.until("both have read that it is frozen", 10*time.Second, func() bool {
			return reads(b, "a", w.frozenAt)() && b.getView().own.LedgerSeq >= w.frozenAt()
		})
		id := w.ask(record.Request{Action: record.ActTimings, Timings: &testTimings})
		if ans := w.answer(id); !ans.OK {
			t.Fatalf("answer: %+v", ans)
		}
		w.arm()
		w.until("a says the short timings", 10*time.Second, says(b, "a", testTimings))
		w.until("the silence of a proves again", 10*time.Second, func() bool {
			return w.tail().State.Members["a"].Proof == record.ProofElapsed
		})
		w.stays("vm1", "a")
		a.store.cut(errNoStore)
		a.kill() // nothing but the deadline stops the VM
		w.comes("vm1", "b", 3*testTimings.Timeout)
	})
}

// late is a store that takes one heartbeat of a node without an answer and lets it
// land over the first that says the long timings; then it calls over.
type late struct {
	persistence.Store
	w    *world
	key  string
	held []byte
	over func()
}

func (l *late) Put(ctx context.Context, key string, v []byte) error {
	if key != l.key || l.over == nil {
		return l.Store.Put(ctx, key, v)
	}
	if l.held == nil {
		l.held = v
		return fmt.Errorf("%w: it is on its way", persistence.ErrUnknown)
	}
	if err := l.Store.Put(ctx, key, v); err != nil {
		return err
	}
	if hb, err := record.OpenHeartbeat(l.w.tail().Cluster, "a", v); err != nil || hb.Timings != longTimings { //nolint:contextcheck // the world is asked from outside of the node
		return err
	}
	over := l.over
	l.over = nil
	over()
	return l.Store.Put(ctx, key, l.held)
}

// Create hangs the store as soon as the short timings are in the ledger again.
func (l *late) Create(ctx context.Context, key string, v []byte) error {
	err := l.Store.Create(ctx, key, v)
	if l.over == nil && strings.HasPrefix(key, ledger.Folder) {
		l.w.hangs("a")
	}
	return err
}

// hangs cuts a node off whose calls get no answer at all.
func (w *world) hangs(node string) {
	for _, r := range w.runs {
		if r.cfg.Name == node {
			r.store.mu.Lock()
			r.store.hang = make(chan struct{})
			r.store.mu.Unlock()
		}
	}
}

// TestTimingsChangedTwiceWithinAHeartbeat: the master, a, makes the timings long,
// has a heartbeat answered that says so, and makes them short again. An older
// heartbeat lands over that one before b has read it, and no call of a is answered
// any more. Its lease is good for the long D, though neither the ledger nor any
// heartbeat that b has seen says so.
func TestTimingsChangedTwiceWithinAHeartbeat(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		b := w.start("b", nil)
		w.standby(b)
		w.wait(20 * time.Second)
		w.ask(record.Request{Action: record.ActFreeze})
		w.wait(5 * time.Second)
		cut := time.Duration(0)
		a.store.mu.Lock()
		a.store.Store = &late{Store: w.store, w: w, key: record.HeartbeatKey("a"), over: func() {
			cut = w.now()
			w.ask(record.Request{Action: record.ActTimings, Timings: &testTimings})
		}}
		a.store.mu.Unlock()
		w.wait(3 * time.Second)
		w.ask(record.Request{Action: record.ActTimings, Timings: &longTimings})
		w.until("the timings are short again", 10*time.Second, func() bool {
			s := w.tail().State
			return s.Timings == testTimings && s.TimingsBefore == longTimings
		})
		if until, ok := a.Lease(); !ok || until < cut+longTimings.Renew-time.Second || says(b, "a", longTimings)() {
			t.Fatalf("not the scene: a holds its lease for %s", until-cut)
		}
		took := w.until("b is master", 2*longTimings.Timeout, func() bool {
			if m := masters(a, b); len(m) > 1 {
				t.Fatalf("two masters: %v in epoch %d, %s after the cut", m, w.tail().Epoch, w.now()-cut)
			}
			return len(masters(b)) == 1
		})
		if took < longTimings.Timeout-time.Second {
			t.Errorf("takeover after %s", took)
		}
		// Its own heartbeats have read the change: the next takeover is as quick as ever.
		c := w.start("c", nil)
		w.standby(c)
		w.wait(10 * time.Second)
		b.kill()
		if took := w.until("c is master", 2*testTimings.Timeout, func() bool { return len(masters(c)) == 1 }); took > testTimings.Timeout+testTimings.Interval {
			t.Errorf("takeover took %s", took)
		}
	})
}
