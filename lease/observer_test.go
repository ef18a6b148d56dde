package lease_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// seen is one step of an observer's day, at the default timings: T 30, I 1,
// D + M 16. It watches the node "n".
type seen func(o *lease.Observer)

// claim is the number of the entry by which "n" is master.
const claim = 100

// heartbeat makes a record of the node "n", which has read the claim.
func heartbeat(t testing.TB, incarnation string, seq uint64) *record.Heartbeat {
	return &record.Heartbeat{
		Node: "n", Incarnation: incarnation, Seq: seq, LedgerSeq: claim, Timings: ofTimeout(t, sec(30), sec(1)),
	}
}

// slow is a read that began and ended at these seconds and found the record.
func slow(begun, ended float64, hb *record.Heartbeat) seen {
	return func(o *lease.Observer) {
		o.Saw("n", lease.Reading{
			Begun: sec(begun), Ended: sec(ended), Heartbeat: hb,
			Raw: fmt.Sprint(*hb),
		})
	}
}

// quick is a read that took no time.
func quick(at float64, hb *record.Heartbeat) seen { return slow(at, at, hb) }

// each reads every so many seconds, both ends included.
func each(from, to, every float64, read func(at float64) seen) seen {
	return func(o *lease.Observer) {
		for i := 0; from+float64(i)*every <= to; i++ {
			read(from + float64(i)*every)(o)
		}
	}
}

// still is a record that stands still, read each interval.
func still(from, to float64, hb *record.Heartbeat) seen {
	return each(from, to, 1, func(at float64) seen { return quick(at, hb) })
}

// unreadable is a read that found these bytes and could not make sense of them;
// "" is nothing at all.
func unreadable(at float64, raw string) seen {
	return func(o *lease.Observer) {
		o.Saw("n", lease.Reading{Begun: sec(at), Ended: sec(at), Raw: raw, Problem: record.ErrTorn})
	}
}

// torn is the same unreadable bytes, read each interval.
func torn(from, to float64, raw string) seen {
	return each(from, to, 1, func(at float64) seen { return unreadable(at, raw) })
}

// restart is the loss of the observer's own lease, made good.
func restart(at float64) seen { return func(o *lease.Observer) { o.Restart(sec(at)) } }

// founded are the timings of a cluster that has never had others.
func founded(t lease.Timings) record.InForce { return record.InForce{Timings: t} }

// watch lets a new observer live through all of it.
func watch(t testing.TB, steps ...seen) *lease.Observer {
	t.Helper()
	o := lease.NewObserver(0, founded(ofTimeout(t, sec(30), sec(1))))
	for _, s := range steps {
		s(o)
	}
	return o
}

