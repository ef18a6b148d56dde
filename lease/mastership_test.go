package lease_test

import (
	"fmt"
	"testing"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// master is a heartbeat of "n" that carries its incarnation's mastership.
func master(t testing.TB, incarnation string, seq, epoch uint64) *record.Heartbeat {
	hb := heartbeat(t, incarnation, seq)
	hb.Epoch = epoch
	return hb
}

// early is a heartbeat of a node that had not read the claim.
func early(t testing.TB, incarnation string, seq uint64) *record.Heartbeat {
	hb := heartbeat(t, incarnation, seq)
	hb.LedgerSeq = claim - 1
	return hb
}

// releases is a heartbeat that gives an epoch up.
func releases(t testing.TB, incarnation string, seq, epoch uint64, successor string) *record.Heartbeat {
	hb := heartbeat(t, incarnation, seq)
	hb.Released, hb.Successor = epoch, successor
	return hb
}

// claimed is the read of the entry by which "n" is master as incarnation a,
// epoch 7.
func claimed(ended float64) seen {
	return func(o *lease.Observer) {
		o.Claimed(lease.Mastership{Node: "n", Incarnation: "a", Epoch: 7, Claimed: claim}, sec(ended))
	}
}

// beats are new numbers of one incarnation each interval.
func beats(t testing.TB, from, to float64, incarnation string, seq, epoch uint64) seen {
	return each(from, to, 1, func(at float64) seen {
		return quick(at, master(t, incarnation, seq+uint64(at-from), epoch))
	})
}

func TestVacancy(t *testing.T) {
	m1, m2 := master(t, "a", 1, 7), master(t, "a", 2, 7)
	alternating := each(2, 200, 1, func(at float64) seen { return unreadable(at, fmt.Sprint(int(at)%2)) })
	long := master(t, "a", 2, 7)
	long.Timings = ofTimeout(t, sec(60), sec(1))
	released := lease.Vacancy{Vacant: true, Released: true}
	toB := lease.Vacancy{Vacant: true, Released: true, Successor: "b"}
	for _, c := range []struct {
		name  string
		steps []seen
		want  lease.Vacancy
	}{
		{"a ledger without a master is vacant", []seen{func(o *lease.Observer) { o.Claimed(lease.Mastership{}, 0) }}, released},
		{"a mastership just read is held", []seen{claimed(0)}, lease.Vacancy{}},
		{"one that beats is held", []seen{claimed(0), beats(t, 1, 90, "a", 1, 7)}, lease.Vacancy{}},
		{
			"silence is counted from the last heartbeat that carries it: not yet",
			[]seen{claimed(0), quick(1, m1), still(2, 31.9, m2)},
			lease.Vacancy{},
		},
		{"silence for T ends it", []seen{claimed(0), quick(1, m1), still(2, 32, m2)}, lease.Vacancy{Vacant: true}},
		{
			"a read that begins before T does not end it, however late it ends",
			[]seen{claimed(0), quick(1, m1), still(2, 31, m2), slow(31.9, 90, m2)},
			lease.Vacancy{},
		},
		{
			"too few answered reads do not end it",
			[]seen{claimed(0), quick(1, m1), still(2, 10, m2), quick(90, m2)},
			lease.Vacancy{},
		},

		// Rule 3: only (node, incarnation, epoch) is news.
		{
			"a master that came back as another incarnation is over",
			[]seen{claimed(0), quick(1, m1), beats(t, 2, 31, "b", 1, 0)},
			lease.Vacancy{Vacant: true},
		},
		{
			"a master that came back as another incarnation is not over before T",
			[]seen{claimed(0), quick(1, m1), beats(t, 2, 30, "b", 1, 0)},
			lease.Vacancy{},
		},
		{
			"another incarnation's claim to the epoch is no news",
			[]seen{claimed(0), quick(1, m1), beats(t, 2, 31, "b", 1, 7)},
			lease.Vacancy{Vacant: true},
		},
		{
			"the incarnation without the epoch is no news",
			[]seen{claimed(0), quick(1, m1), beats(t, 2, 31, "a", 2, 0)},
			lease.Vacancy{Vacant: true},
		},
		{
			"an earlier epoch of the incarnation is no news",
			[]seen{claimed(0), quick(1, m1), beats(t, 2, 31, "a", 2, 6)},
			lease.Vacancy{Vacant: true},
		},
		{
			"a record from before the claim that lands late may lie over one that carries it: not over before T",
			[]seen{claimed(0), quick(1, m1), still(2, 20, m2), still(21, 50, early(t, "z", 9))},
			lease.Vacancy{},
		},
		{
			"a record from before the claim that lands late keeps it no longer than T",
			[]seen{claimed(0), quick(1, m1), still(2, 20, m2), still(21, 51, early(t, "z", 9))},
			lease.Vacancy{Vacant: true},
		},
		{
			"a record of its own from before the claim that lands late: not over before T",
			[]seen{claimed(0), quick(1, m2), still(2, 20, m2), still(21, 50, early(t, "a", 1))},
			lease.Vacancy{},
		},
		{"old numbers do not keep it", []seen{claimed(0), quick(1, m2), still(2, 32, m1)}, lease.Vacancy{Vacant: true}},

		// From the read that first showed the claim.
		{
			"one that died before its first heartbeat is over after T",
			[]seen{claimed(5), beats(t, 6, 35, "a", 1, 0)},
			lease.Vacancy{Vacant: true},
		},
		{
			"one that died before its first heartbeat is not over before T",
			[]seen{claimed(5), beats(t, 6, 34, "a", 1, 0)},
			lease.Vacancy{},
		},
		{
			"one that died and left nothing is over after T",
			[]seen{claimed(5), torn(6, 35, "")},
			lease.Vacancy{Vacant: true},
		},
		{
			"a claim read again does not begin the window anew",
			[]seen{claimed(5), torn(6, 20, ""), claimed(20), torn(21, 35, "")},
			lease.Vacancy{Vacant: true},
		},
		{
			"what was silent before the claim does not count",
			[]seen{still(0, 60, m1), claimed(60), still(60, 80, m1)},
			lease.Vacancy{},
		},
		{
			"a newer claim begins a new window",
			[]seen{claimed(0), still(1, 40, m1), func(o *lease.Observer) {
				o.Claimed(lease.Mastership{Node: "n", Incarnation: "a", Epoch: 8, Claimed: claim + 1}, sec(40))
			}, still(41, 60, m1)},
			lease.Vacancy{},
		},

		// Release.
		{
			"a release ends it at once and names the successor",
			[]seen{claimed(0), quick(1, m1), quick(2, releases(t, "a", 2, 7, "b"))},
			toB,
		},
		{
			"a release is irrevocable, whatever comes after",
			[]seen{claimed(0), quick(1, releases(t, "a", 1, 7, "b")), beats(t, 2, 20, "a", 2, 7)},
			toB,
		},
		{
			"a release outlasts the loss of the own lease",
			[]seen{claimed(0), quick(1, releases(t, "a", 1, 7, "b")), restart(2), quick(3, m2)},
			toB,
		},
		{
			"another incarnation's release is not the master's",
			[]seen{claimed(0), quick(1, m1), quick(2, releases(t, "b", 1, 7, "b"))},
			lease.Vacancy{},
		},
		{
			"the release of an earlier epoch is not of this one",
			[]seen{claimed(0), quick(1, m1), quick(2, releases(t, "a", 2, 6, "b"))},
			lease.Vacancy{},
		},

		// What cannot be read is silence here: the compare-and-set protects.
		{
			"torn bytes that stand still are silence",
			[]seen{claimed(0), quick(1, m1), torn(2, 32, "x")},
			lease.Vacancy{Vacant: true},
		},
		{
			"torn bytes that do not stand still are not",
			[]seen{claimed(0), quick(1, m1), alternating},
			lease.Vacancy{},
		},
		{
			"a record that stays away is silence",
			[]seen{claimed(0), quick(1, m1), torn(2, 32, "")},
			lease.Vacancy{Vacant: true},
		},

		// The own lease, and the timings.
		{
			"the loss of the own lease restarts the window",
			[]seen{claimed(0), quick(1, m1), still(2, 31, m2), restart(31.5), still(32, 61, m2)},
			lease.Vacancy{},
		},
		{
			"what was over is not after the loss of the own lease",
			[]seen{claimed(0), still(1, 50, m1), restart(50.5), still(51, 60, m1)},
			lease.Vacancy{},
		},
		{
			"what was over is not at the very loss of the own lease",
			[]seen{claimed(0), still(1, 50, m1), restart(50.5)},
			lease.Vacancy{},
		},
		{
			"a record that advertises a longer timeout is judged by it",
			[]seen{claimed(0), quick(1, m1), still(2, 61, long)},
			lease.Vacancy{},
		},
		{
			"a ledger with a longer timeout prevails over the record's",
			[]seen{func(o *lease.Observer) { o.SetTimings(founded(long.Timings)) }, claimed(0), still(1, 60, m1)},
			lease.Vacancy{},
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := watch(t, c.steps...).Vacancy()
			got.Age, got.Of = 0, lease.Mastership{}
			if got != c.want {
				t.Errorf("%+v, want %+v", got, c.want)
			}
		})
	}
}

