package report

import (
	"fmt"
	"sync"
	"time"

	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// leap is how far the wall clock may part from the boot-time clock between two beats
// before that counts as a leap: less is what time services correct by themselves.
const leap = 250 * time.Millisecond

// Recorder records, in memory. It is safe for concurrent use. All durations it is
// told are on the host's boot-time clock.
type Recorder struct {
	mu sync.Mutex
	r  Report

	// Of this process.
	incarnation string        // under which a renewal counted last
	held        bool          // its lease has not been lost since
	dated       time.Duration // date of that renewal; 0 is none yet
	trouble     string        // why the last beat after it failed
	late        time.Duration // the most that a beat after it began late
	slow        time.Duration // the most that one took
	began       time.Duration // of the last beat; 0 is none yet
	active      time.Duration // when this node last did something for a beat
	now         time.Duration // with r.To, when both clocks were read last
	windows     map[string]*window
}

// New makes a recorder that goes on with what an earlier process left; nil is nothing.
func New(cluster, node string, before *Report, wall time.Time) *Recorder {
	r := &Recorder{windows: map[string]*window{}}
	if before == nil {
		before = &Report{Version: format, Cluster: cluster, Node: node, From: wall, To: wall}
	}
	r.r = *before.clone()
	r.r.Runs++
	if r.r.Peers == nil {
		r.r.Peers = map[string]Peer{}
	}
	return r
}

// Report is all that was recorded until now.
func (r *Recorder) Report() *Report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.clone()
}

// Beat is what one renewal came to.
type Beat struct {
	Began, Answered time.Duration
	// Now and Wall are the two clocks at one instant.
	Now         time.Duration
	Wall        time.Time
	Incarnation string
	Timings     record.Timings
	Debug       bool
	Counted     bool   // as a renewal of the lease
	Trouble     string // why it did not
}

// Beat records one.
func (r *Recorder) Beat(b Beat) {
	r.mu.Lock()
	defer r.mu.Unlock()
	b.Wall = b.Wall.Round(0) // a monotonic reading would hide what the wall clock does
	r.leaps(b)
	r.r.To, r.r.Timings, r.r.Debug = b.Wall, b.Timings, b.Debug
	r.r.Beats++
	if late := b.Began - max(r.began+b.Timings.Interval, r.active); r.began != 0 {
		r.r.Late.add(max(late, 0), b.Wall)
		r.late = max(r.late, late)
	}
	r.began, r.active = b.Began, max(r.active, b.Answered)
	if b.Trouble == "" {
		r.r.Store.add(b.Answered-b.Began, b.Wall)
	} else {
		r.trouble = b.Trouble
	}
	r.slow = max(r.slow, b.Answered-b.Began)
	if r.dated != 0 {
		r.gap(b.Answered-r.dated, b.Wall, !b.Counted)
	}
	if !b.Counted {
		r.r.Failed++
		return
	}
	r.r.Renewals++
	if b.Incarnation != r.incarnation {
		for _, w := range r.windows {
			w.restart(b.Answered) // as the observer does: this node's own trouble is nobody's death
		}
	}
	r.incarnation, r.held, r.dated = b.Incarnation, true, b.Began
	r.trouble, r.late, r.slow = "", 0, 0
}

// Active tells that this node was busy with its beat until now: what follows is
// late by its own doing only from here on.
func (r *Recorder) Active(now time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.active = max(r.active, now)
}

// Lost records that the lease was lost, as found at now.
func (r *Recorder) Lost(now time.Duration, wall time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.held, r.r.To = false, wall.Round(0)
	r.now = now
	if r.began != 0 && r.trouble == "" {
		// No beat has failed: this node itself has not made one in time.
		r.late = max(r.late, now-max(r.began+r.r.Timings.Interval, r.active))
	}
	r.gap(now-r.dated, r.r.To, true)
	r.r.happened(Event{
		At: r.r.To, Kind: Fenced, Node: r.r.Node, Lasted: now - r.dated,
		Why: fmt.Sprintf("no renewal was answered in time: %s", r.cause()),
	})
}

// FailedOver records what a master in debug did not do.
func (r *Recorder) FailedOver(node, why string, wall time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.r.happened(Event{At: wall.Round(0), Kind: FailedOver, Node: node, Why: why})
}

func (r *Recorder) gap(length time.Duration, at time.Time, open bool) {
	if length > r.r.Gap.Length {
		r.r.Gap = Silence{Length: length, At: at, Cause: r.cause(), Open: open}
	}
}

// cause says what made the time since the last renewal long.
func (r *Recorder) cause() string {
	switch {
	case r.trouble != "":
		return clean(r.trouble)
	case r.late > r.slow:
		return fmt.Sprintf("this host let a beat wait for %s: it was paused, suspended or overloaded", short(r.late))
	}
	return fmt.Sprintf("the store took %s to answer", short(r.slow))
}

// leaps holds the wall clock against the boot-time clock.
func (r *Recorder) leaps(b Beat) {
	if r.now != 0 {
		by := b.Wall.Sub(r.r.To) - (b.Now - r.now)
		if by.Abs() >= leap {
			r.r.Jumps++
			if by.Abs() > r.r.Jump.By.Abs() {
				r.r.Jump = Leap{By: by, At: b.Wall}
			}
		}
	}
	r.now = b.Now
}

// Forget drops nodes that are no members any more.
func (r *Recorder) Forget(member func(node string) bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name := range r.r.Peers {
		if !member(name) {
			delete(r.r.Peers, name)
			delete(r.windows, name)
		}
	}
	for vm, on := range r.r.Replicas {
		for host := range on {
			if !member(host) {
				delete(on, host)
			}
		}
		if len(on) == 0 {
			delete(r.r.Replicas, vm)
		}
	}
}

// short is a duration as people write it.
func short(d time.Duration) time.Duration {
	switch {
	case d.Abs() >= time.Minute:
		return d.Round(time.Second)
	case d.Abs() >= time.Second:
		return d.Round(10 * time.Millisecond)
	case d.Abs() >= time.Millisecond:
		return d.Round(100 * time.Microsecond)
	}
	return d.Round(time.Microsecond)
}
