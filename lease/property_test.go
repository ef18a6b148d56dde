package lease_test

import (
	"container/heap"
	"fmt"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/hoster-ha/hoster-ha/lease"
	"github.com/hoster-ha/hoster-ha/persistence/record"
)

// sim is two nodes and a store in true time. Each node beats by a clock of its
// own: it reads the tail, sends its heartbeat, reads the other's and claims a
// mastership that it finds vacant. Every step takes as long as rapid wants.
type sim struct {
	t       *rapid.T
	ts      lease.Timings
	now     time.Duration // true
	todo    events
	records map[string]*record.Heartbeat
	nodes   []*simNode
	epoch   uint64 // each entry is a claim
	holds   lease.Mastership
	claims  int
	stales  int
	// overtaking: a heartbeat that was given up may land after newer ones;
	// otherwise nothing is sent before it has.
	overtaking bool
}

type simNode struct {
	s        *sim
	name     string
	other    *simNode
	rate     float64       // of its clock, within 1 % of true
	began    time.Duration // of its clock, at true 0
	holder   *lease.Holder
	observer *lease.Observer
	seq      uint64
	stuck    bool // a heartbeat was given up and has not landed
	tail     lease.Mastership
	released uint64
	holders  []*lease.Holder
	seen     map[string]bool // incarnations of the other's that were read
}

type event struct {
	at time.Duration
	do func()
}

type events []event

func (e events) Len() int           { return len(e) }
func (e events) Less(i, j int) bool { return e[i].at < e[j].at }
func (e events) Swap(i, j int)      { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)        { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	last := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return last
}

func (s *sim) after(d time.Duration, do func()) { heap.Push(&s.todo, event{s.now + d, do}) }

// delay is how long a step takes: mostly nothing much, at times so long that
// something must be lost by it.
func (s *sim) delay() time.Duration {
	if rapid.IntRange(0, 63).Draw(s.t, "incident") == 37 {
		// 0 to 200 % of the takeover timeout.
		return s.ts.Timeout * time.Duration(rapid.IntRange(0, 200).Draw(s.t, "outage")) / 100
	}
	return s.ts.Interval * time.Duration(rapid.IntRange(0, 99).Draw(s.t, "delay")) / 1000
}

// clock is the node's boot-time clock now.
func (n *simNode) clock() time.Duration {
	return n.began + time.Duration(float64(n.s.now)*n.rate)
}

func (n *simNode) beat() {
	s, now := n.s, n.clock()
	if n.holder == nil || n.holder.Over(now) {
		n.holder = lease.NewHolder(fmt.Sprintf("%s%d", n.name, len(n.holders)))
		n.holders = append(n.holders, n.holder)
		n.seq = 0
	}
	h := n.holder
	r := h.Begin(now, s.ts)
	deadline := s.ts.Renew
	if until := h.Until(); until != 0 {
		deadline = until - now
	}
	s.after(s.delay(), func() {
		n.tail = s.holds
		s.after(s.delay(), func() {
			n.observer.Claimed(n.tail, n.clock())
			n.put(h, r, now+deadline)
		})
	})
}

// put sends a heartbeat, which lands when it likes and is given up at the
// deadline.
func (n *simNode) put(h *lease.Holder, r lease.Renewal, deadline time.Duration) {
	s := n.s
	n.seq++
	hb := &record.Heartbeat{Node: n.name, Incarnation: h.Incarnation(), Seq: n.seq, Released: n.released, LedgerSeq: n.tail.Epoch, Timings: s.ts}
	if n.mastership() {
		hb.Epoch = n.tail.Epoch
	}
	if n.stuck && !s.overtaking {
		s.after(s.ts.Interval/2, n.look)
		return
	}
	n.stuck = true
	landing, answer := s.delay(), s.delay()
	lost := rapid.SampledFrom([]string{"", "", "", "", "", "", "", "", "request", "answer"}).Draw(s.t, "lost")
	s.after(landing, func() {
		n.stuck = false
		if lost != "request" {
			s.records[n.name] = hb
		}
	})
	s.after(landing+answer, func() {
		now := n.clock()
		first := h.Until() == 0
		if lost == "" && now < deadline && h.Answered(r, now) && first {
			n.observer.Restart(now)
		}
		n.look()
	})
}

// look reads the other's heartbeat, which takes effect somewhere in between.
func (n *simNode) look() {
	s, reading := n.s, lease.Reading{Begun: n.clock()}
	s.after(s.delay(), func() {
		hb := s.records[n.other.name]
		s.after(s.delay(), func() {
			reading.Ended, reading.Heartbeat = n.clock(), hb
			if hb != nil {
				reading.Raw = fmt.Sprint(*hb)
				n.seen[hb.Incarnation] = true
			}
			n.observer.Saw(n.other.name, reading)
			n.judged()
			n.elect()
			s.after(max(s.ts.Interval/2, s.ts.Interval-s.delay()), n.beat)
		})
	})
}

