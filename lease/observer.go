package lease

import (
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// Standing is what an observer makes of a node's heartbeats.
type Standing string

// Standings of a node.
const (
	// Unseen: nothing new has been read since the observer began, or began anew,
	// to look; the first record found may be years old.
	Unseen  Standing = "unseen"
	Alive   Standing = "alive"   // fresh
	Suspect Standing = "suspect" // its lease is over
	Stale   Standing = "stale"   // with proof, all it ran has stopped
	// Unreadable: the record is missing, torn, foreign or of a newer format.
	// That is an alarm and no silence.
	Unreadable Standing = "unreadable"
)

// Reading is one answered read of a node's heartbeat.
type Reading struct {
	Begun, Ended time.Duration // boot-time clock
	Heartbeat    *record.Heartbeat
	// Problem says why Heartbeat is nil.
	Problem error
	// Raw is a digest of the bytes that lay there, "" for nothing.
	Raw string
}

// Node is what an observer knows of one node.
type Node struct {
	Standing Standing
	// Last is the newest heartbeat read; nil if none ever was. Lies is the one that
	// was read last and lies there now: an older one, if it landed late.
	Last, Lies *record.Heartbeat
	// Age is how long nothing new was seen, as of the last read's beginning.
	Age time.Duration
	// Numbers is how many different numbers of Last's incarnation were read.
	Numbers int
	// Moved: the record was seen to change since the observer began to look.
	Moved bool
	// Still: what lies there, readable or not, has not changed for T.
	Still   bool
	Problem error
	// Wrote is an instant after which the node certainly sent a heartbeat to this
	// very store; 0 for never. Of one process at most one write is under way, so
	// that only the last number that was seen may have landed late.
	Wrote time.Duration
}

// Observer watches the other nodes' heartbeats by rules 2 to 4 of
// docs/protocol.md. One goroutine owns it.
type Observer struct {
	began   time.Duration
	ledger  record.InForce
	nodes   map[string]*window
	master  Mastership
	mwindow window
}

// Mastership is (node, incarnation, epoch), and the claim that made it.
type Mastership struct {
	Node        string
	Incarnation string
	Epoch       uint64
	Claimed     uint64 // number of the entry that made it
}

// window is the time since something new was last seen.
type window struct {
	date    time.Duration // end of the read that showed something new
	reads   int           // answered reads since, spaced an interval or more
	counted time.Duration // beginning of the last of them
	seen    map[string]uint64
	gone    map[string]bool // incarnations that a later one calls over
	looked  time.Duration   // beginning of the read before
	wrote   time.Duration   // the same, of the read before the one that showed the newest number
	raw     string
	node    Node
	any     bool
	// of a mastership:
	released  bool
	successor string
	over      bool
	age       time.Duration
}

// NewObserver begins to look at now.
func NewObserver(now time.Duration, t record.InForce) *Observer {
	return &Observer{began: now, ledger: t, nodes: map[string]*window{}}
}

// SetTimings takes over the ledger's timings.
func (o *Observer) SetTimings(t record.InForce) { o.ledger = t }

// Began is when the observer began to look.
func (o *Observer) Began() time.Duration { return o.began }

// Restart forgets how long silences have lasted: the observer's own lease was
// lost or is new, and its own trouble must not look like others' death.
func (o *Observer) Restart(now time.Duration) {
	for _, w := range o.nodes {
		w.restart(now)
		w.node.Standing, w.node.Still = Unseen, false
	}
	o.mwindow.restart(now)
	o.mwindow.over = false
}

// Forget drops nodes that are no members any more.
func (o *Observer) Forget(keep func(node string) bool) {
	for n := range o.nodes {
		if !keep(n) {
			delete(o.nodes, n)
		}
	}
}

// Claimed tells of the mastership that the newest entry names, as of the end of
// the read that showed it. The first read that shows it begins its window.
func (o *Observer) Claimed(m Mastership, ended time.Duration) {
	if m == o.master {
		return
	}
	o.master = m
	o.mwindow = window{date: ended, counted: ended}
}

// Saw takes in one answered read.
func (o *Observer) Saw(node string, r Reading) {
	w := o.nodes[node]
	if w == nil {
		w = &window{date: r.Ended, seen: map[string]uint64{}, gone: map[string]bool{}}
		w.node.Standing = Unseen
		o.nodes[node] = w
	}
	changed := r.Raw != w.raw || !w.any
	t := o.ledger.Of(w.node.Last)
	if hb := r.Heartbeat; hb != nil {
		w.sawValid(hb, r, t, changed)
	} else {
		w.sawProblem(r, t, changed)
	}
	if node == o.master.Node {
		o.mwindow.sawMaster(o.master, r, t, changed)
	}
	w.raw, w.any, w.looked = r.Raw, true, r.Begun
}

// sawValid takes in a readable record. Whatever has changed begins the window
// anew, even if the number went down: an older write that landed late may lie
// over a newer one that nobody has read.
func (w *window) sawValid(hb *record.Heartbeat, r Reading, t Timings, changed bool) {
	k := &w.node
	k.Problem, k.Lies = nil, hb
	newer := hb.Seq > w.seen[hb.Incarnation]
	if hb.Over != "" {
		w.gone[hb.Over] = true
	}
	if newer {
		w.seen[hb.Incarnation] = hb.Seq
		k.Wrote, w.wrote = w.wrote, w.looked
		switch {
		case k.Last != nil && k.Last.Incarnation == hb.Incarnation:
			k.Numbers++
			k.Last = hb
		case !w.gone[hb.Incarnation]:
			// What a late write shows of one that is over is never the newest.
			k.Numbers = 1
			k.Last = hb
		}
	}
	if changed {
		k.Moved = k.Moved || w.any
		k.Age, k.Still = 0, false
		switch {
		case newer && w.any:
			k.Standing = Alive
		case k.Standing != Alive:
			k.Standing = Unseen
		}
		w.restart(r.Ended)
		return
	}
	w.count(r, t)
	k.Age = r.Begun - w.date
	switch {
	case w.enough(t) && k.Age >= t.Timeout:
		k.Standing, k.Still = Stale, true
	case w.enough(t) && k.Age >= t.Renew+t.Margin:
		k.Standing = Suspect
	case k.Standing != Alive:
		// Judged before the window began anew: no news yet.
		k.Standing = Unseen
	}
}

func (w *window) sawProblem(r Reading, t Timings, changed bool) {
	w.node.Problem = r.Problem
	w.node.Standing = Unreadable
	if changed {
		w.node.Moved = w.node.Moved || w.any
		w.node.Still = false
		w.restart(r.Ended)
		return
	}
	w.count(r, t)
	w.node.Age = r.Begun - w.date
	w.node.Still = w.enough(t) && w.node.Age >= t.Timeout
}

// sawMaster judges the mastership. News is a change to a record that carries it,
// or to one that was written before the claim and may lie over one that does. A
// node that has read the claim and does not carry it holds it no more, and never
// will again. Bytes that stand still unread, or stay away, are silence, since the
// ledger's compare-and-set protects what follows.
func (w *window) sawMaster(m Mastership, r Reading, t Timings, changed bool) {
	hb := r.Heartbeat
	mine := hb != nil && hb.Incarnation == m.Incarnation
	if mine && hb.Released == m.Epoch {
		w.released, w.successor = true, hb.Successor
		return
	}
	// A record that is gone is no write that could hide another.
	news := hb == nil && r.Raw != "" || mine && hb.Epoch == m.Epoch || hb != nil && hb.LedgerSeq < m.Claimed
	if changed && news {
		w.restart(r.Ended)
		w.over = false
		return
	}
	w.count(r, t)
	w.age = r.Begun - w.date
	w.over = w.enough(t) && w.age >= t.Timeout
}

func (w *window) restart(now time.Duration) {
	w.date, w.reads, w.counted, w.age = now, 0, now, 0
}

func (w *window) count(r Reading, t Timings) {
	if r.Begun >= w.counted+t.Interval {
		w.reads++
		w.counted = r.Begun
	}
}

// enough: at least T/(3 I) answered reads since something new was seen.
func (w *window) enough(t Timings) bool {
	return time.Duration(w.reads)*3*t.Interval >= t.Timeout
}
