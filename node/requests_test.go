package node

import (
	"strings"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// TestRequestsAreBoundToWhatTheySaw: an entry after it that claims, or that
// touches the node, voids a request; promote survives the claim.
func TestRequestsAreBoundToWhatTheySaw(t *testing.T) {
	bubble(t, func(t *testing.T, w *world) {
		a := w.start("a", nil)
		w.one(a)
		before := w.tail().Seq
		b := w.start("b", nil)
		w.until("b is admitted", 10*time.Second, func() bool {
			return b.State() == StateStandby && w.tail().State.Members["b"].Admitted == b.cfg.Memory.Incarnation()
		})
		for _, c := range []struct {
			name string
			ask  record.Request
			void string
		}{
			{"it saw no claim", record.Request{Action: record.ActFreeze, Seen: 1}, "newer claim"},
			{"its node was admitted since", record.Request{Action: record.ActPriority, Node: "b", Priority: 3, Seen: before}, "has changed b since"},
			{"it saw all", record.Request{Action: record.ActPriority, Node: "b", Priority: 4}, ""},
			{"promote survives a claim", record.Request{Action: record.ActPromote, Node: "a", Seen: 1}, ""},
		} {
			id := w.ask(c.ask)
			var said string
			w.until(c.name+": it is answered", 5*time.Second, func() bool {
				answer, ok := w.tail().State.Answers[id]
				said = answer.Text
				return ok
			})
			if void := strings.HasPrefix(said, "void: "); void != (c.void != "") || !strings.Contains(said, c.void) {
				t.Errorf("%s: %q", c.name, said)
			}
		}
		if s := w.tail().State; s.Frozen || s.Members["b"].Priority != 4 {
			t.Errorf("frozen %v, priority of b %d", s.Frozen, s.Members["b"].Priority)
		}
	})
}