func TestStanding(t *testing.T) {
	a1, a2, a5, b1 := heartbeat(t, "a", 1), heartbeat(t, "a", 2), heartbeat(t, "a", 5), heartbeat(t, "b", 1)
	longer := heartbeat(t, "a", 2)
	longer.Timings = ofTimeout(t, sec(60), sec(1))
	shorter := heartbeat(t, "a", 2)
	shorter.Timings = ofTimeout(t, sec(10), sec(0.5))
	longerLedger := func(o *lease.Observer) { o.SetTimings(founded(longer.Timings)) }
	for _, c := range []struct {
		name  string
		steps []seen
		want  lease.Standing
	}{
		{"a node nothing was read of is unseen", nil, lease.Unseen},
		{"the first record found may be years old", []seen{quick(0, a5)}, lease.Unseen},
		{"a first record that stands still is not alive", []seen{still(0, 15, a5)}, lease.Unseen},
		{"a first record that stands still for T is stale", []seen{still(0, 30, a5)}, lease.Stale},
		{"a number that has not been seen is life", []seen{quick(0, a1), quick(1, a2)}, lease.Alive},
		{"an incarnation that has not been seen is life", []seen{quick(0, a5), quick(1, b1)}, lease.Alive},

		// Rule 2: the window begins after the read that showed something new.
		{
			"the window begins at the end of the read, not at its beginning: not yet suspect",
			[]seen{quick(0, a1), slow(1, 6, a2), still(7, 21.9, a2)},
			lease.Alive,
		},
		{
			"the window begins at the end of the read: suspect",
			[]seen{quick(0, a1), slow(1, 6, a2), still(7, 22, a2)},
			lease.Suspect,
		},
		{
			"the window begins at the end of the read: not yet stale",
			[]seen{quick(0, a1), slow(1, 6, a2), still(7, 35.9, a2)},
			lease.Suspect,
		},
		{
			"the window begins at the end of the read: stale",
			[]seen{quick(0, a1), slow(1, 6, a2), still(7, 36, a2)},
			lease.Stale,
		},
		{
			"whatever is new restarts the window",
			[]seen{quick(0, a1), still(1, 25, a2), still(26, 41, a5)},
			lease.Alive,
		},

		// Rule 3: the read that judges has begun late enough.
		{
			"a read begun before D + M does not make suspect, however late it ends",
			[]seen{quick(0, a1), still(1, 16, a2), slow(16.9, 60, a2)},
			lease.Alive,
		},
		{"a read begun at D + M makes suspect", []seen{quick(0, a1), still(1, 16, a2), quick(17, a2)}, lease.Suspect},
		{
			"a read begun before T does not make stale, however late it ends",
			[]seen{quick(0, a1), still(1, 30, a2), slow(30.9, 90, a2)},
			lease.Suspect,
		},
		{"a read begun at T makes stale", []seen{quick(0, a1), still(1, 30, a2), quick(31, a2)}, lease.Stale},

		// Rule 4: enough answered reads, spaced, the own lease held throughout.
		{
			"nine answered reads are not enough for suspect",
			[]seen{quick(0, a1), quick(1, a2), still(2, 9, a2), quick(20, a2)},
			lease.Alive,
		},
		{
			"nine answered reads are not enough for stale",
			[]seen{quick(0, a1), quick(1, a2), still(2, 9, a2), quick(60, a2)},
			lease.Alive,
		},
		{
			"ten answered reads are enough",
			[]seen{quick(0, a1), quick(1, a2), still(2, 10, a2), quick(60, a2)},
			lease.Stale,
		},
		{
			"reads closer than an interval count once",
			[]seen{quick(0, a1), quick(1, a2), each(1.1, 9.9, 0.1, func(at float64) seen { return quick(at, a2) }), quick(60, a2)},
			lease.Alive,
		},
		{
			"the loss of the own lease restarts all windows",
			[]seen{quick(0, a1), still(1, 30, a2), restart(30.5), still(31, 60, a2)},
			lease.Suspect,
		},
		{
			"a node that was stale is unseen after the loss of the own lease",
			[]seen{quick(0, a1), still(1, 40, a2), restart(40.5), still(41, 45, a2)},
			lease.Unseen,
		},
		{
			"a node that was alive is unseen after the loss of the own lease",
			[]seen{quick(0, a1), quick(1, a2), restart(1.5), quick(2, a2)},
			lease.Unseen,
		},
		{
			"T after the loss of the own lease it is stale again",
			[]seen{quick(0, a1), still(1, 40, a2), restart(40.5), still(41, 71, a2)},
			lease.Stale,
		},
		{"a stale node that moves lives", []seen{quick(0, a1), still(1, 40, a2), quick(41, a5)}, lease.Alive},

		// Timings: the larger of the record's and the ledger's.
		{
			"a record that advertises a longer timeout is judged by it",
			[]seen{quick(0, a1), still(1, 60, longer)},
			lease.Suspect,
		},
		{
			"a record that advertises a shorter timeout is judged by the ledger's",
			[]seen{quick(0, a1), still(1, 16, shorter)},
			lease.Alive,
		},
		{
			"a ledger with a longer timeout prevails over the record's",
			[]seen{longerLedger, quick(0, a1), still(1, 60, a2)},
			lease.Suspect,
		},
		{"the longer timeout ends, too", []seen{quick(0, a1), still(1, 61, longer)}, lease.Stale},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := watch(t, c.steps...).Node("n").Standing; got != c.want {
				t.Errorf("standing %s, want %s", got, c.want)
			}
		})
	}
}

