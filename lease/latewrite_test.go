package lease_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// lateWrite is a master whose last renewal nobody can see: it is answered just
// before the deadline, and at once overwritten by an older number, which was
// sent before without an answer and lands late, as the contract of Put allows.
// each is told what the observer says at each of its reads from then on.
func lateWrite(t *testing.T, ts lease.Timings, each func(now time.Duration, h *lease.Holder, o *lease.Observer)) {
	t.Helper()
	h, o := lease.NewHolder("a"), lease.NewObserver(0, founded(ts))
	o.Claimed(lease.Mastership{Node: "n", Incarnation: "a", Epoch: 1, Claimed: claim}, 0)
	look := func(now time.Duration, seq uint64) {
		quick(now.Seconds(), &record.Heartbeat{Node: "n", Incarnation: "a", Seq: seq, Epoch: 1, LedgerSeq: claim, Timings: ts})(o)
	}
	renew := func(at time.Duration) {
		if !h.Answered(h.Begin(at, ts), at+1) {
			t.Fatal("a renewal in time does not count")
		}
	}
	look(0, 2)
	renew(0)
	now := ts.Interval
	for ; now < ts.Renew; now += ts.Interval {
		look(now, 2)
	}
	renew(ts.Renew - 2) // number 3, under number 1 before anybody reads
	for ; now <= 4*ts.Timeout; now += ts.Interval {
		look(now, 1)
		each(now, h, o)
	}
	if o.Node("n").Standing != lease.Stale || !o.Vacancy().Vacant {
		t.Error("it never counts as dead")
	}
}

func TestALateOldWriteMayHideARenewal(t *testing.T) {
	for _, timeout := range []float64{3, 10, 30} {
		ts := ofTimeout(t, sec(timeout), sec(timeout/30))
		for _, c := range []struct {
			name  string
			early func(now time.Duration, h *lease.Holder, o *lease.Observer) bool
		}{
			{"suspect only when its lease is over", func(now time.Duration, h *lease.Holder, o *lease.Observer) bool {
				return o.Node("n").Standing == lease.Suspect && now < h.Until()
			}},
			{"stale only when it has stopped its VMs", func(now time.Duration, h *lease.Holder, o *lease.Observer) bool {
				return o.Node("n").Standing == lease.Stale && now < h.Until()+ts.StopGrace+ts.Kill
			}},
			{"the mastership over only when its lease is", func(now time.Duration, h *lease.Holder, o *lease.Observer) bool {
				return o.Vacancy().Vacant && now < h.Until()
			}},
		} {
			t.Run(fmt.Sprintf("T %g s: %s", timeout, c.name), func(t *testing.T) {
				early := time.Duration(0)
				lateWrite(t, ts, func(now time.Duration, h *lease.Holder, o *lease.Observer) {
					if early == 0 && c.early(now, h, o) {
						early = now
						t.Errorf("said at %s; its lease is held until %s", now, h.Until())
					}
				})
			})
		}
	}
}
