package lease_test

import (
	"testing"
	"time"

	"github.com/hoster-ha/hoster-ha/lease"
)

// ofTimeout derives timings that must be accepted.
func ofTimeout(t testing.TB, timeout, interval time.Duration) lease.Timings {
	t.Helper()
	ts, err := lease.NewTimings(timeout, interval)
	if err != nil {
		t.Fatal(err)
	}
	return ts
}

// sec turns seconds into a duration.
func sec(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// renewal is one request of a holder: begun, answered, and whether it counts.
type renewal struct {
	begun, answered float64
	counts          bool
}

// instant says whether the lease is held at a time.
type instant struct {
	at   float64
	held bool
}

func TestHolder(t *testing.T) {
	for _, c := range []struct {
		name     string
		renewals []renewal
		then     []instant
	}{
		{"nothing is held before the first answer", nil, []instant{{0, false}, {5, false}}},
		{
			"a renewal is dated from before its request, not from its answer",
			[]renewal{{0, 4, true}},
			[]instant{{12.999, true}, {13, false}},
		},
		{
			"an answer an instant before the deadline counts",
			[]renewal{{0, 1, true}, {5, 12.999, true}},
			[]instant{{17.999, true}, {18, false}},
		},
		{
			"an answer at the deadline does not count",
			[]renewal{{0, 1, true}, {5, 13, false}},
			[]instant{{13, false}, {14, false}},
		},
		{
			"an answer after the deadline does not count, however late its request was dated",
			[]renewal{{0, 1, true}, {12.9, 13.1, false}},
			[]instant{{13.1, false}},
		},
		{
			"nothing revives an incarnation that is over",
			[]renewal{{0, 1, true}, {2, 13, false}, {13.1, 13.2, false}, {14, 14.1, false}},
			[]instant{{14.2, false}},
		},
		{
			"a first renewal answered at its own deadline does not count",
			[]renewal{{0, 13, false}},
			[]instant{{13, false}},
		},
		{
			"the deadline of the first renewal ends an incarnation that never held: its record may have been seen",
			[]renewal{{0, 14, false}, {14, 15, false}},
			[]instant{{15, false}, {20, false}},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := ofTimeout(t, sec(30), sec(1))
			h := lease.NewHolder("a")
			for i, r := range c.renewals {
				if got := h.Answered(h.Begin(sec(r.begun), ts), sec(r.answered)); got != r.counts {
					t.Errorf("renewal %d counts: %t, want %t", i, got, r.counts)
				}
			}
			for _, i := range c.then {
				if got := h.Valid(sec(i.at)); got != i.held {
					t.Errorf("held at %g s: %t, want %t", i.at, got, i.held)
				}
			}
		})
	}
}

// holding is a holder renewed once, from 0 until D.
func holding(t *testing.T, ts lease.Timings) *lease.Holder {
	t.Helper()
	h := lease.NewHolder("a")
	if !h.Answered(h.Begin(0, ts), 1) {
		t.Fatal("a first renewal does not count")
	}
	return h
}

func TestHolderIsOverForGood(t *testing.T) {
	ts := ofTimeout(t, sec(30), sec(1))
	for _, c := range []struct {
		name string
		end  func(h *lease.Holder)
	}{
		{"found over only by Valid", func(h *lease.Holder) { h.Valid(ts.Renew) }},
		{"found over only by Over", func(h *lease.Holder) { h.Over(ts.Renew) }},
		{"found over only by a late answer", func(h *lease.Holder) { h.Answered(h.Begin(1, ts), ts.Renew) }},
		{"given up", func(h *lease.Holder) { h.End() }},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := holding(t, ts)
			under := h.Begin(2, ts)
			c.end(h)
			// The answer is worked off late, with a reading from before the deadline.
			if h.Answered(under, 3) {
				t.Error("an answer revived it")
			}
			if h.Valid(4) || h.Until() != 0 || !h.Over(4) {
				t.Errorf("valid %t, until %s, over %t: it is over", h.Valid(4), h.Until(), h.Over(4))
			}
		})
	}
	t.Run("given up before it was ever held", func(t *testing.T) {
		h := lease.NewHolder("a")
		r := h.Begin(0, ts)
		h.End()
		if h.Answered(r, 1) || h.Valid(1) {
			t.Error("an answer revived it")
		}
	})
}

func TestAnOlderRenewalAnsweredLateDoesNotMoveTheDeadline(t *testing.T) {
	ts := ofTimeout(t, sec(30), sec(1))
	h := holding(t, ts)
	older, newer := h.Begin(sec(1), ts), h.Begin(sec(3), ts)
	if !h.Answered(newer, sec(4)) || !h.Answered(older, sec(5)) || h.Until() != sec(3)+ts.Renew {
		t.Errorf("until %s, want %s", h.Until(), sec(3)+ts.Renew)
	}
}

func TestRenewalOfAnotherIncarnationDoesNotCount(t *testing.T) {
	ts := ofTimeout(t, sec(30), sec(1))
	before, after := lease.NewHolder("a"), lease.NewHolder("b")
	late := before.Begin(0, ts)
	after.Begin(0, ts)
	if after.Answered(late, 1) || after.Valid(1) {
		t.Error("the renewal of incarnation a renewed incarnation b")
	}
}

// Rule 1: a deadline uses the timings that its own renewal advertised.
func TestHolderDeadlineUsesTheTimingsAdvertised(t *testing.T) {
	long, short := ofTimeout(t, sec(30), sec(1)), ofTimeout(t, sec(10), sec(1))
	h := holding(t, short)
	if !h.Answered(h.Begin(sec(1), long), sec(2)) || h.Until() != sec(1)+long.Renew {
		t.Errorf("until %s after longer timings were advertised, want %s", h.Until(), sec(1)+long.Renew)
	}
}

// Observers judge the newest record by the timings it advertises. A lease that
// outlives these would still be held when they call it over.
func TestHolderShorterTimingsShortenTheLease(t *testing.T) {
	long, short := ofTimeout(t, sec(30), sec(1)), ofTimeout(t, sec(10), sec(1))
	for _, answered := range []bool{true, false} {
		h := holding(t, long)
		r := h.Begin(sec(1), short)
		if answered {
			h.Answered(r, sec(2))
		}
		if at := sec(1) + short.Renew; h.Valid(at) {
			t.Errorf("answered %t: held at %s although the record sent at 1 s advertises D = %s", answered, at, short.Renew)
		}
	}
}
