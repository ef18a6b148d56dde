package lease_test

import (
	"math/big"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

func TestNewTimings(t *testing.T) {
	for _, c := range []struct {
		name              string
		timeout, interval float64
		want              lease.Timings
	}{
		{"the defaults", 30, 1, lease.Timings{
			Interval: sec(1), Timeout: sec(30), Renew: sec(13), StopGrace: sec(6), Kill: sec(3), Watchdog: sec(5), Margin: sec(3),
		}},
		{"at 5 s a device takes a whole second", 5, 0.2, lease.Timings{
			Interval: sec(0.2), Timeout: sec(5), Renew: sec(2), StopGrace: sec(1), Kill: sec(0.5), Watchdog: sec(1), Margin: sec(0.5),
		}},
		{"below 5 s no device is armed", 3, 0.2, lease.Timings{
			Interval: sec(0.2), Timeout: sec(3), Renew: sec(1.8), StopGrace: sec(0.6), Kill: sec(0.3), Margin: sec(0.3),
		}},
		{"a device takes whole seconds only", 35, 1, lease.Timings{
			Interval: sec(1), Timeout: sec(35), Renew: sec(16), StopGrace: sec(7), Kill: sec(3.5), Watchdog: sec(5), Margin: sec(3.5),
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := lease.NewTimings(sec(c.timeout), sec(c.interval))
			if err != nil {
				t.Fatal(err)
			}
			if d := cmp.Diff(c.want, got); d != "" {
				t.Error(d)
			}
		})
	}
}

func TestTimingsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(t *lease.Timings)
	}{
		{"D + S + K + W + M above T by an instant", func(t *lease.Timings) { t.Renew++ }},
		{"a watchdog that does not fit", func(t *lease.Timings) { t.Watchdog += time.Second }},
		{"T below ten intervals", func(t *lease.Timings) { t.Interval = t.Timeout/10 + 1 }},
		{"no stop grace", func(t *lease.Timings) { t.StopGrace = 0 }},
		{"no time to kill", func(t *lease.Timings) { t.Kill = 0 }},
		{"no margin", func(t *lease.Timings) { t.Margin = 0 }},
		{"a negative watchdog", func(t *lease.Timings) { t.Watchdog = -1 }},
		{"a deadline that one lost beat passes", func(t *lease.Timings) { t.Renew = 2*t.Interval - 1 }},
		{"an interval too short to be kept", func(t *lease.Timings) { t.Interval = lease.MinInterval - 1 }},
		{"parts whose sum wraps around", func(t *lease.Timings) {
			t.Renew, t.StopGrace, t.Kill, t.Watchdog = 1<<62, 1<<62, 1<<62, 1<<62
		}},
		{"a timeout under which a sum wraps around", func(t *lease.Timings) {
			t.Timeout, t.Renew, t.StopGrace, t.Kill, t.Watchdog, t.Margin = 1<<62, 1<<62, 1<<62, 1<<62, 1<<62, 1<<62
		}},
		{"nothing at all", func(t *lease.Timings) { *t = lease.Timings{} }},
	} {
		t.Run(c.name, func(t *testing.T) {
			ts := ofTimeout(t, sec(30), sec(1))
			if err := lease.CheckTimings(ts); err != nil {
				t.Fatal(err)
			}
			c.change(&ts)
			if lease.CheckTimings(ts) == nil {
				t.Errorf("accepted: %+v", ts)
			}
		})
	}
	if _, err := lease.NewTimings(sec(9.99), sec(1)); err == nil {
		t.Error("NewTimings accepts a timeout of less than ten intervals")
	}
}

// Rule 5, whatever is asked for: what is accepted leaves the old holder time to
// stop. The sum is made without bounds, so that none can wrap around.
func TestAcceptedTimingsFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		d := rapid.OneOf(
			rapid.Map(rapid.Int64(), func(n int64) time.Duration { return time.Duration(n) }),
			rapid.Map(rapid.IntRange(-5, 60), func(n int) time.Duration { return time.Duration(n) * time.Second }),
			rapid.Just(time.Duration(1)<<62), rapid.Just(time.Duration(1<<63-1)),
		)
		ts := lease.Timings{
			Interval: d.Draw(t, "I"), Timeout: d.Draw(t, "T"), Renew: d.Draw(t, "D"), StopGrace: d.Draw(t, "S"),
			Kill: d.Draw(t, "K"), Watchdog: d.Draw(t, "W"), Margin: d.Draw(t, "M"),
		}
		if lease.CheckTimings(ts) != nil {
			return
		}
		sum, ten := new(big.Int), new(big.Int).Mul(big.NewInt(10), big.NewInt(int64(ts.Interval)))
		for _, part := range []time.Duration{ts.Renew, ts.StopGrace, ts.Kill, ts.Watchdog, ts.Margin} {
			sum.Add(sum, big.NewInt(int64(part)))
		}
		if timeout := big.NewInt(int64(ts.Timeout)); sum.Cmp(timeout) > 0 || ten.Cmp(timeout) > 0 {
			t.Fatalf("accepted, though D + S + K + W + M is %s and 10 I is %s: %+v", sum, ten, ts)
		}
	})
}

// TestTimingsBefore: the ledger's timings were shortened, from T 60 to T 30. A node
// that was not seen to have read that may have advertised the long ones in a
// heartbeat that another hides. Whatever is judged, and the instant at which a
// judgement may come, is by these, until it was seen.
func TestTimingsBefore(t *testing.T) {
	changed := record.InForce{Timings: ofTimeout(t, sec(30), sec(1)), Seq: claim + 1, Before: ofTimeout(t, sec(60), sec(1))}
	shortened := func(o *lease.Observer) { o.SetTimings(changed) }
	beat := func(seq, read uint64) *record.Heartbeat {
		hb := master(t, "a", seq, 7)
		hb.LedgerSeq = read
		return hb
	}
	unread, read := beat(1, claim), beat(2, claim+1)
	for _, c := range []struct {
		name string
		find func(from, to float64) seen // from the second 1 on
		want float64                     // the second of the judgement
	}{
		{"its heartbeat has not read the change", func(from, to float64) seen { return still(from, to, unread) }, 61},
		{"its heartbeat has read the change", func(from, to float64) seen { return still(from, to, read) }, 31},
		{"none was ever read", func(from, to float64) seen { return torn(from, to, "x") }, 61},
		{
			"it has read the change, and an older one has landed over that",
			func(from, to float64) seen {
				return func(o *lease.Observer) {
					quick(0.5, read)(o)
					still(from, to, unread)(o)
				}
			}, 31,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			begin := func(o *lease.Observer) {
				o.Claimed(lease.Mastership{Node: "n", Incarnation: "a", Epoch: 7, Claimed: claim}, 0)
			}
			o := watch(t, shortened, begin, c.find(1, c.want-0.5))
			if at, ok := o.NextJudgement(); !ok || at != sec(c.want) {
				t.Errorf("the next judgement: %s, %t; want %g s", at, ok, c.want)
			}
			if k := o.Node("n"); k.Standing == lease.Stale || k.Still || o.Vacancy().Vacant {
				t.Errorf("before %g s: %s, still %t, vacant %t", c.want, k.Standing, k.Still, o.Vacancy().Vacant)
			}
			o = watch(t, shortened, begin, c.find(1, c.want))
			if k := o.Node("n"); !k.Still || !o.Vacancy().Vacant {
				t.Errorf("at %g s: %s, still %t, vacant %t", c.want, k.Standing, k.Still, o.Vacancy().Vacant)
			}
		})
	}
}
