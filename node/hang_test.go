package node

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// TestAHungStoreDoesNotHoldTheHost: what runs is seen, and so can be killed, while
// nothing that is told to the store is answered.
func TestAHungStoreDoesNotHoldTheHost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := two(w, true)
		// What it has to tell hangs, while its heartbeats are answered yet.
		release := make(chan struct{})
		defer close(release)
		a.store.on(func(_, key string) error {
			if key == record.InventoryKey("a") {
				<-release
			}
			return nil
		})
		w.wait(testTimings.Interval / 2)
		w.hosts["a"].crash()
		queried := func() time.Duration {
			a.host.mu.Lock()
			defer a.host.mu.Unlock()
			return a.host.queried
		}
		w.wait(2*testTimings.Renew + 2*testTimings.Interval)
		before := queried()
		w.wait(5 * testTimings.Interval)
		if after := queried(); after == before {
			t.Errorf("what runs was looked at last %s ago", w.now()-after)
		}
	})
}

// TestAnInventoryThatLandsLate: one that was given up lands over a later one; what the
// store shows at last is the newest all the same.
func TestAnInventoryThatLandsLate(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := two(w, true)
		key := record.InventoryKey("a")
		shown := func() *record.Inventory {
			o, err := w.store.Get(t.Context(), key)
			if err != nil {
				t.Fatal(err)
			}
			inv, err := record.OpenInventory(w.tail().Cluster, "a", o.Value)
			if err != nil {
				t.Fatal(err)
			}
			return inv
		}
		old, err := w.store.Get(t.Context(), key)
		if err != nil {
			t.Fatal(err)
		}
		before := shown().Number
		var lost atomic.Bool
		a.store.on(func(op, k string) error {
			if op == "put" && k == key && lost.CompareAndSwap(false, true) {
				return persistence.ErrUnknown
			}
			return nil
		})
		w.hosts["a"].crash()
		w.until("a later one is published", time.Minute, func() bool { return lost.Load() && shown().Number > before })
		w.wait(2 * testTimings.Interval)
		newest := shown().Number
		if err := w.store.Put(t.Context(), key, old.Value); err != nil {
			t.Fatal(err)
		}
		w.until("the newest is shown again", 2*testTimings.Timeout, func() bool { return shown().Number > newest })
	})
}