func TestOtherNodesAreNoNewsOfTheMastership(t *testing.T) {
	o := watch(t, claimed(0), quick(1, master(t, "a", 1, 7)))
	for at := 2.0; at <= 32; at++ {
		quick(at, master(t, "a", 1, 7))(o)
		hb := master(t, "a", uint64(at), 7)
		o.Saw("m", lease.Reading{Begun: sec(at), Ended: sec(at), Heartbeat: hb, Raw: fmt.Sprint(at)})
	}
	if !o.Vacancy().Vacant {
		t.Error("another node's heartbeats keep the mastership")
	}
}

func TestNextJudgement(t *testing.T) {
	m1 := master(t, "a", 1, 7)
	long := master(t, "a", 1, 7)
	long.Timings = ofTimeout(t, sec(60), sec(1))
	for _, c := range []struct {
		name  string
		steps []seen
		want  float64 // 0: never
	}{
		{"T after the claim was read", []seen{claimed(2)}, 32},
		{"T after the end of the read that showed it new", []seen{claimed(0), slow(1, 4, m1)}, 34},
		{"a read that shows nothing new does not move it", []seen{claimed(0), quick(1, m1), still(2, 20, m1)}, 31},
		{"by the longer timeout that the record advertises", []seen{claimed(0), quick(1, long)}, 61},
		{"never where there is no master", nil, 0},
		{"never after a release", []seen{claimed(0), quick(1, releases(t, "a", 1, 7, ""))}, 0},
		{"never once it is over", []seen{claimed(0), still(1, 31, m1)}, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			at, ok := watch(t, c.steps...).NextJudgement()
			if ok != (c.want != 0) || at != sec(c.want) {
				t.Errorf("%s, %t; want %g s", at, ok, c.want)
			}
		})
	}
}

// A read at the very instant that NextJudgement names decides.
func TestNextJudgementDecides(t *testing.T) {
	m1 := master(t, "a", 1, 7)
	for _, c := range []struct {
		name  string
		early float64
		want  bool
	}{{"at it", 0, true}, {"just before it", 0.001, false}} {
		t.Run(c.name, func(t *testing.T) {
			o := watch(t, claimed(0), slow(1, 1.4, m1), still(2, 30, m1))
			at, _ := o.NextJudgement()
			quick(at.Seconds()-c.early, m1)(o)
			if got := o.Vacancy().Vacant; got != c.want {
				t.Errorf("vacant: %t, want %t", got, c.want)
			}
		})
	}
}
