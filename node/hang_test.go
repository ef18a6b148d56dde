package node

import (
	"testing"
	"time"
)

// TestAHungStoreDoesNotHoldTheHost: what runs is seen, and so can be killed, while
// nothing that is told to the store is answered.
func TestAHungStoreDoesNotHoldTheHost(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a, _ := two(w, true)
		release := a.store.hungUp()
		defer release()
		// It has something new to tell.
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
