package node

import (
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
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