// judged holds what the observer says against the truth.
func (n *simNode) judged() {
	now, ts := n.other.clock(), n.s.ts
	standing := n.observer.Node(n.other.name).Standing
	for _, h := range n.other.holders {
		// What was never read was not admitted either and may start nothing.
		until := h.Until()
		if until == 0 || !n.seen[h.Incarnation()] {
			continue
		}
		if standing == lease.Suspect && now < until {
			n.s.t.Fatalf("%s is suspect at %s, its lease %s is held until %s", n.other.name, now, h.Incarnation(), until)
		}
		if stops := until + ts.StopGrace + ts.Kill; standing == lease.Stale && now < stops {
			n.s.t.Fatalf("%s is stale at %s, its lease %s stops its VMs until %s", n.other.name, now, h.Incarnation(), stops)
		}
	}
	if standing == lease.Stale {
		n.s.stales++
	}
}

// mastership says whether the node takes itself for master.
func (n *simNode) mastership() bool {
	return n.tail.Node == n.name && n.tail.Incarnation == n.holder.Incarnation() && n.released != n.tail.Epoch &&
		n.holder.Until() > n.clock()
}

// elect claims what is vacant, or gives it up at times.
func (n *simNode) elect() {
	s, now := n.s, n.clock()
	if !n.holder.Valid(now) {
		return
	}
	if n.mastership() {
		if rapid.IntRange(0, 30).Draw(s.t, "release") == 0 {
			n.released = n.tail.Epoch
		}
		return
	}
	own := n.tail.Node == n.name && (n.tail.Incarnation != n.holder.Incarnation() || n.released == n.tail.Epoch)
	if n.tail != s.holds || (!own && !n.observer.Vacancy().Vacant) {
		return
	}
	if n.other.mastership() {
		s.t.Fatalf("%s claims epoch %d at %s, but %s still holds epoch %d",
			n.name, s.epoch+1, s.now, n.other.name, n.other.tail.Epoch)
	}
	s.epoch++
	s.claims++
	s.holds = lease.Mastership{Node: n.name, Incarnation: n.holder.Incarnation(), Epoch: s.epoch, Claimed: s.epoch}
	n.tail = s.holds
}

// live runs the two nodes until an end.
func live(t *rapid.T, timeout, interval time.Duration, overtaking bool) *sim {
	ts, err := lease.NewTimings(timeout, interval)
	if err != nil {
		t.Fatal(err)
	}
	s := &sim{t: t, ts: ts, records: map[string]*record.Heartbeat{}, overtaking: overtaking}
	for _, name := range []string{"a", "b"} {
		n := &simNode{
			s: s, name: name, seen: map[string]bool{},
			rate:  1 + float64(rapid.IntRange(-10, 10).Draw(t, "permille"))/1000,
			began: time.Duration(rapid.IntRange(1, 1000).Draw(t, "booted")) * time.Second,
		}
		n.observer = lease.NewObserver(n.clock(), founded(ts))
		s.nodes = append(s.nodes, n)
	}
	s.nodes[0].other, s.nodes[1].other = s.nodes[1], s.nodes[0]
	for _, n := range s.nodes {
		s.after(s.delay(), n.beat)
	}
	for len(s.todo) > 0 && s.now < 10*timeout {
		next := heap.Pop(&s.todo).(event)
		s.now = next.at
		next.do()
	}
	return s
}

// For any delays, losses and clocks within 1 %: who is called suspect holds no
// lease, who is called stale has had the time to stop its VMs, and of two
// masterships at most one is valid.
func TestSchedules(t *testing.T) {
	for _, c := range []struct {
		name       string
		timeout    time.Duration
		overtaking bool
	}{
		{"short timings", 3 * time.Second, false},
		{"the default timings", 30 * time.Second, false},
		{"short timings, late heartbeats land on newer ones", 3 * time.Second, true},
		{"the default timings, late heartbeats land on newer ones", 30 * time.Second, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			claims, stales := 0, 0
			rapid.Check(t, func(t *rapid.T) {
				s := live(t, c.timeout, c.timeout/10, c.overtaking)
				claims += s.claims
				stales += s.stales
			})
			if claims < 100 || stales < 10 {
				t.Errorf("%d claims and %d stale nodes in all: the schedules reach too little", claims, stales)
			}
		})
	}
}