// An older (incarnation, number) is no news, be it read twice or landing late.
func TestOldNumbersAreNoSignOfLife(t *testing.T) {
	a4, a5, b1 := heartbeat(t, "a", 4), heartbeat(t, "a", 5), heartbeat(t, "b", 1)
	for _, c := range []struct {
		name  string
		steps []seen
		last  *record.Heartbeat
	}{
		{"an older number after the first found", []seen{quick(0, a5), quick(1, a4)}, a5},
		{"an older number read over and over", []seen{quick(0, a5), still(1, 12, a4)}, a5},
		{"an older number that lands late on a stale node", []seen{quick(0, a4), still(1, 40, a5), quick(41, a4)}, a5},
		{
			"an earlier incarnation's number that lands late on a stale node",
			[]seen{quick(0, a4), quick(1, a5), still(2, 40, b1), quick(41, a5)},
			b1,
		},
		{
			"an earlier incarnation's number after the loss of the own lease",
			[]seen{quick(0, a5), quick(1, b1), restart(2), quick(3, a5)},
			b1,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := watch(t, c.steps...).Node("n")
			if n.Standing == lease.Alive || n.Last != c.last {
				t.Errorf("standing %s, last %s %d", n.Standing, n.Last.Incarnation, n.Last.Seq)
			}
		})
	}
}

func TestUnreadableIsNoSilence(t *testing.T) {
	a1, a2 := heartbeat(t, "a", 1), heartbeat(t, "a", 2)
	for _, problem := range []error{record.ErrTorn, record.ErrForeign, record.ErrNewer, errors.New("there is none")} {
		raw := "bytes"
		if !errors.Is(problem, record.ErrTorn) && !errors.Is(problem, record.ErrForeign) && !errors.Is(problem, record.ErrNewer) {
			raw = ""
		}
		bad := func(from, to float64) seen {
			return each(from, to, 1, func(at float64) seen {
				return func(o *lease.Observer) {
					o.Saw("n", lease.Reading{Begun: sec(at), Ended: sec(at), Raw: raw, Problem: problem})
				}
			})
		}
		for _, c := range []struct {
			name  string
			steps []seen
			still bool
		}{
			{"at once", []seen{bad(0, 0)}, false},
			{"until just before T", []seen{quick(0, a1), bad(1, 30.9)}, false},
			{"for T", []seen{quick(0, a1), bad(1, 31)}, true},
			{"for T from the very first read", []seen{bad(0, 30)}, true},
			{"for ever", []seen{quick(0, a1), bad(1, 400)}, true},
			{"after a life", []seen{quick(0, a1), still(1, 16, a2), bad(17, 46)}, false},
			{"for T but for the loss of the own lease", []seen{bad(0, 20), restart(20.5), bad(21, 50)}, false},
			{"read too seldom", []seen{bad(0, 8), bad(60, 60)}, false},
		} {
			t.Run(problem.Error()+" "+c.name, func(t *testing.T) {
				n := watch(t, c.steps...).Node("n")
				if n.Standing != lease.Unreadable || n.Still != c.still || !errors.Is(n.Problem, problem) {
					t.Errorf("standing %s, still %t, problem %v; want unreadable, still %t, %v", n.Standing, n.Still, n.Problem, c.still, problem)
				}
			})
		}
	}
}

