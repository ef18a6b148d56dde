package node

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/ledger"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// TestAClosedLedger: where the cluster has moved from, nobody holds a lease or claims
// any more; what runs runs on, and whoever starts there is told where the cluster is.
func TestAClosedLedger(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, b := two(w, true)
		w.ask(record.Request{Action: record.ActFreeze})
		w.until("both have let go", 10*time.Second, func() bool { return a.host.letGo() && b.host.letGo() })
		w.wait(2 * testTimings.Interval)
		l := ledger.New(w.store, w.tail().Cluster)
		if err := l.Load(t.Context(), ledger.Mark{}); err != nil {
			t.Fatal(err)
		}
		e := l.Next(ledger.KindClose, "operator", "", time.Now())
		e.State.Closed, e.State.MovedTo, e.State.Master, e.State.Incarnation = true, "/there", "", ""
		if err := l.Append(t.Context(), e); err != nil {
			t.Fatal(err)
		}
		w.wait(testTimings.Renew + testTimings.Interval)
		for range 30 {
			for _, r := range []*running{a, b} {
				if until, held := r.Lease(); held {
					t.Fatalf("%s holds a lease until %s", r.cfg.Name, until)
				}
			}
			w.wait(testTimings.Interval)
		}
		if m := masters(a, b); len(m) != 0 {
			t.Errorf("masters: %v", m)
		}
		if tail := w.tail(); tail.Seq != e.Seq {
			t.Errorf("entry %d was made: %s", tail.Seq, tail.Why)
		}
		if on := w.runsOn("vm1"); len(on) != 1 || on[0] != "a" {
			t.Errorf("vm1 runs on %v", on)
		}
		if texts := strings.Join(a.Alarms(), "; "); !strings.Contains(texts, "has moved to /there") {
			t.Errorf("alarms: %s", texts)
		}
		began := w.now()
		a.stop()
		if took := w.now() - began; took > testTimings.Interval {
			t.Errorf("it took %s to end", took)
		}
		if on := w.runsOn("vm1"); len(on) != 1 {
			t.Errorf("vm1 runs on %v after its daemon was stopped", on)
		}
		a = w.start("a", a.memory)
		w.until("a has ended", 10*time.Second, func() bool {
			select {
			case <-a.done:
				return true
			default:
				return false
			}
		})
		if !errors.Is(a.err, ErrCluster) || !strings.Contains(a.err.Error(), "has moved to /there") {
			t.Errorf("a ended with %v", a.err)
		}
	})
}

// TestNoClaimOnAClosingEntry: the ledger is closed between the look that found nobody
// master and the claim.
func TestNoClaimOnAClosingEntry(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		w.ask(record.Request{Action: record.ActFreeze})
		w.until("it is frozen", 10*time.Second, func() bool { return w.tail().State.Frozen })
		l := ledger.New(w.store, w.tail().Cluster)
		var last atomic.Uint64
		end := func(closed bool) error {
			if err := l.Load(t.Context(), ledger.Mark{}); err != nil {
				return err
			}
			e := l.Next(ledger.KindDecide, "operator", "", time.Now())
			e.State.Closed, e.State.Master, e.State.Incarnation = closed, "", ""
			last.Store(e.Seq)
			return l.Append(t.Context(), e)
		}
		a.kill()
		if err := end(false); err != nil {
			t.Fatal(err)
		}
		// Where listings are dear the first one under a lease is that of a claim.
		b := w.start("a", a.memory, dear)
		b.store.on(func(op, key string) error {
			if _, held := b.Lease(); held && op == "list" && key == ledger.Folder && !w.tail().State.Closed {
				return end(true)
			}
			return nil
		})
		w.until("it is closed", time.Minute, func() bool { return w.tail().State.Closed })
		w.wait(3 * testTimings.Timeout)
		if tail := w.tail(); tail.Seq != last.Load() {
			t.Errorf("entry %d was made after the closing one: %s", tail.Seq, tail.Why)
		}
	})
}
