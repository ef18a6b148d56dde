package node

import (
	"testing"
	"time"

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