func TestUnreadableTurns(t *testing.T) {
	a1, a2 := heartbeat(t, "a", 1), heartbeat(t, "a", 2)
	alternating := each(1, 200, 1, func(at float64) seen { return unreadable(at, fmt.Sprint(int(at)%2)) })
	for _, c := range []struct {
		name  string
		steps []seen
		want  lease.Standing
		still bool
	}{
		{"torn bytes that alternate never stand still", []seen{quick(0, a1), alternating}, lease.Unreadable, false},
		{"what is readable again and old is no life", []seen{quick(0, a1), quick(1, a2), unreadable(2, "x"), quick(3, a2)}, lease.Unseen, false},
		{"what is readable again and new is life", []seen{quick(0, a1), unreadable(1, "x"), quick(2, a2)}, lease.Alive, false},
		{
			"a torn record in between restarts the window",
			[]seen{quick(0, a1), still(1, 25, a2), unreadable(26, "x"), still(27, 55, a2)},
			lease.Suspect, false,
		},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := watch(t, c.steps...).Node("n")
			if n.Standing != c.want || n.Still != c.still {
				t.Errorf("standing %s, still %t; want %s, %t", n.Standing, n.Still, c.want, c.still)
			}
		})
	}
}

func TestNumbersAndMoved(t *testing.T) {
	a1, a2, b1, b2 := heartbeat(t, "a", 1), heartbeat(t, "a", 2), heartbeat(t, "b", 1), heartbeat(t, "b", 2)
	for _, c := range []struct {
		name    string
		steps   []seen
		numbers int
		moved   bool
	}{
		{"one number is one", []seen{still(0, 9, a1)}, 1, false},
		{"two numbers are two", []seen{quick(0, a1), quick(1, a2)}, 2, true},
		{"a number of another incarnation begins anew", []seen{quick(0, a1), quick(1, a2), quick(2, b1)}, 1, true},
		{"two numbers of the other are two", []seen{quick(0, a1), quick(1, a2), quick(2, b1), quick(3, b2)}, 2, true},
		{"a number read twice counts once", []seen{quick(0, a1), quick(1, a2), quick(2, a1), quick(3, a2)}, 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := watch(t, c.steps...).Node("n")
			if n.Numbers != c.numbers || n.Moved != c.moved {
				t.Errorf("%d numbers, moved %t; want %d, %t", n.Numbers, n.Moved, c.numbers, c.moved)
			}
		})
	}
}

func TestForget(t *testing.T) {
	o := watch(t, quick(0, heartbeat(t, "a", 1)))
	all := o.Nodes()
	o.Forget(func(node string) bool { return !slices.Contains([]string{"n"}, node) })
	if o.Node("n").Standing != lease.Unseen || o.Node("n").Last != nil || len(o.Nodes()) != 0 {
		t.Error("a node that was forgotten is still known")
	}
	if len(all) != 1 {
		t.Error("Nodes gave away its own map")
	}
}

// A node certainly wrote to this store after the look before the last but one that
// showed a new number of it: the last one may have landed late.
func TestWrote(t *testing.T) {
	ts := ofTimeout(t, sec(30), sec(1))
	o := lease.NewObserver(0, founded(ts))
	for i, step := range []struct {
		seq  uint64
		want float64
	}{
		{1, 0}, // what lies there first may be years old
		{1, 0},
		{2, 0}, // it may have landed late
		{3, 1}, // so may this one; the one before was sent after the look at 1 s
		{3, 1}, // nothing new
		{2, 1}, // an old one is no news of where it writes now
		{4, 2}, // 3 was sent after the look at 2 s
		{5, 5}, // 4 was sent after the look at 5 s
	} {
		quick(float64(i), &record.Heartbeat{Node: "n", Incarnation: "a", Seq: step.seq, Timings: ts})(o)
		if got := o.Node("n").Wrote; got != sec(step.want) {
			t.Errorf("look %d, number %d: wrote after %s, want %g s", i, step.seq, got, step.want)
		}
	}
}
